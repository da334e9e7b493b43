//! What an application implements, and what it is given to work with.

use alloc::boxed::Box;
use core::time::Duration;

#[cfg(doc)]
use crate::event::EventSet;
use crate::event::{DefineError, Event, Filter, Hook, Topic, Trigger, UserEventId, Verdict};
pub use crate::shard::context::{
    Chunks, ClientBy, FlowContext, FlowId, FlowSummary, PacketError, PacketView, PeekError,
    SideSummary,
};
pub use crate::shard::raw::RawPacket;

/// Error of an actor that cannot start.
pub type StartError = Box<dyn core::error::Error + Send + Sync>;

/// An in-shard actor: one instance a shard, called on the shard's own thread.
///
/// Order of calls: [`start`](Self::start) once; then, for each flow that a monitor of this actor matches, `on_packet` and
/// `on_event` as subscribed, and [`on_removed`](Self::on_removed) once, last; then [`finish`](Self::finish) once.
pub trait Actor: 'static {
    /// What the actor keeps for each flow; `Default` when the flow begins. Dropped when the flow leaves the table.
    type Flow: Default + 'static;

    /// Opens the monitor sockets.
    ///
    /// # Errors
    /// Anything that makes the actor useless; the runtime then does not start.
    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError>;

    /// A packet of a monitored flow, at a hook the monitor asked for.
    fn on_packet(
        &mut self,
        _state: &mut Self::Flow,
        _flow: &mut FlowContext<'_>,
        _packet: &PacketView<'_>,
        _hook: Hook,
    ) -> Verdict {
        Verdict::Forward
    }

    /// A packet, or a frame that holds none, that a raw monitor of this actor asked for: before any flow sees it. The
    /// verdict counts as one of [`on_packet`](Self::on_packet) does; with [`Verdict::DropUnseen`] no flow sees the packet. It may
    /// be [changed](ShardContext::edit), and others [sent](ShardContext::inject_packet).
    fn on_raw(&mut self, _shard: &mut ShardContext<'_>, _packet: &RawPacket<'_>) -> Verdict {
        Verdict::Forward
    }

    /// A TCP packet that belongs to no tracked flow and begins none, where a stream monitor of this actor asked for
    /// [orphans](MonitorBuilder::orphans). It may be changed and others sent as in [`on_raw`](Self::on_raw).
    fn on_orphan(&mut self, _shard: &mut ShardContext<'_>, _packet: &RawPacket<'_>) -> Verdict {
        Verdict::Forward
    }

    /// An event the monitor subscribed to.
    fn on_event(&mut self, _state: &mut Self::Flow, _flow: &mut FlowContext<'_>, _event: Event) {}

    /// The flow leaves the table: its summary is final, and this is the last call for it.
    fn on_removed(&mut self, _state: &mut Self::Flow, _flow: &mut FlowContext<'_>) {}

    /// A timer of the flow, set by this actor, is due. `flow` is lent as at the end of a burst: bytes that were left may be
    /// read, [`FlowContext::now`] is the shard's clock.
    ///
    /// Timers run in packet time. One fires at the end of the first burst (or passing of time without packets) at which the
    /// shard's clock, the largest packet time it has seen, has reached its time; after the other events of that burst; in the
    /// order of their times, those of equal times in the order in which they were set; at most
    /// [`limits::TIMERS_FIRED`](crate::limits::TIMERS_FIRED) a burst. So *that* a timer fires depends on its flow alone, but
    /// *between which packets* depends on the bursts and on the other flows of the shard, and with them on the number of
    /// shards: what must not, decide by the times of packets. Timers end with their flow, without a call, and with the
    /// actor's interest in it ([`FlowContext::stop`], [`FlowContext::close`]).
    fn on_timer(&mut self, _state: &mut Self::Flow, _flow: &mut FlowContext<'_>, _timer: TimerId) {}

    /// A timer of the shard, set by this actor, is due; see [`on_timer`](Self::on_timer). Set in [`start`](Self::start), it
    /// counts from the end of the first burst.
    fn on_shard_timer(&mut self, _shard: &mut ShardContext<'_>, _timer: TimerId) {}

    /// The shard has ended; every flow was removed.
    fn finish(&mut self) {}
}

/// Number of an actor within its shard, in the order in which the actors were given to the runtime.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ActorId(pub u8);

/// Handle of a monitor socket. It names that socket and never another: once the socket is closed, the handle is stale, also
/// when its place in the pool is in use again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MonitorId {
    pub(crate) generation: u32,
    pub(crate) shard: u16,
    pub(crate) slot: u8,
}

/// Calls actors; implemented by the runtime, which contains their panics, and by tests. What is not implemented does nothing.
pub trait Host {
    /// See [`Actor::on_packet`].
    fn on_packet(
        &mut self,
        _actor: ActorId,
        _flow: &mut FlowContext<'_>,
        _packet: &PacketView<'_>,
        _hook: Hook,
    ) -> Verdict {
        Verdict::Forward
    }
    /// See [`Actor::on_raw`].
    fn on_raw(
        &mut self,
        _actor: ActorId,
        _shard: &mut ShardContext<'_>,
        _packet: &RawPacket<'_>,
    ) -> Verdict {
        Verdict::Forward
    }
    /// See [`Actor::on_orphan`].
    fn on_orphan(
        &mut self,
        _actor: ActorId,
        _shard: &mut ShardContext<'_>,
        _packet: &RawPacket<'_>,
    ) -> Verdict {
        Verdict::Forward
    }
    /// See [`Actor::on_event`].
    fn on_event(&mut self, _actor: ActorId, _flow: &mut FlowContext<'_>, _event: Event) {}
    /// See [`Actor::on_removed`]. The host also drops the actor's state of the flow.
    fn on_removed(&mut self, _actor: ActorId, _flow: &mut FlowContext<'_>) {}
    /// See [`Actor::on_timer`].
    fn on_timer(&mut self, _actor: ActorId, _flow: &mut FlowContext<'_>, _timer: TimerId) {}
    /// See [`Actor::on_shard_timer`].
    fn on_shard_timer(&mut self, _actor: ActorId, _shard: &mut ShardContext<'_>, _timer: TimerId) {}
    /// Asks a predicate that the actor has defined whether a user-defined event happens: returns what `ask` returns, false
    /// where it panics.
    fn on_predicate(&mut self, _actor: ActorId, ask: &mut dyn FnMut() -> bool) -> bool {
        ask()
    }
    /// The last monitor the actor had on the flow of this index was closed: its state of the flow goes, without a call.
    fn forget(&mut self, _actor: ActorId, _index: u32) {}
}

/// Why a monitor socket could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Every monitor socket of the shard is in use ([`limits::MONITORS`](crate::limits::MONITORS)), or was closed so
    /// recently that flows are still being released from it, some hundred of them a burst.
    #[error("no monitor socket left on this shard")]
    NoSocket,
    /// An event was asked for at a hook where it does not happen; see [`EventSet::at`].
    #[error("an event was subscribed to at a hook where it does not happen")]
    BadHook,
    /// A user-defined event of another shard was asked for.
    #[error("no such user-defined event on this shard")]
    BadEvent,
}

impl OpenError {
    /// The name of the error number that `mtcp_socket` has for this fault.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::NoSocket => "ENFILE",
            Self::BadHook | Self::BadEvent => "EINVAL",
        }
    }
}

/// Why a monitor socket could not be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CloseError {
    /// The handle names no open monitor of this shard: it was closed before, or belongs to another shard.
    #[error("the handle names no open monitor socket")]
    StaleHandle,
}

impl CloseError {
    /// The name of the error number that `mtcp_close` has for this fault.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::StaleHandle => "EBADF",
        }
    }
}

/// What the callbacks that belong to no flow work with: [`Actor::start`], [`Actor::on_shard_timer`], [`Actor::on_raw`] and
/// [`Actor::on_orphan`].
#[derive(Debug)]
pub struct ShardContext<'a> {
    pub(crate) shard: &'a mut crate::shard::Shard,
    pub(crate) actor: ActorId,
    /// What a callback for raw packets and orphans works on.
    pub(crate) hand: Option<crate::shard::raw_edits::RawHand<'a>>,
}

impl<'a> ShardContext<'a> {
    /// Number of this shard, from 0.
    pub fn shard(&self) -> u16 {
        self.shard.number()
    }

    /// Begins a stream monitor for flows whose opening packet passes `filter` (asked on the innermost IP packet); all
    /// flows with `None`.
    pub fn monitor_stream(&mut self, filter: Option<Filter>) -> MonitorBuilder<'_> {
        MonitorBuilder::new(self.shard.monitors_mut(), self.actor, filter)
    }

    /// Lends a monitor, to change what it asks of flows that begin from now on. Each flow keeps what was asked when it began,
    /// until it is [changed](FlowContext::subscribe) itself.
    ///
    /// # Errors
    /// [`SubscribeError::StaleHandle`].
    pub fn monitor(&mut self, monitor: MonitorId) -> Result<MonitorContext<'_>, SubscribeError> {
        MonitorContext::new(self.shard.monitors_mut(), monitor)
    }

    /// Defines an event that is built on `base`, one built-in event or a user-defined one: it happens where `base` does and
    /// `predicate` says so. A predicate is asked once for each event and hook however many subscribe, and not at all on flows
    /// where nobody subscribes to the event, or to one that is built on it. It moves no reader. Where `base` is
    /// [`NEW_DATA`](EventSet::NEW_DATA), [`peek_at`](FlowContext::peek_at) gives it the bytes of the burst.
    ///
    /// The same name with the same base is the same event: the first predicate counts. Events are there for all actors of the
    /// shard, for as long as the shard.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn define_event(
        &mut self,
        name: &str,
        base: impl Into<Topic>,
        predicate: impl FnMut(&FlowContext<'_>, &mut Trigger<'_>) -> bool + 'static,
    ) -> Result<UserEventId, DefineError> {
        let (actor, predicate) = (self.actor, Box::new(predicate));
        let users = &mut self.shard.monitors_mut().users;
        users.define(actor, name, base.into(), Some(predicate))
    }

    /// Defines an event without predicate: one that the predicate of its base raises ([`Trigger::raise`]), among any number
    /// of others, or an actor by hand ([`FlowContext::raise`]).
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn define_raised(
        &mut self,
        name: &str,
        base: impl Into<Topic>,
    ) -> Result<UserEventId, DefineError> {
        let (actor, users) = (self.actor, &mut self.shard.monitors_mut().users);
        users.define(actor, name, base.into(), None)
    }

    /// The user-defined event of this name, whoever has defined it.
    pub fn event(&mut self, name: &str) -> Option<UserEventId> {
        self.shard.monitors_mut().users.named(name)
    }

    /// Begins a raw monitor: each packet that passes `filter` (asked on the innermost IP packet; all with `None`) comes to
    /// [`Actor::on_raw`] once, TCP or not, before any flow sees it. Packets come to the shard that owns their flow.
    ///
    /// The sockets are those of [`monitor_stream`](Self::monitor_stream). Where no raw monitor is open, a packet pays
    /// nothing for them.
    pub fn monitor_raw(&mut self, filter: Option<Filter>) -> RawBuilder<'_> {
        RawBuilder::new(self.shard.monitors_mut(), self.actor, filter)
    }

    /// Closes a monitor, as [`FlowContext::close`] does.
    ///
    /// # Errors
    /// [`CloseError`].
    pub fn close(&mut self, monitor: MonitorId) -> Result<(), CloseError> {
        self.shard.close_monitor(monitor)
    }

    /// Calls [`Actor::on_shard_timer`] once, `after` so much packet time (at least 1 ns).
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set_timer(&mut self, after: Duration) -> Result<TimerId, TimerError> {
        self.shard.set_timer(self.actor, after, false)
    }

    /// Calls [`Actor::on_shard_timer`] every `period` of packet time (at least 1 ns). Times that pass within one burst are
    /// one call.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set_timer_every(&mut self, period: Duration) -> Result<TimerId, TimerError> {
        self.shard.set_timer(self.actor, period, true)
    }

    /// Takes a timer of this actor back, of the shard or of a flow.
    ///
    /// # Errors
    /// [`TimerError::StaleHandle`].
    pub fn cancel_timer(&mut self, timer: TimerId) -> Result<(), TimerError> {
        self.shard.cancel_timer(timer, self.actor)
    }
}

pub use crate::shard::edit::{EditError, PacketEdit, Part};
pub use crate::shard::facts::{Fragment, StreamInfo};
pub use crate::shard::inject::{InjectError, Segment};
pub use crate::shard::monitors::MonitorBuilder;
pub use crate::shard::raw_edits::Toward;
pub use crate::shard::scope::RawBuilder;
pub use crate::shard::subscribe::{MonitorContext, SubscribeError};
pub use crate::shard::timers::{TimerError, TimerId};
pub use crate::shard::track::{LastPacket, LastSegment, RoundTrip};
pub use crate::shard::translate::{Hardware, TranslateError, Translation};
