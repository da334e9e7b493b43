//! `examples/http_rewrite.rs` between namespaces: the ends are real kernels, nginx and curl.

use std::fs;

use crate::crowd::{Crowd, nothing_waits, requests};
use crate::lab::{B4, B6, Device, Lab};
use crate::load::{Web, iperf, iperf_server};
use crate::mosaic::Mosaic;

/// Longer than what nginx says, and shorter than what curl does.
const SERVER: &str = "a name that is a good deal longer than the one that was there before";
const AGENT: &str = "x";

fn start<'a>(lab: &'a Lab, device: Device, hook: &str) -> Mosaic<'a> {
    let (request, response) = (format!("User-Agent:{AGENT}"), format!("Server:{SERVER}"));
    Mosaic::example(
        lab,
        device,
        "http_rewrite",
        &[
            "--request",
            &request,
            "--request",
            "X-Way:mosaic",
            "--response",
            &response,
            "--response",
            "Last-Modified:",
            "--hook",
            hook,
        ],
    )
}

/// Heads, changed ones, and those that came in pieces, of requests and responses.
fn table(summary: &str) -> [[u64; 3]; 2] {
    ["requests", "responses"].map(|name| {
        let (_, row) = summary.split_once(&format!("\n{name} ")).unwrap();
        let numbers = row.lines().next().unwrap().split_whitespace();
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    })
}

/// Asks many times in both versions of IP, on connections of their own and on some that are used again, and looks at every
/// answer's body and head.
fn every_head_is_changed(lab: &Lab, device: Device, hook: &str, requests: usize) {
    let web = Web::start(lab);
    let crowd = Crowd::new(lab);
    let rewriter = start(lab, device, hook);
    // As many of each file.
    let each = (requests / 4).next_multiple_of(16);
    let b6 = format!("[{B6}]");
    for host in [B4, &b6] {
        for connection in ["close", "keep-alive"] {
            let header = format!("Connection: {connection}");
            let heads = "%{http_code} %header{server} / %header{last-modified}\\n";
            let heads = crowd.ask_with(lab, &lab.a, host, each, &["-H", &header, "-w", heads]);
            let right = heads
                .lines()
                .filter(|line| *line == format!("200 {SERVER} / "));
            assert_eq!(right.count(), heads.lines().count(), "{heads}");
            assert_eq!(heads.lines().count(), each);
        }
    }
    web.fetch_big(lab, B4);
    nothing_waits(&[&lab.a, &lab.b]);
    rewriter.at_rest();
    let asked = fs::read_to_string(lab.path("nginx-access.log")).unwrap();
    let changed = asked
        .lines()
        .filter(|line| line.ends_with(&format!("\"{AGENT}\"")));
    assert_eq!(changed.count(), asked.lines().count(), "{asked}");
    let count = asked.lines().count() as u64;
    assert!(count > requests as u64);
    let [asked, answered] = table(&rewriter.end().summary);
    assert_eq!(
        (asked[..2].to_vec(), answered[..2].to_vec()),
        (vec![count; 2], vec![count; 2])
    );
}

#[test]
fn every_head_is_changed_veth() {
    let Some(lab) = Lab::new() else { return };
    every_head_is_changed(&lab, Device::VethQueues, "send", requests());
}

#[test]
fn every_head_is_changed_tap() {
    let Some(lab) = Lab::new() else { return };
    every_head_is_changed(&lab, Device::Tap, "send", requests() / 4);
}

/// What is changed leaves with a checksum that is complete, beside others that a device finishes.
#[test]
fn every_head_is_changed_veth_to_tap() {
    let Some(lab) = Lab::new() else { return };
    every_head_is_changed(&lab, Device::VethTap, "send", requests() / 4);
}

/// The same over links that lose and reorder.
#[test]
fn every_head_is_changed_over_bad_links() {
    let Some(lab) = Lab::lossy() else { return };
    every_head_is_changed(&lab, Device::VethQueues, "send", requests());
}

/// Changed at `Receive`, in numbers that only the receiver has.
#[test]
fn every_head_is_changed_at_receive() {
    let Some(lab) = Lab::new() else { return };
    every_head_is_changed(&lab, Device::VethQueues, "receive", requests());
}

#[test]
fn every_head_is_changed_at_receive_over_bad_links() {
    let Some(lab) = Lab::lossy() else { return };
    every_head_is_changed(&lab, Device::VethQueues, "receive", requests());
}

/// A head that comes byte by byte is held back until it is complete, while its sender is told that it has arrived.
#[test]
fn heads_in_pieces() {
    let Some(lab) = Lab::new() else { return };
    are_put_together(&lab, "send");
}

#[test]
fn heads_in_pieces_at_receive() {
    let Some(lab) = Lab::new() else { return };
    are_put_together(&lab, "receive");
}

fn are_put_together(lab: &Lab, hook: &str) {
    let _web = Web::start(lab);
    let rewriter = start(lab, Device::Veth, hook);
    let request =
        "GET /small HTTP/1.1\r\nHost: b\r\nUser-Agent: a long one\r\nConnection: close\r\n\r\n";
    let pieces: Vec<String> = request
        .as_bytes()
        .chunks(7)
        .map(|piece| {
            let escaped: String = piece.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("printf '{escaped}' >&3; sleep 0.02")
        })
        .collect();
    let script = format!("exec 3<>/dev/tcp/{B4}/80; {}; cat <&3", pieces.join("; "));
    let answer = lab.a.run(&["timeout", "20", "bash", "-c", &script]);
    assert!(
        answer.contains(&format!("\r\nServer: {SERVER}\r\n")),
        "{answer}"
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    nothing_waits(&[&lab.a, &lab.b]);
    rewriter.at_rest();
    let asked = fs::read_to_string(lab.path("nginx-access.log")).unwrap();
    assert!(asked.ends_with(&format!("\"{AGENT}\"\n")), "{asked}");
    let [asked, _] = table(&rewriter.end().summary);
    assert_eq!(asked, [1, 1, 1]);
}

/// What is no HTTP passes as it is.
#[test]
fn other_connections_pass() {
    let Some(lab) = Lab::lossy() else { return };
    let _web = Web::start(&lab);
    let rewriter = start(&lab, Device::VethQueues, "send");
    let _server = iperf_server(&lab);
    iperf(&lab, "-n 3M -P 2");
    nothing_waits(&[&lab.a, &lab.b]);
    rewriter.at_rest();
    rewriter.end();
}
