//! `examples/nat.rs` between a private network and servers that do not know it.

use std::collections::BTreeSet;
use std::fs;

use crate::crowd::{Crowd, nothing_waits, requests};
use crate::lab::{A4, B4, B6, Device, Lab};
use crate::load::{Web, iperf, iperf_server, ping, python_server};
use crate::mosaic::Mosaic;
use crate::namespace::{Namespace, eventually};
use crate::printed::figure;

const PUBLIC: &str = "203.0.113.1";

/// B does not know the address of A, but where the public one is: it would get no answer by itself.
fn hide(lab: &Lab) {
    let [a, b] = [(&lab.a, "a0"), (&lab.b, "b0")].map(|(end, name)| end.hardware_address(name));
    lab.a.ip(&format!("neigh replace {B4} lladdr {b} dev a0"));
    lab.b.ip(&format!("route add {PUBLIC}/32 dev b0"));
    lab.b
        .ip(&format!("neigh replace {PUBLIC} lladdr {a} dev b0"));
    lab.b.ip(&format!("route add blackhole {A4}/32"));
}

fn start<'a>(lab: &'a Lab, device: Device, arguments: &[&str], config: &str) -> Mosaic<'a> {
    let begin = ["--inside", "192.0.2.1/32", "--address", PUBLIC];
    Mosaic::example_with(lab, device, "nat", &[&begin, arguments].concat(), config)
}

/// Whom nginx has seen: each connection with an address and a port.
fn seen(lab: &Lab) -> Vec<(String, u16)> {
    let log = fs::read_to_string(lab.path("nginx-access.log")).unwrap();
    let seen = log.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[1].parse().unwrap())
    });
    seen.collect()
}

/// Every connection, of so many, came from the public address, and from a port of its own.
#[track_caller]
fn assert_translated(lab: &Lab, connections: usize) {
    let seen = seen(lab);
    assert!(
        seen.iter().all(|(address, _)| address == PUBLIC),
        "{seen:?}"
    );
    assert_eq!(seen.len(), connections);
    let ports: BTreeSet<u16> = seen.iter().map(|(_, port)| *port).collect();
    assert_eq!(ports.len(), connections);
    assert!(ports.first() >= Some(&1024));
}

fn servers_see_the_public_address(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    hide(&lab);
    let nat = start(&lab, device, &[], "");
    web.fetch_big(&lab, B4);
    let crowd = Crowd::new(&lab);
    crowd.ask(&lab, &lab.a, B4, 320);
    assert_translated(&lab, 321);
    // IPv6 passes as it is.
    ping(&lab, B6, 3);
    nothing_waits(&[&lab.a, &lab.b]);
    nat.at_rest();
    let printed = nat.end().summary;
    assert_eq!(figure(&printed, "translated"), 321, "{printed}");
    assert_eq!(figure(&printed, "no port left"), 0, "{printed}");
}

#[test]
fn servers_see_the_public_address_veth() {
    servers_see_the_public_address(Device::VethQueues);
}

#[test]
fn servers_see_the_public_address_tap() {
    servers_see_the_public_address(Device::Tap);
}

#[test]
fn servers_see_the_public_address_veth_to_tap() {
    servers_see_the_public_address(Device::VethTap);
}

/// What nobody asked for, and what cannot be translated, does not pass.
#[test]
fn what_cannot_be_translated_does_not_pass() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    hide(&lab);
    lab.a.ip(&format!("address add {PUBLIC}/32 dev a0"));
    let server = "import socket\nserver = socket.create_server((\"\", 7777))\nprint(\"ready\", flush=True)\n\
                  while True: server.accept()";
    let _server = python_server(&lab, &lab.a, server);
    let nat = start(&lab, Device::Veth, &[], "");
    // An echo has an identifier to translate; a protocol without ports has nothing.
    ping(&lab, B4, 3);
    let plain = format!(
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, 253).sendto(b'hello', ('{B4}', 0))"
    );
    lab.a.run(&["python3", "-c", &plain]);
    let into = format!("curl -sS --connect-timeout 1 http://{PUBLIC}:7777/");
    assert_eq!(lab.b.output(&into).status.code(), Some(28));
    nat.at_rest();
    let printed = nat.end().summary;
    assert_eq!(figure(&printed, "translated"), 1, "{printed}");
    assert_eq!(figure(&printed, "untranslatable"), 1, "{printed}");
    assert!(figure(&printed, "unasked") >= 1, "{printed}");
}

/// Ten ports, and more connections: the first ones work, the others are told; after some time ports are free again.
#[test]
fn where_ports_run_out_it_is_said_and_they_come_back() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    hide(&lab);
    let nat = start(
        &lab,
        Device::Veth,
        &["--ports", "5000-5009"],
        "[timeouts]\nclosed_s = 3\n",
    );
    let request = |timeout: &str| {
        let url = format!("http://{B4}/small");
        lab.a
            .output(&format!(
                "curl -sS -o /dev/null --connect-timeout {timeout} {url}"
            ))
            .status
            .success()
    };
    // Of each shard's five, about half lead back to it: any may be the last.
    let answered = (0..12).filter(|_| request("1")).count();
    assert!((1..=10).contains(&answered), "{answered}");
    eventually("a complaint", || {
        nat.said().contains("no port left").then_some(())
    });
    eventually("a port", || request("2").then_some(()));
    let printed = nat.end().summary;
    assert!(figure(&printed, "no port left") > 0, "{printed}");
}

/// Over bad links, under load; datagrams too.
#[test]
fn what_is_translated_arrives_whole() {
    let Some(lab) = Lab::lossy() else {
        return;
    };
    let web = Web::start(&lab);
    hide(&lab);
    let nat = start(&lab, Device::VethQueues, &[], "");
    Crowd::new(&lab).ask(&lab, &lab.a, B4, requests());
    web.fetch_big(&lab, B4);
    let _server = iperf_server(&lab);
    iperf(&lab, "-n 3M -P 4");
    iperf(&lab, "-u -b 2M -l 1000 -t 2");
    assert_translated(&lab, requests() + 1);
    nothing_waits(&[&lab.a, &lab.b]);
    nat.at_rest();
    let printed = nat.end().summary;
    // Besides those of iperf3, and packets that came when their connection had left the table.
    assert!(
        figure(&printed, "translated") > requests() as u64 + 1,
        "{printed}"
    );
    assert_eq!(figure(&printed, "no port left"), 0, "{printed}");
}

/// Behind B, over a link that takes less than the others.
const FAR: &str = "198.51.100.2";
const ROUTER: &str = "198.51.100.1";

/// A host behind B that offers to take segments larger than its link does.
fn far_host(lab: &Lab) -> Namespace {
    let far = Namespace::new("far");
    far.join("c0", &lab.b, "b1");
    for (end, interface, address) in [(&far, "c0", FAR), (&lab.b, "b1", ROUTER)] {
        end.words(&format!("ethtool -K {interface} tso off gso off gro off"));
        end.ip(&format!("link set {interface} mtu 1300"));
        end.ip(&format!("address add {address}/24 dev {interface}"));
    }
    far.ip(&format!("route add default via {ROUTER} advmss 1460"));
    lab.b.set("net/ipv4/ip_forward", "1");
    lab.a
        .ip(&format!("route add 198.51.100.0/24 via {B4} dev a0"));
    far
}

/// ICMP errors reach those who sent what they quote: a router says that a link takes less, and a host that nobody listens.
#[test]
fn errors_come_back_to_who_is_behind_the_address() {
    let Some(lab) = Lab::new() else { return };
    let far = far_host(&lab);
    hide(&lab);
    let nat = start(&lab, Device::VethQueues, &[], "");
    let server = "import hashlib, socket\n\
                  server = socket.create_server((\"\", 7777))\n\
                  print(\"ready\", flush=True)\n\
                  while True:\n\
                  \x20 peer, _ = server.accept()\n\
                  \x20 sum = hashlib.sha256()\n\
                  \x20 while part := peer.recv(65536): sum.update(part)\n\
                  \x20 peer.sendall(sum.digest())\n\
                  \x20 peer.close()\n";
    let _server = python_server(&lab, &far, server);
    // IP_MTU_DISCOVER, IP_PMTUDISC_DO: nothing may be fragmented. IP_MTU says what was found out.
    let client = format!(
        "import hashlib, os, socket\n\
         for _ in range(3):\n\
         \x20 peer = socket.socket()\n\
         \x20 peer.setsockopt(socket.IPPROTO_IP, 10, 2)\n\
         \x20 peer.settimeout(30)\n\
         \x20 peer.connect((\"{FAR}\", 7777))\n\
         \x20 data = os.urandom(1 << 20)\n\
         \x20 peer.sendall(data)\n\
         \x20 peer.shutdown(socket.SHUT_WR)\n\
         \x20 assert peer.recv(64) == hashlib.sha256(data).digest()\n\
         \x20 assert peer.getsockopt(socket.IPPROTO_IP, 14) == 1300\n"
    );
    lab.a.run(&["python3", "-c", &client]);
    let refused = format!(
        "import socket\n\
         peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         peer.settimeout(20)\n\
         peer.connect((\"{B4}\", 7))\n\
         peer.send(b\"hello\")\n\
         try: peer.recv(64)\n\
         except ConnectionRefusedError: print(\"refused\")\n"
    );
    assert_eq!(lab.a.run(&["python3", "-c", &refused]), "refused\n");
    let metrics = nat.at_rest();
    assert!(metrics.sum("mosaic_translated_errors_total", &[]) >= 2.0);
    assert_eq!(metrics.sum("mosaic_untranslated_packets_total", &[]), 0.0);
    let printed = nat.end().summary;
    assert_eq!(figure(&printed, "translated"), 4, "{printed}");
    assert_eq!(figure(&printed, "unasked"), 0, "{printed}");
}

/// What holds fragments until their datagram is complete; incomplete ones not for long.
const HOLD: &str = "[packets]\nfragments = \"hold\"\nfragment_timeout_s = 1\n";

/// Datagrams of random bytes and lengths, sent to a server in B that sends them back as they came, and says from where to
/// `server.out`.
fn echo_datagrams(lab: &Lab) {
    let server = "import socket\n\
                  server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                  server.bind((\"\", 7777))\n\
                  print(\"ready\", flush=True)\n\
                  while True:\n\
                  \x20 data, peer = server.recvfrom(65536)\n\
                  \x20 print(peer[0], flush=True)\n\
                  \x20 server.sendto(data, peer)\n";
    let _server = python_server(lab, &lab.b, server);
    let client = format!(
        "import os, random, socket\n\
         for _ in range(10):\n\
         \x20 peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         \x20 peer.settimeout(20)\n\
         \x20 peer.connect((\"{B4}\", 7777))\n\
         \x20 for _ in range(10):\n\
         \x20  data = os.urandom(random.randrange(20000))\n\
         \x20  peer.send(data)\n\
         \x20  assert peer.recv(65536) == data\n"
    );
    lab.a.run(&["python3", "-c", &client]);
    let said = fs::read_to_string(lab.path("server.out")).unwrap();
    let peers = said.replace("ready\n", "");
    assert_eq!(peers, format!("{PUBLIC}\n").repeat(100));
}

/// Datagrams that come in fragments are translated, in both directions, where fragments are held; where they are not, they do
/// not get through.
fn datagrams_in_fragments_are_translated(device: Device) {
    let Some(lab) = Lab::new() else { return };
    if !lab.can_have(device) {
        return;
    }
    hide(&lab);
    let large = format!("ping -n -c 5 -i 0.05 -W 2 -s 20000 {B4}");
    let nat = start(&lab, device, &[], HOLD);
    echo_datagrams(&lab);
    assert!(lab.a.output(&large).status.success());
    // What is not translated waits as well.
    let report = lab.a.words(&large.replace(B4, B6));
    assert!(
        report.contains("5 packets transmitted, 5 received"),
        "{report}"
    );
    let metrics = nat.at_rest();
    assert_eq!(metrics.sum("mosaic_untranslated_packets_total", &[]), 0.0);
    assert_eq!(metrics.dropped("fragments"), 0.0);
    assert_eq!(metrics.sum("mosaic_held_frames", &[]), 0.0);
    nat.end();

    let nat = start(&lab, device, &[], "");
    assert!(!lab.a.output(&large).status.success());
    nat.at_rest();
    let printed = nat.end().summary;
    assert!(figure(&printed, "untranslatable") > 0, "{printed}");
}

#[test]
fn datagrams_in_fragments_are_translated_tap() {
    datagrams_in_fragments_are_translated(Device::Tap);
}

#[test]
fn datagrams_in_fragments_are_translated_xdp() {
    datagrams_in_fragments_are_translated(Device::Xdp);
}

/// Of what bad links lose a part of, the rest is given up and counted.
#[test]
fn fragments_that_wait_in_vain_are_counted() {
    let Some(lab) = Lab::lossy() else { return };
    hide(&lab);
    let nat = start(&lab, Device::Tap, &[], HOLD);
    let _server = iperf_server(&lab);
    let report = iperf(&lab, "-u -b 4M -l 8000 -t 3");
    let lost = report["end"]["sum"]["lost_percent"].as_f64().unwrap();
    assert!(lost < 60.0, "{report}");
    // Sooner or later, without another fragment, none waits.
    nat.wait_for("that none waits", |metrics| {
        let is_over =
            metrics.dropped("fragments") > 0.0 && metrics.sum("mosaic_held_frames", &[]) == 0.0;
        is_over.then_some(())
    });
    nat.at_rest();
    nat.end();
}
