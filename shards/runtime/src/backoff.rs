//! What a shard does when it finds nothing to do.

use std::time::Duration;

use crate::Idle;

/// Empty polls before a shard begins to sleep: some microseconds.
const SPINS: u32 = 256;
/// The same where other shards wait for the core: each poll lets them run.
const YIELDS: u32 = 16;
/// The first sleep; it doubles up to [`SLEEP_MAX`].
const SLEEP_MIN: Duration = Duration::from_micros(16);
/// The longest sleep within a lull.
const SLEEP_MAX: Duration = Duration::from_micros(250);
/// Sleeps in a row after which a lull has become a silence: some 80 milliseconds.
const LULL: u32 = 256;
/// Sleep in a silence: what the packet that ends it may wait for. A wake costs about 15 microseconds of processor time on
/// a virtual machine, so that these are below 2 % of a core.
const SLEEP_SILENCE: Duration = Duration::from_micros(900);

/// Turns of a loop without work, and what to do about them.
#[derive(Debug)]
pub(crate) struct Backoff {
    idle: Idle,
    /// More shards than cores.
    crowded: bool,
    /// Turns without work in a row; from 0 again after very many, so that what is done every so many turns goes on.
    turns: u32,
}

impl Backoff {
    pub(crate) fn new(idle: Idle, crowded: bool) -> Self {
        Self {
            idle,
            crowded,
            turns: 0,
        }
    }

    /// Whether it ever sleeps.
    pub(crate) fn may_sleep(&self) -> bool {
        self.idle == Idle::Adaptive
    }

    /// There was work.
    pub(crate) fn reset(&mut self) {
        self.turns = 0;
    }

    /// Turns without work in a row, the present one left out.
    pub(crate) fn turns(&self) -> u32 {
        self.turns
    }

    /// One turn without work: polls again at once, lets others run, or sleeps.
    pub(crate) fn pause(&mut self) {
        let patience = if self.crowded { YIELDS } else { SPINS };
        self.turns = self.turns.wrapping_add(1);
        if self.idle == Idle::Adaptive && self.turns > patience {
            // Of the thread, not of the task: nothing else runs on it, and a timer of the executor costs several times as
            // much in system calls. Other shards may end it.
            std::thread::park_timeout(sleep(self.turns - patience - 1));
        } else if self.crowded {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Length of the sleep after `sleeps` others in a row.
fn sleep(sleeps: u32) -> Duration {
    if sleeps >= LULL {
        return SLEEP_SILENCE;
    }
    SLEEP_MAX.min(SLEEP_MIN * 2_u32.pow(sleeps.min(8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_double_up_to_the_bound() {
        assert_eq!(sleep(0), SLEEP_MIN);
        assert_eq!(sleep(1), SLEEP_MIN * 2);
        assert_eq!(sleep(4), SLEEP_MAX);
        assert_eq!(sleep(LULL - 1), SLEEP_MAX);
        assert_eq!(sleep(LULL), SLEEP_SILENCE);
        assert_eq!(sleep(u32::MAX), SLEEP_SILENCE);
    }
}
