//! The packet that an ICMP error quotes (RFC 792; RFC 4443, section 3; RFC 4884).

use super::ip::protocol;
use super::packet::Packet;
use super::transport::{ICMP_ECHO, ICMPV6_ECHO, echo_of};
use crate::flow::{Direction, FlowKey, Proto};

/// Before the quoted packet stand type, code, checksum, and four bytes that depend on the type.
const HEADER_LEN: usize = 8;
const REDIRECT: u8 = 5;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;

/// A quoted packet. Offsets count from where the ICMP message begins, or in the buffer: see [`Quote::of`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quote {
    /// Its 5-tuple.
    pub(crate) key: FlowKey,
    /// Which way it ran through the key.
    pub(crate) direction: Direction,
    /// Where its IP header begins.
    pub(crate) ip_at: usize,
    /// Where its transport header begins.
    pub(crate) transport_at: usize,
    /// Where the quotation ends: what stands behind are extensions (RFC 4884), or nothing.
    pub(crate) end: usize,
    /// The message tells of another way (RFC 792): it is for the link it was sent on.
    pub(crate) is_redirect: bool,
}

impl Quote {
    /// What `packet` quotes, with offsets in `bytes`, which is its buffer; `None` where it is no ICMP error, or too little
    /// was quoted (or captured) to tell the flow.
    pub(crate) fn of(packet: &Packet, bytes: &[u8]) -> Option<Self> {
        let at = packet.transport_at as usize;
        let end = (packet.payload_at + packet.payload_captured) as usize;
        let message = bytes.get(at..end.min(bytes.len()))?;
        let quote = Self::in_message(packet.key.proto(), message, packet.key.domain())?;
        Some(Self {
            ip_at: at + quote.ip_at,
            transport_at: at + quote.transport_at,
            end: at + quote.end,
            ..quote
        })
    }

    /// What an ICMP message of protocol `proto` quotes, with offsets in the message.
    pub(super) fn in_message(proto: Proto, message: &[u8], domain: u64) -> Option<Self> {
        let &[kind, _, _, _, first, second, ..] = message else {
            return None;
        };
        // RFC 4884, section 4: how much is quoted, in words of 32 bits, or of 64 with IPv6; 0 where the message goes by
        // older rules.
        let len = match (proto, kind) {
            (Proto::ICMP, 3 | 11 | 12) => usize::from(second) * 4,
            // The pointer of a parameter problem stands elsewhere.
            (Proto::ICMPV6, 1 | 3) => usize::from(first) * 8,
            (Proto::ICMP, 4 | REDIRECT) | (Proto::ICMPV6, 2 | 4) => 0,
            _ => return None,
        };
        let end = match len {
            0 => message.len(),
            len => message.len().min(HEADER_LEN + len),
        };
        let quoted = message.get(HEADER_LEN..end)?;
        let quote = match proto {
            Proto::ICMP => quoted_v4(quoted, domain),
            _ => quoted_v6(quoted, domain),
        }?;
        Some(Self {
            ip_at: HEADER_LEN,
            transport_at: HEADER_LEN + quote.transport_at,
            end,
            is_redirect: (proto, kind) == (Proto::ICMP, REDIRECT),
            ..quote
        })
    }
}

fn quoted_v4(quoted: &[u8], domain: u64) -> Option<Quote> {
    let fixed: &[u8; IPV4_LEN] = quoted.first_chunk()?;
    let len = usize::from(fixed[0] & 0xf) * 4;
    // Only the first fragment of a datagram has ports.
    if fixed[0] >> 4 != 4 || len < IPV4_LEN || fixed[6] & 0x1f != 0 || fixed[7] != 0 {
        return None;
    }
    let word =
        |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let (src, dst) = (word(12), word(16));
    let proto = Proto(fixed[9]);
    let (from, to) = ports(proto, quoted.get(len..)?)?;
    let (key, direction) = FlowKey::v4(src, dst, from, to, proto, domain);
    Some(Quote {
        key,
        direction,
        ip_at: 0,
        transport_at: len,
        end: quoted.len(),
        is_redirect: false,
    })
}

fn quoted_v6(quoted: &[u8], domain: u64) -> Option<Quote> {
    let fixed: &[u8; IPV6_LEN] = quoted.first_chunk()?;
    if fixed[0] >> 4 != 6 {
        return None;
    }
    let (mut proto, mut at) = (fixed[6], IPV6_LEN);
    loop {
        let &[next, len, high, low, ..] = quoted.get(at..)? else {
            return None;
        };
        at += match proto {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION | protocol::SHIM6 => {
                (usize::from(len) + 1) * 8
            }
            protocol::AH => (usize::from(len) + 2) * 4,
            protocol::FRAGMENT if high == 0 && low & 0xf8 == 0 => 8,
            protocol::FRAGMENT => return None,
            _ => break,
        };
        proto = next;
    }
    let proto = Proto(proto);
    let (from, to) = ports(proto, quoted.get(at..)?)?;
    let [src, dst] = [8, 24].map(|at| quoted.get(at..).and_then(<[u8]>::first_chunk));
    let [src, dst] = [u128::from_be_bytes(*src?), u128::from_be_bytes(*dst?)];
    let (key, direction) = FlowKey::v6(src, dst, from, to, proto, domain);
    Some(Quote {
        key,
        direction,
        ip_at: 0,
        transport_at: at,
        end: quoted.len(),
        is_redirect: false,
    })
}

/// Ports as the keys of flows have them, of a transport header of which 8 bytes are enough.
fn ports(proto: Proto, header: &[u8]) -> Option<(u16, u16)> {
    match proto {
        Proto::TCP | Proto::UDP | Proto::SCTP | Proto(33 | 136) => {
            let &[a, b, c, d, ..] = header else {
                return None;
            };
            Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
        }
        Proto::ICMP => Some(echo_of(header, ICMP_ECHO)),
        Proto::ICMPV6 => Some(echo_of(header, ICMPV6_ECHO)),
        _ => Some((0, 0)),
    }
}
