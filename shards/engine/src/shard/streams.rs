//! Bytes joining streams: in order, behind holes, over skipped holes.

use super::{OverlapPolicy, Run, Shard};
use crate::event::{Event, Hook, RetransmissionKind, Side, StreamError};
use crate::flow::entry::{Flags, NONE};
use crate::limits;
use crate::stream::{Blocks, BurstSegment, SideStore};
use mosaic_port::Timestamp;

/// Captured payload of one segment, placed in its stream.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Stream offset of its first byte.
    pub(super) start: u64,
    /// Stream offset behind its last byte.
    pub(super) end: u64,
    /// The segment as it was sent: where it began, and the offset behind its last byte.
    pub(super) sent: (u64, u64),
    /// Index of its packet's buffer, as in [`BurstSegment::packet`].
    pub(super) packet: u8,
    /// Where its first byte stands in the packet's buffer.
    pub(super) at: u32,
}

impl Piece {
    /// The part from offset `start` to offset `end`.
    fn part(self, start: u64, end: u64) -> Self {
        let skip = u32::try_from(start - self.start).unwrap_or(0);
        Self {
            start,
            end,
            at: self.at + skip,
            ..self
        }
    }

    fn len(self) -> u32 {
        u32::try_from(self.end - self.start).unwrap_or(u32::MAX)
    }

    fn bytes<'r>(self, run: &'r Run<'_>) -> &'r [u8] {
        &run.buffer(self.packet)[self.at as usize..][..self.len() as usize]
    }
}

impl Shard {
    /// The store of a side, if it has one.
    #[inline]
    pub(super) fn store(&self, number: u32, side: Side) -> Option<&SideStore> {
        if !self.table.hot(number).has(Flags::STORED, side) {
            return None;
        }
        self.stores.get(self.table.cold(number).half(side).store)
    }

    /// The store of a side, made if need be, and the memory for its bytes.
    pub(super) fn make_store(&mut self, number: u32, side: Side) -> (&mut SideStore, &mut Blocks) {
        let (hot, cold) = self.table.both_mut(number);
        let rare = cold.half_mut(side);
        if rare.store == NONE {
            rare.store = self.stores.take();
            hot.flags.insert(Flags::of(Flags::STORED, side));
        }
        self.stores.with_blocks(rare.store)
    }

    /// Gives the store of a side back, if it has one.
    pub(super) fn drop_store(&mut self, number: u32, side: Side) {
        let (hot, cold) = self.table.both_mut(number);
        let store = core::mem::replace(&mut cold.half_mut(side).store, NONE);
        hot.flags.remove(Flags::of(Flags::STORED, side));
        if store != NONE {
            self.stores.give(store);
        }
    }

    /// Whether bytes of `side` wait behind a hole.
    pub(super) fn waits(&self, number: u32, side: Side) -> bool {
        self.store(number, side)
            .is_some_and(|store| !store.ahead.is_empty())
    }

    /// Moves the next expected byte of `side` on to `next`, keeping the payload count what it was.
    fn move_next(&mut self, number: u32, side: Side, next: u64) {
        let (hot, cold) = self.table.both_mut(number);
        let half = hot.half_mut(side);
        let rare = cold.half_mut(side);
        rare.payload_adjust = rare.payload_adjust.wrapping_sub(next - half.next);
        half.next = next;
    }

    /// Takes one captured piece of payload into the stream of `side`. What of it was there before does not count again, and is
    /// reported once.
    pub(super) fn accept(&mut self, run: &mut Run<'_>, slot: u8, side: Side, piece: Piece) {
        let number = self.burst.actives[usize::from(slot)].flow;
        let is_probe = piece.len() == 1 && piece.end == self.table.hot(number).half(side).next;
        let repeated = self.place_piece(run, slot, side, piece);
        if repeated > 0 {
            self.table
                .cold_mut(number)
                .trouble_mut(side)
                .retransmitted_bytes += u64::from(repeated);
            let kind = if is_probe {
                RetransmissionKind::KeepAlive
            } else {
                RetransmissionKind::Data
            };
            self.repeated(run, slot, side, kind, repeated);
        }
    }

    /// Puts a piece where it belongs; returns how many of its bytes were there before.
    fn place_piece(&mut self, run: &mut Run<'_>, slot: u8, side: Side, mut piece: Piece) -> u32 {
        let number = self.burst.actives[usize::from(slot)].flow;
        let mut repeated = self.cut_old(number, side, &mut piece);
        if piece.start > self.table.hot(number).half(side).next {
            self.counters.out_of_order += 1;
            self.table.cold_mut(number).trouble_mut(side).out_of_order += 1;
            self.make_room(run, slot, side, piece);
            // What waited behind the skipped holes may have had a part of it.
            repeated += self.cut_old(number, side, &mut piece);
        }
        if piece.start > self.table.hot(number).half(side).next {
            repeated + self.accept_ahead(run, slot, side, piece)
        } else {
            repeated + self.accept_in_order(run, slot, side, piece)
        }
    }

    /// Cuts off the part of a piece that lies below the next expected byte: late for a skipped hole, or a repetition. Returns
    /// how many bytes were a repetition.
    fn cut_old(&mut self, number: u32, side: Side, piece: &mut Piece) -> u32 {
        let hot = self.table.hot(number);
        let (next, stored) = (hot.half(side).next, hot.has(Flags::STORED, side));
        if piece.start >= next {
            return 0;
        }
        let old = piece.part(piece.start, piece.end.min(next));
        *piece = piece.part(old.end, piece.end);
        let late = if stored {
            self.make_store(number, side)
                .0
                .skipped
                .remove(old.start, old.end)
        } else {
            0
        };
        if late > 0 {
            self.table.cold_mut(number).trouble_mut(side).late_bytes += late;
            self.counters.late_bytes += late;
        }
        u32::try_from(u64::from(old.len()) - late).unwrap_or(0)
    }

    /// Takes a piece that begins at the next expected byte, and what waited for it; returns how many of its bytes waited.
    fn accept_in_order(&mut self, run: &mut Run<'_>, slot: u8, side: Side, piece: Piece) -> u32 {
        let number = self.burst.actives[usize::from(slot)].flow;
        let mut at = piece.start;
        let mut repeated = 0;
        let policy = self.overlap_policy(number, side);
        while at < piece.end {
            let waiting = self
                .store(number, side)
                .and_then(|store| store.ahead.first());
            let (first, end) = waiting
                .filter(|(first, _)| *first < piece.end)
                .unwrap_or((piece.end, piece.end));
            if at < first {
                self.deliver_in_order(number, slot, side, piece.part(at, first));
            }
            let overlap_end = end.min(piece.end);
            if first < overlap_end {
                let overlap = piece.part(first, overlap_end);
                if policy.needs_extents() {
                    let (store, _) = self.make_store(number, side);
                    store.extents.follow(&store.ahead);
                }
                self.overlap(run, slot, side, overlap);
                repeated += overlap.len();
            }
            at = overlap_end;
            self.absorb(slot, side);
        }
        repeated
    }

    /// Adds bytes that nothing overlaps at the next expected offset.
    #[inline]
    pub(super) fn deliver_in_order(&mut self, number: u32, slot: u8, side: Side, piece: Piece) {
        let len = piece.len();
        self.counters.stream_bytes += u64::from(len);
        self.move_next(number, side, piece.end);
        let set = self.monitors.set(self.table.hot(number).set);
        let is_kept = set.keeps_bytes(side);
        // Nobody at all hears of flows without monitors.
        if is_kept || set.mask != 0 {
            self.grow(slot, side);
        }
        if is_kept {
            let segment = BurstSegment {
                offset: piece.start,
                packet: piece.packet,
                next: u16::MAX,
                at: piece.at,
                len,
            };
            self.burst.push_segment(slot, side as usize, segment);
        }
    }

    /// Moves the next expected byte over what waited for it.
    fn absorb(&mut self, slot: u8, side: Side) {
        let number = self.burst.actives[usize::from(slot)].flow;
        let hot = self.table.hot(number);
        if !hot.has(Flags::STORED, side) {
            return;
        }
        let next = hot.half(side).next;
        let (store, _) = self.make_store(number, side);
        let mut reached = next;
        while let Some(end) = store.ahead.take_reached(reached) {
            reached = reached.max(end);
        }
        if reached > next {
            self.counters.stream_bytes += reached - next;
            self.move_next(number, side, reached);
            self.grow(slot, side);
        }
    }

    /// Keeps a piece that lies behind a hole; returns how many of its bytes waited there before.
    fn accept_ahead(&mut self, run: &mut Run<'_>, slot: u8, side: Side, piece: Piece) -> u32 {
        let number = self.burst.actives[usize::from(slot)].flow;
        let hot = self.table.hot_mut(number);
        hot.flags.insert(Flags::of(Flags::CAREFUL, side));
        let keep = self.monitors.set(hot.set).keeps_bytes(side);
        let policy = self.overlap_policy(number, side);
        let by_extent = keep && policy.needs_extents();
        let (store, blocks) = self.make_store(number, side);
        let mut copied = 0;
        if by_extent {
            store.extents.follow(&store.ahead);
        }
        let present = {
            let mut fresh = arrayvec::ArrayVec::<(u64, u64), { limits::HOLES_MAX + 1 }>::new();
            let present = store.ahead.insert(piece.start, piece.end, |start, end| {
                // As many parts as ranges at most, which `make_room` bounds.
                let _ = fresh.try_push((start, end));
            });
            for (start, end) in fresh.into_iter().filter(|_| keep) {
                copied += store.put(blocks, start, piece.part(start, end).bytes(run));
            }
            present
        };
        self.counters.copied_bytes += copied as u64;
        if present > 0 {
            self.overlap(run, slot, side, piece);
        }
        if by_extent {
            let (store, _) = self.make_store(number, side);
            let part = (piece.start, piece.end);
            let fits = store.extents.insert(policy, piece.sent, part);
            self.counters.bounds_hit += u64::from(!fits);
        }
        u32::try_from(present).unwrap_or(u32::MAX)
    }

    /// Skips holes until `piece` fits within the bounds of what may wait, or is itself in order.
    fn make_room(&mut self, run: &mut Run<'_>, slot: u8, side: Side, piece: Piece) {
        loop {
            let number = self.burst.actives[usize::from(slot)].flow;
            if piece.start <= self.table.hot(number).half(side).next {
                return;
            }
            let len = piece.end - piece.start;
            let (bytes, holes, opens) = match self.store(number, side) {
                Some(store) => (
                    store.ahead.bytes(),
                    store.ahead.holes(),
                    store.ahead.opens_hole(piece.start, piece.end),
                ),
                None => (0, 0, true),
            };
            let bytes_max =
                (self.config.out_of_order_bytes_max as u64).min(self.bound(number, side));
            let fits = bytes + len <= bytes_max
                && holes + usize::from(opens) <= self.config.holes_max.min(limits::HOLES_MAX)
                && self.stores.blocks.has_room(piece.len() as usize, holes);
            if fits {
                return;
            }
            self.counters.bounds_hit += 1;
            self.skip_hole(run, slot, side, piece.start);
        }
    }

    /// Gives up waiting for the first hole, or, if that begins the sooner, for what lies before `limit`: delivers what came
    /// before it, reports it, and goes on behind it.
    pub(super) fn skip_hole(&mut self, run: &mut Run<'_>, slot: u8, side: Side, limit: u64) {
        self.flush(run, slot);
        let number = self.burst.actives[usize::from(slot)].flow;
        let next = self.table.hot(number).half(side).next;
        let store = self.store(number, side);
        let to = store
            .and_then(|store| store.ahead.first())
            .map_or(limit, |(first, _)| first.min(limit));
        let len = to - next;
        self.move_next(number, side, to);
        let trouble = self.table.cold_mut(number).trouble_mut(side);
        trouble.gap_bytes += len;
        trouble.gaps += 1;
        let (store, _) = self.make_store(number, side);
        if store.skipped.holes() < limits::HOLES {
            store.skipped.insert(next, to, |_, _| {});
        }
        self.table.cold_mut(number).note(side, 'G');
        self.counters.gaps += 1;
        self.counters.gap_bytes += len;
        let event = Event::Error {
            side,
            error: StreamError::Gap { offset: next, len },
        };
        self.count_event(event);
        self.show(run, slot, event, Hook::Receive);
        self.show(run, slot, event, Hook::End);
        self.burst.actives[usize::from(slot)].sides[side as usize].settle(to);
        self.absorb(slot, side);
    }

    /// Counts and reports a repetition.
    pub(super) fn repeated(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        side: Side,
        kind: RetransmissionKind,
        len: u32,
    ) {
        let number = self.burst.actives[usize::from(slot)].flow;
        let cold = self.table.cold_mut(number);
        if kind == RetransmissionKind::KeepAlive {
            let trouble = cold.trouble_mut(side);
            trouble.keep_alives = trouble.keep_alives.saturating_add(1);
        } else {
            cold.trouble_mut(side).retransmissions += 1;
            cold.note(side, 'T');
            self.counters.retransmissions += 1;
        }
        let event = Event::Retransmission { side, kind, len };
        match kind {
            // As in the reference system, bytes that were there before are told of before the receiver gets them.
            RetransmissionKind::Data | RetransmissionKind::KeepAlive => {
                self.raise(run, slot, event, Hook::Receive);
            }
            _ => self.raise_with_packet((number, slot), event, Hook::Receive),
        }
    }

    /// Bytes that overlap others waiting behind a hole: compared, and decided by the policy.
    fn overlap(&mut self, run: &mut Run<'_>, slot: u8, side: Side, piece: Piece) {
        let number = self.burst.actives[usize::from(slot)].flow;
        let policy = self.overlap_policy(number, side);
        let rare = self.table.cold_mut(number).half_mut(side);
        let (store, blocks) = self.stores.with_blocks(rare.store);
        let bytes = piece.bytes(run);
        let differing = store.differing(blocks, piece.start, bytes);
        if policy == OverlapPolicy::Last {
            store.overwrite(blocks, piece.start, bytes);
        } else if policy.needs_extents() && differing.is_some() {
            let part = (piece.start, piece.end);
            store.extents.judge(policy, piece.sent, part, |start, end| {
                store.overwrite(blocks, start, piece.part(start, end).bytes(run));
            });
        }
        if let Some((offset, len)) = differing {
            self.table
                .cold_mut(number)
                .trouble_mut(side)
                .overlap_differs_bytes += u64::from(len);
            self.raise(
                run,
                slot,
                Event::Error {
                    side,
                    error: StreamError::OverlapDiffers { offset, len },
                },
                Hook::Receive,
            );
        }
    }

    /// Which copy of a byte of `side` counts.
    fn overlap_policy(&self, number: u32, side: Side) -> OverlapPolicy {
        let own = self.table.cold(number).overlaps >> (4 * side as u8) & 0xf;
        OverlapPolicy::of_nibble(own).unwrap_or(self.config.overlap)
    }

    /// Skips the holes of `side` that an acknowledgment has covered for long enough.
    pub(super) fn skip_covered(&mut self, run: &mut Run<'_>, slot: u8, side: Side, now: Timestamp) {
        let number = self.burst.actives[usize::from(slot)].flow;
        while self.waits(number, side) {
            let covered = self
                .store(number, side)
                .and_then(|store| store.ahead.first_covered());
            let over = |since| now.since(since).as_nanos() >= u128::from(self.config.gap_grace_ns);
            if !covered.is_some_and(over) {
                return;
            }
            self.skip_hole(run, slot, side, u64::MAX);
        }
        self.relax(number, side);
    }

    /// Notes what an acknowledgment of the bytes of `side` covers.
    pub(super) fn cover(&mut self, number: u32, side: Side, now: Timestamp) {
        let hot = self.table.hot(number);
        let half = hot.half(side);
        let distance = hot
            .half(side.other())
            .acked
            .distance_from(half.base.at_offset(half.next));
        let (Ok(distance), true) = (u64::try_from(distance), self.waits(number, side)) else {
            return;
        };
        let acknowledged = half.next + distance;
        self.make_store(number, side)
            .0
            .ahead
            .acknowledge(acknowledged, now);
    }

    /// Lets a side take the ordinary path again once nothing of it needs care.
    pub(super) fn relax(&mut self, number: u32, side: Side) {
        let waits = self.waits(number, side);
        let (hot, cold) = self.table.both_mut(number);
        let needs_care = waits
            || cold.half(side).fin_at != crate::flow::entry::UNKNOWN
            || hot.flags.contains(Flags::CLOSED);
        hot.flags.set(Flags::of(Flags::CAREFUL, side), needs_care);
    }

    /// The flow is about to be removed: what waits is delivered, what is missing is told.
    pub(super) fn release_waiting(&mut self, run: &mut Run<'_>, slot: u8) {
        let number = self.burst.actives[usize::from(slot)].flow;
        for side in Side::BOTH {
            while self.waits(number, side) {
                self.skip_hole(run, slot, side, u64::MAX);
            }
            let (fin_at, next) = (
                self.table.cold(number).half(side).fin_at,
                self.table.hot(number).half(side).next,
            );
            // A FIN further off than half the window space says nothing about the stream.
            if fin_at != crate::flow::entry::UNKNOWN && fin_at > next && fin_at - next < 1 << 30 {
                self.skip_hole(run, slot, side, fin_at);
            }
        }
    }
}
