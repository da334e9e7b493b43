//! From the innermost IP header to a [`Packet`].

use super::checksum::{self, Finding};
use super::packet::{Buffer, Packet, TcpFlags, Transport};
use super::quote::Quote;
use super::reason::Reason;
use super::view::View;
use super::walk::{Addresses, IpHeader};
use crate::flow::{Direction, FlowKey, Proto, rss};
use mosaic_port::{LinkType, Timestamp};

/// Protocols with ports at the place where UDP has them, besides those of [`Proto`].
const DCCP: u8 = 33;
const UDP_LITE: u8 = 136;

/// Length of a TCP header without options.
const TCP_LEN: usize = 20;
/// As much of a TCP header as is needed to know its numbers, flags and window; the rest may be cut by the snap length.
const TCP_NEEDED: usize = 16;
const UDP_LEN: usize = 8;

pub(super) const ICMP_ECHO: [u8; 2] = [0, 8];
pub(super) const ICMPV6_ECHO: [u8; 2] = [128, 129];

/// What a packet takes over from the frame that completed it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) buffer: Buffer,
    pub(super) link: LinkType,
    pub(super) timestamp: Timestamp,
    pub(super) clock: Timestamp,
    pub(super) wire_len: u32,
}

/// What is asked of checksums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks {
    /// A wrong one is refused.
    pub(super) verify: bool,
    /// Unfinished ones are told from wrong ones.
    pub(super) unfinished: bool,
    /// Not of checksums: an ICMP error belongs to the owner of what it quotes.
    pub(super) errors_follow: bool,
}

/// Ports and where the payload begins.
struct Segment {
    ports: (u16, u16),
    transport: Transport,
    header_len: usize,
    /// Payload length by the headers.
    payload_len: usize,
}

/// The packet whose innermost header is `ip`.
pub(super) fn packet(
    ip: &IpHeader<'_>,
    origin: &Origin,
    encapsulation: u8,
    domain: u64,
    checks: Checks,
) -> Result<Packet, Reason> {
    let view = ip.payload;
    let segment = match Proto(ip.proto) {
        Proto::TCP => tcp(&view)?,
        Proto::UDP => udp(&view)?,
        Proto::SCTP | Proto(DCCP | UDP_LITE) => Segment {
            ports: ports(&view)?,
            ..plain(&view)
        },
        Proto::ICMP => Segment {
            ports: echo_of(view.captured(), ICMP_ECHO),
            ..plain(&view)
        },
        Proto::ICMPV6 => Segment {
            ports: echo_of(view.captured(), ICMPV6_ECHO),
            ..plain(&view)
        },
        _ => plain(&view),
    };
    let finding = checks.of(ip, &segment);
    if finding == Finding::Bad {
        return Err(Reason::TransportChecksum);
    }
    let (key, direction, mut rss) = key(ip, segment.ports, domain);
    if checks.errors_follow && matches!(key.proto(), Proto::ICMP | Proto::ICMPV6) {
        let quote = Quote::in_message(key.proto(), view.captured(), domain);
        rss = quote.map_or(rss, |quote| rss::hash(&quote.key));
    }
    let captured = view.captured().len();
    let header_captured = segment.header_len.min(captured);
    Ok(Packet {
        key,
        direction,
        buffer: origin.buffer,
        link: origin.link,
        encapsulation,
        rss,
        timestamp: origin.timestamp,
        clock: origin.clock,
        wire_len: origin.wire_len,
        ip_at: offset(ip.at),
        ip_len: offset(ip.len),
        transport_at: offset(view.at_captured()),
        payload_at: offset(view.at_captured() + header_captured),
        payload_len: offset(segment.payload_len),
        payload_captured: offset(segment.payload_len.min(captured - header_captured)),
        transport: segment.transport,
        unfinished: finding == Finding::Unfinished,
    })
}

/// Offsets and lengths inside a frame or datagram.
#[inline]
pub(super) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn key(
    ip: &IpHeader<'_>,
    (src_port, dst_port): (u16, u16),
    domain: u64,
) -> (FlowKey, Direction, u32) {
    let proto = Proto(ip.proto);
    let ((key, direction), addresses) = match ip.addresses {
        Addresses::V4(src, dst) => (
            FlowKey::v4(src, dst, src_port, dst_port, proto, domain),
            u128::from(src ^ dst),
        ),
        Addresses::V6(src, dst) => (
            FlowKey::v6(src, dst, src_port, dst_port, proto, domain),
            src ^ dst,
        ),
    };
    (
        key,
        direction,
        rss::hash_words(addresses, u32::from(src_port ^ dst_port)),
    )
}

/// All of the payload of the IP header, no ports.
fn plain(view: &View<'_>) -> Segment {
    Segment {
        ports: (0, 0),
        transport: Transport::Other,
        header_len: 0,
        payload_len: view.wire_len(),
    }
}

fn ports(view: &View<'_>) -> Result<(u16, u16), Reason> {
    Ok((view.u16(0)?, view.u16(2)?))
}

/// The identifier of an echo request or reply (types `echo`) as both ports; 0 where a message has none.
pub(super) fn echo_of(message: &[u8], echo: [u8; 2]) -> (u16, u16) {
    match *message {
        [kind, _, _, _, high, low, ..] if echo.contains(&kind) => {
            let id = u16::from_be_bytes([high, low]);
            (id, id)
        }
        _ => (0, 0),
    }
}

/// Whether `new`, at `at` of the buffer of `packet`, would give it another key: addresses, ports, identifier of an echo.
pub(crate) fn changes_key(packet: &Packet, bytes: &[u8], at: usize, new: &[u8]) -> bool {
    let byte = |place: usize| {
        let written = place.checked_sub(at).and_then(|number| new.get(number));
        written.or(bytes.get(place)).copied()
    };
    let differs = |from: usize, to: usize| (from..to).any(|at| byte(at) != bytes.get(at).copied());
    let (ip, transport) = (packet.ip_at as usize, packet.transport_at as usize);
    let (from, to) = if packet.key.is_v6() {
        (8, 40)
    } else {
        (12, 20)
    };
    if differs(ip + from, ip + to) {
        return true;
    }
    let echo = match packet.key.proto() {
        Proto::TCP | Proto::UDP | Proto::SCTP | Proto(DCCP | UDP_LITE) => {
            return differs(transport, transport + 4);
        }
        Proto::ICMP => ICMP_ECHO,
        Proto::ICMPV6 => ICMPV6_ECHO,
        _ => return false,
    };
    let (mut message, mut len) = ([0; 6], 0);
    for (place, into) in (transport..bytes.len()).zip(&mut message) {
        *into = byte(place).unwrap_or(0);
        len += 1;
    }
    let old = bytes.get(transport..).unwrap_or_default();
    echo_of(&message[..len], echo) != echo_of(old, echo)
}

fn tcp(view: &View<'_>) -> Result<Segment, Reason> {
    let fixed: [u8; TCP_NEEDED] = view.array(0)?;
    let header_len = usize::from(fixed[12] >> 4) * 4;
    if header_len < TCP_LEN || header_len > view.wire_len() {
        return Err(Reason::Malformed);
    }
    let options = header_len
        .min(view.captured().len())
        .saturating_sub(TCP_LEN);
    Ok(Segment {
        ports: (
            u16::from_be_bytes([fixed[0], fixed[1]]),
            u16::from_be_bytes([fixed[2], fixed[3]]),
        ),
        transport: Transport::Tcp {
            seq: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ack: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            flags: TcpFlags::from_bits_retain(fixed[13]),
            options_len: u8::try_from(options).unwrap_or(0),
        },
        header_len,
        payload_len: view.wire_len() - header_len,
    })
}

fn udp(view: &View<'_>) -> Result<Segment, Reason> {
    let len = usize::from(view.u16(4)?);
    // Length 0 stands for the rest of the packet in a jumbogram (RFC 2675, section 4).
    let len = if len == 0 { view.wire_len() } else { len };
    if len < UDP_LEN || view.wire_len() < UDP_LEN {
        return Err(Reason::Malformed);
    }
    let payload_len = len.min(view.wire_len()) - UDP_LEN;
    Ok(Segment {
        ports: ports(view)?,
        transport: Transport::Other,
        header_len: UDP_LEN,
        payload_len,
    })
}

impl Checks {
    /// What the checksum of TCP or UDP says. `Good` where it cannot be told: another protocol, none sent, or not everything
    /// captured.
    fn of(self, ip: &IpHeader<'_>, segment: &Segment) -> Finding {
        let view = ip.payload.limit(segment.header_len + segment.payload_len);
        let field = match Proto(ip.proto) {
            Proto::TCP => view.u16(16),
            Proto::UDP => view.u16(6),
            _ => return Finding::Good,
        };
        // RFC 768: zero means that none was sent. RFC 6936 allows the same for tunnels over IPv6.
        let unsent = Proto(ip.proto) == Proto::UDP && field == Ok(0);
        if unsent || !view.is_complete() || !(self.verify || self.unfinished) {
            return Finding::Good;
        }
        let pseudo = ip.pseudo_sum + u64::from(ip.proto) + u64::from(offset(view.wire_len()));
        if self.unfinished && field == Ok(checksum::fold(pseudo)) {
            Finding::Unfinished
        } else if !self.verify || checksum::is_valid(checksum::sum(view.captured(), pseudo)) {
            Finding::Good
        } else {
            Finding::Bad
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Bench, OneFrame, SEQ, ipv4, join, outcome, seal, tcp, tcp4, udp};
    use super::*;
    use mosaic_port::LinkType;

    #[test]
    fn a_segment_gives_its_numbers() {
        let mut segment = tcp(&[192, 0, 2, 1, 198, 51, 100, 2]);
        segment.splice(20..20, [2, 4, 5, 0xb4]);
        segment[12] = 0x60;
        seal(&mut segment, 16, &[192, 0, 2, 1, 198, 51, 100, 2], 6);
        let found = outcome(LinkType::RAW, &ipv4(6, &segment)).unwrap();
        let Transport::Tcp {
            seq,
            ack,
            window,
            flags,
            options_len,
        } = found.transport
        else {
            panic!("{found:?}")
        };
        assert_eq!(
            (seq, ack, window, options_len),
            (SEQ, 0x0506_0708, 0x2000, 4)
        );
        assert_eq!(flags, TcpFlags::PSH | TcpFlags::ACK);
        assert_eq!(
            (found.transport_at, found.payload_at, found.payload_len),
            (20, 44, 5)
        );
        let (source, destination) = (
            found.key.source(found.direction),
            found.key.source(found.direction.reversed()),
        );
        assert_eq!((source.port, destination.port), (4000, 80));
        assert_eq!(found.rss, rss::hash(&found.key));
    }

    #[test]
    fn a_header_length_out_of_range_is_malformed() {
        for nibble in [0x00, 0x40, 0x70, 0xf0] {
            let mut segment = tcp(&[0; 8]);
            segment[12] = nibble;
            let found = Bench::ignoring().frame(OneFrame::new(LinkType::RAW, &ipv4(6, &segment)));
            assert_eq!(found.unwrap_err(), "malformed", "{nibble:x}");
        }
    }

    #[test]
    fn sixteen_captured_bytes_are_enough_of_a_header() {
        for (captured, counts) in [(20 + 16, true), (20 + 15, false)] {
            let mut frame = OneFrame::new(LinkType::RAW, &tcp4());
            frame.bytes.truncate(captured);
            assert_eq!(Bench::verifying().frame(frame).is_ok(), counts);
        }
    }

    #[test]
    fn checksums_are_verified_where_all_was_captured() {
        let mut damaged = tcp4();
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            outcome(LinkType::RAW, &damaged).unwrap_err(),
            "transport_checksum"
        );
        assert!(
            Bench::ignoring()
                .frame(OneFrame::new(LinkType::RAW, &damaged))
                .is_ok()
        );
        let mut cut = OneFrame::new(LinkType::RAW, &damaged);
        cut.bytes.pop();
        assert!(Bench::verifying().frame(cut).is_ok());
    }

    #[test]
    fn a_datagram_may_go_without_a_checksum() {
        let addresses = [192, 0, 2, 1, 198, 51, 100, 2];
        let mut datagram = udp(4000, 53, b"abc");
        assert!(outcome(LinkType::RAW, &ipv4(17, &datagram)).is_ok());
        seal(&mut datagram, 6, &addresses, 17);
        let found = outcome(LinkType::RAW, &ipv4(17, &datagram)).unwrap();
        assert_eq!((found.payload_at, found.payload_len), (28, 3));
        datagram[8] ^= 1;
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(17, &datagram)).unwrap_err(),
            "transport_checksum"
        );
    }

    #[test]
    fn the_length_of_a_datagram_ends_its_payload() {
        let mut datagram = udp(4000, 53, b"abcdef");
        datagram[5] = 11;
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(17, &datagram))
                .unwrap()
                .payload_len,
            3
        );
        datagram[5] = 99;
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(17, &datagram))
                .unwrap()
                .payload_len,
            6
        );
        datagram[5] = 7;
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(17, &datagram)).unwrap_err(),
            "malformed"
        );
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(17, &[0, 1, 0, 2])).unwrap_err(),
            "malformed"
        );
    }

    #[test]
    fn echoes_are_told_by_their_identifier_and_errors_are_not_what_they_quote() {
        let ports = |proto, message: &[u8]| {
            let found = outcome(LinkType::RAW, &ipv4(proto, message)).unwrap();
            assert!(matches!(found.transport, Transport::Other));
            (
                found.key.proto().0,
                found.key.source(Direction::Up).port,
                found.key.source(Direction::Down).port,
            )
        };
        assert_eq!(
            ports(1, &[8, 0, 0, 0, 0x12, 0x34, 0, 1]),
            (1, 0x1234, 0x1234)
        );
        assert_eq!(
            ports(1, &[0, 0, 0, 0, 0x12, 0x34, 0, 1]),
            (1, 0x1234, 0x1234)
        );
        assert_eq!(
            ports(58, &[128, 0, 0, 0, 0x12, 0x34, 0, 1]),
            (58, 0x1234, 0x1234)
        );
        assert_eq!(
            ports(1, &join(&[&[3, 1, 0, 0, 0, 0, 0, 0], &tcp4()])),
            (1, 0, 0)
        );
        assert_eq!(ports(1, &[]), (1, 0, 0));
    }

    #[test]
    fn other_protocols_with_ports() {
        for proto in [132, 33, 136] {
            let found = outcome(
                LinkType::RAW,
                &ipv4(proto, &[0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]),
            )
            .unwrap();
            assert_eq!(found.key.source(found.direction).port, 7);
            assert_eq!((found.payload_at, found.payload_len), (20, 12));
            assert_eq!(
                outcome(LinkType::RAW, &ipv4(proto, &[0, 7, 0])).unwrap_err(),
                "malformed"
            );
        }
        assert_eq!(
            outcome(LinkType::RAW, &ipv4(50, &[0; 8]))
                .unwrap()
                .key
                .source(Direction::Up)
                .port,
            0
        );
    }

    #[test]
    fn a_packet_is_small() {
        assert!(size_of::<Packet>() <= 144);
    }
}
