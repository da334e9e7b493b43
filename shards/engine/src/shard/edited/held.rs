//! Segments that wait until what comes before them is decided.

use alloc::collections::VecDeque;
use arrayvec::ArrayVec;

use crate::limits;
use crate::stream::{BLOCK_BYTES, BlockId, Blocks};
use crate::wire::Packet;

/// The most blocks that one segment takes: jumbo frames fit.
const SEGMENT_BLOCKS: usize = 5;

/// A segment that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) packet: Packet,
    /// First original position, and the one behind the last; the FIN is one.
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) len: usize,
    blocks: ArrayVec<BlockId, SEGMENT_BLOCKS>,
}

impl Waiting {
    /// Copies its frame to `into`, which is as long.
    pub(super) fn copy_to(&self, blocks: &Blocks, into: &mut [u8]) {
        for (block, into) in self.blocks.iter().zip(into.chunks_mut(BLOCK_BYTES)) {
            into.copy_from_slice(&blocks.bytes(*block)[..into.len()]);
        }
    }

    /// Gives its memory back.
    pub(super) fn give_back(self, blocks: &mut Blocks) {
        for block in self.blocks {
            blocks.give(block);
        }
    }
}

/// What of one side waits, by position.
#[derive(Debug, Default)]
pub(super) struct Held {
    segments: VecDeque<Waiting>,
    bytes: usize,
}

/// What became of a segment that is to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keeping {
    Kept,
    /// All of it waits already.
    Known,
    NoRoom,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// First position that waits.
    pub(super) fn first(&self) -> Option<i64> {
        self.segments.front().map(|segment| segment.start)
    }

    /// Keeps a copy of `frame`.
    pub(super) fn keep(
        &mut self,
        blocks: &mut Blocks,
        packet: &Packet,
        (start, end): (i64, i64),
        frame: &[u8],
    ) -> Keeping {
        if self.runs().any(|(from, to)| from <= start && end <= to) {
            return Keeping::Known;
        }
        let needed = frame.len().div_ceil(BLOCK_BYTES);
        let fits = needed <= SEGMENT_BLOCKS
            && self.segments.len() < limits::HELD_SEGMENTS
            && self.bytes + frame.len() <= limits::HELD_BYTES
            && blocks.has_room(frame.len(), 0);
        if !fits {
            return Keeping::NoRoom;
        }
        let mut taken = ArrayVec::new();
        for part in frame.chunks(BLOCK_BYTES) {
            if let Some(block) = blocks.take() {
                blocks.bytes_mut(block)[..part.len()].copy_from_slice(part);
                taken.push(block);
            }
        }
        let index = self
            .segments
            .partition_point(|segment| segment.start <= start);
        self.bytes += frame.len();
        let waiting = Waiting {
            packet: *packet,
            start,
            end,
            len: frame.len(),
            blocks: taken,
        };
        self.segments.insert(index, waiting);
        Keeping::Kept
    }

    /// Takes out the first segment, if it begins at `sent` or before.
    pub(super) fn take_reached(&mut self, sent: i64) -> Option<Waiting> {
        if self.first()? > sent {
            return None;
        }
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.len;
        Some(segment)
    }

    /// The ranges that wait, joined where they touch, ascending.
    pub(super) fn runs(&self) -> impl Iterator<Item = (i64, i64)> {
        let mut segments = self.segments.iter().peekable();
        core::iter::from_fn(move || {
            let first = segments.next()?;
            let (start, mut end) = (first.start, first.end);
            while let Some(next) = segments.next_if(|next| next.start <= end) {
                end = end.max(next.end);
            }
            Some((start, end))
        })
    }

    /// Lets everything go.
    pub(super) fn clear(&mut self, blocks: &mut Blocks) {
        for segment in self.segments.drain(..) {
            segment.give_back(blocks);
        }
        self.bytes = 0;
    }
}
