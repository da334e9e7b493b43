//! What to run.

use std::fmt;
use std::sync::Arc;

use mosaic_engine::actor::Actor;
use mosaic_engine::event::Verdict;
use mosaic_engine::flow::rss::Owners;
use mosaic_engine::shard::ShardConfig;
use mosaic_engine::wire::WireConfig;
use mosaic_port::PortFactory;

use crate::host::{ErasedActor, HostedActor, Place};
use crate::needs::allowed_cpus;
use crate::{RuntimeError, WireRules};

/// What [`start`](crate::start()) runs.
#[derive(Debug)]
pub struct Plan<F: PortFactory> {
    /// Number of shards, at least 1.
    pub shards: u16,
    /// What each shard receives from, by shard number; at most as many as there are shards. Shards without a port work
    /// on the packets that others hand over.
    pub ports: Vec<Option<Box<F>>>,
    /// Rules of the wires, by the interface ([`Frame::interface`](mosaic_port::Frame::interface)) that a frame came in on;
    /// the default for interfaces beyond. Only inline ports follow them.
    pub wires: Vec<WireRules>,
    /// How frames become packets. `fragments_max` is a total: it is divided over the ports.
    pub wire: WireConfig,
    /// How flows are tracked. `flows_max` and `buffered_bytes_max` are totals: they are divided over the shards, and
    /// `shard` and `owners` are set. Bounds of one side hold as they are.
    pub shard: ShardConfig,
    /// The actors of every shard; an actor's number is its place here. At most 256.
    pub actors: Vec<ActorSpec>,
    /// Bundles that a hand-over ring between two shards holds, at least 1; a bundle is what one burst has for the other
    /// shard, at most [`BURST_MAX`](mosaic_port::BURST_MAX) packets.
    pub ring_depth: usize,
    /// What a shard without work does.
    pub idle: Idle,
    /// Whether shards stay on one core.
    pub pin: Pin,
    /// The core of each shard, in place of what [`Pin::Auto`] would choose; empty where that is to choose.
    pub cores: Vec<u16>,
    /// What becomes of the packet in flight when an actor panics.
    pub on_panic: OnPanic,
    /// Whether [`Handle::stop`](crate::Handle::stop) lets the shards process the packets that wait in hand-over rings;
    /// otherwise they are dropped and counted (`ring_dropped`). Flows end and actors finish either way.
    pub drain_on_stop: bool,
}

impl<F: PortFactory> Plan<F> {
    /// Default of [`ring_depth`](Self::ring_depth).
    pub const RING_DEPTH: usize = 64;

    /// A plan without ports and actors, with defaults for everything not given.
    pub fn new(shards: u16, wire: WireConfig, shard: ShardConfig) -> Self {
        Self {
            shards,
            ports: Vec::new(),
            wires: Vec::new(),
            wire,
            shard,
            actors: Vec::new(),
            ring_depth: Self::RING_DEPTH,
            idle: Idle::default(),
            pin: Pin::default(),
            cores: Vec::new(),
            on_panic: OnPanic::default(),
            drain_on_stop: true,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RuntimeError> {
        if self.shards == 0 {
            return Err(RuntimeError::NoShards);
        }
        if self.ports.len() > usize::from(self.shards) {
            return Err(RuntimeError::TooManyPorts {
                ports: self.ports.len(),
                shards: self.shards,
            });
        }
        if self.ring_depth == 0 {
            return Err(RuntimeError::NoRingDepth);
        }
        check_actors(&self.actors)?;
        self.check_cores(&allowed_cpus())
    }

    /// Each shard has a core of its own that this process may use, or none is named.
    fn check_cores(&self, allowed: &[usize]) -> Result<(), RuntimeError> {
        if self.cores.is_empty() {
            return Ok(());
        }
        if self.cores.len() != usize::from(self.shards) {
            return Err(RuntimeError::CoresPerShard {
                cores: self.cores.len(),
                shards: self.shards,
            });
        }
        let refused = self
            .cores
            .iter()
            .find(|core| !allowed.contains(&usize::from(**core)));
        refused.map_or(Ok(()), |core| Err(RuntimeError::NoSuchCore(*core)))
    }

    /// The configuration of shard `shard`: its part of the totals.
    pub(crate) fn shard_config(&self, shard: u16) -> ShardConfig {
        let part = |total: usize| part(total, usize::from(self.shards), usize::from(shard));
        ShardConfig {
            shard,
            flows_max: part(self.shard.flows_max),
            buffered_bytes_max: part(self.shard.buffered_bytes_max),
            owners: Owners::new(self.shards),
            ..self.shard.clone()
        }
    }

    /// The wire configuration of shard `shard`: only shards with a port hold fragments.
    pub(crate) fn wire_config(&self, shard: u16) -> WireConfig {
        let before = self.ports.iter().take(usize::from(shard)).flatten().count();
        let ports = self.ports.iter().flatten().count().max(1);
        WireConfig {
            fragments_max: part(self.wire.fragments_max, ports, before),
            ..self.wire.clone()
        }
    }
}

pub(crate) fn check_actors(actors: &[ActorSpec]) -> Result<(), RuntimeError> {
    if actors.len() > 256 {
        Err(RuntimeError::TooManyActors(actors.len()))
    } else {
        Ok(())
    }
}

/// Part `index` of `total` divided into `parts`, which add up to it; at least 1.
fn part(total: usize, parts: usize, index: usize) -> usize {
    (total / parts + usize::from(index < total % parts)).max(1)
}

/// What a shard without work does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Idle {
    /// Polls on: least latency, one core at 100 %. Where there are more shards than cores, as `Adaptive`.
    Spin,
    /// Polls for a while, then sleeps between polls, at most 250 microseconds at a time.
    #[default]
    Adaptive,
}

/// Whether shards stay on one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pin {
    /// Each on a core of its own where this process may use at least as many cores as there are shards, otherwise as
    /// `Never`.
    #[default]
    Auto,
    /// The operating system places the threads.
    Never,
}

/// What becomes of the packet in flight when an actor panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnPanic {
    /// It goes on its way: a broken actor does not break the network.
    #[default]
    Forward,
    /// It goes no further: nothing passes unseen.
    Drop,
}

impl OnPanic {
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Self::Forward => Verdict::Forward,
            Self::Drop => Verdict::Drop,
        }
    }
}

/// One actor of every shard: its name and how to make an instance.
#[derive(Clone)]
pub struct ActorSpec {
    name: Arc<str>,
    build: Arc<dyn Fn(Place) -> Box<dyn ErasedActor> + Send + Sync>,
}

impl ActorSpec {
    /// An actor called `name` in logs, metrics and errors; `make` makes the instance of the shard of the given number.
    ///
    /// An instance that panics is replaced by a fresh one from `make`, with default state for every flow. `start` is
    /// not called again, since the monitors its predecessor opened stay open: what an instance needs to work it must
    /// get from `make`.
    pub fn new<A: Actor>(
        name: impl Into<Arc<str>>,
        make: impl Fn(u16) -> A + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let make: Arc<dyn Fn(u16) -> A + Send + Sync> = Arc::new(make);
        let called = Arc::clone(&name);
        let build = move |place| -> Box<dyn ErasedActor> {
            Box::new(HostedActor::new(
                Arc::clone(&called),
                Arc::clone(&make),
                place,
            ))
        };
        Self {
            name,
            build: Arc::new(build),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn build(&self, place: Place) -> Box<dyn ErasedActor> {
        (self.build)(place)
    }
}

impl fmt::Debug for ActorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorSpec")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_one_for_each_shard_and_ours_to_use() {
        let plan = |cores: &[u16]| Plan::<mosaic_port::memory::MemoryPort> {
            cores: cores.to_vec(),
            ..Plan::new(2, WireConfig::default(), ShardConfig::default())
        };
        let allowed = [0, 2, 3];
        assert!(plan(&[]).check_cores(&allowed).is_ok());
        assert!(plan(&[3, 0]).check_cores(&allowed).is_ok());
        let error = |cores| plan(cores).check_cores(&allowed).unwrap_err().to_string();
        assert!(
            error(&[0]).contains("1 core for 2 shards"),
            "{}",
            error(&[0])
        );
        assert!(error(&[0, 1]).contains("core 1 "), "{}", error(&[0, 1]));
    }

    #[test]
    fn parts_add_up_to_the_total() {
        for total in [1_000, 1_001, 1_003, 7] {
            for parts in 1..=7 {
                assert_eq!(
                    (0..parts).map(|i| part(total, parts, i)).sum::<usize>(),
                    total,
                    "{total} in {parts}"
                );
            }
        }
        assert_eq!(part(0, 4, 0), 1, "a bound of nothing would track nothing");
    }
}
