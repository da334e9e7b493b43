//! Timestamps of segments (RFC 7323): which are old.

use super::segment::Segment;
use crate::event::Side;
use crate::flow::entry::Cold;
use crate::tcp::Seq;
use crate::wire::{Packet, TcpFlags};

/// The timestamp option, value and echo, where it is the only one, laid out as RFC 7323, appendix A, recommends.
pub(super) fn lone_timestamps(packet: &Packet, bytes: &[u8]) -> Option<(u32, u32)> {
    const NOP_NOP_TIMESTAMP: u32 = 0x0101_080a;
    let options = bytes.get(packet.transport_at as usize + 20..packet.payload_at as usize)?;
    let (words, []) = options.as_chunks::<4>() else {
        return None;
    };
    let &[kind, value, echo] = words else {
        return None;
    };
    (u32::from_be_bytes(kind) == NOP_NOP_TIMESTAMP)
        .then(|| (u32::from_be_bytes(value), u32::from_be_bytes(echo)))
}

/// Beyond what [`Trouble::ts_lag`](crate::flow::entry::Trouble::ts_lag) holds.
const TS_LAG_MAX: i64 = 254;

/// Whether PAWS refuses the segment (RFC 7323, section 5.3); otherwise its timestamps, value and echo, are learnt.
///
/// TS.Recent is what the receiver has echoed, not what was sent: a segment may be lost behind us, or stand behind a hole
/// there, and a receiver whose TS.Recent it did not move takes older ones. As in Linux, one tick older is not old.
pub(super) fn is_old(
    cold: &mut Cold,
    side: Side,
    segment: &Segment,
    (value, echo): (u32, u32),
) -> bool {
    const SLACK: u8 = 1;
    let ours = cold.trouble_mut(side);
    let ahead = Seq(value).distance_from(Seq(ours.ts_latest));
    if segment.is(TcpFlags::SYN) || ours.ts_lag == 0 {
        (ours.ts_latest, ours.ts_lag) = (value, 1);
    } else if ours.ts_lag > 1 && ahead < -i32::from(ours.ts_lag - 2 + SLACK) {
        return true;
    } else if ahead > 0 {
        ours.ts_latest = value;
        let lag = i64::from(ours.ts_lag) + i64::from(ahead);
        let is_known = ours.ts_lag > 1 && lag < TS_LAG_MAX;
        ours.ts_lag = u8::try_from(lag).ok().filter(|_| is_known).unwrap_or(1);
    }
    let theirs = cold.trouble_mut(side.other());
    if !segment.is(TcpFlags::ACK) || theirs.ts_lag == 0 {
        return false;
    }
    // An echo of what was never sent teaches nothing.
    let behind = i64::from(Seq(theirs.ts_latest).distance_from(Seq(echo)));
    let is_news = theirs.ts_lag == 1 || behind + 2 < i64::from(theirs.ts_lag);
    if is_news && (0..TS_LAG_MAX - 2).contains(&behind) {
        theirs.ts_lag = u8::try_from(behind + 2).unwrap_or(1);
    }
    false
}
