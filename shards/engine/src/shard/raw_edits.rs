//! What raw monitors make of packets, before any flow sees these, and what they send besides.
//!
//! Packets that a raw monitor has changed take the place of those that came: everything after it goes by them as if they had
//! come so.

use alloc::boxed::Box;
use arrayvec::ArrayVec;
use mosaic_port::{Frame, LinkType};

use super::Shard;
use super::changes::{Changes, Desk, Route};
use super::edit::{EditError, PacketEdit};
use super::inject::InjectError;
use super::raw::{Frames, RawPacket};
use crate::actor::{Host, MonitorId, ShardContext};
use crate::limits;
use crate::wire::{Buffer, Encapsulation, LINK_MAX, Layer, Packet, type_at};

/// Which way a frame goes that a callback sends which knows no flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Toward {
    /// The way of the packet at hand.
    Receiver,
    /// Back to where that came from.
    Sender,
}

/// The longest frame: the longest IP packet in the longest Ethernet header.
const FRAME_MAX: usize = LINK_MAX + IP_MAX;
const IP_MAX: usize = 65_535;
/// Length of an Ethernet header without tags.
const ETHERNET_LEN: usize = 14;

/// What a raw monitor may be shown, before it is known to whom: as it came.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// Number of the frame in the batch.
    pub(super) number: u8,
    pub(super) frame: Option<Frame<'a>>,
    /// The packets of the burst, their buffers, and which one it is; `None` for a frame without one.
    pub(super) packets: &'a [Packet],
    pub(super) bytes: &'a [&'a [u8]],
    pub(super) index: Option<usize>,
    pub(super) encapsulation: &'a Encapsulation,
    pub(super) why: Option<&'static str>,
}

impl<'a> Shown<'a> {
    /// The packet as it is after `changes`, where it has the headers `changed` by now if any, for `monitor`; and what its
    /// callback works with.
    pub(super) fn lend(
        &self,
        changes: &'a mut Changes,
        changed: Option<&'a Packet>,
        monitor: MonitorId,
        keeps_key: bool,
    ) -> (RawPacket<'a>, RawHand<'a>) {
        let desk = changes.desk();
        let whole = self.frame.map_or(&[][..], |frame| frame.bytes);
        let mut packet = RawPacket {
            monitor,
            frame: self.frame,
            packet: None,
            bytes: whole,
            encapsulation: self.encapsulation,
            why: self.why,
        };
        if let Some(i) = self.index {
            packet.put(
                changed.unwrap_or(&self.packets[i]),
                desk.bytes(self.bytes, i),
            );
        }
        let hand = RawHand {
            packet,
            came: self.frame,
            number: self.number,
            desk,
            keeps_key,
        };
        (packet, hand)
    }
}

impl<'a> RawPacket<'a> {
    /// It is this by now.
    fn put(&mut self, packet: &'a Packet, bytes: &'a [u8]) {
        (self.packet, self.bytes) = (Some(packet), bytes);
        if let (Buffer::Frame(_), Some(frame)) = (packet.buffer, &mut self.frame) {
            frame.bytes = bytes;
        }
    }
}

/// What a callback that knows no flow works on.
#[derive(Debug)]
pub(crate) struct RawHand<'a> {
    /// The packet before the callback.
    packet: RawPacket<'a>,
    /// Its frame as it came.
    came: Option<Frame<'a>>,
    /// Number of that in the batch.
    number: u8,
    desk: Desk<'a>,
    /// The flow of the packet is yet to be looked up.
    keeps_key: bool,
}

impl RawHand<'_> {
    fn send(
        &mut self,
        toward: Toward,
        (link, is_ethernet): (&[u8], bool),
        bytes: &[u8],
    ) -> Result<(), InjectError> {
        let back = toward == Toward::Sender;
        let frame = self.number;
        let route = Route::WithFrame { frame, back };
        let write = |into: &mut [u8]| into.copy_from_slice(bytes);
        self.desk
            .send_frame((link, is_ethernet), route, bytes.len(), write)
    }

    /// The link layer of an IP packet of `version` that goes with the frame at hand.
    fn link(
        &self,
        toward: Toward,
        version: u8,
    ) -> Result<(ArrayVec<u8, LINK_MAX>, bool), InjectError> {
        let frame = self.came.ok_or(InjectError::NoPacket)?;
        let mut layers = self.packet.encapsulation.layers.iter();
        if layers.any(|layer| !matches!(layer, Layer::Vlan(_))) {
            return Err(InjectError::Tunnel);
        }
        if frame.link != LinkType::ETHERNET {
            // Bare IP of the same version.
            let is_bare = matches!(frame.link, LinkType::RAW | LinkType::IPV4 | LinkType::IPV6);
            let packet = self.packet.packet.filter(|_| is_bare);
            let packet = packet.ok_or(InjectError::Tunnel)?;
            let is_same = packet.key.is_v6() == (version == 6);
            let link = is_same.then(ArrayVec::new).ok_or(InjectError::BadPacket);
            return Ok((link?, false));
        }
        let mut link = ethernet_header(frame.bytes).ok_or(InjectError::Tunnel)?;
        let kind = link.len() - 2;
        let of_ip = if version == 6 {
            [0x86, 0xdd]
        } else {
            [0x08, 0x00]
        };
        link[kind..].copy_from_slice(&of_ip);
        if toward == Toward::Sender {
            link[..12].rotate_left(6);
        }
        Ok((link, true))
    }
}

/// The Ethernet header of a frame, with tags, if IP or ARP is right behind it.
fn ethernet_header(frame: &[u8]) -> Option<ArrayVec<u8, LINK_MAX>> {
    let at = type_at(frame);
    let kind = frame.get(at..at + 2)?;
    let is_plain = matches!(kind, [0x08, 0x00 | 0x06] | [0x86, 0xdd]);
    let header = frame.get(..at + 2).filter(|_| is_plain)?;
    ArrayVec::try_from(header).ok()
}

/// In [`Actor::on_raw`](crate::actor::Actor::on_raw) and [`Actor::on_orphan`](crate::actor::Actor::on_orphan).
impl ShardContext<'_> {
    /// The packet at hand as it is now, with what this callback has changed. `None` in the other callbacks.
    pub fn packet(&self) -> Option<RawPacket<'_>> {
        let hand = self.hand.as_ref()?;
        let mut packet = hand.packet;
        if let Some((headers, bytes)) = hand.desk.draft() {
            packet.put(headers, bytes);
        }
        Some(packet)
    }

    /// Begins, or goes on with, changing the packet at hand: as [`FlowContext::edit`](crate::actor::FlowContext::edit) does,
    /// within the same bounds.
    ///
    /// What comes after goes by the changed packet as if it had come so: later raw monitors and their filters, the emulation of
    /// both ends with all that TCP headers say, hooks, and what goes on its way. The one thing that stays in
    /// [`Actor::on_raw`](crate::actor::Actor::on_raw) is what the flow is found by: addresses, ports, the identifier of an echo
    /// ([`EditError::Key`]). By these the packet has come to this shard, and the flow that it would belong to otherwise may be
    /// that of another; [`FlowContext::translate`](crate::actor::FlowContext::translate) is for that. Who changes sequence
    /// numbers here must also change acknowledgments of the other side, for the emulation believes both. Tags and headers
    /// before the innermost IP packet may be changed as at hooks, but the flow and
    /// [`RawPacket::encapsulation`] stay what came.
    ///
    /// # Errors
    /// [`EditError`]; [`EditError::NoPacket`] also for frames that hold no packet.
    pub fn edit(&mut self) -> Result<PacketEdit<'_>, EditError> {
        let hand = self.hand.as_mut().ok_or(EditError::NoPacket)?;
        let packet = hand.packet.packet.ok_or(EditError::NoPacket)?;
        hand.desk.edit(packet, hand.packet.bytes, hand.keeps_key)
    }

    /// Sends an IP packet, as it is: with its checksums. It goes after the frame at hand, or back, and takes over its Ethernet
    /// header with VLAN tags: with source and destination exchanged where it goes back, and as it came, whatever was changed. No
    /// monitor and no flow sees it. The verdict decides about the packet at hand alone.
    ///
    /// Also with a frame that holds no packet, or a part of one, if that is of IP or ARP.
    ///
    /// # Errors
    /// [`InjectError`].
    pub fn inject_packet(&mut self, toward: Toward, packet: &[u8]) -> Result<(), InjectError> {
        let hand = self.hand_inline()?;
        let version = packet.first().map_or(0, |first| first >> 4);
        let least = match version {
            4 => 20,
            6 => 40,
            _ => return Err(InjectError::BadPacket),
        };
        if !(least..=IP_MAX).contains(&packet.len()) {
            return Err(InjectError::BadPacket);
        }
        let (link, is_ethernet) = hand.link(toward, version)?;
        hand.send(toward, (&link, is_ethernet), packet)
    }

    /// Sends a frame, as it is, from the header of the link layer on, as [`inject_packet`](Self::inject_packet) sends a packet.
    /// Shorter Ethernet frames are padded to 60 bytes.
    ///
    /// # Errors
    /// [`InjectError`]; [`InjectError::BadPacket`] where it is shorter than an Ethernet header, or longer than the longest IP
    /// packet in one.
    pub fn inject_frame(&mut self, toward: Toward, frame: &[u8]) -> Result<(), InjectError> {
        let hand = self.hand_inline()?;
        let came = hand.came.ok_or(InjectError::NoPacket)?;
        let is_ethernet = came.link == LinkType::ETHERNET;
        let least = if is_ethernet { ETHERNET_LEN } else { 1 };
        if !(least..=FRAME_MAX).contains(&frame.len()) {
            return Err(InjectError::BadPacket);
        }
        hand.send(toward, (&[], is_ethernet), frame)
    }
}

impl<'a> ShardContext<'a> {
    /// What is at hand, where it is from a wire.
    fn hand_inline(&mut self) -> Result<&mut RawHand<'a>, InjectError> {
        let hand = self.hand.as_mut().ok_or(InjectError::NoPacket)?;
        if hand.desk.notes.inline {
            Ok(hand)
        } else {
            Err(InjectError::NotInline)
        }
    }
}

/// What raw monitors have made of a burst.
#[derive(Debug, Default)]
pub(super) struct RawStage {
    /// Packets that they dropped, and those of them that flows do not see: packet `i` has bit `i`.
    pub(super) dropped: u64,
    pub(super) unseen: u64,
    /// The flows are yet to see that burst.
    is_ahead: bool,
    /// `None` until there are raw monitors, and while they are called.
    changes: Option<Box<Changes>>,
}

impl RawStage {
    /// For a burst: nothing is changed yet.
    pub(super) fn begin(&mut self, inline: bool) -> Box<Changes> {
        let mut changes = self.changes.take().unwrap_or_default();
        changes.clear();
        changes.notes.inline = inline;
        (self.dropped, self.unseen) = (0, 0);
        changes
    }

    /// They have seen it.
    pub(super) fn end(&mut self, changes: Box<Changes>) {
        (self.changes, self.is_ahead) = (Some(changes), true);
    }

    /// What they have made leaves with the burst that they have seen, and with no later one.
    #[inline]
    pub(super) fn pass_on(&mut self) {
        if !core::mem::take(&mut self.is_ahead)
            && let Some(changes) = &mut self.changes
        {
            changes.clear();
        }
    }

    /// What they have changed in the burst that the flows see next, if anything.
    #[inline]
    pub(super) fn take_changed(&mut self) -> Option<Box<Changes>> {
        let is_changed = |changes: &mut Box<Changes>| self.is_ahead && changes.notes.changed != 0;
        self.changes.take_if(is_changed)
    }

    /// The flows have seen it.
    pub(super) fn put_back(&mut self, changes: Box<Changes>) {
        self.changes = Some(changes);
    }

    /// What they have made in the last burst.
    #[inline]
    pub(super) fn changes(&self) -> Option<&Changes> {
        self.changes.as_deref()
    }
}

/// Frames, some of them changed.
struct AsLeft<'a> {
    frames: &'a dyn Frames,
    packets: &'a [Packet],
    bytes: &'a [&'a [u8]],
    changed: u64,
}

impl Frames for AsLeft<'_> {
    fn frame(&self, index: u8) -> Option<Frame<'_>> {
        let frame = self.frames.frame(index)?;
        let of_frame = |packet: &Packet| packet.buffer == Buffer::Frame(index);
        let i = self.packets.iter().position(of_frame);
        let changed = i.filter(|i| self.changed >> i & 1 == 1);
        let bytes = changed.map_or(frame.bytes, |i| self.bytes[i]);
        Some(Frame { bytes, ..frame })
    }
}

impl Shard {
    /// The packets of a burst, of which raw monitors have changed some.
    #[cold]
    pub(super) fn handle_as_left(
        &mut self,
        made: &Changes,
        (packets, bytes): (&[Packet], &[&[u8]]),
        encapsulations: &[Encapsulation],
        frames: &dyn Frames,
        host: &mut dyn Host,
    ) -> u64 {
        let all = 0..packets.len();
        let now: ArrayVec<Packet, { limits::BURST }> =
            all.clone().map(|i| *made.packet(packets, i)).collect();
        let now_bytes: ArrayVec<&[u8], { limits::BURST }> =
            all.map(|i| made.bytes(bytes, i)).collect();
        let frames = AsLeft {
            frames,
            packets: &now,
            bytes: &now_bytes,
            changed: made.notes.changed,
        };
        self.handle_seen((&now, &now_bytes), encapsulations, &frames, host)
    }
}
