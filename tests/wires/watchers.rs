//! `examples/accounting.rs` and `examples/ids.rs` in a wire between bad links.

use std::fs;

use serde_json::Value;

use crate::lab::{A4, B4, B6, Device, Lab};
use crate::load::{Transfer, Web, small_requests};
use crate::mosaic::Mosaic;
use crate::namespace::eventually;

/// Bytes that curl sent and received.
fn told(transfers: &[Transfer]) -> [u64; 2] {
    transfers.iter().fold([0; 2], |[up, down], transfer| {
        let answer = transfer.header_bytes + transfer.body_bytes;
        [up + transfer.request_bytes, down + answer]
    })
}

/// The account of A in the last table that `accounting --json` printed.
fn account(printed: &str) -> Option<Value> {
    let name = format!("{{\"subscriber\":\"{A4}/32\"");
    let line = printed.lines().rfind(|line| line.starts_with(&name))?;
    serde_json::from_str(line).ok()
}

fn number(account: &Value, field: &str) -> u64 {
    account.pointer(field).and_then(Value::as_u64).unwrap()
}

#[test]
fn what_curl_sent_and_received_is_charged_once() {
    let Some(lab) = Lab::lossy() else {
        return;
    };
    let web = Web::start(&lab);
    let accounting = Mosaic::example(
        &lab,
        Device::VethQueues,
        "accounting",
        &["--json", "--book", "1"],
    );
    let mut transfers = web.fetch_big(&lab, B4);
    transfers.extend(small_requests(&lab, B4, 30));
    accounting.at_rest();
    let account = account(&accounting.end().summary).unwrap();
    // Of TCP; before, neighbours were looked for, which is not IP.
    let charged = ["/up/charged_bytes", "/down/charged_bytes"].map(|field| number(&account, field));
    assert_eq!(charged, told(&transfers));
    assert_eq!(number(&account, "/flows"), 31);
    assert!(
        number(&account, "/down/repeated_bytes") > 100_000,
        "{account}"
    );
}

#[test]
fn transfers_are_booked_while_they_last() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    let accounting = Mosaic::example(&lab, Device::Veth, "accounting", &["--json", "--book", "1"]);
    let url = format!("http://{B4}/slow");
    let curl = ["curl", "-sS", "-o", "/dev/null", &url];
    let mut curl = lab.a.start(&curl, lab.folder(), "slow");
    let charged = eventually("a table in the middle", || {
        accounting.signal("USR1");
        std::thread::sleep(std::time::Duration::from_millis(200));
        let charged = number(&account(&accounting.printed())?, "/down/charged_bytes");
        (charged > 1_000_000).then_some(charged)
    });
    assert!(curl.is_running() && charged < 9_000_000, "{charged}");
    accounting.end();
}

#[test]
fn patterns_are_found_across_segments_that_were_lost_and_repeated() {
    const RULES: &str = r#"
        [[rule]]
        sid = 7
        msg = "one of many"
        content = "GET /small?17 HTTP"
        [[rule]]
        sid = 8
        msg = "all"
        content = "Hello from a network namespace.|0a|"
        direction = "to_client"
        [[rule]]
        sid = 9
        msg = "none"
        content = "GET /smallest"
    "#;
    let Some(lab) = Lab::lossy() else {
        return;
    };
    let _web = Web::start(&lab);
    let (rules, eve) = (lab.path("rules.toml"), lab.path("eve.json"));
    fs::write(&rules, RULES).unwrap();
    let arguments = [
        "--rules",
        rules.to_str().unwrap(),
        "--output",
        eve.to_str().unwrap(),
    ];
    let ids = Mosaic::example(&lab, Device::VethQueues, "ids", &arguments);
    small_requests(&lab, B4, 25);
    small_requests(&lab, &format!("[{B6}]"), 25);
    // While it runs: who watches the file sees alerts as they come.
    eventually("alerts", || {
        (fs::read_to_string(&eve).unwrap().lines().count() >= 52).then_some(())
    });
    ids.at_rest();
    ids.end();
    let text = fs::read_to_string(&eve).unwrap();
    let alerts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |sid: u64| {
        alerts
            .iter()
            .filter(|event| event["alert"]["signature_id"] == sid)
            .count()
    };
    assert_eq!([of(7), of(8), of(9)], [2, 50, 0], "{text}");
    assert_eq!(alerts.len(), 52, "{text}");
}
