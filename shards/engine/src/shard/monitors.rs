//! Monitor sockets, and the interned sets of them that flows carry.

use alloc::vec::Vec;
use arrayvec::ArrayVec;

use crate::actor::{ActorId, CloseError, MonitorId, OpenError};
use crate::event::{Event, EventSet, Filter, Hook, Side};
use crate::limits::MONITORS;

/// One monitor socket.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) actor: ActorId,
    pub(crate) filter: Option<Filter>,
    /// Events asked for, by hook.
    pub(crate) events: [EventSet; 3],
    /// Whether packets are asked for, by hook.
    pub(crate) packets: [bool; 2],
    /// Bytes a side kept for it whoever has read them.
    pub(crate) retain: u32,
}

impl Monitor {
    /// Whether bytes are kept for it until it has read them.
    fn is_reader(&self) -> bool {
        self.events[Hook::End as usize].contains(EventSet::NEW_DATA)
    }
}

/// What makes a set: its members, and those of them that want no bytes of a side; a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SetKey {
    pub(crate) mask: u16,
    pub(crate) deaf: [u16; 2],
}

impl SetKey {
    /// The set of `mask`, of whom all want bytes.
    pub(crate) fn of(mask: u16) -> Self {
        Self { mask, deaf: [0; 2] }
    }

    /// The set without the members in `gone`.
    pub(crate) fn without(self, gone: u16) -> Self {
        Self {
            mask: self.mask & !gone,
            deaf: self.deaf.map(|deaf| deaf & !gone),
        }
    }
}

/// What a set of monitors asks for together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    /// Members, a bit each.
    pub(crate) mask: u16,
    /// Members that want no bytes of a side, a bit each.
    pub(crate) deaf: [u16; 2],
    /// Members that read the stream of a side, a bit each.
    pub(crate) readers: [u16; 2],
    /// Events any of them asks for, by hook.
    pub(crate) events: [EventSet; 3],
    /// Whether any of them asks for packets, by hook.
    pub(crate) packets: [bool; 2],
    /// The largest retention any of them asks for, by side.
    pub(crate) retain: [u32; 2],
    /// Whether a flow was seen to have it since flows were last made to forget closed monitors.
    seen: bool,
    /// Whether no flow has it.
    free: bool,
}

impl Set {
    /// Whether the bytes of a side matter to anybody.
    #[inline]
    pub(crate) fn keeps_bytes(&self, side: Side) -> bool {
        self.readers[side as usize] != 0 || self.retain[side as usize] != 0
    }

    /// The members that may be told of `event`.
    #[inline]
    pub(crate) fn hearing(&self, event: Event) -> u16 {
        match event {
            Event::NewData(side) | Event::LateData(side) => self.mask & !self.deaf[side as usize],
            _ => self.mask,
        }
    }

    /// Which set it is.
    pub(crate) fn key(&self) -> SetKey {
        SetKey {
            mask: self.mask,
            deaf: self.deaf,
        }
    }
}

/// A place for a monitor socket.
#[derive(Debug)]
struct Slot {
    /// `None` where it is closed.
    monitor: Option<Monitor>,
    /// Whose the monitor is, or was.
    actor: ActorId,
    /// How many monitors were closed here.
    generation: u32,
}

/// The monitor sockets of a shard. Flows with the same monitors share one set.
///
/// A slot whose monitor was closed is opened again only when no flow remembers the old one: *closed* ones wait until those
/// that are *closing* are forgotten, flow by flow (see `shard::release`).
#[derive(Debug)]
pub struct Monitors {
    shard: u16,
    slots: ArrayVec<Slot, MONITORS>,
    /// Slots that may be opened again, the one that has waited longest first.
    free: ArrayVec<u8, MONITORS>,
    /// Slots that flows are being made to forget, and those closed since that began; a bit each.
    closing: u16,
    closed: u16,
    /// Slots in the order in which their monitors were opened, and whether that is ascending.
    order: ArrayVec<u8, MONITORS>,
    in_order: bool,
    /// The set of flows that nobody watches first, the empty one of flows that everybody has stopped watching second.
    sets: Vec<Set>,
}

/// The set of flows whose first packet passed the filter of no monitor: of these only the [`Hot`](crate::flow::entry::Hot)
/// part is kept. No other flow has it.
pub(crate) const UNWATCHED: u16 = 0;

/// Sets that are never given back.
const FIXED_SETS: usize = 2;

impl Monitors {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            slots: ArrayVec::new(),
            free: ArrayVec::new(),
            closing: 0,
            closed: 0,
            order: ArrayVec::new(),
            in_order: true,
            sets: alloc::vec![Set::default(); FIXED_SETS],
        }
    }

    /// The monitor in a slot, if it is open.
    #[inline]
    pub(crate) fn get(&self, slot: u8) -> Option<&Monitor> {
        self.slots[usize::from(slot)].monitor.as_ref()
    }

    /// Whose the monitor in a slot is, or was until it was closed.
    pub(crate) fn actor(&self, slot: u8) -> ActorId {
        self.slots[usize::from(slot)].actor
    }

    /// The open monitors.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &Monitor)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, place)| Some((slot, place.monitor.as_ref()?)))
    }

    /// The monitors in `mask` in the order of the chain they form: from the first opened to the last for what the client
    /// sends and for what nobody sent, from the last to the first for what the server sends.
    #[inline]
    pub(crate) fn chain(&self, mask: u16, sender: Option<Side>) -> Chain {
        Chain {
            left: mask,
            backwards: sender == Some(Side::Server),
            order: (!self.in_order).then(|| self.order.clone()),
        }
    }

    /// The open monitors of an actor, a bit each.
    pub(crate) fn of_actor(&self, actor: ActorId) -> u16 {
        self.iter()
            .filter(|(_, monitor)| monitor.actor == actor)
            .fold(0, |mask, (slot, _)| mask | 1 << slot)
    }

    fn open(&mut self, monitor: Monitor) -> Result<MonitorId, OpenError> {
        let actor = monitor.actor;
        let slot = if self.slots.is_full() {
            self.free.pop_at(0).ok_or(OpenError::NoSocket)?
        } else {
            self.slots.push(Slot {
                monitor: None,
                actor,
                generation: 0,
            });
            u8::try_from(self.slots.len() - 1).map_err(|_| OpenError::NoSocket)?
        };
        self.put_last(slot);
        let place = &mut self.slots[usize::from(slot)];
        (place.monitor, place.actor) = (Some(monitor), actor);
        Ok(MonitorId {
            generation: place.generation,
            shard: self.shard,
            slot,
        })
    }

    /// Makes a slot the last of the chain.
    fn put_last(&mut self, slot: u8) {
        self.order.retain(|other| *other != slot);
        self.order.push(slot);
        self.in_order = self.order.is_sorted();
    }

    /// Closes a monitor: no flow shows it anything from now on.
    pub(crate) fn close(&mut self, id: MonitorId) -> Result<(), CloseError> {
        let place = self
            .slots
            .get_mut(usize::from(id.slot))
            .filter(|place| place.monitor.is_some() && place.generation == id.generation)
            .filter(|_| id.shard == self.shard)
            .ok_or(CloseError::StaleHandle)?;
        place.monitor = None;
        place.generation = place.generation.wrapping_add(1);
        self.closed |= 1 << id.slot;
        for at in 0..self.sets.len() {
            if self.sets[at].mask & 1 << id.slot != 0 {
                self.sets[at] = self.summed(self.sets[at].key().without(1 << id.slot));
            }
        }
        Ok(())
    }

    /// Whether flows may still remember closed monitors.
    #[inline]
    pub(crate) fn must_forget(&self) -> bool {
        self.closed | self.closing != 0
    }

    /// The monitors that flows are being made to forget.
    pub(crate) fn closing(&self) -> u16 {
        self.closing
    }

    /// Every closed monitor that flows may remember.
    pub(crate) fn forgotten_soon(&self) -> u16 {
        self.closing | self.closed
    }

    /// Flows are now made to forget what was closed so far.
    pub(crate) fn begin_forgetting(&mut self) {
        self.closing = core::mem::take(&mut self.closed);
        for set in &mut self.sets {
            set.seen = false;
        }
    }

    /// No flow remembers the monitors that were closing: their slots are free, and so are the sets that no flow was seen to have.
    pub(crate) fn end_forgetting(&mut self) {
        for slot in members(core::mem::take(&mut self.closing)) {
            // As many as there are slots at most, since each comes here once for each time it was opened.
            let _ = self.free.try_push(slot);
        }
        for set in self.sets.iter_mut().skip(FIXED_SETS) {
            set.free |= !set.seen;
        }
    }

    /// Sets that were made so far.
    #[cfg(test)]
    pub(crate) fn sets(&self) -> usize {
        self.sets.len()
    }

    #[inline]
    pub(crate) fn set(&self, id: u16) -> &Set {
        &self.sets[usize::from(id)]
    }

    /// What the monitors of a set ask for together.
    fn summed(&self, key: SetKey) -> Set {
        let SetKey { mask, deaf } = key;
        let mut set = Set {
            mask,
            deaf,
            seen: true,
            ..Set::default()
        };
        for (id, monitor) in self.iter().filter(|(id, _)| mask & 1 << id != 0) {
            for side in [0, 1].into_iter().filter(|side| deaf[*side] & 1 << id == 0) {
                set.readers[side] |= u16::from(monitor.is_reader()) << id;
                set.retain[side] = set.retain[side].max(monitor.retain);
            }
            for (all, own) in set.events.iter_mut().zip(monitor.events) {
                *all |= own;
            }
            for (any, own) in set.packets.iter_mut().zip(monitor.packets) {
                *any |= own;
            }
        }
        set
    }

    /// The set of this key.
    pub(crate) fn intern(&mut self, key: SetKey) -> u16 {
        // In practice a handful, and the empty and the full one first.
        let known = (UNWATCHED + 1..)
            .zip(&self.sets[usize::from(UNWATCHED) + 1..])
            .find(|(_, set)| set.key() == key && !set.free)
            .map(|(at, _)| usize::from(at));
        let at = match known {
            Some(at) => at,
            None => {
                let set = self.summed(key);
                match self.sets.iter().position(|set| set.free) {
                    Some(at) => {
                        self.sets[at] = set;
                        at
                    }
                    None => {
                        self.sets.push(set);
                        self.sets.len() - 1
                    }
                }
            }
        };
        self.sets[at].seen = true;
        u16::try_from(at).unwrap_or(0)
    }
}

/// Monitors in the order of their chain; see [`Monitors::chain`].
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    left: u16,
    backwards: bool,
    /// `None` where the order is ascending.
    order: Option<ArrayVec<u8, MONITORS>>,
}

impl Iterator for Chain {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.left == 0 {
            return None;
        }
        let is_left = |slot: &&u8| self.left & 1 << **slot != 0;
        let slot = match (&self.order, self.backwards) {
            (None, false) => u8::try_from(self.left.trailing_zeros()).ok()?,
            (None, true) => u8::try_from(self.left.ilog2()).ok()?,
            (Some(order), false) => *order.iter().find(is_left)?,
            (Some(order), true) => *order.iter().rev().find(is_left)?,
        };
        self.left &= !(1 << slot);
        Some(slot)
    }
}

/// Numbers of the monitors in `mask`, ascending.
pub(crate) fn members(mask: u16) -> impl Iterator<Item = u8> {
    let mut left = mask;
    core::iter::from_fn(move || {
        let id = u8::try_from(left.trailing_zeros())
            .ok()
            .filter(|_| left != 0);
        left &= left.wrapping_sub(1);
        id
    })
}

/// A monitor socket about to be opened.
#[derive(Debug)]
#[must_use = "a monitor does nothing until it is opened"]
pub struct MonitorBuilder<'a> {
    monitors: &'a mut Monitors,
    monitor: Monitor,
}

impl<'a> MonitorBuilder<'a> {
    pub(crate) fn new(monitors: &'a mut Monitors, actor: ActorId, filter: Option<Filter>) -> Self {
        let events = [EventSet::empty(); 3];
        Self {
            monitors,
            monitor: Monitor {
                actor,
                filter,
                events,
                packets: [false; 2],
                retain: 0,
            },
        }
    }

    /// Asks for `events` at `hook`. May be called several times.
    pub fn on(mut self, hook: Hook, events: EventSet) -> Self {
        self.monitor.events[hook as usize] |= events;
        self
    }

    /// Asks for every packet at `hook` ([`Hook::Send`] or [`Hook::Receive`]; there are none at `End`).
    pub fn packets(mut self, hook: Hook) -> Self {
        if let Some(wanted) = self.monitor.packets.get_mut(hook as usize) {
            *wanted = true;
        }
        self
    }

    /// Keeps at least the last `bytes` of each side for `peek_at`, whoever has consumed them, as far as the side's bound
    /// allows.
    pub fn retain(mut self, bytes: u32) -> Self {
        self.monitor.retain = bytes;
        self
    }

    /// Opens the monitor. It stays open until it is [closed](crate::actor::ShardContext::close) or the shard ends; flows that
    /// already exist are not attached.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(mut self) -> Result<MonitorId, OpenError> {
        for hook in [Hook::Send, Hook::Receive] {
            let asked = self.monitor.events[hook as usize];
            if !EventSet::at(hook).contains(asked) {
                return Err(OpenError::BadHook);
            }
            self.monitor.packets[hook as usize] |= asked.contains(EventSet::PACKET_IN);
        }
        self.monitors.open(self.monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(monitors: &mut Monitors) -> Result<MonitorId, OpenError> {
        MonitorBuilder::new(monitors, ActorId(0), None)
            .on(Hook::End, EventSet::NEW_DATA)
            .open()
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut monitors = Monitors::new(0);
        for _ in 0..MONITORS {
            open(&mut monitors).unwrap();
        }
        assert_eq!(open(&mut monitors), Err(OpenError::NoSocket));
    }

    #[test]
    fn end_events_are_refused_at_other_hooks() {
        let mut monitors = Monitors::new(0);
        let builder =
            MonitorBuilder::new(&mut monitors, ActorId(0), None).on(Hook::Send, EventSet::NEW_DATA);
        assert_eq!(builder.open(), Err(OpenError::BadHook));
    }

    #[test]
    fn equal_sets_are_one() {
        let mut monitors = Monitors::new(0);
        for _ in 0..3 {
            open(&mut monitors).unwrap();
        }
        let (a, b) = (
            monitors.intern(SetKey::of(0b101)),
            monitors.intern(SetKey::of(0b111)),
        );
        assert_eq!(monitors.intern(SetKey::of(0b101)), a);
        assert_ne!(a, b);
        assert_eq!(monitors.intern(SetKey::of(0)), 1);
        assert_eq!(monitors.set(a).readers, [0b101; 2]);
        assert_eq!(
            members(0b1001_0000_0000_0010).collect::<Vec<_>>(),
            [1, 12, 15]
        );
    }
}
