//! Source NAT: a network with private addresses shares a few public ones (RFC 3022), for TCP, UDP and echo over IPv4.
//!
//! ```text
//! cargo run --example nat                                          # what would be translated in a capture
//! cargo run --features dpdk --example nat -- --config mosaic.toml --inside 10.0.0.0/8 --address 203.0.113.1,203.0.113.2
//! ```
//!
//! mosaic stands in the wire between the network and its router. What a host of `--inside` sends to the outside leaves with one of
//! `--address` and a port of `--ports`, and answers find back; the router must send these addresses to the wire. Connections
//! that nobody inside has asked for are dropped, and so is what cannot be translated (other protocols from private addresses).
//! ICMP errors come back to who sent what they quote. Datagrams in fragments get through where the configuration has
//! `fragments = "hold"` in `[packets]`. IPv6 passes untouched.
//!
//! Each connection has a port to itself, over all servers: so many ports, so many connections, those that ended a short time ago
//! (`closed_s` of the configuration) included. Ports are given out in turn, so that one rests as long as can be before it is used
//! again. Where none is left new connections are dropped, counted, and it is said once a second.
//!
//! Answers must come to the shard that has the connection. Which shard that is, a hash of the addresses decides: each shard has a
//! part of the ports, and takes the next of them that leads back to it.
//!
//! Figures are printed at the end, on SIGUSR1 and every `--every` seconds.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::VecDeque;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clap::Parser;
use ipnet::Ipv4Net;
use mosaic::config::Source;
use mosaic::control::{Reminder, Ticks};
use mosaic::prelude::*;

/// Private addresses behind a few public ones
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// Networks whose addresses are private
    #[arg(
        long,
        value_name = "NET",
        value_delimiter = ',',
        default_value = "192.0.2.1/32"
    )]
    inside: Vec<Ipv4Net>,
    /// Addresses that the outside sees
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        default_value = "203.0.113.1"
    )]
    address: Vec<Ipv4Addr>,
    /// Ports that the outside sees
    #[arg(long, value_name = "FIRST-LAST", default_value = "1024-65535", value_parser = ports)]
    ports: (u16, u16),
    /// Prints figures so often
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
}

/// What is read where the command line names nothing.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/http.pcap");

fn ports(text: &str) -> Result<(u16, u16), String> {
    let parsed = text
        .split_once('-')
        .and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    let ordered = parsed.filter(|(first, last)| 0 < *first && first <= last);
    ordered.ok_or_else(|| format!("{text} is no range of ports"))
}

/// How often shards tell what they have counted.
const TELL_EVERY: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let plan = args.source.plan_or([CAPTURE])?;
    let (tallies, received) = channel();
    let mut figures = Figures {
        tally: Tally::default(),
        tallies: received,
        said: 0,
    };
    let mut second = Ticks::every(Duration::from_secs(1));
    let mut reminder = Reminder::new(args.every.map(Duration::from_secs))?;
    let (inside, outside, shards) = (args.inside, args.address, plan.shards);
    let report = Runtime::builder()
        .plan(plan)
        .actor("nat", move |shard| Nat {
            free: endpoints(&outside, args.ports, shard, shards),
            inside: inside.clone(),
            outside: outside.clone(),
            shard,
            tally: Tally::default(),
            tallies: tallies.clone(),
        })
        .attend("nat", |_| {
            figures.take_in();
            if second.is_due() {
                figures.complain();
            }
            if reminder.is_due() {
                figures.print();
            }
        })?;
    figures.take_in();
    figures.complain();
    figures.print();
    Ok(report.into_result()?)
}

/// The part of all addresses and ports that belongs to a shard: those of each port are next to each other.
pub(crate) fn endpoints(
    addresses: &[Ipv4Addr],
    (first, last): (u16, u16),
    shard: u16,
    shards: u16,
) -> VecDeque<Endpoint> {
    let all: Vec<Endpoint> = (first..=last)
        .flat_map(|port| {
            addresses.iter().map(move |addr| Endpoint {
                addr: (*addr).into(),
                port,
            })
        })
        .collect();
    let part = all.len().div_ceil(shards.max(1).into()).max(1);
    all.chunks(part)
        .nth(shard.into())
        .unwrap_or_default()
        .to_vec()
        .into()
}

/// What was done with connections.
#[derive(Clone, Copy, Default)]
struct Tally {
    /// Translated.
    flows: u64,
    /// Of those, over.
    ended: u64,
    packets: u64,
    bytes: u64,
    /// Packets of new connections for which no port was left.
    no_port: u64,
    /// Packets that cannot be translated.
    untranslatable: u64,
    /// Packets from the outside that nobody asked for.
    unasked: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.flows += more.flows;
        self.ended += more.ended;
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.no_port += more.no_port;
        self.untranslatable += more.untranslatable;
        self.unasked += more.unasked;
    }
}

/// One on each shard.
struct Nat {
    /// Addresses and ports of this shard that nobody has, the longest unused first.
    free: VecDeque<Endpoint>,
    inside: Vec<Ipv4Net>,
    outside: Vec<Ipv4Addr>,
    shard: u16,
    tally: Tally,
    tallies: Sender<Tally>,
}

/// What the outside sees of a flow's client.
type Public = Option<Endpoint>;

impl Actor for Nat {
    type Flow = Public;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let v4 = mosaic::filter::flows("ip")?;
        shard.monitor_stream(Some(v4)).packets(Hook::Send).open()?;
        shard.set_timer_every(TELL_EVERY)?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        public: &mut Public,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        let [client, server] = Side::BOTH.map(|side| flow.endpoint(side));
        if !self.is_inside(client.addr) {
            if self.outside.iter().any(|outside| server.addr == *outside) {
                self.tally.unasked += 1;
                return Verdict::Drop;
            }
            flow.stop();
            return Verdict::Forward;
        }
        if self.is_inside(server.addr) {
            flow.stop();
            return Verdict::Forward;
        }
        // The port of an ICMP flow is the identifier of an echo; other messages have none.
        let is_echo = flow.proto() == Proto::ICMP && client.port != 0;
        if !is_echo && ![Proto::TCP, Proto::UDP].contains(&flow.proto()) {
            self.tally.untranslatable += 1;
            return Verdict::Drop;
        }
        let Ok(given) = self.translate(flow, server) else {
            self.tally.untranslatable += 1;
            return Verdict::Drop;
        };
        *public = given;
        if public.is_none() {
            // The next packet asks again.
            self.tally.no_port += 1;
            return Verdict::Drop;
        }
        self.tally.flows += 1;
        // From here on the engine knows what to do.
        flow.stop();
        Verdict::Forward
    }

    fn on_removed(&mut self, public: &mut Public, flow: &mut FlowContext<'_>) {
        let Some(public) = public.take() else { return };
        self.free.push_back(public);
        let sides = flow.summary().sides;
        self.tally.ended += 1;
        self.tally.packets += sides.iter().map(|side| side.packets).sum::<u64>();
        self.tally.bytes += sides.iter().map(|side| side.ip_bytes).sum::<u64>();
    }

    fn on_shard_timer(&mut self, _: &mut ShardContext<'_>, _: TimerId) {
        self.tell();
    }

    fn finish(&mut self) {
        self.tell();
    }
}

impl Nat {
    fn is_inside(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr else { return false };
        self.inside.iter().any(|network| network.contains(&addr))
    }

    /// Gives the client an address and a port whose answers come to this shard; `None` where none is left. Fails where another
    /// one would not do either: the packet came in fragments that were not held.
    fn translate(
        &mut self,
        flow: &mut FlowContext<'_>,
        server: Endpoint,
    ) -> Result<Public, TranslateError> {
        for _ in 0..self.free.len() {
            let Some(public) = self.free.front().copied() else {
                break;
            };
            let translation = Translation {
                client: Some(public),
                ..Translation::default()
            };
            // The cheap question comes first.
            if flow.shard_of(public, server) == Some(self.shard) {
                match flow.translate(translation) {
                    Ok(()) => return Ok(self.free.pop_front()),
                    Err(error @ TranslateError::Fragmented) => return Err(error),
                    Err(_) => {}
                }
            }
            self.free.rotate_left(1);
        }
        Ok(None)
    }

    fn tell(&mut self) {
        // Nobody listens only where the program is about to end.
        let _ = self.tallies.send(std::mem::take(&mut self.tally));
    }
}

/// The tallies of all shards together.
struct Figures {
    tally: Tally,
    tallies: Receiver<Tally>,
    /// Packets without a port that were complained about.
    said: u64,
}

impl Figures {
    fn take_in(&mut self) {
        self.tallies
            .try_iter()
            .for_each(|tally| self.tally += tally);
    }

    /// Says that ports are lacking, where that is news.
    fn complain(&mut self) {
        if self.tally.no_port > self.said {
            eprintln!(
                "nat: no port left for {} packets of new connections",
                self.tally.no_port - self.said
            );
            self.said = self.tally.no_port;
        }
    }

    fn print(&self) {
        let tally = &self.tally;
        println!(
            "translated      {:>12} connections, {} of them have ended",
            tally.flows, tally.ended
        );
        println!(
            "                {:>12} packets, {} bytes of those that have ended",
            tally.packets, tally.bytes
        );
        println!("no port left    {:>12} packets dropped", tally.no_port);
        println!(
            "untranslatable  {:>12} packets dropped",
            tally.untranslatable
        );
        println!("unasked         {:>12} packets dropped", tally.unasked);
    }
}
