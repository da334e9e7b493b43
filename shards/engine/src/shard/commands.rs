//! What a callback asked for, done before the next one.

use super::monitors::members;
use super::sets::Change;
use super::{Run, Shard};
use crate::actor::ActorId;
use crate::event::Side;
use crate::flow::entry::Flags;
use crate::stream::OverlapPolicy;

/// What a callback asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Commands {
    /// Whether there is anything.
    pub(super) any: bool,
    /// The set of subscriptions that the flow is to have, taken.
    pub(super) set: Option<u16>,
    /// The flow leaves: nothing is done any more.
    pub(super) leaves: bool,
    /// The packet at hand is to go no further.
    pub(super) drops: bool,
    /// The actor wants nothing more of the flow.
    pub(super) stops: bool,
    /// Whether segments of the sides wait for their turn.
    pub(super) edits: [Option<bool>; 2],
    /// Something special is done with the flow.
    pub(super) special: bool,
    /// The connection was reset, or answered.
    pub(super) closes: bool,
    /// Whether packets of the flow are dropped from the next one on.
    pub(super) blocks: Option<bool>,
    /// New bounds of the sides, in bytes; 0 where the actor wants no bytes.
    pub(super) buffers: [Option<u64>; 2],
    /// New overlap policies of the sides.
    pub(super) overlaps: [Option<OverlapPolicy>; 2],
}

/// The smallest bound of a side is 2 to this power, for which a nibble holds 1; 0 stands for the configured bound.
const SMALLEST: u32 = 10;
/// The largest.
const LARGEST: u32 = 23;

const _: () = assert!(LARGEST - SMALLEST < 15, "a bound is kept in a nibble");

impl Shard {
    /// Does what an actor asked for in a callback for the flow at `slot`.
    #[cold]
    pub(super) fn obey(&mut self, run: &mut Run<'_>, slot: u8, actor: ActorId, commands: Commands) {
        if commands.drops {
            run.drop_packet();
        }
        if let Some(set) = commands.set {
            self.move_to_set(slot, set);
        }
        for side in Side::BOTH {
            if let Some(bytes) = commands.buffers[side as usize] {
                self.set_buffer(slot, actor, side, bytes);
            }
            if let Some(policy) = commands.overlaps[side as usize] {
                let flow = self.burst.actives[usize::from(slot)].flow;
                let overlaps = &mut self.table.cold_mut(flow).overlaps;
                let shift = 4 * side as u8;
                *overlaps =
                    *overlaps & !(0xf << shift) | OverlapPolicy::nibble(Some(policy)) << shift;
            }
        }
        for side in Side::BOTH {
            if let Some(on) = commands.edits[side as usize] {
                self.set_ordered(slot, side, on);
            }
        }
        if let Some(blocked) = commands.blocks {
            let flow = self.burst.actives[usize::from(slot)].flow;
            self.make_special(flow, |special| special.blocked = blocked);
        }
        if commands.special {
            let flow = self.burst.actives[usize::from(slot)].flow;
            self.make_special(flow, |_| {});
        }
        if commands.closes {
            self.close_by_reset(slot);
        }
        if commands.stops {
            self.detach(slot, actor);
        }
    }

    fn set_buffer(&mut self, slot: u8, actor: ActorId, side: Side, bytes: u64) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let (hot, cold) = self.table.both_mut(flow);
        let mask = self.monitors.set(hot.set).mask & self.monitors.of_actor(actor);
        let deaf = bytes == 0;
        if !deaf {
            let power = bytes.min(1 << LARGEST).next_power_of_two().trailing_zeros();
            let nibble = power.clamp(SMALLEST, LARGEST) - SMALLEST + 1;
            let shift = 4 * side as u8;
            let nibble = u8::try_from(nibble).unwrap_or(0) << shift;
            cold.bounds = cold.bounds & !(0xf << shift) | nibble;
        }
        self.change_set(slot, Change::Deafen { side, mask, deaf });
    }

    /// Changes what is asked of the flow at `slot`. Where no set is left for that, everything stays as it is.
    pub(super) fn change_set(&mut self, slot: u8, change: Change) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        if let Ok(set) = self.monitors.after(self.table.hot(flow).set, change) {
            self.move_to_set(slot, set);
        }
    }

    /// Gives the flow at `slot` a set that was taken for it. Who becomes a reader by that reads from there on: what came while
    /// it did not listen is not for it.
    fn move_to_set(&mut self, slot: u8, set: u16) {
        let active = &mut self.burst.actives[usize::from(slot)];
        let (hot, cold) = self.table.both_mut(active.flow);
        let old = core::mem::replace(&mut hot.set, set);
        for side in Side::BOTH {
            let [before, after] = [old, set].map(|id| self.monitors.set(id).readers[side as usize]);
            for reader in members(after & !before) {
                active.set_position(side, reader, hot.half(side).next);
            }
            if before & !after != 0 && hot.has(Flags::STORED, side) {
                let (store, _) = self.stores.with_blocks(cold.half(side).store);
                for reader in members(before & !after) {
                    store.lost[usize::from(reader)] = 0;
                }
            }
        }
        self.monitors.give(old);
    }

    /// How many bytes of a side may wait for its slowest reader.
    pub(super) fn bound(&self, flow: u32, side: Side) -> u64 {
        let configured = self.config.side_bytes_max as u64;
        match self.table.cold(flow).bounds >> (4 * side as u8) & 0xf {
            0 => configured,
            nibble => configured.min(1 << (u32::from(nibble) + SMALLEST - 1)),
        }
    }
}
