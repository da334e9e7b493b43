//! `firewall`: which rule decides, shown on captures.

use std::fs;

use mosaic::prelude::Side;
use mosaic_engine::wire::TcpFlags;

use crate::synthetic::{ends, pcap, segment};
use crate::{capture, refused, run};

/// Flows by rule, for these rules and a capture.
fn flows(rules: &str, name: &str) -> Vec<(String, u64)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules");
    fs::write(&path, rules).unwrap();
    let text = run(
        "firewall",
        &["--rules", path.to_str().unwrap(), &capture(name)],
    );
    let rows = text.lines().skip(1).map(|row| {
        let flows = row[5..15].trim().parse().unwrap();
        (row[45..].to_owned(), flows)
    });
    rows.filter(|(_, flows)| *flows > 0).collect()
}

fn decides(rules: &str, name: &str, expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(rule, flows)| ((*rule).to_owned(), *flows))
        .collect();
    assert_eq!(flows(rules, name), expected, "{rules}");
}

/// Everything in `http` are three connections from 192.0.2.1 to port 80 of 192.0.2.2, and ARP.
#[test]
fn the_first_rule_that_matches_decides() {
    const NONE: &str = "ACCEPT what no rule matches";
    for (rule, matches) in [
        ("DROP any any", true),
        ("DROP any any any", true),
        ("DROP tcp any any", true),
        ("DROP 6 any any dport:80", true),
        ("DROP udp any any", false),
        ("DROP 192.0.2.1 192.0.2.2 dport:80", true),
        ("DROP 192.0.2.2 192.0.2.1", false),
        ("DROP 192.0.2.0/31 192.0.2.2/31", true),
        ("DROP 192.0.2.2/31 any", false),
        ("DROP any 192.0.2.2 dport:79-81", true),
        ("DROP any 192.0.2.2 dport:81-90", false),
        ("DROP any 192.0.2.2 sport:80", false),
        ("DROP any any sport:1024-65535 dport:80", true),
        ("DROP 2001:db8::/32 any", false),
    ] {
        let expected = if matches { rule } else { NONE };
        decides(rule, "http", &[(expected, 3)]);
    }
    let rules = "# a comment\n\n  ACCEPT   tcp  any any dport:80 # of port 80\nDROP any any\n";
    decides(rules, "http", &[("ACCEPT tcp any any dport:80", 3)]);
    decides(
        "DROP any any\nACCEPT tcp any any\n",
        "http",
        &[("DROP any any", 3)],
    );
    let over_ipv6 = flows(
        "DROP tcp 2001:db8::1 2001:db8::/64\nACCEPT icmpv6 any any\n",
        "http6",
    );
    assert_eq!(
        over_ipv6[0],
        ("DROP tcp 2001:db8::1 2001:db8::/64".to_owned(), 2)
    );
    assert_eq!(over_ipv6[1].0, "ACCEPT icmpv6 any any");
}

/// A retransmission of the server, long after: who opened the connection is not to be seen.
#[test]
fn connections_that_were_there_before_may_be_either_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("late.pcap");
    let late = |sender, flags| (ends(40_000), segment(sender, 7, flags, b"late"));
    let rules = folder.path().join("rules");
    for (first, rule, expected) in [
        (
            late(Side::Server, TcpFlags::ACK),
            "ACCEPT tcp any any dport:80",
            true,
        ),
        (
            late(Side::Server, TcpFlags::ACK),
            "ACCEPT tcp 192.0.2.1 any dport:80",
            true,
        ),
        (
            late(Side::Client, TcpFlags::ACK),
            "ACCEPT tcp any any dport:80",
            true,
        ),
        (
            late(Side::Server, TcpFlags::ACK),
            "ACCEPT tcp any any dport:81",
            false,
        ),
        // One that is opened is what it is.
        (
            late(Side::Server, TcpFlags::SYN),
            "ACCEPT tcp any any dport:80",
            false,
        ),
    ] {
        fs::write(&path, pcap([first])).unwrap();
        fs::write(&rules, format!("{rule}\nDROP any any\n")).unwrap();
        let text = run(
            "firewall",
            &["--rules", rules.to_str().unwrap(), path.to_str().unwrap()],
        );
        let rows: Vec<_> = text
            .lines()
            .map(|row| row.split_whitespace().nth(1))
            .collect();
        let accepted = if expected {
            [Some("1"), Some("0")]
        } else {
            [Some("0"), Some("1")]
        };
        assert_eq!(rows[1..3], accepted, "{text}");
    }
}

#[test]
fn wrong_rules_are_refused_by_line() {
    for (rule, word) in [
        ("PASS any any", "PASS is no action"),
        ("DROP", "where it comes from is missing"),
        ("DROP any", "where it goes to is missing"),
        ("DROP tpc any any", "tpc is no protocol"),
        (
            "DROP 10.0.0.0/33 any",
            "10.0.0.0/33 is neither an address nor a network",
        ),
        ("DROP any any 80", "neither"),
        (
            "DROP any any dport:http",
            "http is neither a port nor a range",
        ),
        (
            "DROP any any dport:90-80",
            "90-80 is neither a port nor a range",
        ),
        ("DROP icmp any any dport:80", "has no ports"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules");
        fs::write(&path, format!("ACCEPT any any\n{rule}\n")).unwrap();
        let said = refused("firewall", &["--rules", path.to_str().unwrap()]);
        assert!(
            said.contains("rules:2: ") && said.contains(word),
            "{rule}: {said}"
        );
    }
}
