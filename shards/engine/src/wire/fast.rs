//! The short way for the frame that is most of the traffic: Ethernet II, IPv4 without options and not a fragment, TCP.

use alloc::vec::Vec;

use super::checksum;
use super::packet::{Packet, TcpFlags, Transport};
use super::transport::{Checks, Origin};
use crate::flow::{FlowKey, Proto, rss};

const ETHERNET_LEN: usize = 14;
const IP_AT: u32 = 14;
const IP_LEN: usize = 20;
const TCP_AT: u32 = 34;
const TCP_LEN: usize = 20;

/// Adds the packet of an Ethernet frame to `packets`. False where it is not of the usual shape, or where anything is wrong
/// with it: then the general walk decides, which comes to the same result for those that are.
#[inline]
pub(super) fn parse(
    bytes: &[u8],
    origin: &Origin,
    checks: Checks,
    packets: &mut Vec<Packet>,
) -> bool {
    let Some(head) = bytes.first_chunk::<{ ETHERNET_LEN + IP_LEN + TCP_LEN }>() else {
        return false;
    };
    let usual = [head[12], head[13], head[14]] == [0x08, 0x00, 0x45] // IPv4, no options
        && (head[20] & 0x3f) | head[21] == 0 // not a fragment
        && head[23] == Proto::TCP.0;
    if !usual {
        return false;
    }
    let total_len = usize::from(u16::from_be_bytes([head[16], head[17]]));
    let tcp_len = usize::from(head[46] >> 4) * 4;
    let wire_len = bytes
        .len()
        .max(usize::try_from(origin.wire_len).unwrap_or(usize::MAX));
    if tcp_len < TCP_LEN || total_len < IP_LEN + tcp_len || total_len + ETHERNET_LEN > wire_len {
        return false;
    }
    let captured = bytes.len().min(ETHERNET_LEN + total_len);
    let header_len = (ETHERNET_LEN + IP_LEN + tcp_len).min(captured);
    let complete = captured == ETHERNET_LEN + total_len;
    let unfinished = checks.unfinished && complete && is_unfinished(head, total_len);
    if checks.verify && !checksums_hold(head, bytes, captured, total_len, unfinished) {
        return false;
    }

    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (src, dst, src_port, dst_port) = (word(26), word(30), half(34), half(36));
    let (key, direction) = FlowKey::v4(src, dst, src_port, dst_port, Proto::TCP, 0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an IPv4 packet has at most 65,535 bytes, a TCP header 60"
    )]
    packets.push(Packet {
        key,
        direction,
        buffer: origin.buffer,
        link: origin.link,
        encapsulation: 0,
        rss: rss::hash_words(u128::from(src ^ dst), u32::from(src_port ^ dst_port)),
        timestamp: origin.timestamp,
        clock: origin.clock,
        wire_len: origin.wire_len,
        ip_at: IP_AT,
        ip_len: total_len as u32,
        transport_at: TCP_AT,
        payload_at: header_len as u32,
        payload_len: (total_len - IP_LEN - tcp_len) as u32,
        payload_captured: (captured - header_len) as u32,
        transport: Transport::Tcp {
            seq: word(38),
            ack: word(42),
            window: half(48),
            flags: TcpFlags::from_bits_retain(head[47]),
            options_len: (header_len - ETHERNET_LEN - IP_LEN - TCP_LEN) as u8,
        },
        unfinished,
    });
    true
}

/// The sum of the pseudo-header (RFC 9293, section 3.1).
#[inline]
fn pseudo_sum(head: &[u8; 54], total_len: usize) -> u64 {
    let fixed = u64::from(Proto::TCP.0) + (total_len - IP_LEN) as u64;
    checksum::sum(&head[26..34], fixed)
}

/// Whether the checksum of TCP is the sum of the pseudo-header alone.
#[inline]
fn is_unfinished(head: &[u8; 54], total_len: usize) -> bool {
    u16::from_be_bytes([head[50], head[51]]) == checksum::fold(pseudo_sum(head, total_len))
}

/// Whether the checksums of IPv4 and, where all was captured and it is not `unfinished`, of TCP hold.
#[inline]
fn checksums_hold(
    head: &[u8; 54],
    bytes: &[u8],
    captured: usize,
    total_len: usize,
    unfinished: bool,
) -> bool {
    let (ip, segment) = (
        &head[ETHERNET_LEN..ETHERNET_LEN + IP_LEN],
        bytes.get(ETHERNET_LEN + IP_LEN..captured),
    );
    if !checksum::is_valid(checksum::sum(ip, 0)) {
        return false;
    }
    if unfinished || captured < ETHERNET_LEN + total_len {
        return true;
    }
    let pseudo = pseudo_sum(head, total_len);
    segment.is_some_and(|segment| checksum::is_valid(checksum::sum(segment, pseudo)))
}
