//! `mosaic bench replay`: that what it measures is the whole work, and what it prints.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command.args(["bench", "replay"]).args(arguments);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn figures(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--repeat", "2", "--json"]].concat());
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "one object");
    serde_json::from_str(&text).unwrap()
}

/// Stream bytes of a capture, as its own programs reported them: the sum over both sides of every connection.
fn told(capture: &str) -> u64 {
    let facts = format!(
        "{}/tests/captures/facts/{capture}.txt",
        env!("CARGO_MANIFEST_DIR")
    );
    let facts = std::fs::read_to_string(facts).unwrap();
    let streams = facts
        .lines()
        .filter_map(|line| line.strip_prefix("stream "));
    streams
        .flat_map(|line| line.split(' ').skip(1))
        .map(|bytes| bytes.parse::<u64>().unwrap())
        .sum()
}

#[test]
fn readers_take_every_byte_whatever_they_do_with_it() {
    for actor in ["read", "touch", "window:4096"] {
        for capture in ["http", "lossy"] {
            let path = format!("tests/captures/{capture}.pcap");
            let figures = figures(&[&path, "--actor", actor]);
            assert_eq!(figures["payload_bytes"], told(capture), "{capture} {actor}");
            assert_eq!(figures["lost_bytes"], 0, "{capture} {actor}");
            assert_eq!(figures["window_misses"], 0, "{capture} {actor}");
        }
    }
}

#[test]
fn nobody_reads_where_nobody_was_asked_to() {
    for actor in ["none", "count"] {
        let figures = figures(&["tests/captures/http.pcap", "--actor", actor]);
        assert_eq!(figures["payload_bytes"], 0);
        assert!(figures["events"].as_u64().unwrap() > 0);
    }
}

#[test]
fn shards_share_the_work_and_lose_none() {
    let one = figures(&["tests/captures/redis.pcap"]);
    let two = figures(&["tests/captures/redis.pcap", "--shards", "2"]);
    for total in ["packets", "connections", "payload_bytes"] {
        assert_eq!(one[total], two[total], "{total}");
        let parts = two["per_shard"].as_array().unwrap();
        let parts: Vec<u64> = parts
            .iter()
            .map(|part| part[total].as_u64().unwrap())
            .collect();
        assert!(
            parts.len() == 2 && parts.iter().all(|part| *part > 0),
            "{total}: {parts:?}"
        );
        assert_eq!(two[total], parts.iter().sum::<u64>(), "{total}");
    }
}

#[test]
fn times_are_ordered_and_belong_together() {
    let figures = figures(&["tests/captures/http.pcap"]);
    for spread in [
        "ns_per_packet",
        "wall_ns_per_packet",
        "mpps",
        "gbit_per_second",
        "events_per_second",
    ] {
        let [min, median, max] =
            ["min", "median", "max"].map(|which| figures[spread][which].as_f64().unwrap());
        assert!(
            0.0 < min && min <= median && median <= max,
            "{spread}: {min} {median} {max}"
        );
    }
    let slowest = figures["wall_ns_per_packet"]["max"].as_f64().unwrap()
        * figures["mpps"]["min"].as_f64().unwrap();
    assert!((slowest - 1000.0).abs() < 1.0, "{slowest}");
    assert!(figures["bytes_per_flow"].as_f64().unwrap() >= 0.0);
}

#[test]
fn events_and_subscriptions_are_measured() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
        command.args(["bench", "events", "--flows", "2000", "--repeat", "1"]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let figures: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(figures["flows"], 2000);
    assert_eq!(figures["changes"].as_array().unwrap().len(), 2);
    assert_eq!(figures["changes"][0]["packets"], 2000);
    let deliveries = figures["deliveries"].as_array().unwrap();
    let median = |name: &str| {
        let row = deliveries.iter().find(|row| row["what"] == name);
        row.unwrap_or_else(|| panic!("{name}"))["ns"]["median"]
            .as_f64()
            .unwrap()
    };
    assert!(median("packet told to 16 actors") > median("packet told to 1 actor"));
    let asked = |asked| median(&format!("1000 events defined, {asked} predicates asked"));
    assert!(asked(1000) > 20.0 * asked(10), "who is asked does the work");
    assert!(figures["ns_per_packet"]["median"].as_f64().unwrap() > 0.0);
    assert!(figures["idle_flow_bytes"].as_u64().unwrap() <= 512);
    let text = run(&[]);
    assert!(
        text.contains("changes a second") && text.contains("1000 ways"),
        "{text}"
    );
}

/// `mosaic bench port SOURCE` for moments.
fn bench_port(source: &str, flows: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .args(["bench", "port", source, "--flows", flows])
        .args(["--seconds", "0.02", "--repeat", "1", "--json"])
        .output()
        .unwrap()
}

#[test]
fn ports_are_measured_stage_by_stage() {
    let mut sources = vec!["memory"];
    if cfg!(feature = "dpdk") {
        sources.extend(["pcap", "ring", "net_null0,size=64"]);
    }
    for source in sources {
        let output = bench_port(source, "10");
        assert!(output.status.success(), "{output:?}");
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
        let stages = figures["mpps"].as_array().unwrap();
        let names: Vec<_> = stages.iter().map(|stage| &stage[0]).collect();
        assert_eq!(names, ["receive", "parse", "track"]);
        for stage in stages {
            assert!(stage[1]["min"].as_f64().unwrap() > 0.0, "{figures}");
        }
    }
}

#[test]
#[cfg(feature = "dpdk")]
fn more_frames_than_a_ring_has_room_for_are_refused() {
    let output = bench_port("ring", "2000");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let complaint = String::from_utf8(output.stderr).unwrap();
    let reason = "a ring has no room for more than 1023 frames";
    assert!(complaint.contains(reason), "{complaint}");
}

#[test]
fn people_get_a_table_and_errors_name_the_file() {
    let output = bench(&[
        "tests/captures/http.pcap",
        "--repeat",
        "1",
        "--actor",
        "count",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for part in [
        "tests/captures/http.pcap",
        "ns/packet",
        "Mpackets/s",
        "median",
        "spread",
        "actor count",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let output = bench(&["no-such.pcap"]);
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("no-such.pcap") && complaint.lines().count() == 1,
        "{complaint}"
    );

    let output = bench(&["tests/captures/http.pcap", "--actor", "window"]);
    assert_eq!(output.status.code(), Some(2));
}
