//! A gatekeeper for the web: shows a page of its own, resets connections, and leads clients to another port.
//!
//! ```text
//! cargo run --example portal                                               # what it would do to a capture
//! cargo run --example portal -- --answer /small --reset 81 monday.pcap
//! cargo run --features dpdk --example portal -- --config mosaic.toml --answer /blocked --reset 81 --lead 82=80
//! ```
//!
//! HTTP requests to port 80 whose path begins with one of `--answer` get the page from here, and the server is told that the
//! connection is over. Connections to a port of `--reset` are refused as if nobody listened, those that are open already reset at
//! both ends. Connections to the first port of `--lead` really go to the second one of the same server, and see nothing of it.
//! Connections on which nothing was sent for `--idle` seconds are reset at both ends.
//!
//! On captures nothing can be sent: what would have been done is counted. A request must lie within one segment to be recognised.
#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use mosaic::config::Source;
use mosaic::prelude::*;

/// Answers, resets and leads connections
#[derive(Debug, Parser)]
struct Args {
    #[command(flatten)]
    source: Source,
    /// Answers requests for paths that begin so
    #[arg(long, value_name = "PATH", default_value = "/")]
    answer: Vec<String>,
    /// Resets connections to this port
    #[arg(long, value_name = "PORT")]
    reset: Vec<u16>,
    /// Leads connections to one port to another one
    #[arg(long, value_name = "FROM=TO", value_parser = two_ports)]
    lead: Vec<(u16, u16)>,
    /// Resets connections on which nothing was sent for so long
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    idle: Option<u64>,
}

/// What is read where the command line names nothing.
const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/captures/http.pcap");

fn two_ports(text: &str) -> Result<(u16, u16), String> {
    let ports = text.split_once('=').ok_or("two ports, as in 82=80")?;
    let port = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
    Ok((port(ports.0)?, port(ports.1)?))
}

/// What was done, and what could not be.
#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    reset: AtomicU64,
    led: AtomicU64,
    idle: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Portal {
    rules: Arc<Rules>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Rules {
    answer: Vec<String>,
    reset: Vec<u16>,
    lead: Vec<(u16, u16)>,
    idle: Option<Duration>,
}

const BODY: &str = "<!doctype html><title>Closed</title><p>This page is closed.</p>\n";

fn page() -> String {
    format!(
        "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )
}

/// The path of a request.
fn path(payload: &[u8]) -> Option<&str> {
    let line = payload.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (_method, path, version) = (words.next()?, words.next()?, words.next()?);
    version.starts_with("HTTP/1.").then_some(path)
}

impl Actor for Portal {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        let tcp = mosaic::filter::flows("tcp")?;
        shard
            .monitor_stream(Some(tcp))
            .packets(Hook::Send)
            .packets(Hook::Receive)
            .on(Hook::End, EventSet::CONN_START)
            .injects()
            .open()?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        (): &mut (),
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let server = flow.endpoint(Side::Server);
        if self.rules.reset.contains(&server.port) && hook == Hook::Receive {
            // Those of a capture, and those that were reset before, are only refused.
            let done = flow.reset().is_ok();
            count(&self.counts.reset, &self.counts.refused, done);
            return Verdict::Drop;
        }
        if hook == Hook::Send {
            self.lead(flow, packet, server);
        } else if packet.sender == Side::Client
            && server.port == 80
            && path(packet.payload()).is_some_and(|path| self.is_answered(path))
        {
            let done = flow.answer(page().as_bytes()).is_ok();
            count(&self.counts.answered, &self.counts.refused, done);
            if done {
                return Verdict::Drop;
            }
        }
        Verdict::Forward
    }

    fn on_event(&mut self, (): &mut (), flow: &mut FlowContext<'_>, _: Event) {
        if let Some(idle) = self.rules.idle {
            // Where there are no more timers, some connections stay.
            let _ = flow.set_timer(idle);
        }
    }

    fn on_timer(&mut self, (): &mut (), flow: &mut FlowContext<'_>, _: TimerId) {
        let Some(idle) = self.rules.idle else { return };
        let summary = flow.summary();
        if summary.end.is_some() {
            return;
        }
        let quiet = flow.now().since(summary.last);
        if quiet < idle {
            let _ = flow.set_timer(idle - quiet);
            return;
        }
        let done = flow.reset().is_ok();
        count(&self.counts.idle, &self.counts.refused, done);
    }
}

impl Portal {
    fn is_answered(&self, path: &str) -> bool {
        let mut prefixes = self.rules.answer.iter();
        prefixes.any(|prefix| path.starts_with(prefix))
    }

    /// Leads a new connection elsewhere.
    fn lead(&self, flow: &mut FlowContext<'_>, packet: &PacketView<'_>, server: Endpoint) {
        let opens = packet.sender == Side::Client && flow.state(Side::Server) == State::Listen;
        let lead = self
            .rules
            .lead
            .iter()
            .find(|(from, _)| *from == server.port);
        let Some((_, port)) = lead.filter(|_| opens && flow.translation().is_none()) else {
            return;
        };
        let to = Endpoint {
            port: *port,
            ..server
        };
        // Another port of the client where packets would come back to another shard, or are those of another connection.
        let client = flow.endpoint(Side::Client);
        let done = std::iter::once(client.port)
            .chain(32_768..)
            .take(1000)
            .any(|port| {
                flow.translate(Translation {
                    client: Some(Endpoint { port, ..client }),
                    server: Some(to),
                    ..Translation::default()
                })
                .is_ok()
            });
        count(&self.counts.led, &self.counts.refused, done);
    }
}

fn count(done: &AtomicU64, refused: &AtomicU64, is_done: bool) {
    let counter = if is_done { done } else { refused };
    counter.fetch_add(1, Ordering::Relaxed);
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let plan = args.source.plan_or([CAPTURE])?;
    let counts = Arc::<Counts>::default();
    let rules = Arc::new(Rules {
        answer: args.answer,
        reset: args.reset,
        lead: args.lead,
        idle: args.idle.map(Duration::from_secs),
    });
    let of_shards = Arc::clone(&counts);
    let report = Runtime::builder()
        .plan(plan)
        .actor("portal", move |_shard| Portal {
            rules: Arc::clone(&rules),
            counts: Arc::clone(&of_shards),
        })
        .attend("portal", |_| ())?;
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!("answered  {}", of(&counts.answered));
    println!("reset     {}", of(&counts.reset));
    println!("led       {}", of(&counts.led));
    println!("idle      {}", of(&counts.idle));
    println!("could not {}", of(&counts.refused));
    Ok(report.into_result()?)
}
