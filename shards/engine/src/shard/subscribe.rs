//! Subscriptions: of one flow, changed from its callbacks; and of a monitor, for flows that begin later.

use super::context::FlowContext;
use super::monitors::{Asked, BadTopic, Monitors};
use super::plan::Wish;
use super::sets::{Change, Full};
use crate::actor::MonitorId;
use crate::event::{EventSet, Hook, RaiseError, Topic, UserEventId};

/// Why a subscription could not be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubscribeError {
    /// The event does not happen at that hook; see [`EventSet::at`].
    #[error("the event does not happen at this hook")]
    BadHook,
    /// The user-defined event is of another shard.
    #[error("no such user-defined event on this shard")]
    BadEvent,
    /// The actor has stopped listening to the flow, or the flow leaves.
    #[error("the monitor does not listen to this flow")]
    NotAttached,
    /// The handle names no open monitor of this shard.
    #[error("the handle names no open monitor socket")]
    StaleHandle,
    /// No set is left for another combination of subscriptions ([`limits::MONITOR_SETS`](crate::limits::MONITOR_SETS),
    /// [`limits::USER_SUBSCRIPTIONS`](crate::limits::USER_SUBSCRIPTIONS)); all stays as it was. Counted as
    /// `subscriptions_refused`.
    #[error("too many different sets of subscriptions on this shard")]
    NoSet,
}

impl SubscribeError {
    /// The name of the error number that `mtcp_register_callback` has for this fault, or one for what it does not know.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::BadHook | Self::BadEvent => "EINVAL",
            Self::NotAttached => "ENOTCONN",
            Self::StaleHandle => "EBADF",
            Self::NoSet => "ENOMEM",
        }
    }
}

impl From<BadTopic> for SubscribeError {
    fn from(fault: BadTopic) -> Self {
        match fault {
            BadTopic::Hook => Self::BadHook,
            BadTopic::Event => Self::BadEvent,
        }
    }
}

impl From<Full> for SubscribeError {
    fn from(Full: Full) -> Self {
        Self::NoSet
    }
}

impl FlowContext<'_> {
    /// The monitor on whose behalf the callback is made; in a timer the first one its actor has on the flow, one that reads
    /// before others.
    pub fn monitor(&self) -> MonitorId {
        self.shard.monitors.id(self.monitor)
    }

    /// Asks for more on this flow, for this monitor, from the next event on: built-in events, or a user-defined one, at a
    /// hook. Who asks for [`NEW_DATA`](EventSet::NEW_DATA) becomes a reader of both sides, from the next byte on.
    ///
    /// Costs the same whatever there is of flows and subscriptions, once one flow has gone the same way.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, hook: Hook, topic: impl Into<Topic>) -> Result<(), SubscribeError> {
        self.ask(hook, topic.into(), true)
    }

    /// Asks no longer for something on this flow, for this monitor, from the next event on. Who asks no longer for
    /// [`NEW_DATA`](EventSet::NEW_DATA) is a reader no more, and what was kept for it goes at the next delivery.
    ///
    /// # Errors
    /// [`SubscribeError`]. What was not asked for is no fault.
    pub fn unsubscribe(
        &mut self,
        hook: Hook,
        topic: impl Into<Topic>,
    ) -> Result<(), SubscribeError> {
        self.ask(hook, topic.into(), false)
    }

    /// Asks for every packet of this flow at `hook`, for this monitor, or no longer, from the next packet, or hook, on.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn packets(&mut self, hook: Hook, wanted: bool) -> Result<(), SubscribeError> {
        self.ask(hook, EventSet::PACKET_IN.into(), wanted)
    }

    /// The user-defined event of this name, whoever has defined it.
    pub fn event(&self, name: &str) -> Option<UserEventId> {
        self.shard.monitors.users.named(name)
    }

    /// Makes a user-defined event happen, after the event at hand, whatever its predicate says: those who asked for it at
    /// this hook are told now, those who asked for it at [`Hook::End`] at the end of the burst; then what is built on it. From
    /// a timer it is told at [`Hook::End`]. One that nobody asked for is lost.
    ///
    /// # Errors
    /// [`RaiseError`].
    pub fn raise(&mut self, event: UserEventId, payload: u64) -> Result<(), RaiseError> {
        if self.shard.commands.leaves {
            return Err(RaiseError::Leaving);
        }
        self.shard.monitors.users.raise(event, payload)
    }

    fn ask(&mut self, hook: Hook, topic: Topic, wanted: bool) -> Result<(), SubscribeError> {
        let asked = self.shard.monitors.check(hook, topic)?;
        let now = self.shard.commands.set.unwrap_or(self.set_at_call());
        let is_attached = self.shard.monitors.set(now).mask & 1 << self.monitor != 0;
        if !is_attached || self.shard.commands.stops || self.shard.commands.leaves {
            return Err(SubscribeError::NotAttached);
        }
        let monitor = self.monitor;
        let change = match asked {
            Asked::BuiltIn(events) => Change::Ask {
                monitor,
                hook,
                events,
                wanted,
            },
            Asked::User(event) => Change::AskUser {
                wish: Wish::new(monitor, hook, event),
                wanted,
            },
        };
        let set = self.shard.monitors.after(now, change)?;
        if let Some(passed) = self.shard.commands.set.replace(set) {
            self.shard.monitors.give(passed);
        }
        self.shard.commands.any = true;
        Ok(())
    }
}

/// A monitor, lent to change what it asks of flows that begin from now on.
#[derive(Debug)]
pub struct MonitorContext<'a> {
    monitors: &'a mut Monitors,
    id: MonitorId,
}

impl<'a> MonitorContext<'a> {
    pub(crate) fn new(monitors: &'a mut Monitors, id: MonitorId) -> Result<Self, SubscribeError> {
        monitors.wishes_mut(id).ok_or(SubscribeError::StaleHandle)?;
        Ok(Self { monitors, id })
    }

    /// Asks for more: built-in events, or a user-defined one, at a hook.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, hook: Hook, topic: impl Into<Topic>) -> Result<(), SubscribeError> {
        self.ask(hook, topic.into(), true)
    }

    /// Asks no longer for something.
    ///
    /// # Errors
    /// [`SubscribeError`]. What was not asked for is no fault.
    pub fn unsubscribe(
        &mut self,
        hook: Hook,
        topic: impl Into<Topic>,
    ) -> Result<(), SubscribeError> {
        self.ask(hook, topic.into(), false)
    }

    /// Asks for every packet at `hook`, or no longer.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn packets(&mut self, hook: Hook, wanted: bool) -> Result<(), SubscribeError> {
        self.ask(hook, EventSet::PACKET_IN.into(), wanted)
    }

    fn ask(&mut self, hook: Hook, topic: Topic, wanted: bool) -> Result<(), SubscribeError> {
        let asked = self.monitors.check(hook, topic)?;
        let wishes = self.monitors.wishes_mut(self.id);
        wishes
            .ok_or(SubscribeError::StaleHandle)?
            .set(hook, asked, wanted);
        Ok(())
    }
}
