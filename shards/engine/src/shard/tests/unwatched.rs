//! Flows that no filter let pass.

use std::vec;

use super::fixture::{Bench, CLIENT, SERVER, Seen};
use super::life::{Script, check_timeouts};
use crate::event::{EventSet, Filter, Hook, Instruction};
use crate::shard::ShardConfig;

/// An actor that hears everything of the flows whose first packet has a payload.
fn bench(config: ShardConfig) -> Bench {
    let mut bench = Bench::without_actors(config);
    bench
        .start(0)
        .monitor_stream(Some(longer_than_headers()))
        .on(Hook::End, EventSet::all())
        .packets(Hook::Send)
        .open()
        .unwrap();
    bench.host.0.push(Seen {
        appetite: usize::MAX,
        ..Seen::default()
    });
    bench
}

/// `greater 41`.
fn longer_than_headers() -> Filter {
    let [length, at_least, accept, reject] = [
        (0x80, 0, 0, 0),
        (0x35, 0, 1, 41),
        (6, 0, 0, 1),
        (6, 0, 0, 0),
    ]
    .map(|(code, jt, jf, k)| Instruction { code, jt, jf, k });
    Filter::new(vec![length, at_least, accept, reject]).unwrap()
}

fn whole_connection(bench: &mut Bench) {
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "request");
    bench.send(SERVER, "AP", 1, 8, "reply");
    bench.send(CLIENT, "AF", 8, 6, "");
    bench.send(SERVER, "AF", 6, 9, "");
    bench.send(CLIENT, "A", 9, 7, "");
}

#[test]
fn are_counted_and_shown_to_nobody() {
    let mut bench = bench(ShardConfig {
        midstream: false,
        ..ShardConfig::default()
    });
    whole_connection(&mut bench);
    bench.finish();
    assert_eq!(bench.log(), [""; 0]);
    let counters = bench.shard.counters();
    let counted = [
        counters.packets,
        counters.consumed,
        counters.payload_bytes,
        counters.orphans,
        counters.flows_started,
        counters.flows_removed,
    ];
    assert_eq!(counted, [8, 8, 12, 0, 1, 1]);
    let happened = bench.shard.events();
    let named = EventSet::EVENT_NAMES.into_iter().zip(happened);
    for (name, count) in named {
        let expected = match name {
            "conn_start" | "conn_end" => 1,
            "packet_in" => 8,
            _ => 0,
        };
        assert_eq!(count, expected, "{name}");
    }
}

#[test]
fn another_opening_asks_the_filters_again_and_a_repeated_one_does_not() {
    let mut bench = bench(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(CLIENT, "S", 0, 0, "repeated");
    bench.send(SERVER, "SA", 0, 1, "");
    assert_eq!(bench.log(), [""; 0]);
    bench.send(CLIENT, "S", 100, 0, "anew");
    assert!(bench.log().contains(&"ConnStart".into()));
    assert_eq!(bench.read(CLIENT), "anew");
    // And the other way round.
    bench.send(CLIENT, "S", 200, 0, "");
    assert!(bench.log().contains(&"removed".into()));
    bench.send(CLIENT, "A", 201, 1, "unheard");
    assert_eq!(bench.log(), [""; 0]);
    assert_eq!(bench.shard.counters().flows_started, 3);
    bench.finish();
}

#[test]
fn a_syn_on_a_flow_picked_up_midstream_asks_the_filters_again() {
    let mut bench = bench(ShardConfig::default());
    bench.send(SERVER, "A", 1, 1, "");
    bench.send(CLIENT, "S", 0, 0, "early");
    assert!(bench.log().contains(&"ConnStart".into()));
    bench.finish();
}

#[test]
fn grow_old_as_other_flows_do() {
    let scripts: [(u64, Script); 5] = [
        (10, |bench| bench.send(CLIENT, "S", 0, 0, "")),
        (100, Bench::open),
        (50, |bench| {
            bench.open();
            bench.send(SERVER, "AF", 1, 1, "");
        }),
        (20, whole_connection),
        (20, |bench| {
            bench.open();
            bench.send(CLIENT, "R", 1, 0, "");
        }),
    ];
    check_timeouts(bench, &scripts);
}

#[test]
fn go_first_when_the_table_is_full() {
    let mut bench = bench(ShardConfig {
        flows_max: 2,
        ..ShardConfig::default()
    });
    bench.send(CLIENT, "S", 0, 0, "half open");
    bench.port = 1;
    bench.open();
    bench.port = 2;
    bench.send(CLIENT, "S", 0, 0, "also watched");
    assert!(!bench.log().contains(&"removed".into()));
    assert_eq!(bench.shard.counters().flows_evicted, 1);
    // The other one's first packet now begins it, once more unwatched, and this time in place of a half-open one.
    bench.port = 1;
    bench.send(CLIENT, "A", 1, 1, "");
    assert!(bench.log().contains(&"removed".into()));
    bench.finish();
}

#[test]
fn leave_nothing_to_the_flow_that_gets_their_place() {
    let config = || ShardConfig {
        flows_max: 1,
        prefault: true,
        ..ShardConfig::default()
    };
    let mut used = bench(config());
    for port in 1..4 {
        used.port = port;
        whole_connection(&mut used);
    }
    let mut fresh = bench(config());
    for bench in [&mut used, &mut fresh] {
        (bench.port, bench.now_ms) = (9, 2_000_000);
        bench.send(CLIENT, "S", 0, 0, "watched");
        bench.finish();
    }
    let [mut seen, expected] = [used.removed().clone(), fresh.removed().clone()];
    seen.id = expected.id;
    assert_eq!(std::format!("{seen:?}"), std::format!("{expected:?}"));
}

#[test]
fn closing_a_monitor_does_not_touch_them() {
    let mut bench = bench(ShardConfig::default());
    let other = bench.start(0).monitor_stream(None).open().unwrap();
    bench.start(0).close(other).unwrap();
    let filter = Some(longer_than_headers());
    let other = bench.start(0).monitor_stream(filter).open().unwrap();
    bench.open();
    bench.start(0).close(other).unwrap();
    bench.now_ms += 1;
    for _ in 0..3 {
        bench.send(CLIENT, "A", 1, 1, "");
    }
    bench.send(CLIENT, "AF", 1, 1, "");
    bench.send(SERVER, "AF", 1, 2, "");
    bench.finish();
    assert_eq!(bench.log(), [""; 0]);
}

#[test]
fn without_any_monitor_every_flow_is_tracked() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    whole_connection(&mut bench);
    assert_eq!(bench.shard.counters().stream_bytes, 12);
    bench.finish();
}
