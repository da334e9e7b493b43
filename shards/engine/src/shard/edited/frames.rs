//! TCP packets of other lengths, and what of their headers follows.

use mosaic_port::LinkType;

use crate::tcp::Seq;
use crate::wire::{Packet, TcpFlags, Transport, checksum_sum, fold_sum};

/// Length of the fixed TCP header.
pub(super) const TCP_HEADER: usize = 20;
/// The largest IP packet.
pub(super) const PACKET_MAX: usize = 65_535;

/// Whether the packet's length may change: all of it is there, and nothing around the IP packet says how long that is.
pub(in crate::shard) fn is_resizable(packet: &Packet, bytes: &[u8]) -> bool {
    let ip = packet.ip_at as usize;
    let plain = match packet.link {
        LinkType::ETHERNET => {
            let mut at = 12;
            // Tags of VLANs have no length.
            while matches!(bytes.get(at..at + 2), Some([0x81, 0x00] | [0x88, 0xa8])) {
                at += 4;
            }
            at + 2 == ip && matches!(bytes.get(at..ip), Some([0x08, 0x00] | [0x86, 0xdd]))
        }
        _ => ip == 0,
    };
    let has_jumbo_length = packet.key.is_v6() && ip_length(packet, bytes) == 0;
    plain
        && !has_jumbo_length
        && packet.payload_captured == packet.payload_len
        && bytes.len() >= (packet.payload_at + packet.payload_len) as usize
}

/// Where the IP header says how long the packet is.
fn length_at(packet: &Packet) -> usize {
    packet.ip_at as usize + if packet.key.is_v6() { 4 } else { 2 }
}

fn ip_length(packet: &Packet, bytes: &[u8]) -> u16 {
    let at = length_at(packet);
    let length = bytes.get(at..).and_then(<[u8]>::first_chunk);
    length.map_or(0, |length| u16::from_be_bytes(*length))
}

/// Writes the packet that `from` has the headers of, with a payload of another length that `fill` writes. `into` has room for
/// headers and payload, and no more. The checksum is right if the old one was, or was unfinished; where it was wrong, it stays
/// wrong by as much.
pub(in crate::shard) fn resize(
    packet: &Packet,
    from: &[u8],
    into: &mut [u8],
    fill: impl FnOnce(&mut [u8]),
) -> Packet {
    let (ip, transport, payload) = (
        packet.ip_at as usize,
        packet.transport_at as usize,
        packet.payload_at as usize,
    );
    let end = (payload + packet.payload_len as usize).min(from.len());
    let total = if packet.unfinished {
        0xffff
    } else {
        tcp_sum(packet, &from[ip..end])
    };
    let (head, body) = into.split_at_mut(payload);
    head.copy_from_slice(&from[..payload]);
    fill(body);

    let mut resized = *packet;
    resized.unfinished = false;
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    (resized.payload_len, resized.payload_captured) = (len, len);
    resized.ip_len = packet.ip_len - packet.payload_len + len;
    resized.wire_len = u32::try_from(into.len()).unwrap_or(u32::MAX);
    set_ip_length(&resized, into);
    seal(&resized, into, total, transport, ip);
    resized
}

/// Lets the IP header say how long the packet is.
fn set_ip_length(packet: &Packet, bytes: &mut [u8]) {
    let ip = packet.ip_at as usize;
    let header = if packet.key.is_v6() { 40 } else { 0 };
    let length = u16::try_from(packet.ip_len - header).unwrap_or(u16::MAX);
    let at = length_at(packet);
    let old = ip_length(packet, bytes);
    bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
    if !packet.key.is_v6() {
        let field = ip + 10;
        let sum = u16::from_be_bytes([bytes[field], bytes[field + 1]]);
        // RFC 1624, equation 3.
        let moved = !fold_sum(u64::from(!sum) + u64::from(!old) + u64::from(length));
        bytes[field..field + 2].copy_from_slice(&moved.to_be_bytes());
    }
}

/// Sets the TCP checksum so that the whole comes to `total`: 0xffff for one that is right.
fn seal(packet: &Packet, bytes: &mut [u8], total: u16, transport: usize, ip: usize) {
    let field = transport + 16;
    bytes[field..field + 2].fill(0);
    let sum = tcp_sum(packet, &bytes[ip..]);
    let checksum = match total {
        0xffff => !sum,
        _ => fold_sum(u64::from(total) + u64::from(!sum)),
    };
    bytes[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// The sum of a TCP segment with its pseudo-header; `ip` is the packet from the IP header to its end.
fn tcp_sum(packet: &Packet, ip: &[u8]) -> u16 {
    let addresses = if packet.key.is_v6() { 8..40 } else { 12..20 };
    let segment = &ip[(packet.transport_at - packet.ip_at) as usize..];
    let pseudo = segment.len() as u64 + 6;
    fold_sum(checksum_sum(segment, checksum_sum(&ip[addresses], pseudo)))
}

/// What of a TCP header a new segment says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    pub(super) flags: TcpFlags,
    pub(super) window: u16,
}

/// Writes a segment that the receiver of `from` would answer with, with these options and this payload, and returns its
/// length; 0 where there is no room.
pub(super) fn answer(
    packet: &Packet,
    from: &[u8],
    into: &mut [u8],
    header: &Header,
    options: &[u8],
    payload: [&[u8]; 2],
) -> usize {
    let (ip, transport) = (packet.ip_at as usize, packet.transport_at as usize);
    let head = transport + TCP_HEADER + options.len();
    let len = head + payload[0].len() + payload[1].len();
    let Some(into) = into.get_mut(..len) else {
        return 0;
    };
    into[..transport].copy_from_slice(&from[..transport]);
    if packet.link == LinkType::ETHERNET {
        into[..12].rotate_left(6);
    }
    let (addresses, half) = if packet.key.is_v6() {
        (ip + 8..ip + 40, 16)
    } else {
        (ip + 12..ip + 20, 4)
    };
    into[addresses].rotate_left(half);
    let (tcp, rest) = into[transport..].split_at_mut(TCP_HEADER);
    tcp.fill(0);
    tcp[..2].copy_from_slice(&from[transport + 2..transport + 4]);
    tcp[2..4].copy_from_slice(&from[transport..transport + 2]);
    tcp[4..8].copy_from_slice(&header.seq.0.to_be_bytes());
    tcp[8..12].copy_from_slice(&header.ack.0.to_be_bytes());
    tcp[12] = u8::try_from((TCP_HEADER + options.len()) / 4).unwrap_or(0) << 4;
    tcp[13] = header.flags.bits();
    tcp[14..16].copy_from_slice(&header.window.to_be_bytes());
    let (room, body) = rest.split_at_mut(options.len());
    room.copy_from_slice(options);
    let (first, second) = body.split_at_mut(payload[0].len());
    first.copy_from_slice(payload[0]);
    second.copy_from_slice(payload[1]);

    let mut answer = *packet;
    let [payload_at, end] = [head, len].map(|at| u32::try_from(at).unwrap_or(0));
    answer.payload_at = payload_at;
    answer.payload_len = end - payload_at;
    answer.ip_len = end - answer.ip_at;
    set_ip_length(&answer, into);
    seal(&answer, into, 0xffff, transport, ip);
    len
}

/// Lets a piece of a segment that was split have its number and flags: `skip` bytes stand before it, and none behind the last.
pub(super) fn cut_piece(packet: &mut Packet, bytes: &mut [u8], skip: u32, last: bool) {
    let transport = packet.transport_at as usize;
    let Transport::Tcp { seq, flags, .. } = &mut packet.transport else {
        return;
    };
    *seq = seq.wrapping_add(skip);
    if !last {
        flags.remove(TcpFlags::FIN | TcpFlags::PSH);
    }
    if skip > 0 {
        flags.remove(TcpFlags::CWR | TcpFlags::URG);
    }
    let (seq, flags) = (*seq, *flags);
    let ip = packet.ip_at as usize;
    let total = tcp_sum(packet, &bytes[ip..]);
    bytes[transport + 4..transport + 8].copy_from_slice(&seq.to_be_bytes());
    bytes[transport + 13] = flags.bits();
    seal(packet, bytes, total, transport, ip);
}

/// Where the value of the first option of `kind` stands in the buffer.
pub(super) fn option(packet: &Packet, bytes: &[u8], kind: u8) -> Option<core::ops::Range<usize>> {
    let end = packet.payload_at as usize;
    let mut at = packet.transport_at as usize + TCP_HEADER;
    while at < end {
        match *bytes.get(at)? {
            0 => return None,
            1 => at += 1,
            found => {
                let len = usize::from(*bytes.get(at + 1)?);
                if len < 2 || at + len > end.min(bytes.len()) {
                    return None;
                }
                if found == kind {
                    return Some(at + 2..at + len);
                }
                at += len;
            }
        }
    }
    None
}

/// The word at `at`.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |word| u32::from_be_bytes(*word))
}
