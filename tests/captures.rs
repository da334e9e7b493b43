//! The captures of this repository against what the programs that spoke in them reported.
//!
//! `tests/captures/facts` holds, for each capture, lines that `record.sh` took from the logs and statistics of nginx,
//! curl, redis and others: none of them comes from a look at packets.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use mosaic::prelude::*;
use sha2::{Digest, Sha256};

const SHARD_COUNTS: [u16; 3] = [1, 2, 4];

macro_rules! captures {
    ($($name:ident)*) => {
        const CAPTURES: &[&str] = &[$(stringify!($name)),*];
        mod facts_hold {
            $(#[test] fn $name() { super::facts_hold(stringify!($name)); })*
        }
        mod records_are_the_same_for_any_number_of_shards {
            $(#[test] fn $name() { super::records_are_the_same(stringify!($name)); })*
        }
    };
}

captures!(http tls redis lossy http6 vlan dns);

#[test]
fn every_capture_is_tested() {
    let files = fs::read_dir(folder())
        .expect("tests/captures")
        .map(|entry| entry.expect("entry").path());
    let mut found: Vec<String> = files
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "pcap")
        })
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    found.sort_unstable();
    let mut tested = CAPTURES.to_vec();
    tested.sort_unstable();
    assert_eq!(found, tested);
}

/// `make demo` shows it to everybody who comes here first.
#[test]
fn the_readme_shows_what_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["replay", "--shards", "2", "tests/captures/lossy.pcap"])
        .output()
        .expect("mosaic runs");
    let printed = String::from_utf8(output.stdout).expect("the summary is text");
    // How many bursts brought new data is no fact about the traffic.
    let lasting: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with("new_data"))
        .collect();
    assert!(lasting.len() > 10, "prints a summary");
    let readme = include_str!("../README.md");
    for line in lasting {
        assert!(
            readme.lines().any(|shown| shown == line),
            "the README does not show: {line}"
        );
    }
}

fn facts_hold(name: &str) {
    let text = fs::read_to_string(folder().join(format!("facts/{name}.txt")))
        .expect("facts of the capture");
    assert!(text.lines().count() >= 2, "{name}: has facts");
    for shards in SHARD_COUNTS {
        let flows = replay(name, shards);
        for fact in text.lines() {
            if let Err(found) = check(fact, &flows) {
                panic!("{name}, {shards} shards: the programs say `{fact}`, mosaic says {found}");
            }
        }
        assert!(
            flows.iter().all(|flow| flow.gap_bytes == 0),
            "{name}: nothing is missing from the capture"
        );
    }
}

/// Holds one fact against the flows; an error says what was found instead. The facts are, with sides `c2s` and `s2c`:
///
/// ```text
/// tcp_flows N                    so many connections
/// udp_flows N                    so many UDP exchanges
/// stream PORT C2S S2C            the connection from that client port carried so many bytes each way
/// stream_total SIDE N            bytes of that side over all connections
/// body SIDE BYTES SHA256         exactly one stream of that side ends with this file
/// text SIDE N WORD               so many streams of that side contain the word
/// udp_flow PORT C2S S2C          the exchange from that client port carried so many payload bytes each way
/// vlan ID                        every TCP connection was seen in that VLAN
/// ```
fn check(fact: &str, flows: &[SeenFlow]) -> Result<(), String> {
    let words: Vec<&str> = fact.split(' ').collect();
    let number = |text: &str| text.parse::<usize>().expect("a number in a fact");
    let of = |proto| flows.iter().filter(move |flow| flow.proto == proto);
    match words[..] {
        ["tcp_flows", count] => same(number(count), of(Proto::TCP).count()),
        ["udp_flows", count] => same(number(count), of(Proto::UDP).count()),
        ["stream", port, c2s, s2c] => {
            let lengths = of(Proto::TCP)
                .filter(|f| f.client_port == number(port))
                .map(SeenFlow::stream_lengths);
            same(vec![[number(c2s), number(s2c)]], lengths.collect())
        }
        ["stream_total", side, bytes] => same(
            number(bytes),
            of(Proto::TCP).map(|flow| flow.stream(side).len()).sum(),
        ),
        ["body", side, bytes, digest] => {
            let ends_so = |flow: &&SeenFlow| {
                tail_digest(flow.stream(side), number(bytes)).as_deref() == Some(digest)
            };
            same(1, of(Proto::TCP).filter(ends_so).count())
        }
        ["text", side, count, word] => {
            let contains = |flow: &&SeenFlow| {
                flow.stream(side)
                    .windows(word.len())
                    .any(|w| w == word.as_bytes())
            };
            same(number(count), of(Proto::TCP).filter(contains).count())
        }
        ["udp_flow", port, c2s, s2c] => {
            let payload = of(Proto::UDP)
                .filter(|f| f.client_port == number(port))
                .map(|f| f.payload_bytes);
            same(vec![[number(c2s), number(s2c)]], payload.collect())
        }
        ["vlan", id] => same(true, of(Proto::TCP).all(|flow| flow.vlans == [number(id)])),
        _ => panic!("unknown fact `{fact}`"),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(expected: T, found: T) -> Result<(), String> {
    if expected == found {
        Ok(())
    } else {
        Err(format!("{found:?}"))
    }
}

fn tail_digest(stream: &[u8], bytes: usize) -> Option<String> {
    let start = stream.len().checked_sub(bytes)?;
    Some(
        Sha256::digest(&stream[start..])
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

/// The connection logs of the command, sorted, must not differ in a byte.
fn records_are_the_same(name: &str) {
    let logs = SHARD_COUNTS.map(|shards| {
        let output = Command::new(env!("CARGO_BIN_EXE_mosaic"))
            .args([
                "replay",
                "--conn-log",
                "-",
                "--digest",
                "sha256",
                "--shards",
                &shards.to_string(),
            ])
            .arg(capture(name))
            .output()
            .expect("mosaic runs");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("records are text");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    });
    assert!(!logs[0].is_empty(), "{name}: has records");
    assert_eq!(logs[0], logs[1], "{name}: 1 and 2 shards");
    assert_eq!(logs[0], logs[2], "{name}: 1 and 4 shards");
}

// --- what is seen ------------------------------------------------------------------------------------------------------

/// A flow as an actor saw it to its end.
struct SeenFlow {
    proto: Proto,
    client_port: usize,
    streams: Streams,
    payload_bytes: [usize; 2],
    gap_bytes: u64,
    vlans: Vec<usize>,
}

type Streams = [Vec<u8>; 2];

impl SeenFlow {
    fn stream(&self, side: &str) -> &[u8] {
        match side {
            "c2s" => &self.streams[Side::Client as usize],
            "s2c" => &self.streams[Side::Server as usize],
            _ => panic!("unknown side `{side}`"),
        }
    }

    fn stream_lengths(&self) -> [usize; 2] {
        self.streams.each_ref().map(Vec::len)
    }
}

/// Keeps every byte of every flow.
struct Keeper {
    seen: Arc<Mutex<Vec<SeenFlow>>>,
}

impl Actor for Keeper {
    type Flow = Streams;

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard
            .monitor_stream(None)
            .on(Hook::End, EventSet::NEW_DATA | EventSet::LATE_DATA)
            .open()?;
        Ok(())
    }

    fn on_event(&mut self, streams: &mut Streams, flow: &mut FlowContext<'_>, event: Event) {
        if let Event::NewData(side) | Event::LateData(side) = event {
            let stream = &mut streams[side as usize];
            let before = stream.len();
            let taken = flow.peek(side, |chunks| {
                chunks.for_each(|chunk| stream.extend_from_slice(chunk));
                stream.len() - before
            });
            assert_eq!(
                taken,
                Ok(stream.len() - before),
                "a peek takes what it was lent"
            );
        }
    }

    fn on_removed(&mut self, streams: &mut Streams, flow: &mut FlowContext<'_>) {
        let summary = flow.summary();
        let vlans = summary
            .encapsulation
            .layers
            .iter()
            .filter_map(|layer| match layer {
                Layer::Vlan(id) => Some(usize::from(*id)),
                _ => None,
            });
        self.seen
            .lock()
            .expect("no other actor failed")
            .push(SeenFlow {
                proto: summary.proto,
                client_port: usize::from(summary.client.port),
                streams: std::mem::take(streams),
                payload_bytes: summary
                    .sides
                    .map(|side| usize::try_from(side.payload_bytes).expect("small capture")),
                gap_bytes: summary.sides.iter().map(|side| side.gap_bytes).sum(),
                vlans: vlans.collect(),
            });
    }
}

/// Every flow of a capture, checksums verified.
fn replay(name: &str, shards: u16) -> Vec<SeenFlow> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let keeper = move |_shard| Keeper {
        seen: Arc::clone(&keep),
    };
    let runtime = Runtime::builder()
        .capture(capture(name))
        .shards(shards)
        .actor("keeper", keeper)
        .start()
        .expect("starts");
    let report = runtime.wait().expect("every shard ends well");
    assert!(report.error.is_none(), "{name}: {:?}", report.error);
    assert_eq!(
        report
            .actor_panics
            .iter()
            .map(|actor| actor.panics)
            .sum::<u64>(),
        0,
        "{name}: no actor panicked"
    );
    let snapshot = report.snapshot();
    let wrong: BTreeMap<_, _> = snapshot
        .drops()
        .iter()
        .filter(|(reason, count)| *count > 0 && *reason != "not_ip")
        .collect();
    assert!(wrong.is_empty(), "{name}: dropped {wrong:?}");
    assert!(
        snapshot.is_balanced(),
        "{name}: the books do not balance: {snapshot:?}"
    );
    let mut flows = seen.lock().expect("the actors are gone");
    std::mem::take(&mut flows)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn capture(name: &str) -> PathBuf {
    folder().join(format!("{name}.pcap"))
}

// --- that a wrong fact is found -----------------------------------------------------------------------------------------

#[test]
fn wrong_facts_fail() {
    let flow = SeenFlow {
        proto: Proto::TCP,
        client_port: 40_000,
        streams: [b"hello".to_vec(), b"body".to_vec()],
        payload_bytes: [5, 4],
        gap_bytes: 0,
        vlans: vec![7],
    };
    let digest = tail_digest(b"ody", 3).expect("long enough");
    let flows = [flow];
    for right in [
        "tcp_flows 1",
        "udp_flows 0",
        "stream 40000 5 4",
        "stream_total s2c 4",
        "text c2s 1 ell",
        "vlan 7",
    ] {
        assert_eq!(check(right, &flows), Ok(()), "{right}");
    }
    assert_eq!(check(&format!("body s2c 3 {digest}"), &flows), Ok(()));
    for wrong in [
        "tcp_flows 2",
        "udp_flows 1",
        "stream 40000 5 5",
        "stream 1 5 4",
        "stream_total c2s 4",
        "text s2c 1 ell",
        "vlan 8",
    ] {
        assert!(check(wrong, &flows).is_err(), "{wrong}");
    }
    assert!(check(&format!("body s2c 4 {digest}"), &flows).is_err());
    assert!(check(&format!("body s2c 9 {digest}"), &flows).is_err());
}
