//! Frames in, callbacks out: one shard on the calling thread.

use arrayvec::ArrayVec;
use mosaic_engine::shard::{Shard, ShardConfig};
use mosaic_engine::wire::{Ingress, Parsed, WireConfig};
use mosaic_port::{BURST_MAX, Batch, Timestamp};

use crate::host::{ActorHost, Place};
use crate::plan::check_actors;
use crate::snapshot::ShardSnapshot;
use crate::{ActorSpec, OnPanic, RuntimeError};

/// One shard with its entrance and its actors, driven by the caller: for benches, tests, and as the core of every
/// worker of [`start`](crate::start()).
///
/// Order of calls: [`run_burst`](Self::run_burst) for each burst, [`run_clock`](Self::run_clock) when time passes
/// without packets, [`finish`](Self::finish) once.
#[derive(Debug)]
pub struct LocalShard {
    ingress: Ingress,
    parsed: Parsed,
    shard: Shard,
    host: ActorHost,
    number: u16,
    clock: Timestamp,
    bursts: u64,
    /// Frames without a packet that raw monitors dropped; see `handle_parsed`.
    raw_dropped: u64,
}

impl LocalShard {
    /// A shard whose actors have started. `shard` is taken as it is: its bounds are those of this one shard.
    ///
    /// # Errors
    /// [`RuntimeError::TooManyActors`], and [`RuntimeError::Actor`] where an actor refuses to start.
    pub fn new(
        wire: WireConfig,
        shard: ShardConfig,
        actors: &[ActorSpec],
        on_panic: OnPanic,
    ) -> Result<Self, RuntimeError> {
        check_actors(actors)?;
        let number = shard.shard;
        let place = Place {
            shard: number,
            flows_max: shard.flows_max,
            on_panic,
        };
        let mut host = ActorHost::new(actors, place);
        let mut shard = Shard::new(shard);
        for (id, actor) in host.iter_mut() {
            actor
                .start(&mut shard.start_actor(id))
                .map_err(|source| RuntimeError::Actor {
                    name: actor.name().clone(),
                    shard: number,
                    source,
                })?;
        }
        let ingress = Ingress::new(wire);
        Ok(Self {
            ingress,
            parsed: Parsed::default(),
            shard,
            host,
            number,
            clock: Timestamp::ZERO,
            bursts: 0,
            raw_dropped: 0,
        })
    }

    /// Processes the frames of one burst, whoever owns their flows, and gives them back.
    pub fn run_burst<B: Batch>(&mut self, batch: &mut B) {
        self.watch_burst(batch);
        batch.clear();
    }

    /// The same, but leaves the frames in `batch`, to be sent on by the caller. What actors want dropped or changed is not
    /// carried out.
    pub fn watch_burst<B: Batch>(&mut self, batch: &B) {
        self.parse(batch);
        self.handle_parsed(batch);
    }

    /// Lets time pass without packets: flows whose timeout is over are removed.
    pub fn run_clock(&mut self, now: Timestamp) {
        self.clock = self.clock.max(now);
        self.ingress.run_clock(now);
        self.shard.handle_clock(now, &mut self.host);
    }

    /// Ends every flow, then tells the actors.
    pub fn finish(&mut self) {
        self.end_flows();
        self.finish_actors();
    }

    /// The figures so far.
    pub fn snapshot(&self) -> ShardSnapshot {
        let mut snapshot = ShardSnapshot::default();
        self.fill(&mut snapshot);
        snapshot
    }

    /// Parses the frames of a burst; the packets are in [`parsed_mut`](Self::parsed_mut) afterwards.
    pub(crate) fn parse<B: Batch>(&mut self, batch: &B) {
        self.bursts += 1;
        self.ingress.parse(batch, &mut self.parsed);
        if let Some(last) = self.parsed.packets.last() {
            self.clock = self.clock.max(last.clock);
        }
    }

    /// The burst at hand.
    pub(crate) fn parsed(&self) -> &Parsed {
        &self.parsed
    }

    /// The packets of the burst at hand.
    pub(crate) fn parsed_mut(&mut self) -> &mut Parsed {
        &mut self.parsed
    }

    /// Processes the packets that [`parse`](Self::parse) found in `batch` and nobody took away since.
    /// Returns the packets that are to be dropped, a bit each; frames without a packet are in
    /// [`raw_dropped`](Self::raw_dropped) afterwards.
    pub(crate) fn handle_parsed<B: Batch>(&mut self, batch: &B) -> u64 {
        self.raw_dropped = 0;
        if self.shard.has_raw() {
            self.raw_dropped = self.shard.handle_raw(&self.parsed, batch, &mut self.host);
        }
        if self.parsed.packets.is_empty() {
            // All of the burst went to other shards, or nothing of it was a packet. Time passes here as well.
            self.shard.handle_clock(self.clock, &mut self.host);
            return 0;
        }
        handle(&mut self.shard, &mut self.host, &self.parsed, batch)
    }

    /// The frames without a packet of the last burst that raw monitors dropped, a bit each.
    pub(crate) fn raw_dropped(&self) -> u64 {
        self.raw_dropped
    }

    /// Processes packets that another shard parsed; returns those that are to be dropped, a bit each.
    pub(crate) fn handle_bundle<B: Batch>(&mut self, parsed: &Parsed, batch: &B) -> u64 {
        if let Some(last) = parsed.packets.last() {
            self.clock = self.clock.max(last.clock);
        }
        if self.shard.has_raw() {
            self.shard.handle_raw(parsed, batch, &mut self.host);
        }
        handle(&mut self.shard, &mut self.host, parsed, batch)
    }

    /// Says whether the packets that come next can be sent on.
    #[inline]
    pub(crate) fn set_inline(&mut self, inline: bool) {
        self.shard.set_inline(inline);
    }

    /// The shard, with what it has changed in the last burst.
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// The latest time of any packet parsed or processed here, or told by [`run_clock`](Self::run_clock).
    pub(crate) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// First half of [`finish`](Self::finish): the last deliveries.
    pub(crate) fn end_flows(&mut self) {
        self.shard.finish(&mut self.host);
    }

    /// Ends at most `flows` flows; false where there may be more. A piece of [`end_flows`](Self::end_flows).
    pub(crate) fn end_some_flows(&mut self, flows: usize) -> bool {
        self.shard.finish_some(flows, &mut self.host)
    }

    /// Gives up the datagrams of which fragments are missing.
    pub(crate) fn give_up_fragments(&mut self) {
        self.ingress.give_up_fragments();
    }

    /// Second half of [`finish`](Self::finish).
    pub(crate) fn finish_actors(&mut self) {
        self.host.finish();
    }

    /// Writes the figures it knows into `snapshot`, and leaves the others. Allocates the first time only.
    pub(crate) fn fill(&self, snapshot: &mut ShardSnapshot) {
        snapshot.shard = self.number;
        snapshot.ingress = *self.ingress.counters();
        snapshot.wire.held = self.ingress.held_frames();
        snapshot.wire.dropped_fragments = self.ingress.held_for_nothing();
        snapshot.drops = *self.ingress.drops();
        snapshot.drops += *self.shard.drops();
        snapshot.counters = *self.shard.counters();
        snapshot.events = self.shard.events();
        snapshot.flows = self.shard.flows();
        snapshot.buffered_bytes = self.shard.buffered_bytes();
        snapshot.bursts = self.bursts;
        snapshot.clock = self.clock;
        snapshot.actor_panics.clear();
        snapshot.actor_panics.extend(self.host.panics());
    }
}

fn handle<B: Batch>(shard: &mut Shard, host: &mut ActorHost, parsed: &Parsed, batch: &B) -> u64 {
    let bytes: ArrayVec<&[u8], BURST_MAX> = parsed
        .packets
        .iter()
        .map(|packet| parsed.bytes_of(packet, batch))
        .collect();
    shard.handle_frames(&parsed.packets, &bytes, &parsed.encapsulations, batch, host)
}
