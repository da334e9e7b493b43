//! What a receiver must refuse (RFC 9293, section 3.10.7.4; RFC 5961; RFC 7323, section 5).

use super::Seq;

/// What the receiver of a segment expects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Next sequence number expected.
    pub(crate) next: Seq,
    /// First sequence number beyond its window.
    pub(crate) edge: Seq,
}

/// A receiver's judgement of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Judged {
    /// It is processed, or is a harmless repetition.
    Acceptable,
    /// It lies beyond the window.
    BeyondWindow,
    /// Its timestamp is older than one seen before (PAWS).
    OldTimestamp,
    /// A RST that RFC 5961, section 3.2, answers with a challenge, or ignores.
    BadReset,
}

impl Window {
    /// Judges data or a control bit at `seq`, `len` sequence numbers long.
    ///
    /// Segments wholly below the window are repetitions, which receivers answer and ignore: nothing to complain about.
    pub(crate) fn judge(self, seq: Seq, len: u32) -> Judged {
        let beyond = if len == 0 {
            // Bare acknowledgments may stand at the edge itself: the sender has filled the window.
            seq.is_after(self.edge)
        } else {
            seq.is_after(self.next) && !self.edge.is_after(seq)
        };
        if beyond {
            Judged::BeyondWindow
        } else {
            Judged::Acceptable
        }
    }

    /// Judges a RST as RFC 5961 has it: only the very next number resets.
    pub(crate) fn judge_reset(self, seq: Seq) -> Judged {
        if seq == self.next {
            Judged::Acceptable
        } else {
            Judged::BadReset
        }
    }

    /// Judges a RST as RFC 793 had it: any number inside the window resets. For captures, which may have missed the
    /// segments in between.
    pub(crate) fn judge_reset_in_window(self, seq: Seq) -> Judged {
        let inside = seq == self.next || seq.is_after(self.next) && !seq.is_after(self.edge);
        if inside {
            Judged::Acceptable
        } else {
            Judged::BadReset
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        next: Seq(u32::MAX - 9),
        edge: Seq(90),
    };

    #[test]
    fn data_inside_below_and_beyond() {
        assert_eq!(WINDOW.judge(WINDOW.next, 100), Judged::Acceptable);
        assert_eq!(WINDOW.judge(Seq(89), 1000), Judged::Acceptable);
        assert_eq!(WINDOW.judge(Seq(90), 1), Judged::BeyondWindow);
        assert_eq!(WINDOW.judge(Seq(90), 0), Judged::Acceptable);
        assert_eq!(WINDOW.judge(Seq(91), 0), Judged::BeyondWindow);
        assert_eq!(WINDOW.judge(Seq(u32::MAX - 500), 10), Judged::Acceptable);
    }

    #[test]
    fn a_closed_window_takes_a_probe_but_nothing_beyond() {
        let closed = Window {
            next: Seq(5),
            edge: Seq(5),
        };
        assert_eq!(closed.judge(Seq(5), 1), Judged::Acceptable);
        assert_eq!(closed.judge(Seq(6), 1), Judged::BeyondWindow);
    }

    #[test]
    fn resets() {
        assert_eq!(WINDOW.judge_reset(WINDOW.next), Judged::Acceptable);
        assert_eq!(WINDOW.judge_reset(WINDOW.next.plus(1)), Judged::BadReset);
        assert_eq!(WINDOW.judge_reset_in_window(Seq(3)), Judged::Acceptable);
        assert_eq!(WINDOW.judge_reset_in_window(Seq(91)), Judged::BadReset);
        assert_eq!(
            WINDOW.judge_reset_in_window(Seq(u32::MAX - 10)),
            Judged::BadReset
        );
    }
}
