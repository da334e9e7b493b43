//! A shard without work costs little, and is there when a packet comes.
//!
//! The bounds are those of a busy machine and a program that is not optimized; `MOSAIC_PROGRAM` names another build, whose
//! figures are printed (`cargo test --features dpdk --test wires idle -- --nocapture`).

use std::time::Duration;

use crate::lab::{B4, Device, Lab};
use crate::load::ping;
use crate::mosaic::Mosaic;

/// Clock ticks of `/proc/PID/stat`: a hundred a second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;
const REST_SECONDS: u32 = 4;

/// What one way of idling costs and adds.
#[derive(Debug)]
struct Figures {
    /// Cores, at rest.
    cores: f64,
    median_ms: f64,
    p99_ms: f64,
}

/// At rest, and with an echo request now and then.
fn measure(idle: &str) -> Option<Figures> {
    let pings = std::env::var("MOSAIC_PINGS").unwrap_or_else(|_| "20".into());
    let interval = std::env::var("MOSAIC_PING_SECONDS").unwrap_or_else(|_| "0.1".into());
    let lab = Lab::new()?;
    let config = lab.wire(Device::Veth, "");
    let config = config.replace("[runtime]\n", &format!("[runtime]\nidle = \"{idle}\"\n"));
    let mosaic = Mosaic::start(&lab, &config);
    ping(&lab, B4, 5);
    mosaic.at_rest();
    let before = mosaic.ticks();
    std::thread::sleep(Duration::from_secs(REST_SECONDS.into()));
    let ticks = mosaic.ticks() - before;
    let report = lab
        .a
        .words(&format!("ping -n -c {pings} -i {interval} {B4}"));
    let mut times: Vec<f64> = report
        .lines()
        .filter_map(|line| {
            line.split_once("time=")?
                .1
                .strip_suffix(" ms")?
                .parse()
                .ok()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    mosaic.end();
    Some(Figures {
        cores: ticks as f64 / TICKS_PER_SECOND / f64::from(REST_SECONDS),
        median_ms: times[times.len() / 2],
        p99_ms: times[(times.len() * 99 / 100).min(times.len() - 1)],
    })
}

#[test]
fn adaptive_shards_cost_little_and_answer_soon() {
    let (Some(adaptive), Some(spin)) = (measure("adaptive"), measure("spin")) else {
        return;
    };
    for (name, figures) in [("adaptive", &adaptive), ("spin", &spin)] {
        let Figures {
            cores,
            median_ms,
            p99_ms,
        } = figures;
        eprintln!(
            "two shards, {name}: {cores:.3} cores, ping {median_ms} ms at the median, {p99_ms} ms at the 99th percentile"
        );
    }
    assert!(adaptive.cores < spin.cores / 3.0, "{adaptive:?} {spin:?}");
    assert!(
        adaptive.median_ms < spin.median_ms + 5.0,
        "{adaptive:?} {spin:?}"
    );
}
