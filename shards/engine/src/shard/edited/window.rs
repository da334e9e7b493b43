//! Windows for the senders of edited streams: they let no more be under way than may wait behind a hole.

use crate::event::Side;
use crate::limits;
use crate::shard::Shard;

/// The most payload of a segment whose receiver has not said anything about it (RFC 9293, section 3.7.1).
const DEFAULT_MSS: u16 = 536;
/// The largest window that needs no scale. Those of a SYN have none, and are offered before anything is known.
const UNSCALED_MAX: usize = 65_535;

const _: () = assert!(UNSCALED_MAX <= limits::HELD_WINDOW);

/// What was offered to the sender of a stream, in original positions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offer {
    /// First position beyond every window so far.
    edge: i64,
    /// The last acknowledgment, its window field, and what became of that.
    last: Option<(i64, u16, u16)>,
}

/// A window as its receiver announces it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announced {
    /// Position that the segment acknowledges.
    pub(super) ack: i64,
    /// Window field.
    pub(super) field: u16,
    pub(super) scale: u8,
}

/// How far windows for the sender of a stream may reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// First position that is not to be sent now.
    position: i64,
    /// What a full segment carries.
    mss: i64,
}

impl Offer {
    /// The window field for the sender: what goes beyond `limit` is taken off, as far as it was not offered before (RFC 9293,
    /// section 3.8.6: a right edge does not move left, but for rounding to the scale). The acknowledgment is passed on.
    pub(super) fn forward(&mut self, announced: Announced, limit: Option<Limit>) -> u16 {
        let Announced { ack, field, .. } = announced;
        let given = match self.last {
            // Senders count duplicates only where the window stays (RFC 5681, section 2).
            Some((last, of, given)) if (last, of) == (ack, field) => given,
            _ => self.make(announced, limit),
        };
        self.last = Some((ack, field, given));
        given
    }

    /// The same for an acknowledgment that is made here.
    pub(super) fn make(&mut self, announced: Announced, limit: Option<Limit>) -> u16 {
        let Announced { ack, field, scale } = announced;
        let announced_edge = ack + (i64::from(field) << scale);
        let edge = match limit {
            // Not in crumbs (RFC 9293, section 3.8.6.2.2).
            Some(limit) if limit.position < self.edge + limit.mss => self.edge,
            Some(limit) => limit.position,
            None => announced_edge,
        };
        if edge >= announced_edge || edge <= ack {
            // Or it acknowledges more than was ever sent.
            self.edge = self.edge.max(announced_edge);
            return field;
        }
        self.edge = edge;
        let room = edge - ack;
        let units = (room >> scale) + i64::from(room & ((1 << scale) - 1) != 0);
        u16::try_from(units).unwrap_or(u16::MAX)
    }
}

impl Shard {
    /// How far windows for the sender of `side` may reach; `None` where its segments do not wait.
    pub(super) fn window_limit(
        &self,
        number: u32,
        place: u32,
        side: Side,
        scale: u8,
    ) -> Option<Limit> {
        let sides = &self.edited.list[place as usize].sides;
        let own = &sides[side as usize];
        if !own.started || !self.holds(number, place, side) {
            return None;
        }
        // An end announces what its own way takes, too.
        let mss = sides.iter().map(|side| side.mss.unwrap_or(DEFAULT_MSS));
        let mss = mss.min().unwrap_or(DEFAULT_MSS);
        let rounding = (1 << scale) - 1;
        Some(Limit {
            position: own.turn() + window_max(mss) - rounding,
            mss: i64::from(mss),
        })
    }
}

/// How many bytes beyond what came in order fit into what may wait, in segments that are half full at least.
fn window_max(mss: u16) -> i64 {
    let of_segments = limits::HELD_SEGMENTS / 2 * usize::from(mss);
    let window = of_segments.clamp(UNSCALED_MAX, limits::HELD_WINDOW);
    i64::try_from(window).unwrap_or(i64::MAX)
}
