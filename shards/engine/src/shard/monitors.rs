//! Monitor sockets, and the interned sets of them that flows carry.

use alloc::vec::Vec;
use arrayvec::ArrayVec;

use super::plan::Wish;
use super::scope::{Ask, Scope};
pub(crate) use super::sets::UNWATCHED;
use super::sets::{Change, Content, Full, Set, Sets};
use crate::actor::{ActorId, CloseError, MonitorId, OpenError};
use crate::event::user::UserEvents;
use crate::event::{Event, EventSet, Filter, Hook, Side, Topic};
use crate::limits::MONITORS;
use crate::stream::OverlapPolicy;
use crate::wire::PacketFilter;

/// One monitor socket.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) actor: ActorId,
    /// Which flows it is attached to, by their opening packet; which packets, where it is raw.
    pub(crate) scope: Scope,
    /// What it asks for besides flows.
    pub(crate) ask: Ask,
    /// What is asked of flows that begin.
    pub(crate) wishes: Wishes,
    /// Bytes a side kept for it whoever has read them.
    pub(crate) retain: u32,
    /// Whether it may change the lengths of streams.
    pub(crate) edits: bool,
    /// Whether it injects packets without one at hand.
    pub(crate) injects: bool,
}

/// What a monitor asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Built-in events by hook; [`EventSet::PACKET_IN`] stands for packets.
    pub(crate) events: [EventSet; 3],
    /// User-defined events.
    pub(crate) user: Vec<(Hook, u16)>,
}

/// Why nobody can ask for something at a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BadTopic {
    /// It does not happen there.
    Hook,
    /// There is no such event.
    Event,
}

/// What is asked for, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    BuiltIn(EventSet),
    User(u16),
}

impl Wishes {
    /// Adds something to what is asked for, or takes it out.
    pub(crate) fn set(&mut self, hook: Hook, asked: Asked, wanted: bool) {
        match asked {
            Asked::BuiltIn(events) => self.events[hook as usize].set(events, wanted),
            Asked::User(event) => {
                self.user.retain(|wish| *wish != (hook, event));
                if wanted {
                    self.user.push((hook, event));
                }
            }
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
    /// Slots in the order in which their monitors were opened; the same as nibbles, where that is not ascending.
    order: ArrayVec<u8, MONITORS>,
    reordered: Option<u64>,
    sets: Sets,
    pub(crate) users: UserEvents,
    /// Times no set was left for what was asked.
    pub(crate) refused: u64,
    /// Raw monitors, and stream monitors that ask for orphans; a bit each.
    pub(super) raw: u16,
    pub(super) orphans: u16,
    /// Monitors that ask for packets of flows that nobody watches.
    pub(super) left_out: u16,
    /// Monitors that inject packets without one at hand.
    pub(super) injects: u16,
}

impl Monitors {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            slots: ArrayVec::new(),
            free: ArrayVec::new(),
            closing: 0,
            closed: 0,
            order: ArrayVec::new(),
            reordered: None,
            sets: Sets::new(),
            users: UserEvents::new(shard),
            refused: 0,
            raw: 0,
            orphans: 0,
            left_out: 0,
            injects: 0,
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
            order: self.reordered,
        }
    }

    /// Whether one of the monitors in `mask` may change the lengths of streams.
    pub(crate) fn edits(&self, mask: u16) -> bool {
        members(mask).any(|slot| self.get(slot).is_some_and(|monitor| monitor.edits))
    }

    /// The open monitors of an actor, a bit each.
    pub(crate) fn of_actor(&self, actor: ActorId) -> u16 {
        self.iter()
            .filter(|(_, monitor)| monitor.actor == actor)
            .fold(0, |mask, (slot, _)| mask | 1 << slot)
    }

    pub(super) fn open(&mut self, monitor: Monitor) -> Result<MonitorId, OpenError> {
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
        self.sets.set_retain(slot, monitor.retain);
        self.sets.set_track(slot, monitor.ask.track);
        self.sets.wishes_changed();
        self.raw |= u16::from(monitor.ask.is_raw()) << slot;
        self.orphans |= u16::from(monitor.ask.orphans.is_some()) << slot;
        self.left_out |= u16::from(monitor.ask.left_out) << slot;
        self.injects |= u16::from(monitor.injects) << slot;
        let place = &mut self.slots[usize::from(slot)];
        (place.monitor, place.actor) = (Some(monitor), actor);
        Ok(self.id(slot))
    }

    /// Makes a slot the last of the chain.
    fn put_last(&mut self, slot: u8) {
        self.order.retain(|other| *other != slot);
        self.order.push(slot);
        self.reordered = (!self.order.is_sorted()).then(|| nibbles(&self.order));
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
        self.sets.close(id.slot);
        self.raw &= !(1 << id.slot);
        self.orphans &= !(1 << id.slot);
        self.left_out &= !(1 << id.slot);
        self.injects &= !(1 << id.slot);
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
    }

    /// No flow remembers the monitors that were closing: their slots are free.
    pub(crate) fn end_forgetting(&mut self) {
        for slot in members(core::mem::take(&mut self.closing)) {
            // As many as there are slots at most, since each comes here once for each time it was opened.
            let _ = self.free.try_push(slot);
        }
    }

    /// The overlap policies that the monitors of `mask` ask for, a nibble a side: of each side, the first one's that asks.
    pub(crate) fn overlaps(&self, mask: u16) -> u8 {
        self.chain(mask, None)
            .filter_map(|slot| self.get(slot))
            .fold(0, |all, monitor| {
                let free = [0x0f, 0xf0].into_iter().filter(|side| all & side == 0);
                all | monitor.ask.overlaps & free.sum::<u8>()
            })
    }

    /// Sets in use, or kept for flows that come back to them.
    pub(crate) fn set_count(&self) -> usize {
        self.sets.len()
    }

    #[inline]
    pub(crate) fn set(&self, id: u16) -> &Set {
        self.sets.set(id)
    }

    /// Who is to be told of `event` at `hook`, a bit each.
    #[inline]
    pub(crate) fn listeners(&self, set: u16, event: Event, hook: Hook) -> u16 {
        self.sets.listeners(set, event, hook)
    }

    /// Who asked for `event` at the end of the burst, or for what is built on it, a bit each.
    pub(crate) fn asking_at_end(&self, set: u16, event: Event) -> u16 {
        self.sets.asking_at_end(set, event)
    }

    /// The steps of the user-defined events that are built on the built-in event of index `kind`; of `event` only, and what
    /// is built on it, where there is one.
    #[inline]
    pub(crate) fn planned(
        &self,
        set: u16,
        kind: usize,
        event: Option<u16>,
        hook: Hook,
    ) -> Option<(usize, usize)> {
        let plan = self.sets.plan(set);
        match event {
            Some(event) => plan.of_event(event, kind, hook),
            None => plan.built_on(kind, hook),
        }
    }

    /// A step of a walk.
    #[inline]
    pub(crate) fn step(&self, set: u16, at: usize) -> Option<super::plan::Step> {
        self.sets.plan(set).step(at)
    }

    /// A flow, or a walk, has come to a set.
    pub(crate) fn take(&mut self, set: u16) {
        self.sets.take(set);
    }

    /// A flow, or a walk, has left a set.
    pub(crate) fn give(&mut self, set: u16) {
        self.sets.give(set);
    }

    /// The set of a flow that begins with the monitors in `mask`, taken.
    pub(crate) fn begin(&mut self, mask: u16) -> Result<u16, Full> {
        let (slots, users) = (&self.slots, &self.users);
        let fill = |content: &mut Content| {
            for slot in members(mask) {
                let Some(monitor) = &slots[usize::from(slot)].monitor else {
                    continue;
                };
                content.events[usize::from(slot)] = monitor.wishes.events;
                let user = monitor.wishes.user.iter();
                content
                    .user
                    .extend(user.map(|(hook, event)| Wish::new(slot, *hook, *event)));
            }
        };
        let set = self.sets.begin(mask, fill, &users.nodes);
        let set = set.inspect_err(|_| self.refused += 1)?;
        self.sets.take(set);
        Ok(set)
    }

    /// The set that `change` leads to from another, taken.
    pub(crate) fn after(&mut self, from: u16, change: Change) -> Result<u16, Full> {
        let set = self.sets.after(from, change, &self.users.nodes);
        let set = set.inspect_err(|_| self.refused += 1)?;
        self.sets.take(set);
        Ok(set)
    }

    /// Checks what somebody asks for at a hook. Packets at the end of a burst are none.
    pub(crate) fn check(&self, hook: Hook, topic: Topic) -> Result<Asked, BadTopic> {
        match topic {
            Topic::BuiltIn(events) if EventSet::at(hook).contains(events) => {
                let never = if hook == Hook::End {
                    EventSet::PACKET_IN
                } else {
                    EventSet::empty()
                };
                Ok(Asked::BuiltIn(events - never))
            }
            Topic::BuiltIn(_) => Err(BadTopic::Hook),
            Topic::User(event) => match self.users.happens(event, hook) {
                Some(true) => Ok(Asked::User(event.index)),
                Some(false) => Err(BadTopic::Hook),
                None => Err(BadTopic::Event),
            },
        }
    }

    /// What a monitor asks of flows that begin; `None` where the handle is stale.
    pub(crate) fn wishes_mut(&mut self, id: MonitorId) -> Option<&mut Wishes> {
        let place = self.slots.get_mut(usize::from(id.slot))?;
        let is_it = place.generation == id.generation && id.shard == self.shard;
        self.sets.wishes_changed();
        place
            .monitor
            .as_mut()
            .filter(|_| is_it)
            .map(|monitor| &mut monitor.wishes)
    }

    /// Handle of the monitor in a slot.
    pub(crate) fn id(&self, slot: u8) -> MonitorId {
        MonitorId {
            generation: self.slots[usize::from(slot)].generation,
            shard: self.shard,
            slot,
        }
    }
}

/// Monitors in the order of their chain; see [`Monitors::chain`].
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    left: u16,
    backwards: bool,
    /// A nibble for each slot, the first in the lowest; `None` where the order is ascending.
    order: Option<u64>,
}

const _: () = assert!(MONITORS <= 16, "a nibble a monitor");

/// Slots, a nibble each, the first in the lowest.
fn nibbles(slots: &[u8]) -> u64 {
    let all = slots.iter().rev();
    all.fold(0, |nibbles, slot| nibbles << 4 | u64::from(*slot))
}

impl Iterator for Chain {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.left == 0 {
            return None;
        }
        let slot = match self.order {
            None if self.backwards => u8::try_from(self.left.ilog2()).ok()?,
            None => u8::try_from(self.left.trailing_zeros()).ok()?,
            Some(order) => self.next_of(order)?,
        };
        self.left &= !(1 << slot);
        Some(slot)
    }
}

impl Chain {
    #[cold]
    fn next_of(&self, order: u64) -> Option<u8> {
        let mut slots = (0..16).map(|at| u8::try_from(order >> (4 * at) & 0xf).unwrap_or(0));
        let is_left = |slot: &u8| self.left & 1 << *slot != 0;
        if self.backwards {
            slots.rfind(is_left)
        } else {
            slots.find(is_left)
        }
    }
}

/// The monitor in `mask`, if there is one and no other.
#[inline]
pub(crate) fn only(mask: u16) -> Option<u8> {
    let is_one = mask.is_power_of_two();
    is_one.then(|| u8::try_from(mask.trailing_zeros()).unwrap_or(0))
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
    /// The first thing that was asked for in vain.
    refused: Option<OpenError>,
}

impl<'a> MonitorBuilder<'a> {
    pub(crate) fn new(monitors: &'a mut Monitors, actor: ActorId, filter: Option<Filter>) -> Self {
        Self {
            monitors,
            monitor: Monitor {
                actor,
                scope: Scope::of(filter),
                ask: Ask::default(),
                wishes: Wishes::default(),
                retain: 0,
                edits: false,
                injects: false,
            },
            refused: None,
        }
    }

    /// Asks for built-in events, or for a user-defined one, at `hook`. May be called several times.
    pub fn on(mut self, hook: Hook, events: impl Into<Topic>) -> Self {
        match self.monitors.check(hook, events.into()) {
            Ok(asked) => self.monitor.wishes.set(hook, asked, true),
            Err(fault) => {
                self.refused.get_or_insert(match fault {
                    BadTopic::Hook => OpenError::BadHook,
                    BadTopic::Event => OpenError::BadEvent,
                });
            }
        }
        self
    }

    /// Asks for every packet at `hook` ([`Hook::Send`] or [`Hook::Receive`]; there are none at `End`).
    pub fn packets(self, hook: Hook) -> Self {
        self.on(hook, EventSet::PACKET_IN)
    }

    /// Lets the actor change the lengths of payloads ([`FlowContext::replace_payload`](crate::actor::FlowContext::replace_payload))
    /// in the TCP flows it is attached to.
    ///
    /// Packets of these flows come to every hook in the order of their streams: one that comes before its turn waits
    /// (see [`limits::HELD_SEGMENTS`](crate::limits::HELD_SEGMENTS)) and its sender is told what is missing. Other flows pay
    /// nothing.
    pub fn edits(mut self) -> Self {
        self.monitor.edits = true;
        self
    }

    /// Lets the actor inject packets and reset connections also where no packet of the flow is at hand, in timers and when
    /// the flow leaves ([`FlowContext::reset`](crate::actor::FlowContext::reset)): of the flows it is attached to, it is remembered
    /// how each side is reached, by its last packet that was not an ordinary segment of an open connection. Of such segments
    /// nothing is remembered, so that they cost nothing more. For flows in a wire, outside of tunnels.
    pub fn injects(mut self) -> Self {
        self.monitor.injects = true;
        self
    }

    /// Asks `filter` of the frame that brings the opening packet, from its link-layer header on, in addition to the filter
    /// on the innermost packet: both must pass. For words such as `ether` and `vlan`. A frame of a link type that `filter`
    /// has no program for does not pass, and is counted
    /// ([`unknown_links`](crate::shard::ShardCounters::unknown_links)). Of a datagram that came in fragments, the frame that
    /// completed it is asked.
    pub fn outer(mut self, filter: PacketFilter) -> Self {
        self.monitor.scope.frame = Some(filter);
        self
    }

    /// Asks for orphans that pass `filter` (asked on the innermost IP packet; all with `None`): TCP packets that belong to
    /// no tracked flow and begin none, which there are only where midstream pick-up is off. They come to
    /// [`on_orphan`](crate::actor::Actor::on_orphan). Packets of flows that no monitor wants are none, unless the monitor
    /// asks for [what filters leave out](Self::left_out); those of flows that were stopped never are.
    pub fn orphans(mut self, filter: Option<Filter>) -> Self {
        self.monitor.ask.orphans.get_or_insert_default().packet = filter;
        self
    }

    /// Asks for TCP packets of flows that the filters of all stream monitors leave out, as for orphans: with the same filters
    /// ([`orphans`](Self::orphans), [`outer_orphans`](Self::outer_orphans); all without one), in the same callback, from the
    /// opening packet on. They are not counted as orphans: such a flow is known, though only by its key.
    pub fn left_out(mut self) -> Self {
        self.monitor.ask.orphans.get_or_insert_default();
        self.monitor.ask.left_out = true;
        self
    }

    /// Asks for orphans, and asks `filter` of the frames that bring them; see [`outer`](Self::outer).
    pub fn outer_orphans(mut self, filter: PacketFilter) -> Self {
        self.monitor.ask.orphans.get_or_insert_default().frame = Some(filter);
        self
    }

    /// Reassembles the bytes that `side` sends as the other side does: `policy` says which copy of a byte counts where
    /// segments overlap. The stream is one for all monitors: of several that ask on a flow, the one opened first decides;
    /// [`set_overlap`](crate::actor::FlowContext::set_overlap) changes it for a flow.
    pub fn overlap(mut self, side: Side, policy: OverlapPolicy) -> Self {
        let shift = 4 * side as u8;
        let others = self.monitor.ask.overlaps & !(0xf << shift);
        self.monitor.ask.overlaps = others | OverlapPolicy::nibble(Some(policy)) << shift;
        self
    }

    /// Keeps facts of the last packet of each side ([`last_packet`](crate::actor::FlowContext::last_packet)) and measures round
    /// trips ([`rtt`](crate::actor::FlowContext::rtt)) as long as a flow lasts. Other flows pay nothing for it.
    pub fn track(mut self) -> Self {
        self.monitor.ask.track = true;
        self
    }

    /// Does not see packets that another monitor has dropped before its turn came.
    pub fn unless_dropped(mut self) -> Self {
        self.monitor.ask.unless_dropped = true;
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
    pub fn open(self) -> Result<MonitorId, OpenError> {
        match self.refused {
            Some(refused) => Err(refused),
            None => self.monitors.open(self.monitor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::sets::EMPTY;

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
            monitors.begin(0b101).unwrap(),
            monitors.begin(0b111).unwrap(),
        );
        assert_eq!(monitors.begin(0b101), Ok(a));
        assert_ne!(a, b);
        assert_eq!(monitors.begin(0), Ok(EMPTY));
        assert_eq!(monitors.after(b, Change::Forget(0b10)), Ok(a));
        assert_eq!(monitors.set(a).readers, [0b101; 2]);
        assert_eq!(
            members(0b1001_0000_0000_0010).collect::<Vec<_>>(),
            [1, 12, 15]
        );
    }
}
