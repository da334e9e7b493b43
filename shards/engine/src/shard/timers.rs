//! Timers of actors, by flow and by shard: exact in packet time, fired at the end of a burst.

use alloc::vec::Vec;
use core::time::Duration;
use mosaic_port::Timestamp;

use super::{Run, Shard};
use crate::actor::{ActorId, ShardContext};
use crate::event::Hook;
use crate::flow::entry::{Activity, NONE};
use crate::limits;

/// Handle of a timer; never names another one later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId {
    slot: u32,
    generation: u32,
}

/// Why a timer could not be set or cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TimerError {
    /// Every timer of the shard is in use ([`limits::TIMERS`]).
    #[error("no timer left on this shard")]
    NoTimer,
    /// The timer has fired, was cancelled, went with its flow, or belongs to another actor.
    #[error("the handle names no timer of this actor that is set")]
    StaleHandle,
}

/// A timer, or a place for one.
#[derive(Debug)]
struct Timer {
    generation: u32,
    /// Its flow, or [`NONE`]: a timer of the shard.
    flow: u32,
    actor: ActorId,
    /// Nanoseconds; 0 for one that fires once.
    period: u64,
    /// Where it stands in the heap; [`NONE`] where it is not set.
    heap_at: u32,
    /// Neighbours in the list of its flow.
    prev: u32,
    next: u32,
}

/// When a timer is due; those due at the same time fire in the order in which they were set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Due {
    at: u64,
    serial: u64,
    slot: u32,
}

/// A timer that has fired.
#[derive(Clone, Copy, Debug)]
struct Fired {
    id: TimerId,
    actor: ActorId,
    flow: u32,
}

/// The timers of a shard: a heap whose members know their places, so that cancelling is exact. Memory for all of them is
/// reserved when the first is set; flows without timers have none of it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    timers: Vec<Timer>,
    free: Vec<u32>,
    heap: Vec<Due>,
    /// First timer of each flow, as far as flows have had any.
    first_of: Vec<u32>,
    serial: u64,
    /// Whether the clock has begun to run; before that, times count from 0.
    started: bool,
}

/// Duration in nanoseconds, at least one: what a callback sets never fires before time has passed.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos())
        .unwrap_or(u64::MAX)
        .max(1)
}

impl Timers {
    /// Sets a timer that fires `after` the time `now`, and then again every so long where it `repeats`.
    pub(crate) fn set(
        &mut self,
        now: Timestamp,
        (actor, flow): (ActorId, Option<u32>),
        after: Duration,
        repeats: bool,
    ) -> Result<TimerId, TimerError> {
        self.start(now);
        let slot = self.take_slot()?;
        let period = if repeats { nanos(after) } else { 0 };
        let flow = flow.unwrap_or(NONE);
        let timer = &mut self.timers[slot as usize];
        (timer.actor, timer.flow, timer.period) = (actor, flow, period);
        let id = TimerId {
            slot,
            generation: timer.generation,
        };
        if flow != NONE {
            self.link(slot, flow);
        }
        self.push(now.as_nanos().saturating_add(nanos(after)), slot);
        Ok(id)
    }

    /// Takes a timer of `actor` back.
    pub(crate) fn cancel(&mut self, id: TimerId, actor: ActorId) -> Result<(), TimerError> {
        self.timers
            .get(id.slot as usize)
            .filter(|timer| timer.generation == id.generation && timer.actor == actor)
            .filter(|timer| timer.heap_at != NONE)
            .ok_or(TimerError::StaleHandle)?;
        self.drop_timer(id.slot);
        Ok(())
    }

    /// Takes the timers of a flow back: those of `actor`, or of all.
    pub(crate) fn drop_of(&mut self, flow: u32, actor: Option<ActorId>) {
        let mut slot = self.first_of.get(flow as usize).copied().unwrap_or(NONE);
        while slot != NONE {
            let timer = &self.timers[slot as usize];
            let (this, is_meant) = (slot, actor.is_none_or(|actor| timer.actor == actor));
            slot = timer.next;
            if is_meant {
                self.drop_timer(this);
            }
        }
    }

    /// From the first time that is known on, timers set before count.
    fn start(&mut self, now: Timestamp) {
        if !self.started && now != Timestamp::ZERO {
            self.started = true;
            for due in &mut self.heap {
                due.at = due.at.saturating_add(now.as_nanos());
            }
        }
    }

    /// The next timer that is due, if any: it is then set no more, or anew for the first time after `now`.
    fn fire(&mut self, now: Timestamp) -> Option<Fired> {
        let due = *self.heap.first().filter(|due| due.at <= now.as_nanos())?;
        let timer = &self.timers[due.slot as usize];
        let (actor, flow, period) = (timer.actor, timer.flow, timer.period);
        let id = TimerId {
            slot: due.slot,
            generation: timer.generation,
        };
        match (now.as_nanos() - due.at).checked_div(period) {
            None => self.drop_timer(due.slot),
            Some(missed) => {
                self.unheap(0);
                let ahead = (missed + 1).saturating_mul(period);
                self.push(due.at.saturating_add(ahead), due.slot);
            }
        }
        Some(Fired { id, actor, flow })
    }

    fn take_slot(&mut self) -> Result<u32, TimerError> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        if self.timers.capacity() == 0 {
            self.timers.reserve_exact(limits::TIMERS);
            self.free.reserve_exact(limits::TIMERS);
            self.heap.reserve_exact(limits::TIMERS);
        }
        if self.timers.len() >= limits::TIMERS {
            return Err(TimerError::NoTimer);
        }
        self.timers.push(Timer {
            generation: 0,
            flow: NONE,
            actor: ActorId(0),
            period: 0,
            heap_at: NONE,
            prev: NONE,
            next: NONE,
        });
        u32::try_from(self.timers.len() - 1).map_err(|_| TimerError::NoTimer)
    }

    fn link(&mut self, slot: u32, flow: u32) {
        if self.first_of.len() <= flow as usize {
            self.first_of.resize(flow as usize + 1, NONE);
        }
        let first = core::mem::replace(&mut self.first_of[flow as usize], slot);
        let timer = &mut self.timers[slot as usize];
        (timer.prev, timer.next) = (NONE, first);
        if let Some(second) = self.timers.get_mut(first as usize) {
            second.prev = slot;
        }
    }

    /// Takes a timer that is set out of everything.
    fn drop_timer(&mut self, slot: u32) {
        let timer = &mut self.timers[slot as usize];
        timer.generation = timer.generation.wrapping_add(1);
        let (flow, prev, next, at) = (timer.flow, timer.prev, timer.next, timer.heap_at);
        if flow != NONE {
            match self.timers.get_mut(prev as usize) {
                Some(before) => before.next = next,
                None => self.first_of[flow as usize] = next,
            }
            if let Some(behind) = self.timers.get_mut(next as usize) {
                behind.prev = prev;
            }
        }
        self.unheap(at as usize);
        self.free.push(slot);
    }

    fn push(&mut self, at: u64, slot: u32) {
        let serial = self.serial;
        self.serial += 1;
        self.heap.push(Due { at, serial, slot });
        self.settle(self.heap.len() - 1);
    }

    fn unheap(&mut self, at: usize) {
        let gone = self.heap.swap_remove(at);
        self.timers[gone.slot as usize].heap_at = NONE;
        if at < self.heap.len() {
            self.settle(at);
        }
    }

    /// Moves the member at `at` to where it belongs, up or down.
    fn settle(&mut self, mut at: usize) {
        while at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        loop {
            let children = 2 * at + 1..(2 * at + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else {
                break;
            };
            if self.heap[at] <= self.heap[least] {
                break;
            }
            self.swap(at, least);
            at = least;
        }
        self.note_place(at);
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.note_place(a);
        self.note_place(b);
    }

    fn note_place(&mut self, at: usize) {
        let slot = self.heap[at].slot as usize;
        self.timers[slot].heap_at = u32::try_from(at).unwrap_or(NONE);
    }
}

impl Shard {
    /// Sets a timer of the shard for `actor`.
    pub(crate) fn set_timer(
        &mut self,
        actor: ActorId,
        after: Duration,
        repeats: bool,
    ) -> Result<TimerId, TimerError> {
        self.timers.set(self.clock, (actor, None), after, repeats)
    }

    /// Takes a timer of `actor` back.
    pub(crate) fn cancel_timer(&mut self, id: TimerId, actor: ActorId) -> Result<(), TimerError> {
        self.timers.cancel(id, actor)
    }

    /// Calls the actors whose timers are due, a bounded number; the rest comes after the next burst. Every flow is at rest.
    pub(super) fn fire_timers(&mut self, run: &mut Run<'_>) {
        if self.timers.heap.is_empty() {
            return;
        }
        self.timers.start(self.clock);
        for _ in 0..limits::TIMERS_FIRED {
            let Some(fired) = self.timers.fire(self.clock) else {
                return;
            };
            if fired.flow == NONE {
                let actor = fired.actor;
                let mut context = ShardContext {
                    shard: self,
                    actor,
                    hand: None,
                };
                run.host.on_shard_timer(actor, &mut context, fired.id);
            } else {
                self.fire_for_flow(run, fired);
            }
        }
    }

    fn fire_for_flow(&mut self, run: &mut Run<'_>, fired: Fired) {
        let Fired { id, actor, flow } = fired;
        let set = self.monitors.set(self.table.hot(flow).set);
        let own = set.mask & self.monitors.of_actor(actor);
        if own == 0 {
            // Its monitors were closed: the flow has only not forgotten them yet.
            return self.timers.drop_of(flow, Some(actor));
        }
        let reading = own & (set.readers[0] | set.readers[1]);
        let lent = if reading != 0 { reading } else { own };
        let monitor = u8::try_from(lent.trailing_zeros()).unwrap_or(0);
        let slot = self.activate(flow, self.clock);
        let (host, mut context) = self.context(run, flow, monitor, Hook::End);
        host.on_timer(actor, &mut context, id);
        self.give_back(run, flow, actor);
        self.answer(run, slot, Hook::End);
        // It may have read.
        self.flush(run, slot);
        self.table.hot_mut(flow).active = Activity::REST;
        self.burst.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list: the same timers fire in the same order, cancelled ones and those of gone flows never.
        #[test]
        fn behaves_like_a_list(moves in proptest::collection::vec((0..6_u8, 0..40_u64, 0..4_u32), 1..200)) {
            let (mut timers, mut model) = (Timers::default(), Vec::new());
            let (mut now, mut serial) = (1_u64, 0);
            for (what, number, flow) in moves {
                let at = Timestamp::from_nanos(now);
                match what {
                    0..3 => {
                        let owner = Some(flow).filter(|flow| *flow > 0);
                        let id = timers.set(at, (ActorId(0), owner), Duration::from_nanos(number), false).unwrap();
                        model.push((now + number.max(1), serial, id, flow));
                        serial += 1;
                    }
                    3 if !model.is_empty() => {
                        let gone = model.remove(number as usize % model.len()).2;
                        prop_assert_eq!(timers.cancel(gone, ActorId(1)), Err(TimerError::StaleHandle));
                        prop_assert_eq!(timers.cancel(gone, ActorId(0)), Ok(()));
                        prop_assert_eq!(timers.cancel(gone, ActorId(0)), Err(TimerError::StaleHandle));
                    }
                    4 if flow > 0 => {
                        timers.drop_of(flow, None);
                        model.retain(|timer| timer.3 != flow);
                    }
                    _ => {
                        now += number;
                        model.sort_unstable_by_key(|timer| (timer.0, timer.1));
                        while let Some(fired) = timers.fire(Timestamp::from_nanos(now)) {
                            prop_assert_eq!(fired.id, model.remove(0).2);
                        }
                        prop_assert!(model.first().is_none_or(|timer| timer.0 > now));
                    }
                }
            }
        }
    }
}
