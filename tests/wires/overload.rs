//! A shard that is far too slow for what comes, in a wire where frames then pass unseen, or do not.

use std::time::Duration;

use ::mosaic::prelude::*;

use crate::lab::{B4, B6, Device, Lab};
use crate::load::{Web, iperf, iperf_server, small_requests};
use crate::mosaic::{Metrics, Mosaic, run_alone};
use crate::namespace::Background;

/// The name of the file with its configuration, for [`a_slow_program`].
const CONFIG: &str = "MOSAIC_SLOW_CONFIG";

/// 64 flows from A, more than ten thousand packets a second in all, and half of them for either shard.
const FLOOD: &str = r#"
import socket, time
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
for number, sender in enumerate(sockets):
    sender.bind(("", 20000 + number))
while True:
    for sender in sockets:
        sender.sendto(b"nobody listens", ("192.0.2.2", 9))
    time.sleep(0.005)
"#;

/// With this, a shard takes less than four thousand packets a second.
const NAP: Duration = Duration::from_micros(250);

/// Takes a nap at each packet, on one shard.
struct Slow {
    nap: Option<Duration>,
}

impl Actor for Slow {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_stream(None).packets(Hook::Receive).open()?;
        Ok(())
    }

    fn on_packet(
        &mut self,
        (): &mut (),
        _: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        if let Some(nap) = self.nap {
            std::thread::sleep(nap);
        }
        Verdict::Forward
    }
}

/// No test: what the tests below start in a namespace.
#[test]
#[ignore = "a program that other tests start"]
fn a_slow_program() {
    run_alone(CONFIG, "slow", |shard| Slow {
        nap: (shard == 1).then_some(NAP),
    });
}

/// Starts it on a wire; every packet comes in at its fast shard, which hands half of the flows over to the slow one.
fn start<'a>(lab: &'a Lab, on_overload: &str) -> Mosaic<'a> {
    let config = lab
        .wire(Device::Veth, "[metrics]\nlisten = \"127.0.0.1:0\"\n")
        .replace("\"drop\"", &format!("\"{on_overload}\""));
    Mosaic::own_test(lab, &config, CONFIG, "overload::a_slow_program")
}

/// Frames that passed without a decision, those that were dropped for overload, and packets lost between shards.
fn missed(metrics: &Metrics) -> [f64; 3] {
    [
        metrics.sum("mosaic_bypassed_frames_total", &[]),
        metrics.dropped("overload"),
        metrics.sum("mosaic_ring_dropped_packets_total", &[]),
    ]
}

/// Frames that hold no IP pass by another rule, and count as bypassed as well.
fn no_packets(metrics: &Metrics) -> f64 {
    metrics.sum("mosaic_dropped_packets_total", &["reason=\"not_ip\""])
}

/// Until it is dropped.
fn flood(lab: &Lab) -> Background {
    lab.a
        .start(&["python3", "-c", FLOOD], lab.folder(), "flood")
}

/// Several connections at a time, so that both shards have some.
fn bulk(lab: &Lab) -> u64 {
    let report = iperf(lab, "-t 2 -P 4");
    let received = report.pointer("/end/sum_received/bytes");
    received.and_then(serde_json::Value::as_u64).unwrap()
}

#[test]
fn frames_pass_unseen_and_whole() {
    let Some(lab) = Lab::new() else { return };
    let (web, _server) = (Web::start(&lab), iperf_server(&lab));
    let mosaic = start(&lab, "bypass");
    let flood = flood(&lab);
    // Each compares what arrives with what was sent.
    web.fetch_big(&lab, B4);
    web.fetch_big(&lab, &format!("[{B6}]"));
    small_requests(&lab, B4, 100);
    assert!(bulk(&lab) > 1_000_000);
    drop(flood);
    let books = mosaic.at_rest();
    let [bypassed, overload, between] = missed(&books);
    assert!(between > 100.0, "no overload: {between}");
    assert_eq!(bypassed - no_packets(&books), between);
    assert_eq!(overload, 0.0);
    let dropped = books.sum("mosaic_wire_dropped_frames_total", &[]);
    assert_eq!(dropped, books.dropped("no_room"));
    mosaic.end();
}

#[test]
fn frames_are_dropped_and_sent_again() {
    let Some(lab) = Lab::new() else { return };
    let _server = iperf_server(&lab);
    let mosaic = start(&lab, "drop");
    let flood = flood(&lab);
    assert!(bulk(&lab) > 100_000);
    drop(flood);
    let books = mosaic.at_rest();
    let [bypassed, overload, between] = missed(&books);
    assert!(overload > 100.0, "no overload: {overload}");
    assert_eq!((overload, bypassed), (between, no_packets(&books)));
    mosaic.end();
}
