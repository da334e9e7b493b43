use super::fixture::{Bench, CLIENT, SERVER, letters};
use crate::event::{EndReason, EventSet};
use crate::shard::ShardConfig;

#[test]
fn what_waits_behind_a_hole_is_bounded_in_bytes() {
    let mut bench = Bench::new(ShardConfig {
        out_of_order_bytes_max: 10,
        ..ShardConfig::default()
    });
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
    let mut bench = Bench::new(ShardConfig {
        holes_max: 2,
        ..ShardConfig::default()
    });
    bench.open();
    for seq in [3, 6, 9, 12] {
        bench.send(CLIENT, "AP", seq, 1, "xx");
    }
    assert_eq!(bench.read(CLIENT), "xxxx");
    assert_eq!(bench.shard.counters().gaps, 2);
}

#[test]
fn without_memory_holes_are_skipped_and_laggards_lose() {
    let mut bench = Bench::without_actors(ShardConfig {
        buffered_bytes_max: 0,
        ..ShardConfig::default()
    });
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
    let mut bench = Bench::new(ShardConfig {
        flows_max: 3,
        ..ShardConfig::default()
    });
    bench.open();
    for port in 1..=2 {
        bench.port = port;
        bench.send(CLIENT, "S", 0, 0, "");
    }
    bench.port = 3;
    bench.open();
    bench.port = 4;
    bench.open();
    let ports: std::vec::Vec<_> = bench.host.0[0]
        .removed
        .iter()
        .map(|flow| flow.client.port)
        .collect();
    assert_eq!(ports, [1, 2]);
    bench.port = 5;
    bench.send(CLIENT, "S", 0, 0, "");
    assert_eq!(
        bench.removed().client.port,
        40_000,
        "all are open: the oldest goes"
    );
    assert_eq!(bench.removed().end, Some(EndReason::Evicted));
    assert_eq!(
        (bench.shard.counters().flows_evicted, bench.shard.flows()),
        (3, 3)
    );
}

#[test]
fn a_segment_is_judged_anew_once_holes_were_skipped_for_it() {
    let mut bench = Bench::new(ShardConfig {
        out_of_order_bytes_max: 8,
        ..ShardConfig::default()
    });
    bench.open();
    bench.send(CLIENT, "AP", 3, 1, "cdefgh");
    bench.log();
    // To keep it the hole is skipped; what waited behind it then reaches beyond this segment's beginning.
    bench.send(CLIENT, "AP", 6, 1, "fghij");
    assert_eq!(bench.read(CLIENT), "cdefghij");
    assert!(bench.log().contains(&"Client again Data 3".into()));
}

#[test]
fn a_reader_loses_what_came_and_went_within_a_burst() {
    let config = ShardConfig {
        side_bytes_max: 4,
        out_of_order_bytes_max: 4,
        ..ShardConfig::default()
    };
    let mut bench = Bench::without_actors(config);
    bench.add_actor(EventSet::all(), 0, 0);
    bench.open();
    let first = bench.segment(CLIENT, letters("AP"), 1, 1, b"0123456");
    let second = bench.segment(CLIENT, letters("AP"), 8, 1, b"789");
    bench.burst(&[first, second]);
    assert!(bench.log().contains(&"Client Overrun { len: 6 }".into()));
    assert_eq!(bench.shard.counters().overrun_bytes, 6);
    bench.host.0[0].appetite = usize::MAX;
    bench.send(CLIENT, "AP", 11, 1, "!");
    assert_eq!((bench.host.0[0].lost[0], bench.read(CLIENT)), (6, "6789!"));
}

#[test]
fn bytes_that_found_no_memory_are_lost_once() {
    let mut bench = Bench::without_actors(ShardConfig {
        buffered_bytes_max: 2048,
        ..ShardConfig::default()
    });
    bench.add_actor(EventSet::all(), 0, 0);
    bench.open();
    let bytes = [b'x'; 1500];
    let packets: std::vec::Vec<_> = [1, 1501, 3001]
        .into_iter()
        .map(|seq| bench.segment(CLIENT, letters("AP"), seq, 1, &bytes))
        .collect();
    bench.burst(&packets);
    assert_eq!(bench.shard.counters().overrun_bytes, 4500 - 2048);
    bench.host.0[0].appetite = usize::MAX;
    // One peek ends at the lost bytes, the next one stands behind them.
    bench.send(CLIENT, "AP", 4501, 1, "!");
    bench.send(CLIENT, "AP", 4502, 1, "?");
    let seen = &bench.host.0[0];
    assert_eq!(seen.lost[0] + seen.read[0].len() as u64, 4502);
}

#[test]
fn counts_of_packets_and_bytes_go_on_beyond_32_bits() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    let number = bench.shard.table.first_from(0).unwrap();
    let half = bench.shard.table.hot_mut(number).half_mut(CLIENT);
    (half.packets, half.header_bytes) = (u32::MAX, u32::MAX - 100);
    bench.send(CLIENT, "AP", 1, 1, "abc");
    bench.send(CLIENT, "AP", 4, 1, "def");
    bench.send(CLIENT, "AP", 7, 1, "ghi");
    bench.finish();
    let side = bench.removed().sides[CLIENT as usize];
    assert_eq!(side.packets, (1 << 32) + 2);
    assert_eq!(side.ip_bytes - side.payload_bytes, (1 << 32) - 101 + 3 * 40);
}

#[test]
fn a_shard_counts_what_it_did() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(EventSet::all(), 0, 0);
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "abc");
    bench.send(SERVER, "AP", 1, 4, "defgh");
    let counters = *bench.shard.counters();
    assert_eq!((counters.packets, counters.consumed), (5, 5));
    assert_eq!((counters.ip_bytes, counters.payload_bytes), (5 * 40 + 8, 8));
    assert_eq!((counters.stream_bytes, counters.copied_bytes), (8, 8));
    assert!(bench.shard.buffered_bytes() >= 8, "nobody has read them");
    let names = EventSet::EVENT_NAMES.into_iter().zip(bench.shard.events());
    let raised: std::vec::Vec<_> = names.filter(|(_, times)| *times > 0).collect();
    let expected = [
        ("conn_start", 1),
        ("conn_established", 1),
        ("new_data", 2),
        ("state_change", 4),
        ("packet_in", 5),
    ];
    assert_eq!(raised, expected);
}
