use super::fixture::{Bench, CLIENT, letters};
use crate::actor::TimerError;
use crate::event::EventSet;
use crate::limits::{TIMERS, TIMERS_FIRED};
use crate::shard::ShardConfig;
use core::time::Duration;
use mosaic_port::Timestamp;
use std::string::String;
use std::vec::Vec;

/// An actor that sets the timers at its first event, at 1,000,000 ms.
fn with_timers(sets: &[(u64, bool)]) -> Bench {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::CONN_START | EventSet::NEW_DATA, usize::MAX, 0);
    bench.host.0[0].sets = sets.to_vec();
    bench.send(CLIENT, "S", 0, 0, "");
    bench.log();
    bench
}

fn pass(bench: &mut Bench, to_ms: u64) -> Vec<String> {
    let to = Timestamp::from_nanos((1_000_000 + to_ms) * 1_000_000);
    bench.shard.handle_clock(to, &mut bench.host);
    bench.log()
}

#[test]
fn timers_fire_in_order_of_their_times_not_before_and_once() {
    let mut bench = with_timers(&[(30, false), (10, false), (30, false)]);
    assert!(pass(&mut bench, 9).is_empty());
    assert_eq!(pass(&mut bench, 10), ["timer Some(1) at 1000010"]);
    let both = ["timer Some(0) at 1000040", "timer Some(2) at 1000040"];
    assert_eq!(pass(&mut bench, 40), both);
    assert!(pass(&mut bench, 5000).is_empty());
}

#[test]
fn a_periodic_one_keeps_its_beat_and_does_not_make_up() {
    let mut bench = with_timers(&[(10, true)]);
    assert_eq!(pass(&mut bench, 10).len(), 1);
    assert_eq!(pass(&mut bench, 47).len(), 1, "20, 30 and 40 are one");
    assert!(pass(&mut bench, 49).is_empty());
    assert_eq!(pass(&mut bench, 50).len(), 1);
    let id = bench.host.0[0].timers[0].unwrap();
    assert_eq!(
        bench.start(1).cancel_timer(id),
        Err(TimerError::StaleHandle)
    );
    bench.start(0).cancel_timer(id).unwrap();
    assert_eq!(
        bench.start(0).cancel_timer(id),
        Err(TimerError::StaleHandle)
    );
    assert!(pass(&mut bench, 500).is_empty());
}

#[test]
fn timers_come_after_the_other_events_of_the_burst_and_may_read() {
    let mut bench = with_timers(&[(5, false)]);
    bench.host.0[0].appetite = 0;
    bench.send(CLIENT, "AP", 1, 1, "left");
    bench.host.0[0].appetite = usize::MAX;
    bench.log();
    bench.now_ms += 20;
    let segment = bench.segment(CLIENT, letters("A"), 5, 1, b"");
    bench.burst(&[segment]);
    assert_eq!(bench.log(), ["timer Some(0) at 1000022"]);
    assert_eq!(bench.read(CLIENT), "left");
    assert_eq!(
        bench.shard.buffered_bytes(),
        0,
        "what it read is given back"
    );
    bench.host.0[0].sets = [(1, false)].to_vec();
    bench.send(CLIENT, "AP", 5, 1, "a");
    bench.send(CLIENT, "AP", 6, 1, "b");
    let expected = [
        "NewData(Client)",
        "NewData(Client)",
        "timer Some(1) at 1000024",
    ];
    assert_eq!(bench.log(), expected);
}

#[test]
fn timers_end_with_their_flow_and_with_the_interest_in_it() {
    let mut bench = with_timers(&[(60_000, false), (70_000, true)]);
    let ids: Vec<_> = bench.host.0[0].timers.iter().flatten().copied().collect();
    let past = pass(&mut bench, 40_000);
    assert_eq!(past, ["removed"], "the opening timed out");
    for id in ids {
        assert_eq!(
            bench.start(0).cancel_timer(id),
            Err(TimerError::StaleHandle)
        );
    }
    // Another flow in the same place has nothing of them.
    bench.now_ms += 50_000;
    bench.send(CLIENT, "S", 0, 0, "");
    bench.log();
    assert!(pass(&mut bench, 75_000).is_empty());

    let mut bench = with_timers(&[(10, true)]);
    bench.host.0[0].stops = true;
    assert_eq!(pass(&mut bench, 10).len(), 1);
    assert!(pass(&mut bench, 500).is_empty());
}

#[test]
fn a_closed_monitor_has_no_timers() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let id = bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench.host.0[0].sets = [(10, true)].to_vec();
    bench.send(CLIENT, "S", 0, 0, "");
    bench.start(0).close(id).unwrap();
    bench.log();
    assert_eq!(pass(&mut bench, 10), ["forget 0"]);
}

#[test]
fn shard_timers_count_from_the_first_burst_and_may_close() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let id = bench.add_actor(EventSet::CONN_START, 0, 0);
    bench
        .start(0)
        .set_timer_every(Duration::from_millis(10))
        .unwrap();
    bench.start(0).set_timer(Duration::from_millis(15)).unwrap();
    bench.send(CLIENT, "S", 0, 0, "");
    assert_eq!(bench.log(), ["ConnStart"]);
    assert!(pass(&mut bench, 9).is_empty());
    bench.host.0[0].closes = Some(id);
    assert_eq!(pass(&mut bench, 10), ["shard timer", "forget 0"]);
    assert_eq!(pass(&mut bench, 20), ["shard timer", "shard timer"]);
}

#[test]
fn their_number_is_bounded_and_so_are_those_that_fire_in_one_burst() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 0, 0);
    let second = Duration::from_secs(1);
    for _ in 0..TIMERS {
        bench.start(0).set_timer(second).unwrap();
    }
    assert_eq!(bench.start(0).set_timer(second), Err(TimerError::NoTimer));
    bench.send(CLIENT, "S", 0, 0, "");
    bench.log();
    for _ in 0..3 {
        assert_eq!(pass(&mut bench, 2000).len(), TIMERS_FIRED);
    }
    assert!(bench.start(0).set_timer(second).is_ok());
}
