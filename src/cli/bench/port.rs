//! `mosaic bench port`: what one core gets out of a port, stage by stage.
//!
//! The traffic is the plainest there is: frames of 64 bytes, each a bare acknowledgment of one of so many open TCP
//! connections, both ways in turn, over and over. From `memory`, from the device `pcap` (`net_pcap` with
//! `infinite_rx`, which copies every frame) and from `ring` (two `net_ring`, which hand pointers over; each frame is sent on
//! to the other after it was looked at) come the same frames, so that what the device costs can be told from what tracking
//! costs; other devices bring what they bring.

use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, Table, presets};
use mosaic_engine::shard::ShardConfig;
use mosaic_engine::wire::{Checksums, Ingress, Parsed, WireConfig};
use mosaic_port::memory::{MemoryCapture, MemoryPort};
use mosaic_port::{Batch, LinkType, Port, PortError, Received, Timestamp};
use mosaic_runtime::{LocalShard, OnPanic, clock};
use serde::Serialize;

use super::load::SharedTally;
use super::report::{Spread, per_second};
use super::{BenchError, Load};

/// Bursts between two looks at the clock.
const TURNS: u32 = 1024;

/// Drive one shard with a port, stage by stage
///
/// Prints millions of packets a second of one core: for the port alone (receive, give back), with parsing, and with
/// tracking of flows and an actor. From memory, pcap and ring come the same frames of 64 bytes.
#[derive(Debug, clap::Args)]
pub(super) struct PortArgs {
    /// memory, pcap (net_pcap that repeats frames without end), ring (frames that go round two of net_ring), or a device as
    /// DPDK names it: net_null0,size=64
    #[arg(value_name = "SOURCE")]
    source: String,

    /// TCP connections that the frames of memory, pcap and ring belong to (a ring has room for 500)
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=2000))]
    flows: u32,

    /// Length of one measurement, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,

    /// Number of measurements of each stage, in turn, after one that warms up
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// What is done with each flow, as for replay
    #[arg(long, value_name = "ACTOR", default_value_t = Load::Read)]
    actor: Load,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How far frames go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Receive,
    Parse,
    Track,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Receive, Self::Parse, Self::Track];

    fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Parse => "parse",
            Self::Track => "track",
        }
    }
}

/// One result of `mosaic bench port`.
#[derive(Debug, Serialize)]
struct PortReport {
    source: String,
    actor: String,
    repeats: u32,
    /// Millions of packets a second, by stage.
    mpps: Vec<(&'static str, Spread)>,
}

/// Runs it; the text of the report.
pub(super) fn run(args: &PortArgs) -> Result<String, BenchError> {
    let frames = acknowledgments(args.flows);
    let mpps = match args.source.as_str() {
        "memory" => {
            let capture = MemoryCapture::from_frames(LinkType::ETHERNET, frames);
            let port = MemoryPort::new(capture.into());
            measure_all(args, port, &Handling::of_source(MemoryPort::rewind))?
        }
        source => super::device::measure(args, source, &frames)?,
    };
    let report = PortReport {
        source: args.source.clone(),
        actor: args.actor.to_string(),
        repeats: args.repeat,
        mpps,
    };
    Ok(if args.json {
        serde_json::to_string(&report)?
    } else {
        report.to_table()
    })
}

impl PortReport {
    fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["Mpackets/s", "min", "median", "max"]);
        for (stage, spread) in &self.mpps {
            let figures = [spread.min, spread.median, spread.max].map(|mpps| format!("{mpps:.2}"));
            let [min, median, max] = figures;
            table.add_row([(*stage).to_owned(), min, median, max]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        format!(
            "{}: one core; {} repeats after one warm-up; actor {}\n{table}",
            self.source, self.repeats, self.actor
        )
    }
}

/// What a measurement does with its port.
pub(super) struct Handling<P: Port> {
    /// Called at the end of a port that has one.
    pub(super) again: fn(&mut P),
    /// Ends a burst.
    pub(super) end: fn(&mut P, &mut P::Batch),
}

impl<P: Port> Handling<P> {
    /// Of a port that frames come from: they are given back.
    pub(super) fn of_source(again: fn(&mut P)) -> Self {
        Self {
            again,
            end: |_, batch| batch.clear(),
        }
    }
}

/// Every stage in turn, as often as asked.
pub(super) fn measure_all<P: Port>(
    args: &PortArgs,
    mut port: P,
    handling: &Handling<P>,
) -> Result<Vec<(&'static str, Spread)>, BenchError> {
    let length = Duration::from_secs_f64(args.seconds.clamp(0.01, 60.0));
    let wire = WireConfig {
        checksums: Checksums::Ignore,
        ..WireConfig::default()
    };
    let tally = SharedTally::default();
    let actors = super::actors(args.actor, None, &tally);
    let config = ShardConfig {
        prefault: true,
        ..ShardConfig::default()
    };
    let mut shard = LocalShard::new(wire.clone(), config, &actors, OnPanic::Forward)?;
    let (mut ingress, mut parsed) = (Ingress::new(wire), Parsed::default());
    let mut results = Stage::ALL.map(|_| Vec::new());
    for repeat in 0..=args.repeat {
        for (stage, results) in Stage::ALL.into_iter().zip(&mut results) {
            let packets_and_time = measure(&mut port, handling, length, |batch| match stage {
                Stage::Receive => {}
                Stage::Parse => ingress.parse(batch, &mut parsed),
                Stage::Track => {
                    batch.stamp(clock::now());
                    shard.watch_burst(batch);
                }
            })?;
            if repeat > 0 {
                let (packets, time) = packets_and_time;
                results.push(per_second(packets, time) / 1e6);
            }
        }
    }
    let spreads = results.map(Spread::of);
    Ok(Stage::ALL
        .map(Stage::name)
        .into_iter()
        .zip(spreads)
        .collect())
}

/// Receives for some time, and has `look` look at each burst; packets and time.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn measure<P: Port>(
    port: &mut P,
    handling: &Handling<P>,
    length: Duration,
    mut look: impl FnMut(&mut P::Batch),
) -> Result<(u64, Duration), PortError> {
    let mut batch = P::Batch::default();
    let (began, mut packets) = (Instant::now(), 0);
    loop {
        for _ in 0..TURNS {
            match port.rx_burst(&mut batch)? {
                Received::Frames => {
                    packets += batch.len() as u64;
                    look(&mut batch);
                    (handling.end)(port, &mut batch);
                }
                Received::Idle => {}
                Received::End => (handling.again)(port),
            }
        }
        let elapsed = began.elapsed();
        if elapsed >= length {
            return Ok((packets, elapsed));
        }
    }
}

/// A bare acknowledgment each way of `flows` connections, in frames of 64 bytes (with the padding that Ethernet wants).
pub(super) fn acknowledgments(flows: u32) -> Vec<(Timestamp, [u8; 64])> {
    let frame = |flow: u32, from_client: bool| {
        let mut frame = [0; 64];
        frame[12..16].copy_from_slice(&[0x08, 0x00, 0x45, 0]);
        frame[16..18].copy_from_slice(&40_u16.to_be_bytes());
        (frame[22], frame[23]) = (64, 6);
        let (client, server) = (0x0a00_0001 + flow, 0xc0a8_0001_u32);
        let (ends, ports) = if from_client {
            ([client, server], [40_000_u16, 80])
        } else {
            ([server, client], [80, 40_000])
        };
        frame[26..30].copy_from_slice(&ends[0].to_be_bytes());
        frame[30..34].copy_from_slice(&ends[1].to_be_bytes());
        frame[34..36].copy_from_slice(&ports[0].to_be_bytes());
        frame[36..38].copy_from_slice(&ports[1].to_be_bytes());
        frame[38..42].copy_from_slice(&1000_u32.to_be_bytes());
        frame[42..46].copy_from_slice(&1000_u32.to_be_bytes());
        (frame[46], frame[47]) = (0x50, 0x10);
        frame[48..50].copy_from_slice(&0xffff_u16.to_be_bytes());
        (Timestamp::from_nanos(1_000_000_000), frame)
    };
    (0..flows)
        .flat_map(|flow| [frame(flow, true), frame(flow, false)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mosaic_engine::wire::Transport;

    #[test]
    fn frames_are_acknowledgments_of_as_many_flows() {
        let frames = acknowledgments(3);
        let capture = MemoryCapture::from_frames(LinkType::ETHERNET, frames);
        let mut port = MemoryPort::new(capture.into());
        let mut batch = <MemoryPort as Port>::Batch::default();
        let _ = port.rx_burst(&mut batch);
        let mut parsed = Parsed::default();
        Ingress::new(WireConfig {
            checksums: Checksums::Ignore,
            ..WireConfig::default()
        })
        .parse(&batch, &mut parsed);
        let mut keys: Vec<_> = parsed.packets.iter().map(|packet| packet.key).collect();
        assert_eq!(keys.len(), 6);
        keys.dedup();
        assert_eq!(keys.len(), 3);
        let bare = |transport: &Transport| {
            matches!(
                transport,
                Transport::Tcp {
                    options_len: 0,
                    window: 0xffff,
                    ..
                }
            )
        };
        assert!(
            parsed
                .packets
                .iter()
                .all(|p| bare(&p.transport) && p.payload_len == 0)
        );
    }
}
