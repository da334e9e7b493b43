//! A load balancer: connections to one address are spread over many servers, by consistent hashing (Maglev).
//!
//! ```text
//! cargo run --example load_balancer                              # how the connections of a capture would be spread
//! cargo run --features dpdk --example load_balancer -- --config mosaic.toml --service 203.0.113.80:80 --backends my.list
//! ```
//!
//! Clients talk to `--service`; mosaic, in the wire before the servers, gives each connection the address of one of them, and
//! takes it back in the answers. Services and servers may be of IPv4 and IPv6; each has those of its own version. The file of
//! servers has an address and a port a line:
//!
//! ```text
//! 192.0.2.11:80
//! 192.0.2.12:8080          # text behind # is left out
//! [2001:db8::11]:80
//! ```
//!
//! Which server it is follows from the client's address and port alone, by the table of Eisenbud and others, "Maglev: A Fast and
//! Reliable Software Network Load Balancer" (2016), section 3.4: shares are even, several balancers with the same file agree, and
//! when a server goes, next to none of the others' connections move. The file is read again when it changes, and on SIGHUP;
//! connections stay with the server they have, also where it is no longer in the file. A file with a mistake changes nothing.
//!
//! With several shards, answers must come to the shard that has the connection: it is chosen by a hash of the addresses, which
//! translation changes. Where the client's own port does not lead there, the server sees another port of the client.
//!
//! The table of servers is printed at the end, on SIGUSR1 and every `--every` seconds.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::collections::HashMap;
use std::error::Error;
use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use arc_swap::ArcSwap;
use clap::Parser;
use mosaic::config::Source;
use mosaic::control::{Reminder, Watched};
use mosaic::prelude::*;
use siphasher::sip::SipHasher13;

/// Connections to one address, spread over many servers
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// What clients connect to; several separated by commas
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "192.0.2.2:80"
    )]
    service: Vec<SocketAddr>,
    /// Servers; some made-up ones without it
    #[arg(long, value_name = "FILE")]
    backends: Option<PathBuf>,
    /// Prints the table so often
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    every: Option<u64>,
}

/// What is read where the command line names nothing.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/http.pcap");
const BACKENDS: &str = "192.0.2.11:80\n192.0.2.12:80\n192.0.2.13:80\n";

/// How often shards tell what they have counted.
const TELL_EVERY: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let plan = args.source.plan_or([CAPTURE])?;
    let mut directory = Directory::open(args.backends)?;
    let (ledgers, received) = channel();
    let mut table = Table {
        counts: Ledger::new(),
        ledgers: received,
    };
    let services = args.service.iter().map(|service| {
        format!(
            "(dst host {} and dst port {})",
            service.ip(),
            service.port()
        )
    });
    let services = services.collect::<Vec<_>>().join(" or ");
    let mut reminder = Reminder::new(args.every.map(Duration::from_secs))?;
    let in_force = Arc::clone(&directory.in_force);
    let report = Runtime::builder()
        .plan(plan)
        .actor("load-balancer", move |_shard| Balancer {
            services: services.clone(),
            pool: arc_swap::Cache::new(Arc::clone(&in_force)),
            ledger: Ledger::new(),
            ledgers: ledgers.clone(),
        })
        .attend("load_balancer", |_| {
            table.take_in();
            if directory.file.has_changed() {
                directory.read_again();
            }
            if reminder.is_due() {
                table.print(&directory);
            }
        })?;
    table.take_in();
    table.print(&directory);
    Ok(report.into_result()?)
}

/// Places of the table: a prime number, much larger than the number of servers (the paper's value).
const PLACES: usize = 65_537;
/// At a hundred places for each server, shares differ by a percent or so.
const BACKENDS_MAX: usize = PLACES / 100;

/// Maglev's table: which server each place belongs to.
#[derive(Debug)]
pub(crate) struct Maglev {
    /// Indices into the servers it was made of; empty without servers.
    places: Vec<u16>,
}

impl Maglev {
    /// Populates the table: in turn, each server takes the next place that is free in an order of its own.
    ///
    /// # Panics
    /// With more than `BACKENDS_MAX` servers.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        assert!(servers.len() <= BACKENDS_MAX, "{} servers", servers.len());
        const FREE: u16 = u16::MAX;
        let mut places = vec![FREE; if servers.is_empty() { 0 } else { PLACES }];
        // The order of a server: every `skip`th place, from `offset` on. All places, since their number is a prime.
        let mut orders: Vec<(usize, usize)> = servers
            .iter()
            .map(|server| {
                let offset = place_of(hash(1, server));
                let skip = usize::try_from(hash(2, server) % (PLACES as u64 - 1)).unwrap_or(0) + 1;
                (offset, skip)
            })
            .collect();
        let mut taken = 0;
        while taken < places.len() {
            for ((next, skip), server) in orders.iter_mut().zip(0..) {
                while places[*next] != FREE {
                    *next = (*next + *skip) % PLACES;
                }
                places[*next] = server;
                taken += 1;
                if taken == places.len() {
                    break;
                }
            }
        }
        Self { places }
    }

    /// Index of the server for something of this hash; `None` without servers.
    pub(crate) fn server_of(&self, hash: u64) -> Option<usize> {
        self.places
            .get(place_of(hash))
            .map(|server| usize::from(*server))
    }
}

fn place_of(hash: u64) -> usize {
    usize::try_from(hash % PLACES as u64).unwrap_or(0)
}

/// The same on every machine, and for good.
pub(crate) fn hash(which: u64, of: &SocketAddr) -> u64 {
    let addr = match of.ip() {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    };
    let mut hasher = SipHasher13::new_with_keys(which, 0);
    hasher.write(&addr.octets());
    hasher.write(&of.port().to_be_bytes());
    hasher.finish()
}

/// The servers of a file, and a table for each version of IP.
#[derive(Debug)]
pub(crate) struct Pool {
    v4: (Vec<SocketAddr>, Maglev),
    v6: (Vec<SocketAddr>, Maglev),
}

impl Pool {
    /// The servers a text names.
    ///
    /// # Errors
    /// Number of the line, and what is wrong there.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut servers: Vec<SocketAddr> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let server = line
                .parse()
                .map_err(|_| format!("{number}: {line} is not an address and a port"))?;
            if servers.contains(&server) {
                return Err(format!("{number}: {server} stands there twice"));
            }
            if servers.len() == BACKENDS_MAX {
                return Err(format!("{number}: more than {BACKENDS_MAX} servers"));
            }
            servers.push(server);
        }
        // Their order in the file shall not matter.
        servers.sort_unstable();
        let (v4, v6): (Vec<_>, Vec<_>) = servers.into_iter().partition(SocketAddr::is_ipv4);
        let with_table = |servers: Vec<SocketAddr>| {
            let table = Maglev::new(&servers);
            (servers, table)
        };
        Ok(Self {
            v4: with_table(v4),
            v6: with_table(v6),
        })
    }

    /// The server for this client.
    pub(crate) fn server_for(&self, client: SocketAddr) -> Option<SocketAddr> {
        let (servers, table) = if client.is_ipv4() { &self.v4 } else { &self.v6 };
        table
            .server_of(hash(0, &client))
            .map(|server| servers[server])
    }

    fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        self.v4.0.iter().chain(&self.v6.0).copied()
    }
}

/// The servers in force, and where they come from.
struct Directory {
    in_force: Arc<ArcSwap<Pool>>,
    file: Watched,
}

impl Directory {
    fn open(path: Option<PathBuf>) -> Result<Self, Box<dyn Error>> {
        let mut directory = Self {
            in_force: Arc::new(ArcSwap::from_pointee(Pool::parse("")?)),
            file: Watched::new(path)?,
        };
        directory.read_file()?;
        Ok(directory)
    }

    /// Puts in force what the file says.
    fn read_file(&mut self) -> Result<(), String> {
        let pool = self.file.load(BACKENDS, Pool::parse);
        let pool = pool.map_err(|error| error.to_string())?;
        self.in_force.store(Arc::new(pool));
        Ok(())
    }

    fn read_again(&mut self) {
        match self.read_file() {
            Ok(()) => {
                let servers = self.in_force.load().servers().count();
                eprintln!("load_balancer: {servers} servers in force");
            }
            Err(error) => eprintln!("load_balancer: {error}; the servers of before stay in force"),
        }
    }
}

/// What a server got.
#[derive(Clone, Copy, Default)]
struct Counts {
    flows: u64,
    packets: u64,
    bytes: u64,
}

/// By server; `None`: there was none, or no port was left.
type Ledger = HashMap<Option<SocketAddr>, Counts>;

/// One on each shard.
struct Balancer {
    services: String,
    pool: arc_swap::Cache<Arc<ArcSwap<Pool>>, Arc<Pool>>,
    /// What was counted since it was last told.
    ledger: Ledger,
    ledgers: Sender<Ledger>,
}

/// What is kept of a flow.
#[derive(Default)]
struct Balanced {
    is_decided: bool,
    server: Option<SocketAddr>,
}

/// Ports that are tried for the client besides its own.
const PORT_TRIES: u64 = 4096;

impl Actor for Balancer {
    type Flow = Balanced;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let to_services = mosaic::filter::flows(&self.services)?;
        shard
            .monitor_stream(Some(to_services))
            .packets(Hook::Send)
            .open()?;
        shard.set_timer_every(TELL_EVERY)?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        balanced: &mut Balanced,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        if balanced.is_decided {
            return Verdict::Drop;
        }
        let client = flow.endpoint(Side::Client);
        let server = self
            .pool
            .load()
            .server_for(SocketAddr::new(client.addr, client.port));
        let server = server.filter(|server| translate(flow, client, *server));
        self.ledger.entry(server).or_default().flows += 1;
        *balanced = Balanced {
            is_decided: true,
            server,
        };
        if server.is_some() {
            // From here on the engine knows what to do.
            flow.stop();
            return Verdict::Forward;
        }
        Verdict::Drop
    }

    fn on_removed(&mut self, balanced: &mut Balanced, flow: &mut FlowContext<'_>) {
        let sides = flow.summary().sides;
        let counts = self.ledger.entry(balanced.server).or_default();
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

impl Balancer {
    fn tell(&mut self) {
        if !self.ledger.is_empty() {
            // Nobody listens only where the program is about to end.
            let _ = self.ledgers.send(std::mem::take(&mut self.ledger));
        }
    }
}

/// Gives the connection to the server, so that its answers come to this shard.
fn translate(flow: &mut FlowContext<'_>, client: Endpoint, server: SocketAddr) -> bool {
    let server = Endpoint {
        addr: server.ip(),
        port: server.port(),
    };
    let of_client = SocketAddr::new(client.addr, client.port);
    let others = (0..PORT_TRIES).map(|attempt| {
        let port = 1024 + hash(3 + attempt, &of_client) % (65_536 - 1024);
        u16::try_from(port).unwrap_or(client.port)
    });
    for port in std::iter::once(client.port).chain(others) {
        let addr = client.addr;
        let translation = Translation {
            client: Some(Endpoint { addr, port }),
            server: Some(server),
            ..Translation::default()
        };
        match flow.translate(translation) {
            Ok(()) => return true,
            Err(TranslateError::Taken | TranslateError::OtherShard(_)) => {}
            Err(_) => break,
        }
    }
    false
}

/// The figures of all shards together.
struct Table {
    counts: Ledger,
    ledgers: Receiver<Ledger>,
}

impl Table {
    fn take_in(&mut self) {
        for (server, more) in self.ledgers.try_iter().flatten() {
            let counts = self.counts.entry(server).or_default();
            counts.flows += more.flows;
            counts.packets += more.packets;
            counts.bytes += more.bytes;
        }
    }

    /// The servers in force with their figures, then those that were before, then what found none.
    fn print(&self, directory: &Directory) {
        println!(
            "{:<26} {:>9} {:>11} {:>15}",
            "server", "flows", "packets", "bytes"
        );
        let in_force: Vec<SocketAddr> = directory.in_force.load().servers().collect();
        for server in &in_force {
            self.print_line(Some(*server), &server.to_string());
        }
        let mut gone: Vec<SocketAddr> = self.counts.keys().flatten().copied().collect();
        gone.retain(|server| !in_force.contains(server));
        gone.sort_unstable();
        for server in gone {
            self.print_line(Some(server), &format!("{server} (gone)"));
        }
        self.print_line(None, "none");
    }

    fn print_line(&self, server: Option<SocketAddr>, name: &str) {
        let Counts {
            flows,
            packets,
            bytes,
        } = self.counts.get(&server).copied().unwrap_or_default();
        println!("{name:<26} {flows:>9} {packets:>11} {bytes:>15}");
    }
}
