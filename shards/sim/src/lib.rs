//! A deterministic world for tests: virtual clock, faulty links, peers, a tap, and shards to feed.
//!
//! [`World::run`] plays a [`Scenario`] from a seed and gives a [`Trace`]: the frames that a tap between the peers recorded, and
//! the truth about every connection, told by a model too simple to be wrong. The same seed gives the same trace on every
//! machine, so that a failure is repeated by its seed.
//!
//! [`Cluster`] is *N* shards behind one entrance, without threads.
#![forbid(unsafe_code)]

mod cluster;
mod peer;
mod random;
mod scenario;
mod segment;
mod truth;
mod world;

#[cfg(test)]
mod tests;

pub use cluster::{Burst, Cluster};
pub use random::{PerMille, Random};
pub use scenario::{Habits, Link, Scenario};
pub use segment::{Ends, Segment, fragments, frame, ip_len, parse};
pub use truth::{Base, Conversation, Direction};
pub use world::{Middlebox, Passage, RecordedFrame, Trace, World};
