//! `ids`: patterns however they were cut, and what is not there is not found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mosaic_sim::{PerMille, Random};
use serde_json::Value;

use crate::synthetic::{data, ends, pcap, syn};
use crate::{capture, refused, run};

/// Rules, each for one content.
fn rules(contents: &[&str]) -> String {
    let rules = contents.iter().zip(1..).map(|(content, sid)| {
        format!("[[rule]]\nsid = {sid}\nmsg = \"rule {sid}\"\ncontent = \"{content}\"\n")
    });
    rules.collect()
}

struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new(rules: &str) -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(lab.path("rules.toml"), rules).unwrap();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is found in a capture.
    fn events(&self, capture: &Path, more: &[&str]) -> Vec<Value> {
        let rules = self.path("rules.toml");
        let arguments = [
            &[
                "--rules",
                rules.to_str().unwrap(),
                capture.to_str().unwrap(),
            ],
            more,
        ]
        .concat();
        let text = run("ids", &arguments);
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// How often each rule (its number) and each anomaly (its name) was found in a capture made of these bytes.
    fn found(&self, bytes: &[u8], more: &[&str]) -> BTreeMap<String, usize> {
        let path = self.path("made.pcap");
        fs::write(&path, bytes).unwrap();
        count(&self.events(&path, more))
    }
}

fn count(events: &[Value]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let what = match event["event_type"].as_str().unwrap() {
            "alert" => event["alert"]["signature_id"].to_string(),
            _ => event["anomaly"]["event"].as_str().unwrap().to_owned(),
        };
        *counts.entry(what).or_default() += 1;
    }
    counts
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected
        .map(|(what, times)| (what.to_owned(), times))
        .into()
}

const GAP: &str = "stream.reassembly_seq_gap";
const OVERLAP: &str = "stream.reassembly_overlap_different_data";

#[test]
fn a_pattern_is_found_wherever_it_is_cut_and_once_though_repeated() {
    let lab = Lab::new(&rules(&["attack"]));
    let text = b"an attack here";
    let mut all = Vec::new();
    let orders: [&[usize]; 4] = [&[0, 1], &[1, 0], &[0, 1, 0, 1], &[1, 1, 0, 0]];
    for cut in 1..text.len() {
        for order in orders {
            let ends = ends(20_000 + u16::try_from(all.len()).unwrap());
            all.push((ends, syn()));
            let parts = [data(0, &text[..cut]), data(cut, &text[cut..])];
            all.extend(order.iter().map(|part| (ends, parts[*part].clone())));
        }
    }
    let connections = (text.len() - 1) * orders.len();
    assert_eq!(
        lab.found(&pcap(all.clone()), &[]),
        counts([("1", connections)])
    );
    assert_eq!(
        lab.found(&pcap(all), &["--shards", "2"]),
        counts([("1", connections)])
    );
}

#[test]
fn nothing_is_joined_across_a_hole_or_between_connections() {
    let lab = Lab::new(&rules(&["attack", "behind"]));
    let (one, two) = (ends(1), ends(2));
    let holed = [syn(), data(0, b"att"), data(4, b"ack is behind")].map(|segment| (one, segment));
    assert_eq!(lab.found(&pcap(holed), &[]), counts([("2", 1), (GAP, 1)]));
    let apart = [
        (one, syn()),
        (two, syn()),
        (one, data(0, b"att")),
        (two, data(0, b"ack")),
    ];
    assert_eq!(lab.found(&pcap(apart), &[]), counts([]));
}

#[test]
fn bytes_that_differ_are_an_anomaly() {
    let lab = Lab::new(&rules(&["good", "evil"]));
    let segments = [syn(), data(4, b"good"), data(4, b"evil"), data(0, b"....")];
    let found = lab.found(&pcap(segments.map(|segment| (ends(1), segment))), &[]);
    assert_eq!(found, counts([("1", 1), (OVERLAP, 1)]));
}

/// Against a search by the simplest means, in random texts of few letters, so that patterns begin often and overlap.
#[test]
fn finds_what_is_there_and_nothing_else() {
    const PATTERNS: [&str; 6] = ["aab", "abaab", "ba", "bbbb", "aaaaa", "babab"];
    const CONNECTIONS: u16 = 300;
    let lab = Lab::new(&rules(&PATTERNS));
    let mut random = Random::new(7);
    let mut segments = Vec::new();
    let mut expected: Vec<(u64, u64)> = Vec::new();
    for port in 1..=CONNECTIONS {
        let len = random.size(3..=22);
        let text: Vec<u8> = (0..len)
            .map(|_| b'a' + u8::from(random.happens(PerMille(500))))
            .collect();
        for (pattern, sid) in PATTERNS.iter().zip(1..) {
            if text
                .windows(pattern.len())
                .any(|window| window == pattern.as_bytes())
            {
                expected.push((port.into(), sid));
            }
        }
        // Pieces of one to four bytes that cover the text, some of them twice, in any order.
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < len {
            let end = (at + random.size(1..=4)).min(len);
            pieces.push(data(at, &text[at..end]));
            if random.happens(PerMille(300)) {
                let from = at - random.size(0..=2).min(at);
                pieces.push(data(from, &text[from..end]));
            }
            at = end;
        }
        for i in (1..pieces.len()).rev() {
            pieces.swap(i, random.size(0..=i));
        }
        pieces.insert(0, syn());
        segments.extend(pieces.into_iter().map(|piece| (ends(port), piece)));
    }
    let path = lab.path("random.pcap");
    fs::write(&path, pcap(segments)).unwrap();
    let events = lab.events(&path, &["--shards", "2"]);
    let found = events.iter().map(|event| {
        (
            event["src_port"].as_u64(),
            event["alert"]["signature_id"].as_u64(),
        )
    });
    let mut found: Vec<_> = found
        .map(|(port, sid)| (port.unwrap(), sid.unwrap()))
        .collect();
    found.sort_unstable();
    assert!(
        expected.len() > 300 && expected.len() < 1500,
        "{}",
        expected.len()
    );
    assert_eq!(found, expected);
}

#[test]
fn rules_say_where_they_hold() {
    let told = r#"
        [[rule]]
        sid = 1
        msg = "letters"
        content = "GET /HELLO.TXT"
        nocase = true
        direction = "to_server"
        [[rule]]
        sid = 2
        msg = "capitals"
        content = "GET /HELLO.TXT"
        [[rule]]
        sid = 3
        msg = "the other way"
        content = "GET /hello.txt"
        direction = "to_client"
        [[rule]]
        sid = 4
        msg = "another port"
        content = "GET /hello.txt"
        ports = [8080]
        [[rule]]
        sid = 5
        msg = "another protocol"
        content = "GET /hello.txt"
        proto = "udp"
        [[rule]]
        sid = 6
        msg = "bytes"
        content = "hello|2e|txt |48 54 54 50|"
        ports = [443, 80]
        proto = "tcp"
        severity = 1
        category = "Test"
        rev = 9
    "#;
    let lab = Lab::new(told);
    let events = lab.events(Path::new(&capture("http")), &[]);
    assert_eq!(count(&events), counts([("1", 1), ("6", 1)]));
    let event = events
        .iter()
        .find(|event| event["alert"]["signature_id"] == 6)
        .unwrap();
    for (field, value) in [
        ("src_ip", "192.0.2.1"),
        ("dest_ip", "192.0.2.2"),
        ("proto", "TCP"),
    ] {
        assert_eq!(event[field], value, "{event}");
    }
    assert_eq!(event["dest_port"], 80);
    assert_eq!(event["alert"]["rev"], 9);
    assert_eq!(event["alert"]["severity"], 1);
    assert_eq!(event["alert"]["category"], "Test");
    let time = event["timestamp"].as_str().unwrap();
    assert!(
        time.starts_with("2026-11-21T10:19:54.") && time.ends_with("+0000"),
        "{time}"
    );
    assert!(event["community_id"].as_str().unwrap().starts_with("1:"));
}

#[test]
fn only_so_much_of_a_stream_is_searched() {
    let lab = Lab::new(&rules(&["needle"]));
    let hay = [&[b'.'; 2000][..], b"needle"].concat();
    let bytes = crate::synthetic::connection(&hay, 500);
    assert_eq!(lab.found(&bytes, &["--depth", "2005"]), counts([]));
    assert_eq!(lab.found(&bytes, &["--depth", "2006"]), counts([("1", 1)]));
    assert_eq!(lab.found(&bytes, &["--depth", "0"]), counts([("1", 1)]));
}

#[test]
fn wrong_rules_are_refused_by_name() {
    let rule = |content: &str| format!("[[rule]]\nsid = 5\nmsg = \"\"\ncontent = \"{content}\"\n");
    for (text, word) in [
        (rule("|0|"), "rule 5: content"),
        (rule("|0g|"), "hexadecimal"),
        (rule("|30"), "bar is missing"),
        (rule(""), "is empty"),
        (rule("a") + &rule("b"), "two rules"),
        (rule("a") + "drop = true\n", "unknown field `drop`"),
        (rule("a") + "ports = [\"http\"]\n", "line 5"),
    ] {
        let lab = Lab::new(&text);
        let file = lab.path("rules.toml");
        let said = refused("ids", &["--rules", file.to_str().unwrap()]);
        assert!(
            said.contains(word) && said.contains("rules.toml"),
            "{word}: {said}"
        );
    }
}

/// Captures made to be read differently by different readers. What is in them was read with tshark.
#[test]
fn evasion_does_not_help() {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus");
    let corpus = std::env::var("MOSAIC_CORPUS").unwrap_or_else(|_| default.into());
    if !Path::new(&corpus).join("manifest.json").exists() {
        eprintln!("skipped: no capture corpus at {corpus}");
        return;
    }
    let cases: [(&str, &[&str], BTreeMap<String, usize>); 7] = [
        // Picked up in the middle, and from the SYN/ACK on.
        (
            "sv__alert-testmyids-midstream",
            &["uid=0|28|root|29|"],
            counts([("1", 1)]),
        ),
        (
            "sv__alert-testmyids-midstream5",
            &["uid=0|28|root|29|"],
            counts([("1", 1)]),
        ),
        // A RST and a FIN injected before the handshake is over.
        (
            "sv__bug-3286-02-linux-evasion__with_evasion_linux",
            &["GET / HTTP/1.1|0d0a|Host"],
            counts([("1", 1)]),
        ),
        // The same bytes again, with other contents; then a hole.
        (
            "sv__eve-overlap-payload-01__tcp-overlap",
            &["GOOD", "EVIL"],
            counts([("1", 1)]),
        ),
        (
            "sv__eve-overlap-payload-05-gap__tcp-simple-gap2",
            &["VERYDATA", "VERY", "DATA"],
            counts([("2", 1), ("3", 1), (GAP, 1)]),
        ),
        // Both ends open the connection.
        (
            "sv__tcp-split-handshake-01-4whs__split-handshake-4whs",
            &["EVIL"],
            counts([("1", 1)]),
        ),
        // A line in two segments, behind one that was repeated.
        (
            "sv__ruletype-firewall-31-retrans-of-drop",
            &["1.0|0d0a|Cookie", "User-Agent: Mozilla", "GET"],
            counts([("1", 1), ("2", 1), ("3", 1)]),
        ),
    ];
    for (name, contents, expected) in cases {
        let lab = Lab::new(&rules(contents));
        let file = Path::new(&corpus).join(format!("evasion/{name}.pcap"));
        assert_eq!(count(&lab.events(&file, &[])), expected, "{name}");
    }
}
