//! Frames by hand, for the tests of this module.

use std::vec::Vec;

use mosaic_port::{Batch, Frame, LinkType, Timestamp};

use super::{Checksums, Ingress, Layer, Packet, Parsed, Transport, WireConfig, checksum};

/// Payload of [`tcp4`] and [`tcp6`].
pub(crate) const HELLO: &[u8] = b"hello";
/// Sequence number of both.
pub(crate) const SEQ: u32 = 0x0102_0304;

/// One frame of a [`Frames`] batch.
#[derive(Clone, Debug)]
pub(crate) struct OneFrame {
    pub(crate) bytes: Vec<u8>,
    pub(crate) wire_len: u32,
    pub(crate) timestamp: u64,
    pub(crate) link: LinkType,
}

impl OneFrame {
    pub(crate) fn new(link: LinkType, bytes: &[u8]) -> Self {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        Self {
            bytes: bytes.to_vec(),
            wire_len,
            timestamp: 0,
            link,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Frames(pub(super) Vec<OneFrame>);

impl Batch for Frames {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let OneFrame {
            bytes,
            wire_len,
            timestamp,
            link,
        } = &self.0[index];
        let timestamp = Timestamp::from_nanos(*timestamp);
        Frame {
            bytes,
            wire_len: *wire_len,
            timestamp,
            link: *link,
            interface: 0,
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn hand_over(&mut self, _: &[u8], _: &mut Self) {}
}

/// An ingress and its last burst.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) ingress: Ingress,
    pub(crate) parsed: Parsed,
}

impl Bench {
    pub(crate) fn new(config: WireConfig) -> Self {
        Self {
            ingress: Ingress::new(config),
            parsed: Parsed::default(),
        }
    }

    pub(crate) fn verifying() -> Self {
        Self::new(WireConfig {
            checksums: Checksums::Verify,
            ..WireConfig::default()
        })
    }

    pub(crate) fn ignoring() -> Self {
        Self::new(WireConfig {
            checksums: Checksums::Ignore,
            ..WireConfig::default()
        })
    }

    /// Parses a burst of one frame; the packet, or the name of the counter that it went to.
    pub(crate) fn frame(&mut self, frame: OneFrame) -> Result<Packet, &'static str> {
        let before = (*self.ingress.drops(), *self.ingress.counters());
        self.ingress
            .parse(&Frames([frame].into()), &mut self.parsed);
        let (drops, counters) = (*self.ingress.drops(), *self.ingress.counters());
        let counted = |now: u64, then: u64| (now != then).then_some(now - then);
        assert_eq!(counters.received_frames, before.1.received_frames + 1);
        if let Some(packets) = counted(counters.packets, before.1.packets) {
            assert_eq!(
                (packets, self.parsed.packets.len(), drops),
                (1, 1, before.0)
            );
            return Ok(self.parsed.packets[0]);
        }
        assert!(self.parsed.packets.is_empty());
        if counted(counters.fragments_absorbed, before.1.fragments_absorbed).is_some() {
            assert_eq!(drops, before.0);
            return Err("absorbed");
        }
        assert_eq!(drops.sum(), before.0.sum() + 1);
        Err(drops
            .iter()
            .zip(before.0.iter())
            .find(|(now, then)| now != then)
            .unwrap()
            .0
            .0)
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        &self.parsed.encapsulations[usize::from(self.parsed.packets[0].encapsulation)].layers
    }
}

/// The layers around the [`tcp4`] or [`tcp6`] that `frame` carries.
///
/// # Panics
/// Where it does not; or where a shorter capture of the same frame is not counted once, or is taken for more than is there.
pub(crate) fn layers_around(link: LinkType, frame: &[u8]) -> Vec<Layer> {
    let mut bench = Bench::verifying();
    let packet = bench.frame(OneFrame::new(link, frame)).unwrap();
    let Transport::Tcp { seq, .. } = packet.transport else {
        panic!("{packet:?}")
    };
    assert_eq!(
        (seq, packet.payload_len, packet.payload_captured),
        (SEQ, 5, 5),
        "{packet:?}"
    );
    assert_eq!(&frame[packet.payload_at as usize..][..5], HELLO);
    let layers = bench.layers().to_vec();

    for captured in 0..frame.len() {
        let mut cut = OneFrame::new(link, frame);
        cut.bytes.truncate(captured);
        if let Ok(packet) = Bench::verifying().frame(cut)
            && let Transport::Tcp { seq, .. } = packet.transport
        {
            assert_eq!((seq, packet.payload_len), (SEQ, 5), "cut to {captured}");
            assert!(packet.payload_captured <= 5 && (packet.payload_at as usize) <= captured);
        }
        // The same bytes as a short frame that pretends nothing.
        let _ = Bench::verifying().frame(OneFrame::new(link, &frame[..captured]));
    }
    layers
}

/// What becomes of a frame.
pub(crate) fn outcome(link: LinkType, frame: &[u8]) -> Result<Packet, &'static str> {
    Bench::verifying().frame(OneFrame::new(link, frame))
}

/// The pieces one behind the other.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    join(&[
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
        &ether_type.to_be_bytes(),
        payload,
    ])
}

/// From 192.0.2.1 to 198.51.100.2, identification 0x1234.
pub(crate) fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(proto, 0, &[], payload)
}

/// With the flags and fragment offset field, and options.
pub(crate) fn ipv4_with(proto: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total_len = u16::try_from(header_len + payload.len())
        .unwrap()
        .to_be_bytes();
    let [high, low] = fragment.to_be_bytes();
    let version = 0x40 | u8::try_from(header_len / 4).unwrap();
    let mut packet = join(&[
        &[
            version,
            0,
            total_len[0],
            total_len[1],
            0x12,
            0x34,
            high,
            low,
            64,
            proto,
            0,
            0,
        ],
        &[192, 0, 2, 1, 198, 51, 100, 2],
        options,
    ]);
    let sum = !checksum::fold(checksum::sum(&packet, 0));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

pub(crate) const SOURCE6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(crate) const DESTINATION6: [u8; 16] =
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// From 2001:db8::1 to 2001:db8::2.
pub(crate) fn ipv6(proto: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[
        &[0x60, 0, 0, 0, high, low, proto, 64],
        &SOURCE6,
        &DESTINATION6,
        payload,
    ])
}

/// A segment from port 4000 to 80 with [`HELLO`], its checksum for these addresses.
pub(crate) fn tcp(addresses: &[u8]) -> Vec<u8> {
    let mut segment = join(&[
        &[0x0f, 0xa0, 0, 80],
        &SEQ.to_be_bytes(),
        &[5, 6, 7, 8, 0x50, 0x18, 0x20, 0x00, 0, 0, 0, 0],
        HELLO,
    ]);
    seal(&mut segment, 16, addresses, 6);
    segment
}

/// Puts the checksum at `at`.
pub(crate) fn seal(segment: &mut [u8], at: usize, addresses: &[u8], proto: u8) {
    segment[at..at + 2].fill(0);
    let pseudo = checksum::sum(addresses, u64::from(proto) + segment.len() as u64);
    let sum = !checksum::fold(checksum::sum(segment, pseudo));
    segment[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// TCP over IPv4, complete.
pub(crate) fn tcp4() -> Vec<u8> {
    ipv4(6, &tcp(&[192, 0, 2, 1, 198, 51, 100, 2]))
}

/// TCP over IPv6, complete.
pub(crate) fn tcp6() -> Vec<u8> {
    ipv6(6, &tcp(&join(&[&SOURCE6, &DESTINATION6])))
}

/// A datagram without checksum.
pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap();
    join(&[
        &source.to_be_bytes(),
        &destination.to_be_bytes(),
        &len.to_be_bytes(),
        &[0, 0],
        payload,
    ])
}

/// A frame whose datagram to `port` carries `payload`.
pub(crate) fn udp_frame(port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(4000, port, payload)))
}

/// The layer of the header that [`ipv4`] makes.
pub(crate) const OUTER4: Layer = Layer::Ip(
    core::net::IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)),
    core::net::IpAddr::V4(core::net::Ipv4Addr::new(198, 51, 100, 2)),
);
