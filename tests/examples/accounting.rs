//! `accounting`, against what programs reported, and against a look at each packet.

use std::collections::BTreeMap;
use std::fs;

use mosaic::prelude::*;
use mosaic_engine::wire::TcpFlags;
use serde_json::Value;

use crate::synthetic::{data, ends, pcap, segment, syn};
use crate::{capture, refused, run};

/// The accounts, by subscriber.
fn accounts(arguments: &[&str]) -> BTreeMap<String, Value> {
    let text = run("accounting", &[&["--json"], arguments].concat());
    let accounts = text.lines().map(|line| {
        let account: Value = serde_json::from_str(line).unwrap();
        let subscriber = account["subscriber"].as_str().unwrap_or("none").to_owned();
        (subscriber, account)
    });
    accounts.collect()
}

fn number(account: &Value, field: &str) -> u64 {
    let value = account.pointer(&format!("/{}", field.replace('.', "/")));
    value
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{field} of {account}"))
}

fn both(account: &Value, field: &str) -> [u64; 2] {
    ["up", "down"].map(|way| number(account, &format!("{way}.{field}")))
}

/// What a capture holds, by a look at each of its frames: packets and payload bytes of TCP and UDP over IPv4 that
/// 192.0.2.1 sent (0) and received (1). Reads nothing but plain Ethernet frames.
fn by_hand(name: &str) -> [[u64; 2]; 2] {
    let file = fs::read(capture(name)).unwrap();
    let mut sums = [[0; 2]; 2];
    let mut rest = &file[24..];
    while let Some((head, tail)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
        let (frame, tail) = tail.split_at(len);
        rest = tail;
        let ip = &frame[14..];
        if frame[12..14] != [8, 0] {
            continue;
        }
        let header = usize::from(ip[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let transport = match ip[9] {
            6 => usize::from(ip[header + 12] >> 4) * 4,
            17 => 8,
            other => panic!("protocol {other}"),
        };
        let way = usize::from(ip[12..16] != [192, 0, 2, 1]);
        sums[way][0] += 1;
        sums[way][1] += (total - header - transport) as u64;
    }
    sums
}

/// Bytes that the programs said to have sent and received (tests/captures/facts).
fn told(name: &str) -> [u64; 2] {
    let path = capture(name).replace(&format!("{name}.pcap"), &format!("facts/{name}.txt"));
    let text = fs::read_to_string(path).unwrap();
    let streams = text.lines().filter_map(|line| line.strip_prefix("stream "));
    streams.fold([0; 2], |[up, down], line| {
        let words: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        [up + words[1], down + words[2]]
    })
}

#[test]
fn what_programs_sent_is_charged_and_what_was_repeated_is_not() {
    for name in ["http", "lossy"] {
        let accounts = accounts(&[&capture(name)]);
        assert_eq!(accounts.len(), 1, "{accounts:?}");
        let account = &accounts["192.0.2.1/32"];
        let charged = both(account, "charged_bytes");
        assert_eq!(charged, told(name), "{name}");
        let seen = by_hand(name);
        assert_eq!(
            both(account, "packets"),
            seen.map(|[packets, _]| packets),
            "{name}"
        );
        let repeated = both(account, "repeated_bytes");
        assert_eq!(
            [0, 1].map(|way| charged[way] + repeated[way]),
            seen.map(|[_, bytes]| bytes),
            "{name}"
        );
        if name == "lossy" {
            assert!(repeated.iter().all(|bytes| *bytes > 40_000), "{repeated:?}");
        }
    }
}

#[test]
fn datagrams_are_charged_as_they_come() {
    let accounts = accounts(&[&capture("dns")]);
    let seen = by_hand("dns");
    let account = &accounts["192.0.2.1/32"];
    assert_eq!(both(account, "charged_bytes"), seen.map(|[_, bytes]| bytes));
    assert_eq!(both(account, "packets"), seen.map(|[packets, _]| packets));
    assert_eq!(both(account, "repeated_bytes"), [0, 0]);
}

#[test]
fn the_server_may_be_the_subscriber_and_prefixes_are_added_up() {
    let file = capture("lossy");
    let of_client = &accounts(&[&file])["192.0.2.1/32"];
    let of_server = &accounts(&[&file, "--subscribers", "192.0.2.2/31"])["192.0.2.2/32"];
    assert_eq!(of_client["up"], of_server["down"]);
    assert_eq!(of_client["down"], of_server["up"]);
    let of_net = &accounts(&[&file, "--prefix4", "24"])["192.0.2.0/24"];
    assert_eq!(of_net["up"], of_client["up"]);
    let of_nobody = &accounts(&[&file, "--subscribers", "10.0.0.0/8"])["none"];
    assert_eq!(of_nobody["up"], of_client["up"]);
    let over_ipv6 = &accounts(&[&capture("http6"), "--prefix6", "32"])["2001:db8::/32"];
    // Besides, neighbours are looked for.
    let up_and_down = [0, 1].map(|way| both(over_ipv6, "charged_bytes")[way] >= told("http6")[way]);
    assert_eq!(up_and_down, [true, true]);
    assert_eq!(both(over_ipv6, "repeated_bytes"), [0, 0]);
}

/// Booking a flow while it lasts changes nothing: each byte is charged once.
#[test]
fn flows_that_go_on_are_booked_bit_by_bit() {
    let bytes = vec![7; 50_000];
    let mut segments = vec![(ends(40_000), syn())];
    for _ in 0..400 {
        // Time passes: a millisecond each.
        segments.extend((0..50).map(|number| (ends(40_000), data(number * 1000, &bytes[..1000]))));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.pcap");
    fs::write(&path, pcap(segments)).unwrap();
    let path = path.to_str().unwrap();
    for book in ["1", "3", "1000"] {
        let account = &accounts(&[path, "--book", book])["192.0.2.1/32"];
        assert_eq!(number(account, "flows"), 1);
        assert_eq!(number(account, "up.charged_bytes"), 50_000);
        assert_eq!(number(account, "up.repeated_bytes"), 399 * 50_000);
        assert_eq!(number(account, "up.packets"), 1 + 400 * 50);
    }
}

#[test]
fn keep_alive_probes_charge_nothing() {
    let ack = TcpFlags::ACK;
    let mut segments = vec![
        syn(),
        data(0, b"0123456789"),
        segment(Side::Server, 0, ack, b""),
    ];
    // As Linux sends them, and as others do: with one byte that was sent before.
    segments.extend([data(9, b""), data(9, b"9"), data(9, b"9")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("probes.pcap");
    fs::write(
        &path,
        pcap(segments.into_iter().map(|segment| (ends(40_000), segment))),
    )
    .unwrap();
    let account = &accounts(&[path.to_str().unwrap()])["192.0.2.1/32"];
    assert_eq!(number(account, "up.charged_bytes"), 10);
    assert_eq!(number(account, "up.keep_alives"), 3);
}

#[test]
fn the_table_says_the_same() {
    let text = run("accounting", &[&capture("lossy")]);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let [up, down] = told("lossy").map(|bytes| bytes.to_string());
    assert_eq!(rows.len(), 2, "{text}");
    assert_eq!(rows[1][..4], ["192.0.2.1/32", "5", &up, &down]);
}

#[test]
fn nonsense_is_refused() {
    assert!(refused("accounting", &["--prefix4", "33"]).contains("33"));
    assert!(refused("accounting", &["--subscribers", "10.0.0.0/40"]).contains("10.0.0.0/40"));
}
