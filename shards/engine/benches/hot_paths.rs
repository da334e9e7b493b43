//! Times of the hot structures, each as far as possible by itself: `cargo bench -p mosaic-engine`.
//!
//! | bench | a burst of 64 |
//! |---|---|
//! | `parse/plain` | Ethernet, IPv4 and TCP frames become packets |
//! | `lookup/1M flows` | bare acknowledgments of random flows out of a million |
//! | `stream/in order` | full segments of one flow, read at once |
//! | `stream/reordered` | the same, every eighth one late by one |

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mosaic_engine::actor::{ActorId, FlowContext, Host};
use mosaic_engine::event::{Event, EventSet, Hook};
use mosaic_engine::flow::{FlowKey, Proto, rss};
use mosaic_engine::shard::{Shard, ShardConfig, Timeouts};
use mosaic_engine::wire::{
    Buffer, Checksums, Encapsulation, Ingress, Packet, Parsed, TcpFlags, Transport, WireConfig,
};
use mosaic_port::memory::{MemoryCapture, MemoryPort};
use mosaic_port::{BURST_MAX, Batch, LinkType, Port, Timestamp};

const SERVER: u32 = 0xc0a8_0001;
const HEADERS: u32 = 54;
const SEGMENT: u32 = 1460;

/// Takes every byte it is offered.
struct Reader;

impl Host for Reader {
    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        if let Event::NewData(side) = event {
            let taken = flow.peek(side, |chunks| chunks.map(<[u8]>::len).sum());
            black_box(taken.is_ok());
        }
    }
}

fn shard() -> Shard {
    let mut shard = Shard::new(ShardConfig {
        timeouts: Timeouts::NEVER,
        ..ShardConfig::default()
    });
    let mut context = shard.start_actor(ActorId(0));
    context
        .monitor_stream(None)
        .on(Hook::End, EventSet::NEW_DATA)
        .open()
        .expect("a monitor socket");
    shard
}

/// A segment of `client`'s connection.
fn segment(client: u32, seq: u32, flags: TcpFlags, payload: u32) -> Packet {
    let (key, direction) = FlowKey::v4(client, SERVER, 40_000, 80, Proto::TCP, 0);
    Packet {
        key,
        direction,
        buffer: Buffer::Frame(0),
        link: LinkType::ETHERNET,
        encapsulation: 0,
        rss: rss::hash(&key),
        timestamp: Timestamp::from_nanos(1),
        clock: Timestamp::from_nanos(1),
        wire_len: HEADERS + payload,
        ip_at: 14,
        ip_len: HEADERS - 14 + payload,
        transport_at: 34,
        payload_at: HEADERS,
        payload_len: payload,
        payload_captured: payload,
        transport: Transport::Tcp {
            seq,
            ack: 1,
            window: 0xffff,
            flags,
            options_len: 0,
        },
        unfinished: false,
    }
}

fn handle(shard: &mut Shard, packets: &[Packet], frame: &[u8]) {
    let bytes = [frame; BURST_MAX];
    shard.handle_burst(
        packets,
        &bytes[..packets.len()],
        &[Encapsulation::default()],
        &mut Reader,
    );
}

fn parse(c: &mut Criterion) {
    // One frame as it is on the wire; checksums are not looked at.
    let mut frame = vec![0; (HEADERS + SEGMENT) as usize];
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..24].copy_from_slice(&[0x45, 0, 0x05, 0xdc, 0, 0, 0x40, 0, 64, 6]);
    frame[26..38].copy_from_slice(&[10, 0, 0, 1, 192, 168, 0, 1, 0x9c, 0x40, 0, 80]);
    frame[46..48].copy_from_slice(&[0x50, 0x10]);
    let frames = (0..BURST_MAX).map(|_| (Timestamp::ZERO, &frame));
    let capture = Arc::new(MemoryCapture::from_frames(LinkType::ETHERNET, frames));
    let mut port = MemoryPort::new(capture);
    let mut batch = <MemoryPort as Port>::Batch::default();
    port.rx_burst(&mut batch).expect("memory");
    let mut ingress = Ingress::new(WireConfig {
        checksums: Checksums::Ignore,
        ..WireConfig::default()
    });
    let mut parsed = Parsed::default();
    ingress.parse(&batch, &mut parsed);
    assert_eq!(parsed.packets.len(), batch.len(), "every frame is a packet");

    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(BURST_MAX as u64));
    group.bench_function("plain", |b| {
        b.iter(|| ingress.parse(black_box(&batch), &mut parsed))
    });
    group.finish();
}

fn lookup(c: &mut Criterion) {
    const FLOWS: u32 = 1_000_000;
    let mut shard = shard();
    let frame = [0; HEADERS as usize];
    let opening: Vec<Packet> = (0..FLOWS)
        .map(|flow| segment(flow, 0, TcpFlags::SYN, 0))
        .collect();
    opening
        .chunks(BURST_MAX)
        .for_each(|burst| handle(&mut shard, burst, &frame));
    assert_eq!(shard.flows(), FLOWS as usize);
    let mut random = 1_u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(random >> 40).expect("24 bits") % FLOWS
    };
    let packets: Vec<Packet> = (0..1 << 18)
        .map(|_| segment(next(), 1, TcpFlags::ACK, 0))
        .collect();
    let mut bursts = packets.chunks_exact(BURST_MAX).cycle();

    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(BURST_MAX as u64));
    group.bench_function("1M flows", |b| {
        b.iter(|| handle(&mut shard, bursts.next().expect("endless"), &frame));
    });
    group.finish();
}

fn stream(c: &mut Criterion) {
    let frame = [0; (HEADERS + SEGMENT) as usize];
    let mut group = c.benchmark_group("stream");
    group.throughput(Throughput::Bytes(u64::from(SEGMENT) * BURST_MAX as u64));
    for (name, late) in [("in order", false), ("reordered", true)] {
        let mut shard = shard();
        handle(&mut shard, &[segment(1, 0, TcpFlags::SYN, 0)], &frame);
        let mut burst = vec![segment(1, 1, TcpFlags::ACK, SEGMENT); BURST_MAX];
        let mut next = 1_u32;
        group.bench_function(name, |b| {
            b.iter(|| {
                for packet in &mut burst {
                    let Transport::Tcp { seq, .. } = &mut packet.transport else {
                        continue;
                    };
                    *seq = next;
                    next = next.wrapping_add(SEGMENT);
                }
                if late {
                    burst.chunks_exact_mut(8).for_each(|eight| eight.swap(6, 7));
                }
                handle(&mut shard, &burst, &frame);
            });
        });
        assert_eq!(shard.counters().gap_bytes, 0, "nothing is missing");
    }
    group.finish();
}

criterion_group!(benches, parse, lookup, stream);
criterion_main!(benches);
