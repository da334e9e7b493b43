//! Every built-in event, once.

use super::user::UserEventId;
use crate::tcp::State;

/// One of the two ends of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Side {
    /// The opener: sender of the first SYN, otherwise (UDP, midstream) of the first packet.
    Client = 0,
    /// The other one.
    Server = 1,
}

impl Side {
    /// Both, the client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Where in a packet's path a callback happens.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Hook {
    /// After the emulated sender was updated.
    Send = 0,
    /// After the emulated receiver was updated.
    Receive = 1,
    /// At the end of the burst.
    End = 2,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Verdict {
    /// It goes on its way.
    #[default]
    Forward,
    /// It goes no further. Emulation and streams advance all the same.
    Drop,
    /// It goes no further, and what the receiver would have made of it does not happen: its emulated state, the streams and
    /// the acknowledgments stay what they were, and no more hooks see the packet. At [`Hook::Receive`], where that has happened
    /// already, the same as `Drop`.
    DropUnseen,
}

/// Why a flow ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndReason {
    /// Both sides closed with FIN.
    Fin,
    /// A valid RST.
    Reset,
    /// No packet for as long as the timeout of its state.
    Timeout,
    /// The same 5-tuple opened again.
    Reopened,
    /// The flow table was full and this flow was the least valuable.
    Evicted,
    /// The source of packets ended, or the process drained.
    SourceEnd,
}

/// Which kind of repetition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RetransmissionKind {
    /// Bytes that were seen before.
    Data,
    /// A repeated SYN or SYN/ACK.
    Syn,
    /// A repeated FIN.
    Fin,
    /// A keep-alive probe (RFC 9293, section 3.8.4): nothing or one byte just below the next expected one.
    KeepAlive,
}

/// What went wrong in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StreamError {
    /// Bytes that will not come: the capture or the network lost them.
    Gap {
        /// Stream offset of the first missing byte.
        offset: u64,
        /// Number of missing bytes.
        len: u64,
    },
    /// This reader did not keep up with the bound of the side; if it does not peek now, its oldest bytes go.
    Overrun {
        /// Bytes about to be lost.
        len: u64,
    },
    /// A repeated byte range with other bytes than the first copy.
    OverlapDiffers {
        /// Stream offset of the first differing byte.
        offset: u64,
        /// Number of differing bytes.
        len: u32,
    },
    /// A segment that a receiver must refuse (RFC 9293, 5961, 7323).
    Invalid,
}

/// A fact about a flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// A packet of the flow. Who subscribes to it gets [`Actor::on_packet`](crate::actor::Actor::on_packet); as an event it
    /// is the base of user-defined ones.
    PacketIn,
    /// The flow's first packet.
    ConnStart,
    /// The three-way handshake is complete (TCP).
    ConnEstablished,
    /// The side's stream has new in-order bytes: those *sent by* this side. Once a side and burst, always before `ConnEnd`.
    NewData(Side),
    /// Bytes, or a control bit, this side had sent before.
    Retransmission {
        /// The sender.
        side: Side,
        /// What was repeated.
        kind: RetransmissionKind,
        /// Repeated payload bytes.
        len: u32,
    },
    /// The emulated state of a side changed.
    StateChange {
        /// Whose.
        side: Side,
        /// The old state.
        from: State,
        /// The new state.
        to: State,
    },
    /// The flow is closed. Once a flow and actor.
    ConnEnd(EndReason),
    /// Something went wrong in the bytes sent by a side.
    Error {
        /// The sender.
        side: Side,
        /// What.
        error: StreamError,
    },
    /// Bytes sent by this side joined the stream after `ConnEnd` (validity profile `record` only).
    LateData(Side),
    /// The flow was idle for longer than its state allows. Just before `ConnEnd`.
    Timeout,
    /// A user-defined event has happened.
    User {
        /// Which.
        event: UserEventId,
        /// What its predicate, or whoever raised it, has given along.
        payload: u64,
    },
}

/// How many kinds of events there are: the built-in ones, and one for all that are user-defined.
pub const EVENTS: usize = 11;

bitflags::bitflags! {
    /// A set of events to subscribe to.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct EventSet: u16 {
        /// [`Event::ConnStart`].
        const CONN_START = 1;
        /// [`Event::ConnEstablished`]; not at [`Hook::Send`].
        const CONN_ESTABLISHED = 1 << 1;
        /// [`Event::NewData`]; hook [`Hook::End`] only. Makes the monitor a reader: bytes it leaves are kept for it.
        const NEW_DATA = 1 << 2;
        /// [`Event::Retransmission`]; not at [`Hook::Send`].
        const RETRANSMISSION = 1 << 3;
        /// [`Event::StateChange`].
        const STATE_CHANGE = 1 << 4;
        /// [`Event::ConnEnd`]; hook [`Hook::End`] only.
        const CONN_END = 1 << 5;
        /// [`Event::Error`]; not at [`Hook::Send`].
        const ERROR = 1 << 6;
        /// [`Event::LateData`]; hook [`Hook::End`] only.
        const LATE_DATA = 1 << 7;
        /// [`Event::PacketIn`]: every packet, as [`packets`](crate::actor::MonitorBuilder::packets) asks for them; hooks
        /// [`Hook::Send`] and [`Hook::Receive`]. There are none at [`Hook::End`], and asking there asks for nothing.
        const PACKET_IN = 1 << 8;
        /// [`Event::Timeout`]; hook [`Hook::End`] only.
        const TIMEOUT = 1 << 9;
    }
}

impl Event {
    /// The set of just this event; empty for a user-defined one.
    pub const fn set(&self) -> EventSet {
        match self {
            Self::PacketIn => EventSet::PACKET_IN,
            Self::ConnStart => EventSet::CONN_START,
            Self::ConnEstablished => EventSet::CONN_ESTABLISHED,
            Self::NewData(_) => EventSet::NEW_DATA,
            Self::Retransmission { .. } => EventSet::RETRANSMISSION,
            Self::StateChange { .. } => EventSet::STATE_CHANGE,
            Self::ConnEnd(_) => EventSet::CONN_END,
            Self::Error { .. } => EventSet::ERROR,
            Self::LateData(_) => EventSet::LATE_DATA,
            Self::Timeout => EventSet::TIMEOUT,
            Self::User { .. } => EventSet::empty(),
        }
    }

    /// Index of its kind: of its bit among the built-in events; all user-defined ones have the last.
    #[inline]
    pub(crate) const fn kind(&self) -> usize {
        match self {
            Self::User { .. } => EVENTS - 1,
            event => event.set().bits().trailing_zeros() as usize,
        }
    }

    /// The side that sent what the event is about, where it is about something sent.
    pub(crate) const fn sender(&self) -> Option<Side> {
        match self {
            Self::NewData(side)
            | Self::LateData(side)
            | Self::Retransmission { side, .. }
            | Self::Error { side, .. } => Some(*side),
            _ => None,
        }
    }
}

impl EventSet {
    /// Name of each event, in the order of the bits, and one for all that are user-defined; for metrics and reports.
    pub const EVENT_NAMES: [&'static str; EVENTS] = [
        "conn_start",
        "conn_established",
        "new_data",
        "retransmission",
        "state_change",
        "conn_end",
        "error",
        "late_data",
        "packet_in",
        "timeout",
        "user",
    ];

    /// Index of the only event of the set; `None` for any other number of events.
    pub(crate) fn kind(self) -> Option<u8> {
        let is_one = self.bits().is_power_of_two() && Self::all().contains(self);
        u8::try_from(self.bits().trailing_zeros())
            .ok()
            .filter(|_| is_one)
    }

    /// The events that happen at `hook`: what a monitor may ask for there.
    pub const fn at(hook: Hook) -> Self {
        let send = Self::PACKET_IN
            .union(Self::CONN_START)
            .union(Self::STATE_CHANGE);
        match hook {
            Hook::Send => send,
            Hook::Receive => send
                .union(Self::CONN_ESTABLISHED)
                .union(Self::RETRANSMISSION)
                .union(Self::ERROR),
            Hook::End => Self::all(),
        }
    }
}
