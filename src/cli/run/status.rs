//! The status line: what passes at the moment, on a terminal only.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use mosaic_runtime::clock;

use crate::Snapshot;

/// How often rates are taken: shorter, and they jump about.
const PERIOD: Duration = Duration::from_secs(1);

/// Shows rates on standard error. Nothing where that is no terminal.
pub(super) struct StatusLine {
    bar: Option<ProgressBar>,
    before: Figures,
    at: Duration,
}

/// What rates are made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Figures {
    frames: u64,
    bytes: u64,
    flows: u64,
    lost: u64,
}

impl StatusLine {
    pub(super) fn new(wanted: bool) -> Self {
        let make = || {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            ProgressBar::with_draw_target(None, target).with_style(style)
        };
        Self {
            bar: (wanted && stderr().is_terminal()).then(make),
            before: Figures::default(),
            at: clock::monotonic(),
        }
    }

    /// Draws anew, once in a period.
    pub(super) fn show(&mut self, figures: impl FnOnce() -> Snapshot) {
        let Some(bar) = &self.bar else { return };
        let now = clock::monotonic();
        let elapsed = now.saturating_sub(self.at);
        if elapsed >= PERIOD {
            let figures = Figures::of(&figures());
            bar.set_message(figures.message(&self.before, elapsed));
            (self.before, self.at) = (figures, now);
        }
        bar.tick();
    }

    /// Takes the line off the screen.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Figures {
    fn of(snapshot: &Snapshot) -> Self {
        let ingress = snapshot.ingress();
        let missed = |port: &crate::PortFigures| port.missed_frames + port.no_buffer_frames;
        Self {
            frames: ingress.received_frames,
            bytes: ingress.received_bytes,
            flows: snapshot.flows() as u64,
            lost: snapshot.hand_over().ring_dropped
                + snapshot.ports.iter().map(missed).sum::<u64>(),
        }
    }

    fn message(&self, before: &Self, elapsed: Duration) -> String {
        let rate = |now: u64, before: u64| {
            let millis = elapsed.as_millis().max(1);
            let rate = u128::from(now.saturating_sub(before)) * 1000 / millis;
            u64::try_from(rate).unwrap_or(u64::MAX)
        };
        format!(
            "{} packets/s, {}/s, {} flows, {} packets lost",
            HumanCount(rate(self.frames, before.frames)),
            HumanBytes(rate(self.bytes, before.bytes)),
            HumanCount(self.flows),
            HumanCount(self.lost)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_for_a_second() {
        let before = Figures {
            frames: 1_000,
            bytes: 0,
            ..Figures::default()
        };
        let now = Figures {
            frames: 4_000,
            bytes: 2_048,
            flows: 7,
            lost: 1,
        };
        assert_eq!(
            now.message(&before, Duration::from_secs(2)),
            "1,500 packets/s, 1.00 KiB/s, 7 flows, 1 packets lost"
        );
    }
}
