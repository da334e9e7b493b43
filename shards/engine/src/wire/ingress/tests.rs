//! Bursts by hand, and bursts of anything.

use super::super::testing::{
    Bench, Frames, HELLO, OUTER4, OneFrame, ethernet, ipv4, ipv4_with, ipv6, join, tcp4, tcp6,
    udp_frame,
};
use super::*;
use crate::event::Instruction;
use proptest::prelude::*;

#[test]
fn a_burst_keeps_the_order_of_its_frames_and_skips_those_without_a_packet() {
    let arp = OneFrame::new(LinkType::ETHERNET, &ethernet(0x0806, &[0; 28]));
    let tagged = join(&[&[0, 5, 0x08, 0x00], &tcp4()]);
    let frames = Frames(std::vec![
        OneFrame::new(LinkType::ETHERNET, &ethernet(0x0800, &tcp4())),
        arp,
        OneFrame::new(LinkType::ETHERNET, &ethernet(0x8100, &tagged)),
        OneFrame::new(LinkType::RAW, &tcp6()),
        OneFrame::new(LinkType::ETHERNET, &ethernet(0x8100, &tagged)),
    ]);
    let mut bench = Bench::verifying();
    bench.ingress.parse(&frames, &mut bench.parsed);
    let seen: Vec<_> = bench
        .parsed
        .packets
        .iter()
        .map(|packet| (packet.buffer, packet.encapsulation))
        .collect();
    let frame = Buffer::Frame;
    assert_eq!(
        seen,
        [(frame(0), 0), (frame(2), 1), (frame(3), 0), (frame(4), 1)]
    );
    assert_eq!(bench.parsed.encapsulations.len(), 2);
    assert!(bench.parsed.encapsulations[0].layers.is_empty());
    let counters = bench.ingress.counters();
    assert_eq!(
        (
            counters.received_frames,
            counters.packets,
            bench.ingress.drops().not_ip
        ),
        (5, 4, 1)
    );
    assert_eq!(
        counters.received_bytes,
        frames
            .0
            .iter()
            .map(|frame| u64::from(frame.wire_len))
            .sum::<u64>()
    );
}

/// Frames whose checksums a device has found good, whatever they are.
#[derive(Default)]
struct Checked(Frames);

impl Batch for Checked {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        self.0.frame(index)
    }

    fn checksums_hold(&self) -> bool {
        true
    }

    fn clear(&mut self) {}

    fn hand_over(&mut self, _: &[u8], _: &mut Self) {}
}

#[test]
fn what_a_device_has_checked_is_not_checked_again_but_for_what_it_cannot_see() {
    let mut damaged = tcp4();
    *damaged.last_mut().unwrap() ^= 1;
    let plain = OneFrame::new(LinkType::ETHERNET, &ethernet(0x0800, &damaged));
    let tagged = join(&[&[0, 5, 0x08, 0x00], &damaged]);
    let tagged = OneFrame::new(LinkType::ETHERNET, &ethernet(0x8100, &tagged));
    let mut bench = Bench::verifying();
    let frames = || Frames(std::vec![plain.clone(), tagged.clone()]);
    bench.ingress.parse(&frames(), &mut bench.parsed);
    assert_eq!(bench.ingress.drops().transport_checksum, 2);
    bench.ingress.parse(&Checked(frames()), &mut bench.parsed);
    assert_eq!(bench.ingress.drops().transport_checksum, 3);
    assert_eq!(bench.parsed.packets[0].buffer, Buffer::Frame(0));
}

#[test]
fn the_clock_is_the_largest_timestamp_so_far() {
    let mut bench = Bench::verifying();
    for (timestamp, clock) in [(5, 5), (9, 9), (3, 9), (10, 10)] {
        let frame = OneFrame {
            timestamp,
            ..OneFrame::new(LinkType::RAW, &tcp4())
        };
        let packet = bench.frame(frame).unwrap();
        assert_eq!(packet.timestamp, Timestamp::from_nanos(timestamp));
        assert_eq!(packet.clock, Timestamp::from_nanos(clock));
    }
}

/// The fragments of `packet`, cut at `at` bytes of its payload.
fn cut(packet: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (proto, payload) = (packet[9], &packet[20..]);
    let units = u16::try_from(at / 8).unwrap();
    [
        ipv4_with(proto, 0x2000, &[], &payload[..at]),
        ipv4_with(proto, units, &[], &payload[at..]),
    ]
}

#[test]
fn the_frame_that_completes_a_datagram_yields_its_packet() {
    let [first, second] = cut(&tcp4(), 8);
    let mut bench = Bench::verifying();
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &first))
            .unwrap_err(),
        "absorbed"
    );
    let tagged = ethernet(0x8100, &join(&[&[0, 5, 0x08, 0x00], &second]));
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::ETHERNET, &tagged))
            .unwrap_err(),
        "absorbed",
        "another VLAN"
    );
    let packet = bench.frame(OneFrame::new(LinkType::RAW, &second)).unwrap();
    assert_eq!(
        (packet.buffer, packet.ip_len, packet.payload_len),
        (
            Buffer::Datagram {
                datagram: 0,
                frame: 0
            },
            45,
            5
        )
    );
    assert_eq!(packet.wire_len as usize, second.len());
    let whole = &bench.parsed.datagrams[0];
    assert_eq!(whole[packet.ip_at as usize..], tcp4());
    assert_eq!(&whole[packet.payload_at as usize..], HELLO);
    // The next burst takes the buffer back.
    bench.ingress.parse(&Frames::default(), &mut bench.parsed);
    assert!(bench.parsed.datagrams.is_empty() && bench.parsed.packets.is_empty());
}

#[test]
fn datagrams_carry_tunnels_that_carry_fragments() {
    let [first, second] = cut(&tcp4(), 16);
    let outer_first = ipv4(4, &first);
    let [outer_second, outer_third] = cut(&ipv4(4, &second), 8);
    let mut bench = Bench::verifying();
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &outer_first))
            .unwrap_err(),
        "absorbed"
    );
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &outer_second))
            .unwrap_err(),
        "absorbed"
    );
    let packet = bench
        .frame(OneFrame::new(LinkType::RAW, &outer_third))
        .unwrap();
    assert_eq!(
        (
            packet.buffer,
            packet.payload_len,
            bench.parsed.datagrams.len()
        ),
        (
            Buffer::Datagram {
                datagram: 0,
                frame: 0
            },
            5,
            1
        )
    );
    assert_eq!(bench.layers(), [OUTER4]);
    assert_eq!(bench.ingress.counters().datagrams_reassembled, 2);
}

#[test]
fn a_datagram_that_is_no_packet_is_dropped_once() {
    let mut damaged = tcp4();
    *damaged.last_mut().unwrap() ^= 1;
    let [first, second] = cut(&damaged, 8);
    let mut bench = Bench::verifying();
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &first))
            .unwrap_err(),
        "absorbed"
    );
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &second))
            .unwrap_err(),
        "transport_checksum"
    );
    assert!(bench.parsed.datagrams.is_empty());
}

#[test]
fn identifiers_join_the_key_where_configured() {
    let tagged = |vlan: u8| {
        let frame = ethernet(0x8100, &join(&[&[0, vlan, 0x08, 0x00], &tcp4()]));
        OneFrame::new(LinkType::ETHERNET, &frame)
    };
    let mut apart = Bench::new(WireConfig {
        domain: KeyDomain {
            vlan: true,
            tunnel: false,
        },
        ..WireConfig::default()
    });
    let mut together = Bench::verifying();
    assert_ne!(
        apart.frame(tagged(5)).unwrap().key,
        apart.frame(tagged(6)).unwrap().key
    );
    assert_eq!(
        apart.frame(tagged(5)).unwrap().key,
        apart.frame(tagged(5)).unwrap().key
    );
    assert_eq!(
        together.frame(tagged(5)).unwrap().key,
        together.frame(tagged(6)).unwrap().key
    );
}

#[test]
fn the_packet_filter_comes_first() {
    // Returns the captured length where the frame is longer than 60 bytes on the wire.
    let longer = Filter::new(std::vec![
        Instruction {
            code: 0x80,
            jt: 0,
            jf: 0,
            k: 0
        },
        Instruction {
            code: 0x25,
            jt: 0,
            jf: 1,
            k: 60
        },
        Instruction {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: 0xffff
        },
        Instruction {
            code: 0x06,
            jt: 0,
            jf: 0,
            k: 0
        },
    ]);
    let filter = PacketFilter {
        programs: std::vec![(LinkType::ETHERNET, longer.unwrap())],
    };
    let mut bench = Bench::new(WireConfig {
        packet_filter: Some(Arc::new(filter)),
        ..WireConfig::default()
    });
    let mut frame = ethernet(0x0800, &tcp4());
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::ETHERNET, &frame))
            .unwrap_err(),
        "packet_filter"
    );
    frame.resize(61, 0);
    assert!(
        bench
            .frame(OneFrame::new(LinkType::ETHERNET, &frame))
            .is_ok()
    );
    assert_eq!(
        bench
            .frame(OneFrame::new(LinkType::RAW, &tcp4()))
            .unwrap_err(),
        "packet_filter"
    );
}

/// Every link type that is understood, and one that is not.
const LINKS: [u16; 26] = [
    0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 119, 127, 149, 163, 192, 204, 228, 229, 239,
    258, 276, 7, 147, 65535,
];

/// A frame that begins like real ones, so that random bytes reach deep.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let seeds: Vec<Vec<u8>> = std::vec![
        ethernet(0x0800, &tcp4()),
        ethernet(0x86dd, &tcp6()),
        ethernet(
            0x0800,
            &ipv4(
                47,
                &join(&[
                    &[0x30, 0, 0x65, 0x58, 0, 0, 0, 1, 0, 0, 0, 2],
                    &ethernet(0x0800, &tcp4())
                ])
            )
        ),
        udp_frame(
            4789,
            &join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(0x0800, &tcp4())])
        ),
        udp_frame(
            2152,
            &join(&[
                &[0x34, 255, 0, 60, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0],
                &tcp4()
            ])
        ),
        udp_frame(3544, &join(&[&[0, 0, 1, 2, 3, 4, 5, 6], &tcp6()])),
        udp_frame(
            1701,
            &join(&[&[0x48, 0x02, 0, 60, 0, 7, 0, 9, 0, 1, 0, 1, 0x21], &tcp4()])
        ),
        udp_frame(
            37008,
            &join(&[&[1, 0, 0, 1, 10, 1, 0, 1], &ethernet(0x0800, &tcp4())])
        ),
        ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], &tcp4()])),
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 1, 0, 47, 0, 0x21], &tcp4()])),
        ethernet(
            0x86dd,
            &ipv6(
                0,
                &join(&[
                    &[43, 0, 1, 4, 0, 0, 0, 0],
                    &[44, 2, 0, 1, 0, 0, 0, 0],
                    &[0; 16],
                    &[6, 0, 0, 1, 0, 0, 0, 1, 0]
                ])
            )
        ),
        join(&[
            &[0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0; 9],
            &[0x88, 0x01],
            &[0; 24],
            &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0],
            &tcp4()
        ]),
        join(&[&[2, 0, 0, 0, 49, 0, 9, 0], &tcp4()]),
        ethernet(0x0800, &ipv4_with(6, 0x2000, &[], &[0; 24])),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (
        prop::sample::select(seeds),
        changes,
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut bytes, changes, cut, whole)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            bytes
        })
}

fn any_frame() -> impl Strategy<Value = OneFrame> {
    let bytes = prop_oneof![3 => plausible(), 1 => prop::collection::vec(any::<u8>(), 0..200)];
    let link = prop_oneof![3 => Just(1), 1 => prop::sample::select(&LINKS[..])];
    (bytes, link, 0_u32..100, any::<u8>()).prop_map(|(bytes, link, beyond, timestamp)| {
        let frame = OneFrame::new(LinkType(link), &bytes);
        OneFrame {
            wire_len: frame.wire_len.saturating_sub(10) + beyond,
            timestamp: u64::from(timestamp),
            ..frame
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever comes in: no panic, each frame counted once, and every packet lies inside its buffer.
    #[test]
    fn every_frame_is_counted_once(frames in prop::collection::vec(any_frame(), 0..20), verify: bool) {
        let mut bench = if verify { Bench::verifying() } else { Bench::ignoring() };
        let frames = Frames(frames);
        bench.ingress.parse(&frames, &mut bench.parsed);
        let (counters, drops) = (bench.ingress.counters(), bench.ingress.drops());
        prop_assert_eq!(counters.received_frames, frames.0.len() as u64);
        prop_assert_eq!(counters.received_frames, counters.packets + counters.fragments_absorbed + drops.sum());
        prop_assert_eq!(counters.packets, bench.parsed.packets.len() as u64);
        for packet in &bench.parsed.packets {
            let buffer = bench.parsed.bytes_of(packet, &frames);
            prop_assert!(usize::from(packet.encapsulation) < bench.parsed.encapsulations.len());
            prop_assert!(packet.ip_at <= packet.transport_at && packet.transport_at <= packet.payload_at);
            prop_assert!(packet.payload_captured <= packet.payload_len);
            prop_assert!((packet.payload_at + packet.payload_captured) as usize <= buffer.len());
        }
    }

    /// The short way comes to the same result as the walk.
    #[test]
    fn the_short_way_agrees_with_the_walk(frame in any_frame(), verify: bool, unfinished: bool) {
        let frame = OneFrame { link: LinkType::ETHERNET, ..frame };
        let origin = Origin {
            buffer: Buffer::Frame(0),
            link: LinkType::ETHERNET,
            timestamp: Timestamp::from_nanos(1),
            clock: Timestamp::from_nanos(2),
            wire_len: frame.wire_len,
        };
        let mut packets = Vec::new();
        let checks = Checks {
            verify,
            unfinished,
            errors_follow: false,
        };
        if fast::parse(&frame.bytes, &origin, checks, &mut packets) {
            let mut layers = Layers::new();
            let view = View::new(&frame.bytes, frame.wire_len as usize);
            let mut walk = Walk::new(view, &mut layers, verify);
            prop_assert_eq!(walk.run(Next::Link(frame.link)), Ok(()));
            let ip = walk.ip.unwrap();
            let walked = transport::packet(&ip, &origin, 0, 0, checks).unwrap();
            prop_assert_eq!(std::format!("{:?}", packets[0]), std::format!("{walked:?}"));
        } else {
            prop_assert!(packets.is_empty());
        }
    }
}
