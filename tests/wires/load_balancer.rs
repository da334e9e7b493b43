//! `examples/load_balancer.rs` before three servers.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::crowd::{Crowd, nothing_waits, requests};
use crate::lab::{A4, A6, Device, Lab};
use crate::load::{FILE_BYTES, Web, iperf_server, iperf_to, nginx};
use crate::mosaic::Mosaic;
use crate::namespace::{Background, eventually};

/// What clients connect to: nobody has these addresses.
const SERVICE4: &str = "203.0.113.80";
const SERVICE6: &str = "2001:db8:1::80";

/// Three nginx in B, each with addresses of its own, which say who they are.
struct Farm {
    _servers: Vec<Background>,
}

fn address4(server: usize) -> String {
    format!("192.0.2.1{server}")
}

fn address6(server: usize) -> String {
    format!("2001:db8::1{server}")
}

impl Farm {
    /// Beside what a [`Web`] serves.
    fn start(lab: &Lab) -> Self {
        lab.a.ip(&format!("route add {SERVICE4}/32 via 192.0.2.2"));
        lab.a
            .ip(&format!("route add {SERVICE6}/128 via 2001:db8::2"));
        let servers = (1..=3).map(|server| {
            let (v4, v6) = (address4(server), address6(server));
            lab.b.ip(&format!("address add {v4}/32 dev b0"));
            lab.b.ip(&format!("address add {v6}/128 dev b0 nodad"));
            let listen = format!(
                "listen {v4}:8080; listen [{v6}]:8080; location /who {{ return 200 \"{server}\"; }}"
            );
            let nginx = nginx(lab, &format!("server{server}"), &listen);
            eventually("a server", || {
                lab.b
                    .output(&format!("curl -sS http://{v4}:8080/who"))
                    .status
                    .success()
                    .then_some(())
            });
            nginx
        });
        Self {
            _servers: servers.collect(),
        }
    }
}

/// A file of servers, complete at once.
fn write_backends(lab: &Lab, servers: &[usize], port: u16) -> PathBuf {
    let lines = servers.iter().map(|server| {
        format!(
            "{}:{port}\n[{}]:{port}\n",
            address4(*server),
            address6(*server)
        )
    });
    lab.put("backends", &lines.collect::<String>())
}

fn start<'a>(lab: &'a Lab, device: Device, servers: &[usize], port: u16) -> Mosaic<'a> {
    let backends = write_backends(lab, servers, port);
    let services = format!("{SERVICE4}:{port},[{SERVICE6}]:{port}").replace("8080", "80");
    let arguments = [
        "--service",
        &services,
        "--backends",
        backends.to_str().unwrap(),
    ];
    Mosaic::example(lab, device, "load_balancer", &arguments)
}

/// Who answers `count` requests, each on a connection of its own.
fn who(lab: &Lab, host: &str, count: usize) -> BTreeMap<char, u64> {
    let url = format!("http://{host}/who?[1-{count}]");
    let answers = lab
        .a
        .run(&["curl", "-sS", "-m", "30", "-H", "Connection: close", &url]);
    assert_eq!(answers.len(), count, "{answers}");
    let mut counts = BTreeMap::new();
    answers
        .chars()
        .for_each(|server| *counts.entry(server).or_default() += 1);
    counts
}

/// Flows by server, without its port.
fn table(printed: &str) -> BTreeMap<String, u64> {
    let (_, rows) = printed.rsplit_once("bytes\n").unwrap();
    let rows = rows.lines().map(|row| {
        let words: Vec<&str> = row.split_whitespace().collect();
        let server = words[0].trim_end_matches(":8080").to_owned();
        (server, words[words.len() - 3].parse().unwrap())
    });
    rows.collect()
}

fn connections_are_spread_and_stay(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    let _farm = Farm::start(&lab);
    let balancer = start(&lab, device, &[1, 2, 3], 8080);
    let service6 = format!("[{SERVICE6}]");
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for host in [SERVICE4, &service6] {
        let counts = who(&lab, host, 240);
        assert!(
            counts.len() == 3 && counts.values().all(|count| *count > 40),
            "{counts:?}"
        );
        for (server, count) in counts {
            let server = server.to_digit(10).unwrap() as usize;
            let name = if host == SERVICE4 {
                address4(server)
            } else {
                format!("[{}]", address6(server))
            };
            *asked.entry(name).or_default() += count;
        }
    }
    // Servers know who asks.
    let log = fs::read_to_string(lab.path("server2-access.log")).unwrap();
    assert!([A4, A6].iter().all(|client| {
        log.lines()
            .any(|line| line.starts_with(&format!("{client} ")))
    }));

    // A transfer stays where it is, though its server is taken from the list; others do not go there any more.
    let transfer = web.begin_big(&lab, SERVICE4);
    let servers = "ss -Htn state established src 192.0.2.11 or src 192.0.2.12 or src 192.0.2.13";
    let connected = lab.b.words(servers);
    let gone: usize = (1..=3)
        .find(|server| connected.contains(&format!("{}:8080", address4(*server))))
        .unwrap();
    let rest: Vec<usize> = (1..=3).filter(|server| *server != gone).collect();
    write_backends(&lab, &rest, 8080);
    eventually("new servers", || {
        balancer.said().contains("4 servers in force").then_some(())
    });
    let counts = who(&lab, SERVICE4, 120);
    assert!(
        counts.len() == 2 && !counts.contains_key(&gone.to_string().chars().next().unwrap()),
        "{counts:?} {gone}"
    );
    for (server, count) in counts {
        *asked
            .get_mut(&address4(server.to_digit(10).unwrap() as usize))
            .unwrap() += count;
    }
    *asked.get_mut(&address4(gone)).unwrap() += 1;
    transfer.arrives();
    nothing_waits(&[&lab.a, &lab.b]);
    balancer.at_rest();
    let mut table = table(&balancer.end().summary);
    assert_eq!(table.remove("none"), Some(0));
    assert_eq!(table, asked);
}

#[test]
fn connections_are_spread_and_stay_veth() {
    connections_are_spread_and_stay(Device::VethQueues);
}

#[test]
fn connections_are_spread_and_stay_tap() {
    connections_are_spread_and_stay(Device::Tap);
}

/// Over bad links, under load, in both versions of IP.
#[test]
fn what_is_balanced_arrives_whole() {
    let Some(lab) = Lab::lossy() else {
        return;
    };
    let web = Web::start(&lab);
    let _farm = Farm::start(&lab);
    let crowd = Crowd::new(&lab);
    let balancer = start(&lab, Device::VethQueues, &[1, 2, 3], 8080);
    crowd.ask(&lab, &lab.a, SERVICE4, requests() / 2);
    crowd.ask(&lab, &lab.a, &format!("[{SERVICE6}]"), requests() / 2);
    let transfers = web.fetch_big(&lab, SERVICE4);
    assert_eq!(transfers[0].body_bytes, FILE_BYTES as u64);
    nothing_waits(&[&lab.a, &lab.b]);
    balancer.at_rest();
    let table = table(&balancer.end().summary);
    assert_eq!(
        table.values().sum::<u64>(),
        requests() as u64 + 1,
        "{table:?}"
    );
    assert_eq!(table["none"], 0);

    // All connections of a test must go to one server.
    let _server = iperf_server(&lab);
    let balancer = start(&lab, Device::VethQueues, &[2], 5201);
    iperf_to(&lab, SERVICE4, "-n 3M -P 4");
    iperf_to(&lab, SERVICE6, "-n 3M -P 2 -R");
    nothing_waits(&[&lab.a, &lab.b]);
    balancer.at_rest();
    balancer.end();
}
