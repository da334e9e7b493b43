//! What idle flows cost: a million of them, measured as the memory of a process.

use mosaic_engine::actor::{ActorId, Host};
use mosaic_engine::event::{EventSet, Hook};
use mosaic_engine::flow::{FlowKey, IDLE_FLOW_BYTES, Proto, rss};
use mosaic_engine::shard::{Shard, ShardConfig};
use mosaic_engine::wire::{Buffer, Encapsulation, Packet, TcpFlags, Transport};
use mosaic_port::{LinkType, Timestamp};

const FLOWS: u32 = 1_000_000;

struct Nobody;

impl Host for Nobody {}

/// Segment `step` of a handshake and one byte of data, of connection `flow`.
fn segment(flow: u32, step: u32) -> Packet {
    let (client, server) = ((0x0a00_0000 + flow, 40_000), (0xc0a8_0001, 80));
    let from_server = step == 1;
    let (src, dst) = if from_server {
        (server, client)
    } else {
        (client, server)
    };
    let (key, direction) = FlowKey::v4(src.0, dst.0, src.1, dst.1, Proto::TCP, 0);
    let (seq, ack, flags) = match step {
        0 => (100, 0, TcpFlags::SYN),
        1 => (200, 101, TcpFlags::SYN | TcpFlags::ACK),
        _ => (101, 201, TcpFlags::ACK),
    };
    let len = u32::from(step == 3);
    Packet {
        key,
        direction,
        buffer: Buffer::Frame(0),
        link: LinkType::ETHERNET,
        encapsulation: 0,
        rss: rss::hash(&key),
        timestamp: Timestamp::from_nanos(1),
        clock: Timestamp::from_nanos(1),
        wire_len: 55,
        ip_at: 14,
        ip_len: 40 + len,
        transport_at: 34,
        payload_at: 54,
        payload_len: len,
        payload_captured: len,
        transport: Transport::Tcp {
            seq,
            ack,
            window: 1000,
            flags,
            options_len: 0,
        },
        unfinished: false,
    }
}

/// Resident memory of this process in bytes.
fn resident_bytes() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(
        kib.trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<usize>()
            .ok()?
            * 1024,
    )
}

#[test]
fn a_million_idle_flows_take_less_than_a_gigabyte() {
    let Some(before) = resident_bytes() else {
        eprintln!("skipped: this system does not tell resident memory in /proc/self/status");
        return;
    };
    let mut shard = Shard::new(ShardConfig::default());
    let mut start = shard.start_actor(ActorId(0));
    let monitor = start
        .monitor_stream(None)
        .on(Hook::End, EventSet::CONN_START | EventSet::CONN_END);
    monitor.open().expect("the pool is empty");
    let buffer = [0_u8; 55];
    for flow in 0..FLOWS {
        let packets = [0, 1, 2, 3].map(|step| segment(flow, step));
        shard.handle_burst(
            &packets,
            &[&buffer[..]; 4],
            &[Encapsulation::default()],
            &mut Nobody,
        );
    }
    assert_eq!(shard.flows(), FLOWS as usize);
    assert_eq!(
        shard.buffered_bytes(),
        0,
        "nobody reads, so nothing is kept"
    );
    let gained = resident_bytes()
        .unwrap_or(usize::MAX)
        .saturating_sub(before);
    let each = gained / FLOWS as usize;
    eprintln!("{each} bytes a flow resident, {IDLE_FLOW_BYTES} by their sizes");
    assert!(gained < 1_000_000_000, "{gained} bytes for {FLOWS} flows");
    assert!(each <= 512, "{each} bytes a flow");
}
