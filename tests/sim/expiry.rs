//! When flows end for want of packets.

use std::net::Ipv4Addr;

use mosaic_engine::event::{EndReason, Side};
use mosaic_engine::flow::Endpoint;
use mosaic_engine::shard::{ShardConfig, Timeouts};
use mosaic_engine::wire::TcpFlags;
use mosaic_port::Timestamp;
use mosaic_sim::{Ends, RecordedFrame, Segment, frame};

use super::*;

const SECOND: u64 = 1_000_000_000;
const TIMEOUT: u64 = 30 * SECOND;

fn ends(host: u8) -> Ends {
    let end = |net, port| Endpoint {
        addr: Ipv4Addr::new(10, net, 0, host).into(),
        port,
    };
    Ends([end(1, 4000), end(2, 80)])
}

/// A bare acknowledgment, or a byte of data at `seq`.
fn packet(host: u8, at: u64, flags: TcpFlags, seq: u32) -> RecordedFrame {
    let payload = if flags.contains(TcpFlags::PSH) {
        vec![1]
    } else {
        Vec::new()
    };
    let segment = Segment {
        sender: Side::Client,
        seq,
        ack: 1,
        flags,
        window: 1000,
        options: Vec::new(),
        payload,
    };
    RecordedFrame {
        timestamp: Timestamp::from_nanos(at),
        bytes: frame(&ends(host), &segment, 0),
    }
}

fn config() -> ShardConfig {
    let timeouts = Timeouts {
        opening_ns: Some(TIMEOUT),
        established_ns: Some(TIMEOUT),
        closing_ns: Some(TIMEOUT),
        closed_ns: Some(TIMEOUT),
        datagram_ns: Some(TIMEOUT),
    };
    ShardConfig {
        timeouts,
        flows_max: 256,
        ..patient()
    }
}

/// A hundred flows fall silent one after the other while another one keeps talking.
#[test]
fn a_busy_flow_never_delays_the_expiry_of_others() {
    let mut cluster = Cluster::new(1, WireConfig::default(), &config());
    let mut recorders = [Recorder::start(
        &mut cluster.shards[0],
        &[Appetite::Everything],
    )];
    let last = |host: u64| (1 + host % 10) * SECOND + host * 1000;
    let mut frames: Vec<RecordedFrame> = (1..=100)
        .map(|host| packet(host, last(host.into()), TcpFlags::ACK | TcpFlags::PSH, 5))
        .collect();
    for second in 0..600_u32 {
        let at = SECOND + u64::from(second) * SECOND / 2;
        frames.push(packet(200, at, TcpFlags::ACK | TcpFlags::PSH, second));
    }
    frames.sort_by_key(|frame| frame.timestamp);
    for frame in &frames {
        let now = frame.timestamp.as_nanos();
        cluster.handle_frames(std::slice::from_ref(frame), || 1, &mut recorders);
        recorders[0].end_burst();
        let due = (1..=100)
            .filter(|host| last(*host) + TIMEOUT + 2 * SECOND < now)
            .count();
        let early = (1..=100)
            .filter(|host| last(*host) + TIMEOUT <= now)
            .count();
        let removed = recorders[0].removed.len();
        assert!(
            (due..=early).contains(&removed),
            "{removed} of {due} to {early} flows removed at {now}"
        );
    }
    assert_eq!(recorders[0].removed.len(), 100);
    assert!(
        recorders[0]
            .of(0)
            .all(|log| log.end() == Some(EndReason::Timeout))
    );
    assert_eq!(cluster.shards[0].flows(), 1);
}

/// A packet after the timeout begins another flow, whether the wheel was there first or not.
#[test]
fn a_late_packet_begins_a_new_flow() {
    for pause in [TIMEOUT - 1, TIMEOUT + SECOND, 10 * TIMEOUT] {
        let frames = [
            packet(1, SECOND, TcpFlags::ACK | TcpFlags::PSH, 5),
            packet(1, SECOND + pause, TcpFlags::ACK | TcpFlags::PSH, 6),
        ];
        let mut cluster = Cluster::new(1, WireConfig::default(), &config());
        let mut recorders = [Recorder::start(
            &mut cluster.shards[0],
            &[Appetite::Everything],
        )];
        for frame in &frames {
            cluster.handle_frames(std::slice::from_ref(frame), || 1, &mut recorders);
            recorders[0].end_burst();
        }
        cluster.finish(&mut recorders);
        let ends: Vec<_> = recorders[0].of(0).map(reader::FlowLog::end).collect();
        if pause < TIMEOUT {
            assert_eq!(ends, [Some(EndReason::SourceEnd)]);
        } else {
            assert_eq!(ends, [Some(EndReason::Timeout), Some(EndReason::SourceEnd)]);
        }
    }
}

/// Time without packets removes flows as well, and repeated calls reclaim every one of them.
#[test]
fn the_clock_alone_removes_flows() {
    let mut cluster = Cluster::new(1, WireConfig::default(), &config());
    let mut recorders = [Recorder::start(
        &mut cluster.shards[0],
        &[Appetite::Everything],
    )];
    let frames: Vec<_> = (1..=100)
        .map(|host| packet(host, SECOND, TcpFlags::SYN, 5))
        .collect();
    cluster.handle_frames(&frames, || 64, &mut recorders);
    assert_eq!(cluster.shards[0].flows(), 100);
    for _ in 0..1000 {
        let now = Timestamp::from_nanos(SECOND + TIMEOUT + 2 * SECOND);
        cluster.shards[0].handle_clock(now, &mut recorders[0]);
    }
    assert_eq!(cluster.shards[0].flows(), 0);
    assert!(
        recorders[0]
            .of(0)
            .all(|log| log.end() == Some(EndReason::Timeout))
    );
}
