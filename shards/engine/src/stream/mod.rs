//! Reassembly: which ranges are present ([`Assembler`]), the bytes that must outlast their burst, and reading them without
//! copying ([`Chunks`]).

mod assembler;
mod blocks;
mod overlap;
mod peek;
mod store;

pub use assembler::Assembler;
pub(crate) use blocks::{BLOCK_BYTES, BlockId, Blocks};
pub use overlap::OverlapPolicy;
pub use peek::Chunks;
pub(crate) use peek::{BurstSegment, Reader, Sources};
pub(crate) use store::{SideStore, Stores};
