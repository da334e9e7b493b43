//! The progress bar: on a terminal only.

use std::io::{IsTerminal, stderr};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::Snapshot;

/// Shows how far the captures have been read, on standard error. Nothing where that is no terminal.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(wanted: bool) -> Self {
        let make = || {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            ProgressBar::with_draw_target(None, target).with_style(style("{spinner} {msg}"))
        };
        Self {
            bar: (wanted && stderr().is_terminal()).then(make),
        }
    }

    /// Draws anew.
    pub(super) fn show(&self, figures: impl FnOnce() -> Snapshot) {
        let Some(bar) = &self.bar else { return };
        let figures = figures();
        bar.set_message(format!(
            "{} packets, {} flows",
            HumanCount(figures.ingress().received_frames),
            HumanCount(figures.flows() as u64)
        ));
        match figures.progress() {
            Some((done, total)) => {
                if bar.length() != Some(total) {
                    bar.set_style(style(
                        "{bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {msg}",
                    ));
                    bar.set_length(total);
                }
                bar.set_position(done);
            }
            None => bar.tick(),
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
