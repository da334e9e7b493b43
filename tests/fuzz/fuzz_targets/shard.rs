//! The whole shard: arbitrary segments of few connections in a small sequence space, and arbitrary frames between them.
#![no_main]

mod scribe;

use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mosaic_engine::event::Side;
use mosaic_engine::flow::Endpoint;
use mosaic_engine::shard::{OverlapPolicy, Profile, ShardConfig, Timeouts};
use mosaic_engine::wire::{Checksums, TcpFlags, WireConfig};
use mosaic_port::{LinkType, Timestamp};
use mosaic_sim::{Burst, Cluster, Ends, Segment, fragments, frame};

use scribe::{Scribe, Style};

const FLOWS_MAX: usize = 3;

#[derive(Arbitrary, Debug)]
struct Input {
    shape: Shape,
    steps: Vec<Step>,
}

/// Bounds small enough to be reached by a few segments.
#[derive(Arbitrary, Debug)]
struct Shape {
    side_bytes: u8,
    out_of_order_bytes: u8,
    holes: u8,
    /// In blocks of 4 KiB.
    buffered_blocks: u8,
    grace_ms: u8,
    timeout_ms: Option<u8>,
    receiver: bool,
    last_copy: bool,
    midstream: bool,
    burst: u8,
    /// Where the sequence space begins: near its end, half of the time.
    near_wrap: bool,
    second_reader: Style,
    retain: u8,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Segment(Short),
    Cut(Short, u8),
    Raw(u8, Vec<u8>),
    Clock(u8),
}

/// A segment of one of four connections.
#[derive(Arbitrary, Debug)]
struct Short {
    connection: u8,
    from_server: bool,
    later_ms: u8,
    seq: u8,
    ack: u8,
    flags: u8,
    window: u8,
    options: [u8; 8],
    payload: Payload,
}

#[derive(Arbitrary, Debug)]
enum Payload {
    None,
    /// The bytes that belong there.
    Honest(u8),
    Other(u8),
}

fuzz_target!(|input: Input| {
    let shape = &input.shape;
    let config = config(shape);
    let wire = WireConfig {
        checksums: Checksums::Ignore,
        fragments_max: 4,
        ..WireConfig::default()
    };
    let mut cluster = Cluster::new(1, wire, &config);
    let mut hosts = [Scribe::start(
        &mut cluster.shards[0],
        shape.second_reader,
        shape.retain.into(),
    )];
    let mut now = 1_000_000_000_000;
    let mut burst = Burst::default();
    let mut len = 0;
    for step in &input.steps {
        let mut frames = Vec::new();
        let mut link = LinkType::ETHERNET;
        match step {
            Step::Segment(short) => {
                now += u64::from(short.later_ms) * 1_000_000;
                frames.push(frame(
                    &ends(short.connection),
                    &segment(short, shape.near_wrap),
                    1,
                ));
            }
            Step::Cut(short, at) => {
                now += u64::from(short.later_ms) * 1_000_000;
                frames = fragments(
                    &ends(short.connection),
                    &segment(short, shape.near_wrap),
                    1,
                    (*at).into(),
                );
            }
            Step::Raw(kind, bytes) => {
                link = [LinkType::ETHERNET, LinkType::RAW][usize::from(kind % 2)];
                frames.push(bytes.clone());
            }
            Step::Clock(ms) => {
                now += u64::from(*ms) * 1_000_000;
                flush(&mut cluster, &mut burst, &mut len, &mut hosts, &config);
                cluster.shards[0].handle_clock(Timestamp::from_nanos(now), &mut hosts[0]);
            }
        }
        for bytes in frames {
            burst.push(Timestamp::from_nanos(now), link, &bytes);
            len += 1;
            if len > usize::from(shape.burst % 64) {
                flush(&mut cluster, &mut burst, &mut len, &mut hosts, &config);
            }
        }
    }
    flush(&mut cluster, &mut burst, &mut len, &mut hosts, &config);
    cluster.finish(&mut hosts);
    hosts[0].check_at_rest(&cluster.shards[0]);
});

fn config(shape: &Shape) -> ShardConfig {
    let timeout = shape.timeout_ms.map(|ms| u64::from(ms) * 4_000_000);
    ShardConfig {
        flows_max: FLOWS_MAX,
        side_bytes_max: usize::from(shape.side_bytes),
        out_of_order_bytes_max: usize::from(shape.out_of_order_bytes.min(shape.side_bytes)),
        holes_max: usize::from(shape.holes % 8),
        buffered_bytes_max: usize::from(shape.buffered_blocks % 16) << 12,
        gap_grace_ns: u64::from(shape.grace_ms) * 1_000_000,
        timeouts: Timeouts {
            opening_ns: timeout,
            established_ns: timeout.map(|ns| ns * 2),
            closing_ns: timeout,
            closed_ns: timeout,
            datagram_ns: timeout,
        },
        profile: if shape.receiver {
            Profile::Receiver
        } else {
            Profile::Record
        },
        overlap: if shape.last_copy {
            OverlapPolicy::Last
        } else {
            OverlapPolicy::First
        },
        midstream: shape.midstream,
        ..ShardConfig::default()
    }
}

fn ends(connection: u8) -> Ends {
    let end = |net: u8, port| {
        let addr = if connection % 4 == 3 {
            Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, net.into()]).into()
        } else {
            Ipv4Addr::new(10, 0, 0, net).into()
        };
        Endpoint { addr, port }
    };
    Ends([end(1, 4000 + u16::from(connection % 4)), end(2, 80)])
}

fn segment(short: &Short, near_wrap: bool) -> Segment {
    let base: u32 = if near_wrap { u32::MAX - 100 } else { 1000 };
    let seq = base.wrapping_add(short.seq.into());
    let payload = match short.payload {
        Payload::None => Vec::new(),
        // A byte's value follows from its place, so that honest copies are equal.
        Payload::Honest(len) => (0..u32::from(len))
            .map(|at| seq.wrapping_add(at).to_le_bytes()[0])
            .collect(),
        Payload::Other(len) => vec![0xee; len.into()],
    };
    Segment {
        sender: if short.from_server {
            Side::Server
        } else {
            Side::Client
        },
        seq,
        ack: base.wrapping_add(short.ack.into()),
        flags: TcpFlags::from_bits_truncate(short.flags),
        window: u16::from(short.window) << 6,
        options: if short.options[0] == 0 {
            Vec::new()
        } else {
            short.options.to_vec()
        },
        payload,
    }
}

fn flush(
    cluster: &mut Cluster,
    burst: &mut Burst,
    len: &mut usize,
    hosts: &mut [Scribe; 1],
    config: &ShardConfig,
) {
    cluster.handle_burst(burst, hosts);
    hosts[0].end_burst();
    *burst = Burst::default();
    *len = 0;
    let shard = &cluster.shards[0];
    assert!(shard.flows() <= FLOWS_MAX);
    assert!(shard.buffered_bytes() <= config.buffered_bytes_max);
    let ingress = cluster.ingress();
    let counters = ingress.counters();
    assert_eq!(
        counters.received_frames,
        counters.packets + counters.fragments_absorbed + ingress.drops().sum()
    );
    assert_eq!(counters.packets, shard.counters().packets);
    assert_eq!(
        shard.counters().packets,
        shard.counters().consumed + shard.drops().sum()
    );
}
