//! Beginning, watching, stopping, ending.

use std::time::Duration;

use mosaic_engine::actor::{Actor, ShardContext, StartError};
use mosaic_port::PortError;

use super::support::*;
use crate::{ActorSpec, Idle, LocalShard, OnPanic, Pin, Plan, RuntimeError, start};

fn endless(burst: usize) -> Script {
    Script::new(&in_turn(64, 4), burst).then(Then::Repeat)
}

#[test]
fn stop_drains_the_rings_and_ends_every_flow() {
    let log = Log::default();
    let running = start(plan(
        4,
        vec![endless(64), endless(32)],
        vec![log.actor(Duration::from_micros(20))],
    ))
    .unwrap();
    until("packets on every shard", || {
        running.snapshots().iter().all(|s| s.counters.packets > 100)
    });
    assert!(!running.is_finished());
    running.stop();
    let report = wait(running);

    assert_books(&report);
    assert_eq!(sum(&report, |s| s.ring_dropped), 0);
    assert_eq!(log.seen().len() as u64, sum(&report, |s| s.ingress.packets));
    assert_eq!(
        sum(&report, |s| s.counters.flows_removed),
        sum(&report, |s| s.counters.flows_started)
    );
    assert_eq!(log.finished(), 4);
    let removed: u32 = log
        .ends()
        .iter()
        .map(|(_, end)| {
            if let End::Removed(packets) = end {
                *packets
            } else {
                0
            }
        })
        .sum();
    assert_eq!(
        u64::from(removed),
        sum(&report, |s| s.ingress.packets),
        "every flow kept its state to the end"
    );
}

#[test]
fn stop_without_draining_counts_what_it_drops() {
    let log = Log::default();
    // All for the other shard, which is slower than the source: its ring is always full.
    let packets: Vec<Sent> = in_turn(64, 4)
        .into_iter()
        .filter(|sent| owner(sent.flow, 2) == 1)
        .collect();
    let script = Script::new(&packets, 64).then(Then::Repeat);
    let mut plan = plan(2, vec![script], vec![log.actor(Duration::from_micros(50))]);
    plan.drain_on_stop = false;
    let running = start(plan).unwrap();
    until("back-pressure", || {
        running.snapshots()[0].handed_out > 0 && !log.seen().is_empty()
    });
    running.stop();
    let report = wait(running);

    assert_books(&report);
    assert!(
        sum(&report, |s| s.ring_dropped) > 0,
        "something waited between the shards"
    );
    assert_eq!(log.finished(), 2);
}

#[test]
fn dropping_the_runtime_stops_it() {
    let log = Log::default();
    let running = start(plan(2, vec![endless(8)], vec![log.actor(Duration::ZERO)])).unwrap();
    let handle = running.handle();
    drop(running);
    until("the shards to end", || handle.is_finished());
    assert_eq!(log.finished(), 2);
}

#[test]
fn an_idle_live_port_waits_for_packets_until_stopped() {
    for (idle, pin) in [
        (Idle::Adaptive, Pin::Auto),
        (Idle::Spin, Pin::Auto),
        (Idle::Adaptive, Pin::Never),
    ] {
        let (all, log) = (in_turn(8, 4), Log::default());
        let script = Script::new(&all, 8).live().then(Then::Idle);
        let mut plan = plan(1, vec![script], vec![log.actor(Duration::ZERO)]);
        (plan.idle, plan.pin) = (idle, pin);
        let running = start(plan).unwrap();
        until("the packets to show", || {
            running.snapshots()[0].counters.packets == 32
        });
        running.stop();
        let report = wait(running);
        assert!(sum(&report, |s| s.idle_polls) > 0);
        assert!(
            report.shards[0].snapshot.clock > mosaic_port::Timestamp::from_nanos(1 << 60),
            "time went on"
        );
    }
}

#[test]
fn an_error_of_a_source_is_reported_and_the_rest_processed() {
    let (all, log) = (in_turn(64, 10), Log::default());
    let failing = Script::new(&all, 64).then(Then::Fail);
    let report = wait(
        start(plan(
            2,
            vec![failing, Script::new(&[], 1)],
            vec![log.actor(Duration::ZERO)],
        ))
        .unwrap(),
    );

    assert_eq!(
        report.error.map(|error| error.to_string()),
        Some(broken().to_string())
    );
    assert_eq!(log.seen().len(), all.len());
    assert_eq!(log.finished(), 2);
}

#[test]
fn without_any_port_the_shards_end_at_once() {
    let log = Log::default();
    let report = wait(start(plan(2, Vec::new(), vec![log.actor(Duration::ZERO)])).unwrap());
    assert_eq!((report.shards.len(), log.finished()), (2, 2));
    assert!(report.shards.iter().all(|shard| shard.cpu_time.is_zero()));
}

#[test]
fn a_defect_of_a_port_loses_its_shard_only() {
    let (all, log) = (in_turn(64, 10), Log::default());
    let scripts = vec![Script::new(&[], 1).then(Then::Panic), Script::new(&all, 64)];
    let mut plan = plan(2, scripts, vec![log.actor(Duration::ZERO)]);
    plan.ring_depth = 1;
    let report = wait(start(plan).unwrap());
    assert_eq!(report.lost_shards, [0]);
    assert_eq!(report.shards.len(), 1);
    assert!(
        sum(&report, |s| s.ring_dropped) > 0,
        "packets for it were dropped and counted"
    );
    let of_one = |all: Vec<Sent>| {
        all.into_iter()
            .filter(|sent| owner(sent.flow, 2) == 1)
            .count()
    };
    let seen = log.seen().into_iter().map(|(_, sent)| sent).collect();
    assert_eq!(of_one(seen), of_one(all), "the other shard missed nothing");
}

struct Unwilling;

impl Actor for Unwilling {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        if shard.shard() == 1 {
            Err("no licence".into())
        } else {
            Ok(())
        }
    }
}

#[test]
fn what_keeps_a_plan_from_starting_is_told() {
    let said = |plan: Plan<Script>| start(plan).map(drop).unwrap_err().to_string();
    assert_eq!(
        said(plan(0, Vec::new(), Vec::new())),
        "at least one shard is needed"
    );
    assert_eq!(
        said(plan(1, vec![endless(1), endless(1)], Vec::new())),
        "2 ports for 1 shards: a port needs a shard of its own"
    );
    assert_eq!(
        said(Plan {
            ring_depth: 0,
            ..plan(1, Vec::new(), Vec::new())
        }),
        RuntimeError::NoRingDepth.to_string()
    );
    assert_eq!(
        said(plan(
            2,
            vec![endless(1)],
            vec![ActorSpec::new("guard", |_| Unwilling)]
        )),
        "actor guard cannot start on shard 1: no licence"
    );
    let refusing = endless(1).then(Then::RefuseToOpen);
    assert!(matches!(
        start(plan(2, vec![refusing], Vec::new())),
        Err(RuntimeError::Port(PortError::Damaged { .. }))
    ));
}

#[test]
fn too_little_locked_memory_comes_with_its_remedy() {
    assert_eq!(
        RuntimeError::LockedMemory {
            limit: 64 << 10,
            shards: 4
        }
        .to_string(),
        "locked memory is limited to 64 KiB but 4 shards need 2048 KiB: raise it with `ulimit -l 2048` or \
         LimitMEMLOCK= of the service"
    );
}

#[test]
fn bounds_are_totals() {
    let mut plan = plan(4, vec![endless(1), endless(1)], Vec::new());
    (
        plan.shard.flows_max,
        plan.shard.buffered_bytes_max,
        plan.wire.fragments_max,
    ) = (1_001, 4_000, 11);
    let configs: Vec<_> = (0..4).map(|shard| plan.shard_config(shard)).collect();
    assert_eq!(
        configs.iter().map(|c| c.flows_max).collect::<Vec<_>>(),
        [251, 250, 250, 250]
    );
    assert!(configs.iter().all(|c| c.buffered_bytes_max == 1_000 && c.side_bytes_max == plan.shard.side_bytes_max));
    assert_eq!(
        configs.iter().map(|c| c.shard).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(
        [
            plan.wire_config(0).fragments_max,
            plan.wire_config(1).fragments_max
        ],
        [6, 5]
    );
}

#[test]
fn a_local_shard_does_the_same_on_the_calling_thread() {
    use mosaic_port::{Port, PortFactory, Received};

    let (all, log) = (in_turn(64, 10), Log::default());
    let actors = [log.actor(Duration::ZERO)];
    let mut shard = LocalShard::new(wire(), shard_config(), &actors, OnPanic::Forward).unwrap();
    let mut port = Box::new(Script::new(&all, 64)).open().unwrap();
    let mut batch = Default::default();
    while port.rx_burst(&mut batch).unwrap() == Received::Frames {
        shard.run_burst(&mut batch);
    }
    shard.finish();

    let snapshot = shard.snapshot();
    assert_eq!(
        log.seen(),
        all.iter().map(|sent| (0, *sent)).collect::<Vec<_>>()
    );
    assert_eq!(
        (snapshot.bursts, snapshot.counters.packets, snapshot.flows),
        (10, 640, 0)
    );
    assert_eq!(log.ends().last(), Some(&(0, End::Finished)));
}
