//! Bounds hold, are counted, and hurt nobody else.

use mosaic_engine::event::{Event, Side};
use mosaic_engine::shard::{ShardConfig, ShardCounters};

use super::*;
use judge::{counts, exact_streams, no_byte_unaccounted, pairs};

/// Sums what the seeds counted, and demands in the end that it happened at all.
fn total(
    count: impl Fn(&ShardCounters) -> u64,
    check: impl Fn(u64) -> Vec<ShardCounters>,
    seeds: u64,
) {
    let sum = std::cell::Cell::new(0);
    for_each_seed(seeds, |seed| {
        sum.set(sum.get() + check(seed).iter().map(&count).sum::<u64>());
    });
    assert!(
        sum.get() > 0 || std::env::var_os("MOSAIC_SIM_SEED").is_some(),
        "the bound was never reached"
    );
}

fn counters(run: &Run) -> Vec<ShardCounters> {
    run.cluster
        .shards
        .iter()
        .map(|shard| *shard.counters())
        .collect()
}

#[test]
fn a_reader_that_does_not_read_loses_only_its_own_bytes() {
    let config = ShardConfig {
        side_bytes_max: 4096,
        out_of_order_bytes_max: 4096,
        ..patient()
    };
    let check = |seed| {
        let trace = world(seed, |random| Scenario {
            tap_loss: PerMille(0),
            ..Scenario::complete(random)
        });
        let run = run(
            &trace,
            1,
            &config,
            &[Appetite::Everything, Appetite::AtTheEnd],
            0,
        );
        for pair in pairs(&trace, run.recorders[0].of(0)) {
            assert!(
                pair.flow.streams.iter().all(|stream| stream.lost == 0),
                "the one that reads loses nothing"
            );
            no_byte_unaccounted(&pair);
        }
        for pair in pairs(&trace, run.recorders[0].of(1)) {
            no_byte_unaccounted(&pair);
            for side in Side::BOTH {
                let (_, stream) = pair.direction(side);
                assert_eq!(
                    stream.lost, stream.overrun,
                    "what was lost had been announced, of {side:?}"
                );
                assert!(
                    stream.bytes().len() <= 4096,
                    "more than the bound was kept of {side:?}"
                );
            }
        }
        let lost: u64 = run.recorders[0]
            .of(1)
            .flat_map(|log| &log.streams)
            .map(|stream| stream.lost)
            .sum();
        assert_eq!(counters(&run)[0].overrun_bytes, lost);
        counters(&run)
    };
    total(|counters| counters.overrun_bytes, check, 200);
}

#[test]
fn a_bound_that_is_not_reached_changes_nothing() {
    for_each_seed(100, |seed| {
        let trace = world(seed, Scenario::lossy);
        let run = run(
            &trace,
            1,
            &patient(),
            &[Appetite::Everything, Appetite::AtTheEnd],
            0,
        );
        let plain = |conversation: &mosaic_sim::Conversation| {
            let few_holes = |direction: &mosaic_sim::Direction| direction.holes().len() < 32;
            !conversation.ambiguous && conversation.directions.iter().all(few_holes)
        };
        if trace.truth.iter().all(plain) {
            let counted = counters(&run)[0];
            assert_eq!((counted.bounds_hit, counted.overrun_bytes), (0, 0));
        }
        pairs(&trace, run.recorders[0].of(0))
            .iter()
            .for_each(exact_streams);
    });
}

fn bounded(config: &ShardConfig, seeds: u64) {
    let check = |seed| {
        let trace = world(seed, |random| {
            let mut scenario = Scenario::lossy(random);
            (scenario.near.loss, scenario.near.reorder) = (PerMille(50), PerMille(100));
            scenario
        });
        let appetites = [
            Appetite::Everything,
            Appetite::Sips(300),
            Appetite::AtTheEnd,
        ];
        let run = run_with(&trace, 1, config, &appetites, 0, |cluster| {
            let held = cluster.shards[0].buffered_bytes();
            assert!(held <= config.buffered_bytes_max, "{held} bytes buffered");
        });
        for reader in 0..3 {
            for pair in pairs(&trace, run.recorders[0].of(reader)) {
                counts(&pair);
                no_byte_unaccounted(&pair);
            }
        }
        assert_eq!(run.cluster.shards[0].buffered_bytes(), 0);
        counters(&run)
    };
    total(|counters| counters.bounds_hit, check, seeds);
}

#[test]
fn bytes_out_of_order() {
    bounded(
        &ShardConfig {
            out_of_order_bytes_max: 2000,
            ..patient()
        },
        200,
    );
}

#[test]
fn no_byte_out_of_order() {
    bounded(
        &ShardConfig {
            out_of_order_bytes_max: 0,
            ..patient()
        },
        100,
    );
}

#[test]
fn holes() {
    bounded(
        &ShardConfig {
            holes_max: 1,
            ..patient()
        },
        200,
    );
    bounded(
        &ShardConfig {
            holes_max: 2,
            ..patient()
        },
        100,
    );
}

#[test]
fn bytes_of_a_side() {
    bounded(
        &ShardConfig {
            side_bytes_max: 3000,
            out_of_order_bytes_max: 1500,
            ..patient()
        },
        200,
    );
}

#[test]
fn bytes_in_all() {
    bounded(
        &ShardConfig {
            buffered_bytes_max: 16 << 10,
            ..patient()
        },
        200,
    );
    bounded(
        &ShardConfig {
            buffered_bytes_max: 0,
            ..patient()
        },
        50,
    );
}

#[test]
fn a_full_table_gives_up_flows_and_counts_them() {
    let check = |seed| {
        let trace = world(seed, |random| Scenario {
            connections: 20,
            data_max: 3000,
            ..Scenario::complete(random)
        });
        let config = ShardConfig {
            flows_max: 4,
            ..patient()
        };
        let run = run_with(&trace, 1, &config, &[Appetite::Everything], 0, |cluster| {
            assert!(cluster.shards[0].flows() <= 4);
        });
        let shard = &run.cluster.shards[0];
        for log in run.recorders[0].of(0) {
            let ends = log
                .events
                .iter()
                .filter(|event| matches!(event, Event::ConnEnd(_)))
                .count();
            assert_eq!(ends, 1, "{:?}", log.events);
        }
        assert_eq!(
            shard.counters().flows_started,
            shard.counters().flows_removed
        );
        assert_eq!(
            run.recorders[0].removed.len() as u64,
            shard.counters().flows_removed
        );
        let packets: u64 = trace
            .truth
            .iter()
            .map(mosaic_sim::Conversation::packets)
            .sum();
        assert_eq!(
            shard.counters().consumed + shard.drops().table_full,
            packets
        );
        let counted: u64 = run.recorders[0]
            .of(0)
            .flat_map(|log| &log.summary.sides)
            .map(|side| side.packets)
            .sum();
        assert_eq!(counted, shard.counters().consumed);
        counters(&run)
    };
    total(|counters| counters.flows_evicted, check, 60);
}
