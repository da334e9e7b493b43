//! Delivery: events to actors, and what becomes of the bytes that they left.

use super::monitors::members;
use super::sets::Change;
use super::{Run, Shard};
use crate::actor::ActorId;
use crate::event::{EndReason, Event, Hook, Side, StreamError};
use crate::flow::entry::{Activity, Flags, NONE};
use mosaic_port::Timestamp;

impl Shard {
    /// The slot of a flow in this burst, given to it if need be; `now` is the time of its last packet.
    #[inline]
    pub(super) fn activate(&mut self, number: u32, now: Timestamp) -> u8 {
        let hot = self.table.hot_mut(number);
        if let Some(slot) = hot.active.slot() {
            self.burst.actives[usize::from(slot)].now = now;
            return slot;
        }
        let slot = self
            .burst
            .activate(number, [hot.halves[0].next, hot.halves[1].next], now);
        let before = core::mem::replace(&mut hot.active, Activity::of_slot(slot));
        if before != Activity::REST {
            let active = &mut self.burst.actives[usize::from(slot)];
            for side in Side::BOTH {
                active.sides[side as usize].grew = before.grew(side);
            }
        }
        slot
    }

    /// The slot of the flow whose packet is at hand.
    pub(super) fn slot_at_hand(&mut self, run: &Run<'_>, number: u32) -> u8 {
        let hot = self.table.hot(number);
        let (slot, last) = (hot.active.slot(), hot.last);
        slot.unwrap_or_else(|| match run.at_hand {
            Some((i, sender)) => {
                let i = usize::from(i);
                let slot = self.activate(number, run.packet(i).timestamp);
                self.burst.note_packet(slot, i, sender);
                slot
            }
            None => self.activate(number, last),
        })
    }

    /// A side grew.
    #[inline]
    pub(super) fn grow(&mut self, slot: u8, side: Side) {
        let active = &mut self.burst.actives[usize::from(slot)];
        let flow = active.flow;
        if !core::mem::replace(&mut active.sides[side as usize].grew, true) {
            self.count_growth(flow, side);
        }
    }

    /// A side grew whose bytes nobody asked for, at `now`: the flow needs no slot for that.
    #[inline]
    pub(super) fn grow_unread(&mut self, number: u32, side: Side, now: Timestamp) {
        let hot = self.table.hot_mut(number);
        if let Some(slot) = hot.active.slot() {
            self.burst.actives[usize::from(slot)].now = now;
            return self.grow(slot, side);
        }
        if hot.active == Activity::REST {
            self.burst.grown.push(number);
        }
        if !hot.active.grew(side) {
            hot.active = hot.active.with_growth(side);
            self.count_growth(number, side);
        }
    }

    /// Counts that a side grew in this burst.
    #[inline]
    fn count_growth(&mut self, number: u32, side: Side) {
        let event = self.growth(number, side);
        self.count_event(event);
    }

    /// What new bytes of a side are told as.
    #[inline]
    fn growth(&self, number: u32, side: Side) -> Event {
        if self.has_ended(number) {
            Event::LateData(side)
        } else {
            Event::NewData(side)
        }
    }

    /// The end of a burst: what its flows have to tell, then the timers.
    pub(super) fn end_burst(&mut self, run: &mut Run<'_>) {
        for slot in 0..self.burst.used {
            if self.burst.is_live(slot) {
                let flow = self.burst.actives[usize::from(slot)].flow;
                // Of most flows that only showed packets there is nothing to tell.
                let is_stored = self.table.hot(flow).flags.intersects(Flags::STORED);
                if is_stored || !self.burst.is_quiet(slot) {
                    self.flush(run, slot);
                }
                self.end_if_closed(run, slot);
                self.table.hot_mut(flow).active = Activity::REST;
            }
        }
        for number in self.burst.grown.take() {
            let hot = self.table.hot_mut(number);
            // One that has a slot was put to rest with that.
            if hot.active.slot().is_none() {
                hot.active = Activity::REST;
            }
        }
        self.burst.clear();
        self.end_of_time(run);
    }

    /// Delivers what is pending for the flow at `slot`: the beginning, new data, everything else, in that order.
    pub(super) fn flush(&mut self, run: &mut Run<'_>, slot: u8) {
        let active = &mut self.burst.actives[usize::from(slot)];
        let flow = active.flow;
        let beginning = core::mem::take(&mut active.beginning);
        let grew = [active.sides[0].grew, active.sides[1].grew];
        if beginning != [0; 2] {
            let events = [Event::ConnStart, Event::ConnEstablished];
            for (event, asked) in events.into_iter().zip(beginning) {
                if asked != 0 {
                    self.show_to(run, slot, event, Hook::End, asked);
                }
            }
        }
        for side in Side::BOTH {
            if grew[side as usize] {
                let event = self.growth(flow, side);
                self.show(run, slot, event, Hook::End);
            }
        }
        if self.burst.has_events(slot) {
            self.show_queued(run, slot);
        }
        for side in Side::BOTH {
            if grew[side as usize] || self.table.hot(flow).has(Flags::STORED, side) {
                self.settle(run, slot, side);
            }
        }
    }

    #[inline(never)]
    fn show_queued(&mut self, run: &mut Run<'_>, slot: u8) {
        while let Some((event, asked)) = self.burst.pop_event(slot) {
            match event {
                Event::User { event, payload } => {
                    self.show_raised(run, slot, (event.index, payload), Hook::End, asked);
                    self.answer(run, slot, Hook::End);
                }
                event => self.show_to(run, slot, event, Hook::End, asked),
            }
        }
    }

    /// Raises `ConnEnd` once a closed flow has nothing more to deliver. Bytes that still wait behind a hole hold it back:
    /// they come before it, at the latest when the flow is removed.
    pub(super) fn end_if_closed(&mut self, run: &mut Run<'_>, slot: u8) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let hot = self.table.hot(flow);
        if !hot.flags.contains(Flags::CLOSED) || self.has_ended(flow) {
            return;
        }
        if Side::BOTH.into_iter().any(|side| self.waits(flow, side)) {
            return;
        }
        self.raise_end(run, slot);
    }

    /// Whether `ConnEnd` was raised.
    pub(super) fn has_ended(&self, flow: u32) -> bool {
        self.table.hot(flow).flags.contains(Flags::CLOSED) && self.table.cold(flow).ended
    }

    pub(super) fn raise_end(&mut self, run: &mut Run<'_>, slot: u8) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        self.table.cold_mut(flow).ended = true;
        if let Some(reason) = self.table.cold(flow).end {
            if reason == EndReason::Timeout {
                self.count_event(Event::Timeout);
                self.show(run, slot, Event::Timeout, Hook::End);
            }
            self.count_event(Event::ConnEnd(reason));
            self.show(run, slot, Event::ConnEnd(reason), Hook::End);
        }
    }

    /// Shows an event to the monitors that asked for it at `hook`.
    #[inline]
    pub(super) fn show(&mut self, run: &mut Run<'_>, slot: u8, event: Event, hook: Hook) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let set = self.monitors.set(self.table.hot(flow).set);
        if set.events[hook as usize].contains(event.set()) {
            self.show_to(run, slot, event, hook, u16::MAX);
        }
    }

    /// The same, as far as they are among `asked`, a bit each.
    #[inline(never)]
    fn show_to(&mut self, run: &mut Run<'_>, slot: u8, event: Event, hook: Hook, asked: u16) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let id = self.table.hot(flow).set;
        let sender = run.sender(hook).or_else(|| event.sender());
        let listeners = self.monitors.listeners(id, event, hook) & asked;
        for monitor in self.monitors.chain(listeners, sender) {
            self.call(run, slot, monitor, event, hook);
        }
        self.show_user(run, slot, (id, event), hook, asked);
    }

    /// Tells a monitor of an event, unless one that was told before has closed it.
    #[inline]
    pub(super) fn call(
        &mut self,
        run: &mut Run<'_>,
        slot: u8,
        monitor: u8,
        event: Event,
        hook: Hook,
    ) {
        if self.monitors.get(monitor).is_none() {
            return;
        }
        let actor = self.monitors.actor(monitor);
        let flow = self.burst.actives[usize::from(slot)].flow;
        let (host, mut context) = self.context(run, flow, monitor, hook);
        host.on_event(actor, &mut context, event);
        self.give_back(run, flow, actor);
    }

    /// Takes the monitors of an actor off the flow at `slot`.
    pub(super) fn detach(&mut self, slot: u8, actor: ActorId) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let own = self.monitors.of_actor(actor);
        self.change_set(slot, Change::Forget(own));
        self.timers.drop_of(flow, Some(actor));
    }

    pub(super) fn count_event(&mut self, event: Event) {
        self.events[event.kind()] += 1;
    }

    /// After a delivery: keeps the bytes that a reader left or a monitor retains, and lets go of the others.
    #[inline]
    fn settle(&mut self, run: &mut Run<'_>, slot: u8, side: Side) {
        let active = &mut self.burst.actives[usize::from(slot)];
        let hot = self.table.hot(active.flow);
        let next = hot.half(side).next;
        let set = self.monitors.set(hot.set);
        if !hot.has(Flags::STORED, side)
            && set.retain[side as usize] == 0
            && active.all_read(side, set.readers[side as usize], next)
        {
            active.sides[side as usize].settle(next);
            return;
        }
        self.warn_laggards(run, slot, side);
        self.keep_unread(run, slot, side);
    }

    /// Lets readers that are about to lose bytes read them now.
    fn warn_laggards(&mut self, run: &mut Run<'_>, slot: u8, side: Side) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let next = self.table.hot(flow).half(side).next;
        let floor = next.saturating_sub(self.bound(flow, side));
        let readers = self.monitors.set(self.table.hot(flow).set).readers[side as usize];
        for reader in members(readers) {
            let store = self.store(flow, side);
            let active = &self.burst.actives[usize::from(slot)];
            let len = active.unread_below(side, floor, reader, store);
            if len == 0 {
                continue;
            }
            let event = Event::Error {
                side,
                error: StreamError::Overrun { len },
            };
            self.count_event(event);
            let flow = self.burst.actives[usize::from(slot)].flow;
            let id = self.table.hot(flow).set;
            if self.monitors.listeners(id, event, Hook::End) & 1 << reader != 0 {
                self.call(run, slot, reader, event, Hook::End);
                self.answer(run, slot, Hook::End);
            }
        }
    }

    /// Keeps what is unread or retained, within the bounds, and notes where each reader stands.
    fn keep_unread(&mut self, run: &Run<'_>, slot: u8, side: Side) {
        let bound = self.bound(self.burst.actives[usize::from(slot)].flow, side);
        let active = &mut self.burst.actives[usize::from(slot)];
        let flow = active.flow;
        let (hot, cold) = self.table.both_mut(flow);
        let next = hot.half(side).next;
        let set = self.monitors.set(hot.set);
        let rare = cold.half_mut(side);
        if rare.store == NONE {
            rare.store = self.stores.take();
            hot.flags.insert(Flags::of(Flags::STORED, side));
        }
        let (store, blocks) = self.stores.with_blocks(rare.store);

        let floor = next.saturating_sub(bound);
        let retain = set.retain[side as usize];
        let mut keep_from = next.saturating_sub(u64::from(retain)).max(floor);
        let mut laggards = 0;
        for reader in members(set.readers[side as usize]) {
            let mut position = active.position(side, reader, Some(store));
            if position < floor {
                let lost = active.unread_below(side, floor, reader, Some(store));
                store.lost[usize::from(reader)] += lost;
                self.counters.overrun_bytes += lost;
                self.counters.bounds_hit += 1;
                position = floor;
            }
            keep_from = keep_from.min(position);
            laggards |= u16::from(position < next) << reader;
            store.positions[usize::from(reader)] = position;
        }
        store.laggards = laggards;

        let mut at = active.sides[side as usize].first_segment;
        while let Some(segment) = self.burst.segments.get(usize::from(at)) {
            at = segment.next;
            let skip = keep_from
                .saturating_sub(segment.offset)
                .min(u64::from(segment.len));
            let (from, to) = (
                segment.at as usize + usize::try_from(skip).unwrap_or(0),
                (segment.at + segment.len) as usize,
            );
            let bytes = &run.buffer(segment.packet)[from..to];
            let kept = store.put(blocks, segment.offset + skip, bytes);
            self.counters.copied_bytes += kept as u64;
            if kept < bytes.len() {
                let (kept_to, end) = (
                    segment.offset + skip + kept as u64,
                    segment.offset + u64::from(segment.len),
                );
                self.counters.bounds_hit += 1;
                for reader in members(laggards) {
                    let lost = end - store.positions[usize::from(reader)].clamp(kept_to, end);
                    store.lost[usize::from(reader)] += lost;
                    self.counters.overrun_bytes += lost;
                }
            }
        }
        store.release_before(blocks, keep_from);
        active.sides[side as usize].settle(next);
        if store.is_idle() {
            self.drop_store(flow, side);
        }
    }
}
