//! Changing the packet at hand.

use core::net::IpAddr;

use super::changes::Desk;
use super::context::{FlowContext, PacketView};
use crate::event::Hook;
use crate::flow::{Endpoint, Proto};
use crate::wire::{Buffer, Packet, Sums, TcpFlags, Transport, changes_key, finish_copy};
use mosaic_port::LinkType;

/// Why a packet was not changed. It then is as it was before the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EditError {
    /// No packet is at hand: at the end of a burst, in timers, at a flow's removal.
    #[error("no packet at hand")]
    NoPacket,
    /// The packet was put together from fragments, whose first ones are on their way already, or are in a tunnel; or its flow is
    /// one of those whose lengths may change.
    #[error("the packet came in fragments")]
    Fragmented,
    /// So much was changed in this burst that there is no room for another copy: see
    /// [`limits::CHANGED_BYTES`](crate::limits::CHANGED_BYTES) and [`limits::VERSIONS`](crate::limits::VERSIONS).
    #[error("no room for another change in this burst")]
    NoRoom,
    /// The packet has no such part or field, or not so many bytes of it, or they were not captured.
    #[error("the packet has no such bytes")]
    NotThere,
    /// It would change what headers say about lengths, kinds and fragments, or an outer header of a tunnel.
    #[error("the layout of a packet stays as it is")]
    Layout,
    /// It would change what the packet's flow is found by, before it is looked up: addresses, ports, the identifier of an echo,
    /// in [`Actor::on_raw`](crate::actor::Actor::on_raw).
    #[error("the flow of a packet stays as it is")]
    Key,
    /// No monitor of the flow [edits](crate::actor::MonitorBuilder::edits) it, or the segment takes no room in a stream: lengths
    /// stay.
    #[error("the stream is not edited here")]
    NotEdited,
    /// These bytes were sent before: what became of them stays.
    #[error("these bytes were sent before")]
    Decided,
    /// The packet would be longer than an IP packet can be.
    #[error("the packet would be too long")]
    TooLong,
    /// Too many edits of this side, or bytes of them, wait for their acknowledgment: see
    /// [`limits::EDITS`](crate::limits::EDITS) and [`limits::EDIT_BYTES`](crate::limits::EDIT_BYTES).
    #[error("too many edits wait for their acknowledgment")]
    TooManyEdits,
    /// The protocol's checksum cannot follow a change of a few bytes (SCTP, DCCP, UDP-Lite), or what is around the packet cannot
    /// be told.
    #[error("a checksum could not be kept right")]
    Checksum,
}

/// A part of a packet, for [`PacketEdit::overwrite`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// What stands before the innermost IP header: link layer, tags, headers of tunnels (which cannot be overwritten).
    Link,
    /// The innermost IP header, with options or extension headers.
    Ip,
    /// The transport header, with options; nothing where the protocol is not known.
    Transport,
    /// The payload.
    Payload,
}

/// The packet at hand, to be changed. Lengths stay what they are.
///
/// Checksums (IPv4, TCP, UDP, ICMP, and those of UDP and GRE around the packet) follow each change by as much as it makes out
/// (RFC 1624): those that were right stay right, those that were wrong stay wrong, and a UDP checksum that was not sent is not
/// sent.
///
/// What is changed at [`Hook::Send`] is what the receiver's emulation sees: numbers, flags, window and payload, which joins the
/// stream so. (Not followed: the sequence number of a SYN.) What is changed at [`Hook::Receive`] only goes on its way. Addresses
/// and ports that are changed here leave the flow what it is, also for later packets; for those there is
/// [`translate`](FlowContext::translate). For what raw monitors change see [`ShardContext::edit`](crate::actor::ShardContext::edit).
#[derive(Debug)]
pub struct PacketEdit<'e> {
    packet: &'e mut Packet,
    bytes: &'e mut [u8],
    sums: Sums,
    /// The flow is yet to be looked up by its key.
    keeps_key: bool,
}

impl FlowContext<'_> {
    /// The packet at a hook, as it is now, with what this callback has changed. `None` at [`Hook::End`] and in timers.
    pub fn packet(&self) -> Option<PacketView<'_>> {
        let at_hand = self.at_hand()?;
        Some(match self.desk.draft() {
            Some((packet, bytes)) => PacketView {
                packet,
                bytes,
                sender: at_hand.sender,
            },
            None => at_hand.view(),
        })
    }

    /// Begins, or goes on with, changing the packet at hand. The packet is copied at the first change of a callback.
    ///
    /// # Errors
    /// [`EditError`].
    pub fn edit(&mut self) -> Result<PacketEdit<'_>, EditError> {
        let (index, ..) = self.hand.ok_or(EditError::NoPacket)?;
        let i = usize::from(index);
        let packet = *self.desk.notes.packet(self.packets, i);
        if packet.buffer.datagram().is_some() && self.editing().is_some() {
            // What became of its bytes would have to be remembered in pieces.
            return Err(EditError::Fragmented);
        }
        let bytes = self.desk.bytes(self.bytes, i);
        self.desk.edit(&packet, bytes, false)
    }

    /// Where the packet at hand is; `None` at the end of a burst.
    pub fn hook(&self) -> Option<Hook> {
        self.hand.map(|(.., hook)| hook)
    }

    /// Drops every packet of the flow, of both sides, from the next one on: no hook sees them, the emulation stands still, and
    /// no new data comes. For as long as the flow is tracked, or until [`unblock`](Self::unblock). The packet at hand is decided
    /// by the verdict.
    pub fn block(&mut self) {
        (self.shard.commands.blocks, self.shard.commands.any) = (Some(true), true);
    }

    /// Ends [`block`](Self::block).
    pub fn unblock(&mut self) {
        (self.shard.commands.blocks, self.shard.commands.any) = (Some(false), true);
    }
}

impl Desk<'_> {
    /// Lends the packet at hand, which was `packet` before the callback, to be changed.
    pub(super) fn edit(
        &mut self,
        packet: &Packet,
        bytes: &[u8],
        keeps_key: bool,
    ) -> Result<PacketEdit<'_>, EditError> {
        if matches!(packet.buffer, Buffer::Datagram { .. }) {
            return Err(EditError::Fragmented);
        }
        // Its length may have changed since.
        let (now, now_bytes) = self.draft().unwrap_or((packet, bytes));
        let sums = Sums::of(now, now_bytes).ok_or(EditError::Checksum)?;
        if self.draft().is_none() {
            let (mut packet, len) = (*packet, bytes.len());
            let start = self.take(len).ok_or(EditError::NoRoom)?;
            let copy = &mut self.room[start..start + len];
            copy.copy_from_slice(bytes);
            finish_copy(&mut packet, copy);
            self.set_draft(packet, start, len);
        }
        let (packet, bytes) = self.draft_mut().ok_or(EditError::NoRoom)?;
        Ok(PacketEdit {
            packet,
            bytes,
            sums,
            keeps_key,
        })
    }
}

impl PacketEdit<'_> {
    /// Headers as they are now. Key and direction are those of the flow.
    pub fn packet(&self) -> &Packet {
        self.packet
    }

    /// The buffer as it is now; offsets in [`packet`](Self::packet) count from its start.
    pub fn bytes(&self) -> &[u8] {
        self.bytes
    }

    /// The captured payload as it is now.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.range(Part::Payload)]
    }

    /// A part of the packet as it is now, as far as it was captured.
    pub fn part(&self, part: Part) -> &[u8] {
        &self.bytes[self.range(part)]
    }

    /// Puts `bytes` in the place of payload from `at` on, counted from the payload's beginning.
    ///
    /// # Errors
    /// As [`overwrite`](Self::overwrite).
    pub fn overwrite_payload(&mut self, at: usize, bytes: &[u8]) -> Result<(), EditError> {
        self.overwrite(Part::Payload, at, bytes)
    }

    /// Puts `bytes` in the place of those of a part from `at` on, counted from the part's beginning.
    ///
    /// Checksum fields may be written, too: changes that follow count from there.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where they would stand beyond its end; [`EditError::Layout`] where they would change a version, a
    /// header's length, a length, a protocol number, a fragment offset, an extension header, or the IP or UDP header of a tunnel;
    /// [`EditError::Key`]; [`EditError::Checksum`].
    pub fn overwrite(&mut self, part: Part, at: usize, bytes: &[u8]) -> Result<(), EditError> {
        let range = self.range(part);
        let start = range.start.checked_add(at).ok_or(EditError::NotThere)?;
        if start > range.end || bytes.len() > range.end - start {
            return Err(EditError::NotThere);
        }
        if part == Part::Link && self.sums.is_outer(start, bytes.len()) {
            return Err(EditError::Layout);
        }
        for (number, new) in bytes.iter().enumerate() {
            let differs = self.bytes[start + number] ^ new;
            if differs & self.fixed_bits(part, at + number) != 0 {
                return Err(EditError::Layout);
            }
        }
        if self.keeps_key && changes_key(self.packet, self.bytes, start, bytes) {
            return Err(EditError::Key);
        }
        let is_sealed = matches!(part, Part::Transport | Part::Payload) && self.sums.is_sealed();
        if is_sealed {
            return Err(EditError::Checksum);
        }
        self.write(start, bytes);
        Ok(())
    }

    /// Sets the hardware addresses of the outermost Ethernet header; `None` leaves one as it is.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where the frame does not begin with one.
    pub fn set_hardware(
        &mut self,
        source: Option<[u8; 6]>,
        destination: Option<[u8; 6]>,
    ) -> Result<(), EditError> {
        if self.packet.link != LinkType::ETHERNET {
            return Err(EditError::NotThere);
        }
        if let Some(destination) = destination {
            self.overwrite(Part::Link, 0, &destination)?;
        }
        if let Some(source) = source {
            self.overwrite(Part::Link, 6, &source)?;
        }
        Ok(())
    }

    /// TTL, or hop limit.
    pub fn ttl(&self) -> u8 {
        let at = if self.packet.key.is_v6() { 7 } else { 8 };
        self.part(Part::Ip).get(at).copied().unwrap_or(0)
    }

    /// Sets the TTL, or hop limit.
    ///
    /// # Errors
    /// [`EditError::NotThere`].
    pub fn set_ttl(&mut self, ttl: u8) -> Result<(), EditError> {
        let at = if self.packet.key.is_v6() { 7 } else { 8 };
        self.overwrite(Part::Ip, at, &[ttl])
    }

    /// The differentiated services field (RFC 2474), 6 bits, and ECN (RFC 3168), 2 bits.
    pub fn traffic_class(&self) -> (u8, u8) {
        let class = match self.part(Part::Ip) {
            [first, second, ..] if self.packet.key.is_v6() => first << 4 | second >> 4,
            [_, second, ..] => *second,
            _ => 0,
        };
        (class >> 2, class & 3)
    }

    /// Sets the differentiated services field, 0 to 63, and ECN, 0 to 3; further bits are cut off.
    ///
    /// # Errors
    /// [`EditError::NotThere`].
    pub fn set_traffic_class(&mut self, dscp: u8, ecn: u8) -> Result<(), EditError> {
        let class = dscp << 2 | ecn & 3;
        let &[first, second, ..] = self.part(Part::Ip) else {
            return Err(EditError::NotThere);
        };
        let new = if self.packet.key.is_v6() {
            [first & 0xf0 | class >> 4, class << 4 | second & 0x0f]
        } else {
            [first, class]
        };
        self.overwrite(Part::Ip, 0, &new)
    }

    /// Sets the source address, and the port where the protocol has ports.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where the address is of the other family, or a port is given to a protocol without ports (an ICMP
    /// echo has its identifier); [`EditError::Key`]; [`EditError::Checksum`].
    pub fn set_source(&mut self, source: Endpoint) -> Result<(), EditError> {
        self.set_endpoint(source, true)
    }

    /// Sets the destination address, and the port where the protocol has ports.
    ///
    /// # Errors
    /// As [`set_source`](Self::set_source).
    pub fn set_destination(&mut self, destination: Endpoint) -> Result<(), EditError> {
        self.set_endpoint(destination, false)
    }

    /// Sets the control bits of a TCP segment.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where it is none.
    pub fn set_flags(&mut self, flags: TcpFlags) -> Result<(), EditError> {
        self.set_tcp(13, &[flags.bits()])
    }

    /// Sets the window field of a TCP segment, unscaled.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where it is none.
    pub fn set_window(&mut self, window: u16) -> Result<(), EditError> {
        self.set_tcp(14, &window.to_be_bytes())
    }

    /// Sets the urgent pointer of a TCP segment.
    ///
    /// # Errors
    /// [`EditError::NotThere`] where it is none.
    pub fn set_urgent(&mut self, urgent: u16) -> Result<(), EditError> {
        self.set_tcp(18, &urgent.to_be_bytes())
    }

    fn set_tcp(&mut self, at: usize, bytes: &[u8]) -> Result<(), EditError> {
        if !matches!(self.packet.transport, Transport::Tcp { .. }) {
            return Err(EditError::NotThere);
        }
        self.overwrite(Part::Transport, at, bytes)
    }

    fn set_endpoint(&mut self, endpoint: Endpoint, is_source: bool) -> Result<(), EditError> {
        let way = match is_source {
            true => self.packet.direction,
            false => self.packet.direction.reversed(),
        };
        if self.keeps_key && endpoint != self.packet.key.source(way) {
            return Err(EditError::Key);
        }
        set_endpoint(self.packet, self.bytes, &self.sums, endpoint, is_source)?;
        self.refresh();
        Ok(())
    }

    /// Where a part lies, as far as it was captured.
    fn range(&self, part: Part) -> core::ops::Range<usize> {
        range(self.packet, part, self.bytes.len())
    }

    /// The bits of a byte of a part that say how the packet is made.
    fn fixed_bits(&self, part: Part, at: usize) -> u8 {
        match part {
            Part::Link | Part::Payload => 0,
            Part::Ip if self.packet.key.is_v6() => match at {
                0 => 0xf0,
                4..=6 | 40.. => 0xff,
                _ => 0,
            },
            Part::Ip => match at {
                0 | 2 | 3 | 7 | 9 => 0xff,
                // All but "don't fragment".
                6 => 0xbf,
                _ => 0,
            },
            Part::Transport => match (self.packet.key.proto(), at) {
                (Proto::TCP, 12) => 0xf0,
                (Proto::UDP, 4 | 5) => 0xff,
                _ => 0,
            },
        }
    }

    fn write(&mut self, at: usize, new: &[u8]) {
        self.sums.write(self.bytes, at, new);
        self.refresh();
    }

    /// Lets the headers that were read follow the bytes.
    fn refresh(&mut self) {
        refresh(self.packet, self.bytes);
    }
}

/// Lets the headers of `packet` follow its bytes.
pub(super) fn refresh(packet: &mut Packet, bytes: &[u8]) {
    let at = packet.transport_at as usize;
    let Transport::Tcp {
        seq,
        ack,
        window,
        flags,
        ..
    } = &mut packet.transport
    else {
        return;
    };
    if let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let word =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        (*seq, *ack) = (word(4), word(8));
        *flags = TcpFlags::from_bits_retain(head[13]);
        *window = u16::from_be_bytes([head[14], head[15]]);
    }
}

/// Where a part of `packet` lies in a buffer of `len` bytes.
fn range(packet: &Packet, part: Part, len: usize) -> core::ops::Range<usize> {
    let (ip, transport, payload) = (
        packet.ip_at as usize,
        packet.transport_at as usize,
        packet.payload_at as usize,
    );
    let (from, to) = match part {
        Part::Link => (0, ip),
        Part::Ip => (ip, transport),
        Part::Transport => (transport, payload),
        Part::Payload => (payload, payload + packet.payload_captured as usize),
    };
    from.min(len)..to.min(len)
}

/// Sets the source (or destination) address of a packet, and its port where there are ports.
pub(super) fn set_endpoint(
    packet: &Packet,
    bytes: &mut [u8],
    sums: &Sums,
    endpoint: Endpoint,
    is_source: bool,
) -> Result<(), EditError> {
    let (ip, transport) = (packet.ip_at as usize, packet.transport_at as usize);
    let Endpoint { addr, port } = endpoint;
    let v6_at = ip + if is_source { 8 } else { 24 };
    let v4_at = ip + if is_source { 12 } else { 16 };
    let (at, len) = match addr {
        IpAddr::V4(_) if !packet.key.is_v6() => (v4_at, 4),
        IpAddr::V6(_) if packet.key.is_v6() => (v6_at, 16),
        _ => return Err(EditError::NotThere),
    };
    let port_at = match packet.key.proto() {
        Proto::TCP | Proto::UDP => transport + if is_source { 0 } else { 2 },
        // Ports of the key are the identifier of an echo.
        Proto::ICMP | Proto::ICMPV6 if has_identifier(packet, bytes) => transport + 4,
        _ if port == 0 => usize::MAX,
        _ => return Err(EditError::NotThere),
    };
    // The sum of DCCP and UDP-Lite has the addresses; that of SCTP has not.
    if sums.is_sealed() && packet.key.proto() != Proto::SCTP {
        return Err(EditError::Checksum);
    }
    let is_there = bytes.len() >= at + len && (port_at == usize::MAX || bytes.len() >= port_at + 2);
    if !is_there {
        return Err(EditError::NotThere);
    }
    match addr {
        IpAddr::V4(addr) => sums.write(bytes, at, &addr.octets()),
        IpAddr::V6(addr) => sums.write(bytes, at, &addr.octets()),
    }
    if port_at != usize::MAX {
        sums.write(bytes, port_at, &port.to_be_bytes());
    }
    Ok(())
}

/// Whether an ICMP message is an echo, whose identifier the key has for ports.
fn has_identifier(packet: &Packet, bytes: &[u8]) -> bool {
    let kind = bytes.get(packet.transport_at as usize);
    match packet.key.proto() {
        Proto::ICMP => matches!(kind, Some(0 | 8)),
        _ => matches!(kind, Some(128 | 129)),
    }
}
