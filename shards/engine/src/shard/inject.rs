//! Packets of our own: segments into a connection, resets, answers on behalf of a server.

use arrayvec::ArrayVec;

use super::changes::{Desk, Route};
use super::context::FlowContext;
use super::ways::Way;
use super::{Run, Shard};
use crate::event::{EndReason, Hook, Side};
use crate::flow::Proto;
use crate::flow::entry::{Flags, UNKNOWN};
use crate::tcp::{Seq, State};
use crate::wire::{LINK_MAX, Packet, TcpFlags, Transport, checksum_of, is_plain};
use core::net::IpAddr;
use mosaic_port::LinkType;

/// Why nothing was injected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InjectError {
    /// The packets come from a capture or a tap: there is no way out.
    #[error("the source does not forward")]
    NotInline,
    /// The flow has no packet in this burst, whose headers of the link layer could be taken, as in timers and at removal; and
    /// nothing is remembered of earlier ones: no monitor of the flow [injects](crate::actor::MonitorBuilder::injects), its
    /// packets come in a tunnel, or too many ways are in use ([`limits::WAYS`](crate::limits::WAYS)). Of a shard: the callback
    /// is not about a packet or frame.
    #[error("no packet of the flow in this burst")]
    NoPacket,
    /// What is around the packets is more than Ethernet with VLAN tags, or bare IP.
    #[error("in a tunnel")]
    Tunnel,
    /// So much was made in this burst that there is no room for more: see
    /// [`limits::CHANGED_BYTES`](crate::limits::CHANGED_BYTES) and [`limits::INJECTED`](crate::limits::INJECTED).
    #[error("no room for another frame in this burst")]
    NoRoom,
    /// Not TCP.
    #[error("not a TCP connection")]
    NotStream,
    /// Nothing is known yet of the numbers that the receiver expects, or the connection is closed.
    #[error("the connection is not open")]
    NotOpen,
    /// The bytes are no IP packet, of the flow's family where there is a flow, or longer than 65,535 bytes; or no frame.
    #[error("no IP packet")]
    BadPacket,
    /// The client's window has no room for all of it.
    #[error("more than the window of the client")]
    Window,
}

/// A TCP segment to be injected. What is `None` is taken from the emulated connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment<'p> {
    /// Control bits. The default is ACK.
    pub flags: TcpFlags,
    /// Sequence number; otherwise the next one that the receiver expects.
    pub seq: Option<u32>,
    /// Acknowledgment number; otherwise the highest that the sender has sent.
    pub ack: Option<u32>,
    /// Window, unscaled as in the header; otherwise what is left of the one that the sender has announced.
    pub window: Option<u16>,
    /// Payload.
    pub payload: &'p [u8],
}

impl Default for Segment<'_> {
    fn default() -> Self {
        Self {
            flags: TcpFlags::ACK,
            seq: None,
            ack: None,
            window: None,
            payload: &[],
        }
    }
}

/// The client has got its answer from here, and the server a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answered {
    /// Number behind the FIN that was sent to the client.
    end: Seq,
}

/// Payload of one segment of an answer: what passes every link of IPv6 (RFC 8200, section 5), and nearly every one of IPv4.
const ANSWER_MSS: usize = 1220;
/// Shorter Ethernet frames are padded.
const ETHERNET_MIN: usize = 60;
const TTL: u8 = 64;

/// Numbers and flags of a segment, complete.
struct Numbers {
    flags: TcpFlags,
    seq: Seq,
    ack: Seq,
    window: u16,
}

/// How a packet leaves.
struct Outgoing {
    /// The link layer of a packet like it.
    link: ArrayVec<u8, LINK_MAX>,
    is_ethernet: bool,
    /// That packet runs the other way.
    back: bool,
    route: Route,
}

impl FlowContext<'_> {
    /// Sends a segment to `to`, as if it came from the other side; the emulation does not see it. It goes after the packet at
    /// hand, or at the end of a burst after the flow's last packet in it, whose link layer it takes over: with source and
    /// destination exchanged where it goes back.
    ///
    /// Without a packet of the flow in the burst, in timers and when it leaves, it goes the way of earlier ones, where a monitor
    /// of the flow [injects](crate::actor::MonitorBuilder::injects).
    ///
    /// Numbers are those that the hooks show, also where the stream is edited. Nothing in the connection moves: payload that is
    /// new to the receiver takes numbers that the other end will use for its own. Of a translated flow, the server gets it with
    /// the translated addresses.
    ///
    /// # Errors
    /// [`InjectError`].
    pub fn inject(&mut self, to: Side, segment: Segment<'_>) -> Result<(), InjectError> {
        self.check_injection()?;
        let from = to.other();
        let expected = self.hot().has(Flags::BASE, from).then(|| {
            let half = self.hot().half(from);
            half.base.at_offset(half.next)
        });
        let seq = segment.seq.map(Seq).or(expected);
        let seq = seq.map(|seq| self.forwarded_number(to, seq));
        let ack = segment.ack.map(Seq).or(self.acked(from));
        let ack = ack.map(|ack| self.own_number(to, ack));
        let numbers = Numbers {
            flags: segment.flags,
            seq: seq.ok_or(InjectError::NotOpen)?,
            ack: if segment.flags.contains(TcpFlags::ACK) {
                ack.ok_or(InjectError::NotOpen)?
            } else {
                ack.unwrap_or(Seq(0))
            },
            window: segment
                .window
                .unwrap_or_else(|| self.own_window(from, self.window_left(from))),
        };
        self.send_segment(to, &numbers, segment.payload)
    }

    /// Sends an IP packet towards `to`, as it is: with checksums, and with what the receiver expects of addresses. It goes as
    /// [`inject`](Self::inject) says, for flows of every protocol.
    ///
    /// # Errors
    /// [`InjectError`].
    pub fn inject_packet(&mut self, to: Side, packet: &[u8]) -> Result<(), InjectError> {
        let version = if self.hot().key.is_v6() { 6 } else { 4 };
        let is_ip = packet.len() >= 20 && packet[0] >> 4 == version && packet.len() <= 65_535;
        if !is_ip {
            return Err(InjectError::BadPacket);
        }
        self.send_ip(to, packet.len(), |bytes| bytes.copy_from_slice(packet))
    }

    /// Resets the connection at both ends, so that their kernels believe it: each gets RSTs with every number that it may expect
    /// at this moment (RFC 9293, section 3.10.7.4; RFC 5961, section 3), and in answer to its SYN one that acknowledges it. An
    /// end that has not seen anything yet gets none. Where no packet of the flow is at hand they go as
    /// [`inject`](Self::inject) says.
    ///
    /// The emulated connection is closed ([`EndReason::Reset`]; no `StateChange` is raised). The packet at hand is decided by the
    /// verdict, and what comes later is forwarded as of any closed connection, unless the flow is
    /// [blocked](Self::block).
    ///
    /// # Errors
    /// [`InjectError`]. Where one end could be reset and the other could not, the first is.
    pub fn reset(&mut self) -> Result<(), InjectError> {
        self.check_injection()?;
        let sent = [self.reset_end(Side::Client), self.reset_end(Side::Server)];
        let sent = [sent[0]?, sent[1]?];
        if sent == [false; 2] {
            return Err(InjectError::NotOpen);
        }
        (self.shard.commands.closes, self.shard.commands.any) = (true, true);
        Ok(())
    }

    /// Answers on behalf of the server: `answer` goes to the client, in segments of at most 1,220 bytes, followed by FIN; the
    /// server is reset, and the flow is [blocked](Self::block). Later packets of the client are answered until it has closed, too.
    /// The packet at hand should be dropped by the verdict, or the server sees the request.
    ///
    /// To be called on a packet of the client, at [`Hook::Receive`], when the connection is open. The answer is sent once: what the
    /// network loses of it is not sent again; a client that then sends something is reset.
    ///
    /// # Errors
    /// [`InjectError`]; [`InjectError::Window`] where the client's window has no room for it.
    pub fn answer(&mut self, answer: &[u8]) -> Result<(), InjectError> {
        self.check_injection()?;
        let (client, server) = (Side::Client, Side::Server);
        let is_open = self.hot().states[client as usize].is_synchronized()
            && self
                .at_hand()
                .is_some_and(|at| at.sender == client && at.hook == Hook::Receive)
            && self.hot().has(Flags::BASE, client);
        let seq = self
            .acked(client)
            .filter(|_| is_open)
            .ok_or(InjectError::NotOpen)?;
        let room = self.hot().window_edge[client as usize].distance_from(seq);
        if usize::try_from(room).unwrap_or(0) < answer.len() {
            return Err(InjectError::Window);
        }
        let half = self.hot().half(client);
        let ack = self.own_number(client, half.base.at_offset(half.next));
        let window = self.window_left(server);
        let mut at = self.forwarded_number(client, seq);
        let parts = answer
            .chunks(ANSWER_MSS)
            .chain(answer.is_empty().then_some(answer));
        let last = answer.len().div_ceil(ANSWER_MSS).max(1) - 1;
        for (number, part) in parts.enumerate() {
            let mut flags = TcpFlags::ACK;
            if number == last {
                flags |= TcpFlags::PSH | TcpFlags::FIN;
            }
            let numbers = Numbers {
                flags,
                seq: at,
                ack,
                window,
            };
            self.send_segment(client, &numbers, part)?;
            at = at.plus(u32::try_from(part.len()).unwrap_or(0));
        }
        self.reset_end(server)?;
        let special = self.shard.specials.make(self.flow);
        special.blocked = true;
        special.answered = Some(Answered { end: at.plus(1) });
        self.shard.commands.special = true;
        (self.shard.commands.closes, self.shard.commands.any) = (true, true);
        Ok(())
    }

    fn check_injection(&self) -> Result<(), InjectError> {
        if !self.desk.notes.inline {
            Err(InjectError::NotInline)
        } else if self.proto() != Proto::TCP {
            Err(InjectError::NotStream)
        } else if self.template().is_none() && self.way(Side::Client).is_none() {
            Err(InjectError::NoPacket)
        } else {
            Ok(())
        }
    }

    /// An acknowledgment for `to` in its own numbers, where its stream is edited.
    fn own_number(&self, to: Side, ack: Seq) -> Seq {
        match self.shard.specials.edited(self.flow) {
            Some(place) => self.shard.edited.ack_for(place, to, ack),
            None => ack,
        }
    }

    /// A number of what is sent to `to`, as that knows it, where its stream is edited.
    fn forwarded_number(&self, to: Side, seq: Seq) -> Seq {
        let Some(place) = self.shard.specials.edited(self.flow) else {
            return seq;
        };
        let edited = &self.shard.edited;
        let number = edited.forwarded_number(place, to.other(), seq);
        let changed = self.packet().filter(|changed| changed.sender != to);
        match (changed, self.editing()) {
            (Some(changed), Some(editing)) => {
                let growth = edited.growth((place, to.other()), seq, changed.packet, editing);
                number.at_offset(growth.cast_unsigned())
            }
            _ => number,
        }
    }

    /// A window of `from`, no larger than was said last where the stream of the one it is for is edited.
    fn own_window(&self, from: Side, window: u16) -> u16 {
        match self.shard.specials.edited(self.flow) {
            Some(place) => self.shard.edited.window_for(place, from, window),
            None => window,
        }
    }

    /// The highest acknowledgment number of a side.
    fn acked(&self, side: Side) -> Option<Seq> {
        self.hot()
            .has(Flags::ACKED, side)
            .then(|| self.hot().half(side).acked)
    }

    /// What is left of the window that a side has announced, as it stands in a header.
    fn window_left(&self, side: Side) -> u16 {
        let Some(acked) = self.acked(side) else {
            return 0;
        };
        let left = self.hot().window_edge[side as usize].distance_from(acked);
        let scaled = u32::try_from(left).unwrap_or(0) >> self.hot().scale(side);
        u16::try_from(scaled).unwrap_or(u16::MAX)
    }

    /// Sends RSTs to one end; false where it knows of no connection.
    fn reset_end(&mut self, to: Side) -> Result<bool, InjectError> {
        let from = to.other();
        let (flags, ack) = match self.acked(from) {
            Some(ack) => (TcpFlags::RST | TcpFlags::ACK, self.own_number(to, ack)),
            None => (TcpFlags::RST, Seq(0)),
        };
        let mut candidates = self.expected_by(to);
        let mut numbers = Numbers {
            flags,
            seq: Seq(0),
            ack,
            window: 0,
        };
        match self.hot().states[to as usize] {
            State::Listen | State::Closed => return Ok(false),
            State::SynSent if self.hot().has(Flags::BASE, to) => {
                // Only the acknowledgment counts (RFC 9293, section 3.10.7.3).
                numbers.flags = TcpFlags::RST | TcpFlags::ACK;
                numbers.ack = self.hot().half(to).base;
                if candidates.is_empty() {
                    candidates.push(Seq(0));
                }
            }
            _ => {}
        }
        if candidates.is_empty() {
            return Err(InjectError::NotOpen);
        }
        for seq in candidates {
            numbers.seq = self.forwarded_number(to, seq);
            self.send_segment(to, &numbers, &[])?;
        }
        Ok(true)
    }

    /// The sequence numbers that an end may expect next, for nobody here knows what has reached it: what it has acknowledged,
    /// what has passed, and both without and with the packet at hand.
    fn expected_by(&self, to: Side) -> ArrayVec<Seq, 8> {
        let from = to.other();
        let mut numbers = ArrayVec::<Seq, 8>::new();
        let mut add = |seq: Seq| {
            if !numbers.contains(&seq) {
                // Eight at most.
                let _ = numbers.try_push(seq);
            }
        };
        if let Some(acked) = self.acked(to) {
            add(acked);
        }
        if self.hot().has(Flags::BASE, from) {
            let half = self.hot().half(from);
            let next = half.base.at_offset(half.next);
            add(next);
            let fin_at = self.cold().half(from).fin_at;
            if fin_at != UNKNOWN && half.next >= fin_at {
                add(next.plus(1));
            }
        }
        let at_hand = self.at_hand().filter(|at_hand| at_hand.sender == from);
        if let Some((packet, Transport::Tcp { seq, flags, .. })) =
            at_hand.map(|at_hand| (at_hand.packet, at_hand.packet.transport))
        {
            let control =
                u32::from(flags.contains(TcpFlags::SYN)) + u32::from(flags.contains(TcpFlags::FIN));
            if !flags.contains(TcpFlags::SYN) {
                add(Seq(seq));
            }
            add(Seq(seq).plus(packet.payload_len + control));
            if let Some((changed, _)) = self.desk.draft() {
                add(Seq(seq).plus(changed.payload_len + control));
            }
        }
        numbers
    }

    /// The packet whose link layer injected ones take over: its index, itself, its buffer as it came, and its sender.
    fn template(&self) -> Option<(u8, &Packet, &[u8], Side)> {
        let (index, sender) = match self.hand {
            Some((index, sender, _)) => (index, self.desk.notes.came_from(sender)),
            None => self.active()?.packet?,
        };
        let packet = self.packets.get(usize::from(index))?;
        Some((index, packet, self.bytes.get(usize::from(index))?, sender))
    }

    /// What is remembered of packets that go to `to`, or of those that come from there: then with true.
    fn way(&self, to: Side) -> Option<(&Way, bool)> {
        let of = |side: Side| self.shard.ways.of(self.flow, side);
        let forth = of(to.other()).map(|way| (way, false));
        forth.or_else(|| Some((of(to)?, true)))
    }

    /// How a packet leaves for `to`.
    fn outgoing(&self, to: Side) -> Result<Outgoing, InjectError> {
        if let Some((index, packet, frame, sender)) = self.template() {
            let back = to == sender;
            return Ok(Outgoing {
                link: link_header(packet, frame).ok_or(InjectError::Tunnel)?,
                is_ethernet: packet.link == LinkType::ETHERNET,
                back,
                route: Route::With {
                    packet: index,
                    before: false,
                    back,
                },
            });
        }
        let (way, back) = self.way(to).ok_or(InjectError::NoPacket)?;
        Ok(Outgoing {
            link: way.link.clone(),
            is_ethernet: way.is_ethernet,
            back,
            route: Route::Interface {
                interface: way.interface,
                back,
            },
        })
    }

    /// Composes a segment and sends it.
    fn send_segment(
        &mut self,
        to: Side,
        numbers: &Numbers,
        payload: &[u8],
    ) -> Result<(), InjectError> {
        let ends = self.ends_for(to);
        let (source, destination) = (ends[to.other() as usize], ends[to as usize]);
        let stamps = self
            .timestamps(to)
            .filter(|_| !numbers.flags.contains(TcpFlags::RST));
        let options_len = if stamps.is_some() { 12 } else { 0 };
        let (ip_len, is_v6) = if self.hot().key.is_v6() {
            (40, true)
        } else {
            (20, false)
        };
        let len = ip_len + 20 + options_len + payload.len();
        let Ok(total) = u16::try_from(len) else {
            return Err(InjectError::BadPacket);
        };
        self.send_ip(to, len, |bytes| {
            let (head, segment) = bytes.split_at_mut(ip_len);
            segment[..2].copy_from_slice(&source.port.to_be_bytes());
            segment[2..4].copy_from_slice(&destination.port.to_be_bytes());
            segment[4..8].copy_from_slice(&numbers.seq.0.to_be_bytes());
            if numbers.flags.contains(TcpFlags::ACK) {
                segment[8..12].copy_from_slice(&numbers.ack.0.to_be_bytes());
            }
            segment[12] = if stamps.is_some() { 0x80 } else { 0x50 };
            segment[13] = numbers.flags.bits();
            segment[14..16].copy_from_slice(&numbers.window.to_be_bytes());
            if let Some((value, echo)) = stamps {
                segment[20..24].copy_from_slice(&[1, 1, 8, 10]);
                segment[24..28].copy_from_slice(&value.to_be_bytes());
                segment[28..32].copy_from_slice(&echo.to_be_bytes());
            }
            segment[20 + options_len..].copy_from_slice(payload);
            let addresses = if is_v6 {
                head[0] = 0x60;
                let len = total - 40;
                head[4..6].copy_from_slice(&len.to_be_bytes());
                (head[6], head[7]) = (Proto::TCP.0, TTL);
                put_address(&mut head[8..24], source.addr);
                put_address(&mut head[24..40], destination.addr);
                8..40
            } else {
                head[0] = 0x45;
                head[2..4].copy_from_slice(&total.to_be_bytes());
                // Any number will do for a packet that fragments seldom: it differs from segment to segment.
                head[4..6].copy_from_slice(&segment[6..8]);
                (head[8], head[9]) = (TTL, Proto::TCP.0);
                put_address(&mut head[12..16], source.addr);
                put_address(&mut head[16..20], destination.addr);
                let sum = checksum_of(&[], head);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                12..20
            };
            let len = u32::try_from(segment.len()).unwrap_or(0);
            let mut pseudo = ArrayVec::<u8, 40>::new();
            pseudo.extend(head[addresses].iter().copied());
            pseudo.extend(len.to_be_bytes());
            pseudo.extend([0, 0, 0, Proto::TCP.0]);
            let sum = checksum_of(&pseudo, segment);
            segment[16..18].copy_from_slice(&sum.to_be_bytes());
        })
    }

    /// Timestamp and echo of a segment to `to`, where both ends send them: systems drop segments without (RFC 7323, section
    /// 3.2).
    fn timestamps(&self, to: Side) -> Option<(u32, u32)> {
        let (own, peer) = (self.cold().trouble(to.other()), self.cold().trouble(to));
        (own.ts_lag != 0 && peer.ts_lag != 0).then_some((own.ts_latest, peer.ts_latest))
    }

    /// Sends an IP packet of `len` bytes, which `write` fills in where zeroes stand.
    fn send_ip(
        &mut self,
        to: Side,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), InjectError> {
        if !self.desk.notes.inline {
            return Err(InjectError::NotInline);
        }
        let Outgoing {
            mut link,
            is_ethernet,
            back,
            route,
        } = self.outgoing(to)?;
        if back && is_ethernet {
            link[..12].rotate_left(6);
        }
        if is_ethernet && let Some(translation) = self.translation() {
            // What came from there already has the addresses of that side.
            for (at, address) in translation.towards(to).fields().filter(|_| !back) {
                link[at..at + 6].copy_from_slice(&address);
            }
        }
        self.desk
            .send_frame((&link, is_ethernet), route, len, write)
    }

    /// Replies to a packet of a client that got its answer from here, or of its server.
    fn reply(&mut self, answered: Answered) -> Result<(), InjectError> {
        let Some(at_hand) = self.at_hand() else {
            return Ok(());
        };
        let Transport::Tcp {
            seq, ack, flags, ..
        } = at_hand.packet.transport
        else {
            return Ok(());
        };
        let fin = u32::from(flags.contains(TcpFlags::FIN));
        let len = at_hand.packet.payload_len + fin;
        if flags.contains(TcpFlags::RST) || !flags.contains(TcpFlags::ACK) {
            return Ok(());
        }
        let is_client = at_hand.sender == Side::Client;
        let acknowledged = Seq(ack) == answered.end;
        let numbers = if is_client && fin == 1 && acknowledged {
            Numbers {
                flags: TcpFlags::ACK,
                seq: answered.end,
                ack: Seq(seq).plus(len),
                window: self.window_left(Side::Server),
            }
        } else if len > 0 || !is_client {
            // It does not know what has become of the connection, or has lost a part of the answer.
            Numbers {
                flags: TcpFlags::RST | TcpFlags::ACK,
                seq: Seq(ack),
                ack: Seq(seq).plus(len),
                window: 0,
            }
        } else {
            return Ok(());
        };
        self.send_segment(at_hand.sender, &numbers, &[])
    }
}

impl Desk<'_> {
    /// Sends `len` bytes, which `write` fills in where zeroes stand, behind the header `link`; padded, where that is Ethernet.
    pub(super) fn send_frame(
        &mut self,
        (link, is_ethernet): (&[u8], bool),
        route: Route,
        len: usize,
        write: impl FnOnce(&mut [u8]),
    ) -> Result<(), InjectError> {
        let least = if is_ethernet { ETHERNET_MIN } else { 0 };
        let frame_len = (link.len() + len).max(least);
        let start = self.take(frame_len).ok_or(InjectError::NoRoom)?;
        let frame = &mut self.room[start..start + frame_len];
        frame.fill(0);
        frame[..link.len()].copy_from_slice(link);
        write(&mut frame[link.len()..link.len() + len]);
        if self.send(route, start, frame_len) {
            Ok(())
        } else {
            Err(InjectError::NoRoom)
        }
    }
}

impl Shard {
    /// Replies to a packet of a blocked flow, if its client got its answer from here.
    pub(super) fn answer_on(&mut self, run: &mut Run<'_>, i: usize, number: u32, side: Side) {
        let answered = self
            .specials
            .get(number)
            .and_then(|special| special.answered);
        let Some(answered) = answered else {
            return;
        };
        self.activate(number, run.packets[i].timestamp);
        run.hold(i, side);
        let (_, mut context) = self.context(run, number, 0, Hook::Receive);
        // Without room, the next packet is answered.
        let _ = context.reply(answered);
        run.adopt();
        run.at_hand = None;
    }

    /// The connection at `slot` was ended from here.
    pub(super) fn close_by_reset(&mut self, slot: u8) {
        let flow = self.burst.actives[usize::from(slot)].flow;
        let (hot, cold) = self.table.both_mut(flow);
        if !hot.flags.contains(Flags::CLOSED) {
            hot.states = [State::Closed; 2];
            hot.flags.insert(Flags::CLOSED | Flags::CAREFUL);
            cold.end = Some(EndReason::Reset);
        }
        self.reclassify(flow);
    }
}

/// The link layer of a packet, if that is Ethernet with VLAN tags, or nothing at all.
pub(super) fn link_header(packet: &Packet, frame: &[u8]) -> Option<ArrayVec<u8, LINK_MAX>> {
    let head = frame.get(..packet.ip_at as usize)?;
    is_plain(packet.link, head).then(|| ArrayVec::try_from(head).ok())?
}

fn put_address(to: &mut [u8], address: IpAddr) {
    match address {
        IpAddr::V4(address) => to.copy_from_slice(&address.octets()),
        IpAddr::V6(address) => to.copy_from_slice(&address.octets()),
    }
}
