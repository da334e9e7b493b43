//! Which byte ranges of a side are present beyond the next one expected.

use alloc::vec::Vec;
use mosaic_port::Timestamp;

/// One run of bytes that are present, and since when an acknowledgment covers the hole before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    start: u64,
    end: u64,
    covered: Option<Timestamp>,
}

/// The ranges that wait behind holes, as stream offsets.
///
/// Invariant: ranges are ascending, not empty, and do not touch one another; so there are as many holes as ranges.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    ranges: Vec<Range>,
    bytes: u64,
}

impl Assembler {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holes, the one before the first range included.
    pub fn holes(&self) -> usize {
        self.ranges.len()
    }

    /// First range that waits: its first offset and the one behind its last.
    pub fn first(&self) -> Option<(u64, u64)> {
        self.ranges.first().map(|range| (range.start, range.end))
    }

    /// Where the last range that waits ends.
    pub fn last_end(&self) -> Option<u64> {
        self.ranges.last().map(|range| range.end)
    }

    /// Every range that waits, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + use<'_> {
        self.ranges.iter().map(|range| (range.start, range.end))
    }

    /// Whether adding `start..end` would make one more hole.
    pub fn opens_hole(&self, start: u64, end: u64) -> bool {
        let at = self.ranges.partition_point(|range| range.end < start);
        self.ranges.get(at).is_none_or(|range| range.start > end)
    }

    /// Adds `start..end` and calls `fresh` with each part that was not present, ascending. Returns how many bytes were
    /// present already.
    ///
    /// # Panics
    /// Where the range is empty.
    pub fn insert(&mut self, start: u64, end: u64, mut fresh: impl FnMut(u64, u64)) -> u64 {
        assert!(start < end, "a range has bytes");
        let from = self.ranges.partition_point(|range| range.end < start);
        let to = from + self.ranges[from..].partition_point(|range| range.start <= end);
        let (mut at, mut added) = (start, 0);
        for range in &self.ranges[from..to] {
            if at < range.start {
                fresh(at, range.start);
                added += range.start - at;
            }
            at = at.max(range.end);
        }
        if at < end {
            fresh(at, end);
            added += end - at;
        }
        self.bytes += added;
        self.replace(from, to, start, end);
        end - start - added
    }

    /// Puts one range in the place of those `from..to` that it touches.
    fn replace(&mut self, from: usize, to: usize, start: u64, end: u64) {
        match self.ranges.get(from..to) {
            Some([first, .., last]) => {
                let merged = Range {
                    start: first.start.min(start),
                    end: last.end.max(end),
                    covered: first.covered,
                };
                self.ranges[from] = merged;
                self.ranges.drain(from + 1..to);
            }
            Some([only]) => {
                let merged = Range {
                    start: only.start.min(start),
                    end: only.end.max(end),
                    ..*only
                };
                self.ranges[from] = merged;
            }
            _ => {
                // A new range divides a hole: what covered the whole of it covers both parts.
                let covered = self.ranges.get(from).and_then(|range| range.covered);
                self.ranges.insert(
                    from,
                    Range {
                        start,
                        end,
                        covered,
                    },
                );
            }
        }
    }

    /// Takes `start..end` out, as far as it is present, and returns how many bytes that was.
    pub fn remove(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        let from = self.ranges.partition_point(|range| range.end <= start);
        let to = from + self.ranges[from..].partition_point(|range| range.start < end);
        let mut left = arrayvec::ArrayVec::<Range, 2>::new();
        let mut removed = 0;
        for range in &self.ranges[from..to] {
            removed += range.end.min(end) - range.start.max(start);
            if range.start < start {
                left.push(Range {
                    end: start,
                    ..*range
                });
            }
            if range.end > end {
                left.push(Range {
                    start: end,
                    ..*range
                });
            }
        }
        self.ranges.splice(from..to, left);
        self.bytes -= removed;
        removed
    }

    /// Takes the first range out where it begins at or before `next`, and returns its end.
    pub fn take_reached(&mut self, next: u64) -> Option<u64> {
        let first = *self.ranges.first()?;
        if first.start > next {
            return None;
        }
        self.ranges.remove(0);
        self.bytes -= first.end - first.start;
        Some(first.end)
    }

    /// Notes that everything below `acknowledged` was acknowledged by `now`.
    pub fn acknowledge(&mut self, acknowledged: u64, now: Timestamp) {
        for range in self
            .ranges
            .iter_mut()
            .take_while(|range| range.start <= acknowledged)
        {
            range.covered.get_or_insert(now);
        }
    }

    /// Since when an acknowledgment covers the first hole.
    pub fn first_covered(&self) -> Option<Timestamp> {
        self.ranges.first()?.covered
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ranges.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a map of one flag a byte.
        #[test]
        fn behaves_like_a_byte_map(moves in proptest::collection::vec((0..200_u64, 1..30_u64), 1..80)) {
            let mut assembler = Assembler::default();
            let mut map = [false; 256];
            for (start, len) in moves {
                let mut fresh = Vec::new();
                let present = assembler.insert(start, start + len, |a, b| fresh.push((a, b)));
                let mut expected_present = 0;
                for offset in start..start + len {
                    let new = fresh.iter().any(|(a, b)| (*a..*b).contains(&offset));
                    prop_assert_eq!(new, !map[offset as usize]);
                    expected_present += u64::from(map[offset as usize]);
                    map[offset as usize] = true;
                }
                prop_assert_eq!(present, expected_present);
                prop_assert_eq!(assembler.bytes(), map.iter().filter(|b| **b).count() as u64);
                let runs = (0..256).filter(|i| map[*i] && (*i == 0 || !map[*i - 1])).count();
                prop_assert_eq!(assembler.holes(), runs);
                for (a, b) in assembler.iter() {
                    prop_assert!((a..b).all(|o| map[o as usize]) && !map[b as usize]);
                }
            }
        }

        #[test]
        fn predicts_new_holes(moves in proptest::collection::vec((0..200_u64, 1..9_u64), 1..60)) {
            let mut assembler = Assembler::default();
            for (start, len) in moves {
                let (before, opens) = (assembler.holes(), assembler.opens_hole(start, start + len));
                assembler.insert(start, start + len, |_, _| {});
                prop_assert_eq!(assembler.holes() > before, opens);
            }
        }
    }

    proptest! {
        #[test]
        fn removal_leaves_the_rest(
            ranges in proptest::collection::vec((0..200_u64, 1..30_u64), 1..20),
            start in 0..200_u64,
            len in 0..90_u64,
        ) {
            let mut assembler = Assembler::default();
            let mut map = [false; 300];
            for (start, len) in ranges {
                assembler.insert(start, start + len, |_, _| {});
                map[start as usize..(start + len) as usize].fill(true);
            }
            let cut = start as usize..(start + len) as usize;
            let expected = map[cut.clone()].iter().filter(|b| **b).count() as u64;
            prop_assert_eq!(assembler.remove(start, start + len), expected);
            map[cut].fill(false);
            prop_assert_eq!(assembler.bytes(), map.iter().filter(|b| **b).count() as u64);
            for (a, b) in assembler.iter() {
                prop_assert!(a < b && (a..b).all(|o| map[o as usize]) && !map[b as usize]);
            }
        }
    }

    #[test]
    fn a_hole_remembers_when_it_was_covered() {
        let at = Timestamp::from_nanos;
        let mut assembler = Assembler::default();
        assembler.insert(10, 20, |_, _| {});
        assembler.insert(30, 40, |_, _| {});
        assembler.acknowledge(20, at(5));
        assembler.acknowledge(35, at(9));
        assert_eq!(assembler.first_covered(), Some(at(5)));
        assembler.insert(4, 6, |_, _| {});
        assert_eq!(
            assembler.first_covered(),
            Some(at(5)),
            "both parts of a divided hole were covered then"
        );
        assert_eq!(assembler.take_reached(3), None);
        assert_eq!(assembler.take_reached(4), Some(6));
        assert_eq!(assembler.take_reached(10), Some(20));
        assert_eq!(assembler.first_covered(), Some(at(9)));
        assert_eq!(assembler.bytes(), 10);
    }
}
