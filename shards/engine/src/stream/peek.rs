//! Reading a side without copying.

use super::blocks::Blocks;
use super::store::SideStore;
use crate::shard::ARENA;

/// An in-order run of payload in a packet of the current burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BurstSegment {
    pub(crate) offset: u64,
    /// Index of its packet's buffer; [`ARENA`] where it lies there.
    pub(crate) packet: u8,
    /// Next segment of the same side, as an index into the burst's segments; [`u16::MAX`] at the end.
    pub(crate) next: u16,
    /// Where the run begins in the packet's buffer.
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// Where the bytes of one side lie during a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources<'a> {
    /// What outlasted earlier bursts, or waited behind a hole.
    pub(crate) store: Option<&'a SideStore>,
    pub(crate) blocks: &'a Blocks,
    /// Runs of all sides.
    pub(crate) segments: &'a [BurstSegment],
    /// First run of this side.
    pub(crate) first_segment: u16,
    /// Buffers of the burst.
    pub(crate) bytes: &'a [&'a [u8]],
    /// Copies of changed packets.
    pub(crate) arena: &'a [u8],
}

/// What a reader may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reader {
    /// First unread byte.
    pub(crate) position: u64,
    /// From here to `next` the stream has no hole: what came since the last delivery.
    pub(crate) fresh: u64,
    /// Next byte expected in order.
    pub(crate) next: u64,
}

impl<'a> Sources<'a> {
    /// The buffer of this index.
    #[inline]
    fn buffer(&self, packet: u8) -> &'a [u8] {
        if packet == ARENA {
            self.arena
        } else {
            self.bytes[usize::from(packet)]
        }
    }

    /// Moves a position that stands at the edge of a skipped hole over it, and finds where the bytes from there on end: at
    /// the next hole, or at `next`.
    pub(crate) fn span(&self, reader: Reader) -> (u64, u64) {
        let Reader {
            position,
            fresh,
            next,
        } = reader;
        if position >= fresh {
            return (position, next);
        }
        let Some(store) = self.store else {
            return (fresh, next);
        };
        let position = store
            .first_from(position)
            .map_or(fresh, |first| first.min(fresh));
        let end = store.run_end(position).min(next);
        (position, if end >= fresh { next } else { end })
    }
}

/// Unread bytes of one side, in order, without copying: slices of the packets of this burst and of the stream buffer. Ends at
/// the next hole.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    sources: Sources<'a>,
    segment: u16,
    cursor: u64,
    end: u64,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(sources: Sources<'a>, cursor: u64, end: u64) -> Self {
        Self {
            sources,
            segment: sources.first_segment,
            cursor,
            end,
        }
    }

    /// Stream offset of the next byte this iterator yields.
    pub fn offset(&self) -> u64 {
        self.cursor
    }

    /// Bytes this iterator has yet to yield.
    pub fn remaining(&self) -> u64 {
        self.end - self.cursor
    }

    /// The bytes at the cursor that lie in a packet of this burst.
    #[inline]
    fn in_burst(&mut self) -> Option<&'a [u8]> {
        while let Some(segment) = self.sources.segments.get(usize::from(self.segment)) {
            if self.cursor < segment.offset {
                return None;
            }
            let skip = self.cursor - segment.offset;
            if skip < u64::from(segment.len) {
                let start = segment.at as usize + usize::try_from(skip).unwrap_or(0);
                return Some(
                    &self.sources.buffer(segment.packet)
                        [start..(segment.at + segment.len) as usize],
                );
            }
            self.segment = segment.next;
        }
        None
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.cursor >= self.end {
            return None;
        }
        let found = match self.in_burst() {
            Some(found) => found,
            None => self.sources.store?.at(self.sources.blocks, self.cursor)?,
        };
        let len = usize::try_from(self.end - self.cursor)
            .map_or(found.len(), |left| left.min(found.len()));
        self.cursor += len as u64;
        Some(&found[..len])
    }
}
