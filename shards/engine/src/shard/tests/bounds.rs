use super::fixture::{Bench, CLIENT};
use crate::event::{EndReason, EventSet};
use crate::shard::ShardConfig;

#[test]
fn what_waits_behind_a_hole_is_bounded_in_bytes() {
    let mut bench = Bench::new(ShardConfig { out_of_order_bytes_max: 10, ..ShardConfig::default() });
    bench.open();
    bench.send(CLIENT, "AP", 3, 1, "cdefgh");
    bench.send(CLIENT, "AP", 11, 1, "klmno");
    assert_eq!(bench.read(CLIENT), "cdefgh", "the first hole was given up");
    assert_eq!(bench.shard.counters().bounds_hit, 1);
    bench.send(CLIENT, "AP", 30, 1, "much too long to wait");
    assert_eq!(bench.read(CLIENT), "cdefghklmnomuch too long to wait");
    bench.finish();
    assert_eq!(bench.removed().sides[0].gap_bytes, 2 + 2 + 14);
}

#[test]
fn holes_are_bounded_in_number() {
    let mut bench = Bench::new(ShardConfig { holes_max: 2, ..ShardConfig::default() });
    bench.open();
    for seq in [3, 6, 9, 12] {
        bench.send(CLIENT, "AP", seq, 1, "xx");
    }
    assert_eq!(bench.read(CLIENT), "xxxx");
    assert_eq!(bench.shard.counters().gaps, 2);
}

#[test]
fn without_memory_holes_are_skipped_and_laggards_lose() {
    let mut bench = Bench::without_actors(ShardConfig { buffered_bytes_max: 0, ..ShardConfig::default() });
    bench.add_actor(EventSet::all(), 2, 0);
    bench.open();
    bench.send(CLIENT, "AP", 4, 1, "def");
    assert_eq!(bench.read(CLIENT), "de");
    bench.send(CLIENT, "AP", 7, 1, "gh");
    assert_eq!(bench.host.0[0].lost[0], 1);
    assert_eq!(bench.read(CLIENT), "degh");
}

#[test]
fn a_full_table_gives_up_half_open_flows_first() {
    let mut bench = Bench::new(ShardConfig { flows_max: 3, ..ShardConfig::default() });
    bench.open();
    for port in 1..=2 {
        bench.port = port;
        bench.send(CLIENT, "S", 0, 0, "");
    }
    bench.port = 3;
    bench.open();
    bench.port = 4;
    bench.open();
    let ports: std::vec::Vec<_> = bench.host.0[0].removed.iter().map(|flow| flow.client.port).collect();
    assert_eq!(ports, [1, 2]);
    bench.port = 5;
    bench.send(CLIENT, "S", 0, 0, "");
    assert_eq!(bench.removed().client.port, 40_000, "all are open: the oldest goes");
    assert_eq!(bench.removed().end, Some(EndReason::Evicted));
    assert_eq!((bench.shard.counters().flows_evicted, bench.shard.flows()), (3, 3));
}
