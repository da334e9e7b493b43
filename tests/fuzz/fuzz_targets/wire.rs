//! Decapsulation: arbitrary frames of any link type.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mosaic_engine::wire::{
    Checksums, FragmentPolicy, Ingress, KeyDomain, Parsed, Transport, WireConfig,
};
use mosaic_port::{Batch, LinkType, Timestamp};
use mosaic_sim::Burst;

const FRAGMENTS_MAX: usize = 8;

/// Every link type that is understood, and one that is not.
const LINKS: &[u16] = &[
    0, 1, 9, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 228, 229, 239, 276, 9999,
];

#[derive(Arbitrary, Debug)]
struct Input {
    verify: bool,
    vlan_in_key: bool,
    tunnel_in_key: bool,
    hold: bool,
    frames: Vec<(u8, u16, Vec<u8>)>,
}

fuzz_target!(|input: Input| {
    let mut ingress = Ingress::new(WireConfig {
        checksums: if input.verify {
            Checksums::Verify
        } else {
            Checksums::Ignore
        },
        domain: KeyDomain {
            vlan: input.vlan_in_key,
            tunnel: input.tunnel_in_key,
        },
        fragments: if input.hold {
            FragmentPolicy::Hold
        } else {
            FragmentPolicy::Pass
        },
        fragments_max: FRAGMENTS_MAX,
        ..WireConfig::default()
    });
    let mut parsed = Parsed::default();
    let mut clock = 0;
    let (mut held, mut left) = (0, 0);
    for frames in input.frames.chunks(64) {
        let mut burst = Burst::default();
        for (link, later, bytes) in frames {
            clock += u64::from(*later) * 1_000_000;
            let link = LinkType(LINKS[usize::from(*link) % LINKS.len()]);
            burst.push(Timestamp::from_nanos(clock), link, bytes);
        }
        ingress.parse(&burst, &mut parsed);
        check_packets(&burst, &parsed);
        let counters = ingress.counters();
        let accounted = counters.packets + counters.fragments_absorbed + ingress.drops().sum();
        assert_eq!(
            counters.received_frames,
            accounted,
            "{counters:?} {:?}",
            ingress.drops()
        );
        held += u64::from(parsed.held.count_ones());
        left += parsed.waited.frames();
        let elsewhere = ingress.held_frames() + ingress.held_for_nothing();
        assert_eq!(held, left + elsewhere, "every frame that is held is once");
        follow(&burst, &parsed);
    }
});

/// Whatever becomes of a datagram, its fragments can follow.
fn follow(burst: &Burst, parsed: &Parsed) {
    for packet in parsed.packets.iter() {
        let came = parsed.bytes_of(packet, burst);
        let leaves: Vec<u8> = came.iter().map(|byte| !byte).collect();
        let last = burst.frame(packet.buffer.frame().into()).bytes;
        for part in parsed.waited.of(packet.buffer.frame()) {
            let mut frame = part.frame.unwrap_or(last).to_vec();
            part.follow(&mut frame, packet, came, &leaves);
        }
    }
}

fn check_packets(burst: &Burst, parsed: &Parsed) {
    assert!(parsed.packets.len() <= burst.len());
    let mut before = None;
    for packet in &parsed.packets {
        let frame = packet.buffer.frame();
        assert!(
            before < Some(frame),
            "packets are in the order of their frames"
        );
        before = Some(frame);
        let buffer = parsed.bytes_of(packet, burst);
        let _ = &parsed.encapsulations[usize::from(packet.encapsulation)];
        assert!(packet.ip_at <= packet.transport_at && packet.transport_at <= packet.payload_at);
        let end = packet.payload_at as usize + packet.payload_captured as usize;
        assert!(end <= buffer.len(), "the payload lies in its buffer");
        assert!(packet.payload_captured <= packet.payload_len);
        assert!(
            packet.payload_len <= packet.ip_len,
            "the payload is part of the packet"
        );
        if let Transport::Tcp { options_len, .. } = packet.transport {
            assert!(options_len <= 40);
            assert!(packet.transport_at as usize + 20 + usize::from(options_len) <= buffer.len());
        }
    }
}
