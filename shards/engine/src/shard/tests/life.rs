use super::fixture::{Bench, CLIENT, SERVER};
use crate::event::EndReason;
use crate::shard::{ShardConfig, Timeouts};

#[test]
fn a_busy_flow_delays_nobodys_expiry() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.port = 7;
    bench.open();
    for second in 0..400_u32 {
        bench.port = 40_000;
        bench.send(CLIENT, "AP", 1 + second, 1, "x");
        bench.now_ms += 1000;
    }
    assert_eq!(bench.removed().client.port, 7);
    assert_eq!(bench.removed().end, Some(EndReason::Timeout));
    assert_eq!(bench.shard.flows(), 1);
}

/// Sends what a test says, and no more.
pub(super) type Script = fn(&mut Bench);

/// After each of these scripts, the flow is there for so many seconds, whoever watches it.
pub(super) fn check_timeouts(bench: fn(ShardConfig) -> Bench, scripts: &[(u64, Script)]) {
    const SECOND: u64 = 1_000_000_000;
    let timeouts = Timeouts {
        opening_ns: Some(10 * SECOND),
        established_ns: Some(100 * SECOND),
        closing_ns: Some(50 * SECOND),
        closed_ns: Some(20 * SECOND),
        datagram_ns: None,
    };
    for (seconds, script) in scripts {
        let mut bench = bench(ShardConfig {
            timeouts,
            ..ShardConfig::default()
        });
        script(&mut bench);
        let last = bench.now_ms - 1;
        for (after_ms, flows) in [(seconds * 1000 - 100, 1), (seconds * 1000 + 600, 0)] {
            let now = mosaic_port::Timestamp::from_nanos((last + after_ms) * 1_000_000);
            bench.shard.handle_clock(now, &mut bench.host);
            assert_eq!(
                bench.shard.flows(),
                flows,
                "{seconds} s, {after_ms} ms after"
            );
        }
    }
}

#[test]
fn each_state_has_its_timeout() {
    let scripts: [(u64, Script); 4] = [
        (10, |bench| bench.send(CLIENT, "S", 0, 0, "")),
        (100, Bench::open),
        (50, |bench| {
            bench.open();
            bench.send(CLIENT, "AF", 1, 1, "");
        }),
        (20, |bench| {
            bench.open();
            bench.send(CLIENT, "R", 1, 0, "");
        }),
    ];
    check_timeouts(Bench::new, &scripts);
}

#[test]
fn a_packet_after_the_timeout_begins_another_flow() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.now_ms += 301_000;
    bench.send(CLIENT, "AP", 1, 1, "later");
    assert_eq!(bench.removed().end, Some(EndReason::Timeout));
    assert_eq!(bench.shard.flows(), 1);

    let never = ShardConfig {
        timeouts: Timeouts::NEVER,
        ..ShardConfig::default()
    };
    let mut bench = Bench::new(never);
    bench.open();
    bench.now_ms += 1_000_000_000;
    bench.send(CLIENT, "AP", 1, 1, "later");
    assert_eq!(bench.shard.counters().flows_started, 1);
}

#[test]
fn the_same_tuple_opens_again_with_another_number() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "one");
    bench.send(CLIENT, "S", 0, 0, "");
    assert!(
        bench.log().contains(&"Client again Syn 0".into()),
        "the same number is a repetition"
    );
    // All in one burst: the rest of the old connection, and the new one.
    let packets = [
        bench.segment(CLIENT, super::fixture::letters("AP"), 4, 1, b"two"),
        bench.segment(CLIENT, super::fixture::letters("S"), 77_000, 0, b""),
        bench.segment(SERVER, super::fixture::letters("SA"), 88_000, 77_001, b""),
        bench.segment(
            CLIENT,
            super::fixture::letters("AP"),
            77_001,
            88_001,
            b"three",
        ),
    ];
    bench.burst(&packets);
    assert_eq!(bench.read(CLIENT), "onetwothree");
    assert_eq!(bench.removed().end, Some(EndReason::Reopened));
    assert_eq!(bench.removed().sides[0].stream_bytes, 6);
    let log = bench.log();
    let end = log
        .iter()
        .position(|line| line == "ConnEnd(Reopened)")
        .unwrap();
    assert_eq!(log.iter().position(|line| line == "removed"), Some(end + 1));
    assert_eq!(log[end + 2], "ConnStart");
}

#[test]
fn midstream_pick_up_is_a_choice() {
    let mut bench = Bench::new(ShardConfig {
        midstream: false,
        ..ShardConfig::default()
    });
    bench.send(CLIENT, "AP", 1, 1, "orphan");
    assert_eq!(
        (bench.shard.flows(), bench.shard.counters().orphans),
        (0, 1)
    );
    bench.send(SERVER, "SA", 0, 1, "");
    assert_eq!(bench.shard.flows(), 1);
}

/// Whether the wheel came to a flow before the end must not show.
#[test]
fn a_flow_that_has_expired_by_the_end_ended_by_its_timeout() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.now_ms += 300_100;
    bench.port = 7;
    bench.send(CLIENT, "S", 0, 0, "");
    bench.finish();
    let ends: std::vec::Vec<_> = bench.host.0[0]
        .removed
        .iter()
        .map(|flow| (flow.client.port, flow.end))
        .collect();
    assert_eq!(
        ends,
        [
            (40_000, Some(EndReason::Timeout)),
            (7, Some(EndReason::SourceEnd))
        ]
    );
}
