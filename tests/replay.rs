//! `mosaic replay` as a user runs it: exit status, what stands on which output, what files appear.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use mosaic::port::capture::PcapWriter;
use mosaic::port::{LinkType, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The captures of this repository.
const CAPTURES: [&str; 7] = ["http", "http6", "tls", "redis", "lossy", "vlan", "dns"];

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
        .with_extension("pcap")
}

fn mosaic() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command
        .arg("replay")
        .stdin(Stdio::null())
        .env_remove("MOSAIC_LOG");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("mosaic runs")
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("standard output is text")
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("standard error is text")
}

fn records(output: &Output) -> Vec<Value> {
    out(output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("every line is JSON"))
        .collect()
}

/// Sum of a field over both sides of all records.
fn sum(records: &[Value], field: &str) -> u64 {
    let sides = records
        .iter()
        .flat_map(|record| [&record["c2s"], &record["s2c"]]);
    sides.map(|side| side[field].as_u64().unwrap_or(0)).sum()
}

#[test]
fn the_summary_says_what_is_in_a_capture() {
    let output = run(mosaic().arg(capture("http")));
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(err(&output), "");
    for part in [
        "http.pcap",
        "packets",
        "tcp",
        "192.0.2.2:80",
        "conn_end",
        "closed (FIN)",
    ] {
        assert!(
            out(&output).contains(part),
            "{part} is missing in\n{}",
            out(&output)
        );
    }
}

#[test]
fn a_connection_log_on_standard_output_stands_alone() {
    let output = run(mosaic()
        .args(["--conn-log", "-", "--digest", "sha256"])
        .arg(capture("http")));
    assert!(output.status.success());
    assert_eq!(err(&output), "");
    let records = records(&output);
    let tcp: Vec<_> = records
        .iter()
        .filter(|record| record["proto"] == "tcp")
        .collect();
    assert_eq!(tcp.len(), 3, "{output:?}");
    for record in tcp {
        assert_eq!(record["c2s"]["sha256"].as_str().map(str::len), Some(64));
        assert!(
            record["community_id"]
                .as_str()
                .is_some_and(|id| id.starts_with("1:"))
        );
        assert!(record.get("shard").is_none());
    }
}

#[test]
fn a_connection_log_in_a_file_has_the_summary_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("conn.jsonl");
    let output = run(mosaic().arg("--conn-log").arg(&log).arg(capture("dns")));
    assert!(output.status.success());
    assert!(out(&output).contains("udp"));
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.lines().count() > 0 && text.ends_with('\n'));
    let udp = text
        .lines()
        .find(|line| line.contains(r#""proto":"udp""#))
        .unwrap();
    assert!(
        !udp.contains("stream_bytes") && !udp.contains("sha256"),
        "{udp}"
    );
}

/// The corpus is compared in `corpus.rs`; these are the captures of the repository.
#[test]
fn records_do_not_depend_on_the_number_of_shards() {
    for name in CAPTURES {
        let [one, two, four] = ["1", "2", "4"].map(|shards| {
            let output = run(mosaic()
                .args(["--conn-log", "-", "--digest", "sha256", "--shards", shards])
                .arg(capture(name)));
            assert!(output.status.success(), "{}", err(&output));
            let mut lines: Vec<String> = out(&output).lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        });
        assert!(!one.is_empty(), "{name}");
        assert_eq!(one, two, "{name}");
        assert_eq!(one, four, "{name}");
    }
}

#[test]
fn records_add_up_to_what_the_shards_counted() {
    for name in CAPTURES {
        let records = records(&run(mosaic()
            .args(["--conn-log", "-", "--shards", "2"])
            .arg(capture(name))));
        let runtime = mosaic::Runtime::builder()
            .capture(capture(name))
            .shards(2)
            .start()
            .unwrap();
        let snapshot = runtime.wait().unwrap().snapshot();
        let counters = snapshot.counters();
        assert!(snapshot.is_balanced(), "{name}: {snapshot:#?}");
        assert_eq!(records.len() as u64, counters.flows_removed, "{name}");
        assert_eq!(sum(&records, "packets"), counters.consumed, "{name}");
        assert_eq!(sum(&records, "ip_bytes"), counters.ip_bytes, "{name}");
        assert_eq!(
            sum(&records, "stream_bytes"),
            counters.stream_bytes,
            "{name}"
        );
        assert_eq!(sum(&records, "gap_bytes"), counters.gap_bytes, "{name}");
    }
}

#[test]
fn several_captures_are_one_source() {
    let flows = |names: &[&str]| {
        let captures = names.iter().map(|name| capture(name));
        records(&run(mosaic()
            .args(["--conn-log", "-", "--filter", "tcp"])
            .args(captures)))
        .len()
    };
    assert_eq!(
        flows(&["http", "redis"]),
        flows(&["http"]) + flows(&["redis"])
    );
}

#[test]
fn a_capture_can_come_from_standard_input() {
    let from_file = run(mosaic().args(["--conn-log", "-"]).arg(capture("vlan")));
    let file = fs::File::open(capture("vlan")).unwrap();
    let from_input = run(mosaic().args(["--conn-log", "-", "-"]).stdin(file));
    let sorted = |output: &Output| {
        let mut lines: Vec<String> = out(output).lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    assert!(from_input.status.success(), "{}", err(&from_input));
    assert_eq!(sorted(&from_input), sorted(&from_file));
    assert!(out(&from_input).contains("\"vlans\":[7]"));
}

#[test]
fn filters_select() {
    let count = |args: &[&str]| {
        records(&run(mosaic()
            .args(["--conn-log", "-"])
            .args(args)
            .arg(capture("http"))))
        .len()
    };
    let all = count(&[]);
    // Beside the three connections there may be neighbour discovery.
    assert_eq!(count(&["--filter", "tcp port 80"]), 3);
    assert_eq!(count(&["--filter", "udp"]), 0);
    assert_eq!(count(&["--packet-filter", "tcp port 80"]), 3);
    assert_eq!(count(&["--packet-filter", "not tcp"]), all - 3);
}

#[test]
fn usage_errors_end_with_2_and_say_where() {
    let refused = |args: &[&str]| {
        let output = run(mosaic().args(args).arg(capture("dns")));
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
        assert_eq!(out(&output), "");
        err(&output).to_owned()
    };
    let filter = refused(&["--filter", "tcp prot 80"]);
    assert!(
        filter.contains("syntax error\n  tcp prot 80\n      ^"),
        "{filter}"
    );
    assert!(refused(&["--filter", "vlan 7"]).contains("no VLAN support for Raw IP"));
    assert!(refused(&["--packet-filter", "port nosuch"]).contains("unknown port 'nosuch'"));
    assert!(refused(&["--shards", "0"]).contains("--shards"));
    assert!(refused(&["--idle-timeout", "soon"]).contains("never"));
    assert!(refused(&["--nosuch"]).contains("--nosuch"));
    assert_eq!(
        run(&mut mosaic()).status.code(),
        Some(2),
        "without a capture"
    );
}

#[test]
fn a_capture_that_is_not_there_is_one_line_and_1() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let output = run(mosaic()
        .arg("--conn-log")
        .arg(&log)
        .args(["/nowhere/x.pcap"]));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    assert!(err(&output).contains("/nowhere/x.pcap"), "{}", err(&output));
    assert!(!log.exists(), "nothing was begun");
}

#[test]
fn a_configuration_that_is_wrong_is_one_line_and_1() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mosaic.toml");
    fs::write(&config, "[flows]\nflow_max = 3\n").unwrap();
    let output = run(mosaic().arg("--config").arg(&config).arg(capture("dns")));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("mosaic.toml:2: flows.flow_max: unknown field"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_configuration_names_captures_and_arguments_win_over_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("mosaic.toml");
    let text = format!(
        "[source]\ncaptures = [{:?}]\n[packets]\nfilter = \"tcp\"\n",
        capture("dns")
    );
    fs::write(&config, text).unwrap();
    let configured = run(mosaic().args(["--conn-log", "-", "--config"]).arg(&config));
    assert!(configured.status.success(), "{}", err(&configured));
    assert_eq!(records(&configured).len(), 0);
    let overridden = run(mosaic()
        .args(["--conn-log", "-", "--packet-filter", "udp", "--config"])
        .arg(&config));
    assert_ne!(records(&overridden).len(), 0);
}

#[test]
fn of_a_damaged_capture_what_could_be_read_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.pcap");
    let whole = fs::read(capture("http")).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let output = run(mosaic().args(["--conn-log", "-"]).arg(&cut));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
    assert!(
        err(&output).contains("cut.pcap: at byte "),
        "{}",
        err(&output)
    );
    assert!(!records(&output).is_empty());

    let output = run(mosaic().arg(&cut));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains("largest flows"),
        "the summary is printed all the same"
    );
}

#[test]
fn a_log_that_cannot_be_written_is_one_line_and_1() {
    for (log, name) in [("/dev/full", "/dev/full"), ("/nowhere/log", "/nowhere/log")] {
        let output = run(mosaic().args(["--conn-log", log]).arg(capture("http")));
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert_eq!(err(&output).lines().count(), 1, "{}", err(&output));
        assert!(err(&output).contains(name), "{}", err(&output));
    }
}

#[test]
fn a_log_that_is_the_capture_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pcap");
    fs::copy(capture("dns"), &file).unwrap();
    let output = run(mosaic().arg("--conn-log").arg(&file).arg(&file));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        fs::read(&file).unwrap(),
        fs::read(capture("dns")).unwrap(),
        "it was not touched"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for args in [&["--conn-log", "-"][..], &[]] {
        let mut child = mosaic()
            .args(args)
            .arg(capture("redis"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        assert!(
            err(&output).contains("standard output") && !err(&output).contains("panicked"),
            "{}",
            err(&output)
        );
    }
}

#[test]
fn extracted_streams_are_those_of_the_records() {
    let dir = tempfile::tempdir().unwrap();
    let streams = dir.path().join("streams");
    let mut command = mosaic();
    command
        .args(["--conn-log", "-", "--digest", "sha256", "--shards", "2"])
        .arg("--extract")
        .arg(&streams);
    let output = run(command.args(["http", "http6", "lossy"].map(capture)));
    assert!(output.status.success(), "{}", err(&output));

    let mut extracted = Vec::new();
    for entry in fs::read_dir(&streams).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        assert!(name.chars().all(is_plain), "{name}");
        assert!(name.ends_with("_c2s") || name.ends_with("_s2c"), "{name}");
        let digest = mosaic::records::Digest(Sha256::digest(fs::read(&path).unwrap()).into());
        extracted.push(digest.to_string());
    }
    let records = records(&output);
    let mut recorded: Vec<&str> = records
        .iter()
        .flat_map(|record| [&record["c2s"], &record["s2c"]])
        .filter(|side| side["stream_bytes"].as_u64().unwrap_or(0) > 0)
        .filter_map(|side| side["sha256"].as_str())
        .collect();
    extracted.sort_unstable();
    recorded.sort_unstable();
    assert_eq!(extracted, recorded);
    assert!(recorded.len() >= 12);

    let names = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(names, 1, "nothing outside of the folder");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine"), "mine").unwrap();
    let output = run(mosaic()
        .arg("--extract")
        .arg(dir.path())
        .arg(capture("http")));
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("is not empty"), "{}", err(&output));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_bound_that_was_hit_is_told() {
    let output = run(mosaic()
        .args(["--flows", "2", "--conn-log", "-"])
        .arg(capture("redis")));
    assert!(output.status.success());
    assert!(
        err(&output).contains("flows were pushed out of the full flow table"),
        "{}",
        err(&output)
    );
    let quiet = run(mosaic()
        .args(["--flows", "2", "--quiet"])
        .arg(capture("redis")));
    assert_eq!((out(&quiet), err(&quiet)), ("", ""));
}

fn signal(child: &Child, name: &str) {
    // Long enough for signals to be caught, and for what was read until now to be processed.
    thread::sleep(Duration::from_millis(300));
    let status = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(status.expect("kill runs").success());
}

#[test]
fn an_interrupt_drains_and_reports() {
    let mut child = mosaic()
        .args(["--conn-log", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe stays open: more could come.
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(&fs::read(capture("http")).unwrap())
        .unwrap();
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(err(&output).contains("interrupted"), "{}", err(&output));
    let closed = out(&output)
        .lines()
        .filter(|line| line.contains(r#""end":"fin""#))
        .count();
    assert_eq!(
        closed, 3,
        "every connection was complete when the signal came"
    );
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("many.pcap");
    fs::write(&file, datagrams(1_000)).unwrap();
    let mut command = mosaic();
    command
        .args(["--checksums", "ignore", "--conn-log", "-"])
        .arg(&file);
    // More records than a pipe holds, and nobody reads them: it cannot drain.
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    signal(&child, "-TERM");
    signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
}

/// A capture of `flows` UDP flows of one empty datagram each.
fn datagrams(flows: u16) -> Vec<u8> {
    let mut capture = PcapWriter::new(Vec::new(), LinkType::RAW).expect("a Vec takes everything");
    for port in 1..=flows {
        let [high, low] = port.to_be_bytes();
        let ip = [
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
        ];
        let udp = [high, low, 0, 53, 0, 8, 0, 0];
        let time = Timestamp::from_nanos(u64::from(port));
        capture
            .write(time, &[&ip[..], &udp].concat())
            .expect("a Vec takes everything");
    }
    capture.finish().expect("a Vec takes everything")
}

#[test]
fn metrics_are_served_while_it_runs() {
    let (address, listener) = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        (listener.local_addr().unwrap(), listener)
    };
    drop(listener);
    let mut child = mosaic()
        .args(["--metrics", &address.to_string(), "--quiet", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&fs::read(capture("dns")).unwrap()).unwrap();
    let text = scrape(address);
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(text.contains("mosaic_"), "{text}");
}

fn scrape(address: std::net::SocketAddr) -> String {
    for _ in 0..100 {
        if let Ok(mut stream) = std::net::TcpStream::connect(address) {
            stream
                .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
                .expect("it listens");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("it answers");
            return text;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens on {address}");
}
