//! Packets between shards.

use std::time::Duration;

use proptest::prelude::*;

use super::support::*;
use crate::start;

/// Every packet once, at its owner, in the order of its flow.
fn assert_delivered(log: &Log, all: &[Sent], shards: u16) {
    let seen = log.seen();
    let mut sorted: Vec<Sent> = seen.iter().map(|(_, packet)| *packet).collect();
    sorted.sort_unstable();
    let mut expected = all.to_vec();
    expected.sort_unstable();
    assert_eq!(sorted, expected, "every packet exactly once");

    let mut next = std::collections::HashMap::new();
    for (shard, packet) in seen {
        assert_eq!(shard, owner(packet.flow, shards), "{packet:?}");
        let next: &mut u32 = next.entry(packet.flow).or_default();
        assert_eq!(packet.number, *next, "order within flow {}", packet.flow);
        *next += 1;
    }
}

/// Numbers the packets of each flow in the order in which they are sent.
fn numbered(flows: &[u32]) -> Vec<Sent> {
    let mut count = std::collections::HashMap::new();
    flows
        .iter()
        .map(|flow| {
            let number: &mut u32 = count.entry(*flow).or_default();
            *number += 1;
            Sent {
                flow: *flow,
                number: *number - 1,
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        // Every try starts threads.
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_packet_reaches_its_owner_once_and_in_order(
        flows in proptest::collection::vec(0_u32..40, 1..600),
        burst in 1_usize..=64,
        shards in prop::sample::select(vec![1_u16, 2, 4]),
        ports in 1_usize..=2,
        ring_depth in 1_usize..4,
    ) {
        let all = numbered(&flows);
        // A flow comes in through one port only.
        let ports = ports.min(usize::from(shards));
        let scripts = (0..ports).map(|port| {
            let mine: Vec<Sent> = all.iter().copied().filter(|sent| sent.flow as usize % ports == port).collect();
            Script::new(&mine, burst)
        });
        let log = Log::default();
        let mut plan = plan(shards, scripts.collect(), vec![log.actor(Duration::ZERO)]);
        plan.ring_depth = ring_depth;
        let report = wait(start(plan).unwrap());

        assert_delivered(&log, &all, shards);
        assert_books(&report);
        prop_assert_eq!(sum(&report, |s| s.ring_dropped), 0);
        prop_assert_eq!(sum(&report, |s| s.ingress.received_frames), all.len() as u64);
        if shards == 1 {
            prop_assert_eq!(sum(&report, |s| s.handed_out), 0);
        }
    }
}

#[test]
fn a_shard_without_port_works_on_what_others_hand_over() {
    let (all, log) = (in_turn(64, 50), Log::default());
    let report = wait(
        start(plan(
            2,
            vec![Script::new(&all, 64)],
            vec![log.actor(Duration::ZERO)],
        ))
        .unwrap(),
    );

    assert_delivered(&log, &all, 2);
    let [reader, other] = &report.shards[..] else {
        panic!("two shards")
    };
    assert_eq!(other.snapshot.ingress.received_frames, 0);
    assert_eq!(other.snapshot.taken_in, other.snapshot.counters.packets);
    assert_eq!(reader.snapshot.handed_out, other.snapshot.taken_in);
    assert!(
        other.snapshot.taken_in > 0 && reader.snapshot.counters.packets > 0,
        "both have work"
    );
    assert!(other.cpu_time > Duration::ZERO && other.wall_time > Duration::ZERO);
    assert_eq!(reader.snapshot.progress, Some((1_000 * 64 * 50, u64::MAX)));
}

/// Only where a device has promised otherwise, what it brings to another shard's queue is at the wrong one.
#[test]
fn packets_at_the_wrong_shard_are_counted() {
    let mut all = in_turn(64, 10);
    all.push(Sent {
        flow: ARP,
        number: 0,
    });
    for deals_flows in [true, false] {
        let mut script = Script::new(&all, 64);
        script.deals_flows = deals_flows;
        let actor = Log::default().actor(Duration::ZERO);
        let report = wait(start(plan(2, vec![script], vec![actor])).unwrap());
        let foreign = all
            .iter()
            .filter(|sent| sent.flow != ARP && owner(sent.flow, 2) == 1);
        let foreign = foreign.count() as u64;
        assert_eq!(sum(&report, |s| s.handed_out), foreign);
        let wrong = if deals_flows { foreign } else { 0 };
        assert_eq!(sum(&report, |s| s.wrong_shard), wrong);
    }
    // As a device does that keeps its promise.
    let own: Vec<Sent> = all
        .into_iter()
        .filter(|sent| owner(sent.flow, 2) == 0)
        .collect();
    let mut script = Script::new(&own, 64);
    script.deals_flows = true;
    let actor = Log::default().actor(Duration::ZERO);
    let report = wait(start(plan(2, vec![script], vec![actor])).unwrap());
    assert_eq!(sum(&report, |s| s.wrong_shard), 0);
}

#[test]
fn two_shards_that_fill_each_others_rings_do_not_deadlock() {
    // Each port has packets of the other shard only.
    let of = |shard: u16| -> Vec<Sent> {
        in_turn(64, 40)
            .into_iter()
            .filter(|sent| owner(sent.flow, 2) == shard)
            .collect()
    };
    let log = Log::default();
    let scripts = vec![Script::new(&of(1), 4), Script::new(&of(0), 4)];
    let mut plan = plan(2, scripts, vec![log.actor(Duration::from_micros(100))]);
    plan.ring_depth = 1;
    let report = wait(start(plan).unwrap());

    assert_delivered(&log, &in_turn(64, 40), 2);
    assert_books(&report);
    assert!(
        sum(&report, |s| s.ring_waits) > 0,
        "somebody had to wait, or this shows nothing"
    );
    assert_eq!(sum(&report, |s| s.handed_out), 64 * 40);
}

#[test]
fn a_live_port_drops_what_finds_no_room_and_counts_it() {
    // All of another shard, so that the source is not slowed down by work of its own.
    let foreign = |packet: &Sent| owner(packet.flow, 2) == 1;
    let all: Vec<Sent> = in_turn(64, 100).into_iter().filter(foreign).collect();
    let log = Log::default();
    let script = Script::new(&all, 16).live();
    let mut plan = plan(2, vec![script], vec![log.actor(Duration::from_micros(200))]);
    plan.ring_depth = 1;
    let report = wait(start(plan).unwrap());

    assert_books(&report);
    let dropped = sum(&report, |s| s.ring_dropped);
    assert!(
        dropped > 0,
        "the reader is slower than the source, or this shows nothing"
    );
    assert_eq!(log.seen().len() as u64, all.len() as u64 - dropped);
    assert_eq!(sum(&report, |s| s.ring_waits), 0);
}
