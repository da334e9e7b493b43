//! Memory for stream bytes: blocks of one size, handed out and taken back.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bytes of a block: holds one ordinary segment.
pub(crate) const BLOCK_BYTES: usize = 2048;
/// Blocks that are allocated together.
const CHUNK_BLOCKS: usize = 64;

/// Number of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockId(u32);

/// The blocks of a shard. Memory is taken from the system a chunk at a time, up to the bound, and kept.
#[derive(Debug)]
pub(crate) struct Blocks {
    chunks: Vec<Box<[u8]>>,
    free: Vec<BlockId>,
    blocks_max: usize,
}

impl Blocks {
    /// No memory yet; at most `bytes_max` later.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            blocks_max: bytes_max / BLOCK_BYTES,
        }
    }

    /// A block, with whatever was in it before; `None` where the bound is reached.
    pub(crate) fn take(&mut self) -> Option<BlockId> {
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        let first = self.chunks.len() * CHUNK_BLOCKS;
        let more = CHUNK_BLOCKS.min(self.blocks_max.saturating_sub(first));
        let numbers = u32::try_from(first).ok()?..u32::try_from(first + more).ok()?;
        if numbers.is_empty() {
            return None;
        }
        self.chunks
            .push(alloc::vec![0; CHUNK_BLOCKS * BLOCK_BYTES].into_boxed_slice());
        self.free.extend(numbers.rev().map(BlockId));
        self.free.pop()
    }

    /// Whether `bytes` more, in up to `parts + 1` parts, are sure to fit.
    pub(crate) fn has_room(&self, bytes: usize, parts: usize) -> bool {
        let needed = bytes / BLOCK_BYTES + parts + 2;
        let left = self.blocks_max - self.used_bytes() / BLOCK_BYTES;
        needed <= left
    }

    /// Takes a block back.
    pub(crate) fn give(&mut self, block: BlockId) {
        self.free.push(block);
    }

    /// Bytes of the blocks in use.
    pub(crate) fn used_bytes(&self) -> usize {
        let made = (self.chunks.len() * CHUNK_BLOCKS).min(self.blocks_max);
        (made - self.free.len()) * BLOCK_BYTES
    }

    pub(crate) fn bytes(&self, block: BlockId) -> &[u8] {
        let (chunk, at) = Self::place(block);
        &self.chunks[chunk][at..at + BLOCK_BYTES]
    }

    pub(crate) fn bytes_mut(&mut self, block: BlockId) -> &mut [u8] {
        let (chunk, at) = Self::place(block);
        &mut self.chunks[chunk][at..at + BLOCK_BYTES]
    }

    fn place(block: BlockId) -> (usize, usize) {
        (
            block.0 as usize / CHUNK_BLOCKS,
            block.0 as usize % CHUNK_BLOCKS * BLOCK_BYTES,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_blocks_come_back() {
        let mut blocks = Blocks::new(100 * BLOCK_BYTES + 1);
        let taken: Vec<_> = core::iter::from_fn(|| blocks.take()).collect();
        assert_eq!(taken.len(), 100);
        assert_eq!(blocks.used_bytes(), 100 * BLOCK_BYTES);
        for (block, mark) in taken.iter().zip(0..) {
            blocks.bytes_mut(*block).fill(mark);
        }
        assert!(
            taken
                .iter()
                .zip(0..)
                .all(|(block, mark)| blocks.bytes(*block).iter().all(|b| *b == mark))
        );
        for block in taken {
            blocks.give(block);
        }
        assert_eq!(blocks.used_bytes(), 0);
        assert!(blocks.take().is_some());
    }
}
