//! Mixed load for a while: no packet buffer is lost.
//!
//! Seconds are given by `MOSAIC_SOAK_SECONDS`, 20 by default.

use std::time::{Duration, Instant};

use crate::lab::{B4, B6, Device, Lab};
use crate::load::{Web, iperf, iperf_server, ping, small_requests};
use crate::mosaic::Mosaic;

const PORTS: [&str; 2] = ["left", "right"];

/// Buffers in use by the pools of both ports.
fn levels(mosaic: &Mosaic<'_>) -> [f64; 2] {
    let metrics = mosaic.metrics();
    PORTS.map(|port| metrics.of_port("mbufs_in_use", port))
}

#[test]
fn no_packet_buffer_is_lost() {
    let seconds = std::env::var("MOSAIC_SOAK_SECONDS").map_or(20, |text| text.parse().unwrap());
    let Some(lab) = Lab::new() else { return };
    let web = Web::start(&lab);
    let _server = iperf_server(&lab);
    let mosaic = Mosaic::inline(&lab, Device::VethQueues, "");
    ping(&lab, B4, 5);
    mosaic.at_rest();
    let before = levels(&mosaic);
    let highest = under_load(&lab, &web, &mosaic, Duration::from_secs(seconds));
    let books = mosaic.at_rest();
    let after = levels(&mosaic);
    let all = |name: &str| books.sum(&format!("mosaic_{name}_total"), &[]);
    let frames = all("received_frames");
    // Counted by what came and what went, whatever the reason.
    let dropped = frames + all("unseen_frames") + all("injected_frames") - all("forwarded_frames");
    let reasons = books.by("mosaic_wire_dropped_frames_total", "reason");
    let of_devices = [
        "missed_frames",
        "no_buffer_frames",
        "receive_errors",
        "send_errors",
    ]
    .map(|what| (what, all(&format!("port_{what}"))));
    eprintln!(
        "{seconds} s: {frames} frames, {dropped} dropped: {reasons:?}; devices: {of_devices:?}; buffers before {before:?}, \
         highest {highest:?}, after {after:?}"
    );
    assert_eq!(reasons.values().sum::<f64>(), dropped, "{reasons:?}");
    // Nobody decides, nothing ends: all there is to drop a frame for is that somebody is too slow.
    assert_eq!(reasons["overload"], all("ring_dropped_packets"));
    assert_eq!(reasons["overload"] + reasons["no_room"], dropped);
    assert_eq!(after, before, "buffers in use");
    assert!(highest > before, "the level moves under load: {highest:?}");
    mosaic.end();
}

/// The highest levels seen while everything talks at once.
#[expect(
    clippy::disallowed_methods,
    reason = "a soak test lasts as long as it is told"
)]
fn under_load(lab: &Lab, web: &Web, mosaic: &Mosaic<'_>, time: Duration) -> [f64; 2] {
    let began = Instant::now();
    let goes_on = || began.elapsed() < time;
    std::thread::scope(|scope| {
        let work: [Box<dyn Fn() + Send + '_>; 3] = [
            Box::new(|| {
                web.fetch_big(lab, B4);
                small_requests(lab, B4, 50);
            }),
            Box::new(|| {
                iperf(lab, "-t 2 -P 2");
                iperf(lab, "-t 2 -u -b 50M -l 1200");
            }),
            Box::new(|| {
                lab.a.output(&format!("ping -n -c 20 -i 0.05 {B6}"));
            }),
        ];
        let mut workers: Vec<_> = work
            .into_iter()
            .map(|work| {
                scope.spawn(move || {
                    while goes_on() {
                        work();
                    }
                })
            })
            .collect();
        let mut highest = [0.0_f64; 2];
        while workers.iter().any(|worker| !worker.is_finished()) {
            let now = levels(mosaic);
            highest = [0, 1].map(|i| highest[i].max(now[i]));
            std::thread::sleep(Duration::from_millis(20));
        }
        for worker in workers.drain(..) {
            worker.join().unwrap();
        }
        highest
    })
}
