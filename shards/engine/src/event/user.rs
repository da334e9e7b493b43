//! User-defined events: a name, a base, and what tells whether they happen.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use arrayvec::ArrayVec;
use core::fmt;

use super::{Event, EventSet, Hook};
use crate::actor::{ActorId, FlowContext};
use crate::limits;

/// Names a user-defined event of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UserEventId {
    pub(crate) shard: u16,
    pub(crate) index: u16,
}

/// What can be subscribed to, and what a user-defined event can be built on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// Built-in events.
    BuiltIn(EventSet),
    /// A user-defined one.
    User(UserEventId),
}

impl From<EventSet> for Topic {
    fn from(events: EventSet) -> Self {
        Self::BuiltIn(events)
    }
}

impl From<UserEventId> for Topic {
    fn from(event: UserEventId) -> Self {
        Self::User(event)
    }
}

/// Why an event could not be defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DefineError {
    /// The base is not exactly one built-in event, or a user-defined one of another shard.
    #[error("an event is built on exactly one event of this shard")]
    BadBase,
    /// The name stands for an event with another base, or one that is raised in another way.
    #[error("the name stands for another event")]
    NameTaken,
    /// There are [`limits::USER_EVENTS`] already.
    #[error("no room for another user-defined event on this shard")]
    NoRoom,
}

impl DefineError {
    /// An error number for this fault; `mtcp_define_event` has none, and returns event 0.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::BadBase | Self::NameTaken => "EINVAL",
            Self::NoRoom => "ENOMEM",
        }
    }
}

/// Why an event could not be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RaiseError {
    /// The event is of another shard; or, for a predicate, not one without predicate that is built on the event at hand.
    #[error("this event cannot be raised here")]
    BadEvent,
    /// [`limits::RAISED_EVENTS`] were raised in answer to one event.
    #[error("too many events raised in answer to one")]
    TooMany,
    /// The flow leaves, and nobody will hear of it.
    #[error("the flow is leaving")]
    Leaving,
}

impl RaiseError {
    /// An error number for this fault; `mtcp_raise_event` has none, and returns -1.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::BadEvent => "EINVAL",
            Self::TooMany => "ENOBUFS",
            Self::Leaving => "ENOTCONN",
        }
    }
}

/// Tells whether a user-defined event happens.
pub(crate) type Predicate = Box<dyn FnMut(&FlowContext<'_>, &mut Trigger<'_>) -> bool>;

/// What an event is built on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// Index of a built-in event.
    BuiltIn(u8),
    /// Index of a user-defined event.
    User(u16),
}

/// A user-defined event, without its predicate.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) base: Base,
    /// Index of the built-in event at the root.
    pub(crate) root: u8,
    /// Who defined it.
    pub(crate) actor: ActorId,
    has_predicate: bool,
    /// The last walk in which it was raised, and with what.
    raised: u64,
    pub(crate) payload: u64,
}

/// What a predicate is asked about. The packet, where there is one, is [`FlowContext::packet`].
#[derive(Debug)]
pub struct Trigger<'a> {
    id: UserEventId,
    event: Event,
    base: Event,
    hook: Hook,
    payload: u64,
    nodes: &'a mut [Node],
    walk: u64,
}

impl Trigger<'_> {
    /// The event that the predicate decides about.
    pub fn id(&self) -> UserEventId {
        self.id
    }

    /// The event that it is built on.
    pub fn base(&self) -> Event {
        self.base
    }

    /// The built-in event that is at hand, or the event that was raised by hand.
    pub fn event(&self) -> Event {
        self.event
    }

    /// The hook.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// What subscribers get with the event; 0 otherwise.
    pub fn set_payload(&mut self, payload: u64) {
        self.payload = payload;
    }

    /// Raises an event without predicate that is built on this one, if this one happens: after it, once however often it is
    /// raised, with the last payload.
    ///
    /// # Errors
    /// [`RaiseError::BadEvent`].
    pub fn raise(&mut self, child: UserEventId, payload: u64) -> Result<(), RaiseError> {
        let own = Base::User(self.id.index);
        let node = self
            .nodes
            .get_mut(usize::from(child.index))
            .filter(|node| child.shard == self.id.shard && node.base == own && !node.has_predicate)
            .ok_or(RaiseError::BadEvent)?;
        (node.raised, node.payload) = (self.walk, payload);
        Ok(())
    }
}

/// The user-defined events of a shard.
#[derive(Default)]
pub(crate) struct UserEvents {
    shard: u16,
    pub(crate) nodes: Vec<Node>,
    predicates: Vec<Option<Predicate>>,
    names: BTreeMap<Box<str>, u16>,
    /// Number of the walk at hand.
    walk: u64,
    /// Raised in answer to one event, and how many of them have been told.
    raised: ArrayVec<(u16, u64), { limits::RAISED_EVENTS }>,
    told: usize,
    /// Events that could not be raised for want of room.
    pub(crate) refused: u64,
}

impl fmt::Debug for UserEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserEvents")
            .field("names", &self.names)
            .field("nodes", &self.nodes)
            .field("raised", &self.raised)
            .finish_non_exhaustive()
    }
}

/// What a predicate is needed for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question {
    pub(crate) index: u16,
    pub(crate) event: Event,
    pub(crate) hook: Hook,
}

impl UserEvents {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            ..Self::default()
        }
    }

    /// Defines an event, or finds the one that was defined the same way.
    ///
    /// # Errors
    /// [`DefineError`].
    pub(crate) fn define(
        &mut self,
        actor: ActorId,
        name: &str,
        base: Topic,
        predicate: Option<Predicate>,
    ) -> Result<UserEventId, DefineError> {
        let (base, root) = self.resolve(base)?;
        if let Some(&index) = self.names.get(name) {
            let node = &self.nodes[usize::from(index)];
            let same = node.base == base && node.has_predicate == predicate.is_some();
            return if same {
                Ok(self.id(index))
            } else {
                Err(DefineError::NameTaken)
            };
        }
        if self.nodes.len() >= limits::USER_EVENTS {
            return Err(DefineError::NoRoom);
        }
        let index = u16::try_from(self.nodes.len()).map_err(|_| DefineError::NoRoom)?;
        self.nodes.push(Node {
            base,
            root,
            actor,
            has_predicate: predicate.is_some(),
            raised: 0,
            payload: 0,
        });
        self.predicates.push(predicate);
        self.names.insert(name.into(), index);
        Ok(self.id(index))
    }

    fn resolve(&self, base: Topic) -> Result<(Base, u8), DefineError> {
        match base {
            Topic::BuiltIn(events) => {
                let kind = events.kind().ok_or(DefineError::BadBase)?;
                Ok((Base::BuiltIn(kind), kind))
            }
            Topic::User(event) => {
                let node = self.node(event).ok_or(DefineError::BadBase)?;
                Ok((Base::User(event.index), node.root))
            }
        }
    }

    fn id(&self, index: u16) -> UserEventId {
        UserEventId {
            shard: self.shard,
            index,
        }
    }

    /// The event that has this name.
    pub(crate) fn named(&self, name: &str) -> Option<UserEventId> {
        self.names.get(name).map(|index| self.id(*index))
    }

    /// The event, if it is one of this shard.
    pub(crate) fn node(&self, event: UserEventId) -> Option<&Node> {
        self.nodes
            .get(usize::from(event.index))
            .filter(|_| event.shard == self.shard)
    }

    /// Whether an event can happen at `hook`.
    pub(crate) fn happens(&self, event: UserEventId, hook: Hook) -> Option<bool> {
        let root = 1 << self.node(event)?.root;
        Some(EventSet::at(hook).bits() & root != 0 && (hook, root) != (Hook::End, PACKET_IN))
    }

    /// As an event that an actor is told.
    pub(crate) fn event(&self, index: u16) -> Event {
        Event::User {
            event: self.id(index),
            payload: self.nodes[usize::from(index)].payload,
        }
    }

    /// Notes that an event is to be raised in answer to the one at hand.
    ///
    /// # Errors
    /// [`RaiseError`].
    pub(crate) fn raise(&mut self, event: UserEventId, payload: u64) -> Result<(), RaiseError> {
        self.node(event).ok_or(RaiseError::BadEvent)?;
        self.raised.try_push((event.index, payload)).map_err(|_| {
            self.refused += 1;
            RaiseError::TooMany
        })
    }

    /// Whether events were raised by hand.
    #[inline]
    pub(crate) fn has_raised(&self) -> bool {
        !self.raised.is_empty()
    }

    /// The next event that was raised by hand; with the last one the answer to the event at hand is complete.
    pub(crate) fn next_raised(&mut self) -> Option<(u16, u64)> {
        let next = self.raised.get(self.told).copied();
        self.told += 1;
        if next.is_none() {
            self.forget_raised();
        }
        next
    }

    /// What was raised goes unheard.
    pub(crate) fn forget_raised(&mut self) {
        self.raised.clear();
        self.told = 0;
    }

    /// A walk begins. In it the event `raised`, if any, has happened with this payload.
    pub(crate) fn begin_walk(&mut self, raised: Option<(u16, u64)>) {
        self.walk += 1;
        if let Some((index, payload)) = raised {
            let node = &mut self.nodes[usize::from(index)];
            (node.raised, node.payload) = (self.walk, payload);
        }
    }

    /// Whether only its predicate can tell if an event happens in the walk at hand.
    #[inline]
    pub(crate) fn must_ask(&self, index: u16) -> bool {
        let node = &self.nodes[usize::from(index)];
        node.has_predicate && node.raised != self.walk
    }

    /// Whether an event was raised in the walk at hand.
    #[inline]
    pub(crate) fn was_raised(&self, index: u16) -> bool {
        self.nodes[usize::from(index)].raised == self.walk
    }

    /// Takes the predicate of an event out, with all that it may touch; `None` for one that is only raised.
    pub(crate) fn take(&mut self, question: Question) -> Option<Asked> {
        let index = usize::from(question.index);
        let predicate = self.predicates[index].take()?;
        let base = match self.nodes[index].base {
            Base::User(base) => self.event(base),
            Base::BuiltIn(_) => question.event,
        };
        Some(Asked {
            question,
            base,
            id: self.id(question.index),
            actor: self.nodes[index].actor,
            walk: self.walk,
            predicate,
            nodes: core::mem::take(&mut self.nodes),
        })
    }

    /// Puts back what was taken out.
    pub(crate) fn put_back(&mut self, asked: Asked) {
        self.nodes = asked.nodes;
        self.predicates[usize::from(asked.question.index)] = Some(asked.predicate);
    }
}

const PACKET_IN: u16 = EventSet::PACKET_IN.bits();

/// A predicate about to be asked.
pub(crate) struct Asked {
    question: Question,
    base: Event,
    id: UserEventId,
    pub(crate) actor: ActorId,
    walk: u64,
    predicate: Predicate,
    nodes: Vec<Node>,
}

impl Asked {
    /// Asks it.
    pub(crate) fn ask(&mut self, flow: &FlowContext<'_>) -> bool {
        let mut trigger = Trigger {
            id: self.id,
            event: self.question.event,
            base: self.base,
            hook: self.question.hook,
            payload: 0,
            nodes: &mut self.nodes,
            walk: self.walk,
        };
        let happens = (self.predicate)(flow, &mut trigger);
        let payload = trigger.payload;
        self.nodes[usize::from(self.id.index)].payload = payload;
        happens
    }
}
