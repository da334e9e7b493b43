//! The same through the program: whole processes, threads, rings.

use std::path::Path;
use std::process::Command;

use mosaic_port::LinkType;
use mosaic_port::capture::PcapWriter;

use super::*;

/// The connection log of a capture, sorted.
fn records(capture: &Path, shards: u16, idle_timeout: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_mosaic"))
        .args(["replay", "--shards", &shards.to_string(), "--conn-log", "-"])
        .args(["--idle-timeout", idle_timeout, "--digest", "sha256"])
        .arg(capture)
        .output()
        .expect("the program runs");
    let log = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut records: Vec<String> = log.lines().map(str::to_owned).collect();
    records.sort_unstable();
    records
}

fn write(trace: &Trace, to: &Path) {
    let file = std::fs::File::create(to).expect("a temporary directory is writable");
    let mut writer = PcapWriter::new(file, LinkType::ETHERNET).expect("written");
    for frame in &trace.frames {
        writer
            .write(frame.timestamp, &frame.bytes)
            .expect("written");
    }
    writer.finish().expect("written");
}

#[test]
fn the_number_of_shards_changes_no_record() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let capture = directory.path().join("world.pcap");
    let kind = |random: &mut Random| {
        let mut scenario = Scenario::complete(random);
        scenario.connections = random.pick(&[5, 30]);
        // Flows that fall silent while one goes on: whoever tracks them must learn that time has passed.
        (scenario.habits.unanswered, scenario.habits.keep_alive) = (PerMille(300), PerMille(300));
        scenario
    };
    for_each_seed(20, |seed| {
        let trace = world(seed, kind);
        write(&trace, &capture);
        for idle_timeout in ["never", "1"] {
            let one = records(&capture, 1, idle_timeout);
            assert!(one.len() >= trace.truth.len());
            for shards in [2, 4] {
                let many = records(&capture, shards, idle_timeout);
                for (one, many) in one.iter().zip(&many) {
                    assert_eq!(one, many, "{shards} shards, --idle-timeout {idle_timeout}");
                }
                assert_eq!(one.len(), many.len());
            }
        }
    });
}
