//! `mosaic bench`: how fast a shard is.
//!
//! `bench replay` loads a capture into memory, indexes it, and drives shards with it, each on a thread of its own, by
//! the same code as the poll loop of `mosaic replay`: receive a burst, parse it, handle it. What is timed begins before
//! the first burst and ends after the last; making the shards, and ending the flows that are left, is not part of it.
//! With several shards the frames are dealt out beforehand to the shard that owns their flow, as a network card with
//! receive-side scaling does, so that no time goes into a reader or into handing over.
//!
//! Flows are tracked with the profile `record`, unless told otherwise, and the default bounds, divided over the shards. In the repeats that are
//! reported, the memory of the flow table is put in place before the first packet; in the warm-up it is not, so that what
//! the process gains there is what its flows take.

#[cfg_attr(not(feature = "dpdk"), path = "bench/no_device.rs")]
mod device;
mod events;
mod load;
mod port;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use mosaic_engine::event::{EventSet, Filter};
use mosaic_engine::flow::rss::Owners;
use mosaic_engine::shard::{Profile, ShardConfig};
use mosaic_engine::wire::{Buffer, Ingress, Parsed, WireConfig};
use mosaic_port::memory::{MemoryCapture, MemoryPort};
use mosaic_port::{Batch, Port, PortError, Received};
use mosaic_runtime::{ActorSpec, LocalShard, OnPanic, RuntimeError, ShardSnapshot, clock};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::config::Plan;
use crate::config::words::{self, Checksums};
use load::{Counter, Idle, Load, Reader, SharedTally, Tally};
use report::{Report, ShardReport, Spread, nanos_each, per_second};

/// Measure how fast shards are
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    Replay(ReplayArgs),
    Port(port::PortArgs),
    Events(events::EventsArgs),
}

/// Drive shards with a capture that lies in memory
///
/// Prints nanoseconds for each packet: the processor time, user and system, of the shards' threads from the first packet
/// to the end of the last delivery, and the time that elapsed. Flows are tracked as by replay with its defaults, on fresh
/// shards in each repeat, whose flow tables have their memory in place from the start (replay takes it as flows come);
/// what is left of the flows after the last packet ends outside the time taken.
#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// Capture, pcap or pcapng
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Number of shards, 1 to 128, each on a thread of its own; pinned to a core each where there are enough
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=128))]
    shards: u16,

    /// Number of repeats, after a first one that warms up and is not reported
    #[arg(long, value_name = "R", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// What is done with each flow: none, count, read, touch or window:BYTES
    ///
    /// none: nobody listens; count: count events; read: take every byte and look at lengths only; touch: read every
    /// byte as well; window:BYTES: read, keep the last BYTES of each side, and look back into them.
    #[arg(long, value_name = "ACTOR", default_value_t = Load::Read)]
    actor: Load,

    /// Watch only flows that pass this pcap-filter expression (asked on the packet that opens a flow)
    #[arg(long, value_name = "EXPRESSION", value_parser = crate::filter::flows)]
    filter: Option<Filter>,

    /// What is done about IPv4, TCP and UDP checksums
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Checksums::Ignore)]
    checksums: Checksums,

    /// Which segments may add bytes to a stream
    #[arg(long, value_enum, value_name = "PROFILE", default_value_t = words::Profile::Record)]
    profile: words::Profile,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error(transparent)]
    Capture(#[from] PortError),
    #[cfg(feature = "dpdk")]
    #[error(transparent)]
    Dpdk(#[from] mosaic_dpdk::Error),
    #[cfg(feature = "dpdk")]
    #[error("the device has no queue left")]
    NoQueue,
    #[cfg(feature = "dpdk")]
    #[error("a ring has no room for more than {0} frames")]
    RingFull(u64),
    #[cfg(not(feature = "dpdk"))]
    #[error(
        "{0}: this mosaic was built without DPDK, which devices need: build with `--features dpdk`"
    )]
    NoDpdk(String),
    #[error("{}: holds no packets", .0.display())]
    Empty(PathBuf),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("the thread of a shard failed: a defect of mosaic, please report it")]
    Thread,
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
    #[error("standard output: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs `mosaic bench`.
///
/// # Errors
/// [`BenchError`].
pub(crate) fn run(args: BenchArgs) -> Result<(), BenchError> {
    let text = match args.command {
        BenchCommand::Replay(args) => replay(&args)?,
        BenchCommand::Port(args) => port::run(&args)?,
        BenchCommand::Events(args) => events::run(&args)?,
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// Runs `mosaic bench replay`; the text of the report.
fn replay(args: &ReplayArgs) -> Result<String, BenchError> {
    let mut bench = Bench::load(args)?;
    // The memory that flows take shows only while it is taken page by page; times are better taken without that.
    let warm_up = bench.repeat()?;
    bench.shard.prefault = true;
    let repeats = (0..args.repeat)
        .map(|_| bench.repeat())
        .collect::<Result<Vec<_>, _>>()?;
    let report = bench.report(args, &warm_up, &repeats);
    Ok(if args.json {
        serde_json::to_string(&report)?
    } else {
        report.to_table()
    })
}

/// A capture in memory, dealt out to shards.
struct Bench {
    ports: Vec<MemoryPort>,
    wire: WireConfig,
    shard: ShardConfig,
    load: Load,
    filter: Option<Filter>,
    /// The core of each shard; empty where there are fewer cores than shards.
    cores: Vec<usize>,
}

/// One pass over the capture.
struct Repeat {
    shards: Vec<Outcome>,
    /// Resident memory gained while it ran, in bytes, with the flows still in the tables.
    memory_gained: u64,
}

/// What one shard did.
struct Outcome {
    cpu: Duration,
    wall: Duration,
    /// At the end of the time taken.
    snapshot: ShardSnapshot,
    /// At the end of the flows.
    tally: Tally,
}

impl Bench {
    fn load(args: &ReplayArgs) -> Result<Self, BenchError> {
        let (capture, damage) = MemoryCapture::load(&args.file)?;
        if let Some(damage) = damage {
            return Err(damage.into());
        }
        if capture.is_empty() {
            return Err(BenchError::Empty(args.file.clone()));
        }
        let Plan {
            mut wire,
            mut shard,
            ..
        } = Plan::default();
        wire.checksums = args.checksums.into();
        shard.profile = args.profile.into();
        let shards = usize::from(args.shards);
        let ports = deal_out(capture, args.shards, &wire)?;
        shard.flows_max = shard.flows_max.div_ceil(shards);
        shard.buffered_bytes_max = shard.buffered_bytes_max.div_ceil(shards);
        let mut cores = allowed_cores();
        cores.truncate(shards);
        if cores.len() < shards {
            cores.clear();
        }
        Ok(Self {
            ports,
            wire,
            shard,
            load: args.actor,
            filter: args.filter.clone(),
            cores,
        })
    }

    /// Runs every shard over its frames, all at the same time.
    fn repeat(&mut self) -> Result<Repeat, BenchError> {
        let cores = &self.cores;
        let memory_before = resident_bytes();
        let phase = Barrier::new(self.ports.len() + 1);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..)
                .zip(&mut self.ports)
                .map(|(number, port)| {
                    let core = cores.get(usize::from(number)).copied();
                    let config = ShardConfig {
                        shard: number,
                        ..self.shard.clone()
                    };
                    let total = SharedTally::default();
                    let actors = actors(self.load, self.filter.as_ref(), &total);
                    let (wire, phase) = (self.wire.clone(), &phase);
                    scope.spawn(move || {
                        let make = || LocalShard::new(wire, config, &actors, OnPanic::Forward);
                        run_shard(port, make, &total, core, phase)
                    })
                })
                .collect();
            phase.wait(); // every shard is made
            phase.wait(); // every shard has processed its last burst
            let memory_gained = resident_bytes().saturating_sub(memory_before);
            phase.wait(); // the flows may end
            let outcomes = threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| BenchError::Thread)?);
            Ok(Repeat {
                shards: outcomes.collect::<Result<_, _>>()?,
                memory_gained,
            })
        })
    }

    fn report(&self, args: &ReplayArgs, warm_up: &Repeat, repeats: &[Repeat]) -> Report {
        let frames = || self.ports.iter().flat_map(|port| port.capture().frames());
        let packets = frames().count() as u64;
        let wire_bytes: u64 = frames().map(|frame| u64::from(frame.wire_len)).sum();
        // What is seen is the same in every repeat; only times differ.
        let last = repeats.last().unwrap_or(warm_up);
        let sum = |what: fn(&Outcome) -> u64| last.shards.iter().map(what).sum::<u64>();
        // Packets are counted as such.
        let events = sum(|shard| {
            let events = &shard.snapshot.events;
            events.iter().sum::<u64>()
                - events[EventSet::PACKET_IN.bits().trailing_zeros() as usize]
        });
        let flows = warm_up
            .shards
            .iter()
            .map(|shard| shard.snapshot.flows as u64)
            .sum();
        let each = |what: &dyn Fn(&Repeat) -> f64| Spread::of(repeats.iter().map(what));
        Report {
            file: args.file.display().to_string(),
            actor: self.load.to_string(),
            checksums: args
                .checksums
                .to_possible_value()
                .map_or_else(String::new, |word| word.get_name().to_owned()),
            profile: match self.shard.profile {
                Profile::Record => "record",
                Profile::Receiver => "receiver",
            },
            shards: args.shards,
            pinned: !self.cores.is_empty(),
            repeats: args.repeat,
            packets,
            wire_bytes,
            connections: sum(|shard| shard.snapshot.counters.flows_started),
            events,
            payload_bytes: sum(|shard| shard.tally.payload_bytes),
            lost_bytes: sum(|shard| shard.tally.lost_bytes),
            copied_bytes: sum(|shard| shard.snapshot.counters.copied_bytes),
            window_misses: sum(|shard| shard.tally.window_misses),
            ns_per_packet: each(&|repeat| nanos_each(repeat.cpu(), packets)),
            wall_ns_per_packet: each(&|repeat| nanos_each(repeat.wall(), packets)),
            mpps: each(&|repeat| per_second(packets, repeat.wall()) / 1e6),
            gbit_per_second: each(&|repeat| per_second(wire_bytes * 8, repeat.wall()) / 1e9),
            events_per_second: each(&|repeat| per_second(events, repeat.wall())),
            bytes_per_flow: (flows > 0)
                .then(|| report::float(warm_up.memory_gained) / report::float(flows)),
            per_shard: self.shard_reports(repeats),
        }
    }

    fn shard_reports(&self, repeats: &[Repeat]) -> Vec<ShardReport> {
        let Some(last) = repeats.last() else {
            return Vec::new();
        };
        let parts = self.ports.iter().zip(&last.shards).enumerate();
        parts
            .map(|(number, (port, outcome))| {
                let packets = port.capture().len() as u64;
                let each = |what: fn(&Outcome) -> Duration| {
                    Spread::of(
                        repeats
                            .iter()
                            .map(|repeat| nanos_each(what(&repeat.shards[number]), packets)),
                    )
                };
                ShardReport {
                    shard: outcome.snapshot.shard,
                    packets,
                    connections: outcome.snapshot.counters.flows_started,
                    payload_bytes: outcome.tally.payload_bytes,
                    ns_per_packet: each(|outcome| outcome.cpu),
                    wall_ns_per_packet: each(|outcome| outcome.wall),
                }
            })
            .collect()
    }
}

impl Repeat {
    /// Of all shards.
    fn cpu(&self) -> Duration {
        self.shards.iter().map(|shard| shard.cpu).sum()
    }

    /// Of the slowest shard.
    fn wall(&self) -> Duration {
        self.shards
            .iter()
            .map(|shard| shard.wall)
            .max()
            .unwrap_or_default()
    }
}

/// Deals the frames out to the shards that own their flows. What carries no packet of its own goes to shard 0: frames
/// that are dropped, and all fragments of a datagram but the one that completes it. With several shards such a datagram is therefore
/// not put together; traces for benchmarks have none.
fn deal_out(
    capture: MemoryCapture,
    shards: u16,
    wire: &WireConfig,
) -> Result<Vec<MemoryPort>, PortError> {
    let capture = Arc::new(capture);
    let mut port = MemoryPort::new(Arc::clone(&capture));
    if shards == 1 {
        return Ok(vec![port]);
    }
    let owners = Owners::new(shards);
    let mut ingress = Ingress::new(wire.clone());
    let (mut batch, mut parsed) = (<MemoryPort as Port>::Batch::default(), Parsed::default());
    let mut owner_of_frame = Vec::with_capacity(capture.len());
    while port.rx_burst(&mut batch)? == Received::Frames {
        let begin = owner_of_frame.len();
        owner_of_frame.resize(begin + batch.len(), 0);
        ingress.parse(&batch, &mut parsed);
        for packet in &parsed.packets {
            if let Buffer::Frame(index) = packet.buffer {
                owner_of_frame[begin + usize::from(index)] = owners.owner(packet.rss);
            }
        }
        batch.clear();
    }
    let mut owner_of_frame = owner_of_frame.into_iter();
    Ok(capture.partition(usize::from(shards), |_| {
        usize::from(owner_of_frame.next().unwrap_or(0))
    }))
}

/// The thread of one shard. `phase` is passed three times whatever happens, so that nobody waits for a shard that failed.
fn run_shard(
    port: &mut MemoryPort,
    make: impl FnOnce() -> Result<LocalShard, RuntimeError>,
    total: &SharedTally,
    core: Option<usize>,
    phase: &Barrier,
) -> Result<Outcome, BenchError> {
    if let Some(core) = core {
        pin(core);
    }
    let made = make();
    phase.wait();
    let driven = made.map_err(BenchError::from).and_then(|mut shard| {
        let (cpu, wall) = drive(&mut shard, port)?;
        let snapshot = shard.snapshot();
        Ok((
            shard,
            Outcome {
                cpu,
                wall,
                snapshot,
                tally: Tally::default(),
            },
        ))
    });
    phase.wait();
    phase.wait();
    let (mut shard, mut outcome) = driven?;
    shard.finish();
    outcome.tally = load::read(total);
    Ok(outcome)
}

/// What is measured: the poll loop of a shard without its waiting. Returns processor time and elapsed time.
fn drive(shard: &mut LocalShard, port: &mut MemoryPort) -> Result<(Duration, Duration), PortError> {
    port.rewind();
    let mut batch = <MemoryPort as Port>::Batch::default();
    let (cpu, wall) = (clock::thread_cpu_time(), clock::monotonic());
    while port.rx_burst(&mut batch)? == Received::Frames {
        shard.run_burst(&mut batch);
    }
    Ok((clock::thread_cpu_time() - cpu, clock::monotonic() - wall))
}

fn actors(load: Load, filter: Option<&Filter>, total: &SharedTally) -> Vec<ActorSpec> {
    let (filter, total) = (filter.cloned(), Arc::clone(total));
    let actor = match load {
        Load::None => ActorSpec::new("none", move |_| Idle {
            filter: filter.clone(),
        }),
        Load::Count => ActorSpec::new("count", move |_| {
            Counter::new(filter.clone(), Arc::clone(&total))
        }),
        Load::Read | Load::Touch | Load::Window(_) => ActorSpec::new("read", move |_| {
            Reader::new(load, filter.clone(), Arc::clone(&total))
        }),
    };
    vec![actor]
}

/// Cores this process may use. None where that cannot be told: then nothing is pinned.
fn allowed_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}

/// Keeps the calling thread on `core`. Where that is refused, the measurement is only noisier.
fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Resident memory of this process in bytes; 0 where it cannot be told.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
