//! What a monitor asks for besides the events of flows: filters on packets and frames, raw packets, orphans.

use mosaic_port::Frame;

use super::ShardCounters;
use super::monitors::{Monitor, Monitors, Wishes};
use crate::actor::{ActorId, MonitorId, OpenError};
use crate::event::Filter;
use crate::wire::PacketFilter;

/// Which packets are meant: both filters must pass, as far as there are any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Asked on the innermost IP packet.
    pub(crate) packet: Option<Filter>,
    /// Asked on the frame that brought it.
    pub(crate) frame: Option<PacketFilter>,
}

impl Scope {
    /// What passes `packet`, whatever brings it.
    pub(crate) fn of(packet: Option<Filter>) -> Self {
        Self {
            packet,
            frame: None,
        }
    }

    /// Whether the frame passes; where nothing is known of it, only if nothing is asked. A frame of another link type than
    /// the filter was compiled for is counted.
    #[inline]
    pub(crate) fn frame_passes<'f>(
        &self,
        frame: impl FnOnce() -> Option<Frame<'f>>,
        counters: &mut ShardCounters,
    ) -> bool {
        let Some(filter) = &self.frame else {
            return true;
        };
        let judged = frame().and_then(|frame| filter.judge(&frame));
        counters.unknown_links += u64::from(judged.is_none());
        judged == Some(true)
    }
}

/// What a monitor asks for besides the events and packets of its flows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// Packets whatever flow they belong to.
    pub(crate) raw: Option<Raw>,
    /// Packets that belong to none.
    pub(crate) orphans: Option<Scope>,
    /// Besides these, packets of flows that nobody watches.
    pub(crate) left_out: bool,
    /// Overlap policies, a nibble a side.
    pub(crate) overlaps: u8,
    /// Facts of packets, and round trips.
    pub(crate) track: bool,
    /// No packet that was dropped before.
    pub(crate) unless_dropped: bool,
}

/// What a raw monitor asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    /// Also frames that yield no packet.
    pub(crate) every_frame: bool,
}

impl Ask {
    #[inline]
    pub(crate) fn is_raw(&self) -> bool {
        self.raw.is_some()
    }
}

/// A raw monitor about to be opened.
#[derive(Debug)]
#[must_use = "a monitor does nothing until it is opened"]
pub struct RawBuilder<'a> {
    monitors: &'a mut Monitors,
    actor: ActorId,
    scope: Scope,
    raw: Raw,
    unless_dropped: bool,
}

impl<'a> RawBuilder<'a> {
    pub(crate) fn new(monitors: &'a mut Monitors, actor: ActorId, filter: Option<Filter>) -> Self {
        Self {
            monitors,
            actor,
            scope: Scope::of(filter),
            raw: Raw { every_frame: false },
            unless_dropped: false,
        }
    }

    /// Asks `filter` of the frame, too, from its link-layer header on; see [`MonitorBuilder::outer`].
    ///
    /// [`MonitorBuilder::outer`]: crate::actor::MonitorBuilder::outer
    pub fn outer(mut self, filter: PacketFilter) -> Self {
        self.scope.frame = Some(filter);
        self
    }

    /// Also shows the frames that yield no packet: those that hold no IP packet (ARP, LLDP ...), damaged ones, fragments that
    /// wait for others; every frame once, in the order of the port. They come to the shard whose port received them, and
    /// pass no filter on the innermost packet. Frames that the port's own packet filter refuses are not shown.
    pub fn every_frame(mut self) -> Self {
        self.raw.every_frame = true;
        self
    }

    /// Does not see packets that another raw monitor has dropped before its turn came.
    pub fn unless_dropped(mut self) -> Self {
        self.unless_dropped = true;
        self
    }

    /// Opens the monitor; from the next burst on it sees packets. It stays open until it is
    /// [closed](crate::actor::ShardContext::close) or the shard ends.
    ///
    /// # Errors
    /// [`OpenError::NoSocket`].
    pub fn open(self) -> Result<MonitorId, OpenError> {
        self.monitors.open(Monitor {
            actor: self.actor,
            scope: self.scope,
            ask: Ask {
                raw: Some(self.raw),
                orphans: None,
                left_out: false,
                overlaps: 0,
                track: false,
                unless_dropped: self.unless_dropped,
            },
            wishes: Wishes::default(),
            retain: 0,
            edits: false,
            injects: false,
        })
    }
}
