//! One TCP segment: the emulated sender first, then the emulated receiver.

use super::learn::{
    CONTROL, ORDINARY, count_bits, highest, is_beyond_window, judge, learn, learn_acknowledgment,
    note_kinds, options_of, pick_up,
};
use super::sets::{Change, Wanted};
use super::streams::Piece;
use super::timestamps::{is_old, lone_timestamps};
use super::track::time_handshake;
use super::{ARENA, Profile, Run, Shard};
use crate::event::{Event, Hook, RetransmissionKind, Side, StreamError};
use crate::flow::entry::{Flags, UNKNOWN};
use crate::stream::BurstSegment;
use crate::tcp::{Input, Judged, Seq, State};
use crate::wire::{Packet, TcpFlags, Transport};
use mosaic_port::Timestamp;

/// A TCP segment, as far as the emulation looks at it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
    /// Payload bytes by the headers.
    pub(super) len: u32,
    /// Payload bytes captured.
    captured: u32,
    /// Index of the buffer it lies in, as in [`BurstSegment::packet`].
    buffer: u8,
    /// Where the payload begins in the buffer.
    at: u32,
}

impl Segment {
    /// That of packet `i` as it is now.
    #[inline]
    pub(super) fn of(run: &Run<'_>, i: usize) -> Option<Self> {
        let (packet, (buffer, at)) = run.changes.find(run.packets, i);
        let Transport::Tcp {
            seq,
            ack,
            window,
            flags,
            ..
        } = packet.transport
        else {
            return None;
        };
        let (len, captured) = (packet.payload_len, packet.payload_captured);
        Some(Self {
            seq: Seq(seq),
            ack: Seq(ack),
            flags,
            window,
            len,
            captured,
            buffer,
            at,
        })
    }

    pub(super) fn is(&self, flags: TcpFlags) -> bool {
        self.flags.contains(flags)
    }

    /// Whether a receiver that goes by `profile` takes nothing of it where it is not acceptable.
    fn is_refusable(&self, profile: Profile) -> bool {
        profile == Profile::Receiver || self.is(TcpFlags::RST)
    }

    fn opens(&self) -> bool {
        self.is(TcpFlags::SYN) && !self.is(TcpFlags::ACK)
    }

    /// Sequence number of the first payload byte.
    fn data_seq(&self) -> Seq {
        self.seq.plus(u32::from(self.is(TcpFlags::SYN)))
    }
}

impl Shard {
    /// The ordinary segment of an open connection: acknowledges, and brings the next bytes in order or none at all. Returns
    /// false, with nothing changed, where the segment is of another kind.
    #[inline]
    pub(super) fn handle_ordinary(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        number: u32,
        (side, segment): (Side, &Segment),
    ) -> bool {
        let packet = &run.packets[i];
        let hot = self.table.hot(number);
        let half = hot.half(side);
        let known = Flags::of(Flags::BASE, side) | Flags::of(Flags::ACKED, side);
        let ordinary = segment.flags.difference(ORDINARY) == TcpFlags::ACK
            && hot.flags.contains(known)
            && !hot.flags.intersects(Flags::CAREFUL)
            && hot.states == [State::Established; 2]
            && segment.seq == half.base.at_offset(half.next)
            && segment.captured == segment.len
            && segment.window != 0
            && !(segment.len == 0 && is_beyond_window(hot, side, segment.seq));
        #[cfg(test)]
        let ordinary = ordinary && !self.careful_only;
        if !ordinary
            || self.config.profile == Profile::Receiver
                && !self.takes_timestamp(packet, run.bytes[i], number, (side, segment))
        {
            return false;
        }
        let mut wanted = self.wanted(number);
        let is_shown = !wanted.is_empty();
        if is_shown {
            if wanted.contains(Wanted::FACTS) {
                self.track(number, side, packet, run.bytes[i]);
            }
            self.take_in_hand(run, (i, side), number);
            // Nothing waits for a hook: what ordinary segments raise, they raise at the end of the burst.
            if wanted.contains(Wanted::AT_SEND) {
                let versions = run.changes.versions();
                self.show_packet(run, number, Hook::Send);
                if run.changes.versions() != versions || run.unseen >> i & 1 != 0 {
                    self.receive_changed(run, i, number, (side, segment));
                    return true;
                }
                wanted = self.wanted(number);
            }
        }
        self.take_ordinary(i, (number, packet.timestamp), (side, segment));
        if is_shown {
            if wanted.contains(Wanted::AT_RECEIVE) {
                self.show_packet(run, number, Hook::Receive);
            }
            run.at_hand = None;
        }
        true
    }

    /// Whether the timestamp of a segment that is ordinary otherwise lets a receiver take it; if so, it is noted.
    /// Comes to the same result as [`judge`](Self::judge), or leaves the segment to that.
    fn takes_timestamp(
        &mut self,
        packet: &Packet,
        bytes: &[u8],
        number: u32,
        (side, segment): (Side, &Segment),
    ) -> bool {
        if matches!(packet.transport, Transport::Tcp { options_len: 0, .. }) {
            return true;
        }
        let Some(timestamps) = lone_timestamps(packet, bytes) else {
            return false;
        };
        !is_old(self.table.cold_mut(number), side, segment, timestamps)
    }

    #[inline]
    fn take_ordinary(
        &mut self,
        i: usize,
        (number, now): (u32, Timestamp),
        (side, segment): (Side, &Segment),
    ) {
        let (hot, cold) = self.table.both_mut(number);
        let scale = hot.scale(side);
        let half = hot.half_mut(side);
        half.acked = half.acked.max(segment.ack);
        let edge = segment.ack.plus(u32::from(segment.window) << scale);
        let (seen, letter) = if segment.len == 0 {
            (Flags::SENT_ACK, 'A')
        } else {
            (Flags::SENT_DATA, 'D')
        };
        let first = !hot.has(seen, side);
        hot.flags.insert(Flags::of(seen, side));
        hot.window_edge[side as usize] = hot.window_edge[side as usize].max(edge);
        if first {
            cold.note(side, letter);
        }
        if segment.len == 0 {
            return;
        }
        let set = self.monitors.set(hot.set);
        if set.keeps_bytes(side) {
            let slot = self.activate(number, now);
            self.burst.note_packet(slot, i, side);
            self.grow(slot, side);
            let segment = BurstSegment {
                offset: self.table.hot(number).half(side).next,
                packet: segment.buffer,
                next: u16::MAX,
                at: segment.at,
                len: segment.len,
            };
            self.burst.push_segment(slot, side as usize, segment);
        } else if set.mask != 0 {
            self.grow_unread(number, side, now);
        }
        self.counters.stream_bytes += u64::from(segment.len);
        self.table.hot_mut(number).half_mut(side).next += u64::from(segment.len);
    }

    /// Any segment, step by step.
    #[inline(never)]
    pub(super) fn handle_careful(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        number: u32,
        segment: &Segment,
    ) {
        let packet = run.packet(i);
        let slot = self.activate(number, packet.timestamp);
        let options = options_of(packet, run.changes.bytes(run.bytes, i));
        if segment.opens() {
            self.turn_if_opener_was_guessed(number, slot, packet);
        }
        let (hot, cold) = self.table.both_mut(number);
        if !segment.opens() {
            pick_up(hot, segment);
        }
        let side = hot.side_of(packet.direction);
        learn(hot, cold, side, segment, &options);
        let round_trip = time_handshake(hot, cold, side, packet);
        let rare = cold.half_mut(side);
        rare.payload_adjust = rare.payload_adjust.wrapping_add(u64::from(segment.len));
        let profile = self.config.profile;
        let judged = judge(profile, hot, cold, side, (segment, &options));
        let refused = judged != Judged::Acceptable && segment.is_refusable(profile);
        if self.monitors.set(hot.set).wanted.contains(Wanted::FACTS) {
            self.note_round_trip(number, side, round_trip);
            self.track(number, side, packet, run.changes.bytes(run.bytes, i));
        }
        if !self.ways.are_unused() {
            self.note_way(run, i, number);
        }

        self.burst
            .note_packet(slot, i, run.changes.notes.came_from(side));
        run.hold(i, side);
        self.count_control(run, (number, slot), side, segment);
        if !refused {
            self.update_sender((number, slot), side, segment);
        }
        self.hook(run, number, Hook::Send);
        if judged != Judged::Acceptable {
            self.note_invalid(run, slot, side);
        }
        self.receive(run, i, (number, slot), side, segment, refused);
    }

    /// An ordinary segment that was changed at [`Hook::Send`], or is not to be seen by its receiver: `as_sent` is what it was.
    #[cold]
    fn receive_changed(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        number: u32,
        (side, as_sent): (Side, &Segment),
    ) {
        let slot = self.slot_at_hand(run, number);
        let rare = self.table.cold_mut(number).half_mut(side);
        rare.payload_adjust = rare.payload_adjust.wrapping_add(u64::from(as_sent.len));
        self.count_control(run, (number, slot), side, as_sent);
        self.receive(run, i, (number, slot), side, as_sent, false);
    }

    /// The receiver's part of a segment: what it says after [`Hook::Send`], unless an actor wants it unseen.
    #[inline]
    fn receive(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, slot): (u32, u8),
        side: Side,
        as_sent: &Segment,
        refused: bool,
    ) {
        let is_as_sent =
            run.editing.is_none() && (run.changes.notes.changed | run.unseen) >> i & 1 == 0;
        if is_as_sent {
            self.take_in(run, (number, slot), side, as_sent, refused);
            self.hook(run, number, Hook::Receive);
        } else {
            self.receive_as_left(run, i, (number, slot), side, refused);
        }
        run.at_hand = None;
        self.reclassify(number);
    }

    /// The same for a segment that may be another by now.
    #[cold]
    fn receive_as_left(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        (number, slot): (u32, u8),
        side: Side,
        mut refused: bool,
    ) {
        if run.editing.is_some() && run.unseen >> i & 1 == 0 {
            self.decide(run, i, number);
        }
        let Some(segment) = Segment::of(run, i).filter(|_| run.unseen >> i & 1 == 0) else {
            return self.burst.forget_pending();
        };
        if segment.buffer == ARENA && !refused {
            let options = options_of(run.packet(i), run.changes.bytes(run.bytes, i));
            let profile = self.config.profile;
            let (hot, cold) = self.table.both_mut(number);
            let judged = judge(profile, hot, cold, side, (&segment, &options));
            refused = judged != Judged::Acceptable && segment.is_refusable(profile);
        }
        self.take_in(run, (number, slot), side, &segment, refused);
        self.hook(run, number, Hook::Receive);
    }

    /// The emulated receiver of a segment that `side` sent, and what it makes possible.
    #[inline]
    fn take_in(
        &mut self,
        run: &mut Run<'_>,
        (number, slot): (u32, u8),
        side: Side,
        segment: &Segment,
        refused: bool,
    ) {
        let clock = self.table.hot(number).clock;
        let (hot, cold) = self.table.both_mut(number);
        learn_acknowledgment(hot, cold, side, segment);
        if !refused {
            self.update_receiver(run, (number, slot), side, segment);
        }
        let acknowledges =
            segment.flags.intersection(TcpFlags::RST | TcpFlags::ACK) == TcpFlags::ACK;
        if acknowledges && self.table.hot(number).flags.intersects(Flags::STORED) {
            self.cover(number, side.other(), clock);
        }
        for side in Side::BOTH {
            // What waits, and a FIN that was not reached, need care.
            if self.table.hot(number).has(Flags::CAREFUL, side) {
                self.skip_covered(run, slot, side, clock);
                self.reach_fin((number, slot), side);
            }
        }
        self.note_progress((number, slot));
    }

    /// A segment that a receiver must refuse has come to it.
    fn note_invalid(&mut self, run: &mut Run<'_>, slot: u8, side: Side) {
        let number = self.burst.actives[usize::from(slot)].flow;
        self.table.cold_mut(number).trouble_mut(side).invalid += 1;
        self.counters.invalid_segments += 1;
        let error = StreamError::Invalid;
        self.raise(run, slot, Event::Error { side, error }, Hook::Receive);
    }

    /// Where the client was only guessed from the first packet, and nothing was delivered yet, its SYN tells better.
    fn turn_if_opener_was_guessed(&mut self, number: u32, slot: u8, packet: &Packet) {
        let (hot, cold) = self.table.both_mut(number);
        let untouched =
            hot.halves.iter().all(|half| half.next == 0) && !hot.flags.intersects(Flags::CAREFUL);
        let special = self.specials.get(number);
        let translated = special.is_some_and(|special| special.translated.is_some());
        if cold.client_by != super::context::ClientBy::FirstPacket || !untouched || translated {
            return;
        }
        if hot.side_of(packet.direction) == Side::Server {
            hot.flags = hot.flags.swapped() ^ Flags::CLIENT_UPPER;
            hot.scales = hot.scales.rotate_left(4);
            hot.window_edge.swap(0, 1);
            hot.halves.swap(0, 1);
            cold.halves.swap(0, 1);
            cold.troubles.swap(0, 1);
            cold.bounds = cold.bounds.rotate_left(4);
            self.burst.actives[usize::from(slot)].swap_sides();
            if let Some(place) = self.specials.edited(number) {
                self.edited.swap_sides(place);
            }
            self.tracks.swap_sides(number);
            self.ways.swap_sides(number);
            if let Ok(set) = self.monitors.after(hot.set, Change::Swap) {
                self.monitors.give(core::mem::replace(&mut hot.set, set));
            }
        }
        cold.client_by = super::context::ClientBy::Syn;
        hot.states = [State::Closed, State::Listen];
        hot.flags.remove(Flags::ESTABLISHED);
    }

    /// Counts control bits, and tells of a repeated SYN.
    #[inline]
    fn count_control(
        &mut self,
        run: &mut Run<'_>,
        (number, slot): (u32, u8),
        side: Side,
        segment: &Segment,
    ) {
        if segment.flags.intersects(CONTROL) {
            let repeated_syn = count_bits(self.table.cold_mut(number).half_mut(side), segment);
            if repeated_syn {
                self.repeated(run, slot, side, RetransmissionKind::Syn, 0);
            }
        }
        let (hot, cold) = self.table.both_mut(number);
        note_kinds(hot, cold, side, segment);
    }

    /// The emulated sender of a segment.
    #[inline]
    fn update_sender(&mut self, (number, slot): (u32, u8), side: Side, segment: &Segment) {
        if segment.is(TcpFlags::RST) {
            return self.input((number, slot), side, Input::SendReset, Hook::Send);
        }
        if segment.is(TcpFlags::SYN) {
            let input = if segment.is(TcpFlags::ACK) {
                Input::SendSynAck
            } else {
                Input::SendSyn
            };
            self.input((number, slot), side, input, Hook::Send);
        } else if segment.is(TcpFlags::ACK) && !self.table.cold(number).half(side.other()).syn_seen
        {
            self.input((number, slot), side, Input::SendAck, Hook::Send);
        }
        if segment.is(TcpFlags::FIN) {
            let input = if self.crosses(number, side.other(), segment) {
                Input::SendCrossingFin
            } else {
                Input::SendFin
            };
            self.input((number, slot), side, input, Hook::Send);
        }
    }

    /// Whether the FIN of `other` is known and not acknowledged by a segment of its peer.
    fn crosses(&self, number: u32, other: Side, segment: &Segment) -> bool {
        let (hot, fin_at) = (
            self.table.hot(number),
            self.table.cold(number).half(other).fin_at,
        );
        let end = hot.half(other).base.at_offset(fin_at).plus(1);
        fin_at != UNKNOWN && hot.has(Flags::BASE, other) && end.is_after(segment.ack)
    }

    /// The emulated receiver of a segment that `side` sent: acknowledgment first, then data, then FIN.
    #[inline]
    fn update_receiver(
        &mut self,
        run: &mut Run<'_>,
        (number, slot): (u32, u8),
        side: Side,
        segment: &Segment,
    ) {
        let receiver = side.other();
        if segment.is(TcpFlags::RST) {
            let was_known = self.table.hot(number).states[receiver as usize] != State::Closed;
            self.input((number, slot), receiver, Input::ReceiveReset, Hook::Receive);
            if was_known {
                self.close_if_over(number, true);
            }
            return;
        }
        if segment.opens() {
            self.input((number, slot), receiver, Input::ReceiveSyn, Hook::Receive);
        }
        if segment.is(TcpFlags::ACK) {
            self.acknowledged((number, slot), receiver, segment);
        }
        self.place(run, (number, slot), side, segment);
    }

    /// What the acknowledgment of a segment does for the one who gets it.
    #[inline]
    fn acknowledged(&mut self, (number, slot): (u32, u8), receiver: Side, segment: &Segment) {
        let (hot, cold) = self.table.both_mut(number);
        let base = hot
            .has(Flags::BASE, receiver)
            .then(|| hot.half(receiver).base);
        let fin_at = cold.half(receiver).fin_at;
        let of_fin = fin_at != UNKNOWN
            && base.is_some_and(|base| segment.ack.is_after(base.at_offset(fin_at)));
        // Its own numbers may not have been captured: then any acknowledgment will do.
        let of_syn = hot.states[receiver as usize].has_open_syn()
            && base.is_none_or(|base| {
                let highest = base.at_offset(highest(hot, cold, receiver));
                !base.is_after(segment.ack) && !segment.ack.is_after(highest.plus(1))
            });
        if of_syn {
            let input = if segment.is(TcpFlags::SYN) {
                Input::ReceiveSynAck
            } else {
                Input::ReceiveAckOfSyn
            };
            self.input((number, slot), receiver, input, Hook::Receive);
        }
        if of_fin {
            self.input(
                (number, slot),
                receiver,
                Input::ReceiveAckOfFin,
                Hook::Receive,
            );
        }
    }

    /// Finds where the payload and the FIN of a segment stand in the stream, and takes them in.
    #[inline]
    fn place(
        &mut self,
        run: &mut Run<'_>,
        (number, slot): (u32, u8),
        side: Side,
        segment: &Segment,
    ) {
        let (hot, cold) = self.table.both_mut(number);
        let closed = hot.flags.contains(Flags::CLOSED);
        if !hot.has(Flags::BASE, side) || closed && self.config.profile == Profile::Receiver {
            return;
        }
        let highest = highest(hot, cold, side);
        let half = hot.half(side);
        let ahead = i64::from(
            segment
                .data_seq()
                .distance_from(half.base.at_offset(highest)),
        );
        let start = highest.cast_signed() + ahead;
        let end = start + i64::from(segment.len);
        // A segment that jumps further than a receiver could ever be offered does not become the reference for later ones.
        if (end - highest.cast_signed()).unsigned_abs() < 1 << 30 {
            cold.half_mut(side).highest = highest.max(u64::try_from(end).unwrap_or(0));
        }
        let probes = segment.len == 0
            && start == half.next.cast_signed() - 1
            && segment.flags.difference(ORDINARY) == TcpFlags::ACK;
        if segment.is(TcpFlags::FIN) {
            self.place_fin(run, (number, slot), side, end);
        }
        if probes {
            self.repeated(run, slot, side, RetransmissionKind::KeepAlive, 0);
        }
        if segment.captured == 0 {
            return;
        }
        let captured_end = start + i64::from(segment.captured);
        let (Ok(from), Ok(end)) = (u64::try_from(start.max(0)), u64::try_from(captured_end)) else {
            return;
        };
        if from < end {
            let skipped = u32::try_from(from.cast_signed() - start).unwrap_or(0);
            self.accept(
                run,
                slot,
                side,
                Piece {
                    start: from,
                    end,
                    sent: (
                        from,
                        u64::try_from(start).unwrap_or(0) + u64::from(segment.len),
                    ),
                    packet: segment.buffer,
                    at: segment.at + skipped,
                },
            );
        }
    }

    fn place_fin(&mut self, run: &mut Run<'_>, (number, slot): (u32, u8), side: Side, end: i64) {
        let Ok(fin_at) = u64::try_from(end) else {
            return;
        };
        let (hot, cold) = self.table.both_mut(number);
        let rare = cold.half_mut(side);
        if rare.fin_at == UNKNOWN {
            rare.fin_at = fin_at;
            hot.flags.insert(Flags::of(Flags::CAREFUL, side));
        } else if rare.fin_at == fin_at {
            self.repeated(run, slot, side, RetransmissionKind::Fin, 0);
        }
    }

    /// The receiver gets the FIN of `side` once it has everything before it.
    fn reach_fin(&mut self, (number, slot): (u32, u8), side: Side) {
        let fin_at = self.table.cold(number).half(side).fin_at;
        if fin_at == UNKNOWN {
            return;
        }
        if self.table.hot(number).half(side).next >= fin_at {
            self.input(
                (number, slot),
                side.other(),
                Input::ReceiveFin,
                Hook::Receive,
            );
        }
        self.close_if_over(number, false);
    }

    /// Tells that the handshake is complete.
    #[inline]
    fn note_progress(&mut self, (number, slot): (u32, u8)) {
        let hot = self.table.hot_mut(number);
        if !hot.flags.contains(Flags::ESTABLISHED)
            && hot.states.iter().all(|state| state.is_synchronized())
        {
            hot.flags.insert(Flags::ESTABLISHED);
            self.raise_with_packet((number, slot), Event::ConnEstablished, Hook::Receive);
        }
    }

    /// The one place where an emulated state changes.
    fn input(&mut self, (number, slot): (u32, u8), side: Side, input: Input, hook: Hook) {
        let hot = self.table.hot_mut(number);
        if hot.flags.contains(Flags::CLOSED) {
            return;
        }
        let from = hot.states[side as usize];
        if let Some(to) = from.after(input) {
            hot.states[side as usize] = to;
            let event = Event::StateChange { side, from, to };
            self.raise_with_packet((number, slot), event, hook);
        }
    }
}
