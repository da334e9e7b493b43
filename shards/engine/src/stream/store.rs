//! The bytes of a side that must outlast their burst, and where its readers stand.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::assembler::Assembler;
use super::blocks::{BLOCK_BYTES, BlockId, Blocks};
use super::overlap::Extents;
use crate::limits::MONITORS;

/// A run of bytes in one block, which it owns.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: u64,
    block: BlockId,
    start: u16,
    len: u16,
}

impl Piece {
    fn end(&self) -> u64 {
        self.offset + u64::from(self.len)
    }

    fn bytes<'a>(&self, blocks: &'a Blocks) -> &'a [u8] {
        &blocks.bytes(self.block)[usize::from(self.start)..usize::from(self.start + self.len)]
    }
}

const _: () = assert!(BLOCK_BYTES <= u16::MAX as usize);

/// What is held of one side. Exists only for sides that need it.
#[derive(Debug, Default)]
pub(crate) struct SideStore {
    /// Ranges that wait behind holes.
    pub(crate) ahead: Assembler,
    /// The segments that they consist of, as far as the overlap policy needs them.
    pub(crate) extents: Extents,
    /// Holes that were skipped and may yet be filled, too late.
    pub(crate) skipped: Assembler,
    /// Bytes, ascending and disjoint: unread or retained ones below the next expected byte, waiting ones beyond it.
    pieces: VecDeque<Piece>,
    held: u64,
    /// Readers that stand below the next expected byte while the flow is at rest, a bit each.
    pub(crate) laggards: u16,
    /// Where they stand.
    pub(crate) positions: [u64; MONITORS],
    /// Bytes each reader has lost and not been told of.
    pub(crate) lost: [u64; MONITORS],
}

impl SideStore {
    /// Bytes held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    /// Keeps `bytes` at `offset`, none of which are held yet. Returns how many fitted into the memory left.
    pub(crate) fn put(&mut self, blocks: &mut Blocks, mut offset: u64, mut bytes: &[u8]) -> usize {
        let whole = bytes.len();
        let mut at = self.pieces.partition_point(|piece| piece.offset < offset);
        if at > 0 && self.pieces[at - 1].end() == offset {
            let taken = extend(&mut self.pieces[at - 1], blocks, bytes);
            (offset, bytes) = (offset + taken as u64, &bytes[taken..]);
        }
        while !bytes.is_empty() {
            let Some(block) = blocks.take() else { break };
            let mut piece = Piece {
                offset,
                block,
                start: 0,
                len: 0,
            };
            let taken = extend(&mut piece, blocks, bytes);
            self.pieces.insert(at, piece);
            (offset, bytes, at) = (offset + taken as u64, &bytes[taken..], at + 1);
        }
        let kept = whole - bytes.len();
        self.held += kept as u64;
        kept
    }

    /// Puts `bytes` in the place of those held from `offset` on, as far as any are held.
    pub(crate) fn overwrite(&self, blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
        self.for_overlap(offset, bytes, |piece, range, new| {
            blocks.bytes_mut(piece.block)[range].copy_from_slice(new);
        });
    }

    /// Compares `bytes` with those held from `offset` on: offset of the first that differs, and how many do.
    pub(crate) fn differing(
        &self,
        blocks: &Blocks,
        offset: u64,
        bytes: &[u8],
    ) -> Option<(u64, u32)> {
        let (mut first, mut count) = (None, 0);
        self.for_overlap(offset, bytes, |piece, range, new| {
            let old = &blocks.bytes(piece.block)[range.clone()];
            if old == new {
                return;
            }
            for (i, _) in old
                .iter()
                .zip(new)
                .enumerate()
                .filter(|(_, (old, new))| old != new)
            {
                first.get_or_insert(
                    piece.offset + (range.start - usize::from(piece.start) + i) as u64,
                );
                count += 1;
            }
        });
        Some((first?, count))
    }

    /// Calls `act` for each piece that meets `offset..`: the piece, the range within its block, and the new bytes there.
    fn for_overlap(
        &self,
        offset: u64,
        bytes: &[u8],
        mut act: impl FnMut(&Piece, core::ops::Range<usize>, &[u8]),
    ) {
        let end = offset + bytes.len() as u64;
        let from = self.pieces.partition_point(|piece| piece.end() <= offset);
        for piece in self
            .pieces
            .range(from..)
            .take_while(|piece| piece.offset < end)
        {
            let (low, high) = (piece.offset.max(offset), piece.end().min(end));
            let within = |at: u64| {
                usize::try_from(at - piece.offset).unwrap_or(0) + usize::from(piece.start)
            };
            let of_new = |at: u64| usize::try_from(at - offset).unwrap_or(0);
            act(
                piece,
                within(low)..within(high),
                &bytes[of_new(low)..of_new(high)],
            );
        }
    }

    /// The bytes held from `offset` on, to the end of their piece; `None` where none are.
    pub(crate) fn at<'a>(&self, blocks: &'a Blocks, offset: u64) -> Option<&'a [u8]> {
        let at = self.pieces.partition_point(|piece| piece.end() <= offset);
        let piece = self.pieces.get(at).filter(|piece| piece.offset <= offset)?;
        let skip = usize::try_from(offset - piece.offset).unwrap_or(0);
        Some(&piece.bytes(blocks)[skip..])
    }

    /// End of the unbroken run of bytes that begins at `offset`; `offset` itself where none is held there.
    pub(crate) fn run_end(&self, offset: u64) -> u64 {
        let from = self.pieces.partition_point(|piece| piece.end() <= offset);
        let mut end = offset;
        for piece in self.pieces.range(from..) {
            if piece.offset > end {
                break;
            }
            end = piece.end();
        }
        end
    }

    /// Offset of the first byte held at or after `offset`.
    pub(crate) fn first_from(&self, offset: u64) -> Option<u64> {
        let at = self.pieces.partition_point(|piece| piece.end() <= offset);
        self.pieces.get(at).map(|piece| piece.offset.max(offset))
    }

    /// Bytes held from `start` to `end`, holes not counted.
    pub(crate) fn held_between(&self, start: u64, end: u64) -> u64 {
        let from = self.pieces.partition_point(|piece| piece.end() <= start);
        let pieces = self
            .pieces
            .range(from..)
            .take_while(|piece| piece.offset < end);
        pieces
            .map(|piece| piece.end().min(end) - piece.offset.max(start))
            .sum()
    }

    /// Gives up everything below `offset`.
    pub(crate) fn release_before(&mut self, blocks: &mut Blocks, offset: u64) {
        while let Some(piece) = self.pieces.front_mut() {
            if piece.end() <= offset {
                blocks.give(piece.block);
                self.held -= u64::from(piece.len);
                self.pieces.pop_front();
            } else {
                if piece.offset < offset {
                    // Less than a block, since the piece ends beyond `offset`.
                    let cut = u16::try_from(offset - piece.offset).unwrap_or(0);
                    piece.offset += u64::from(cut);
                    piece.start += cut;
                    piece.len -= cut;
                    self.held -= u64::from(cut);
                }
                break;
            }
        }
    }

    /// Whether nothing is held, nobody lags behind, and every loss was told: the store can go.
    pub(crate) fn is_idle(&self) -> bool {
        self.pieces.is_empty()
            && self.laggards == 0
            && self.ahead.is_empty()
            && self.skipped.is_empty()
            && self.lost == [0; MONITORS]
    }

    fn reset(&mut self, blocks: &mut Blocks) {
        self.release_before(blocks, u64::MAX);
        self.ahead.clear();
        self.extents.clear();
        self.skipped.clear();
        self.laggards = 0;
        self.lost = [0; MONITORS];
    }
}

/// Appends to the block of `piece` as much of `bytes` as fits, and returns how much.
fn extend(piece: &mut Piece, blocks: &mut Blocks, bytes: &[u8]) -> usize {
    let used = usize::from(piece.start + piece.len);
    let taken = bytes.len().min(BLOCK_BYTES - used);
    blocks.bytes_mut(piece.block)[used..used + taken].copy_from_slice(&bytes[..taken]);
    piece.len += u16::try_from(taken).unwrap_or(0);
    taken
}

/// The stores of a shard: made when needed, used again.
#[derive(Debug)]
pub(crate) struct Stores {
    stores: Vec<SideStore>,
    free: Vec<u32>,
    pub(crate) blocks: Blocks,
}

impl Stores {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            stores: Vec::new(),
            free: Vec::new(),
            blocks: Blocks::new(bytes_max),
        }
    }

    /// An empty store.
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.stores.push(SideStore::default());
            u32::try_from(self.stores.len() - 1).unwrap_or(u32::MAX)
        })
    }

    /// Takes a store back.
    pub(crate) fn give(&mut self, store: u32) {
        self.stores[store as usize].reset(&mut self.blocks);
        self.free.push(store);
    }

    pub(crate) fn get(&self, store: u32) -> Option<&SideStore> {
        self.stores.get(store as usize)
    }

    /// A store and the memory for its bytes.
    pub(crate) fn with_blocks(&mut self, store: u32) -> (&mut SideStore, &mut Blocks) {
        (&mut self.stores[store as usize], &mut self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Held bytes against one optional byte an offset.
    #[derive(Default)]
    struct Model(Vec<Option<u8>>);

    proptest! {
        #[test]
        fn behaves_like_a_byte_map(
            moves in proptest::collection::vec((0..4_u8, 0..9000_usize, 1..4000_usize, any::<u8>()), 1..60),
        ) {
            let mut blocks = Blocks::new(1 << 20);
            let mut store = SideStore::default();
            let mut model = Model::default();
            model.0.resize(16_000, None);
            let mut released = 0;
            for (what, offset, len, fill) in moves {
                let bytes: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                match what {
                    0 | 1 => {
                        let mut at = offset.max(released);
                        while at < offset + len {
                            let free = (at..offset + len).take_while(|o| model.0[*o].is_none()).count();
                            if free > 0 {
                                let part = &bytes[at - offset..at - offset + free];
                                prop_assert_eq!(store.put(&mut blocks, at as u64, part), free);
                                for (o, b) in (at..).zip(part) {
                                    model.0[o] = Some(*b);
                                }
                            }
                            at += free.max(1);
                        }
                    }
                    2 => {
                        let differing = (offset..offset + len)
                            .filter(|o| model.0[*o].is_some_and(|b| b != bytes[*o - offset]));
                        let expected = differing.clone().next().map(|o| (o as u64, differing.count() as u32));
                        prop_assert_eq!(store.differing(&blocks, offset as u64, &bytes), expected);
                        store.overwrite(&mut blocks, offset as u64, &bytes);
                        for o in offset..offset + len {
                            if model.0[o].is_some() {
                                model.0[o] = Some(bytes[o - offset]);
                            }
                        }
                    }
                    _ => {
                        store.release_before(&mut blocks, offset as u64 / 3);
                        released = released.max(offset / 3);
                        model.0[..offset / 3].fill(None);
                    }
                }
                prop_assert_eq!(store.held(), model.0.iter().flatten().count() as u64);
                for o in (0..14_000).step_by(97) {
                    let found = store.at(&blocks, o as u64).map(|b| b[0]);
                    prop_assert_eq!(found, model.0[o]);
                    let run = (o..16_000).take_while(|o| model.0[*o].is_some()).count();
                    prop_assert_eq!(store.run_end(o as u64), (o + run) as u64);
                    let held = model.0[o..o + 2000].iter().flatten().count();
                    prop_assert_eq!(store.held_between(o as u64, o as u64 + 2000), held as u64);
                    let first = (o..16_000).find(|o| model.0[*o].is_some());
                    prop_assert_eq!(store.first_from(o as u64), first.map(|o| o as u64));
                }
            }
            store.reset(&mut blocks);
            prop_assert_eq!(blocks.used_bytes(), 0);
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mut blocks = Blocks::new(2 * BLOCK_BYTES);
        let mut store = SideStore::default();
        assert_eq!(
            store.put(&mut blocks, 0, &[1; 3 * BLOCK_BYTES]),
            2 * BLOCK_BYTES
        );
        assert_eq!(store.held(), 2 * BLOCK_BYTES as u64);
    }
}
