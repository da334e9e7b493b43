//! `load_balancer`: its table, against what its inventors promise, and where connections of captures go.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::SocketAddr;

use mosaic_engine::wire::TcpFlags;
use proptest::prelude::*;

use crate::synthetic::{data, ends, pcap, segment, syn};
use crate::{capture, refused, run};

#[expect(dead_code, reason = "of the program, only its table is asked here")]
#[path = "../../examples/load_balancer.rs"]
mod program;

use program::{Maglev, Pool, hash};

const PLACES: u32 = 65_537;

/// Distinct servers.
fn servers(count: usize) -> impl Strategy<Value = Vec<SocketAddr>> {
    proptest::collection::btree_set((any::<[u8; 4]>(), 1..u16::MAX), count)
        .prop_map(|all| all.into_iter().map(SocketAddr::from).collect())
}

/// The server of each place, by asking for every one.
fn places(table: &Maglev) -> Vec<usize> {
    (0..PLACES)
        .map(|place| table.server_of(place.into()).unwrap())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// The shares of all servers are the same, but for one place.
    #[test]
    fn shares_are_even(servers in (1_usize..100).prop_flat_map(servers)) {
        let mut shares = vec![0_u64; servers.len()];
        for server in places(&Maglev::new(&servers)) {
            shares[server] += 1;
        }
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        prop_assert!(most - least <= 1, "in turn, each takes one place: {least} to {most}");
    }

    /// When a server goes, its places are dealt out to the others, and next to none of theirs change hands.
    #[test]
    fn next_to_nothing_moves_when_a_server_goes(servers in (2_usize..100).prop_flat_map(servers), gone in any::<proptest::sample::Index>()) {
        let gone = gone.index(servers.len());
        let before: Vec<_> = places(&Maglev::new(&servers)).into_iter().map(|server| servers[server]).collect();
        let mut rest = servers.clone();
        let lost = rest.remove(gone);
        let after: Vec<_> = places(&Maglev::new(&rest)).into_iter().map(|server| rest[server]).collect();
        prop_assert!(!after.contains(&lost));
        let of_others = before.iter().zip(&after).filter(|(before, _)| **before != lost);
        let moved = of_others.filter(|(before, after)| before != after).count();
        // A table made by the remainder of a division would move nearly all.
        prop_assert!(moved * 100 < PLACES as usize * 3, "{moved} of {}", servers.len());
    }

    /// The order of lines does not matter: balancers that know the same servers agree.
    #[test]
    fn the_order_of_servers_does_not_matter(servers in servers(20), clients in proptest::collection::vec((any::<[u8; 4]>(), any::<u16>()), 50)) {
        let lines = |servers: &[SocketAddr]| servers.iter().map(|server| format!("{server}\n")).collect::<String>();
        let there = Pool::parse(&lines(&servers)).unwrap();
        let back: Vec<_> = servers.iter().rev().copied().collect();
        let back = Pool::parse(&lines(&back)).unwrap();
        for client in clients {
            prop_assert_eq!(there.server_for(client.into()), back.server_for(client.into()));
        }
    }
}

/// The table by the paper's pseudocode, word by word: permutations written out in full.
#[test]
fn the_table_is_that_of_the_paper() {
    let servers: Vec<SocketAddr> = (1..=7)
        .map(|last| SocketAddr::from(([192, 0, 2, last], 80)))
        .collect();
    let (n, m) = (servers.len(), PLACES as usize);
    let reduced = |hash: u64, by: usize| usize::try_from(hash % by as u64).unwrap();
    let permutation: Vec<Vec<usize>> = servers
        .iter()
        .map(|server| {
            let (offset, skip) = (
                reduced(hash(1, server), m),
                reduced(hash(2, server), m - 1) + 1,
            );
            (0..m).map(|j| (offset + j * skip) % m).collect()
        })
        .collect();
    let mut next = vec![0; n];
    let mut entry = vec![None; m];
    let mut filled = 0;
    'all: loop {
        for i in 0..n {
            let mut c = permutation[i][next[i]];
            while entry[c].is_some() {
                next[i] += 1;
                c = permutation[i][next[i]];
            }
            entry[c] = Some(i);
            next[i] += 1;
            filled += 1;
            if filled == m {
                break 'all;
            }
        }
    }
    let entry: Vec<usize> = entry.into_iter().flatten().collect();
    assert_eq!(places(&Maglev::new(&servers)), entry);
}

#[test]
fn without_servers_there_is_none() {
    let pool = Pool::parse("# nobody\n").unwrap();
    assert_eq!(pool.server_for("192.0.2.1:1".parse().unwrap()), None);
    let of_six = Pool::parse("[2001:db8::1]:80").unwrap();
    assert_eq!(of_six.server_for("192.0.2.1:1".parse().unwrap()), None);
    assert!(
        of_six
            .server_for("[2001:db8::9]:1".parse().unwrap())
            .is_some()
    );
}

/// Flows by server, as the program prints them for a capture.
fn spread(capture: &str, arguments: &[&str]) -> BTreeMap<String, u64> {
    let text = run("load_balancer", &[&[capture], arguments].concat());
    let rows = text.lines().skip(1).map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        (words[0].to_owned(), words[words.len() - 3].parse().unwrap())
    });
    rows.collect()
}

#[test]
fn connections_to_the_service_go_where_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let (path, backends) = (
        folder.path().join("many.pcap"),
        folder.path().join("backends"),
    );
    let text = "192.0.2.11:80\n192.0.2.12:80 # the second\n\n192.0.2.13:8080\n";
    fs::write(&backends, text).unwrap();
    let pool = Pool::parse(text).unwrap();
    let mut expected: HashMap<String, u64> = HashMap::new();
    let mut segments = Vec::new();
    for port in 1000..1600 {
        let server = pool
            .server_for(SocketAddr::from(([192, 0, 2, 1], port)))
            .unwrap();
        *expected.entry(server.to_string()).or_default() += 1;
        let answer = segment(
            mosaic::prelude::Side::Server,
            0,
            TcpFlags::SYN | TcpFlags::ACK,
            b"",
        );
        segments.extend([syn(), answer, data(0, b"GET /")].map(|segment| (ends(port), segment)));
    }
    fs::write(&path, pcap(segments)).unwrap();
    let path = path.to_str().unwrap();
    let arguments = [
        "--backends",
        backends.to_str().unwrap(),
        "--service",
        "192.0.2.2:80",
    ];
    let found = spread(path, &arguments);
    for (server, flows) in &expected {
        assert!(*flows > 150, "{expected:?}");
        assert_eq!(found.get(server), Some(flows), "{found:?}");
    }
    assert_eq!(found["none"], 0);
    // Of another service nothing is heard.
    let found = spread(path, &["--service", "192.0.2.2:81"]);
    assert_eq!(found.values().sum::<u64>(), 0);
}

#[test]
fn wrong_servers_are_refused_by_line() {
    for (line, word) in [
        ("192.0.2.11", "192.0.2.11 is not an address and a port"),
        ("example.test:80", "not an address"),
        ("192.0.2.1:80", "stands there twice"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backends");
        fs::write(&path, format!("192.0.2.1:80\n{line}\n")).unwrap();
        let said = refused(
            "load_balancer",
            &["--backends", path.to_str().unwrap(), &capture("http")],
        );
        assert!(
            said.contains("backends:2: ") && said.contains(word),
            "{line}: {said}"
        );
    }
}
