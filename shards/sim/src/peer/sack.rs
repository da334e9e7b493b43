//! Selective acknowledgments (RFC 2018), and segments that are too old (RFC 7323, section 5).

use mosaic_engine::wire::TcpFlags;

use super::{Peer, option, timestamp_option, unwrap_position, wire};
use crate::segment::Segment;

impl Peer {
    /// Adds what was received beyond the next position expected: the run with the latest segment first.
    pub(super) fn add_sacks(&self, options: &mut Vec<u8>) {
        let Some(isn) = self.receive.isn.filter(|_| self.sacks) else {
            return;
        };
        let mut runs = self.runs_ahead();
        let latest = self.receive.latest;
        runs.sort_by_key(|(start, end)| !(*start <= latest && latest < *end));
        runs.truncate((40 - options.len() - 4) / 8);
        if runs.is_empty() {
            return;
        }
        let len = u8::try_from(2 + 8 * runs.len()).expect("four at most");
        options.extend([1, 1, 5, len]);
        for (start, end) in runs {
            options.extend(wire(isn, start).to_be_bytes());
            options.extend(wire(isn, end).to_be_bytes());
        }
    }

    /// Positions of data that waits for what comes before it.
    fn runs_ahead(&self) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let expected = self.receive.expected;
        for (position, byte) in (1..).zip(&self.receive.bytes) {
            match runs.last_mut() {
                _ if byte.is_none() || position <= expected => {}
                Some((_, end)) if *end == position => *end += 1,
                _ => runs.push((position, position + 1)),
            }
        }
        runs
    }

    /// Notes what the other one says it has. Returns whether it says so of anything beyond what it acknowledges.
    ///
    /// # Panics
    /// Where it says so of what was never sent.
    pub(super) fn take_sacks(&mut self, segment: &Segment) -> bool {
        let Some(blocks) = option(&segment.options, 5).filter(|_| self.sacks) else {
            return false;
        };
        let position = |seq: &[u8]| {
            let seq = u32::from_be_bytes(seq.try_into().expect("half of a block"));
            unwrap_position(self.plan.isn, seq, self.send.unacked)
        };
        let mut any = false;
        let blocks: Vec<_> = blocks
            .chunks_exact(8)
            .map(|block| (position(&block[..4]), position(&block[4..])))
            .collect();
        for (start, end) in blocks {
            let (Ok(start), Ok(end)) = (u64::try_from(start), u64::try_from(end)) else {
                continue;
            };
            assert!(
                start < end && end <= self.send.highest,
                "{start}..{end} was acknowledged, {} was sent",
                self.send.highest
            );
            if end > self.send.unacked {
                any = true;
                self.send
                    .sacked
                    .push((start.max(self.send.unacked + 1), end));
            }
        }
        any
    }

    /// Whether a segment is older than what came before it in order. One that is not, and comes in order, is what later ones
    /// are held against.
    pub(super) fn is_old(&mut self, position: u64, segment: &Segment) -> bool {
        let (true, Some(recent), Some(value)) = (
            self.plan.paws,
            self.recent,
            timestamp_option(&segment.options),
        ) else {
            return false;
        };
        let ahead = value.wrapping_sub(recent).cast_signed();
        // As in Linux, one tick older is not old.
        if ahead < -1 && !segment.flags.contains(TcpFlags::RST) {
            return true;
        }
        if ahead > 0 && position <= self.receive.told {
            self.recent = Some(value);
        }
        false
    }
}
