//! `mosaic run` as a user runs it: configurations, devices that need no hardware, signals, what stands on which output.
//!
//! Where mosaic was built without the feature `dpdk`, tests with devices say that they were skipped.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// Tries, 50 ms each, within which everything here happens on a busy machine.
const PATIENCE: u32 = 600;

/// Asks again and again until there is an answer.
fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} does not happen");
}

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(name)
        .with_extension("pcap")
}

fn mosaic() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mosaic"));
    command.stdin(Stdio::null()).env_remove("MOSAIC_LOG");
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("outputs are text")
}

/// A folder with a configuration in it.
struct Config {
    folder: TempDir,
}

impl Config {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("m.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("m.toml")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = mosaic();
        command.arg("run").arg("-c").arg(self.path());
        command
    }
}

/// Whether there are devices; says so where there are none.
fn has_dpdk() -> bool {
    if cfg!(feature = "dpdk") {
        return true;
    }
    eprintln!("skipped: built without the feature dpdk");
    false
}

/// A tap on one device.
fn tap(device: &str) -> String {
    format!("[[port]]\nname = \"left\"\ndevice = \"{device}\"\n[[wire]]\nport = \"left\"\n")
}

/// `mosaic run` at work, with metrics.
struct Running {
    child: Child,
    /// What it said on standard error until the metrics' address came.
    introduction: Vec<String>,
    address: String,
    rest: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .args(["--metrics", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mosaic runs");
        let rest = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self {
            child,
            introduction: Vec::new(),
            address: String::new(),
            rest,
        };
        while running.address.is_empty() {
            let mut line = String::new();
            let read = running.rest.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended: {:?}", running.introduction);
            match line.trim().strip_prefix("mosaic: metrics at http://") {
                Some(address) => address
                    .trim_end_matches("/metrics")
                    .clone_into(&mut running.address),
                None => running.introduction.push(line),
            }
        }
        running
    }

    /// Every value that is served, by name and labels.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let values = answer.lines().filter(|line| line.starts_with("mosaic_"));
        values
            .map(|line| {
                let (key, value) = line.rsplit_once(' ').unwrap();
                (key.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    /// Waits until `metric` (name and labels) is at least `value`.
    fn wait_for(&self, metric: &str, value: f64) -> BTreeMap<String, f64> {
        let what = format!("that {metric} reaches {value}");
        eventually(&what, || {
            let metrics = self.metrics();
            let reached = metrics.get(metric).is_some_and(|now| *now >= value);
            reached.then_some(metrics)
        })
    }

    /// Sends SIGINT or another signal, and waits for the end.
    fn end(mut self, signal: &str) -> Output {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        let mut output = Output {
            status: ExitStatus::default(),
            stdout: Vec::new(),
            stderr: Vec::new(),
        };
        self.rest.read_to_end(&mut output.stderr).unwrap();
        let mut stdout = self.child.stdout.take().unwrap();
        stdout.read_to_end(&mut output.stdout).unwrap();
        output.status = self.child.wait().unwrap();
        output
    }
}

/// A test that fails leaves nothing behind that polls for ever.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(config: &Config) -> Output {
    config.command().output().expect("mosaic runs")
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_in_one_line() {
    for (config, expected) in [
        (
            "[[port]]\nname = \"left\"\n",
            "m.toml:1: port: missing field `device`",
        ),
        (
            "[[port]]\nname = \"left\"\ndevice = \"net_null0\"\n",
            "m.toml:2: port.name: no wire uses it",
        ),
        (
            "[source]\ncaptures = [\"a.pcap\"]\n[[port]]\nname = \"l\"\ndevice = \"net_null0\"\n[[wire]]\nport = \"l\"\n",
            "m.toml:2: source.captures: packets come from captures or from ports, not from both",
        ),
        ("[runtime]\nshards = 1\n", "no source of packets"),
    ] {
        let output = run(&Config::new(config));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains(expected) && said.lines().count() == 1,
            "{said}"
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn captures_of_a_configuration_run_to_their_end() {
    let config = Config::new(&format!(
        "[source]\ncaptures = [{:?}]\n",
        capture("http").to_str().unwrap()
    ));
    let output = run(&config);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stderr), "");
    let out = text(&output.stdout);
    assert!(
        out.contains("http.pcap") && out.contains("closed (FIN)") && !out.contains("port "),
        "{out}"
    );
}

#[test]
fn replay_refuses_ports_and_takes_other_settings() {
    let config = Config::new(&tap("net_null0"));
    let replay = |files: &[PathBuf]| {
        let mut command = mosaic();
        command.arg("replay").arg("-c").arg(config.path());
        command.args(files).output().unwrap()
    };
    let refused = replay(&[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("mosaic run"), "{refused:?}");
    assert!(replay(&[capture("http")]).status.success());
}

#[test]
fn ports_without_dpdk_are_refused_with_the_remedy() {
    if cfg!(feature = "dpdk") {
        eprintln!("skipped: built with the feature dpdk");
        return;
    }
    let output = run(&Config::new(&tap("net_null0")));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "mosaic: this mosaic was built without DPDK, which ports need: build with `--features dpdk`\n"
    );
}

#[test]
fn a_device_that_cannot_be_opened_is_named() {
    if !has_dpdk() {
        return;
    }
    for device in [
        "net_nothing0",
        "net_af_packet0,iface=nothing0",
        "0000:ff:1f.7",
    ] {
        let output = run(&Config::new(&tap(device)));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let name = device.split(',').next().unwrap();
        let last = text(&output.stderr).lines().last().unwrap();
        assert!(
            last.starts_with("mosaic: ") && last.contains(name),
            "{last}"
        );
    }
}

#[test]
fn sigint_and_sigterm_drain_and_report() {
    if !has_dpdk() {
        return;
    }
    for signal in ["INT", "TERM"] {
        let config = Config::new(&(tap("net_null0,size=64") + "[runtime]\nshards = 2\n"));
        let running = Running::start(&mut config.command());
        let introduction = running.introduction.concat();
        for part in [
            "DPDK ",
            "pages, 2 shards",
            "port left: net_null0 (net_null), ",
        ] {
            assert!(introduction.contains(part), "{part} in {introduction}");
        }
        let frames = "mosaic_port_received_frames_total{port=\"left\"}";
        let metrics = running.wait_for(frames, 10_000.0);
        assert!(metrics["mosaic_port_mbufs{port=\"left\"}"] > 0.0);
        assert!(metrics.contains_key("mosaic_port_link_up{port=\"left\"}"));
        let output = running.end(signal);
        assert!(output.status.success(), "{output:?}");
        let out = text(&output.stdout);
        let port = out.lines().find(|line| line.starts_with("left ")).unwrap();
        let received = port.split_whitespace().nth(1).unwrap();
        let received: u64 = received.replace(',', "").parse().unwrap();
        assert!(received >= 10_000, "{out}");
        assert_eq!(text(&output.stderr), "", "nothing to complain about");
    }
}

/// A port on which nothing ever comes ends as well.
#[test]
fn an_idle_port_drains() {
    if !has_dpdk() {
        return;
    }
    let config = Config::new(&tap("net_ring0"));
    let running = Running::start(&mut config.command());
    assert!(running.introduction.concat().contains("net_ring"));
    let output = running.end("TERM");
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).contains("no flows"), "{output:?}");
}

/// What of a record does not depend on when it happened.
fn essence(record: &str) -> String {
    let record: Value = serde_json::from_str(record).unwrap();
    let side = |side: &str| {
        let fields = ["packets", "payload_bytes", "stream_bytes", "sha256"];
        fields
            .map(|field| record[side][field].to_string())
            .join(" ")
    };
    format!("{} {} {}", record["community_id"], side("c2s"), side("s2c"))
}

fn essences(records: &str) -> Vec<String> {
    let mut all: Vec<_> = records.lines().map(essence).collect();
    all.sort_unstable();
    all
}

/// A device that gives a capture once, as live traffic: flows, streams and digests are those of a replay.
#[test]
fn a_live_port_gives_the_records_of_a_replay() {
    if !has_dpdk() {
        return;
    }
    for (name, shards) in [("http", 1), ("lossy", 2), ("dns", 2)] {
        let replayed = mosaic()
            .args(["replay", "--conn-log", "-", "--digest", "sha256"])
            .args(["--profile", "receiver"])
            .arg(capture(name))
            .output()
            .unwrap();
        assert!(replayed.status.success());

        let device = format!("net_pcap0,rx_pcap={}", capture(name).to_str().unwrap());
        let config = Config::new(&(tap(&device) + &format!("[runtime]\nshards = {shards}\n")));
        let log = config.file("conn.jsonl");
        let running = Running::start(
            config
                .command()
                .arg("--conn-log")
                .arg(&log)
                .args(["--digest", "sha256"]),
        );
        let frames = fs::read(capture(name))
            .map(|bytes| frames_of(&bytes))
            .unwrap();
        running.wait_for("mosaic_port_received_frames_total{port=\"left\"}", frames);
        let output = running.end("INT");
        assert!(output.status.success(), "{output:?}");
        let live = fs::read_to_string(&log).unwrap();
        assert!(!live.is_empty());
        assert_eq!(
            essences(&live),
            essences(text(&replayed.stdout)),
            "{name} on {shards} shards"
        );
    }
}

/// Number of frames of a capture.
fn frames_of(pcap: &[u8]) -> f64 {
    f64::from(u32::try_from(frames(pcap).len()).unwrap())
}

/// The frames of a little-endian pcap file.
fn frames(pcap: &[u8]) -> Vec<&[u8]> {
    let mut at = 24;
    let mut frames = Vec::new();
    while let Some(len) = pcap.get(at + 8..at + 12) {
        let begin = at + 16;
        at = begin + u32::from_le_bytes(len.try_into().unwrap()) as usize;
        frames.push(&pcap[begin..at]);
    }
    frames
}

/// Two devices that give a capture each and write what they send to a file: byte for byte, and in order, each capture
/// comes out on the other side; without ARP where the configuration says so.
#[test]
fn what_comes_in_on_one_side_of_a_wire_goes_out_on_the_other() {
    if !has_dpdk() {
        return;
    }
    let [http, dns] = ["http", "dns"].map(|name| fs::read(capture(name)).unwrap());
    for not_ip in ["forward", "drop"] {
        let config = Config::new("");
        let port = |name: &str, device: &str, input: &str| {
            format!(
                "[[port]]\nname = \"{name}\"\ndevice = \"{device},rx_pcap={},tx_pcap={}\"\n",
                capture(input).to_str().unwrap(),
                config.file(name).to_str().unwrap()
            )
        };
        let text = port("left", "net_pcap0", "http")
            + &port("right", "net_pcap1", "dns")
            + &format!("[[wire]]\nports = [\"left\", \"right\"]\nnot_ip = \"{not_ip}\"\n");
        fs::write(config.path(), text).unwrap();
        let running = Running::start(&mut config.command());
        for (port, input) in [("left", &http), ("right", &dns)] {
            let metric = format!("mosaic_port_received_frames_total{{port=\"{port}\"}}");
            running.wait_for(&metric, frames_of(input));
        }
        let output = running.end("INT");
        assert!(output.status.success(), "{output:?}");
        assert!(
            self::text(&output.stdout).contains("forwarded"),
            "{output:?}"
        );
        for (sent_by, input) in [("right", &http), ("left", &dns)] {
            let sent = fs::read(config.file(sent_by)).unwrap();
            let is_ip = |frame: &&[u8]| {
                [[0x08, 0x00], [0x86, 0xdd]]
                    .iter()
                    .any(|kind| frame[12..14] == *kind)
            };
            let all = frames(input);
            let passing: Vec<_> = all
                .iter()
                .copied()
                .filter(|frame| not_ip == "forward" || is_ip(frame))
                .collect();
            assert!(
                not_ip == "forward" || passing.len() < all.len(),
                "there is something to drop"
            );
            assert!(frames(&sent) == passing, "{sent_by}, not_ip = {not_ip}");
        }
    }
}

/// Records of flows that end appear while it runs: whoever follows the file does not wait for a block to fill.
#[test]
fn records_are_written_as_flows_end() {
    if !has_dpdk() {
        return;
    }
    let device = format!("net_pcap0,rx_pcap={}", capture("http").to_str().unwrap());
    let config = Config::new(&(tap(&device) + "[timeouts]\nclosed_s = 1\n"));
    let log = config.file("conn.jsonl");
    let running = Running::start(config.command().arg("--conn-log").arg(&log));
    running.wait_for("mosaic_flows_removed_total{shard=\"0\"}", 1.0);
    eventually("that something is written", || {
        let text = fs::read_to_string(&log).unwrap();
        (!text.is_empty()).then_some(())
    });
    assert!(running.end("TERM").status.success());
}

#[test]
fn two_ports_make_a_wire() {
    if !has_dpdk() {
        return;
    }
    let config = Config::new(
        "[[port]]\nname = \"left\"\ndevice = \"net_null0\"\n[[port]]\nname = \"right\"\ndevice = \"net_null1\"\n\
         [[wire]]\nmode = \"inline\"\nports = [\"left\", \"right\"]\non_exit = \"bypass\"\nnot_ip = \"forward\"\n",
    );
    let running = Running::start(&mut config.command());
    for port in ["left", "right"] {
        running.wait_for(
            &format!("mosaic_port_received_frames_total{{port=\"{port}\"}}"),
            1_000.0,
        );
    }
    assert!(running.end("INT").status.success());
}

/// The doctor's verdicts are tested beside its code, on made-up machines; here, what it says of this one.
#[test]
fn the_doctor_speaks_json_and_fails_where_a_check_does() {
    let doctor = |arguments: &[&str]| {
        let output = mosaic().arg("doctor").args(arguments).output().unwrap();
        let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = findings["checks"].as_array().unwrap().clone();
        let failed = checks.iter().any(|check| check["status"] == "fail");
        assert_eq!(output.status.code(), Some(i32::from(failed)), "{findings}");
        for check in &checks {
            assert!(
                check["name"].is_string() && check["detail"].is_string(),
                "{check}"
            );
            assert!(
                check["status"] == "ok"
                    || check["remedy"].is_string()
                    || check["name"] == "configuration",
                "what is not in order has a remedy: {check}"
            );
        }
        checks
    };
    let names: Vec<_> = doctor(&["--json"])
        .iter()
        .map(|check| check["name"].as_str().unwrap().to_owned())
        .collect();
    for name in ["io_uring", "memlock", "hugepages", "iommu", "cores", "dpdk"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    let bad = Config::new("[runtime]\nshards = 0\n");
    let checks = doctor(&["--json", "-c", bad.path().to_str().unwrap()]);
    let configuration = checks
        .iter()
        .find(|check| check["name"] == "configuration")
        .unwrap();
    assert_eq!(configuration["status"], "fail");
}

#[test]
fn the_doctor_reports_configured_devices() {
    if !has_dpdk() {
        return;
    }
    let config = Config::new(&tap("net_null0"));
    let output = mosaic()
        .arg("doctor")
        .arg("-c")
        .arg(config.path())
        .output()
        .unwrap();
    let out = text(&output.stdout);
    let device = out
        .lines()
        .find(|line| line.contains("device net_null0"))
        .unwrap();
    assert!(device.contains("driver net_null"), "{out}");
}

/// A program of one's own runs live wires as the command does. One test only: DPDK starts once a process.
#[cfg(feature = "dpdk")]
#[test]
fn the_builder_runs_a_live_configuration() {
    let config = Config::new(&tap("net_null0"));
    let runtime = mosaic::Runtime::builder()
        .config_file(config.path())
        .unwrap()
        .start()
        .unwrap();
    assert_eq!(runtime.ports().about().ports[0].driver, "net_null");
    eventually("that a frame is received", || {
        let received = runtime.snapshot().ports[0].received_frames;
        (received > 0).then_some(())
    });
    runtime.stop();
    let report = runtime.wait().unwrap();
    assert!(report.snapshot().is_balanced());
    let received = report.ports[0].received_frames;
    assert_eq!(report.snapshot().ingress().received_frames, received);
    let again = mosaic::Runtime::builder()
        .config_file(config.path())
        .unwrap()
        .start()
        .unwrap_err();
    assert!(again.to_string().contains("once a process"), "{again}");
}
