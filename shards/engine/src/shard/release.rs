//! Flows forget monitors that were closed: a bounded number of them a burst.

use super::monitors::members;
use super::sets::Change;
use super::{Run, Shard};
use crate::actor::{CloseError, MonitorId};
use crate::event::Side;
use crate::flow::entry::Flags;

/// Flows that are looked at in one go, so that closing a monitor of many flows is no pause.
const FORGET_MAX: u32 = 256;

impl Shard {
    /// What is done when a burst, or time without one, is over.
    pub(super) fn end_of_time(&mut self, run: &mut Run<'_>) {
        self.fire_timers(run);
        self.counters.subscriptions_refused = self.monitors.refused;
        self.counters.raises_refused = self.monitors.users.refused;
        if self.monitors.must_forget() {
            self.forget_closed(run);
        }
        self.reclaim(run);
    }

    /// Closes a monitor from outside of any flow.
    pub(crate) fn close_monitor(&mut self, id: MonitorId) -> Result<(), CloseError> {
        self.monitors.close(id)?;
        if self.table.len() == 0 {
            // There is no flow that could remember it.
            for _ in 0..2 {
                self.monitors.begin_forgetting();
                self.monitors.end_forgetting();
            }
            self.forget_from = 0;
        }
        Ok(())
    }

    /// Goes on making flows forget closed monitors. Every flow is at rest.
    fn forget_closed(&mut self, run: &mut Run<'_>) {
        if self.monitors.closing() == 0 {
            self.monitors.begin_forgetting();
            self.forget_from = 0;
        }
        let places = self.table.places();
        let to = places.min(self.forget_from.saturating_add(FORGET_MAX));
        for number in self.forget_from..to {
            if self.table.holds(number) && !self.is_unwatched(number) {
                self.forget_in(run, number);
            }
        }
        self.forget_from = to;
        if to == places {
            self.monitors.end_forgetting();
        }
    }

    /// One flow forgets the monitors that are closing.
    fn forget_in(&mut self, run: &mut Run<'_>, number: u32) {
        let (hot, cold) = self.table.both_mut(number);
        let gone = cold.attached & self.monitors.closing();
        cold.attached &= !gone;
        let left = cold.attached;
        if gone == 0 {
            return;
        }
        // Those that were closed with flows in different sets may have made these equal.
        if let Ok(set) = self.monitors.after(hot.set, Change::Forget(gone)) {
            self.monitors.give(core::mem::replace(&mut hot.set, set));
        }
        for monitor in members(gone) {
            let actor = self.monitors.actor(monitor);
            if left & self.monitors.of_actor(actor) == 0 {
                run.host.forget(actor, number);
                self.timers.drop_of(number, Some(actor));
            }
        }
        for side in Side::BOTH {
            self.trim(number, side, gone);
        }
    }

    /// Lets go of bytes of a flow at rest that were kept for the readers in `gone`.
    fn trim(&mut self, number: u32, side: Side, gone: u16) {
        let (hot, cold) = self.table.both_mut(number);
        if !hot.has(Flags::STORED, side) {
            return;
        }
        let (store, blocks) = self.stores.with_blocks(cold.half(side).store);
        for reader in members(gone) {
            store.lost[usize::from(reader)] = 0;
        }
        store.laggards &= !gone;
        let retained = u64::from(self.monitors.set(hot.set).retain[side as usize]);
        let kept_from = members(store.laggards)
            .map(|reader| store.positions[usize::from(reader)])
            .fold(hot.half(side).next.saturating_sub(retained), u64::min);
        store.release_before(blocks, kept_from);
        if store.is_idle() {
            self.drop_store(number, side);
        }
    }
}
