//! Intrusion detection: searches streams and datagrams for patterns, and reports what it finds as EVE JSON.
//!
//! ```text
//! cargo run --example ids                                          # captures of this repository, built-in rules
//! cargo run --example ids -- --rules my.toml monday.pcap >eve.json
//! cargo run --features dpdk --example ids -- --rules my.toml --config mosaic.toml --output eve.json
//! ```
//!
//! All rules are searched at once (Aho and Corasick, 1975). Where the search stands is kept for each side of a connection,
//! four bytes for each of two automata, so that a pattern is found however it was cut into segments, in whatever order and how
//! often they came; no byte is kept or looked at twice. Across a hole in a stream nothing is joined.
//!
//! Rules are TOML:
//!
//! ```text
//! [[rule]]
//! sid = 1000001                # its number, unique
//! msg = "directory traversal"  # what the alert says
//! content = "/..|2f|..|2f|"    # what is searched for; bytes in hexadecimal between bars
//! nocase = true                # also in capitals; false without it
//! direction = "to_server"      # or "to_client"; both without it
//! ports = [80, 8080]           # of the server; all without it
//! proto = "tcp"                # or "udp"; both without it
//! severity = 2                 # 1 (high) to 4; 3 without it
//! category = "Attempted Information Leak"
//! rev = 1
//! ```
//!
//! A rule is reported once for each connection and direction. Alerts are those of Suricata's `eve.json` (`event_type` `alert`),
//! with the Community ID; holes and repeated bytes that differ from the first copy, a sign of evasion, are `anomaly` events.

use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};
use clap::Parser;
use mosaic::config::Source;
use mosaic::prelude::*;
use mosaic::records::community_id::CommunityId;
use serde::Deserialize;
use serde_json::{Value, json};

/// Patterns in streams and datagrams; alerts in EVE JSON
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// Rules; some for the captures of this repository without it
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Where alerts go; standard output without it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How much of each side of a connection is searched, in bytes; 0 for all
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    depth: u64,
    /// Number of shards
    #[arg(long, default_value_t = 1)]
    shards: u16,
}

const RULES: &str = r#"
[[rule]]
sid = 1
msg = "a page that is not there"
content = "GET /missing"
direction = "to_server"
[[rule]]
sid = 2
msg = "nginx answers"
content = "|0d0a|server: nginx"
nocase = true
direction = "to_client"
ports = [80]
[[rule]]
sid = 3
msg = "alpha is asked for"
content = "alpha.example.test"
proto = "tcp"
[[rule]]
sid = 4
msg = "a name of example.test is looked up"
content = "|07|example|04|test|00|"
proto = "udp"
direction = "to_server"
severity = 4
"#;

/// Alerts that may wait to be written. Live, further ones are lost and counted; captures wait.
const ALERTS_WAITING: usize = 1 << 14;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let here = env!("CARGO_MANIFEST_DIR");
    let captures =
        ["http", "lossy", "tls", "dns"].map(|name| format!("{here}/tests/captures/{name}.pcap"));
    let mut plan = args.source.plan_or(captures)?;
    if args.source.config.is_none() {
        plan.shards = args.shards;
    }
    let rules = Arc::new(match &args.rules {
        Some(file) => Rules::read(file)?,
        None => Rules::new(RULES)?,
    });
    let (alerts, waiting) = sync_channel(ALERTS_WAITING);
    let reporter = Reporter {
        alerts,
        lost: Arc::default(),
        may_wait: plan.live.is_empty(),
    };
    let out: Box<dyn Write> = match &args.output {
        Some(file) => Box::new(File::create(file)?),
        None => Box::new(io::stdout()),
    };
    let log = Log {
        out: BufWriter::new(out),
        waiting,
        rules: Arc::clone(&rules),
    };
    let lost = Arc::clone(&reporter.lost);
    let depth = if args.depth == 0 {
        u64::MAX
    } else {
        args.depth
    };
    let builder = Runtime::builder()
        .plan(plan)
        .actor("ids", move |_shard| Ids {
            rules: Arc::clone(&rules),
            depth,
            reporter: reporter.clone(),
        });
    run(builder, log)?;
    match lost.load(Ordering::Relaxed) {
        0 => {}
        lost => eprintln!("ids: {lost} alerts were lost, written too slowly"),
    }
    Ok(())
}

/// Until the captures end or a signal comes, or nothing can be written any more.
fn run(builder: Builder, mut log: Log) -> Result<(), Box<dyn Error>> {
    let mut written = Ok(());
    let report = builder.attend("ids", |runtime| {
        if written.is_ok() {
            written = log.write();
        } else {
            // A shard may wait for room.
            log.waiting.try_iter().for_each(drop);
        }
        if written.is_err() {
            runtime.stop();
        }
    })?;
    written.and_then(|()| log.write())?;
    Ok(report.into_result()?)
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    sid: u64,
    msg: String,
    content: String,
    #[serde(default)]
    nocase: bool,
    direction: Option<Direction>,
    #[serde(default)]
    ports: Vec<u16>,
    proto: Option<Protocol>,
    #[serde(default = "usual_severity")]
    severity: u8,
    #[serde(default)]
    category: String,
    #[serde(default = "first_revision")]
    rev: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Direction {
    ToServer,
    ToClient,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    Tcp,
    Udp,
}

fn usual_severity() -> u8 {
    3
}

fn first_revision() -> u32 {
    1
}

impl Rule {
    /// Whether it is about what `side` of this flow sends.
    fn is_about(&self, flow: &FlowContext<'_>, side: Side) -> bool {
        let to = match side {
            Side::Client => Direction::ToServer,
            Side::Server => Direction::ToClient,
        };
        let proto = match self.proto {
            None => true,
            Some(Protocol::Tcp) => flow.proto() == Proto::TCP,
            Some(Protocol::Udp) => flow.proto() == Proto::UDP,
        };
        let port = self.ports.is_empty() || self.ports.contains(&flow.endpoint(Side::Server).port);
        proto && port && self.direction.is_none_or(|direction| direction == to)
    }

    /// The bytes of `content`: text, and hexadecimal numbers between bars.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let wrong = |what: &str| format!("rule {}: content: {what}", self.sid);
        let mut bytes = Vec::new();
        for (number, part) in self.content.split('|').enumerate() {
            if number % 2 == 0 {
                bytes.extend(part.as_bytes());
                continue;
            }
            let digits: Vec<char> = part.chars().filter(|c| !c.is_whitespace()).collect();
            for pair in digits.chunks(2) {
                let value = match pair {
                    [high, low] => high.to_digit(16).zip(low.to_digit(16)),
                    _ => None,
                };
                let (high, low) =
                    value.ok_or_else(|| wrong("between bars stand pairs of hexadecimal digits"))?;
                bytes.extend(u8::try_from(high * 16 + low));
            }
        }
        if self.content.matches('|').count() % 2 == 1 {
            return Err(wrong("a bar is missing"));
        }
        if bytes.is_empty() {
            return Err(wrong("is empty"));
        }
        Ok(bytes)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    #[serde(default)]
    rule: Vec<Rule>,
}

/// Rules, and one automaton for those that tell capitals from small letters (0) and one for the others (1).
struct Rules {
    rules: Vec<Rule>,
    automata: [NFA; 2],
    /// The rule of each pattern of each automaton.
    of_pattern: [Vec<usize>; 2],
}

impl Rules {
    fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
        text.and_then(|text| Self::new(&text))
            .map_err(|error| format!("{}: {error}", file.display()))
    }

    fn new(text: &str) -> Result<Self, String> {
        let RulesFile { rule: rules } = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut sids = HashSet::new();
        let mut patterns = [Vec::new(), Vec::new()];
        let mut of_pattern = [Vec::new(), Vec::new()];
        for (number, rule) in rules.iter().enumerate() {
            if !sids.insert(rule.sid) {
                return Err(format!("rule {}: two rules have this number", rule.sid));
            }
            patterns[usize::from(rule.nocase)].push(rule.bytes()?);
            of_pattern[usize::from(rule.nocase)].push(number);
        }
        let automaton = |patterns: &Vec<Vec<u8>>, nocase| {
            NFA::builder()
                .match_kind(MatchKind::Standard)
                .ascii_case_insensitive(nocase)
                .build(patterns)
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            automata: [
                automaton(&patterns[0], false)?,
                automaton(&patterns[1], true)?,
            ],
            rules,
            of_pattern,
        })
    }

    /// Searches on through `bytes` from where `search` stands; tells the rule of every pattern that ends in them.
    fn search(&self, search: &mut Search, bytes: &[u8], mut found: impl FnMut(usize)) {
        for (nocase, automaton) in self.automata.iter().enumerate() {
            if self.of_pattern[nocase].is_empty() {
                continue;
            }
            let start = || automaton.start_state(Anchored::No).ok();
            let Some(mut state) = search.0[nocase].or_else(start) else {
                continue;
            };
            for byte in bytes {
                state = automaton.next_state(Anchored::No, state, *byte);
                if automaton.is_match(state) {
                    for which in 0..automaton.match_len(state) {
                        let pattern = automaton.match_pattern(state, which);
                        found(self.of_pattern[nocase][pattern.as_usize()]);
                    }
                }
            }
            search.0[nocase] = Some(state);
        }
    }
}

/// Where the search through a side stands in each automaton; `None` at its beginning.
#[derive(Clone, Copy, Default)]
struct Search([Option<StateID>; 2]);

/// What is kept of a flow, by side.
#[derive(Default)]
struct Searched([SearchedSide; 2]);

#[derive(Default)]
struct SearchedSide {
    search: Search,
    /// Offset of the next byte.
    next: u64,
    /// What was reported.
    reported: Vec<What>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// The rule of this index.
    Rule(usize),
    Gap,
    OverlapDiffers,
}

/// One on each shard.
struct Ids {
    rules: Arc<Rules>,
    depth: u64,
    reporter: Reporter,
}

impl Actor for Ids {
    type Flow = Searched;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let streams = EventSet::NEW_DATA | EventSet::LATE_DATA | EventSet::ERROR;
        shard
            .monitor_stream(Some(mosaic::filter::flows("tcp")?))
            .on(Hook::End, streams)
            .open()?;
        shard
            .monitor_stream(Some(mosaic::filter::flows("udp")?))
            .packets(Hook::Send)
            .open()?;
        Ok(())
    }

    fn on_event(&mut self, searched: &mut Searched, flow: &mut FlowContext<'_>, event: Event) {
        match event {
            Event::NewData(side) | Event::LateData(side) => self.search(searched, flow, side),
            Event::Error {
                side,
                error: StreamError::Gap { .. },
            } => {
                self.report(searched, flow, side, What::Gap);
            }
            Event::Error {
                side,
                error: StreamError::OverlapDiffers { .. },
            } => {
                self.report(searched, flow, side, What::OverlapDiffers);
            }
            _ => {}
        }
    }

    fn on_packet(
        &mut self,
        searched: &mut Searched,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        let mut found = Vec::new();
        self.rules
            .search(&mut Search::default(), packet.payload(), |rule| {
                found.push(rule)
            });
        for rule in found {
            self.report(searched, flow, packet.sender, What::Rule(rule));
        }
        Verdict::Forward
    }
}

impl Ids {
    /// Searches what is new of a side.
    fn search(&self, searched: &mut Searched, flow: &mut FlowContext<'_>, side: Side) {
        // Allocates only when something is found.
        let mut found = Vec::new();
        loop {
            let half = &mut searched.0[side as usize];
            let taken = flow.peek(side, |chunks| {
                if chunks.offset() != half.next {
                    // Bytes are missing: what stood before them does not continue here.
                    (half.search, half.next) = (Search::default(), chunks.offset());
                }
                let mut taken = 0;
                for chunk in chunks {
                    let wanted =
                        usize::try_from(self.depth.saturating_sub(half.next)).unwrap_or(usize::MAX);
                    let looked_at = &chunk[..chunk.len().min(wanted)];
                    self.rules
                        .search(&mut half.search, looked_at, |rule| found.push(rule));
                    half.next += chunk.len() as u64;
                    taken += chunk.len();
                }
                taken
            });
            match taken {
                // There may be more behind a skipped hole, or behind what was lost.
                Ok(_) | Err(PeekError::Lost(_)) => {}
                Err(_) => break,
            }
        }
        if searched.0[side as usize].next >= self.depth {
            flow.stop_side(side);
        }
        for rule in found {
            self.report(searched, flow, side, What::Rule(rule));
        }
    }

    /// Reports something once for each side.
    fn report(&self, searched: &mut Searched, flow: &FlowContext<'_>, side: Side, what: What) {
        let reported = &mut searched.0[side as usize].reported;
        let is_meant = match what {
            What::Rule(rule) => self.rules.rules[rule].is_about(flow, side),
            What::Gap | What::OverlapDiffers => true,
        };
        if is_meant && !reported.contains(&what) {
            reported.push(what);
            self.reporter.send(Found {
                what,
                sender: side,
                at: flow.now(),
                flow: flow.summary(),
            });
        }
    }
}

/// Something to be written.
struct Found {
    what: What,
    sender: Side,
    at: Timestamp,
    flow: FlowSummary,
}

#[derive(Clone)]
struct Reporter {
    alerts: SyncSender<Found>,
    lost: Arc<AtomicU64>,
    /// Whether the packets can wait for the disk.
    may_wait: bool,
}

impl Reporter {
    fn send(&self, found: Found) {
        let sent = match self.alerts.try_send(found) {
            Err(TrySendError::Full(found)) if self.may_wait => self.alerts.send(found).is_ok(),
            sent => sent.is_ok(),
        };
        if !sent {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes what shards report.
struct Log {
    out: BufWriter<Box<dyn Write>>,
    waiting: Receiver<Found>,
    rules: Arc<Rules>,
}

impl Log {
    fn write(&mut self) -> io::Result<()> {
        for found in self.waiting.try_iter() {
            writeln!(self.out, "{}", eve(&found, &self.rules.rules))?;
        }
        self.out.flush()
    }
}

/// As Suricata writes it.
fn eve(found: &Found, rules: &[Rule]) -> Value {
    let flow = &found.flow;
    let (from, to) = match found.sender {
        Side::Client => (flow.client, flow.server),
        Side::Server => (flow.server, flow.client),
    };
    let [up, down] = &flow.sides;
    let mut event = json!({
        "timestamp": time(found.at),
        "flow_id": flow_id(flow.id),
        "event_type": "alert",
        "src_ip": from.addr,
        "src_port": from.port,
        "dest_ip": to.addr,
        "dest_port": to.port,
        "proto": flow.proto.to_string().to_uppercase(),
        "community_id": CommunityId::new(0, flow.proto, from, to),
        "direction": if found.sender == Side::Client { "to_server" } else { "to_client" },
        "flow": {
            "pkts_toserver": up.packets, "pkts_toclient": down.packets,
            "bytes_toserver": up.ip_bytes, "bytes_toclient": down.ip_bytes,
            "start": time(flow.first),
        },
    });
    let anomaly = match found.what {
        What::Rule(rule) => {
            let rule = &rules[rule];
            event["alert"] = json!({
                "action": "allowed", "gid": 1, "signature_id": rule.sid, "rev": rule.rev,
                "signature": rule.msg, "category": rule.category, "severity": rule.severity,
            });
            return event;
        }
        What::Gap => "stream.reassembly_seq_gap",
        What::OverlapDiffers => "stream.reassembly_overlap_different_data",
    };
    event["event_type"] = "anomaly".into();
    event["anomaly"] = json!({ "type": "stream", "event": anomaly });
    event
}

/// `2026-11-21T10:20:11.515495+0000`.
fn time(at: Timestamp) -> String {
    let at = UNIX_EPOCH + Duration::from_nanos(at.as_nanos());
    humantime::format_rfc3339_micros(at)
        .to_string()
        .replace('Z', "+0000")
}

/// Names the flow, within what a JSON number holds (53 bits).
fn flow_id(id: FlowId) -> u64 {
    u64::from(id.shard & 0x7F) << 46 | u64::from(id.generation & 0x3FFF) << 32 | u64::from(id.index)
}
