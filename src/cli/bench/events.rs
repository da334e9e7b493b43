//! `mosaic bench events`: what events and subscriptions cost.
//!
//! A shard with so many open TCP connections gets a bare acknowledgment of each, again and again. What is measured is the
//! difference that something makes: two shards, or one in two modes, take the same packets in alternation, and the middle of
//! the differences is reported, so that what the machine does besides weighs as little as it can.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use mosaic_engine::actor::{Actor, FlowContext, PacketView, ShardContext, StartError};
use mosaic_engine::event::{Event, EventSet, Hook, Topic, UserEventId, Verdict};
use mosaic_engine::flow::IDLE_FLOW_BYTES;
use mosaic_engine::shard::ShardConfig;
use mosaic_engine::wire::{Checksums, WireConfig};
use mosaic_port::LinkType;
use mosaic_port::memory::{MemoryCapture, MemoryPort};
use mosaic_runtime::{ActorSpec, LocalShard, OnPanic};
use serde::Serialize;

use super::port::acknowledgments;
use super::report::{Spread, float};
use super::{BenchError, drive, resident_bytes};

/// Measure what events and subscriptions cost
///
/// Prints nanoseconds of processor time: for changing what is asked of one flow, among many; and what one packet costs
/// more than without, for each number of subscribers and of user-defined events. Medians of paired, alternating passes over
/// the flows.
#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    /// Live flows
    #[arg(long, value_name = "N", default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    flows: u32,

    /// Number of pairs of passes, after one that warms up
    #[arg(long, value_name = "R", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,

    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// User-defined events in the largest setups.
const MANY: u16 = 1000;

/// What the actors of a shard do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Setup {
    /// So many actors get every packet at `Send`.
    Subscribers(u8),
    /// One actor asks for so many events, each with a predicate that says no, of so many that are defined.
    Predicates { defined: u16, asked: u16 },
    /// One actor asks for so many events that one predicate raises, one at each packet.
    Group(u16),
    /// One actor gets every packet at `Send` and changes what it asks of its flow, in one of so many ways.
    Changes(u16),
}

impl Setup {
    fn actors(self) -> u8 {
        match self {
            Self::Subscribers(actors) => actors,
            _ => 1,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Subscribers(1) => "packet told to 1 actor".into(),
            Self::Subscribers(actors) => format!("packet told to {actors} actors"),
            Self::Predicates { defined, asked } => {
                format!("{defined} events defined, {asked} predicates asked")
            }
            Self::Group(events) => format!("1 predicate raises 1 of {events} events asked for"),
            Self::Changes(1) => "change of one flow, all alike".into(),
            Self::Changes(ways) => format!("change of one flow, {ways} ways"),
        }
    }
}

/// What the actor that changes subscriptions does at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Rest = 0,
    Subscribe = 1,
    Unsubscribe = 2,
}

/// An actor of a shard that is measured.
struct Subject {
    setup: Setup,
    mode: Arc<AtomicU8>,
    events: Vec<UserEventId>,
    calls: u64,
}

impl Subject {
    /// Defines events; returns those that are asked for.
    fn define(&self, shard: &mut ShardContext<'_>) -> Result<Vec<UserEventId>, StartError> {
        let mut events = Vec::new();
        match self.setup {
            Setup::Predicates { defined, asked } => {
                for n in 0..defined {
                    let name = format!("predicate {n}");
                    let base = EventSet::PACKET_IN;
                    events.push(shard.define_event(&name, base, |_, _| false)?);
                }
                events.truncate(asked.into());
            }
            Setup::Group(size) => {
                let mut next = 0;
                let members: Arc<OnceLock<Vec<UserEventId>>> = Arc::default();
                let known = Arc::clone(&members);
                let group =
                    shard.define_event("group", EventSet::PACKET_IN, move |_, trigger| {
                        next = (next + 1) % usize::from(size);
                        let members = known.get().map_or(&[][..], Vec::as_slice);
                        members
                            .get(next)
                            .is_some_and(|event| trigger.raise(*event, 1).is_ok())
                    })?;
                for n in 0..size {
                    events.push(shard.define_raised(&format!("member {n}"), group)?);
                }
                let _ = members.set(events.clone());
            }
            Setup::Changes(ways) if ways > 1 => {
                for n in 0..ways {
                    events.push(shard.define_raised(&format!("way {n}"), EventSet::STATE_CHANGE)?);
                }
            }
            _ => {}
        }
        Ok(events)
    }
}

impl Actor for Subject {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let events = self.define(shard)?;
        let mut monitor = shard.monitor_stream(None);
        match self.setup {
            Setup::Subscribers(_) => monitor = monitor.packets(Hook::Send),
            Setup::Changes(_) => {
                monitor = monitor.packets(Hook::Send);
                self.events = events;
            }
            Setup::Predicates { .. } | Setup::Group(_) => {
                for event in events {
                    monitor = monitor.on(Hook::Send, event);
                }
            }
        }
        monitor.open()?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        (): &mut (),
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        self.calls += 1;
        let mode = self.mode.load(Ordering::Relaxed);
        if mode != Mode::Rest as u8 {
            let way = flow.index() as usize % self.events.len().max(1);
            let topic = self
                .events
                .get(way)
                .map_or(Topic::BuiltIn(EventSet::STATE_CHANGE), |event| {
                    Topic::User(*event)
                });
            let changed = if mode == Mode::Subscribe as u8 {
                flow.subscribe(Hook::End, topic)
            } else {
                flow.unsubscribe(Hook::End, topic)
            };
            debug_assert!(changed.is_ok(), "{changed:?}");
        }
        Verdict::Forward
    }

    fn on_event(&mut self, (): &mut (), _: &mut FlowContext<'_>, _: Event) {
        self.calls += 1;
    }

    fn finish(&mut self) {
        std::hint::black_box(self.calls);
    }
}

/// A shard that is measured.
struct Bench {
    shard: LocalShard,
    mode: Arc<AtomicU8>,
}

impl Bench {
    fn new(setup: Setup, flows: u32, prefault: bool) -> Result<Self, BenchError> {
        let mode = Arc::new(AtomicU8::new(Mode::Rest as u8));
        let actors: Vec<_> = (0..setup.actors())
            .map(|number| {
                let mode = Arc::clone(&mode);
                ActorSpec::new(format!("subject-{number}"), move |_| Subject {
                    setup,
                    mode: Arc::clone(&mode),
                    events: Vec::new(),
                    calls: 0,
                })
            })
            .collect();
        let wire = WireConfig {
            checksums: Checksums::Ignore,
            ..WireConfig::default()
        };
        let config = ShardConfig {
            flows_max: flows as usize,
            prefault,
            ..ShardConfig::default()
        };
        let shard = LocalShard::new(wire, config, &actors, OnPanic::Forward)?;
        Ok(Self { shard, mode })
    }

    /// Processor time for a pass over the packets.
    fn pass(&mut self, port: &mut MemoryPort, mode: Mode) -> Result<Duration, BenchError> {
        self.mode.store(mode as u8, Ordering::Relaxed);
        let (cpu, _) = drive(&mut self.shard, port)?;
        Ok(cpu)
    }
}

/// One row of the report.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    /// Packets, and changes, of one pass.
    packets: u64,
    /// Nanoseconds of processor time that each costs more than without.
    ns: Spread,
}

/// One result of `mosaic bench events`.
#[derive(Debug, Serialize)]
struct EventsReport {
    flows: u32,
    repeats: u32,
    /// Nanoseconds for each packet where nobody listens, parsing included.
    ns_per_packet: Spread,
    changes: Vec<Row>,
    /// Changes of subscriptions a second, of the first row.
    changes_per_second: f64,
    deliveries: Vec<Row>,
    /// What an idle flow takes in the tables of a shard.
    idle_flow_bytes: usize,
    /// Resident memory gained for each flow: nobody listens; each flow is asked what it was asked when it began; each flow
    /// was changed in one of a thousand ways.
    resident_bytes_per_flow: [f64; 3],
}

/// Runs it; the text of the report.
pub(super) fn run(args: &EventsArgs) -> Result<String, BenchError> {
    let mut port = port(args.flows);
    let mut changes = Vec::new();
    for ways in [1, MANY] {
        changes.push(measure_changes(args, &mut port, ways)?);
    }
    let mut deliveries = Vec::new();
    let mut ns_per_packet = Spread::of([]);
    for setup in setups() {
        let (base, row) = measure_delivery(args, &mut port, setup)?;
        if setup == Setup::Subscribers(1) {
            ns_per_packet = base;
        }
        deliveries.push(row);
    }
    let report = EventsReport {
        flows: args.flows,
        repeats: args.repeat,
        ns_per_packet,
        changes_per_second: 1e9 / changes[0].ns.median.max(0.1),
        changes,
        deliveries,
        idle_flow_bytes: IDLE_FLOW_BYTES,
        resident_bytes_per_flow: measure_memory(args, &mut port)?,
    };
    Ok(if args.json {
        serde_json::to_string(&report)?
    } else {
        report.to_table()
    })
}

/// What is compared with a shard on which nobody listens.
fn setups() -> Vec<Setup> {
    let predicates = |defined, asked| Setup::Predicates { defined, asked };
    vec![
        Setup::Subscribers(1),
        Setup::Subscribers(4),
        Setup::Subscribers(16),
        predicates(0, 0),
        predicates(10, 0),
        predicates(MANY, 0),
        predicates(10, 10),
        predicates(MANY, 10),
        predicates(MANY, MANY),
        Setup::Group(10),
        Setup::Group(MANY),
    ]
}

/// An acknowledgment each way of so many flows.
fn port(flows: u32) -> MemoryPort {
    let capture = MemoryCapture::from_frames(LinkType::ETHERNET, acknowledgments(flows));
    MemoryPort::new(capture.into())
}

fn packets(port: &MemoryPort) -> u64 {
    port.capture().len() as u64
}

/// What `more` than `less` is, for each of `count`, in nanoseconds; also where it is less.
fn difference(less: Duration, more: Duration, count: u64) -> f64 {
    (more.as_secs_f64() - less.as_secs_f64()) * 1e9 / float(count)
}

/// The price of a change: passes with and without, in alternation. Each packet changes its flow.
fn measure_changes(args: &EventsArgs, port: &mut MemoryPort, ways: u16) -> Result<Row, BenchError> {
    let setup = Setup::Changes(ways);
    let mut bench = Bench::new(setup, args.flows, true)?;
    let mut single = one_way(args.flows);
    for mode in [Mode::Rest, Mode::Subscribe, Mode::Unsubscribe] {
        bench.pass(port, mode)?;
    }
    let count = packets(&single);
    let mut figures = Vec::new();
    for _ in 0..args.repeat {
        for mode in [Mode::Subscribe, Mode::Unsubscribe] {
            let rest = bench.pass(&mut single, Mode::Rest)?;
            let change = bench.pass(&mut single, mode)?;
            figures.push(difference(rest, change, count));
        }
    }
    bench.shard.finish();
    Ok(Row {
        what: setup.name(),
        packets: count,
        ns: Spread::of(figures),
    })
}

/// An acknowledgment of the client of so many flows.
fn one_way(flows: u32) -> MemoryPort {
    let frames = acknowledgments(flows).into_iter().step_by(2);
    let capture = MemoryCapture::from_frames(LinkType::ETHERNET, frames);
    MemoryPort::new(capture.into())
}

/// The price of being told, against a shard without actors: what a packet costs there, and what it costs more.
fn measure_delivery(
    args: &EventsArgs,
    port: &mut MemoryPort,
    setup: Setup,
) -> Result<(Spread, Row), BenchError> {
    let mut few;
    let (port, flows) = if matches!(
        setup,
        Setup::Predicates { asked: MANY, .. } | Setup::Group(MANY)
    ) {
        // A thousand answers for each packet: fewer packets will do.
        few = self::port(args.flows / 20);
        (&mut few, args.flows / 20)
    } else {
        (port, args.flows)
    };
    let mut base = Bench::new(Setup::Subscribers(0), flows, true)?;
    let mut subject = Bench::new(setup, flows, true)?;
    base.pass(port, Mode::Rest)?;
    subject.pass(port, Mode::Rest)?;
    let count = packets(port);
    let (mut bases, mut figures) = (Vec::new(), Vec::new());
    for _ in 0..args.repeat {
        let without = base.pass(port, Mode::Rest)?;
        let with = subject.pass(port, Mode::Rest)?;
        bases.push(difference(Duration::ZERO, without, count));
        figures.push(difference(without, with, count));
    }
    base.shard.finish();
    subject.shard.finish();
    let row = Row {
        what: setup.name(),
        packets: count,
        ns: Spread::of(figures),
    };
    Ok((Spread::of(bases), row))
}

/// Resident memory gained for each flow.
fn measure_memory(args: &EventsArgs, port: &mut MemoryPort) -> Result<[f64; 3], BenchError> {
    let mut gained = [0.0; 3];
    let cases = [
        (Setup::Subscribers(0), Mode::Rest),
        (Setup::Changes(MANY), Mode::Rest),
        (Setup::Changes(MANY), Mode::Subscribe),
    ];
    for ((setup, mode), gained) in cases.into_iter().zip(&mut gained) {
        let before = resident_bytes();
        let mut bench = Bench::new(setup, args.flows, false)?;
        bench.pass(port, mode)?;
        let bytes = resident_bytes().saturating_sub(before);
        *gained = float(bytes) / f64::from(args.flows);
        bench.shard.finish();
    }
    Ok(gained)
}

impl EventsReport {
    fn to_table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["ns of processor time", "min", "median", "max"]);
        let base = Row {
            what: "packet, nobody listens".into(),
            packets: 0,
            ns: self.ns_per_packet,
        };
        let rows = self.changes.iter().map(|row| (row, ""));
        let rows = rows.chain([(&base, "")]);
        for (row, sign) in rows.chain(self.deliveries.iter().map(|row| (row, "+"))) {
            let figures = [row.ns.min, row.ns.median, row.ns.max].map(|ns| format!("{ns:.1}"));
            let [min, median, max] = figures;
            table.add_row([format!("{sign} {}", row.what), min, median, max]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let [nobody, asked, changed] = self.resident_bytes_per_flow;
        format!(
            "{} flows, {} pairs of passes; + : more than where nobody listens\n{table}\n\
             {:.1} million changes a second; {} bytes an idle flow; resident {nobody:.0} where nobody listens, {asked:.0} \
             with a monitor, {changed:.0} after {MANY} ways of changes",
            self.flows,
            self.repeats,
            self.changes_per_second / 1e6,
            self.idle_flow_bytes,
        )
    }
}
