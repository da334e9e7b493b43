//! Which copy of a byte counts, and what is left of each segment that waits.

use alloc::vec::Vec;

use super::assembler::Assembler;
use crate::limits;

/// Which copy of a byte that was sent more than once counts, as long as the byte waits behind a hole. What was delivered in
/// order stays, as it does with every receiver.
///
/// Receivers differ, and who knows that can show one stream to a monitor and another to the host behind it (Ptacek and
/// Newsham, 1998). The policies named after systems go back to Novak and Sturges ("Target-Based TCP Stream
/// Reassembly", 2007, after Shankar and Paxson, "Active Mapping", 2003), and intrusion detection systems have used them since.
///
/// A rule looks at two segments that overlap: the newer one as it was sent, and what is left of the older one. All of the
/// overlap goes to one of them. Where a segment meets several older ones, each pair is judged by itself; systems have been
/// found to differ there (Aubard and others, "Overlapping IPv4, IPv6, and TCP data", 2025), which no policy here follows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum OverlapPolicy {
    /// The first copy.
    #[default]
    First,
    /// The last copy.
    Last,
    /// FreeBSD 4, NetBSD 2, OpenBSD 3 and later: the newer segment where it begins before the older one.
    Bsd,
    /// The mirror of it: the newer segment where it does not begin before the older one.
    BsdRight,
    /// Linux 2.4 and later: the newer segment where it begins before the older one, or at the same byte and is longer.
    Linux,
    /// Linux 2.2 and earlier: as [`Linux`](Self::Linux), and also where it is just as long.
    OldLinux,
    /// Solaris 9 and later: the newer segment where it ends behind the older one, or at the same byte and begins before it;
    /// of two that begin and end at the same bytes the newer one, if the byte before them is there.
    Solaris,
    /// Windows 95 to XP: as [`Bsd`](Self::Bsd).
    Windows,
    /// Windows Server 2003: as [`Bsd`](Self::Bsd).
    Windows2003,
    /// Windows Vista and later: the first copy.
    Vista,
    /// HP-UX 10: as [`Linux`](Self::Linux).
    Hpux10,
    /// HP-UX 11 and later: as [`Solaris`](Self::Solaris).
    Hpux11,
    /// IRIX 6 and later: as [`Linux`](Self::Linux).
    Irix,
    /// Mac OS 10.3 and later: as [`Bsd`](Self::Bsd).
    MacOs,
}

/// A range of stream offsets: the first, and the one behind the last.
type Range = (u64, u64);

impl OverlapPolicy {
    /// Every policy.
    pub const ALL: [Self; 14] = [
        Self::First,
        Self::Last,
        Self::Bsd,
        Self::BsdRight,
        Self::Linux,
        Self::OldLinux,
        Self::Solaris,
        Self::Windows,
        Self::Windows2003,
        Self::Vista,
        Self::Hpux10,
        Self::Hpux11,
        Self::Irix,
        Self::MacOs,
    ];

    /// Its number plus 1, which fits into a nibble; 0 is for none.
    pub(crate) fn nibble(policy: Option<Self>) -> u8 {
        policy.map_or(0, |policy| policy as u8 + 1)
    }

    /// The policy of a nibble.
    pub(crate) fn of_nibble(nibble: u8) -> Option<Self> {
        Self::ALL.get(usize::from(nibble).checked_sub(1)?).copied()
    }

    /// Whether it depends on where segments begin and end.
    pub(crate) fn needs_extents(self) -> bool {
        !matches!(self, Self::First | Self::Last | Self::Vista)
    }

    /// Whether the bytes of `newer` count where it overlaps `older`; `preceded`: whether the byte before `older` is there.
    fn prefers_newer(self, older: Range, newer: Range, preceded: bool) -> bool {
        let begins = newer.0.cmp(&older.0);
        let ends = newer.1.cmp(&older.1);
        match self {
            Self::First | Self::Vista => false,
            Self::Last => true,
            Self::Bsd | Self::MacOs | Self::Windows | Self::Windows2003 => begins.is_lt(),
            Self::BsdRight => begins.is_ge(),
            Self::Linux | Self::Irix | Self::Hpux10 => {
                begins.is_lt() || begins.is_eq() && ends.is_gt()
            }
            Self::OldLinux => begins.is_lt() || begins.is_eq() && ends.is_ge(),
            Self::Solaris | Self::Hpux11 => {
                ends.is_gt() || ends.is_eq() && (begins.is_lt() || begins.is_eq() && preceded)
            }
        }
    }
}

const _: () = assert!(
    OverlapPolicy::ALL.len() < 16,
    "a policy of a side is kept in a nibble"
);

/// What is left of each segment that waits behind a hole: ascending and disjoint ranges, together those of the
/// [`Assembler`], in which a segment cannot be told from the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extents {
    ranges: Vec<Range>,
    bytes: u64,
    /// Scratch memory.
    parts: Vec<Range>,
}

impl Extents {
    /// Forgets what was delivered. Where they were not kept so far, each run of waiting bytes is taken for one segment.
    pub(crate) fn follow(&mut self, ahead: &Assembler) {
        let next = ahead.first().map_or(u64::MAX, |(first, _)| first);
        let gone = self.ranges.partition_point(|range| range.1 <= next);
        for range in self.ranges.drain(..gone) {
            self.bytes -= range.1 - range.0;
        }
        if self.bytes != ahead.bytes() {
            self.ranges.clear();
            self.ranges.extend(ahead.iter());
            self.bytes = ahead.bytes();
        }
    }

    /// Calls `won` with each part of `part`, of a segment that was sent as `newer`, whose bytes take the place of those that
    /// wait.
    pub(crate) fn judge(
        &self,
        policy: OverlapPolicy,
        newer: Range,
        part: Range,
        mut won: impl FnMut(u64, u64),
    ) {
        for at in self.meeting(part) {
            let older = self.ranges[at];
            if policy.prefers_newer(older, newer, self.is_preceded(at)) {
                won(older.0.max(part.0), older.1.min(part.1));
            }
        }
    }

    /// Adds `part` of a segment that was sent as `newer`. Returns whether there was room; otherwise segments that touch are
    /// one from now on.
    pub(crate) fn insert(&mut self, policy: OverlapPolicy, newer: Range, part: Range) -> bool {
        let meeting = self.meeting(part);
        let mut parts = core::mem::take(&mut self.parts);
        let (mut from, mut rest) = (part.0, None);
        for at in meeting.clone() {
            let older = self.ranges[at];
            if policy.prefers_newer(older, newer, self.is_preceded(at)) {
                if older.0 < part.0 {
                    parts.push((older.0, part.0));
                }
                rest = (older.1 > part.1).then_some((part.1, older.1));
            } else {
                if from < older.0 {
                    parts.push((from, older.0));
                }
                parts.push(older);
                from = older.1;
            }
        }
        if from < part.1 {
            parts.push((from, part.1));
        }
        parts.extend(rest);
        let before: u64 = self.ranges[meeting.clone()].iter().map(len).sum();
        self.bytes = self.bytes - before + parts.iter().map(len).sum::<u64>();
        self.ranges.splice(meeting, parts.drain(..));
        self.parts = parts;
        let fits = self.ranges.len() <= limits::SEGMENTS_WAITING;
        if !fits {
            self.ranges.dedup_by(|later, earlier| {
                let touches = earlier.1 == later.0;
                if touches {
                    earlier.1 = later.1;
                }
                touches
            });
        }
        fits
    }

    /// Indices of the ranges that have bytes in `part`.
    fn meeting(&self, part: Range) -> core::ops::Range<usize> {
        let from = self.ranges.partition_point(|range| range.1 <= part.0);
        let behind = self.ranges[from..].partition_point(|range| range.0 < part.1);
        from..from + behind
    }

    /// Whether the byte before a range is there.
    fn is_preceded(&self, at: usize) -> bool {
        at > 0 && self.ranges[at - 1].1 == self.ranges[at].0
    }

    /// Whether none are known.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.bytes = 0;
    }
}

fn len(range: &Range) -> u64 {
    range.1 - range.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How an older segment may lie to a newer one, and who prefers the newer: the rows of the literature's table.
    #[test]
    fn pairs_are_judged_as_measured() {
        const NEWER: Range = (10, 20);
        let rows: [(&str, Range, &[OverlapPolicy]); 7] = {
            use OverlapPolicy::*;
            [
                (
                    "begins before, ends within",
                    (5, 15),
                    &[BsdRight, Solaris, Hpux11],
                ),
                ("begins before, ends behind", (5, 25), &[BsdRight]),
                (
                    "begins with it, ends within",
                    (10, 15),
                    &[BsdRight, Linux, OldLinux, Hpux10, Irix, Solaris, Hpux11],
                ),
                ("the same", (10, 20), &[BsdRight, OldLinux]),
                ("begins with it, ends behind", (10, 25), &[BsdRight]),
                (
                    "begins within, ends within",
                    (12, 18),
                    &[
                        Bsd,
                        MacOs,
                        Windows,
                        Windows2003,
                        Linux,
                        OldLinux,
                        Hpux10,
                        Irix,
                        Solaris,
                        Hpux11,
                    ],
                ),
                (
                    "begins within, ends behind",
                    (12, 25),
                    &[
                        Bsd,
                        MacOs,
                        Windows,
                        Windows2003,
                        Linux,
                        OldLinux,
                        Hpux10,
                        Irix,
                    ],
                ),
            ]
        };
        for (row, older, newer_counts) in rows {
            for policy in OverlapPolicy::ALL {
                let expected = policy == OverlapPolicy::Last || newer_counts.contains(&policy);
                let found = policy.prefers_newer(older, NEWER, false);
                assert_eq!(found, expected, "{policy:?}: the older one {row}");
            }
        }
        assert!(OverlapPolicy::Solaris.prefers_newer(NEWER, NEWER, true));
    }

    #[test]
    fn a_policy_fits_into_a_nibble() {
        for policy in OverlapPolicy::ALL {
            let nibble = OverlapPolicy::nibble(Some(policy));
            assert!((1..16).contains(&nibble));
            assert_eq!(OverlapPolicy::of_nibble(nibble), Some(policy));
        }
        assert_eq!(OverlapPolicy::of_nibble(0), None);
        assert_eq!(OverlapPolicy::of_nibble(15), None);
    }

    #[test]
    fn extents_are_bounded() {
        let mut extents = Extents::default();
        let most = limits::SEGMENTS_WAITING as u64;
        for at in 0..most {
            assert!(extents.insert(OverlapPolicy::Bsd, (at, at + 1), (at, at + 1)));
        }
        assert!(!extents.insert(OverlapPolicy::Bsd, (most, most + 1), (most, most + 1)));
        assert_eq!(extents.ranges, [(0, most + 1)]);
        assert_eq!(extents.bytes, most + 1);
    }
}
