//! A running stack: watching, stopping and waiting for it.

use std::time::Duration;

use mosaic_engine::counters::{Drops, IngressCounters};
use mosaic_engine::event::EVENTS;
use mosaic_engine::shard::ShardCounters;
use mosaic_port::PortError;
use mosaic_runtime::{ActorPanics, Handle, Running, ShardReport, ShardSnapshot, WireCounters};

use crate::live::{PortFigures, Ports};
use crate::{Builder, Error, Result};

/// Shards that run. Dropping it stops them without waiting.
#[derive(Debug)]
#[must_use = "dropping it stops the shards"]
pub struct Runtime {
    running: Running,
    ports: Ports,
}

impl Runtime {
    /// Begins with defaults; see [`config::Plan`](crate::config::Plan).
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(running: Running) -> Self {
        Self {
            running,
            ports: Ports::default(),
        }
    }

    /// Watches `ports` as well, and keeps them open until everything is reported.
    #[cfg(feature = "dpdk")]
    pub(crate) fn with_ports(self, ports: Ports) -> Self {
        Self { ports, ..self }
    }

    /// The live ports; none where packets come from captures.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// What [`snapshot`](Self::snapshot) gives, for another thread.
    pub fn watch(&self) -> impl Fn() -> Snapshot + Send + use<> {
        let (handle, ports) = (self.running.handle(), self.ports.clone());
        move || Snapshot {
            shards: handle.snapshots(),
            ports: ports.figures(),
        }
    }

    /// The figures each shard published last, and those of the ports.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            shards: self.running.snapshots(),
            ports: self.ports.figures(),
        }
    }

    /// For other threads: watches and stops the shards.
    pub fn handle(&self) -> Handle {
        self.running.handle()
    }

    /// Asks every shard to receive no more, to process what it has and to end its flows. Returns at once.
    pub fn stop(&self) {
        self.running.stop();
    }

    /// Whether every shard has ended.
    pub fn is_finished(&self) -> bool {
        self.running.is_finished()
    }

    /// Calls `tick` until every shard has ended: often at first, so that a small capture is not waited for, then 20 times
    /// a second.
    pub fn drive(&self, mut tick: impl FnMut(&Self)) {
        const PAUSE_MAX: Duration = Duration::from_millis(50);
        let mut pause = Duration::from_micros(200);
        while !self.is_finished() {
            tick(self);
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Waits until every shard has ended: when the source has, or after [`stop`](Self::stop).
    ///
    /// # Errors
    /// [`Error::LostShard`]. That a source ended with an error stands in the report.
    pub fn wait(self) -> Result<Report> {
        let report = self.running.wait();
        if let Some(&shard) = report.lost_shards.first() {
            return Err(Error::LostShard(shard));
        }
        Ok(Report {
            shards: report.shards,
            ports: self.ports.figures(),
            error: report.error,
            actor_panics: report.actor_panics,
        })
    }
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    /// By shard.
    pub shards: Vec<ShardReport>,
    /// Final figures of the live ports.
    pub ports: Vec<PortFigures>,
    /// Why the source ended early, where it did. What it gave before was processed.
    pub error: Option<PortError>,
    /// Panics of each actor over all shards, in the order in which the actors were given.
    pub actor_panics: Vec<ActorPanics>,
}

impl Report {
    /// The final figures.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            shards: self
                .shards
                .iter()
                .map(|shard| shard.snapshot.clone())
                .collect(),
            ports: self.ports.clone(),
        }
    }

    /// The report's error, as a result.
    ///
    /// # Errors
    /// [`Error::Port`].
    pub fn into_result(self) -> Result<()> {
        self.error.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Figures of all shards and ports, and their sums.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By shard.
    pub shards: Vec<ShardSnapshot>,
    /// Of the live ports, in the order of the configuration.
    pub ports: Vec<PortFigures>,
}

/// Without ports.
impl From<Vec<ShardSnapshot>> for Snapshot {
    fn from(shards: Vec<ShardSnapshot>) -> Self {
        Self {
            shards,
            ports: Vec::new(),
        }
    }
}

impl Snapshot {
    /// What became of the frames of all ports.
    pub fn ingress(&self) -> IngressCounters {
        self.sum(|shard| shard.ingress)
    }

    /// Frames and packets dropped.
    pub fn drops(&self) -> Drops {
        self.sum(|shard| shard.drops)
    }

    /// What became of the frames of inline ports.
    pub fn wire(&self) -> WireCounters {
        self.sum(|shard| shard.wire)
    }

    /// What all shards did.
    pub fn counters(&self) -> ShardCounters {
        self.sum(|shard| shard.counters)
    }

    /// Events raised, by kind, in the order of [`EventSet::EVENT_NAMES`](mosaic_engine::event::EventSet::EVENT_NAMES).
    pub fn events(&self) -> [u64; EVENTS] {
        let mut sum = [0; EVENTS];
        for shard in &self.shards {
            sum.iter_mut()
                .zip(shard.events)
                .for_each(|(sum, events)| *sum += events);
        }
        sum
    }

    /// Packets for other shards, packets taken in from other shards, packets dropped in between.
    pub fn hand_over(&self) -> HandOver {
        let mut sum = HandOver::default();
        for shard in &self.shards {
            sum.handed_out += shard.handed_out;
            sum.wrong_shard += shard.wrong_shard;
            sum.taken_in += shard.taken_in;
            sum.ring_dropped += shard.ring_dropped;
        }
        sum
    }

    /// Flows in the tables.
    pub fn flows(&self) -> usize {
        self.shards.iter().map(|shard| shard.flows).sum()
    }

    /// Bytes of the sources consumed and in all. `None` where not all sources know.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let known = self.shards.iter().filter_map(|shard| shard.progress);
        known
            .reduce(|(done, total), (more_done, more_total)| (done + more_done, total + more_total))
    }

    /// Whether every frame is accounted for, and every packet between shards: true at rest, that is, once the shards have
    /// ended.
    pub fn is_balanced(&self) -> bool {
        let (ingress, hand_over) = (self.ingress(), self.hand_over());
        let ends = self.counters().consumed
            + ingress.fragments_absorbed
            + self.drops().sum()
            + hand_over.ring_dropped;
        ingress.received_frames == ends
            && self.wire().is_balanced()
            && hand_over.handed_out == hand_over.taken_in + hand_over.ring_dropped
    }

    fn sum<T: Default + std::ops::AddAssign>(&self, part: impl Fn(&ShardSnapshot) -> T) -> T {
        let mut sum = T::default();
        self.shards.iter().for_each(|shard| sum += part(shard));
        sum
    }
}

/// Packets between shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HandOver {
    /// Packets for other shards.
    pub handed_out: u64,
    /// Those of them that a device had promised to bring to the shard that owns their flow.
    pub wrong_shard: u64,
    /// Packets taken in from other shards.
    pub taken_in: u64,
    /// Packets dropped in between.
    pub ring_dropped: u64,
}
