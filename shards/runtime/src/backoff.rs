//! What a shard does when it finds nothing to do.

use std::time::Duration;

use glommio::timer::Timer;

use crate::Idle;

/// Empty polls before a shard begins to sleep: some microseconds.
const SPINS: u32 = 256;
/// The same where other shards wait for the core: each poll lets them run.
const YIELDS: u32 = 16;
/// The first sleep; it doubles up to [`SLEEP_MAX`].
const SLEEP_MIN: Duration = Duration::from_micros(16);
/// The longest sleep: what a packet may wait for at most when it comes after a silence.
const SLEEP_MAX: Duration = Duration::from_micros(250);

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

    /// There was work.
    pub(crate) fn reset(&mut self) {
        self.turns = 0;
    }

    /// Turns without work in a row, the present one left out.
    pub(crate) fn turns(&self) -> u32 {
        self.turns
    }

    /// One turn without work: polls again at once, lets others run, or sleeps.
    pub(crate) async fn pause(&mut self) {
        let patience = if self.crowded { YIELDS } else { SPINS };
        self.turns = self.turns.wrapping_add(1);
        if self.idle == Idle::Adaptive && self.turns > patience {
            Timer::new(sleep(self.turns - patience - 1)).await;
        } else if self.crowded {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Length of the sleep after `sleeps` others in a row.
fn sleep(sleeps: u32) -> Duration {
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
        assert_eq!(sleep(u32::MAX), SLEEP_MAX);
    }
}
