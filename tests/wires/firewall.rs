//! `examples/firewall.rs` between namespaces.

use crate::crowd::{Crowd, nothing_waits, requests};
use crate::lab::{A4, A6, B4, B6, Device, Lab};
use crate::load::{Web, iperf, iperf_server, ping};
use crate::mosaic::Mosaic;

fn start<'a>(lab: &'a Lab, device: Device, rules: &str) -> Mosaic<'a> {
    let rules = lab.put("rules", rules);
    Mosaic::example(
        lab,
        device,
        "firewall",
        &["--rules", rules.to_str().unwrap()],
    )
}

/// Puts new rules in force.
fn reload(lab: &Lab, firewall: &Mosaic<'_>, rules: &str, answer: &str) {
    let before = firewall.said().matches(answer).count();
    lab.put("rules", rules);
    crate::namespace::eventually("new rules", || {
        (firewall.said().matches(answer).count() > before).then_some(())
    });
}

/// How a request ends for curl.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Answered,
    Refused,
    TimedOut,
}

fn request(lab: &Lab, host: &str, port: u16) -> End {
    let curl = format!("curl -sS -o /dev/null --connect-timeout 1.5 http://{host}:{port}/small");
    match lab.a.output(&curl).status.code() {
        Some(0) => End::Answered,
        Some(7) => End::Refused,
        Some(28) => End::TimedOut,
        other => panic!("curl: {other:?}"),
    }
}

fn ends(lab: &Lab, ports: [u16; 3]) -> Vec<[End; 3]> {
    let hosts = [B4.to_owned(), format!("[{B6}]")];
    hosts
        .map(|host| ports.map(|port| request(lab, &host, port)))
        .into()
}

/// Flows, packets and bytes of each rule, by its text, from the last table.
fn figures(printed: &str) -> Vec<(String, [u64; 3])> {
    let (_, table) = printed.rsplit_once("bytes  rule\n").unwrap();
    let rows = table.lines().map(|row| {
        let (numbers, text) = (&row[5..43], &row[45..]);
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        (text.to_owned(), numbers.try_into().unwrap())
    });
    rows.collect()
}

fn of(figures: &[(String, [u64; 3])], text: &str) -> [u64; 3] {
    figures
        .iter()
        .find(|(rule, _)| rule == text)
        .unwrap_or_else(|| panic!("{text}: {figures:?}"))
        .1
}

const RULES: &str = "\
ACCEPT tcp any any dport:80
REJECT tcp any any dport:81   # refused at once
DROP   tcp any any dport:82
";

fn rules_decide_and_change(device: Device) {
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    let firewall = start(&lab, device, RULES);
    ping(&lab, B4, 3);
    ping(&lab, B6, 3);
    let before = ends(&lab, [80, 81, 82]);
    assert_eq!(before, [[End::Answered, End::Refused, End::TimedOut]; 2]);

    // A transfer goes on while the rules change, though the new ones would not have it.
    let transfer = web.begin_big(&lab, B4);
    reload(
        &lab,
        &firewall,
        "DROP tcp 192.0.2.0/24 any dport:80\nREJECT tcp 2001:db8::/32 any dport:80-81\n",
        "2 rules in force",
    );
    let after = ends(&lab, [80, 81, 82]);
    assert_eq!(
        after,
        [
            [End::TimedOut, End::Answered, End::Answered],
            [End::Refused, End::Refused, End::Answered]
        ]
    );
    // A mistake changes nothing, and is named.
    reload(
        &lab,
        &firewall,
        "ACCEPT any any\nDORP tcp any any\n",
        "rules:2: DORP is no action",
    );
    assert_eq!(request(&lab, B4, 80), End::TimedOut);
    transfer.arrives();

    nothing_waits(&[&lab.a, &lab.b]);
    let books = firewall.at_rest();
    assert!(books.dropped("verdict") > 0.0);
    let printed = firewall.end().summary;
    let figures = figures(&printed);
    assert_eq!(
        of(&figures, "ACCEPT tcp any any dport:80")[0],
        3,
        "{printed}"
    );
    assert_eq!(
        of(&figures, "REJECT tcp any any dport:81")[0],
        2,
        "{printed}"
    );
    assert_eq!(
        of(&figures, "DROP tcp 192.0.2.0/24 any dport:80")[0],
        2,
        "{printed}"
    );
    assert_eq!(
        of(&figures, "REJECT tcp 2001:db8::/32 any dport:80-81")[0],
        2,
        "{printed}"
    );
}

#[test]
fn rules_decide_and_change_veth() {
    rules_decide_and_change(Device::VethQueues);
}

#[test]
fn rules_decide_and_change_tap() {
    rules_decide_and_change(Device::Tap);
}

/// What was refused is asked about again once the rules have changed: the SYN that the kernel repeats gets through.
#[test]
fn a_connection_that_waits_gets_through_when_the_rules_change() {
    let Some(lab) = Lab::new() else { return };
    let _web = Web::start(&lab);
    let firewall = start(&lab, Device::Veth, "DROP tcp any any");
    let url = format!("http://{B4}/small");
    let mut curl = lab.a.start(
        &["curl", "-sS", "-m", "60", "-o", "/dev/null", &url],
        lab.folder(),
        "patient",
    );
    firewall.wait_for("a dropped SYN", |metrics| {
        (metrics.dropped("verdict") > 0.0).then_some(())
    });
    assert!(curl.is_running());
    reload(&lab, &firewall, "", "0 rules in force");
    assert!(curl.wait().success());
    firewall.end();
}

/// Every packet is one of some rule, and what the wire dropped are the packets of the rule that drops.
#[test]
fn figures_add_up() {
    let Some(lab) = Lab::new() else { return };
    lab.introduce();
    let _web = Web::start(&lab);
    let crowd = Crowd::new(&lab);
    let rules =
        format!("DROP icmp {A4} {B4}\nACCEPT tcp any any dport:80\nACCEPT icmpv6 any any\n");
    let firewall = start(&lab, Device::VethQueues, &rules);
    const REQUESTS: usize = 160;
    crowd.ask(&lab, &lab.a, B4, REQUESTS);
    crowd.ask(&lab, &lab.a, &format!("[{B6}]"), REQUESTS);
    assert!(
        !lab.a
            .output(&format!("ping -n -c 7 -i 0.05 -W 1 {B4}"))
            .status
            .success()
    );
    nothing_waits(&[&lab.a, &lab.b]);
    let books = firewall.at_rest();
    firewall.signal("USR1");
    let live = crate::namespace::eventually("a table", || {
        let printed = firewall.printed();
        printed.contains("no rule matches").then_some(printed)
    });
    assert_eq!(
        of(&figures(&live), "ACCEPT tcp any any dport:80")[0],
        2 * REQUESTS as u64
    );
    let printed = firewall.end().summary;
    let figures = figures(&printed);
    assert_eq!(
        of(&figures, "ACCEPT tcp any any dport:80")[0],
        2 * REQUESTS as u64
    );
    let dropped = of(&figures, &format!("DROP icmp {A4} {B4}"));
    assert_eq!(dropped[..2], [1, 7]);
    assert_eq!(dropped[2], 7 * 84, "an echo request of ping has 84 bytes");
    assert_eq!(books.dropped("verdict"), 7.0);
    let packets: u64 = figures.iter().map(|(_, [_, packets, _])| packets).sum();
    assert_eq!(
        packets as f64,
        books.sum("mosaic_tracked_packets_total", &[]),
        "{printed}"
    );
}

/// Over bad links, under load, in both versions of IP.
#[test]
fn what_is_accepted_arrives_whole() {
    let Some(lab) = Lab::lossy() else {
        return;
    };
    let web = Web::start(&lab);
    let crowd = Crowd::new(&lab);
    let rules = format!(
        "ACCEPT tcp {A4} any dport:80\nACCEPT tcp {A6} any dport:80\nACCEPT tcp any any dport:5201\nREJECT tcp any any\n"
    );
    let firewall = start(&lab, Device::VethQueues, &rules);
    crowd.ask(&lab, &lab.a, B4, requests() / 2);
    crowd.ask(&lab, &lab.a, &format!("[{B6}]"), requests() / 2);
    web.fetch_big(&lab, B4);
    let _server = iperf_server(&lab);
    iperf(&lab, "-n 3M -P 2");
    // The link may lose a RST, or the SYN: then that is sent again.
    crate::namespace::eventually("a refusal", || {
        (request(&lab, B4, 81) == End::Refused).then_some(())
    });
    nothing_waits(&[&lab.a, &lab.b]);
    firewall.at_rest();
    let printed = firewall.end().summary;
    let flows: u64 = figures(&printed).iter().map(|(_, [flows, ..])| flows).sum();
    assert!(flows > requests() as u64, "{printed}");
}
