//! The timer wheel that reclaims flows.
//!
//! Whether a flow has expired is decided when it is looked up, from its own last packet; the wheel only gives the memory
//! back. A member that fires too early, because packets came since, is simply put in again.

use alloc::vec::Vec;
use mosaic_port::{Timestamp, prefetch};

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
    /// Tick at which each member fires, modulo 2^32, or [`NONE`].
    placed: Vec<u32>,
    /// Tick up to which everything has fired.
    tick: u64,
}

impl Wheel {
    /// Empty, for up to `members` members.
    pub(crate) fn new(members: usize) -> Self {
        Self {
            slots: Lists::new(SLOTS, members),
            placed: Vec::with_capacity(members),
            tick: 0,
        }
    }

    /// Writes to all memory that was reserved; the wheel must be empty.
    pub(crate) fn prefault(&mut self) {
        self.slots.prefault();
        self.placed.resize(self.placed.capacity(), NONE);
    }

    /// Sees to it that `member` fires at `due` or before: one that is already set to fire sooner is left where it is.
    pub(crate) fn set(&mut self, member: u32, due: Timestamp) {
        if self.placed.len() <= member as usize {
            self.placed.resize(member as usize + 1, NONE);
        }
        let tick =
            (due.as_nanos() >> TICK_SHIFT).clamp(self.tick + 1, self.tick + SLOTS as u64 - 1);
        let placed = self.placed[member as usize];
        if placed != NONE {
            if (low_half(tick).wrapping_sub(placed) as usize) < SLOTS {
                return;
            }
            self.slots.remove(slot(placed), member);
        }
        let tick = low_half(tick);
        self.slots.push_back(slot(tick), member);
        self.placed[member as usize] = tick;
    }

    /// Takes `member` out, if it is in.
    pub(crate) fn cancel(&mut self, member: u32) {
        let Some(placed) = self.placed.get_mut(member as usize) else {
            return;
        };
        let placed = core::mem::replace(placed, NONE);
        if placed != NONE {
            self.slots.remove(slot(placed), member);
        }
    }

    /// Fetches what changing `member` touches.
    #[inline]
    pub(crate) fn prefetch(&self, member: u32) {
        prefetch(self.placed.as_ptr().wrapping_add(member as usize));
        self.slots.prefetch(member);
    }

    /// The next member that is due at `now`, if any; it is then in the wheel no more.
    pub(crate) fn fire(&mut self, now: Timestamp) -> Option<u32> {
        let target = now.as_nanos() >> TICK_SHIFT;
        // One round visits every slot: after a long silence there is no need to go round more than once.
        self.tick = self.tick.max(target.saturating_sub(SLOTS as u64));
        loop {
            if let Some(member) = self.slots.first(slot(low_half(self.tick))) {
                self.cancel(member);
                return Some(member);
            }
            if self.tick >= target {
                return None;
            }
            self.tick += 1;
        }
    }
}

/// A tick modulo 2^32 (36 years); the one that would read as [`NONE`] gives way to its neighbour.
fn low_half(tick: u64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ticks are compared over less than a round of the wheel"
    )]
    let low = tick as u32;
    if low == NONE { low - 1 } else { low }
}

fn slot(tick: u32) -> usize {
    tick as usize % SLOTS
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
