//! `nat`: whose ports are whose.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use mosaic::prelude::Endpoint;

use crate::printed::figure;
use crate::{capture, refused, run};

#[expect(dead_code, reason = "of the program, only this is asked here")]
#[path = "../../examples/nat.rs"]
mod program;

/// Each address and port belongs to exactly one shard, and shares differ little.
#[test]
fn ports_are_dealt_out_to_shards() {
    let addresses: Vec<Ipv4Addr> = (1..=3)
        .map(|last| Ipv4Addr::new(203, 0, 113, last))
        .collect();
    for (count, (first, last)) in [
        (1, (1024, 65_535)),
        (3, (5000, 5009)),
        (2, (65_535, 65_535)),
    ] {
        for shards in 1..=9 {
            let parts: Vec<Vec<Endpoint>> = (0..shards)
                .map(|shard| {
                    program::endpoints(&addresses[..count], (first, last), shard, shards).into()
                })
                .collect();
            let all: BTreeSet<Endpoint> = parts.iter().flatten().copied().collect();
            let expected = count * (usize::from(last - first) + 1);
            assert_eq!(all.len(), expected, "all of them");
            assert_eq!(
                parts.iter().map(Vec::len).sum::<usize>(),
                expected,
                "each once"
            );
            let most = parts.iter().map(Vec::len).max().unwrap();
            assert!(
                most <= expected.div_ceil(shards.into()),
                "{shards}: {most} of {expected}"
            );
        }
    }
}

#[test]
fn what_is_private_is_translated() {
    let file = capture("http");
    for (inside, flows) in [
        ("192.0.2.1/32", 3),
        ("192.0.2.0/24", 0),
        ("10.0.0.0/8", 0),
        ("192.0.2.2/32", 0),
    ] {
        let printed = run("nat", &[&file, "--inside", inside]);
        assert_eq!(figure(&printed, "translated"), flows, "{inside}: {printed}");
        assert_eq!(figure(&printed, "unasked"), 0, "{printed}");
    }
    // The server's address is the public one: nobody asked for what comes to it.
    let printed = run(
        "nat",
        &[&file, "--inside", "10.0.0.0/8", "--address", "192.0.2.2"],
    );
    assert!(figure(&printed, "unasked") > 0, "{printed}");
    assert_eq!(figure(&printed, "translated"), 0, "{printed}");
}

#[test]
fn connections_have_ports_of_their_own() {
    let file = capture("http");
    for (ports, translated) in [
        ("6000-6000", 1),
        ("6000-6001", 2),
        ("6000-6002", 3),
        ("6000-6009", 3),
    ] {
        let printed = run("nat", &[&file, "--ports", ports]);
        assert_eq!(
            figure(&printed, "translated"),
            translated,
            "{ports}: {printed}"
        );
        assert_eq!(
            figure(&printed, "no port left") > 0,
            translated < 3,
            "{ports}: {printed}"
        );
    }
}

#[test]
fn nonsense_is_refused() {
    for ports in ["0-10", "10", "10-5", "1-65536"] {
        assert!(
            refused("nat", &["--ports", ports]).contains("no range of ports"),
            "{ports}"
        );
    }
}
