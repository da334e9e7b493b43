//! A thread that writes what the shards send, so that no shard waits for a file and no two write to one.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use crate::{Error, Result};

/// Messages that may wait for the writer. A shard that finds no room waits, which holds the capture back.
const DEPTH: usize = 64;

/// The thread, and the way to it.
pub(super) struct Writer<T> {
    path: PathBuf,
    blocks: flume::Sender<T>,
    thread: JoinHandle<io::Result<()>>,
}

/// Where a shard sends what is to be written. Once the writer has failed, everything is discarded: the failure is
/// reported by [`Writer::finish`].
pub(super) struct Blocks<T>(flume::Sender<T>);

impl<T: Send + 'static> Writer<T> {
    /// Starts `write` on a thread called `name`; it writes to `path`, which is named where it fails.
    ///
    /// # Errors
    /// Where the thread cannot start.
    pub(super) fn start(
        name: &str,
        path: PathBuf,
        write: impl FnOnce(flume::Receiver<T>) -> io::Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (blocks, received) = flume::bounded(DEPTH);
        match thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write(received))
        {
            Ok(thread) => Ok(Self {
                path,
                blocks,
                thread,
            }),
            Err(source) => Err(Error::Output { path, source }),
        }
    }

    /// For a shard.
    pub(super) fn blocks(&self) -> Blocks<T> {
        Blocks(self.blocks.clone())
    }

    /// Whether the thread has given up: it never ends before [`finish`](Self::finish) otherwise.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn finish(self) -> Result<()> {
        let Self {
            path,
            blocks,
            thread,
        } = self;
        drop(blocks);
        let written = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
        written.map_err(|source| Error::Output { path, source })
    }
}

impl<T> Clone for Blocks<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Blocks<T> {
    /// Hands `block` to the writer; waits while it is behind.
    pub(super) fn send(&self, block: T) {
        // The receiver is gone only where the writer failed.
        let _ = self.0.send(block);
    }
}
