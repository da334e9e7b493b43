//! TCP segments between simulated peers, and how they look on Ethernet.

use std::net::IpAddr;

use mosaic_engine::event::Side;
use mosaic_engine::flow::Endpoint;
use mosaic_engine::wire::TcpFlags;

/// A segment on its way. The sequence space is that of the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Who sent it.
    pub sender: Side,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Control bits.
    pub flags: TcpFlags,
    /// Window field, scaled down by the sender.
    pub window: u16,
    /// Options, padded to a multiple of four bytes, at most 40.
    pub options: Vec<u8>,
    /// Payload.
    pub payload: Vec<u8>,
}

impl Segment {
    /// Its length in sequence space (RFC 9293, section 3.4): payload, SYN and FIN.
    pub fn sequence_len(&self) -> u64 {
        let controls = self.flags.intersection(TcpFlags::SYN | TcpFlags::FIN);
        self.payload.len() as u64 + u64::from(controls.bits().count_ones())
    }
}

/// The two ends of a connection, indexed by [`Side`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ends(pub [Endpoint; 2]);

impl Ends {
    /// One end.
    pub fn of(&self, side: Side) -> Endpoint {
        self.0[side as usize]
    }
}

/// Length of the IP packet that carries `segment`, header included.
///
/// # Panics
/// Where it would be longer than 65,535 bytes.
pub fn ip_len(ends: &Ends, segment: &Segment) -> u16 {
    let header = if ends.0[0].addr.is_ipv6() { 40 } else { 20 };
    u16::try_from(header + TCP_HEADER + segment.options.len() + segment.payload.len())
        .expect("peers keep to the maximum segment size")
}

const TCP_HEADER: usize = 20;
const ETHERNET_MIN: usize = 60;
const IPV4_MORE_FRAGMENTS: u16 = 0x2000;

/// The Ethernet frame of `segment`, with right checksums and, where it is short, padding.
pub fn frame(ends: &Ends, segment: &Segment, id: u16) -> Vec<u8> {
    let (source, destination) = (ends.of(segment.sender), ends.of(segment.sender.other()));
    let tcp = tcp(source, destination, segment);
    ethernet(
        segment.sender,
        &ip(source.addr, destination.addr, id, None, &tcp),
        source.addr,
    )
}

/// The same in several IP fragments, in order: cut at `cut` bytes of the IP payload, rounded down to eight.
/// One frame where that leaves nothing on either side.
pub fn fragments(ends: &Ends, segment: &Segment, id: u16, cut: usize) -> Vec<Vec<u8>> {
    let (source, destination) = (ends.of(segment.sender), ends.of(segment.sender.other()));
    let tcp = tcp(source, destination, segment);
    let cut = cut / 8 * 8;
    if cut == 0 || cut >= tcp.len() {
        return vec![frame(ends, segment, id)];
    }
    let (head, tail) = tcp.split_at(cut);
    [
        (head, Fragment { at: 0, more: true }),
        (
            tail,
            Fragment {
                at: cut,
                more: false,
            },
        ),
    ]
    .into_iter()
    .map(|(part, place)| {
        ethernet(
            segment.sender,
            &ip(source.addr, destination.addr, id, Some(place), part),
            source.addr,
        )
    })
    .collect()
}

/// Where a fragment belongs in its datagram.
#[derive(Clone, Copy)]
struct Fragment {
    /// Offset in bytes, a multiple of eight.
    at: usize,
    more: bool,
}

fn ethernet(sender: Side, packet: &[u8], source: IpAddr) -> Vec<u8> {
    let (from, to) = match sender {
        Side::Client => (1, 2),
        Side::Server => (2, 1),
    };
    let ether_type: u16 = if source.is_ipv6() { 0x86dd } else { 0x0800 };
    let mut frame = vec![2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    frame.resize(frame.len().max(ETHERNET_MIN), 0);
    frame
}

fn ip(
    source: IpAddr,
    destination: IpAddr,
    id: u16,
    fragment: Option<Fragment>,
    payload: &[u8],
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![0x45, 0];
            header.extend(length(20 + payload.len()).to_be_bytes());
            header.extend(id.to_be_bytes());
            let field = fragment.map_or(0, |fragment| {
                length(fragment.at / 8)
                    | if fragment.more {
                        IPV4_MORE_FRAGMENTS
                    } else {
                        0
                    }
            });
            header.extend(field.to_be_bytes());
            header.extend([64, 6, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header.extend(payload);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let fragment_header = fragment.map_or(Vec::new(), |fragment| {
                let mut header = vec![6, 0];
                header.extend((length(fragment.at) | u16::from(fragment.more)).to_be_bytes());
                header.extend(u32::from(id).to_be_bytes());
                header
            });
            let next = if fragment.is_some() { 44 } else { 6 };
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(length(fragment_header.len() + payload.len()).to_be_bytes());
            header.extend([next, 64]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header.extend(fragment_header);
            header.extend(payload);
            header
        }
        _ => unreachable!("both ends of a connection are of one family"),
    }
}

fn tcp(source: Endpoint, destination: Endpoint, segment: &Segment) -> Vec<u8> {
    let words = u8::try_from((TCP_HEADER + segment.options.len()) / 4).expect("at most 60 bytes");
    let mut tcp = Vec::with_capacity(TCP_HEADER + segment.options.len() + segment.payload.len());
    tcp.extend(source.port.to_be_bytes());
    tcp.extend(destination.port.to_be_bytes());
    tcp.extend(segment.seq.to_be_bytes());
    tcp.extend(segment.ack.to_be_bytes());
    tcp.extend([words << 4, segment.flags.bits()]);
    tcp.extend(segment.window.to_be_bytes());
    tcp.extend([0, 0, 0, 0]);
    tcp.extend(&segment.options);
    tcp.extend(&segment.payload);
    let sum = transport_checksum(source.addr, destination.addr, &tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    tcp
}

/// The segment in an Ethernet frame, and where it comes from and goes to: what [`frame`] makes. The sender is not known from it,
/// and stands as the client.
///
/// # Panics
/// Where it is no such frame, a length is wrong or a checksum does not hold.
pub fn parse(frame: &[u8]) -> (Endpoint, Endpoint, Segment) {
    let ip = &frame[14..];
    let is_v6 = frame[12..14] == [0x86, 0xdd];
    let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    let (header, len) = if is_v6 {
        (40, 40 + usize::from(word(4)))
    } else {
        assert_eq!(checksum(&[&ip[..20]]), 0, "checksum of IPv4");
        (20, usize::from(word(2)))
    };
    let addr = |is_source: bool| -> IpAddr {
        if is_v6 {
            let at = if is_source { 8 } else { 24 };
            <[u8; 16]>::try_from(&ip[at..at + 16])
                .expect("sixteen bytes")
                .into()
        } else {
            let at = if is_source { 12 } else { 16 };
            <[u8; 4]>::try_from(&ip[at..at + 4])
                .expect("four bytes")
                .into()
        }
    };
    assert!(
        ip.len() >= len && ip.len() <= len.max(ETHERNET_MIN - 14),
        "length of the frame"
    );
    let tcp = &ip[header..len];
    let (source, destination) = (addr(true), addr(false));
    assert_eq!(
        transport_checksum(source, destination, tcp),
        0,
        "checksum of TCP"
    );
    let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().expect("four bytes"));
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let data = usize::from(tcp[12] >> 4) * 4;
    let segment = Segment {
        sender: Side::Client,
        seq: number(4),
        ack: number(8),
        flags: TcpFlags::from_bits_retain(tcp[13]),
        window: port(14),
        options: tcp[TCP_HEADER..data].to_vec(),
        payload: tcp[data..].to_vec(),
    };
    let [source, destination] = [(source, 0), (destination, 2)].map(|(addr, at)| Endpoint {
        addr,
        port: port(at),
    });
    (source, destination, segment)
}

/// Checksum of a TCP segment with its pseudo-header (RFC 9293, section 3.1); 0 over one that carries its checksum.
pub(crate) fn transport_checksum(source: IpAddr, destination: IpAddr, tcp: &[u8]) -> u16 {
    let mut pseudo = Vec::new();
    for addr in [source, destination] {
        match addr {
            IpAddr::V4(addr) => pseudo.extend(addr.octets()),
            IpAddr::V6(addr) => pseudo.extend(addr.octets()),
        }
    }
    pseudo.extend([0, 6]);
    pseudo.extend(length(tcp.len()).to_be_bytes());
    checksum(&[&pseudo, tcp])
}

/// Internet checksum (RFC 1071); all parts but the last are of even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).expect("16 bits")
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a packet is at most 65,535 bytes long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn segment() -> Segment {
        Segment {
            sender: Side::Client,
            seq: 1,
            ack: 2,
            flags: TcpFlags::ACK | TcpFlags::PSH,
            window: 100,
            options: vec![1, 1, 1, 0],
            payload: (0..101).collect(),
        }
    }

    fn ends(client: IpAddr, server: IpAddr) -> Ends {
        Ends([
            Endpoint {
                addr: client,
                port: 4000,
            },
            Endpoint {
                addr: server,
                port: 80,
            },
        ])
    }

    #[test]
    fn checksums_are_right() {
        let four = ends(
            Ipv4Addr::new(10, 0, 0, 1).into(),
            Ipv4Addr::new(10, 0, 0, 2).into(),
        );
        let bytes = frame(&four, &segment(), 7);
        assert_eq!(bytes.len(), 14 + usize::from(ip_len(&four, &segment())));
        assert_eq!(checksum(&[&bytes[14..34]]), 0);
        assert_eq!(
            transport_checksum(four.0[0].addr, four.0[1].addr, &bytes[34..]),
            0
        );

        let six = ends(Ipv6Addr::from_bits(5).into(), Ipv6Addr::from_bits(6).into());
        let bytes = frame(&six, &segment(), 7);
        assert_eq!(bytes.len(), 14 + usize::from(ip_len(&six, &segment())));
        assert_eq!(
            transport_checksum(six.0[0].addr, six.0[1].addr, &bytes[54..]),
            0
        );
    }

    #[test]
    fn a_frame_is_read_as_it_was_made() {
        for (client, server) in [
            (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])),
            (Ipv6Addr::from_bits(5).into(), Ipv6Addr::from_bits(6).into()),
        ] {
            let ends = ends(client, server);
            for payload in [0, 1, 101] {
                let mut segment = segment();
                segment.payload.truncate(payload);
                let (source, destination, found) = parse(&frame(&ends, &segment, 7));
                assert_eq!((source, destination), (ends.0[0], ends.0[1]));
                assert_eq!(found, segment);
            }
        }
    }

    #[test]
    fn fragments_together_are_the_datagram() {
        for (ends, header) in [
            (
                ends(
                    Ipv4Addr::new(10, 0, 0, 1).into(),
                    Ipv4Addr::new(10, 0, 0, 2).into(),
                ),
                20,
            ),
            (
                ends(Ipv6Addr::from_bits(5).into(), Ipv6Addr::from_bits(6).into()),
                48,
            ),
        ] {
            let whole = frame(&ends, &segment(), 7);
            let parts = fragments(&ends, &segment(), 7, 70);
            let joined: Vec<u8> = parts
                .iter()
                .flat_map(|part| &part[14 + header..])
                .copied()
                .collect();
            assert_eq!(joined, whole[14 + if header == 48 { 40 } else { 20 }..]);
            assert_eq!(fragments(&ends, &segment(), 7, 5).len(), 1);
        }
    }
}
