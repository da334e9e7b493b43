//! The examples, run as a user runs them, on captures. Inline they run in `tests/wires`.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod accounting;
#[path = "../wires/built.rs"]
mod built;
mod firewall;
mod http_rewrite;
mod ids;
mod load_balancer;
mod nat;
mod portal;
#[path = "../wires/printed.rs"]
mod printed;
mod synthetic;
mod viewers;

use std::process::Command;

/// Runs an example and gives what it printed.
#[track_caller]
fn run(example: &str, arguments: &[&str]) -> String {
    let output = Command::new(built::example(example))
        .args(arguments)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs an example that must refuse, and gives what it said.
#[track_caller]
fn refused(example: &str, arguments: &[&str]) -> String {
    let output = Command::new(built::example(example))
        .args(arguments)
        .output()
        .unwrap();
    assert!(!output.status.success(), "{example} {arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn capture(name: &str) -> String {
    format!("{}/tests/captures/{name}.pcap", env!("CARGO_MANIFEST_DIR"))
}
