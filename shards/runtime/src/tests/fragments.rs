//! Fragments in a wire that holds them.

use std::time::Duration;

use mosaic_engine::event::Verdict;
use mosaic_engine::wire::{FragmentPolicy, WireConfig};
use proptest::prelude::*;
use proptest::sample::Index;

use super::changes::Renumber;
use super::inline::{run, wire_counters};
use super::support::*;
use crate::{ActorSpec, Plan, WireRules};

fn holding(shards: u16, script: Script, actor: ActorSpec) -> Plan<Script> {
    let mut plan = plan(shards, vec![script], vec![actor]);
    plan.wire = WireConfig {
        fragments: FragmentPolicy::Hold,
        ..plan.wire
    };
    plan
}

fn part(of: Sent, part: u32) -> Sent {
    Sent {
        flow: of.flow | part,
        ..of
    }
}

/// The two fragments of each packet, in some order; of those of every seventh number one is missing.
fn cut(all: &[Sent], order: &[Index]) -> Vec<Sent> {
    let halves = all.iter().flat_map(|sent| {
        let second = (sent.number % 7 != 6).then(|| part(*sent, SECOND));
        [part(*sent, FIRST)].into_iter().chain(second)
    });
    let mut parts: Vec<Sent> = halves.collect();
    for (at, index) in (1..parts.len()).zip(order.iter().cycle()) {
        parts.swap(at, index.index(at + 1));
    }
    parts
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        max_shrink_iters: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whoever owns the flows: both fragments of what passes leave as the packet was changed, one right behind the other, in the
    /// order in which they came; none of what is dropped does.
    #[test]
    fn fragments_leave_as_their_datagram_does(
        flows in 1_u32..20,
        each in 1_u32..20,
        burst in 1_usize..=64,
        shards in 1_u16..=3,
        order: [Index; 32],
    ) {
        let all = in_turn(flows, each);
        let parts = cut(&all, &order);
        let wire = Wire::default();
        let script = Script::new(&parts, burst).inline(&wire);
        let mut plan = holding(shards, script, ActorSpec::new("renumber", |_| Renumber));
        plan.ring_depth = parts.len();
        let counters = wire_counters(&run(plan, parts.len()));

        let whole: Vec<Sent> = all.iter().copied().filter(|sent| sent.number % 7 != 6).collect();
        let passes = |sent: &Sent| !sent.flow.is_multiple_of(5);
        let mut expected = Vec::new();
        for sent in whole.iter().filter(|sent| passes(sent)) {
            let mut second = frame(part(*sent, SECOND));
            if sent.flow % 2 == 0 {
                second[38..].copy_from_slice(&(sent.number + 1000).to_be_bytes());
            }
            let at = |name: Sent| parts.iter().position(|part| *part == name);
            let mut pair = [frame(part(*sent, FIRST)), second];
            if at(part(*sent, FIRST)) > at(part(*sent, SECOND)) {
                pair.swap(0, 1);
            }
            expected.push(pair);
        }
        expected.sort_unstable();
        let left = wire.frames();
        let mut pairs: Vec<[Vec<u8>; 2]> = left.chunks(2).map(|pair| pair.to_vec().try_into().unwrap()).collect();
        pairs.sort_unstable();
        prop_assert_eq!(pairs, expected);
        let dropped = whole.iter().filter(|sent| !passes(sent)).count();
        prop_assert_eq!(counters.dropped_verdict, 2 * dropped as u64);
        prop_assert_eq!(counters.dropped_fragments, (all.len() - whole.len()) as u64);
        prop_assert_eq!(counters.held, 0);
    }
}

/// Those that come too fast for their shard pass with all their fragments, or are dropped with them.
#[test]
fn what_comes_too_fast_takes_its_fragments_along() {
    for pass_overload in [true, false] {
        let foreign = (0..).find(|flow| owner(*flow, 2) == 1).unwrap();
        let all: Vec<Sent> = (0..2000)
            .map(|number| Sent {
                flow: foreign,
                number,
            })
            .collect();
        let parts: Vec<Sent> = all
            .iter()
            .flat_map(|sent| [part(*sent, FIRST), part(*sent, SECOND)])
            .collect();
        let wire = Wire::default();
        let script = Script::new(&parts, 64).inline(&wire);
        let slow = Log::default().firewall(Duration::from_micros(50), |_| Verdict::Forward);
        let mut plan = holding(2, script, slow);
        plan.ring_depth = 1;
        plan.wires = vec![WireRules {
            pass_overload,
            ..WireRules::WIRE
        }];
        let report = run(plan, parts.len());
        let counters = wire_counters(&report);
        let missed = 2 * sum(&report, |s| s.ring_dropped);
        assert!(missed > 0, "a ring of one bundle was never full");
        let dropped = if pass_overload { 0 } else { missed };
        assert_eq!(counters.dropped_overload, dropped);
        assert_eq!(wire.frames().len() as u64, parts.len() as u64 - dropped);
        let passed = if pass_overload { missed } else { 0 };
        assert_eq!(counters.bypassed, passed);
    }
}

/// A datagram that is no packet passes with all its fragments, or is dropped with them, by the rules.
#[test]
fn fragments_of_what_is_no_packet_pass_by_the_rules() {
    let sent = Sent { flow: 1, number: 1 };
    let parts = [part(sent, BAD | SECOND), part(sent, BAD | FIRST)];
    for passes in [true, false] {
        let wire = Wire::default();
        let script = Script::new(&parts, 1).inline(&wire);
        let mut plan = holding(2, script, Log::default().actor(Duration::ZERO));
        plan.wires = vec![WireRules {
            pass_refused: if passes { u32::MAX } else { 0 },
            ..WireRules::WIRE
        }];
        let counters = wire_counters(&run(plan, parts.len()));
        let (expected, figures) = match passes {
            true => (parts.map(frame).to_vec(), (2, 0)),
            false => (vec![], (0, 2)),
        };
        assert_eq!(wire.frames(), expected);
        assert_eq!((counters.bypassed, counters.dropped_refused), figures);
    }
}

/// A port that sends nothing on holds nothing back.
#[test]
fn captures_hold_nothing() {
    let parts = cut(&in_turn(3, 8), &[]);
    let log = Log::default();
    let plan = holding(1, Script::new(&parts, 5), log.actor(Duration::ZERO));
    let report = wait(crate::start(plan).unwrap());
    assert_eq!(log.seen().len(), 3 * 7, "of one each a fragment is missing");
    assert_eq!(wire_counters(&report), crate::WireCounters::default());
}
