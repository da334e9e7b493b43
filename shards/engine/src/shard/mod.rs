//! The shard.
//!
//! Order of calls: [`Shard::start_actor`] for each actor; [`Shard::handle_burst`] for each burst, [`Shard::handle_clock`]
//! when time passes without packets; [`Shard::finish`] once.

mod burst;
mod changes;
mod commands;
pub mod context;
mod deliver;
pub mod edit;
mod edited;
pub mod facts;
mod figures;
mod hooks;
pub mod inject;
mod learn;
mod lifecycle;
pub mod monitors;
mod plan;
mod quoted;
mod raise;
pub mod raw;
pub mod raw_edits;
mod release;
pub(crate) mod scope;
mod segment;
mod sets;
mod special;
mod streams;
pub mod subscribe;
#[cfg(test)]
mod tests;
pub mod timers;
mod timestamps;
pub mod track;
pub mod translate;
mod unwatched;
mod ways;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use mosaic_port::Timestamp;

use crate::actor::{ActorId, Host, ShardContext};
use crate::counters::Drops;
use crate::event::{EVENTS, EndReason, Event, EventSet, Hook, Side};
use crate::flow::alias::Aliases;
use crate::flow::classes::Classes;
use crate::flow::entry::Flags;
use crate::flow::rss::Owners;
use crate::flow::table::FlowTable;
use crate::flow::wheel::Wheel;
use crate::limits;
pub use crate::stream::OverlapPolicy;
use crate::stream::Stores;
use crate::wire::{Encapsulation, Packet, Transport};
use burst::Burst;
pub(crate) use changes::ARENA;
use changes::Changes;
pub use changes::{Injected, Route};
pub use figures::ShardCounters;
use learn::CONTROL;
use segment::Segment;
use sets::Wanted;

/// How a shard tracks flows.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// Number of this shard, from 0.
    pub shard: u16,
    /// The most flows in its table.
    pub flows_max: usize,
    /// Bytes a side that may wait for its slowest reader.
    pub side_bytes_max: usize,
    /// Bytes a side kept beyond a hole.
    pub out_of_order_bytes_max: usize,
    /// Holes a side waited for at the same time.
    pub holes_max: usize,
    /// Bytes of buffered stream of all flows of this shard.
    pub buffered_bytes_max: usize,
    /// How long a hole covered by an acknowledgment is waited for, in nanoseconds of packet time.
    pub gap_grace_ns: u64,
    /// When a flow counts as over.
    pub timeouts: Timeouts,
    /// Which segments add bytes to a stream.
    pub profile: Profile,
    /// Which copy of a byte counts, where neither a monitor nor a callback says otherwise.
    pub overlap: OverlapPolicy,
    /// Whether a TCP flow may begin with another packet than a SYN.
    pub midstream: bool,
    /// Makes the table's hash unpredictable to senders. Has no influence on events or records.
    pub hash_seed: u64,
    /// Which shard owns which packets; of them, this one is number `shard`.
    pub owners: Owners,
    /// Writes to all memory of the flow table when the shard is made, so that no packet waits for the operating system to
    /// provide a page. Otherwise memory is touched as flows come.
    pub prefault: bool,
}

impl Default for ShardConfig {
    /// One shard with the bounds of [`limits`], for captures.
    fn default() -> Self {
        Self {
            shard: 0,
            flows_max: limits::FLOWS,
            side_bytes_max: limits::SIDE_BYTES,
            out_of_order_bytes_max: limits::OUT_OF_ORDER_BYTES,
            holes_max: limits::HOLES,
            buffered_bytes_max: limits::BUFFERED_BYTES,
            gap_grace_ns: 1_000_000_000,
            timeouts: Timeouts::default(),
            profile: Profile::Record,
            overlap: OverlapPolicy::First,
            midstream: true,
            hash_seed: 0,
            owners: Owners::new(1),
            prefault: false,
        }
    }
}

/// Idle times after which a flow is over, in nanoseconds. `None`: never.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// Handshake not complete.
    pub opening_ns: Option<u64>,
    /// Established; also the timeout of flows that are not TCP, unless `datagram_ns` says otherwise.
    pub established_ns: Option<u64>,
    /// One side has closed.
    pub closing_ns: Option<u64>,
    /// Closed: how long late packets still count with the flow.
    pub closed_ns: Option<u64>,
    /// UDP and other protocols.
    pub datagram_ns: Option<u64>,
}

impl Timeouts {
    /// Every state has no timeout.
    pub const NEVER: Self = Self {
        opening_ns: None,
        established_ns: None,
        closing_ns: None,
        closed_ns: None,
        datagram_ns: None,
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000_000;
        Self {
            opening_ns: Some(30 * SECOND),
            established_ns: Some(300 * SECOND),
            closing_ns: Some(60 * SECOND),
            closed_ns: Some(60 * SECOND),
            datagram_ns: Some(60 * SECOND),
        }
    }
}

/// Which segments may add bytes to a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// What a receiver would accept (RFC 9293, 5961, 7323). For live traffic.
    Receiver,
    /// Whatever was captured at an offset from 0. For captures.
    #[default]
    Record,
}

/// One shard. See the [module](self) for the order of calls.
#[derive(Debug)]
pub struct Shard {
    config: ShardConfig,
    monitors: monitors::Monitors,
    table: FlowTable,
    wheel: Wheel,
    /// Flows by how little they are worth, for the day the table is full.
    classes: Classes,
    timers: timers::Timers,
    tracks: track::Tracks,
    ways: ways::Ways,
    stores: Stores,
    burst: Burst,
    /// Layers around flows, interned; the empty ones first.
    encapsulations: Vec<Encapsulation>,
    encapsulation_ids: BTreeMap<Encapsulation, u16>,
    clock: Timestamp,
    /// The shortest timeout: below it no flow has expired.
    timeout_min_ns: u64,
    counters: ShardCounters,
    events: [u64; EVENTS],
    drops: Drops,
    /// What raw monitors have made of the burst that the flows see next, or have seen last.
    raw: raw_edits::RawStage,
    /// Flows with which something special is done.
    specials: special::Specials,
    /// Flows whose streams are edited.
    edited: edited::EditedFlows,
    /// Further keys of flows.
    aliases: Aliases,
    /// What the callback at work has asked for.
    commands: commands::Commands,
    /// What was changed in the last burst; `None` while one is being processed.
    changes: Option<Box<Changes>>,
    /// Flows below this number have forgotten the monitors that are closing.
    forget_from: u32,
    /// Flows below this number were ended by [`Shard::finish_some`].
    finished_to: u32,
    /// Takes every segment step by step: what the short way is held against.
    #[cfg(test)]
    careful_only: bool,
}

/// How many packets the look-up of flows runs ahead of their processing, so that memory has time to come; and not more, or
/// the first level of cache would lose it again.
const LOOK_UP_AHEAD: usize = 16;
/// The same for what is fetched once the hot part of the flow is there.
const FETCH_AHEAD: usize = 8;

/// What is known of packets before their turn comes.
struct Ahead {
    hashes: [u64; limits::BURST],
    candidates: [Option<u32>; limits::BURST],
    /// Packets so far that probably begin a flow, and flows begun before the burst.
    new: u64,
    begun: u64,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            hashes: [0; limits::BURST],
            candidates: [None; limits::BURST],
            new: 0,
            begun: 0,
        }
    }
}

/// A burst on its way through the shard.
struct Run<'b> {
    packets: &'b [Packet],
    bytes: &'b [&'b [u8]],
    encapsulations: &'b [Encapsulation],
    /// The frames that the packets came in.
    frames: &'b dyn raw::Frames,
    host: &'b mut dyn Host,
    /// Packets that an actor wants dropped: packet `i` has bit `i`.
    dropped: u64,
    /// Those of them that the receiver does not see.
    unseen: u64,
    /// The packet that is on its way through its hooks, and who sent it.
    at_hand: Option<(u8, Side)>,
    /// What may be edited of that packet's stream.
    editing: Option<edited::Editing>,
    changes: Box<Changes>,
}

impl Run<'_> {
    /// Packet `i` as it is now.
    #[inline]
    fn packet(&self, i: usize) -> &Packet {
        self.changes.packet(self.packets, i)
    }

    /// The buffer that a piece of a stream names.
    #[inline]
    fn buffer(&self, packet: u8) -> &[u8] {
        if packet == ARENA {
            self.changes.arena()
        } else {
            self.bytes[usize::from(packet)]
        }
    }

    /// Packet `i` is at hand from now on, which `side` sent.
    #[inline]
    fn hold(&mut self, i: usize, side: Side) {
        // A burst has at most 64 packets.
        self.at_hand = Some((u8::try_from(i).unwrap_or(0), side));
    }

    /// Takes in what a callback has made.
    #[inline]
    fn adopt(&mut self) {
        self.changes.adopt(self.at_hand.map(|(i, _)| i.into()));
    }

    /// Who sent the packet that `hook` shows.
    fn sender(&self, hook: Hook) -> Option<Side> {
        let (_, sender) = self.at_hand.filter(|_| hook != Hook::End)?;
        Some(sender)
    }

    /// Whether an actor wants the packet at hand dropped.
    fn is_dropped(&self) -> bool {
        self.at_hand
            .is_some_and(|(i, _)| self.dropped >> i & 1 == 1)
    }

    /// The packet at hand goes no further.
    fn drop_packet(&mut self) {
        if let Some((i, _)) = self.at_hand {
            self.dropped |= 1 << i;
        }
    }
}

const _: () = assert!(limits::BURST <= 64, "a bit a packet");

impl Shard {
    /// An empty shard.
    pub fn new(config: ShardConfig) -> Self {
        let timeouts = config.timeouts;
        let shortest = [
            timeouts.opening_ns,
            timeouts.established_ns,
            timeouts.closing_ns,
            timeouts.closed_ns,
            timeouts.datagram_ns,
        ];
        let mut table = FlowTable::new(config.flows_max, config.hash_seed);
        let mut wheel = Wheel::new(config.flows_max);
        let classes = Classes::new(unwatched::UNWATCHED_CLASS + 1, config.flows_max);
        if config.prefault {
            table.prefault();
            wheel.prefault();
        }
        Self {
            monitors: monitors::Monitors::new(config.shard),
            raw: raw_edits::RawStage::default(),
            forget_from: 0,
            table,
            wheel,
            classes,
            timers: timers::Timers::default(),
            tracks: track::Tracks::new(config.flows_max),
            ways: ways::Ways::new(config.flows_max),
            stores: Stores::new(config.buffered_bytes_max),
            burst: Burst::default(),
            encapsulations: alloc::vec![Encapsulation::default()],
            encapsulation_ids: BTreeMap::new(),
            clock: Timestamp::ZERO,
            timeout_min_ns: shortest.into_iter().flatten().min().unwrap_or(u64::MAX),
            counters: ShardCounters::default(),
            events: [0; EVENTS],
            drops: Drops::default(),
            specials: special::Specials::new(config.flows_max),
            edited: edited::EditedFlows::default(),
            aliases: Aliases::new(config.flows_max),
            commands: commands::Commands::default(),
            changes: Some(Box::default()),
            finished_to: 0,
            #[cfg(test)]
            careful_only: false,
            config,
        }
    }

    /// What the actor's `start` gets.
    pub fn start_actor(&mut self, actor: ActorId) -> ShardContext<'_> {
        ShardContext {
            shard: self,
            actor,
            hand: None,
        }
    }

    pub(crate) fn monitors_mut(&mut self) -> &mut monitors::Monitors {
        &mut self.monitors
    }

    /// Number of this shard, from 0.
    pub fn number(&self) -> u16 {
        self.config.shard
    }

    /// Processes the packets of one burst; `bytes[i]` is the buffer packet `i` lies in. Returns the packets that an actor
    /// wants dropped: packet `i` has bit `i`.
    ///
    /// # Panics
    /// Where the slices differ in length or are longer than a burst.
    pub fn handle_burst(
        &mut self,
        packets: &[Packet],
        bytes: &[&[u8]],
        encapsulations: &[Encapsulation],
        host: &mut dyn Host,
    ) -> u64 {
        self.handle_frames(packets, bytes, encapsulations, &raw::NoFrames, host)
    }

    /// The same for packets whose frames are at hand: `frames` are the ones that [`Packet::buffer`] numbers. Filters of
    /// monitors on the [outer frame](crate::actor::MonitorBuilder::outer) are asked about them; without frames nothing
    /// passes such a filter.
    ///
    /// # Panics
    /// As [`handle_burst`](Self::handle_burst).
    pub fn handle_frames(
        &mut self,
        packets: &[Packet],
        bytes: &[&[u8]],
        encapsulations: &[Encapsulation],
        frames: &dyn raw::Frames,
        host: &mut dyn Host,
    ) -> u64 {
        assert!(
            packets.len() == bytes.len() && packets.len() <= limits::BURST,
            "a buffer a packet, one burst"
        );
        let seen = (packets, bytes);
        let Some(made) = self.raw.take_changed() else {
            return self.handle_seen(seen, encapsulations, frames, host);
        };
        let dropped = self.handle_as_left(&made, seen, encapsulations, frames, host);
        self.raw.put_back(made);
        dropped
    }

    /// The packets of a burst, as raw monitors have left them.
    fn handle_seen(
        &mut self,
        (packets, bytes): (&[Packet], &[&[u8]]),
        encapsulations: &[Encapsulation],
        frames: &dyn raw::Frames,
        host: &mut dyn Host,
    ) -> u64 {
        let mut run = self.run(packets, bytes, encapsulations, host);
        run.frames = frames;
        run.dropped = core::mem::take(&mut self.raw.dropped);
        run.unseen = core::mem::take(&mut self.raw.unseen);
        let mut ahead = Ahead {
            begun: self.counters.flows_started,
            ..Ahead::default()
        };
        for (packet, hash) in packets.iter().zip(&mut ahead.hashes) {
            *hash = self.table.hash(&packet.key);
            self.table.prefetch_index(*hash);
        }
        for i in 0..packets.len() + LOOK_UP_AHEAD {
            if i < packets.len() {
                ahead.candidates[i] = self.table.candidate(ahead.hashes[i]);
            }
            if let Some(i) = i.checked_sub(LOOK_UP_AHEAD - FETCH_AHEAD)
                && i < packets.len()
            {
                match ahead.candidates[i] {
                    Some(number) => self.prefetch_rare(&packets[i], number),
                    None => self.prefetch_new(&mut ahead),
                }
            }
            if let Some(i) = i.checked_sub(LOOK_UP_AHEAD) {
                if run.unseen >> i & 1 == 0 {
                    self.handle_packet(&mut run, i, ahead.hashes[i], ahead.candidates[i]);
                } else {
                    self.pass_over(&run.packets[i]);
                }
            }
        }
        self.end_burst(&mut run);
        let dropped = run.dropped;
        self.changes = Some(run.changes);
        dropped
    }

    /// What works on packets carries along.
    fn run<'b>(
        &mut self,
        packets: &'b [Packet],
        bytes: &'b [&'b [u8]],
        encapsulations: &'b [Encapsulation],
        host: &'b mut dyn Host,
    ) -> Run<'b> {
        self.raw.pass_on();
        let mut changes = self.changes.take().unwrap_or_default();
        changes.clear();
        Run {
            packets,
            bytes,
            encapsulations,
            frames: &raw::NoFrames,
            host,
            dropped: 0,
            unseen: 0,
            at_hand: None,
            editing: None,
            changes,
        }
    }

    /// Fetches what the first packet of a flow will touch.
    #[inline]
    fn prefetch_new(&self, ahead: &mut Ahead) {
        let begun = self.counters.flows_started - ahead.begun;
        let number = self.table.prefetch_new(ahead.new.saturating_sub(begun));
        self.wheel.prefetch(number);
        ahead.new += 1;
    }

    /// Fetches what a packet that is not ordinary will touch besides the hot part of its flow.
    #[inline]
    fn prefetch_rare(&self, packet: &Packet, number: u32) {
        let hot = self.table.hot(number);
        if hot.set == monitors::UNWATCHED {
            return;
        }
        let changes_class = begins_or_ends(packet);
        if changes_class || !hot.is_ordinary() {
            self.table.prefetch_cold(number);
        }
        if self.config.profile == Profile::Receiver {
            self.table.prefetch_troubles(number);
        }
        if changes_class {
            self.classes
                .prefetch(lifecycle::Class::Closed as usize, number);
        }
    }

    /// Lets time pass: flows whose timeout is over are removed, a bounded number of them a call.
    pub fn handle_clock(&mut self, now: Timestamp, host: &mut dyn Host) {
        self.clock = self.clock.max(now);
        let mut run = self.run(&[], &[], &[], host);
        self.end_of_time(&mut run);
        self.changes = Some(run.changes);
    }

    /// Ends and removes every flow.
    pub fn finish(&mut self, host: &mut dyn Host) {
        self.finished_to = 0;
        self.finish_some(usize::MAX, host);
    }

    /// Ends and removes at most `flows` flows; false where there may be more. For a shard that has other things to do meanwhile.
    pub fn finish_some(&mut self, flows: usize, host: &mut dyn Host) -> bool {
        let mut run = self.run(&[], &[], &[], host);
        let mut ended = false;
        for _ in 0..flows {
            let Some(number) = self.table.first_from(self.finished_to) else {
                self.finished_to = 0;
                ended = true;
                break;
            };
            self.finished_to = number + 1;
            // The wheel may not have come to it yet: the reason must not depend on that.
            let reason = if self.has_expired(number, self.clock) {
                EndReason::Timeout
            } else {
                EndReason::SourceEnd
            };
            self.remove(&mut run, number, reason);
            self.burst.clear();
        }
        self.changes = Some(run.changes);
        ended
    }

    /// Flows in the table.
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory in use for stream buffers.
    pub fn buffered_bytes(&self) -> usize {
        self.stores.blocks.used_bytes()
    }

    /// What was done so far.
    pub fn counters(&self) -> &ShardCounters {
        &self.counters
    }

    /// Sets of subscriptions in use, or kept for flows that come back to them.
    pub fn subscription_sets(&self) -> usize {
        self.monitors.set_count()
    }

    /// Packets dropped so far, by reason.
    pub fn drops(&self) -> &Drops {
        &self.drops
    }

    /// Events raised so far, by kind, in the order of [`EventSet::EVENT_NAMES`](crate::event::EventSet::EVENT_NAMES);
    /// one for each event that happened, whoever listens.
    pub fn events(&self) -> [u64; EVENTS] {
        let mut events = self.events;
        let packet_in = EventSet::PACKET_IN.bits().trailing_zeros() as usize;
        events[packet_in] = self.counters.consumed - self.counters.orphans;
        events
    }

    /// One packet: find or begin its flow, count it, move the emulation on.
    #[inline]
    fn handle_packet(&mut self, run: &mut Run<'_>, i: usize, hash: u64, candidate: Option<u32>) {
        let packet = &run.packets[i];
        self.clock = self.clock.max(packet.clock);
        self.counters.packets += 1;
        if matches!(packet.transport, Transport::Other)
            && !self.specials.is_empty()
            && self.take_error(run, i)
        {
            return;
        }
        let packet = &run.packets[i];
        self.counters.consumed += 1;
        self.counters.ip_bytes += u64::from(packet.ip_len);
        let found = match self.table.find(&packet.key, hash, candidate) {
            None if !self.aliases.is_empty() => self.find_translated(run, i, hash),
            found => found,
        };
        let packet = run.packet(i);
        let (number, packet) = match found {
            Some(number) if !self.is_over_for(number, packet) => (number, packet),
            _ => match self.begin(run, i, hash, found) {
                Some(number) => (number, run.packet(i)),
                None => return,
            },
        };
        let (side, set, flags) = self.count(number, packet);
        if set == monitors::UNWATCHED {
            self.handle_unwatched(number, side, packet);
            if self.monitors.left_out != 0 {
                self.show_left_out(run, i);
            }
            return;
        }
        if matches!(packet.transport, Transport::Tcp { .. }) {
            self.counters.payload_bytes += u64::from(packet.payload_len);
        }
        if flags.contains(Flags::SPECIAL) && self.enter_special(run, i, number, side) {
            return;
        }
        match Segment::of(run, i) {
            None => self.handle_datagram(run, i, number, side),
            Some(segment) => {
                if !self.handle_ordinary(run, i, number, (side, &segment)) {
                    self.handle_careful(run, i, number, &segment);
                }
            }
        }
        if self.is_special(number) {
            self.leave_special(run, i, number);
        }
    }

    /// Counts a packet with its flow, and tells who sent it, and the set and the flags of the flow.
    #[inline]
    fn count(&mut self, number: u32, packet: &Packet) -> (Side, u16, Flags) {
        let hot = self.table.hot_mut(number);
        let side = hot.side_of(packet.direction);
        hot.clock = packet.clock;
        hot.last = hot.last.max(packet.timestamp);
        let half = hot.half_mut(side);
        let (packets, packets_carry) = half.packets.overflowing_add(1);
        let (header_bytes, header_carry) = half
            .header_bytes
            .overflowing_add(packet.ip_len - packet.payload_len);
        (half.packets, half.header_bytes) = (packets, header_bytes);
        let (set, flags) = (hot.set, hot.flags);
        if packets_carry || header_carry {
            let trouble = self.table.cold_mut(number).trouble_mut(side);
            trouble.packets_carry += u8::from(packets_carry);
            trouble.header_bytes_carry += u8::from(header_carry);
        }
        (side, set, flags)
    }

    /// A packet of a flow that is not TCP.
    fn handle_datagram(&mut self, run: &mut Run<'_>, i: usize, number: u32, side: Side) {
        self.table.hot_mut(number).half_mut(side).next += u64::from(run.packets[i].payload_len);
        let wanted = self.wanted(number);
        if wanted.contains(Wanted::FACTS) {
            self.track(number, side, &run.packets[i], run.bytes[i]);
        }
        if !self.ways.are_unused() {
            self.note_way(run, i, number);
        }
        if !wanted.is_empty() || self.burst.has_pending() {
            self.take_in_hand(run, (i, side), number);
            self.hook(run, number, Hook::Send);
            if run.unseen >> i & 1 == 0 {
                self.hook(run, number, Hook::Receive);
            } else {
                self.burst.forget_pending();
            }
            run.at_hand = None;
        }
    }

    /// Counts an event, shows it to those who asked for it at `hook`, and keeps it for those who asked for it at the end of
    /// the burst.
    #[inline]
    fn raise(&mut self, run: &mut Run<'_>, slot: u8, event: Event, hook: Hook) {
        self.count_event(event);
        let flow = self.burst.actives[usize::from(slot)].flow;
        let asked = &self.monitors.set(self.table.hot(flow).set).events;
        if (asked[hook as usize] | asked[Hook::End as usize]).contains(event.set()) {
            self.raise_to_some(run, slot, event, hook);
        }
    }

    /// The same for an event that the hook shows after the packet.
    #[inline]
    fn raise_with_packet(&mut self, (flow, slot): (u32, u8), event: Event, hook: Hook) {
        self.count_event(event);
        let set = self.monitors.set(self.table.hot(flow).set);
        if set.shows_early() || set.events[Hook::End as usize].contains(event.set()) {
            self.keep_with_packet((flow, slot), event, hook);
        }
    }

    #[inline(never)]
    fn keep_with_packet(&mut self, (flow, slot): (u32, u8), event: Event, hook: Hook) {
        if self.monitors.set(self.table.hot(flow).set).shows_early() {
            self.burst.hold(event, hook);
        }
        self.queue((flow, slot), event);
    }

    /// Keeps an event for those who asked for it at the end of the burst, as they have by now.
    fn queue(&mut self, (flow, slot): (u32, u8), event: Event) {
        let id = self.table.hot(flow).set;
        if self.monitors.set(id).events[Hook::End as usize].contains(event.set()) {
            let asked = self.monitors.asking_at_end(id, event);
            self.burst.queue(slot, event, asked);
        }
    }

    #[inline(never)]
    fn raise_to_some(&mut self, run: &mut Run<'_>, slot: u8, event: Event, hook: Hook) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        self.queue((flow, slot), event);
        self.show(run, slot, event, hook);
    }
}

/// Whether a packet is of the kind that moves a connection from one state to another.
#[inline]
fn begins_or_ends(packet: &Packet) -> bool {
    match packet.transport {
        Transport::Tcp { flags, .. } => flags.intersects(CONTROL),
        Transport::Other => false,
    }
}
