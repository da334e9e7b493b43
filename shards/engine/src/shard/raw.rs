//! Packets apart from flows: raw monitors, which see each packet before any flow does, and orphans, which belong to none.

use arrayvec::ArrayVec;
use mosaic_port::{Batch, Frame};

use super::changes::Changes;
use super::raw_edits::Shown;
use super::{Run, Shard};
use crate::actor::{Host, MonitorId, ShardContext};
use crate::counters::Drops;
use crate::event::Verdict;
use crate::flow::Endpoint;
use crate::limits;
use crate::wire::{Encapsulation, Layer, Packet, Parsed, Transport};

/// The frames of a burst, by their number in the batch.
pub trait Frames {
    /// Frame `index`; `None` where frames are not at hand.
    fn frame(&self, index: u8) -> Option<Frame<'_>>;
}

impl<B: Batch> Frames for B {
    fn frame(&self, index: u8) -> Option<Frame<'_>> {
        Some(Batch::frame(self, index.into()))
    }
}

/// No frame is at hand.
pub(super) struct NoFrames;

impl Frames for NoFrames {
    fn frame(&self, _: u8) -> Option<Frame<'_>> {
        None
    }
}

/// A packet of no flow, or seen before any flow sees it; or a frame that holds none.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    /// The monitor that asked for it.
    pub monitor: MonitorId,
    /// The frame it came in, from the link-layer header on, with its link type, interface and time, as monitors before have left
    /// it; of a datagram that came in fragments, the frame that completed it. `None` only for orphans of a shard that was given
    /// no frames ([`Shard::handle_burst`]).
    pub frame: Option<Frame<'a>>,
    /// The innermost IP packet; `None` where the frame holds none.
    pub packet: Option<&'a Packet>,
    /// The buffer that the offsets in `packet` count in: the frame, or the datagram put together from fragments.
    pub bytes: &'a [u8],
    /// The layers around the innermost packet, outermost first; none where there is no packet.
    pub encapsulation: &'a Encapsulation,
    /// Why there is no packet: one of [`Drops::NAMES`], or `"fragment"` for one that waits for others.
    pub why: Option<&'static str>,
}

impl<'a> RawPacket<'a> {
    /// Source of the innermost packet. The port is 0 where the protocol has none.
    pub fn source(&self) -> Option<Endpoint> {
        self.packet
            .map(|packet| packet.key.source(packet.direction))
    }

    /// Destination of the innermost packet.
    pub fn destination(&self) -> Option<Endpoint> {
        self.packet
            .map(|packet| packet.key.source(packet.direction.reversed()))
    }

    /// VLAN identifiers around the innermost packet, outermost first.
    pub fn vlans(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.encapsulation
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Vlan(id) => Some(*id),
                _ => None,
            })
    }

    /// The innermost IP packet as far as it was captured, from its header on, without what the link layer padded.
    pub fn ip(&self) -> &'a [u8] {
        let Some(packet) = self.packet else {
            return &[];
        };
        let ip = self.bytes.get(packet.ip_at as usize..).unwrap_or_default();
        &ip[..ip.len().min(packet.ip_len as usize)]
    }

    /// The captured payload of the transport protocol.
    pub fn payload(&self) -> &'a [u8] {
        let Some(packet) = self.packet else {
            return &[];
        };
        let start = packet.payload_at as usize;
        let payload = self.bytes.get(start..).unwrap_or_default();
        &payload[..payload.len().min(packet.payload_captured as usize)]
    }
}

static PLAIN: Encapsulation = Encapsulation {
    layers: ArrayVec::new_const(),
};

/// What [`Drops`] calls frames that nobody wants to look at.
const PACKET_FILTER: &str = "packet_filter";

impl Shard {
    /// Whether a raw monitor is open: only then [`handle_raw`](Self::handle_raw) does anything.
    #[inline]
    pub fn has_raw(&self) -> bool {
        self.monitors.raw != 0
    }

    /// Shows what was parsed of `batch` to the raw monitors, frame by frame. To be called before the packets of `parsed` are
    /// given to [`handle_frames`](Self::handle_frames), whose result then includes the packets dropped here. Returns the
    /// frames without a packet that are to be dropped: frame `i` has bit `i`.
    pub fn handle_raw<B: Batch>(&mut self, parsed: &Parsed, batch: &B, host: &mut dyn Host) -> u64 {
        let inline = self
            .changes
            .as_ref()
            .is_some_and(|flows| flows.notes.inline);
        let mut made = self.raw.begin(inline);
        let bytes: ArrayVec<&[u8], { limits::BURST }> = parsed
            .packets
            .iter()
            .map(|packet| parsed.bytes_of(packet, batch))
            .collect();
        let mut packets = (0..).zip(&parsed.packets).peekable();
        let mut refused = parsed.refused.iter().peekable();
        let mut dropped = 0;
        for (number, index) in (0_u8..).zip(0..batch.len()) {
            let packet = packets.next_if(|(_, packet)| packet.buffer.frame() == number);
            let why = if let Some(refused) = refused.next_if(|refused| refused.frame == number) {
                Drops::NAMES.get(usize::from(refused.reason)).copied()
            } else if parsed.absorbed >> number & 1 == 1 {
                Some("fragment")
            } else {
                None
            };
            // A frame with neither belongs to another shard.
            if packet.is_none() && why.is_none_or(|why| why == PACKET_FILTER) {
                continue;
            }
            let shown = Shown {
                number,
                frame: Some(Batch::frame(batch, index)),
                packets: &parsed.packets,
                bytes: &bytes,
                index: packet.map(|(i, _)| i),
                encapsulation: packet.map_or(&PLAIN, |(_, packet)| {
                    &parsed.encapsulations[usize::from(packet.encapsulation)]
                }),
                why,
            };
            let verdict = self.show_raw(host, &mut made, &shown);
            let is_dropped = u64::from(verdict != Verdict::Forward);
            if let Some((i, _)) = packet {
                self.raw.dropped |= is_dropped << i;
                self.raw.unseen |= u64::from(verdict == Verdict::DropUnseen) << i;
            } else {
                dropped |= is_dropped << number;
            }
        }
        self.raw.end(made);
        dropped
    }

    /// Shows a packet or frame to the raw monitors that want it; what becomes of it is what the strictest of them says.
    fn show_raw(&mut self, host: &mut dyn Host, made: &mut Changes, shown: &Shown<'_>) -> Verdict {
        let mut strictest = Verdict::Forward;
        for slot in self.monitors.chain(self.monitors.raw, None) {
            // One that was called before may have closed it.
            let Some(monitor) = self.monitors.get(slot) else {
                continue;
            };
            let wanted = match (shown.index, monitor.ask.raw) {
                (Some(_), _) => true,
                (None, raw) => raw.is_some_and(|raw| raw.every_frame),
            };
            let dropped = strictest != Verdict::Forward;
            if !wanted || dropped && monitor.ask.unless_dropped {
                continue;
            }
            let version = shown.index.and_then(|i| made.version(i));
            let changed = version.map(|version| version.packet);
            let id = self.monitors.id(slot);
            let (packet, hand) = shown.lend(made, changed.as_ref(), id, true);
            if !passes(&monitor.scope, &packet, &mut self.counters) {
                continue;
            }
            let actor = monitor.actor;
            let mut context = ShardContext {
                shard: self,
                actor,
                hand: Some(hand),
            };
            let verdict = host.on_raw(actor, &mut context, &packet);
            made.adopt(shown.index);
            if strictest != Verdict::DropUnseen && verdict != Verdict::Forward {
                strictest = verdict;
            }
        }
        strictest
    }

    /// Counts a packet that no flow is to see.
    #[cold]
    pub(super) fn pass_over(&mut self, packet: &Packet) {
        self.clock = self.clock.max(packet.clock);
        self.counters.packets += 1;
    }

    /// Shows packet `i`, which belongs to no flow, to the monitors that asked for orphans.
    #[cold]
    pub(super) fn show_orphan(&mut self, run: &mut Run<'_>, i: usize) {
        self.show_unclaimed(run, i, self.monitors.orphans);
    }

    /// Shows packet `i`, of a flow that nobody watches, to the monitors that asked for it.
    #[cold]
    pub(super) fn show_left_out(&mut self, run: &mut Run<'_>, i: usize) {
        if matches!(run.packets[i].transport, Transport::Tcp { .. }) {
            self.show_unclaimed(run, i, self.monitors.left_out);
        }
    }

    fn show_unclaimed(&mut self, run: &mut Run<'_>, i: usize, asking: u16) {
        let packet = &run.packets[i];
        for slot in self.monitors.chain(asking, None) {
            let Some(monitor) = self.monitors.get(slot) else {
                continue;
            };
            let Some(scope) = &monitor.ask.orphans else {
                continue;
            };
            if monitor.ask.unless_dropped && run.dropped >> i & 1 == 1 {
                continue;
            }
            let number = packet.buffer.frame();
            let shown = Shown {
                number,
                frame: run.frames.frame(number),
                packets: run.packets,
                bytes: run.bytes,
                index: Some(i),
                encapsulation: &run.encapsulations[usize::from(packet.encapsulation)],
                why: None,
            };
            let changed = run.changes.version(i).map(|version| version.packet);
            let id = self.monitors.id(slot);
            let (packet, hand) = shown.lend(&mut run.changes, changed.as_ref(), id, false);
            if !passes(scope, &packet, &mut self.counters) {
                continue;
            }
            let actor = monitor.actor;
            let mut context = ShardContext {
                shard: self,
                actor,
                hand: Some(hand),
            };
            let verdict = run.host.on_orphan(actor, &mut context, &packet);
            run.changes.adopt(Some(i));
            run.dropped |= u64::from(verdict != Verdict::Forward) << i;
        }
    }
}

/// Whether what is shown lies within `scope`. What holds no packet passes no filter on packets.
fn passes(
    scope: &super::scope::Scope,
    shown: &RawPacket<'_>,
    counters: &mut super::ShardCounters,
) -> bool {
    let packet_passes = match (&scope.packet, shown.packet) {
        (None, _) => true,
        (Some(filter), Some(packet)) => {
            let ip = shown.bytes.get(packet.ip_at as usize..);
            ip.is_some_and(|ip| filter.matches(ip, packet.ip_len))
        }
        (Some(_), None) => false,
    };
    packet_passes && scope.frame_passes(|| shown.frame, counters)
}
