//! Figures of a shard, for other threads.

use std::sync::Arc;

use mosaic_engine::counters::{Drops, IngressCounters};
use mosaic_engine::event::EVENTS;
use mosaic_engine::shard::ShardCounters;
use mosaic_port::Timestamp;

use crate::WireCounters;

/// The figures of one shard as it last published them: every 256 bursts, when it runs out of work, and at its end.
/// Counts are since the start.
#[derive(Clone, Debug, Default)]
pub struct ShardSnapshot {
    /// Which shard.
    pub shard: u16,
    /// What became of the frames of its port.
    pub ingress: IngressCounters,
    /// Frames and packets dropped, at the entrance and by the shard.
    pub drops: Drops,
    /// What the shard did.
    pub counters: ShardCounters,
    /// Events raised, by kind, in the order of [`EventSet::EVENT_NAMES`](mosaic_engine::event::EventSet::EVENT_NAMES).
    pub events: [u64; EVENTS],
    /// Flows in the table.
    pub flows: usize,
    /// Bytes held in stream buffers.
    pub buffered_bytes: usize,
    /// Packets for other shards, including those that found no room.
    pub handed_out: u64,
    /// Those of them that the device had promised to bring to the queue of the shard that owns their flow: TCP and UDP, not in
    /// tunnels, whole. RSS does not do what it said.
    pub wrong_shard: u64,
    /// Packets taken in from other shards.
    pub taken_in: u64,
    /// Packets dropped between shards: by the sender because the ring was full (live traffic only) or its reader gone,
    /// by the receiver because it was stopped without draining. Over all shards at rest,
    /// `handed_out = taken_in + ring_dropped`.
    pub ring_dropped: u64,
    /// Bursts that had to wait for room in a ring: back-pressure to a capture.
    pub ring_waits: u64,
    /// What became of the frames of an inline port.
    pub wire: WireCounters,
    /// Bursts that brought frames.
    pub bursts: u64,
    /// Turns of the loop that found nothing to do.
    pub idle_polls: u64,
    /// Bytes of the port's source consumed and in all; `None` where unknown.
    pub progress: Option<(u64, u64)>,
    /// The clock of the last packet; zero before the first.
    pub clock: Timestamp,
    /// Panics of each actor, in the order of the plan.
    pub actor_panics: Vec<ActorPanics>,
    /// Whether the shard has ended: these figures are final.
    pub finished: bool,
}

/// How often an actor panicked on one shard, or on all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActorPanics {
    /// Name of the actor.
    pub name: Arc<str>,
    /// Number of panics.
    pub panics: u64,
}
