//! Captures as a port.

use std::io::Read;
use std::path::PathBuf;
use std::vec;

use crate::{Batch, Port, PortError, PortFactory, Received};

use super::batch::CaptureBatch;
use super::chunks::{CHUNK_LEN, Chunks};
use super::decode::{Decoder, Step};
use super::source::{Input, Source, file_len};

/// Opens captures; see [`CapturePort`].
#[derive(Debug)]
pub struct CaptureFactory {
    paths: Vec<PathBuf>,
}

impl CaptureFactory {
    /// For the captures at `paths`, read one after another; `-` is standard input.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }
}

impl PortFactory for CaptureFactory {
    type Port = CapturePort;

    fn open(self: Box<Self>) -> Result<CapturePort, PortError> {
        CapturePort::open(self.paths)
    }
}

/// A port that receives the frames of captures, one capture after another; see [`capture`](crate::capture).
///
/// Interfaces are numbered over all captures, in the order in which they are described; a pcap file is one interface.
/// Damage ends the port: what comes before it is delivered, what comes after it, further captures too, is not.
///
/// A pipe whose writer is slow leaves it [idle](Received::Idle); only [`from_reader`](CapturePort::from_reader) may wait.
pub struct CapturePort {
    /// The capture being read; `None` at the end.
    source: Option<Source>,
    /// Those after it.
    paths: vec::IntoIter<PathBuf>,
    decoder: Decoder,
    chunks: Chunks,
    progress: Progress,
}

/// Bytes over all captures.
struct Progress {
    read: u64,
    /// `None` where a capture is no regular file.
    total: Option<u64>,
}

/// Why decoding stopped.
enum Stop {
    /// The batch is full.
    Full,
    /// So many bytes are needed.
    Need(usize),
    Damaged(&'static str),
}

impl CapturePort {
    /// Opens the captures at `paths`; `-` is standard input.
    ///
    /// # Errors
    /// Where one does not exist, or the first cannot be opened.
    pub fn open(paths: Vec<PathBuf>) -> Result<Self, PortError> {
        let mut total = Some(0_u64);
        for path in &paths {
            let len = file_len(path)?;
            total = total.zip(len).map(|(total, len)| total + len);
        }
        let mut paths = paths.into_iter();
        let source = paths.next().map(Source::open).transpose()?;
        Ok(Self::new(source, paths, total, CHUNK_LEN))
    }

    /// Reads one capture from `reader`; errors call it `name`.
    pub fn from_reader(name: impl Into<PathBuf>, reader: impl Read + Send + 'static) -> Self {
        Self::from_reader_in_chunks(name, reader, CHUNK_LEN)
    }

    /// The same through chunks of `chunk_len` bytes.
    pub(crate) fn from_reader_in_chunks(
        name: impl Into<PathBuf>,
        reader: impl Read + Send + 'static,
        chunk_len: usize,
    ) -> Self {
        let source = Source {
            path: name.into(),
            input: Input::Reader(Box::new(reader)),
            offset: 0,
        };
        Self::new(Some(source), Vec::new().into_iter(), None, chunk_len)
    }

    fn new(
        source: Option<Source>,
        paths: vec::IntoIter<PathBuf>,
        total: Option<u64>,
        chunk_len: usize,
    ) -> Self {
        Self {
            source,
            paths,
            decoder: Decoder::default(),
            chunks: Chunks::new(chunk_len),
            progress: Progress { read: 0, total },
        }
    }

    /// Moves frames that are in the chunk to `batch`.
    fn decode(&mut self, source: &mut Source, batch: &mut CaptureBatch) -> Stop {
        let (chunk, start) = self.chunks.current();
        let unread = self.chunks.unread();
        let mut at = 0;
        let stop = loop {
            if batch.is_full() {
                break Stop::Full;
            }
            match self.decoder.step(&unread[at..]) {
                Step::Frame { mut frame, len } => {
                    frame.offset += start + at;
                    batch.push(frame);
                    at += len;
                }
                Step::Skip(len) => at += len,
                Step::Need(len) => break Stop::Need(len),
                Step::Damaged(reason) => break Stop::Damaged(reason),
            }
        };
        if !batch.is_empty() {
            batch.share(chunk);
        }
        self.chunks.consume(at);
        source.offset += at as u64;
        self.progress.read += at as u64;
        stop
    }

    /// Reads on, until `need` bytes are unread or a part of them; goes to the next capture at the end of this one.
    fn fill(&mut self, mut source: Source, need: usize) -> Result<(), PortError> {
        match self.chunks.fill(&mut source.input, need) {
            Ok(0) => self.next_source(source),
            Ok(_) => {
                self.source = Some(source);
                Ok(())
            }
            Err(error) => {
                self.give_up();
                Err(source.failed(error))
            }
        }
    }

    /// Ends one capture; the next one is opened when it is read.
    fn next_source(&mut self, ended: Source) -> Result<(), PortError> {
        if let Some(reason) = self.decoder.end_of_file(self.chunks.unread().len()) {
            self.give_up();
            return Err(ended.damaged(reason));
        }
        self.decoder.next_file();
        Ok(())
    }

    /// Forgets what is left of a capture that cannot be read on.
    fn give_up(&mut self) {
        self.chunks.consume(self.chunks.unread().len());
        self.decoder.next_file();
    }

    /// The capture at hand, or the next one.
    fn take_source(&mut self) -> Result<Option<Source>, PortError> {
        match self.source.take() {
            Some(source) => Ok(Some(source)),
            None => self.paths.next().map(Source::open).transpose(),
        }
    }
}

impl Port for CapturePort {
    type Batch = CaptureBatch;

    fn rx_burst(&mut self, batch: &mut CaptureBatch) -> Result<Received, PortError> {
        debug_assert!(
            batch.is_empty(),
            "the batch of a burst is cleared before the next"
        );
        // An error drops the capture at hand; the next call goes on with the next one.
        while let Some(mut source) = self.take_source()? {
            let stop = self.decode(&mut source, batch);
            if !batch.is_empty() {
                // What stopped it is met again at the next call.
                self.source = Some(source);
                return Ok(Received::Frames);
            }
            match stop {
                Stop::Full => unreachable!("a full batch is not empty"),
                Stop::Need(_) if source.input.would_wait() => {
                    self.source = Some(source);
                    return Ok(Received::Idle);
                }
                Stop::Need(need) => self.fill(source, need)?,
                Stop::Damaged(reason) => {
                    self.give_up();
                    return Err(source.damaged(reason));
                }
            }
        }
        Ok(Received::End)
    }

    fn progress(&self) -> Option<(u64, u64)> {
        // A file may grow while it is read.
        self.progress
            .total
            .map(|total| (self.progress.read, total.max(self.progress.read)))
    }
}
