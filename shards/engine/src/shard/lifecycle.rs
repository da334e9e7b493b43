//! How flows begin, grow old and leave.

use super::commands::Commands;
use super::context::ClientBy;
use super::monitors::members;
use super::sets::{EMPTY, Full, Wanted};
use super::unwatched::UNWATCHED_CLASS;
use super::{Run, Shard};
use crate::actor::ActorId;
use crate::event::{EndReason, Event, Hook, Side};
use crate::flow::entry::{Cold, Flags, Hot, NONE};
use crate::flow::{Direction, Proto};
use crate::limits;
use crate::tcp::State;
use crate::wire::{Encapsulation, Packet, TcpFlags, Transport};
use mosaic_port::Timestamp;

/// Flows that may be reclaimed in one go, so that a mass expiry is no pause.
const RECLAIM_MAX: usize = 256;

/// How far a flow has come; decides its timeout, and which go first when the table is full: in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Class {
    /// TCP, handshake not complete.
    Opening,
    /// TCP, closed: late packets only.
    Closed,
    /// TCP, one side has closed.
    Closing,
    /// Not TCP.
    Datagram,
    /// TCP, open.
    Established,
}

impl Class {
    pub(super) const COUNT: usize = 5;
    /// From the least to the most valuable.
    const ALL: [Self; Self::COUNT] = [
        Self::Opening,
        Self::Closed,
        Self::Closing,
        Self::Datagram,
        Self::Established,
    ];

    #[inline]
    pub(super) fn of(hot: &Hot) -> Self {
        if !hot.is_tcp() {
            Self::Datagram
        } else if hot.flags.contains(Flags::CLOSED) {
            Self::Closed
        } else if hot.states == [State::Established; 2] {
            Self::Established
        } else if hot.flags.contains(Flags::ESTABLISHED) {
            Self::Closing
        } else {
            Self::Opening
        }
    }
}

impl Shard {
    /// Whether `packet` can no longer belong to the flow that has its key: the flow has expired, or the packet opens the
    /// connection anew.
    #[inline]
    pub(super) fn is_over_for(&self, number: u32, packet: &Packet) -> bool {
        self.has_expired(number, packet.clock) || is_opening(packet) && self.reopens(number, packet)
    }

    /// Whether a flow was idle for longer than its state allows.
    #[inline]
    pub(super) fn has_expired(&self, number: u32, clock: Timestamp) -> bool {
        let idle = clock
            .as_nanos()
            .saturating_sub(self.table.hot(number).clock.as_nanos());
        idle > self.timeout_min_ns
            && self
                .timeout_ns(Class::of(self.table.hot(number)))
                .is_some_and(|limit| idle > limit)
    }

    /// Whether a SYN begins another connection: its number is not the one its sender began this connection with, or that
    /// connection has come to its end.
    fn reopens(&self, number: u32, packet: &Packet) -> bool {
        let Transport::Tcp { seq, .. } = packet.transport else {
            return false;
        };
        if self.is_unwatched(number) {
            return self.reopens_unwatched(number, packet, seq);
        }
        let (hot, cold) = (self.table.hot(number), self.table.cold(number));
        let rare = cold.half(hot.side_of(packet.direction));
        rare.isn_known && rare.isn.0 != seq
    }

    pub(super) fn timeout_ns(&self, class: Class) -> Option<u64> {
        let timeouts = &self.config.timeouts;
        match class {
            Class::Opening => timeouts.opening_ns,
            Class::Established => timeouts.established_ns,
            Class::Closing => timeouts.closing_ns,
            Class::Closed => timeouts.closed_ns,
            Class::Datagram => timeouts.datagram_ns,
        }
    }

    /// Begins the flow of packet `i`, in the place of `old` if that is over. `None` where the packet begins none.
    #[inline(never)]
    pub(super) fn begin(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        hash: u64,
        old: Option<u32>,
    ) -> Option<u32> {
        let packet = run.packets[i];
        let packet = &packet;
        if let Some(old) = old {
            self.remove_before(run, old, packet);
        }
        if let Transport::Tcp { flags, .. } = packet.transport
            && !flags.contains(TcpFlags::SYN)
            && !self.config.midstream
        {
            self.counters.orphans += 1;
            self.show_orphan(run, i);
            return None;
        }
        if self.table.is_full() {
            self.evict(run);
        }
        let mask = self.matching_monitors(run, i);
        let (hot, mut cold) = first_state(packet);
        let Some(mask) = mask else {
            return Some(self.begin_unwatched(packet, hash, hot));
        };
        cold.encapsulation =
            self.intern_encapsulation(&run.encapsulations[usize::from(packet.encapsulation)]);
        cold.attached = mask;
        cold.overlaps = self.monitors.overlaps(mask);
        let class = Class::of(&hot);
        cold.class = class as u8;
        // Where no set is left, nobody hears of the flow.
        let set = self.monitors.begin(mask).unwrap_or_else(|Full| {
            cold.attached = 0;
            self.monitors.take(EMPTY);
            EMPTY
        });
        let mask = cold.attached;
        let number = self.table.insert(hash, hot, cold);
        self.table.hot_mut(number).set = set;
        self.begin_asked(number, set, mask);
        self.classes.insert(class as usize, number);
        self.watch(number, packet.clock, self.timeout_ns(class));
        self.counters.flows_started += 1;
        if matches!(packet.transport, Transport::Tcp { .. }) && self.monitors.edits(mask) {
            let place = self.edited.take(self.config.flows_max);
            self.make_special(number, |special| special.edited = Some(place));
        }
        if mask == 0 {
            self.count_event(Event::ConnStart);
        } else {
            let slot = self.activate(number, packet.timestamp);
            self.raise_with_packet((number, slot), Event::ConnStart, Hook::Send);
            if self.monitors.set(set).shows_early() {
                self.burst.hold(Event::ConnStart, Hook::Receive);
            }
        }
        Some(number)
    }

    /// Begins what is kept of a flow where its monitors, those in `mask`, asked for it.
    fn begin_asked(&mut self, number: u32, set: u16, mask: u16) {
        if self.monitors.set(set).wanted.contains(Wanted::FACTS) {
            self.tracks.begin(number);
        }
        if self.monitors.injects & mask != 0 {
            self.ways.begin(number);
        }
    }

    /// The stream monitors whose filters packet `i`, the opening one, passes, a bit each. A midstream flow passes also with
    /// its first packet turned round, since nobody knows who opened it. `None` where there are monitors and it passes none.
    fn matching_monitors(&mut self, run: &Run<'_>, i: usize) -> Option<u16> {
        let (packet, bytes) = (&run.packets[i], run.bytes[i]);
        let ip = &bytes[packet.ip_at as usize..];
        let guessed = !is_opening(packet);
        let mut turned = None;
        let (mut mask, mut asked) = (0, false);
        let stream = self.monitors.iter().filter(|(_, all)| !all.ask.is_raw());
        for (id, monitor) in stream {
            let passes = monitor.scope.packet.as_ref().is_none_or(|filter| {
                filter.matches(ip, packet.ip_len)
                    || guessed && {
                        let turned = turned.get_or_insert_with(|| turned_round(packet, bytes));
                        filter.matches(turned, packet.ip_len)
                    }
            });
            let frame = || run.frames.frame(packet.buffer.frame());
            let passes = passes && monitor.scope.frame_passes(frame, &mut self.counters);
            mask |= u16::from(passes) << id;
            asked = true;
        }
        (mask != 0 || !asked).then_some(mask)
    }

    fn intern_encapsulation(&mut self, layers: &Encapsulation) -> u16 {
        if layers.layers.is_empty() {
            return 0;
        }
        if let Some(id) = self.encapsulation_ids.get(layers) {
            return *id;
        }
        match u16::try_from(self.encapsulations.len()) {
            Ok(id) if self.encapsulations.len() < limits::ENCAPSULATIONS => {
                self.encapsulations.push(layers.clone());
                self.encapsulation_ids.insert(layers.clone(), id);
                id
            }
            _ => {
                self.counters.bounds_hit += 1;
                0
            }
        }
    }

    /// Moves a flow whose state has changed to where such flows are kept.
    #[inline]
    pub(super) fn reclassify(&mut self, number: u32) {
        let (hot, cold) = self.table.both_mut(number);
        let class = Class::of(hot);
        if cold.class != class as u8 {
            let old = core::mem::replace(&mut cold.class, class as u8);
            self.classes.remove(usize::from(old), number);
            self.classes.insert(class as usize, number);
        }
    }

    /// Closes a flow whose two ends expect nothing more.
    pub(super) fn close_if_over(&mut self, number: u32, by_reset: bool) {
        let (hot, cold) = self.table.both_mut(number);
        if hot.flags.contains(Flags::CLOSED) || !hot.states.iter().all(|state| state.is_over()) {
            return;
        }
        hot.flags.insert(Flags::CLOSED | Flags::CAREFUL);
        cold.end = Some(if by_reset {
            EndReason::Reset
        } else {
            EndReason::Fin
        });
    }

    /// Has the wheel look at a flow that was used at `clock` and has `timeout`, when that is over or earlier: after the
    /// shortest of all timeouts its state may be another. So nothing is to be done when the state changes.
    pub(super) fn watch(&mut self, number: u32, clock: Timestamp, timeout: Option<u64>) {
        if self.timeout_min_ns == u64::MAX {
            return;
        }
        let due = clock.saturating_add_nanos(timeout.unwrap_or(u64::MAX));
        let look = clock.max(self.clock);
        let look = look.saturating_add_nanos(self.timeout_min_ns);
        self.wheel.set(number, due.min(look));
    }

    /// Makes room in a full table: of the least valuable flows, one that has been there for long goes; first those that
    /// nobody watches.
    fn evict(&mut self, run: &mut Run<'_>) {
        let victim = core::iter::once(UNWATCHED_CLASS)
            .chain(Class::ALL.into_iter().map(|class| class as usize))
            .find_map(|class| self.classes.victim(class));
        if let Some(number) = victim {
            self.counters.flows_evicted += 1;
            self.counters.bounds_hit += 1;
            self.remove(run, number, EndReason::Evicted);
        }
    }

    /// Removes flows whose timeout is over by the shard's clock.
    pub(super) fn reclaim(&mut self, run: &mut Run<'_>) {
        for _ in 0..RECLAIM_MAX {
            let Some(number) = self.wheel.fire(self.clock) else {
                return;
            };
            if self.has_expired(number, self.clock) {
                self.remove(run, number, EndReason::Timeout);
                self.burst.clear();
            } else {
                let hot = self.table.hot(number);
                let (clock, timeout) = (hot.clock, self.timeout_ns(Class::of(hot)));
                self.watch(number, clock, timeout);
            }
        }
    }

    /// Removes a flow that is [over](Self::is_over_for) for `packet`.
    pub(super) fn remove_before(&mut self, run: &mut Run<'_>, number: u32, packet: &Packet) {
        let reason = if self.has_expired(number, packet.clock) {
            EndReason::Timeout
        } else {
            EndReason::Reopened
        };
        self.remove(run, number, reason);
    }

    /// Ends a flow, if it has not ended by itself, tells those concerned, and takes it out of the table.
    pub(super) fn remove(&mut self, run: &mut Run<'_>, number: u32, reason: EndReason) {
        if self.is_unwatched(number) {
            return self.remove_unwatched(number, reason);
        }
        // No packet of it is at hand.
        let hand = run.at_hand.take();
        if self.is_special(number) {
            self.release_all(run, number);
        }
        let (hot, cold) = self.table.both_mut(number);
        if !hot.flags.contains(Flags::CLOSED) {
            hot.flags.insert(Flags::CLOSED | Flags::CAREFUL);
            cold.end = Some(reason);
        }
        let last = hot.last;
        let slot = self.activate(number, last);
        self.release_waiting(run, slot);
        self.flush(run, slot);
        if !self.has_ended(number) {
            self.raise_end(run, slot);
        }
        self.tell_removed(run, slot);
        self.burst.actives[usize::from(slot)].flow = NONE;

        for side in Side::BOTH {
            self.drop_store(number, side);
        }
        self.forget_special(number);
        self.ways.forget(number);
        self.timers.drop_of(number, None);
        self.wheel.cancel(number);
        self.monitors.give(self.table.hot(number).set);
        self.classes
            .remove(usize::from(self.table.cold(number).class), number);
        self.table.remove(number);
        run.at_hand = hand;
        self.counters.flows_removed += 1;
    }

    /// The last call for a flow: once an actor that has a monitor. The others' state of it goes unseen.
    fn tell_removed(&mut self, run: &mut Run<'_>, slot: u8) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let attached = self.table.cold(flow).attached;
        let mut told = arrayvec::ArrayVec::<ActorId, { limits::MONITORS }>::new();
        for monitor in members(attached) {
            let actor = self.monitors.actor(monitor);
            if self.monitors.get(monitor).is_some() && !told.contains(&actor) {
                told.push(actor);
                let (host, mut context) = self.context(run, flow, monitor, Hook::End);
                context.shard.commands.leaves = true;
                host.on_removed(actor, &mut context);
                run.adopt();
                self.commands = Commands::default();
            }
        }
        for monitor in members(attached & self.monitors.forgotten_soon()) {
            let actor = self.monitors.actor(monitor);
            if !told.contains(&actor) {
                told.push(actor);
                run.host.forget(actor, flow);
            }
        }
    }
}

/// Whether a packet is a SYN without ACK.
#[inline]
pub(super) fn is_opening(packet: &Packet) -> bool {
    matches!(packet.transport, Transport::Tcp { flags, .. } if flags.intersection(TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN)
}

/// The flow that `packet` begins, before that packet is counted.
fn first_state(packet: &Packet) -> (Hot, Cold) {
    let (mut hot, mut cold) = (Hot::fresh(packet.key), Cold::fresh());
    let mut from_client = true;
    if let Transport::Tcp { flags, .. } = packet.transport {
        (cold.client_by, hot.states) = if is_opening(packet) {
            (ClientBy::Syn, [State::Closed, State::Listen])
        } else if flags.contains(TcpFlags::SYN) {
            from_client = false;
            (ClientBy::SynAck, [State::SynSent, State::Listen])
        } else {
            // A stray RST says nothing about what it ended: see `Shard::pick_up`.
            (ClientBy::FirstPacket, [State::Closed; 2])
        };
    }
    let from_upper = packet.direction == Direction::Down;
    hot.flags
        .set(Flags::CLIENT_UPPER, from_upper == from_client);
    hot.clock = packet.clock;
    hot.last = packet.timestamp;
    cold.first = packet.timestamp;
    (hot, cold)
}

/// The headers of a packet with source and destination exchanged.
fn turned_round(packet: &Packet, bytes: &[u8]) -> arrayvec::ArrayVec<u8, 256> {
    let ip = &bytes[packet.ip_at as usize..];
    let mut turned: arrayvec::ArrayVec<u8, 256> = ip.iter().copied().take(256).collect();
    let (addresses_at, address_len) = if packet.key.is_v6() { (8, 16) } else { (12, 4) };
    if let Some(addresses) = turned.get_mut(addresses_at..addresses_at + 2 * address_len) {
        addresses.rotate_left(address_len);
    }
    let has_ports = matches!(packet.key.proto(), Proto::TCP | Proto::UDP | Proto::SCTP);
    let ports_at = packet.transport_at.saturating_sub(packet.ip_at) as usize;
    if let Some(ports) = turned.get_mut(ports_at..ports_at + 4).filter(|_| has_ports) {
        ports.rotate_left(2);
    }
    turned
}
