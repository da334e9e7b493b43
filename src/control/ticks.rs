//! What is due again and again, by the clock on the wall.

use std::time::Duration;

use mosaic_runtime::clock;
use signal_hook::consts::SIGUSR1;

use super::signals::Request;
use crate::Result;

/// Something that is due again and again. Not for actors: their time is that of packets.
#[derive(Debug)]
pub struct Ticks {
    every: Duration,
    last: Duration,
}

impl Ticks {
    /// Due this long from now, and then this long after it was last found to be.
    pub fn every(every: Duration) -> Self {
        Self {
            every,
            last: clock::monotonic(),
        }
    }

    /// Whether it is due. Where it is found to be late, it is due once, and the time begins anew.
    pub fn is_due(&mut self) -> bool {
        self.is_due_at(clock::monotonic())
    }

    fn is_due_at(&mut self, now: Duration) -> bool {
        let is_due = now.saturating_sub(self.last) >= self.every;
        if is_due {
            self.last = now;
        }
        is_due
    }
}

/// Reminds of figures to be printed: on SIGUSR1, and every so often.
#[derive(Debug)]
pub struct Reminder {
    asked: Request,
    ticks: Option<Ticks>,
}

impl Reminder {
    /// Catches SIGUSR1 from now on, for the rest of the process; `every` is the time between reminders without it, none with
    /// `None`.
    ///
    /// # Errors
    /// [`Error::Signals`](crate::Error::Signals) where the operating system refuses.
    pub fn new(every: Option<Duration>) -> Result<Self> {
        Ok(Self {
            asked: Request::by(SIGUSR1)?,
            ticks: every.map(Ticks::every),
        })
    }

    /// Whether figures are to be printed now. A signal does not put off the next one by the clock.
    pub fn is_due(&mut self) -> bool {
        let by_clock = self.ticks.as_mut().is_some_and(Ticks::is_due);
        self.asked.take() || by_clock
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn ticks_begin_anew_when_they_are_noticed() {
        let ms = Duration::from_millis;
        let mut ticks = Ticks {
            every: ms(100),
            last: ms(1000),
        };
        let due: Vec<u64> = [1000, 1099, 1100, 1199, 1450, 1451, 1549, 1550]
            .into_iter()
            .filter(|now| ticks.is_due_at(ms(*now)))
            .collect();
        assert_eq!(due, [1100, 1450, 1550]);
        assert!(!ticks.is_due_at(ms(0)), "a clock that steps back");
    }

    #[test]
    fn a_reminder_is_due_once_by_signal_and_again_by_clock() {
        let mut silent = Reminder::new(None).unwrap();
        let mut always = Reminder::new(Some(Duration::ZERO)).unwrap();
        assert!(!silent.is_due());
        assert!(always.is_due() && always.is_due());
        raise(SIGUSR1).unwrap();
        assert!(silent.is_due());
        assert!(!silent.is_due());
    }
}
