//! Shards on threads: one glommio executor a shard, the poll loop, hand-over between shards, the host of the actors.
//!
//! [`start`] takes a [`Plan`] and gives a [`Running`]; the shards then run until their ports end or somebody calls
//! [`Handle::stop`], and [`Running::wait`] gives the [`Report`]. [`LocalShard`] is one shard on the calling thread, for
//! benches and tests: the same code without threads, rings or waiting.
//!
//! | module | does |
//! |---|---|
//! | `plan` | what to run |
//! | `start`, `running` | threads and executors: begin, watch, stop, end |
//! | `needs` | what shards need of the operating system |
//! | `worker` | the poll loop of one shard |
//! | `backoff` | what a shard does without work |
//! | `bundle`, `ring` | packets on their way to the shard that owns their flow |
//! | `local` | frames in, callbacks out: what every worker does with a burst |
//! | `forward` | what becomes of the frames that came in on a wire |
//! | `host` | calls actors, contains their panics, keeps their state of each flow |
//! | `panics` | keeps contained panics off standard error |
//! | `snapshot` | figures of a shard, for other threads |
//! | [`clock`] | the only place that reads a clock |
#![forbid(unsafe_code)]

mod backoff;
mod bundle;
pub mod clock;
mod error;
mod forward;
mod host;
mod local;
mod needs;
mod panics;
mod plan;
mod ring;
mod running;
mod snapshot;
mod start;
mod worker;

pub use error::RuntimeError;
pub use forward::{WireCounters, WireRules};
pub use local::LocalShard;
pub use needs::{MEMLOCK_BYTES_PER_SHARD, check_io_uring};
pub use plan::{ActorSpec, Idle, OnPanic, Pin, Plan};
pub use running::{Handle, Report, Running, ShardReport};
pub use snapshot::{ActorPanics, ShardSnapshot};
pub use start::start;

#[cfg(test)]
mod tests;
