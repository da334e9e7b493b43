//! The metrics endpoint, as Prometheus sees it.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use mosaic::metrics::names::METRICS;
use mosaic::metrics::serve;
use mosaic::prelude::*;
use mosaic::{PortFigures, ShardSnapshot, Snapshot};

/// An address of this host on which nobody listens; the operating system chooses the port.
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Listener;

impl Actor for Listener {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard
            .monitor_stream(None)
            .on(Hook::End, EventSet::CONN_START)
            .open()?;
        Ok(())
    }
}

/// The figures of two shards after a capture of this repository.
fn figures() -> Vec<ShardSnapshot> {
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/http.pcap");
    let runtime = Runtime::builder()
        .capture(capture)
        .shards(2)
        .actor("listener", |_| Listener)
        .start()
        .unwrap();
    runtime.wait().unwrap().snapshot().shards
}

fn port() -> PortFigures {
    PortFigures {
        name: "left".into(),
        missed_frames: 5,
        ..PortFigures::default()
    }
}

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// Sum of the values of `metric` over its labels.
fn value(text: &str, metric: &str) -> u64 {
    let lines = text
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(metric));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[test]
fn every_metric_is_served_and_no_other() {
    let shards = figures();
    let frames: u64 = shards
        .iter()
        .map(|shard| shard.ingress.received_frames)
        .sum();
    assert!(frames > 0);
    let figures = Snapshot {
        shards,
        ports: vec![port()],
    };
    let server = serve(ANY_PORT, move || figures.clone()).unwrap();
    let text = scrape(server.address());

    let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    let served: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert_eq!(served, listed);
    assert_eq!(value(&text, "mosaic_received_frames_total"), frames);
    for line in text.lines().filter(|line| line.starts_with("mosaic_")) {
        assert!(
            ["{shard=\"0\"", "{shard=\"1\"", "{port=\"left\"}"]
                .iter()
                .any(|label| line.contains(label)),
            "{line}"
        );
    }
    assert!(text.contains("\nmosaic_port_missed_frames_total{port=\"left\"} 5\n"));
    assert!(text.contains("actor=\"listener\""), "labels carry names");
}

#[test]
fn figures_are_published_until_the_end() {
    let figures = Arc::new(Mutex::new(ShardSnapshot::default()));
    let published = Arc::clone(&figures);
    let server = serve(ANY_PORT, move || vec![published.lock().unwrap().clone()]).unwrap();
    let address = server.address();
    assert_eq!(value(&scrape(address), "mosaic_flows_started_total"), 0);

    figures.lock().unwrap().counters.flows_started = 7;
    let deadline = std::time::Duration::from_secs(10);
    let mut waited = std::time::Duration::ZERO;
    while value(&scrape(address), "mosaic_flows_started_total") != 7 {
        assert!(waited < deadline, "not published");
        std::thread::sleep(std::time::Duration::from_millis(50));
        waited += std::time::Duration::from_millis(50);
    }
    server.finish();
    assert!(
        TcpStream::connect(address).is_err(),
        "the endpoint is closed"
    );
    assert_eq!(Arc::strong_count(&figures), 1, "nothing is left running");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind(ANY_PORT).unwrap();
    let address = taken.local_addr().unwrap();
    let error = serve(address, Snapshot::default).unwrap_err().to_string();
    assert!(
        error.contains(&address.to_string()) && error.contains("in use"),
        "{error}"
    );
}

#[test]
fn promtool_finds_nothing_to_improve() {
    let shards = figures();
    let figures = Snapshot {
        shards,
        ports: vec![port()],
    };
    let server = serve(ANY_PORT, move || figures.clone()).unwrap();
    let text = scrape(server.address());
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: promtool is not installed (Debian package prometheus)");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
