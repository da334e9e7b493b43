use super::fixture::{Bench, CLIENT, SERVER};
use crate::actor::{CloseError, MonitorId, OpenError, PeekError};
use crate::event::{EventSet, Hook};
use crate::limits::MONITORS;
use crate::shard::ShardConfig;
use std::vec::Vec;

/// Two actors that hear and read everything, and their monitors.
fn two() -> (Bench, [MonitorId; 2]) {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let monitors = [(); 2].map(|()| bench.add_actor(EventSet::all(), usize::MAX, 0));
    (bench, monitors)
}

fn open(bench: &mut Bench, actor: u8) -> Result<MonitorId, OpenError> {
    bench
        .start(actor)
        .monitor_stream(None)
        .on(Hook::End, EventSet::all())
        .open()
}

#[test]
fn a_closed_monitor_hears_nothing_and_the_connection_goes_on() {
    let (mut bench, [first, _]) = two();
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "heard");
    bench.start(0).close(first).unwrap();
    bench.log();
    bench.send(CLIENT, "AP", 6, 1, " unheard");
    assert_eq!(bench.log(), ["forget 0"]);
    bench.send(SERVER, "AP", 1, 14, "answer");
    bench.finish();
    assert!(bench.log().is_empty(), "not even the removal");
    assert_eq!(bench.read(CLIENT), "heard");
    assert_eq!(bench.host.0[1].read[0], b"heard unheard");
    assert_eq!(bench.host.0[1].removed[0].sides[1].stream_bytes, 6);
}

#[test]
fn one_that_is_closed_by_another_hears_not_even_the_event_at_hand() {
    let (mut bench, [_, second]) = two();
    bench.open();
    bench.log_of(1);
    bench.host.0[0].closes = Some(second);
    bench.send(CLIENT, "AP", 1, 1, "abc");
    assert_eq!(bench.log_of(1), ["forget 0"]);
    assert_eq!(bench.read(CLIENT), "abc");
}

#[test]
fn one_that_closes_itself_at_a_packet_hears_nothing_more() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    let packets = bench
        .start(0)
        .monitor_stream(None)
        .packets(Hook::Send)
        .open();
    bench.host.0[0].closes = packets.ok();
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "SA", 0, 1, "");
    bench.host.0[0]
        .log
        .retain(|line| line.starts_with("packet"));
    assert_eq!(bench.log().len(), 1);
    bench.finish();
    assert!(
        bench.log().contains(&"removed".into()),
        "it still has another monitor"
    );
}

#[test]
fn what_was_kept_for_it_is_given_back() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let idle = bench.add_actor(EventSet::all(), 0, 0);
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "never read");
    assert!(bench.shard.buffered_bytes() > 0);
    bench.start(0).close(idle).unwrap();
    bench
        .shard
        .handle_clock(mosaic_port::Timestamp::ZERO, &mut bench.host);
    assert_eq!(bench.shard.buffered_bytes(), 0);
}

#[test]
fn its_place_is_used_again_by_another_generation() {
    let (mut bench, [first, second]) = two();
    bench.open();
    for _ in 2..MONITORS {
        open(&mut bench, 1).unwrap();
    }
    assert_eq!(open(&mut bench, 1), Err(OpenError::NoSocket));
    bench.start(0).close(first).unwrap();
    assert_eq!(
        open(&mut bench, 1),
        Err(OpenError::NoSocket),
        "flows remember it"
    );
    bench.log();
    bench.send(CLIENT, "A", 1, 1, "");
    let again = open(&mut bench, 1).unwrap();
    assert_ne!(again, first);
    for stale in [
        first,
        MonitorId { shard: 1, ..again },
        MonitorId { slot: 99, ..again },
    ] {
        assert_eq!(bench.start(0).close(stale), Err(CloseError::StaleHandle));
    }
    // The flow that was there is not attached to the one that has the place now.
    bench.start(1).close(second).unwrap();
    bench.log_of(1);
    bench.send(CLIENT, "AP", 1, 1, "unheard");
    assert_eq!(bench.log_of(1), ["forget 0"]);
    // A new one is, and hears of its end from every monitor but once of the removal.
    bench.port += 1;
    bench.send(CLIENT, "S", 0, 0, "");
    let starts = bench
        .log_of(1)
        .iter()
        .filter(|line| *line == "ConnStart")
        .count();
    assert_eq!(starts, MONITORS - 1);
    bench.finish();
    assert_eq!(
        bench
            .log_of(1)
            .iter()
            .filter(|line| *line == "removed")
            .count(),
        1
    );
}

#[test]
fn before_any_flow_a_place_is_free_at_once() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    for _ in 0..3 * MONITORS {
        let id = open(&mut bench, 0).unwrap();
        bench.start(0).close(id).unwrap();
    }
}

#[test]
fn many_flows_forget_over_several_bursts() {
    let (mut bench, [first, _]) = two();
    for port in 0..1000 {
        bench.port = port;
        bench.send(CLIENT, "S", 0, 0, "");
    }
    bench.log();
    bench.start(0).close(first).unwrap();
    let mut forgotten = Vec::new();
    for _ in 0..4 {
        bench.send(CLIENT, "S", 0, 0, "");
        forgotten.push(bench.log().len());
    }
    assert_eq!(forgotten, [256, 256, 256, 232]);
    bench.finish();
    assert_eq!(bench.host.0[1].removed.len(), 1000);
}

#[test]
fn sets_that_nobody_has_are_used_again() {
    let (mut bench, _) = two();
    bench.open();
    for round in 0..50 {
        let id = open(&mut bench, 0).unwrap();
        bench.port = 100 + round;
        bench.send(CLIENT, "S", 0, 0, "");
        bench.start(0).close(id).unwrap();
        bench.send(CLIENT, "S", 0, 0, "");
    }
    let sets = bench.shard.subscription_sets();
    assert!(sets <= 4, "{sets} sets");
}

#[test]
fn every_fault_has_the_number_of_the_reference() {
    let (mut bench, [first, _]) = two();
    let early = bench
        .start(0)
        .monitor_stream(None)
        .on(Hook::Send, EventSet::CONN_END)
        .open();
    assert_eq!(early.unwrap_err().errno(), "EINVAL");
    while open(&mut bench, 0).is_ok() {}
    assert_eq!(open(&mut bench, 0).unwrap_err().errno(), "ENFILE");
    bench.start(0).close(first).unwrap();
    assert_eq!(bench.start(0).close(first).unwrap_err().errno(), "EBADF");
    let peeks = [
        (PeekError::NoData, "ENODATA"),
        (PeekError::Lost(1), "ENODATA"),
        (PeekError::NotStream, "ESOCKTNOSUPPORT"),
        (PeekError::NotReader, "EINVAL"),
        (PeekError::NoBuffer, "EINVAL"),
    ];
    for (fault, errno) in peeks {
        assert_eq!(fault.errno(), errno);
    }
}
