//! The engine against a simulated network whose truth is known.
//!
//! Every failure names a seed; `MOSAIC_SIM_SEED=n` runs that one alone, `MOSAIC_SIM_SEEDS=n` runs the first *n* of each test.

mod bounds;
mod expiry;
mod judge;
mod model;
mod reader;
mod replay;
mod rewriting;
mod rtt;
mod shards;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mosaic_engine::shard::{ShardConfig, Timeouts};
use mosaic_engine::wire::WireConfig;
use mosaic_sim::{Cluster, PerMille, Random, Scenario, Trace, World};

use reader::{Appetite, Recorder};

/// Runs `check` for many seeds, and names the one that fails.
fn for_each_seed(seeds: u64, check: impl Fn(u64)) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse::<u64>().ok())
    };
    let range: Range<u64> = match (number("MOSAIC_SIM_SEED"), number("MOSAIC_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, most) => 0..most.unwrap_or(seeds),
    };
    for seed in range {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(seed))) {
            eprintln!("failed with MOSAIC_SIM_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

/// The world of `seed`, of a scenario that `seed` chooses as well.
fn world(seed: u64, kind: impl Fn(&mut Random) -> Scenario) -> Trace {
    World::run(seed, &kind(&mut Random::new(seed)))
}

/// Nothing is ever given up but by a bound or at the end: what a reader gets is then exactly what was recorded.
fn patient() -> ShardConfig {
    ShardConfig {
        flows_max: 1 << 10,
        gap_grace_ns: u64::MAX,
        timeouts: Timeouts::NEVER,
        buffered_bytes_max: 64 << 20,
        ..ShardConfig::default()
    }
}

/// Feeds a whole trace to `shards` shards with one actor per appetite; bursts of `burst` frames, or of random sizes where 0.
struct Run {
    cluster: Cluster,
    recorders: Vec<Recorder>,
}

fn run(
    trace: &Trace,
    shards: u16,
    config: &ShardConfig,
    appetites: &[Appetite],
    burst: usize,
) -> Run {
    run_with(trace, shards, config, appetites, burst, |_| {})
}

/// The same, and looks at the cluster after every burst.
fn run_with(
    trace: &Trace,
    shards: u16,
    config: &ShardConfig,
    appetites: &[Appetite],
    burst: usize,
    mut look: impl FnMut(&Cluster),
) -> Run {
    let mut cluster = Cluster::new(shards, WireConfig::default(), config);
    let mut recorders: Vec<Recorder> = cluster
        .shards
        .iter_mut()
        .map(|shard| Recorder::start(shard, appetites))
        .collect();
    let mut random = Random::new(trace.seed);
    let mut rest = &trace.frames[..];
    while !rest.is_empty() {
        let len = if burst == 0 {
            random.size(1..=64)
        } else {
            burst
        };
        let (now, later) = rest.split_at(len.min(rest.len()));
        cluster.handle_frames(now, || len, &mut recorders);
        recorders.iter_mut().for_each(Recorder::end_burst);
        look(&cluster);
        rest = later;
    }
    cluster.finish(&mut recorders);
    look(&cluster);
    Run { cluster, recorders }
}
