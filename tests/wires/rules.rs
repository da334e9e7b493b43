//! What becomes of frames that are not analysed.

use crate::lab::{B4, Device, Lab};
use crate::load::ping;
use crate::mosaic::Mosaic;

/// Sends ten datagrams from a0 to b0, every other one with a wrong checksum: ADDRESS of b0, hardware addresses.
const DATAGRAMS: &str = r#"
import socket, struct, sys
ours, theirs = (bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[1:])
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
raw.bind(("a0", 0))
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
for number in range(10):
    payload = b"payload!"
    udp = struct.pack("!HHHH", 7777, 7777, 16, 0)
    right = checksum(addresses + struct.pack("!BBH", 0, 17, 16) + udp + payload)
    udp = struct.pack("!HHHH", 7777, 7777, 16, right ^ 0x5555 if number % 2 else right)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 36, number, 0, 64, 17, 0) + addresses
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    raw.send(theirs + ours + b"\x08\x00" + ip + udp + payload)
"#;

fn pings(lab: &Lab) -> bool {
    lab.a
        .output(&format!("ping -n -c 1 -W 2 {B4}"))
        .status
        .success()
}

#[test]
fn without_arp_only_static_neighbours_reach_each_other() {
    let Some(lab) = Lab::new() else { return };
    let mosaic = Mosaic::inline(&lab, Device::Veth, "not_ip = \"drop\"");
    assert!(!pings(&lab), "ARP passes");
    mosaic.wait_for("a dropped request", |metrics| {
        (metrics.dropped("not_analysed") >= 1.0).then_some(())
    });
    let [a, b] = [(&lab.a, "a0"), (&lab.b, "b0")].map(|(end, name)| end.hardware_address(name));
    lab.a.ip(&format!("neigh replace {B4} lladdr {b} dev a0"));
    lab.b
        .ip(&format!("neigh replace 192.0.2.1 lladdr {a} dev b0"));
    ping(&lab, B4, 5);
    let metrics = mosaic.at_rest();
    assert!(metrics.sum("mosaic_forwarded_frames_total", &[]) >= 10.0);
    let arp = metrics.sum("mosaic_dropped_packets_total", &["reason=\"not_ip\""]);
    assert_eq!(metrics.dropped("not_analysed"), arp);
    mosaic.end();
}

/// Datagrams that B's kernel takes, and those whose checksum it finds wrong.
fn received(lab: &Lab) -> [u64; 2] {
    let table = lab.b.words("cat /proc/net/snmp");
    let mut lines = table.lines().filter(|line| line.starts_with("Udp:"));
    let [names, values] = [(); 2].map(|()| lines.next().unwrap().split(' ').collect::<Vec<_>>());
    ["InDatagrams", "InCsumErrors"].map(|name| {
        let column = names.iter().position(|n| *n == name).unwrap();
        values[column].parse().unwrap()
    })
}

#[test]
fn wrong_checksums_pass_or_are_dropped_as_told() {
    for (fate, expected_wrong, expected_dropped) in [("forward", 5, 0.0), ("drop", 0, 5.0)] {
        let Some(lab) = Lab::new() else { return };
        let sink = "import socket, time\nsink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                    sink.bind((\"\", 7777))\nprint(\"ready\", flush=True)\nwhile True: sink.recv(100); print(\"one\", flush=True)";
        let _sink = lab.b.start(&["python3", "-c", sink], lab.folder(), "sink");
        crate::namespace::eventually("a sink", || {
            let said = std::fs::read_to_string(lab.path("sink.out")).unwrap();
            said.contains("ready").then_some(())
        });
        let mosaic = Mosaic::inline(&lab, Device::Veth, &format!("bad_checksum = \"{fate}\""));
        let [a, b] = [(&lab.a, "a0"), (&lab.b, "b0")].map(|(end, name)| end.hardware_address(name));
        lab.a.run(&["python3", "-c", DATAGRAMS, &a, &b]);
        mosaic.wait_for("ten datagrams", |metrics| {
            let wrong = ["reason=\"transport_checksum\""];
            let wrong = metrics.sum("mosaic_dropped_packets_total", &wrong);
            let right = metrics.sum("mosaic_tracked_packets_total", &[]);
            (wrong == 5.0 && right >= 5.0).then_some(())
        });
        let metrics = mosaic.at_rest();
        assert_eq!(metrics.dropped("not_analysed"), expected_dropped, "{fate}");
        crate::namespace::eventually("that B's kernel has looked", || {
            (received(&lab) == [5, expected_wrong]).then_some(())
        });
        mosaic.end();
    }
}
