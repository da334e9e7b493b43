//! What actors are told is what happened.

use mosaic_engine::event::{EndReason, Event};
use mosaic_engine::shard::{OverlapPolicy, Profile, ShardConfig};

use super::*;
use judge::{Pair, counts, ending, exact_streams, no_byte_unaccounted, pairs};

const READERS: [Appetite; 4] = [
    Appetite::Everything,
    Appetite::Sips(100),
    Appetite::AtTheEnd,
    Appetite::NoData,
];

/// Judges what each of the first three actors, the readers, was told, and the state of the shard afterwards.
fn judge(trace: &Trace, run: &Run, judge: impl Fn(&Pair<'_>)) {
    for reader in 0..3 {
        let flows = run
            .recorders
            .iter()
            .flat_map(|recorder| recorder.of(reader));
        pairs(trace, flows).iter().for_each(&judge);
    }
    at_rest(trace, run);
}

/// Nothing is left, and the books balance.
fn at_rest(trace: &Trace, run: &Run) {
    let packets: u64 = trace
        .truth
        .iter()
        .map(mosaic_sim::Conversation::packets)
        .sum();
    let mut consumed = 0;
    for shard in &run.cluster.shards {
        assert_eq!(
            (shard.flows(), shard.buffered_bytes()),
            (0, 0),
            "flows and buffered bytes after the end"
        );
        let counters = shard.counters();
        assert_eq!(counters.flows_started, counters.flows_removed);
        assert_eq!(counters.packets, counters.consumed + shard.drops().sum());
        consumed += counters.consumed;
    }
    assert_eq!(consumed, packets, "packets");
    assert_eq!(
        run.cluster.ingress().drops().sum(),
        0,
        "dropped at the entrance"
    );
}

#[test]
fn a_tap_that_sees_everything() {
    for_each_seed(400, |seed| {
        let trace = world(seed, Scenario::complete);
        let run = run(&trace, 1, &patient(), &READERS, 0);
        judge(&trace, &run, |pair| {
            counts(pair);
            exact_streams(pair);
            ending(pair);
        });
    });
}

#[test]
fn a_tap_that_misses_frames() {
    for_each_seed(400, |seed| {
        let trace = world(seed, Scenario::lossy);
        let run = run(&trace, 1, &patient(), &READERS, 0);
        judge(&trace, &run, |pair| {
            counts(pair);
            exact_streams(pair);
            ending(pair);
        });
    });
}

#[test]
fn a_tap_that_is_switched_on_late() {
    for_each_seed(300, |seed| {
        let trace = world(seed, Scenario::late);
        let run = run(&trace, 1, &patient(), &READERS, 0);
        judge(&trace, &run, |pair| {
            counts(pair);
            exact_streams(pair);
            ending(pair);
        });
    });
}

#[test]
fn the_first_of_two_different_copies_counts() {
    let kind = |random: &mut Random| {
        let mut scenario = Scenario::lossy(random);
        scenario.habits.garbage = PerMille(700);
        scenario
    };
    for_each_seed(200, |seed| {
        let trace = world(seed, kind);
        let run = run(&trace, 1, &patient(), &READERS, 0);
        judge(&trace, &run, exact_streams);
    });
}

/// Where copies are equal it does not matter which one wins.
#[test]
fn the_last_of_equal_copies_changes_nothing() {
    let config = ShardConfig {
        overlap: OverlapPolicy::Last,
        ..patient()
    };
    let kind = |random: &mut Random| {
        let mut scenario = Scenario::lossy(random);
        // A probe carries any byte.
        scenario.habits.keep_alive = PerMille::NEVER;
        scenario
    };
    for_each_seed(200, |seed| {
        let trace = world(seed, kind);
        let run = run(&trace, 1, &config, &READERS, 0);
        judge(&trace, &run, exact_streams);
    });
}

/// Holes that an acknowledgment covers are given up after a while: bytes may then come late, but none is wrong or twice.
#[test]
fn holes_are_not_waited_for_forever() {
    for_each_seed(300, |seed| {
        let trace = world(seed, Scenario::lossy);
        let gap_grace_ns = Random::new(seed).pick(&[0, 50_000_000, 1_000_000_000]);
        let config = ShardConfig {
            gap_grace_ns,
            ..patient()
        };
        let run = run(&trace, 1, &config, &READERS, 0);
        judge(&trace, &run, |pair| {
            counts(pair);
            no_byte_unaccounted(pair);
        });
    });
}

/// What an honest sender sends is never refused, with every frame seen.
#[test]
fn a_receiver_refuses_nothing_that_peers_accept() {
    let kind = |random: &mut Random| {
        let mut scenario = Scenario::complete(random);
        // Probes of a closed window are outside of it.
        scenario.habits.slow_reader = PerMille::NEVER;
        if random.happens(PerMille(500)) {
            // A delayed segment is older than a repetition that overtook it, and is rightly refused for that.
            scenario.habits.timestamps = PerMille::NEVER;
        } else {
            (scenario.near.reorder, scenario.far.reorder) = (PerMille::NEVER, PerMille::NEVER);
        }
        scenario
    };
    let config = ShardConfig {
        profile: Profile::Receiver,
        ..patient()
    };
    for_each_seed(300, |seed| {
        let trace = world(seed, kind);
        let run = run(&trace, 1, &config, &READERS, 0);
        for pair in pairs(&trace, run.recorders[0].of(0)) {
            for side in mosaic_engine::event::Side::BOTH {
                let (truth, stream) = pair.direction(side);
                assert!(
                    stream.bytes().starts_with(&truth.received),
                    "{side:?}: got {} bytes, the receiver {}: {:#?}",
                    stream.bytes().len(),
                    truth.received.len(),
                    pair.flow.summary
                );
            }
        }
        at_rest(&trace, &run);
    });
}

#[test]
fn a_good_connection_is_told_from_start_to_end() {
    for_each_seed(50, |seed| {
        let trace = World::run(seed, &Scenario::default());
        let run = run(&trace, 1, &patient(), &[Appetite::NoData], 0);
        for pair in pairs(&trace, run.recorders[0].of(0)) {
            let events = &pair.flow.events;
            let established = events
                .iter()
                .filter(|event| **event == Event::ConnEstablished)
                .count();
            assert_eq!(established, 1, "{events:?}");
            assert_eq!(pair.flow.end(), Some(EndReason::Fin), "{events:?}");
            let odd = events.iter().find(|event| {
                matches!(
                    event,
                    Event::Retransmission { .. } | Event::Error { .. } | Event::LateData(_)
                )
            });
            assert_eq!(odd, None, "{events:?}");
        }
    });
}

#[test]
fn an_abort_is_a_reset() {
    let mut scenario = Scenario::default();
    scenario.habits.reset = PerMille::ALWAYS;
    for_each_seed(50, |seed| {
        let trace = World::run(seed, &scenario);
        let run = run(&trace, 1, &patient(), &[Appetite::Everything], 0);
        for pair in pairs(&trace, run.recorders[0].of(0)) {
            if pair.truth.saw_reset() && !pair.truth.closed_by_fin() {
                assert_eq!(
                    pair.flow.end(),
                    Some(EndReason::Reset),
                    "{:?}",
                    pair.flow.events
                );
            }
        }
    });
}
