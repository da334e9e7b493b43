//! Accounts for traffic by subscriber: who sent and received how much, without what had to be repeated.
//!
//! ```text
//! cargo run --example accounting                                  # a capture of this repository, over a lossy link
//! cargo run --example accounting -- monday.pcap --json
//! cargo run --example accounting -- monday.pcap --subscribers 10.0.0.0/8 --prefix4 24
//! cargo run --features dpdk --example accounting -- --config mosaic.toml --every 60
//! ```
//!
//! A subscriber is the address of the end that opened a connection, or the prefix it belongs to; with `--subscribers`, the
//! end that is in one of these networks. Of TCP each byte of the stream is charged once, whatever it took to bring it over:
//! repeated bytes are reported beside it, keep-alive probes charge nothing. Of UDP and all others, the payload of every packet
//! is charged. (Who hides data in what looks like a retransmission travels for free: that repeated bytes are the same as before
//! is not checked. `ids` reports those that differ.)
//!
//! The table is printed at the end, on SIGUSR1 and every `--every` seconds. It is cumulative; flows that go on are in it as of
//! at most `--book` seconds before. No lock is taken on a packet's path: each shard keeps a ledger of its own and sends it off
//! once a second.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;
use mosaic::config::Source;
use mosaic::control::Reminder;
use mosaic::prelude::*;
use serde::Serialize;

/// Bytes by subscriber, without retransmissions
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// Networks in which subscribers are
    #[arg(long, value_name = "NET", value_delimiter = ',')]
    subscribers: Vec<IpNet>,
    /// Subscribers over IPv4 are prefixes of this length
    #[arg(long, value_name = "BITS", default_value_t = 32, value_parser = clap::value_parser!(u8).range(0..=32))]
    prefix4: u8,
    /// Subscribers over IPv6 are prefixes of this length
    #[arg(long, value_name = "BITS", default_value_t = 64, value_parser = clap::value_parser!(u8).range(0..=128))]
    prefix6: u8,
    /// Books flows that go on so often
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    book: u64,
    /// Prints the table so often
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
    /// Prints JSON, one subscriber a line
    #[arg(long)]
    json: bool,
}

/// What is read where the command line names nothing.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/lossy.pcap");

/// Subscribers in the table; what further ones use is counted together.
const SUBSCRIBERS_MAX: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let plan = args.source.plan_or([CAPTURE])?;
    let whose = Whose {
        networks: args.subscribers,
        prefix4: args.prefix4,
        prefix6: args.prefix6,
    };
    let (ledgers, received) = channel();
    let book = Duration::from_secs(args.book);
    let mut reminder = Reminder::new(args.every.map(Duration::from_secs))?;
    let mut table = Table::new(received);
    let report = Runtime::builder()
        .plan(plan)
        .actor("accounting", move |_shard| Accounting {
            whose: whose.clone(),
            book,
            ledger: Ledger::new(),
            ledgers: ledgers.clone(),
        })
        .attend("accounting", |_| {
            table.take_in();
            if reminder.is_due() {
                table.print(args.json);
            }
        })?;
    table.take_in();
    table.print(args.json);
    Ok(report.into_result()?)
}

/// Who is charged.
#[derive(Clone, Debug)]
struct Whose {
    networks: Vec<IpNet>,
    prefix4: u8,
    prefix6: u8,
}

impl Whose {
    /// The side that is charged, and under which name; the client where both may be. `None`: neither is a subscriber.
    fn charged(&self, flow: &FlowSummary) -> Option<(Side, IpNet)> {
        let is_subscriber = |addr: IpAddr| {
            self.networks.is_empty() || self.networks.iter().any(|net| net.contains(&addr))
        };
        let sides = [
            (Side::Client, flow.client.addr),
            (Side::Server, flow.server.addr),
        ];
        let (side, addr) = sides.into_iter().find(|(_, addr)| is_subscriber(*addr))?;
        let prefix = if addr.is_ipv4() {
            self.prefix4
        } else {
            self.prefix6
        };
        Some((side, IpNet::new(addr, prefix).ok()?.trunc()))
    }
}

/// What one direction has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
struct Usage {
    packets: u64,
    charged_bytes: u64,
    repeated_bytes: u64,
    keep_alives: u64,
}

impl Usage {
    /// What a side has sent so far.
    fn of(proto: Proto, side: &SideSummary) -> Self {
        Self {
            packets: side.packets,
            charged_bytes: if proto == Proto::TCP {
                side.stream_bytes + side.late_bytes
            } else {
                side.payload_bytes
            },
            repeated_bytes: side.retransmitted_bytes,
            keep_alives: side.keep_alives.into(),
        }
    }

    fn combine(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            packets: with(self.packets, other.packets),
            charged_bytes: with(self.charged_bytes, other.charged_bytes),
            repeated_bytes: with(self.repeated_bytes, other.repeated_bytes),
            keep_alives: with(self.keep_alives, other.keep_alives),
        }
    }
}

/// Of one subscriber.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
struct Account {
    flows: u64,
    up: Usage,
    down: Usage,
}

impl std::ops::AddAssign for Account {
    fn add_assign(&mut self, more: Self) {
        self.flows += more.flows;
        self.up = self.up.combine(more.up, u64::saturating_add);
        self.down = self.down.combine(more.down, u64::saturating_add);
    }
}

/// By subscriber; `None` is everybody else.
type Ledger = HashMap<Option<IpNet>, Account>;

/// One on each shard.
struct Accounting {
    whose: Whose,
    book: Duration,
    /// What was used since the last ledger was sent.
    ledger: Ledger,
    ledgers: Sender<Ledger>,
}

/// What of a flow is in the books, by side.
#[derive(Default)]
struct Booked([Usage; 2]);

impl Actor for Accounting {
    type Flow = Booked;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        // The engine counts; nothing is to be heard of each packet.
        shard
            .monitor_stream(None)
            .on(Hook::End, EventSet::CONN_START)
            .open()?;
        shard.set_timer_every(Duration::from_secs(1))?;
        Ok(())
    }

    fn on_event(&mut self, _: &mut Booked, flow: &mut FlowContext<'_>, _: Event) {
        // Where timers have run out, the flow is booked when it has ended.
        let _ = flow.set_timer_every(self.book);
    }

    fn on_timer(&mut self, booked: &mut Booked, flow: &mut FlowContext<'_>, _: TimerId) {
        self.book(booked, &flow.summary(), 0);
    }

    fn on_removed(&mut self, booked: &mut Booked, flow: &mut FlowContext<'_>) {
        self.book(booked, &flow.summary(), 1);
    }

    fn on_shard_timer(&mut self, _: &mut ShardContext<'_>, _: TimerId) {
        self.send();
    }

    fn finish(&mut self) {
        self.send();
    }
}

impl Accounting {
    /// Books what was used since the last time.
    fn book(&mut self, booked: &mut Booked, flow: &FlowSummary, flows: u64) {
        let sides = [0, 1].map(|side| Usage::of(flow.proto, &flow.sides[side]));
        let [of_client, of_server] =
            [0, 1].map(|side| sides[side].combine(booked.0[side], u64::saturating_sub));
        booked.0 = sides;
        let charged = self.whose.charged(flow);
        let (up, down) = match charged {
            Some((Side::Server, _)) => (of_server, of_client),
            _ => (of_client, of_server),
        };
        *self
            .ledger
            .entry(charged.map(|(_, subscriber)| subscriber))
            .or_default() += Account { flows, up, down };
    }

    fn send(&mut self) {
        if !self.ledger.is_empty() {
            // Nobody reads only where the program is about to end.
            let _ = self.ledgers.send(std::mem::take(&mut self.ledger));
        }
    }
}

/// The ledgers of all shards together.
struct Table {
    accounts: Ledger,
    ledgers: Receiver<Ledger>,
}

/// A line of the JSON output.
#[derive(Serialize)]
struct Line {
    /// `null`: all who are no subscribers, or one too many.
    subscriber: Option<IpNet>,
    #[serde(flatten)]
    account: Account,
}

impl Table {
    fn new(ledgers: Receiver<Ledger>) -> Self {
        Self {
            accounts: Ledger::new(),
            ledgers,
        }
    }

    fn take_in(&mut self) {
        while let Ok(ledger) = self.ledgers.try_recv() {
            for (subscriber, account) in ledger {
                let is_full = self.accounts.len() >= SUBSCRIBERS_MAX;
                let known = self.accounts.contains_key(&subscriber);
                *self
                    .accounts
                    .entry(subscriber.filter(|_| known || !is_full))
                    .or_default() += account;
            }
        }
    }

    fn print(&self, json: bool) {
        let mut lines: Vec<Line> = self
            .accounts
            .iter()
            .map(|(subscriber, account)| Line {
                subscriber: *subscriber,
                account: *account,
            })
            .collect();
        lines.sort_unstable_by_key(|line| line.subscriber);
        if json {
            lines
                .iter()
                .filter_map(|line| serde_json::to_string(line).ok())
                .for_each(|line| println!("{line}"));
            return;
        }
        println!(
            "{:24} {:>7} {:>12} {:>12} {:>12} {:>12} {:>11}",
            "subscriber",
            "flows",
            "sent",
            "received",
            "repeated up",
            "repeated down",
            "keep-alives"
        );
        for Line {
            subscriber,
            account: Account { flows, up, down },
        } in &lines
        {
            println!(
                "{:24} {:>7} {:>12} {:>12} {:>12} {:>13} {:>11}",
                subscriber.map_or("everybody else".into(), |subscriber| subscriber.to_string()),
                flows,
                up.charged_bytes,
                down.charged_bytes,
                up.repeated_bytes,
                down.repeated_bytes,
                up.keep_alives + down.keep_alives
            );
        }
    }
}
