//! A thread that writes what the shards send, so that no shard waits for a file and no two write to one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use crate::{Error, Result};

/// Messages that may wait for the writer.
const DEPTH: usize = 64;

/// What a shard does when the writer is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    /// It waits, which holds a capture back.
    Waits,
    /// It goes on without the message, which is counted: live traffic does not wait.
    Loses,
}

/// The thread, and the way to it.
pub(super) struct Writer<T> {
    path: PathBuf,
    blocks: Blocks<T>,
    thread: JoinHandle<io::Result<()>>,
}

/// Where a shard sends what is to be written. Once the writer has failed, everything is discarded: the failure is
/// reported by [`Writer::finish`].
pub(super) struct Blocks<T> {
    sender: flume::Sender<T>,
    behind: Behind,
    /// Items of messages that found no room.
    lost: Arc<AtomicU64>,
}

impl<T: Send + 'static> Writer<T> {
    /// Starts `write` on a thread called `name`; it writes to `path`, which is named where it fails.
    ///
    /// # Errors
    /// Where the thread cannot start.
    pub(super) fn start(
        name: &str,
        path: PathBuf,
        behind: Behind,
        write: impl FnOnce(flume::Receiver<T>) -> io::Result<()> + Send + 'static,
    ) -> Result<Self> {
        let (sender, received) = flume::bounded(DEPTH);
        let blocks = Blocks {
            sender,
            behind,
            lost: Arc::default(),
        };
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
        self.blocks.clone()
    }

    /// Whether the thread has given up: it never ends before [`finish`](Self::finish) otherwise.
    pub(super) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until everything is written; tells how many items were lost.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub(super) fn finish(self) -> Result<u64> {
        let Self {
            path,
            blocks,
            thread,
        } = self;
        let lost = Arc::clone(&blocks.lost);
        drop(blocks);
        let written = thread
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the writer panicked")));
        match written {
            Ok(()) => Ok(lost.load(Ordering::Relaxed)),
            Err(source) => Err(Error::Output { path, source }),
        }
    }
}

impl<T> Clone for Blocks<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            behind: self.behind,
            lost: Arc::clone(&self.lost),
        }
    }
}

impl<T> Blocks<T> {
    /// Hands `block`, which holds `items`, to the writer. Where it is behind, waits or loses them.
    pub(super) fn send(&self, block: T, items: u64) {
        // The receiver is gone only where the writer failed.
        match self.behind {
            Behind::Waits => drop(self.sender.send(block)),
            Behind::Loses => {
                if let Err(flume::TrySendError::Full(_)) = self.sender.try_send(block) {
                    self.lost.fetch_add(items, Ordering::Relaxed);
                }
            }
        }
    }

    /// Whether a live record should go at once, because the writer has nothing else to do.
    pub(super) fn is_prompt(&self) -> bool {
        self.behind == Behind::Loses && self.sender.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_is_behind_loses_live_records_and_counts_them() {
        let (let_go, held) = flume::bounded::<()>(0);
        let writer = Writer::start("test", "x".into(), Behind::Loses, move |blocks| {
            let _ = held.recv();
            assert_eq!(blocks.iter().sum::<u64>(), 64);
            Ok(())
        })
        .unwrap();
        let blocks = writer.blocks();
        assert!(blocks.is_prompt());
        (0..DEPTH + 2).for_each(|_| blocks.send(1, 10));
        assert!(!blocks.is_prompt());
        drop((let_go, blocks));
        assert_eq!(writer.finish().unwrap(), 20);
    }
}
