//! Control of running shards from outside the packet path.

mod signals;

pub use signals::Interrupt;
