//! Neither the number of shards nor how frames fall into bursts changes what is told.

use mosaic_engine::event::Event;

use super::*;
use reader::FlowLog;

const READERS: [Appetite; 2] = [Appetite::Everything, Appetite::Sips(700)];

/// Everything about a flow but where it was tracked, how often its reader was woken, and the order of events within a burst.
fn record(log: &FlowLog) -> String {
    let summary = &log.summary;
    let mut events: Vec<String> = log
        .events
        .iter()
        .filter(|event| !matches!(event, Event::NewData(_) | Event::LateData(_)))
        .map(|event| format!("{event:?}"))
        .collect();
    events.sort_unstable();
    format!(
        "{} {} {:?} actor {:?} {:?} {} {:#?} {} {:?} {}\n{events:#?}\n{:?}",
        summary.client,
        summary.server,
        summary.first,
        log.actor,
        summary.client_by,
        summary.last,
        summary.sides,
        summary.established,
        summary.end,
        summary.history,
        log.streams
    )
}

fn records(run: &Run) -> Vec<String> {
    let mut records: Vec<String> = run
        .recorders
        .iter()
        .flat_map(|recorder| &recorder.removed)
        .map(record)
        .collect();
    records.sort_unstable();
    records
}

fn compare(kind: fn(&mut Random) -> Scenario, config: &ShardConfig, layouts: &[(u16, usize)]) {
    for_each_seed(60, |seed| {
        let trace = world(seed, kind);
        if trace
            .truth
            .iter()
            .any(|conversation| conversation.ambiguous)
        {
            // Connections taken for one leap through the sequence space, into the bounds.
            return;
        }
        let reference = records(&run(&trace, 1, config, &READERS, 1));
        for (shards, burst) in layouts {
            let other = records(&run(&trace, *shards, config, &READERS, *burst));
            for (one, other) in reference.iter().zip(&other) {
                let differs = one
                    .lines()
                    .zip(other.lines())
                    .find(|(one, other)| one != other);
                assert!(
                    one == other,
                    "{shards} shards, bursts of {burst}: {differs:#?} in {one}"
                );
            }
            assert_eq!(
                reference.len(),
                other.len(),
                "{shards} shards, bursts of {burst}"
            );
        }
    });
}

#[test]
fn the_number_of_shards_changes_nothing() {
    let layouts = [(2, 1), (4, 1), (2, 0), (4, 64)];
    compare(Scenario::complete, &patient(), &layouts);
    compare(Scenario::lossy, &patient(), &layouts);
}

#[test]
fn the_size_of_bursts_changes_nothing() {
    let layouts = [(1, 2), (1, 17), (1, 64), (1, 0)];
    compare(Scenario::complete, &patient(), &layouts);
    compare(Scenario::lossy, &patient(), &layouts);
    compare(Scenario::late, &patient(), &layouts);
}

#[test]
fn nor_with_timeouts_and_holes_given_up() {
    let config = ShardConfig {
        gap_grace_ns: 200_000_000,
        timeouts: Timeouts {
            opening_ns: Some(500_000_000),
            established_ns: Some(900_000_000),
            closing_ns: Some(400_000_000),
            closed_ns: Some(300_000_000),
            datagram_ns: None,
        },
        ..patient()
    };
    compare(Scenario::lossy, &config, &[(2, 1), (4, 0), (1, 64), (1, 0)]);
}
