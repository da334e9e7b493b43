//! Ports in a wire: what goes on its way, and what does not.

use std::time::Duration;

use mosaic_engine::event::Verdict;
use proptest::prelude::*;

use super::support::*;
use crate::{Report, WireCounters, WireRules, start};

/// Runs an inline port per script until all of it has been received, then stops.
pub(super) fn run(plan: crate::Plan<Script>, frames: usize) -> Report {
    let running = start(plan).unwrap();
    let received = || {
        let snapshots = running.snapshots();
        snapshots
            .iter()
            .map(|s| s.ingress.received_frames)
            .sum::<u64>()
    };
    until("the frames to be received", || received() == frames as u64);
    running.stop();
    let report = wait(running);
    assert_wire_books(&report);
    report
}

pub(super) fn wire_counters(report: &Report) -> WireCounters {
    let mut all = WireCounters::default();
    for shard in &report.shards {
        all += shard.snapshot.wire;
    }
    all
}

/// Every frame that came in left again or was counted as dropped.
fn assert_wire_books(report: &Report) {
    let wire = wire_counters(report);
    assert!(wire.is_balanced(), "{wire:?}");
    assert_eq!(wire.received, sum(report, |s| s.ingress.received_frames));
}

/// The packets of each flow in the order in which they were sent.
fn assert_order(packets: &[Sent]) {
    let mut last = std::collections::HashMap::new();
    for packet in packets {
        let last = last.insert(packet.flow, packet.number);
        assert!(
            last.is_none_or(|last| last < packet.number),
            "order within {packet:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whoever owns the flows: what nobody drops passes once and in order, what is dropped does not.
    #[test]
    fn frames_pass_unless_an_actor_drops_them(
        flows in 1_u32..40,
        each in 1_u32..20,
        burst in 1_usize..=64,
        shards in prop::sample::select(vec![1_u16, 2, 3]),
        ports in 1_usize..=2,
    ) {
        let all = in_turn(flows, each);
        let ports = ports.min(usize::from(shards));
        let wire = Wire::default();
        let scripts = (0..ports).map(|port| {
            let mine: Vec<Sent> = all.iter().copied().filter(|sent| sent.flow as usize % ports == port).collect();
            Script::new(&mine, burst).inline(&wire)
        });
        let log = Log::default();
        let firewall = log.firewall(Duration::ZERO, |sent| {
            if sent.flow % 3 == 0 { Verdict::Drop } else { Verdict::Forward }
        });
        let mut plan = plan(shards, scripts.collect(), vec![firewall]);
        // Room for everything: overload would let frames overtake.
        plan.ring_depth = all.len();
        let report = run(plan, all.len());

        assert_order(&wire.packets());
        let mut passed = wire.packets();
        passed.sort_unstable();
        let mut expected: Vec<Sent> = all.iter().copied().filter(|sent| sent.flow % 3 != 0).collect();
        expected.sort_unstable();
        prop_assert_eq!(&passed, &expected);
        let counters = wire_counters(&report);
        prop_assert_eq!(counters.dropped_verdict, (all.len() - expected.len()) as u64);
        prop_assert_eq!(counters.forwarded_bytes, 50 * expected.len() as u64);
        prop_assert_eq!(counters.bypassed, 0);
        prop_assert_eq!(log.seen().len(), all.len(), "dropped packets are seen all the same");
    }
}

/// ARP, and packets of two flows.
fn with_arp() -> Vec<Sent> {
    let mut all = in_turn(2, 4);
    all.insert(
        3,
        Sent {
            flow: ARP,
            number: 0,
        },
    );
    all
}

#[test]
fn frames_without_a_packet_pass_by_the_rules() {
    let not_ip = mosaic_engine::counters::Drops::NAMES
        .iter()
        .position(|name| *name == "not_ip")
        .unwrap();
    for (rules, passes) in [
        (vec![], true),
        (
            vec![WireRules {
                pass_refused: !(1 << not_ip),
                ..WireRules::WIRE
            }],
            false,
        ),
        (
            vec![WireRules {
                pass_refused: 1 << not_ip,
                ..WireRules::WIRE
            }],
            true,
        ),
    ] {
        let wire = Wire::default();
        let mut plan = plan(2, vec![Script::new(&with_arp(), 64).inline(&wire)], vec![]);
        plan.wires = rules;
        let counters = wire_counters(&run(plan, 9));
        assert_eq!(wire.frames().len(), 8 + usize::from(passes));
        assert_eq!(
            (counters.bypassed, counters.dropped_refused),
            (passes.into(), (!passes).into())
        );
    }
}

#[test]
fn overload_passes_or_drops_by_the_rules() {
    let foreign = (0..100).find(|flow| owner(*flow, 2) == 1).unwrap();
    let all: Vec<Sent> = (0..64)
        .map(|number| Sent {
            flow: foreign,
            number,
        })
        .collect();
    for pass_overload in [true, false] {
        let (wire, log) = (Wire::default(), Log::default());
        let slow = log.actor(Duration::from_millis(5));
        let mut plan = plan(2, vec![Script::new(&all, 1).inline(&wire)], vec![slow]);
        plan.ring_depth = 1;
        plan.wires = vec![WireRules {
            pass_overload,
            ..WireRules::WIRE
        }];
        let report = run(plan, all.len());
        let (counters, missed) = (wire_counters(&report), sum(&report, |s| s.ring_dropped));
        assert!(missed > 0 && missed + log.seen().len() as u64 == all.len() as u64);
        let dropped = if pass_overload { 0 } else { missed };
        assert_eq!(counters.dropped_overload, dropped);
        assert_eq!(counters.bypassed, missed - dropped);
        assert_eq!(wire.frames().len() as u64, all.len() as u64 - dropped);
    }
}

#[test]
fn a_lost_shard_leaves_the_wire_alive_or_dead_by_the_rules() {
    for pass_exit in [true, false] {
        let wire = Wire::default();
        let before = in_turn(3, 2);
        // The panic comes behind the first script; what a repeated burst brings afterwards nobody looks at.
        let mut script = Script::new(&before, 64).inline(&wire);
        script.then = Then::PanicOnce;
        script.after = in_turn(5, 1);
        let mut plan = plan(1, vec![script], vec![]);
        plan.wires = vec![WireRules {
            pass_exit,
            ..WireRules::WIRE
        }];
        let running = start(plan).unwrap();
        let passed = before.len() + if pass_exit { 5 } else { 0 };
        until("frames to pass", || wire.frames().len() == passed);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(wire.frames().len(), passed);
        assert!(!running.is_finished(), "the port is served until the end");
        running.stop();
        until("the end", || running.is_finished());
        assert_eq!(running.wait().lost_shards, [0]);
    }
}

#[test]
fn frames_pass_while_shards_end() {
    let wire = Wire::default();
    let mut script = Script::new(&in_turn(2000, 1), 64).inline(&wire);
    script.then = Then::Repeat;
    let running = start(plan(
        2,
        vec![script],
        vec![Log::default().actor(Duration::ZERO)],
    ))
    .unwrap();
    until("some frames", || wire.frames().len() > 4000);
    running.stop();
    let report = wait(running);
    assert_wire_books(&report);
    let counters = wire_counters(&report);
    assert!(
        counters.unseen > 0 && counters.dropped() == 0,
        "{counters:?}"
    );
}
