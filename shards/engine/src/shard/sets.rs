//! Interned sets of subscriptions: what is asked of a flow, by whom. Flows that are asked the same share one set.
//!
//! A flow names its set by a number and is counted by it. Changing what one flow is asked leads from one set to another; where
//! such a step was taken before, a memo knows the way, so that it costs the same whatever there is of flows, sets and
//! subscriptions. A set that no flow has is kept for a while, since flows come back to it, and then given back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::monitors::members;
use super::plan::{Plan, Wish};
use crate::event::user::Node;
use crate::event::{EVENTS, Event, EventSet, Hook, Side};
use crate::limits::{self, MONITORS};

bitflags::bitflags! {
    /// What is asked for of every packet.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Wanted: u8 {
        /// It is to be shown at `Send`, or something is built on it there.
        const AT_SEND = 1;
        /// The same at `Receive`.
        const AT_RECEIVE = 2;
        /// Its facts are noted, and round trips.
        const FACTS = 4;
    }
}

impl Wanted {
    /// Packets at `hook`.
    pub(crate) const fn at(hook: Hook) -> Self {
        match hook {
            Hook::Send => Self::AT_SEND,
            Hook::Receive => Self::AT_RECEIVE,
            Hook::End => Self::empty(),
        }
    }
}

/// What makes a set: its members and what each asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Content {
    /// Members, a bit each.
    pub(crate) mask: u16,
    /// Members that want no bytes of a side, a bit each.
    pub(crate) deaf: [u16; 2],
    /// Built-in events each member asks for, by hook.
    pub(crate) events: [[EventSet; 3]; MONITORS],
    /// User-defined events that members ask for, ascending.
    pub(crate) user: Vec<Wish>,
}

impl Content {
    fn forget(&mut self, gone: u16) {
        self.mask &= !gone;
        self.deaf = self.deaf.map(|deaf| deaf & !gone);
        for monitor in members(gone) {
            self.events[usize::from(monitor)] = [EventSet::empty(); 3];
        }
        self.user.retain(|wish| gone & 1 << wish.monitor() == 0);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Ask {
                monitor,
                hook,
                events,
                wanted,
            } => self.events[usize::from(monitor)][hook as usize].set(events, wanted),
            Change::AskUser { wish, wanted } => match (self.user.binary_search(&wish), wanted) {
                (Err(at), true) => self.user.insert(at, wish),
                (Ok(at), false) => {
                    self.user.remove(at);
                }
                _ => {}
            },
            Change::Deafen { side, mask, deaf } => {
                let all = &mut self.deaf[side as usize];
                *all = if deaf { *all | mask } else { *all & !mask };
            }
            Change::Forget(mask) => self.forget(mask),
            Change::Swap => self.deaf.swap(0, 1),
        }
    }

    fn hash(&self) -> u64 {
        let own = [self.mask, self.deaf[0], self.deaf[1]];
        let events = self.events.iter().flatten().map(|events| events.bits());
        let mut hash = 0;
        for word in own.into_iter().chain(events) {
            hash = mix(hash ^ u64::from(word));
        }
        self.user
            .iter()
            .fold(hash, |hash, wish| mix(hash ^ u64::from(wish.0)))
    }
}

/// Spreads the bits of a number (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// A step from one set to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// A member asks for built-in events, or no longer.
    Ask {
        monitor: u8,
        hook: Hook,
        events: EventSet,
        wanted: bool,
    },
    /// A member asks for a user-defined event, or no longer.
    AskUser { wish: Wish, wanted: bool },
    /// Members want no bytes of a side, or want them again.
    Deafen { side: Side, mask: u16, deaf: bool },
    /// Members leave.
    Forget(u16),
    /// What was the client's is the server's, and the other way round.
    Swap,
}

impl Change {
    /// A number of its own for each change.
    fn code(self) -> u64 {
        let (kind, a, b, c) = match self {
            Self::Ask {
                monitor,
                hook,
                events,
                wanted,
            } => (
                1,
                u64::from(monitor) << 8 | hook as u64,
                u64::from(events.bits()),
                wanted,
            ),
            Self::AskUser { wish, wanted } => (2, 0, u64::from(wish.0), wanted),
            Self::Deafen { side, mask, deaf } => (3, side as u64, u64::from(mask), deaf),
            Self::Forget(mask) => (4, 0, u64::from(mask), false),
            Self::Swap => (5, 0, 0, false),
        };
        kind << 56 | u64::from(c) << 48 | a << 32 | b
    }
}

/// Code of the step from the empty set to that of a flow that begins with the monitors in `mask`.
fn begin_code(mask: u16) -> u64 {
    6 << 56 | u64::from(mask)
}

/// What a set asks for in all: the little that every packet of a flow looks at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    /// Members, a bit each.
    pub(crate) mask: u16,
    /// Members that want no bytes of a side, a bit each.
    pub(crate) deaf: [u16; 2],
    /// Members that read the stream of a side, a bit each.
    pub(crate) readers: [u16; 2],
    /// Events any of them asks for, by hook, also as the base of user-defined ones.
    pub(crate) events: [EventSet; 3],
    /// Who of them asks for packets, by hook; a bit each.
    pub(crate) packets: [u16; 2],
    /// What any of them asks for of every packet.
    pub(crate) wanted: Wanted,
    /// Whether any of them asks for user-defined events.
    pub(crate) built: bool,
    /// Whether user-defined events look at new bytes of a side.
    looks: [bool; 2],
    /// The largest retention any of them asks for, by side.
    pub(crate) retain: [u32; 2],
    /// Flows that have it, and walks that need it.
    users: u32,
    /// How often its place has changed its meaning.
    generation: u32,
}

impl Set {
    /// Whether the bytes of a side matter to anybody.
    #[inline]
    pub(crate) fn keeps_bytes(&self, side: Side) -> bool {
        let at = side as usize;
        self.readers[at] != 0 || self.retain[at] != 0 || self.looks[at]
    }

    /// Whether anything is shown while a packet is on its way: who is shown it may ask for what comes later on that way.
    #[inline]
    pub(crate) fn shows_early(&self) -> bool {
        !(self.events[0] | self.events[1]).is_empty()
    }

    /// The members that may be told of `event`.
    #[inline]
    pub(crate) fn hearing(&self, event: Event) -> u16 {
        match event {
            Event::NewData(side) | Event::LateData(side) => self.mask & !self.deaf[side as usize],
            _ => self.mask,
        }
    }
}

/// The rest of a set: who is to be told of what.
#[derive(Debug, Default)]
struct Rest {
    content: Content,
    hash: u64,
    /// Members that ask for an event, a bit each, by hook and kind.
    listeners: [[u16; EVENTS]; 3],
    plan: Plan,
    /// Whether it stands among those that wait to be given back.
    waits: bool,
}

/// A step that was taken before.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    /// 0 for none.
    change: u64,
    from: u16,
    to: u16,
    generations: [u32; 2],
}

/// The set of flows whose first packet passed the filter of no monitor: of these only the [`Hot`](crate::flow::entry::Hot)
/// part is kept. No other flow has it.
pub(crate) const UNWATCHED: u16 = 0;
/// The set of flows that nobody listens to, or no longer.
pub(crate) const EMPTY: u16 = 1;

/// Steps that are remembered: one for each remainder.
const MEMO: usize = 8192;
/// Sets without flows that are kept.
const WAITING: usize = 64;

/// No set is left: there are [`limits::MONITOR_SETS`], or they hold [`limits::USER_SUBSCRIPTIONS`] already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// The sets of a shard, those that are always there first.
#[derive(Debug)]
pub(crate) struct Sets {
    sets: Vec<Set>,
    rests: Vec<Rest>,
    /// Places that hold no set.
    free: Vec<u16>,
    /// Sets that had no flow at some time, the one that waits longest first.
    waiting: VecDeque<u16>,
    /// Sets by the hash of what makes them. One whose hash is taken is not found again, and all is well otherwise.
    index: BTreeMap<u64, u16>,
    memo: Vec<Step>,
    /// Bytes each monitor has kept of a side.
    retain: [u32; MONITORS],
    /// Monitors that ask for facts of packets, a bit each.
    track: u16,
    /// User-defined events in all plans.
    planned: usize,
    scratch: Content,
}

impl Sets {
    pub(crate) fn new() -> Self {
        let mut sets = Self {
            sets: Vec::new(),
            rests: Vec::new(),
            free: Vec::new(),
            waiting: VecDeque::new(),
            index: BTreeMap::new(),
            memo: alloc::vec![Step::default(); MEMO],
            retain: [0; MONITORS],
            track: 0,
            planned: 0,
            scratch: Content::default(),
        };
        for _ in [UNWATCHED, EMPTY] {
            sets.sets.push(Set {
                users: 1,
                ..Set::default()
            });
            sets.rests.push(Rest::default());
        }
        sets.index.insert(Content::default().hash(), EMPTY);
        sets
    }

    #[inline]
    pub(crate) fn set(&self, id: u16) -> &Set {
        &self.sets[usize::from(id)]
    }

    /// What makes a set.
    fn content(&self, id: u16) -> &Content {
        &self.rests[usize::from(id)].content
    }

    /// The members that asked for `event` at `hook`.
    #[inline]
    pub(crate) fn listeners(&self, id: u16, event: Event, hook: Hook) -> u16 {
        let hearing = self.set(id).hearing(event);
        self.rests[usize::from(id)].listeners[hook as usize][event.kind()] & hearing
    }

    /// The members that asked for `event` at the end of the burst, or for what is built on it.
    pub(crate) fn asking_at_end(&self, id: u16, event: Event) -> u16 {
        let built = self.plan(id).asking_at(event.kind(), Hook::End);
        self.listeners(id, event, Hook::End) | built
    }

    /// What is asked of user-defined events.
    #[inline]
    pub(crate) fn plan(&self, id: u16) -> &Plan {
        &self.rests[usize::from(id)].plan
    }

    /// A flow has come to a set, or a walk begins.
    #[inline]
    pub(crate) fn take(&mut self, id: u16) {
        self.sets[usize::from(id)].users += 1;
    }

    /// A flow has left a set, or a walk ends.
    #[inline]
    pub(crate) fn give(&mut self, id: u16) {
        let set = &mut self.sets[usize::from(id)];
        set.users -= 1;
        if set.users == 0 {
            self.wait(id);
        }
    }

    /// Nobody has a set: it waits to be given back.
    #[cold]
    fn wait(&mut self, id: u16) {
        let rest = &mut self.rests[usize::from(id)];
        if rest.waits {
            return;
        }
        rest.waits = true;
        self.waiting.push_back(id);
        if self.waiting.len() > WAITING {
            self.reclaim_one();
        }
    }

    /// Gives the set back that has waited longest; false where none waits. One that flows have again only stops waiting.
    fn reclaim_one(&mut self) -> bool {
        let Some(id) = self.waiting.pop_front() else {
            return false;
        };
        let (set, rest) = (
            &mut self.sets[usize::from(id)],
            &mut self.rests[usize::from(id)],
        );
        rest.waits = false;
        if set.users > 0 {
            return true;
        }
        let generation = set.generation.wrapping_add(1);
        *set = Set {
            generation,
            ..Set::default()
        };
        self.planned -= rest.plan.len();
        if self.index.get(&rest.hash) == Some(&id) {
            self.index.remove(&rest.hash);
        }
        *rest = Rest::default();
        self.free.push(id);
        true
    }

    /// The set that `change` leads to from another.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub(crate) fn after(&mut self, from: u16, change: Change, nodes: &[Node]) -> Result<u16, Full> {
        let code = change.code();
        if let Some(to) = self.remembered(from, code) {
            return Ok(to);
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.clone_from(&self.rests[usize::from(from)].content);
        scratch.apply(change);
        let to = self.intern(&scratch, nodes);
        self.scratch = scratch;
        let to = to?;
        self.remember(from, code, to);
        Ok(to)
    }

    /// The set of a flow that begins with the monitors in `mask`, which ask for what `wishes` tells of each.
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub(crate) fn begin(
        &mut self,
        mask: u16,
        wishes: impl FnOnce(&mut Content),
        nodes: &[Node],
    ) -> Result<u16, Full> {
        if let Some(to) = self.remembered(EMPTY, begin_code(mask)) {
            return Ok(to);
        }
        let mut content = Content {
            mask,
            ..Content::default()
        };
        wishes(&mut content);
        content.user.sort_unstable();
        let to = self.intern(&content, nodes)?;
        self.remember(EMPTY, begin_code(mask), to);
        Ok(to)
    }

    /// Flows that begin from now on may be asked something else.
    pub(crate) fn wishes_changed(&mut self) {
        let empty = &mut self.sets[usize::from(EMPTY)];
        empty.generation = empty.generation.wrapping_add(1);
    }

    /// Notes how many bytes a monitor has kept.
    pub(crate) fn set_retain(&mut self, monitor: u8, bytes: u32) {
        self.retain[usize::from(monitor)] = bytes;
    }

    /// Notes whether a monitor asks for facts of packets.
    pub(crate) fn set_track(&mut self, monitor: u8, wanted: bool) {
        self.track = self.track & !(1 << monitor) | u16::from(wanted) << monitor;
    }

    /// A monitor is closed: no set shows it anything from now on.
    pub(crate) fn close(&mut self, monitor: u8) {
        self.wishes_changed();
        while self.reclaim_one() {}
        for id in 0..self.sets.len() {
            if self.sets[id].mask & 1 << monitor != 0 {
                self.close_in(id, monitor);
            }
        }
    }

    fn close_in(&mut self, id: usize, monitor: u8) {
        let rest = &mut self.rests[id];
        rest.content.forget(1 << monitor);
        rest.plan.forget(monitor);
        let number = u16::try_from(id).unwrap_or(0);
        if self.index.get(&rest.hash) == Some(&number) {
            self.index.remove(&rest.hash);
        }
        rest.hash = rest.content.hash();
        self.index.entry(rest.hash).or_insert(number);
        self.sum(id);
        self.sets[id].generation = self.sets[id].generation.wrapping_add(1);
    }

    /// Sets in use, or that wait to be given back.
    pub(crate) fn len(&self) -> usize {
        self.sets.len() - self.free.len()
    }

    #[inline]
    fn slot(from: u16, change: u64) -> usize {
        let spread = (change ^ u64::from(from) << 20).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(spread >> 40).unwrap_or(0) % MEMO
    }

    #[inline]
    fn remembered(&self, from: u16, change: u64) -> Option<u16> {
        let step = &self.memo[Self::slot(from, change)];
        let generations = [self.set(from).generation, self.set(step.to).generation];
        (step.from == from && step.change == change && step.generations == generations)
            .then_some(step.to)
    }

    fn remember(&mut self, from: u16, change: u64, to: u16) {
        let generations = [self.set(from).generation, self.set(to).generation];
        self.memo[Self::slot(from, change)] = Step {
            change,
            from,
            to,
            generations,
        };
    }

    /// The set with this content.
    #[inline(never)]
    fn intern(&mut self, content: &Content, nodes: &[Node]) -> Result<u16, Full> {
        let hash = content.hash();
        let known = self.index.get(&hash).copied();
        if let Some(id) = known.filter(|id| self.content(*id) == content) {
            return Ok(id);
        }
        let plan = Plan::of(&content.user, nodes);
        while self.planned + plan.len() > limits::USER_SUBSCRIPTIONS && self.reclaim_one() {}
        if self.planned + plan.len() > limits::USER_SUBSCRIPTIONS {
            return Err(Full);
        }
        let id = self.place()?;
        self.planned += plan.len();
        let at = usize::from(id);
        self.rests[at] = Rest {
            content: content.clone(),
            hash,
            plan,
            ..Rest::default()
        };
        self.index.entry(hash).or_insert(id);
        self.sum(at);
        // Should the one who asked not take it, it is given back.
        self.wait(id);
        Ok(id)
    }

    /// A place for another set.
    fn place(&mut self) -> Result<u16, Full> {
        loop {
            if let Some(id) = self.free.pop() {
                return Ok(id);
            }
            if self.sets.len() < limits::MONITOR_SETS {
                self.sets.push(Set::default());
                self.rests.push(Rest::default());
                return u16::try_from(self.sets.len() - 1).map_err(|_| Full);
            }
            if !self.reclaim_one() {
                return Err(Full);
            }
        }
    }

    /// Sums up what the members of a set ask for.
    fn sum(&mut self, id: usize) {
        let (rest, old) = (&mut self.rests[id], &self.sets[id]);
        let Content {
            mask, deaf, events, ..
        } = &rest.content;
        let mut set = Set {
            mask: *mask,
            deaf: *deaf,
            events: rest.plan.bases(),
            built: rest.plan.len() > 0,
            users: old.users,
            generation: old.generation,
            ..Set::default()
        };
        rest.listeners = Default::default();
        let new_bytes = EventSet::NEW_DATA | EventSet::LATE_DATA;
        for side in [0, 1] {
            let hears = rest.plan.asking(new_bytes) & !deaf[side];
            set.looks[side] = hears != 0;
        }
        for monitor in members(*mask) {
            let (at, bit) = (usize::from(monitor), 1 << monitor);
            for (hook, asked) in events[at].iter().enumerate() {
                set.events[hook] |= *asked;
                for (kind, listeners) in rest.listeners[hook].iter_mut().enumerate() {
                    *listeners |= if asked.bits() >> kind & 1 != 0 {
                        bit
                    } else {
                        0
                    };
                }
            }
            for side in [0, 1].into_iter().filter(|side| deaf[*side] & bit == 0) {
                let reads = events[at][Hook::End as usize].contains(EventSet::NEW_DATA);
                set.readers[side] |= if reads { bit } else { 0 };
                set.retain[side] = set.retain[side].max(self.retain[at]);
            }
        }
        let packets = EventSet::PACKET_IN.bits().trailing_zeros() as usize;
        set.packets = [0, 1].map(|hook: usize| rest.listeners[hook][packets]);
        let at = |hook: Hook| set.events[hook as usize].contains(EventSet::PACKET_IN);
        let (at_send, at_receive) = (at(Hook::Send), at(Hook::Receive));
        set.wanted.set(Wanted::AT_SEND, at_send);
        set.wanted.set(Wanted::AT_RECEIVE, at_receive);
        set.wanted.set(Wanted::FACTS, *mask & self.track != 0);
        self.sets[id] = set;
    }
}
