//! `--extract`: the stream of each side of each flow in a file of its own.
//!
//! The shards collect bytes in blocks; one thread writes them. Names come from addresses and times only, files are made
//! anew and reopened relative to the folder without following links, so nothing outside the folder is touched and
//! nothing inside it that this run did not make.

mod files;

use std::fmt::{self, Write as _};
use std::path::Path;

use mosaic_engine::actor::{Actor, FlowContext, FlowSummary, ShardContext, StartError};
use mosaic_engine::event::{Event, EventSet, Filter, Hook, Side, StreamError};
use mosaic_engine::flow::{Endpoint, Proto};

use self::files::Files;
use super::writer::{Behind, Blocks, Writer};
use crate::{Error, Result};

/// Bytes that a shard collects before it sends them on.
const BLOCK_BYTES: usize = 256 << 10;

/// Opens the folder, which must be new or empty, and starts its writer.
///
/// # Errors
/// Where the folder cannot be made or is not empty.
pub(super) fn open(dir: &Path) -> Result<Writer<Block>> {
    let mut files = Files::open(dir).map_err(|source| Error::Output {
        path: dir.to_owned(),
        source,
    })?;
    Writer::start(
        "mosaic-extract",
        dir.to_owned(),
        Behind::Waits,
        move |blocks| {
            blocks
                .into_iter()
                .try_for_each(|block| files.write(&block))?;
            files.finish()
        },
    )
}

/// A file, for as long as its flow is tracked; never another one later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct FileId {
    shard: u16,
    number: u64,
}

/// What a shard has for the writer: steps, and the bytes and names they speak of.
#[derive(Debug, Default)]
pub(super) struct Block {
    steps: Vec<Step>,
    bytes: Vec<u8>,
}

/// One thing to do.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Make a file; its name is the next `len` bytes of the block.
    Create { file: FileId, len: usize },
    /// Append the next `len` bytes of the block.
    Append { file: FileId, len: usize },
    /// Note that the stream has a hole.
    Hole { file: FileId, offset: u64, len: u64 },
    /// Nothing more comes.
    Close { file: FileId },
}

/// Sends the streams of a shard's flows to the writer.
pub(super) struct Extractor {
    filter: Option<Filter>,
    blocks: Blocks<Block>,
    block: Block,
    shard: u16,
    /// Files made so far.
    files: u64,
}

impl Extractor {
    pub(super) fn new(filter: Option<Filter>, shard: u16, blocks: Blocks<Block>) -> Self {
        Self {
            filter,
            blocks,
            block: Block::empty(),
            shard,
            files: 0,
        }
    }

    fn read(&mut self, state: &mut [Option<FileId>; 2], flow: &mut FlowContext<'_>, side: Side) {
        while flow.unread(side) > 0 {
            let file = self.file(state, flow, side);
            let bytes = &mut self.block.bytes;
            let before = bytes.len();
            let taken = flow.peek(side, |chunks| {
                chunks.for_each(|chunk| bytes.extend_from_slice(chunk));
                bytes.len() - before
            });
            let len = taken.unwrap_or(0);
            if len == 0 {
                return;
            }
            self.push(Step::Append { file, len });
        }
    }

    /// The side's file, which is made when it is first needed.
    fn file(
        &mut self,
        state: &mut [Option<FileId>; 2],
        flow: &FlowContext<'_>,
        side: Side,
    ) -> FileId {
        if let Some(file) = state[side as usize] {
            return file;
        }
        let file = FileId {
            shard: self.shard,
            number: self.files,
        };
        self.files += 1;
        state[side as usize] = Some(file);
        let name = Name {
            flow: &flow.summary(),
            side,
        }
        .to_string();
        self.block.bytes.extend_from_slice(name.as_bytes());
        self.push(Step::Create {
            file,
            len: name.len(),
        });
        file
    }

    fn push(&mut self, step: Step) {
        self.block.steps.push(step);
        if self.block.bytes.len() >= BLOCK_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.blocks
            .send(std::mem::replace(&mut self.block, Block::empty()), 1);
    }
}

impl Block {
    /// With room for a block's bytes and for what one more burst may add.
    fn empty() -> Self {
        Self {
            steps: Vec::with_capacity(1024),
            bytes: Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 4),
        }
    }
}

impl Actor for Extractor {
    /// By [`Side`].
    type Flow = [Option<FileId>; 2];

    fn start(&mut self, shard: &mut ShardContext<'_>) -> std::result::Result<(), StartError> {
        let events = EventSet::NEW_DATA | EventSet::LATE_DATA | EventSet::ERROR;
        shard
            .monitor_stream(self.filter.clone())
            .on(Hook::End, events)
            .open()?;
        Ok(())
    }

    fn on_event(&mut self, state: &mut Self::Flow, flow: &mut FlowContext<'_>, event: Event) {
        if flow.proto() != Proto::TCP {
            return;
        }
        match event {
            Event::NewData(side) | Event::LateData(side) => self.read(state, flow, side),
            Event::Error {
                side,
                error: StreamError::Gap { offset, len },
            } => {
                let file = self.file(state, flow, side);
                self.push(Step::Hole { file, offset, len });
            }
            _ => {}
        }
    }

    fn on_removed(&mut self, state: &mut Self::Flow, _flow: &mut FlowContext<'_>) {
        for file in std::mem::take(state).into_iter().flatten() {
            self.push(Step::Close { file });
        }
    }

    fn finish(&mut self) {
        self.send();
    }
}

/// The name of a side's file: `01700000000.000000001_192.0.2.1_40000_198.51.100.7_80_c2s`. It sorts by the time of the
/// flow's first packet, and is made of letters, digits, `.`, `_` and `-` only.
struct Name<'a> {
    flow: &'a FlowSummary,
    side: Side,
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND: u64 = 1_000_000_000;
        let nanos = self.flow.first.as_nanos();
        write!(f, "{:011}.{:09}_", nanos / SECOND, nanos % SECOND)?;
        write_endpoint(f, self.flow.client)?;
        f.write_char('_')?;
        write_endpoint(f, self.flow.server)?;
        f.write_str(match self.side {
            Side::Client => "_c2s",
            Side::Server => "_s2c",
        })
    }
}

/// Colons of IPv6 addresses become `-`: some systems have no files with colons.
fn write_endpoint(f: &mut fmt::Formatter<'_>, endpoint: Endpoint) -> fmt::Result {
    for c in endpoint.addr.to_string().chars() {
        f.write_char(if c == ':' { '-' } else { c })?;
    }
    write!(f, "_{}", endpoint.port)
}
