use super::fixture::{Bench, CLIENT, SERVER, letters};
use crate::event::EventSet;
use crate::shard::ShardConfig;

/// Two readers of an open connection.
fn two(appetite: usize) -> Bench {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), appetite, 0);
    bench.add_actor(EventSet::all(), usize::MAX, 0);
    bench.open();
    bench
}

#[test]
fn a_side_that_was_stopped_is_silent_for_this_actor_only() {
    let mut bench = two(usize::MAX);
    bench.host.0[0].buffer = Some((CLIENT, 0));
    bench.send(CLIENT, "AP", 1, 1, "heard ");
    bench.log();
    bench.send(CLIENT, "AP", 7, 1, "unheard");
    assert!(bench.log().is_empty());
    bench.send(SERVER, "AP", 1, 14, "answer");
    assert_eq!(bench.log(), ["NewData(Server)"]);
    // Other events of the side go on.
    bench.send(CLIENT, "AP", 1, 7, "heard ");
    assert_eq!(bench.log(), ["Client again Data 6"]);
    bench.send(CLIENT, "AF", 14, 7, "");
    bench.send(SERVER, "AF", 7, 15, "");
    bench.send(CLIENT, "A", 15, 8, "");
    assert!(bench.log().contains(&"ConnEnd(Fin)".into()));
    assert_eq!(
        (bench.read(CLIENT), bench.read(SERVER)),
        ("heard ", "answer")
    );
    assert_eq!(bench.host.0[1].read[0], b"heard unheard");
    bench.finish();
}

#[test]
fn without_readers_nothing_of_the_side_is_kept_and_the_emulation_goes_on() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 0, 64);
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "unread");
    assert!(bench.shard.buffered_bytes() > 0);
    bench.host.0[0].buffer = Some((CLIENT, 0));
    bench.send(CLIENT, "AP", 7, 1, "never");
    bench.send(CLIENT, "AP", 12, 1, "never");
    assert_eq!(bench.shard.buffered_bytes(), 0);
    bench.send(CLIENT, "AP", 20, 1, "behind a hole");
    assert_eq!(bench.shard.buffered_bytes(), 0);
    bench.send(CLIENT, "AP", 17, 1, "gap");
    bench.send(CLIENT, "AF", 33, 1, "");
    assert_eq!(bench.state(SERVER), "CLOSE-WAIT");
    bench.finish();
    assert_eq!(bench.removed().sides[0].stream_bytes, 32);
    assert_eq!(bench.removed().sides[0].gap_bytes, 0);
    assert_eq!(bench.shard.counters().overrun_bytes, 0);
}

#[test]
fn buffering_may_be_switched_on_again() {
    let mut bench = two(2);
    bench.host.0[0].buffer = Some((CLIENT, 0));
    bench.send(CLIENT, "AP", 1, 1, "abcd");
    bench.host.0[0].buffer = Some((CLIENT, 4096));
    // Not what came earlier in the burst in which it is switched on.
    let before = bench.segment(CLIENT, letters("A"), 5, 1, b"efgh");
    let other = bench.segment(SERVER, letters("A"), 1, 9, b"x");
    bench.burst(&[before, other]);
    bench.send(CLIENT, "AP", 9, 2, "ijkl");
    bench.send(CLIENT, "AP", 13, 2, "m");
    assert_eq!(bench.read(CLIENT), "abijkl");
    assert_eq!(bench.host.0[0].lost, [0, 0]);
    bench.finish();
}

#[test]
fn the_bound_of_a_side_may_be_changed() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 0, 0);
    bench.host.0[0].buffer = Some((CLIENT, 1000));
    bench.open();
    let bytes = "x".repeat(600);
    bench.send(CLIENT, "AP", 1, 1, &bytes);
    bench.log();
    bench.send(CLIENT, "AP", 601, 1, &bytes);
    assert!(bench.log().contains(&"Client Overrun { len: 176 }".into()));
    assert_eq!(bench.shard.counters().overrun_bytes, 1200 - 1024);
    // The other side, and larger bounds.
    bench.send(SERVER, "AP", 1, 1201, &bytes);
    bench.host.0[0].buffer = Some((CLIENT, u64::MAX));
    bench.send(SERVER, "AP", 601, 1201, &bytes);
    bench.send(CLIENT, "AP", 1201, 1, &bytes);
    assert_eq!(bench.shard.counters().overrun_bytes, 1200 - 1024);
    // Behind a hole as well: what waits counts against it.
    bench.host.0[0].buffer = Some((CLIENT, 1));
    bench.send(SERVER, "AP", 1201, 1801, &bytes);
    bench.send(CLIENT, "AP", 1810, 1, &bytes);
    assert_eq!(bench.shard.counters().gaps, 0);
    bench.send(CLIENT, "AP", 2420, 1, &bytes);
    assert_eq!(
        bench.shard.counters().gaps,
        1,
        "the two do not fit in 1,024"
    );
    bench.finish();
}

#[test]
fn what_was_stopped_is_the_end_not_its_name() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::NEW_DATA | EventSet::CONN_START, usize::MAX, 0);
    // Taken for the client until the other end sends its SYN.
    bench.host.0[0].buffer = Some((SERVER, 0));
    bench.send(SERVER, "A", 1, 1, "");
    bench.open();
    bench.log();
    bench.send(CLIENT, "AP", 1, 1, "unheard");
    assert!(bench.log().is_empty());
    bench.send(SERVER, "AP", 1, 8, "heard");
    assert_eq!(bench.log(), ["NewData(Server)"]);
}

#[test]
fn losses_of_before_are_not_told_after_buffering_was_off() {
    let mut bench = Bench::without_actors(ShardConfig {
        side_bytes_max: 4,
        out_of_order_bytes_max: 4,
        ..ShardConfig::default()
    });
    bench.add_actor(EventSet::all(), 0, 0);
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "abcdef");
    assert_eq!(bench.shard.counters().overrun_bytes, 2);
    bench.host.0[0].buffer = Some((CLIENT, 0));
    bench.send(SERVER, "AP", 1, 7, "x");
    bench.host.0[0].appetite = usize::MAX;
    bench.host.0[0].buffer = Some((CLIENT, 4));
    bench.send(SERVER, "AP", 2, 7, "y");
    bench.send(CLIENT, "AP", 7, 3, "gh");
    assert_eq!((bench.read(CLIENT), bench.host.0[0].lost), ("gh", [0, 0]));
}
