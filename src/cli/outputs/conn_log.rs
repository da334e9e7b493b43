//! The connection log: records from the shards, written by one thread.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mosaic_engine::actor::{Actor, FlowContext, PeekError, ShardContext, StartError};
use mosaic_engine::event::{Event, EventSet, Filter, Hook, Side};
use mosaic_engine::flow::Proto;
use sha2::{Digest as _, Sha256};

use super::writer::{Behind, Blocks, Writer};
use crate::records::{ConnectionRecord, Digest};
use crate::{Error, Result};

/// Bytes of records that a shard collects before it sends them on.
const BLOCK_BYTES: usize = 128 << 10;

/// Opens the log, a file or `-` for standard output, and starts its writer.
///
/// # Errors
/// Where the file cannot be made.
pub(super) fn open(path: &Path, behind: Behind) -> Result<Writer<Vec<u8>>> {
    if path == Path::new("-") {
        let stdout = PathBuf::from("standard output");
        return Writer::start("mosaic-conn-log", stdout, behind, |blocks| {
            write_all(blocks, io::stdout().lock())
        });
    }
    let file = File::create(path).map_err(|source| Error::Output {
        path: path.to_owned(),
        source,
    })?;
    Writer::start("mosaic-conn-log", path.to_owned(), behind, |blocks| {
        write_all(blocks, file)
    })
}

fn write_all(blocks: flume::Receiver<Vec<u8>>, mut to: impl Write) -> io::Result<()> {
    for block in blocks {
        to.write_all(&block)?;
    }
    to.flush()
}

/// Writes a record of each flow when it leaves the table.
pub(super) struct ConnectionLog {
    filter: Option<Filter>,
    with_digest: bool,
    blocks: Blocks<Vec<u8>>,
    block: Vec<u8>,
    /// Records in the block.
    records: u64,
    /// Hashers without work: a flow takes one for a side when its first bytes come, and gives it back at its end.
    #[expect(
        clippy::vec_box,
        reason = "they go from flow to flow as they are, without being copied"
    )]
    spare: Vec<Box<Sha256>>,
}

impl ConnectionLog {
    pub(super) fn new(filter: Option<Filter>, with_digest: bool, blocks: Blocks<Vec<u8>>) -> Self {
        Self {
            filter,
            with_digest,
            blocks,
            block: Vec::with_capacity(BLOCK_BYTES),
            records: 0,
            spare: Vec::new(),
        }
    }

    /// Takes every unread byte of `side` into its digest.
    fn read(&mut self, state: &mut Sides, flow: &mut FlowContext<'_>, side: Side) {
        let StreamDigest::Running(hasher) = &mut state[side as usize] else {
            return;
        };
        let hasher = hasher.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        while flow.unread(side) > 0 {
            let taken = flow.peek(side, |chunks| {
                chunks.fold(0, |taken, chunk| {
                    hasher.update(chunk);
                    taken + chunk.len()
                })
            });
            match taken {
                Ok(taken) if taken > 0 => {}
                Err(PeekError::Lost(_)) => {
                    state[side as usize] = StreamDigest::Broken;
                    return;
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    fn digest(&mut self, stream: &mut StreamDigest) -> Option<Digest> {
        match std::mem::take(stream) {
            StreamDigest::Running(None) => Some(Digest(Sha256::digest(b"").into())),
            StreamDigest::Running(Some(mut hasher)) => {
                let digest = Digest(hasher.finalize_reset().into());
                self.spare.push(hasher);
                Some(digest)
            }
            StreamDigest::Broken => None,
        }
    }

    fn send(&mut self) {
        let block = if self.blocks.is_prompt() {
            // A record or two: not worth a block of its own.
            let copy = self.block.as_slice().to_vec();
            self.block.clear();
            copy
        } else {
            std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES))
        };
        self.blocks.send(block, std::mem::take(&mut self.records));
    }
}

/// By [`Side`].
type Sides = [StreamDigest; 2];

/// The digest of one side's stream.
#[derive(Debug)]
pub(super) enum StreamDigest {
    /// Of every byte so far; `None` before the first.
    Running(Option<Box<Sha256>>),
    /// Bytes were lost to this reader: there is no digest.
    Broken,
}

impl Default for StreamDigest {
    fn default() -> Self {
        Self::Running(None)
    }
}

impl Actor for ConnectionLog {
    type Flow = Sides;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> std::result::Result<(), StartError> {
        let monitor = shard.monitor_stream(self.filter.clone());
        let events = EventSet::NEW_DATA | EventSet::LATE_DATA;
        let monitor = if self.with_digest {
            monitor.on(Hook::End, events)
        } else {
            monitor
        };
        monitor.open()?;
        Ok(())
    }

    fn on_event(&mut self, state: &mut Sides, flow: &mut FlowContext<'_>, event: Event) {
        if let Event::NewData(side) | Event::LateData(side) = event {
            self.read(state, flow, side);
        }
    }

    fn on_removed(&mut self, state: &mut Sides, flow: &mut FlowContext<'_>) {
        let summary = flow.summary();
        let digests = if self.with_digest && summary.proto == Proto::TCP {
            state.each_mut().map(|stream| self.digest(stream))
        } else {
            [None; 2]
        };
        ConnectionRecord::new(&summary, digests).append_to(&mut self.block);
        self.records += 1;
        // The next record should not make the block grow.
        if self.block.len() > BLOCK_BYTES * 7 / 8 || self.blocks.is_prompt() {
            self.send();
        }
    }

    fn finish(&mut self) {
        self.send();
    }
}
