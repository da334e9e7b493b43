//! A firewall: rules decide about the packet that opens a connection, and with it about the connection.
//!
//! ```text
//! cargo run --example firewall                                             # what built-in rules would do to a capture
//! cargo run --example firewall -- --rules my.rules monday.pcap
//! cargo run --features dpdk --example firewall -- --rules my.rules --config mosaic.toml --every 60
//! ```
//!
//! A rule is a line; the first that matches decides, and what none matches is accepted:
//!
//! ```text
//! # action  protocol  from             to               ports
//! ACCEPT    tcp       192.0.2.0/24     any              dport:80
//! REJECT    tcp       any              192.0.2.2        dport:1-1023     # answered with RST
//! DROP      udp       2001:db8::/32    any              sport:53 dport:1024-65535
//! DROP      any       any              any
//! ```
//!
//! The protocol may be `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, a number or `any`, and may be left out. *From* is the end that
//! opens the connection, or sends the first datagram. Answers need no rule. `REJECT` answers TCP with RST, as a
//! host without a server would; what is not TCP it drops.
//!
//! The file is read again when it changes, and on SIGHUP. New rules are asked about new connections, and again about those that
//! were refused; what was accepted stays. A file with a mistake changes nothing: the line is named, the old rules stay in force.
//! Connections that were there before are accepted if they would be either way round, since who opened them was not seen.
//! Replace the file by renaming a complete one, or an editor's half-written one may be read.
//!
//! The table of rules is printed at the end, on SIGUSR1 and every `--every` seconds: connections, and the packets and bytes of
//! those that are over. Accepted connections cost nothing more: after the first packet no packet of theirs is looked at here.
//!
//! What no flow is made of passes unless the configuration says otherwise: set `on_overload`, `on_exit`, `table_full`, `malformed`
//! and `fragments_dropped` of the wire to `"drop"` where nothing may pass unseen.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use clap::Parser;
use ipnet::IpNet;
use mosaic::config::Source;
use mosaic::control::{Reminder, Watched};
use mosaic::prelude::*;

/// Rules for connections, read again when they change
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// Rules; some for the capture of this repository without it
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Prints the table so often
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
}

/// What is read where the command line names nothing.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/http.pcap");
const RULES: &str = "\
ACCEPT udp any             any dport:53
ACCEPT tcp 192.0.2.0/24    any dport:80
REJECT tcp 192.0.2.0/24    any dport:1-1023
DROP   any 2001:db8::/32   any
";

/// Rules of one file.
const RULES_MAX: usize = 1 << 16;
/// How often shards tell what they have counted.
const TELL_EVERY: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let plan = args.source.plan_or([CAPTURE])?;
    let mut rules = Rulebook::open(args.rules)?;
    let (ledgers, received) = channel();
    let mut table = Table {
        counts: Ledger::new(),
        ledgers: received,
    };
    let mut reminder = Reminder::new(args.every.map(Duration::from_secs))?;
    let in_force = Arc::clone(&rules.in_force);
    let report = Runtime::builder()
        .plan(plan)
        .actor("firewall", move |_shard| Firewall {
            rules: arc_swap::Cache::new(Arc::clone(&in_force)),
            ledger: Ledger::new(),
            ledgers: ledgers.clone(),
        })
        .attend("firewall", |_| {
            table.take_in();
            if rules.file.has_changed() {
                rules.read_again();
            }
            if reminder.is_due() {
                table.print(&rules);
            }
        })?;
    table.take_in();
    table.print(&rules);
    Ok(report.into_result()?)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Accept,
    Drop,
    Reject,
}

/// One line.
#[derive(Debug)]
struct Rule {
    name: RuleName,
    action: Action,
    /// `None` matches everything, as below.
    proto: Option<Proto>,
    from: Option<IpNet>,
    to: Option<IpNet>,
    from_ports: RangeInclusive<u16>,
    to_ports: RangeInclusive<u16>,
}

const ALL_PORTS: RangeInclusive<u16> = 0..=u16::MAX;

impl Rule {
    /// From a line without its comment.
    fn parse(line: &str, names: &mut Names) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = names.of(&words.join(" "));
        let mut words = words.into_iter();
        let action = match words.next() {
            Some("ACCEPT") => Action::Accept,
            Some("DROP") => Action::Drop,
            Some("REJECT") => Action::Reject,
            other => {
                let other = other.unwrap_or_default();
                return Err(format!("{other} is no action: ACCEPT, DROP or REJECT"));
            }
        };
        // `any` is a protocol only where two addresses follow.
        let before_ports = words.clone().take_while(|word| !word.contains("port:"));
        let proto = if before_ports.count() > 2 {
            words.next().map_or(Ok(None), proto_of)?
        } else {
            None
        };
        let mut network = |what: &str| {
            let word = words
                .next()
                .ok_or_else(|| format!("where it {what} is missing"))?;
            network_of(word)
        };
        let mut rule = Self {
            name,
            action,
            proto,
            from: network("comes from")?,
            to: network("goes to")?,
            from_ports: ALL_PORTS,
            to_ports: ALL_PORTS,
        };
        for word in words {
            match word.split_once(':') {
                Some(("sport", ports)) => rule.from_ports = ports_of(ports)?,
                Some(("dport", ports)) => rule.to_ports = ports_of(ports)?,
                _ => return Err(format!("{word} is neither sport:PORTS nor dport:PORTS")),
            }
        }
        let has_ports = rule.from_ports != ALL_PORTS || rule.to_ports != ALL_PORTS;
        if has_ports
            && !matches!(
                rule.proto,
                None | Some(Proto::TCP | Proto::UDP | Proto::SCTP)
            )
        {
            return Err("this protocol has no ports".into());
        }
        Ok(rule)
    }

    fn matches(&self, proto: Proto, from: Endpoint, to: Endpoint) -> bool {
        let within = |network: Option<IpNet>, addr: IpAddr| {
            network.is_none_or(|network| network.contains(&addr))
        };
        self.proto.is_none_or(|wanted| wanted == proto)
            && within(self.from, from.addr)
            && within(self.to, to.addr)
            && self.from_ports.contains(&from.port)
            && self.to_ports.contains(&to.port)
    }
}

fn proto_of(word: &str) -> Result<Option<Proto>, String> {
    Ok(Some(match word {
        "any" => return Ok(None),
        "tcp" => Proto::TCP,
        "udp" => Proto::UDP,
        "icmp" => Proto::ICMP,
        "icmpv6" => Proto::ICMPV6,
        "sctp" => Proto::SCTP,
        number => Proto(
            number
                .parse()
                .map_err(|_| format!("{number} is no protocol"))?,
        ),
    }))
}

fn network_of(word: &str) -> Result<Option<IpNet>, String> {
    if word == "any" {
        return Ok(None);
    }
    let network = word
        .parse()
        .or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
    network
        .map(Some)
        .map_err(|_| format!("{word} is neither an address nor a network"))
}

fn ports_of(word: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => Err(format!("{word} is neither a port nor a range of ports")),
    }
}

/// A rule by its text, so that figures outlast changes of the file around it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct RuleName(u32);

#[derive(Default)]
struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn of(&mut self, text: &str) -> RuleName {
        if let Some(number) = self.numbers.get(text) {
            return RuleName(*number);
        }
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        RuleName(number)
    }

    fn text(&self, name: RuleName) -> &str {
        self.texts.get(name.0 as usize).map_or("", String::as_str)
    }
}

/// The rules of a file, in its order.
#[derive(Debug)]
struct RuleSet {
    rules: Vec<Rule>,
    /// Tells one reading from another.
    version: u64,
}

impl RuleSet {
    fn parse(text: &str, names: &mut Names, version: u64) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default();
            if line.trim().is_empty() {
                continue;
            }
            if rules.len() == RULES_MAX {
                return Err(format!("{number}: more than {RULES_MAX} rules"));
            }
            rules.push(Rule::parse(line, names).map_err(|error| format!("{number}: {error}"))?);
        }
        Ok(Self { rules, version })
    }

    /// The first rule that matches.
    ///
    /// Of a connection whose beginning was not seen, nobody knows who opened it: it is accepted if it is one way round.
    fn decide(&self, flow: &FlowContext<'_>) -> Option<&Rule> {
        let [client, server] = Side::BOTH.map(|side| flow.endpoint(side));
        let proto = flow.proto();
        let first = |from, to| self.rules.iter().find(|rule| rule.matches(proto, from, to));
        let is_accepted =
            |rule: Option<&Rule>| rule.is_none_or(|rule| rule.action == Action::Accept);
        let decision = first(client, server);
        if !is_accepted(decision)
            && proto == Proto::TCP
            && flow.summary().client_by == ClientBy::FirstPacket
        {
            let mirrored = first(server, client);
            return if is_accepted(mirrored) {
                mirrored
            } else {
                decision
            };
        }
        decision
    }
}

/// The rules in force, and where they come from.
struct Rulebook {
    in_force: Arc<ArcSwap<RuleSet>>,
    names: Names,
    file: Watched,
}

impl Rulebook {
    fn open(path: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let mut book = Self {
            in_force: Arc::new(ArcSwap::from_pointee(RuleSet {
                rules: Vec::new(),
                version: 0,
            })),
            names: Names::default(),
            file: Watched::new(path)?,
        };
        book.read_file()?;
        Ok(book)
    }

    /// Puts in force what the file says.
    fn read_file(&mut self) -> Result<(), String> {
        let version = self.in_force.load().version + 1;
        let parse = |text: &str| RuleSet::parse(text, &mut self.names, version);
        let rules = self.file.load(RULES, parse);
        let rules = rules.map_err(|error| error.to_string())?;
        self.in_force.store(Arc::new(rules));
        Ok(())
    }

    fn read_again(&mut self) {
        match self.read_file() {
            Ok(()) => eprintln!(
                "firewall: {} rules in force",
                self.in_force.load().rules.len()
            ),
            Err(error) => eprintln!("firewall: {error}; the rules of before stay in force"),
        }
    }
}

/// What a rule has decided.
#[derive(Clone, Copy, Default)]
struct Counts {
    flows: u64,
    packets: u64,
    bytes: u64,
}

/// By rule; `None` where no rule matched.
type Ledger = HashMap<Option<RuleName>, Counts>;

/// One on each shard.
struct Firewall {
    rules: arc_swap::Cache<Arc<ArcSwap<RuleSet>>, Arc<RuleSet>>,
    /// What was counted since it was last told.
    ledger: Ledger,
    ledgers: Sender<Ledger>,
}

/// What was decided about a flow.
#[derive(Default)]
struct Decided {
    /// The version of the rules that decided; `None` before the first packet.
    version: Option<u64>,
    by: Option<RuleName>,
    rejects: bool,
}

impl Actor for Firewall {
    type Flow = Decided;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_stream(None).packets(Hook::Send).open()?;
        shard.set_timer_every(TELL_EVERY)?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        decided: &mut Decided,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        let rules = self.rules.load();
        // Of what was accepted nothing is heard any more.
        if decided.version != Some(rules.version) {
            let rule = rules.decide(flow);
            let (by, action) = (rule.map(|rule| rule.name), rule.map(|rule| rule.action));
            if decided.version.is_none() || decided.by != by {
                self.ledger.entry(by).or_default().flows += 1;
            }
            *decided = Decided {
                version: Some(rules.version),
                by,
                rejects: action == Some(Action::Reject),
            };
            if action.is_none_or(|action| action == Action::Accept) {
                flow.stop();
                return Verdict::Forward;
            }
        }
        if decided.rejects {
            // In a capture, there is no way to send anything.
            let _ = refuse(flow, packet);
        }
        Verdict::DropUnseen
    }

    fn on_removed(&mut self, decided: &mut Decided, flow: &mut FlowContext<'_>) {
        let sides = flow.summary().sides;
        let counts = self.ledger.entry(decided.by).or_default();
        counts.packets += sides.iter().map(|side| side.packets).sum::<u64>();
        counts.bytes += sides.iter().map(|side| side.ip_bytes).sum::<u64>();
    }

    fn on_shard_timer(&mut self, _: &mut ShardContext<'_>, _: TimerId) {
        self.tell();
    }

    fn finish(&mut self) {
        self.tell();
    }
}

/// Answers a segment as a host does that knows of no connection (RFC 9293, section 3.10.7.1).
fn refuse(flow: &mut FlowContext<'_>, packet: &PacketView<'_>) -> Result<(), InjectError> {
    let Transport::Tcp {
        seq, ack, flags, ..
    } = packet.packet.transport
    else {
        return Ok(());
    };
    if flags.contains(TcpFlags::RST) {
        return Ok(());
    }
    let controls = flags
        .intersection(TcpFlags::SYN | TcpFlags::FIN)
        .bits()
        .count_ones();
    let behind = seq
        .wrapping_add(packet.packet.payload_len)
        .wrapping_add(controls);
    let reset = if flags.contains(TcpFlags::ACK) {
        Segment {
            flags: TcpFlags::RST,
            seq: Some(ack),
            window: Some(0),
            ..Segment::default()
        }
    } else {
        Segment {
            flags: TcpFlags::RST | TcpFlags::ACK,
            seq: Some(0),
            ack: Some(behind),
            window: Some(0),
            ..Segment::default()
        }
    };
    flow.inject(packet.sender, reset)
}

impl Firewall {
    fn tell(&mut self) {
        if !self.ledger.is_empty() {
            // Nobody listens only where the program is about to end.
            let _ = self.ledgers.send(std::mem::take(&mut self.ledger));
        }
    }
}

/// The figures of all shards together.
struct Table {
    counts: Ledger,
    ledgers: Receiver<Ledger>,
}

impl Table {
    fn take_in(&mut self) {
        for (name, more) in self.ledgers.try_iter().flatten() {
            let counts = self.counts.entry(name).or_default();
            counts.flows += more.flows;
            counts.packets += more.packets;
            counts.bytes += more.bytes;
        }
    }

    /// The rules in force with their figures, then those that were before.
    fn print(&self, book: &Rulebook) {
        println!(
            "{:>5} {:>9} {:>11} {:>15}  rule",
            "rule", "flows", "packets", "bytes"
        );
        let in_force: Vec<RuleName> = book
            .in_force
            .load()
            .rules
            .iter()
            .map(|rule| rule.name)
            .collect();
        for (name, number) in in_force.iter().zip(1..) {
            self.print_line(Some(*name), &format!("{number}"), book.names.text(*name));
        }
        self.print_line(None, "", "ACCEPT what no rule matches");
        let mut gone: Vec<RuleName> = self.counts.keys().flatten().copied().collect();
        gone.retain(|name| !in_force.contains(name));
        gone.sort_unstable();
        for name in gone {
            self.print_line(Some(name), "gone", book.names.text(name));
        }
    }

    fn print_line(&self, name: Option<RuleName>, number: &str, text: &str) {
        let Counts {
            flows,
            packets,
            bytes,
        } = self.counts.get(&name).copied().unwrap_or_default();
        println!("{number:>5} {flows:>9} {packets:>11} {bytes:>15}  {text}");
    }
}
