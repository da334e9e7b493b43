//! The timer wheel that reclaims flows.
//!
//! Whether a flow has expired is decided when it is looked up, from its own last packet; the wheel only gives the memory
//! back. A member that fires too early, because packets came since, is simply put in again.

use alloc::vec::Vec;
use mosaic_port::Timestamp;

use super::entry::NONE;
use super::list::Lists;

/// Slots of the wheel. Deadlines further away than the wheel is round fire early and are put in again.
const SLOTS: usize = 1024;
/// Time one slot stands for, as a power of two of nanoseconds: 0.27 s.
const TICK_SHIFT: u32 = 28;

/// Members by the time at which they are due.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Lists,
    /// Slot each member is in, or [`NONE`].
    placed: Vec<u32>,
    /// Tick up to which everything has fired.
    tick: u64,
}

impl Wheel {
    /// Empty, for up to `members` members.
    pub(crate) fn new(members: usize) -> Self {
        Self { slots: Lists::new(SLOTS, members), placed: Vec::with_capacity(members), tick: 0 }
    }

    /// Sets `member` to fire at `due`, whatever it was set to before.
    pub(crate) fn set(&mut self, member: u32, due: Timestamp) {
        self.cancel(member);
        let tick = (due.as_nanos() >> TICK_SHIFT).clamp(self.tick + 1, self.tick + SLOTS as u64 - 1);
        let slot = Self::slot(tick);
        self.slots.push_back(slot as usize, member);
        self.placed[member as usize] = slot;
    }

    /// Takes `member` out, if it is in.
    pub(crate) fn cancel(&mut self, member: u32) {
        if self.placed.len() <= member as usize {
            self.placed.resize(member as usize + 1, NONE);
        }
        let slot = core::mem::replace(&mut self.placed[member as usize], NONE);
        if slot != NONE {
            self.slots.remove(slot as usize, member);
        }
    }

    /// The next member that is due at `now`, if any; it is then in the wheel no more.
    pub(crate) fn fire(&mut self, now: Timestamp) -> Option<u32> {
        let target = now.as_nanos() >> TICK_SHIFT;
        // One round visits every slot: after a long silence there is no need to go round more than once.
        self.tick = self.tick.max(target.saturating_sub(SLOTS as u64));
        loop {
            if let Some(member) = self.slots.first(Self::slot(self.tick) as usize) {
                self.cancel(member);
                return Some(member);
            }
            if self.tick >= target {
                return None;
            }
            self.tick += 1;
        }
    }

    fn slot(tick: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "taken modulo a small number")]
        let slot = (tick % SLOTS as u64) as u32;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const TICK: u64 = 1 << TICK_SHIFT;

    proptest! {
        /// A user that puts early members in again sees each fire at its time, neither before nor more than two ticks late.
        #[test]
        fn members_fire_when_due(
            steps in proptest::collection::vec((0..10_u32, 0..5_000_u64, 0..700_u64), 1..300),
        ) {
            let mut wheel = Wheel::new(4);
            let mut due = BTreeMap::new();
            let mut now = 0;
            for (member, delay, pass) in steps {
                due.insert(member, now + delay * TICK / 3);
                wheel.set(member, Timestamp::from_nanos(now + delay * TICK / 3));
                now += pass * TICK / 2;
                while let Some(member) = wheel.fire(Timestamp::from_nanos(now)) {
                    let at = due[&member];
                    if at > now {
                        wheel.set(member, Timestamp::from_nanos(at));
                    } else {
                        due.remove(&member);
                    }
                }
                for at in due.values() {
                    prop_assert!(*at + 2 * TICK > now, "{} was due, it is {}", at, now);
                }
            }
        }
    }
}
