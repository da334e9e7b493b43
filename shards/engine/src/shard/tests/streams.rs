use std::vec;

use super::fixture::{Bench, CLIENT, ISN, SERVER, letters};
use crate::event::Side;
use crate::shard::{OverlapPolicy, Profile, ShardConfig};
use crate::wire::Transport;

#[test]
fn bytes_out_of_order_come_in_order() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.log();
    bench.send(CLIENT, "AP", 7, 1, "world");
    assert!(bench.log().is_empty());
    bench.send(CLIENT, "AP", 1, 1, "hello ");
    assert_eq!(bench.log(), ["NewData(Client)"]);
    assert_eq!(bench.read(CLIENT), "hello world");
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!(
        (
            side.out_of_order,
            side.retransmissions,
            side.payload_bytes,
            side.stream_bytes
        ),
        (1, 0, 11, 11)
    );
}

#[test]
fn the_first_copy_wins_even_within_a_burst() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.log();
    let good = bench.segment(CLIENT, letters("AP"), 1, 1, b"GOOD");
    let evil = bench.segment(CLIENT, letters("AP"), 1, 1, b"EVIL!");
    bench.burst(&[good, evil]);
    assert_eq!(bench.read(CLIENT), "GOOD!");
    assert_eq!(bench.log(), ["NewData(Client)", "Client again Data 4"]);
}

#[test]
fn overlaps_behind_a_hole_follow_the_policy_and_are_reported() {
    for (overlap, expected) in [
        (OverlapPolicy::First, "a GOOD z"),
        (OverlapPolicy::Last, "a EVIL z"),
    ] {
        let mut bench = Bench::new(ShardConfig {
            overlap,
            ..ShardConfig::default()
        });
        bench.open();
        bench.log();
        bench.send(CLIENT, "AP", 3, 1, "GOOD");
        bench.send(CLIENT, "AP", 3, 1, "EVIL z");
        assert_eq!(
            bench.log(),
            [
                "Client OverlapDiffers { offset: 2, len: 4 }",
                "Client again Data 4"
            ]
        );
        bench.send(CLIENT, "AP", 1, 1, "a ");
        assert_eq!(bench.read(CLIENT), expected);
        bench.finish();
        assert_eq!(bench.removed().sides[0].overlap_differs_bytes, 4);
    }
}

#[test]
fn a_covered_hole_is_skipped_after_the_grace_and_a_late_copy_is_counted() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.log();
    bench.send(CLIENT, "AP", 1, 1, "VERY");
    bench.send(CLIENT, "AP", 9, 1, "DATA");
    bench.send(SERVER, "A", 1, 13, "");
    bench.now_ms += 990;
    bench.send(SERVER, "A", 1, 13, "");
    assert_eq!(bench.log(), ["NewData(Client)"], "not yet");
    bench.now_ms += 10;
    bench.send(SERVER, "A", 1, 13, "");
    assert_eq!(
        bench.log(),
        ["Client Gap { offset: 4, len: 4 }", "NewData(Client)"]
    );
    bench.send(CLIENT, "AP", 5, 1, "LATE");
    assert_eq!(bench.log(), [""; 0]);
    bench.send(CLIENT, "AP", 5, 1, "LATE");
    assert_eq!(bench.log(), ["Client again Data 4"]);
    assert_eq!(bench.read(CLIENT), "VERYDATA");
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!(
        (
            side.gap_bytes,
            side.gaps,
            side.late_bytes,
            side.stream_bytes
        ),
        (4, 1, 4, 8)
    );
    assert_eq!(side.payload_bytes, 16);
}

#[test]
fn a_hole_that_nobody_acknowledged_is_told_at_the_end() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.log();
    bench.send(CLIENT, "AP", 1, 1, "ab");
    bench.send(CLIENT, "AP", 11, 1, "kl");
    bench.send(CLIENT, "AF", 15, 1, "");
    bench.finish();
    let log = bench.log();
    let expected = [
        "NewData(Client)",
        "Client ESTABLISHED > FIN-WAIT-1",
        "Client Gap { offset: 2, len: 8 }",
        "NewData(Client)",
        "Client Gap { offset: 12, len: 2 }",
        "ConnEnd(SourceEnd)",
        "removed",
    ];
    assert_eq!(log, expected);
    assert_eq!(bench.read(CLIENT), "abkl");
    assert_eq!(bench.removed().sides[0].gap_bytes, 10);
}

#[test]
fn half_close_and_a_fin_that_overtakes_its_data() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(CLIENT, "AF", 4, 1, "d");
    assert_eq!(bench.state(SERVER), "ESTABLISHED");
    bench.send(CLIENT, "AP", 1, 1, "abc");
    assert_eq!(bench.state(SERVER), "CLOSE-WAIT");
    bench.log();
    bench.send(SERVER, "AP", 1, 6, "still here");
    assert_eq!(
        bench.log(),
        ["NewData(Server)", "Client FIN-WAIT-1 > FIN-WAIT-2"]
    );
    assert_eq!(
        (bench.read(CLIENT), bench.read(SERVER)),
        ("abcd", "still here")
    );
}

#[test]
fn keep_alives_are_not_retransmissions() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "abc");
    bench.log();
    bench.send(CLIENT, "A", 3, 1, "");
    bench.send(CLIENT, "A", 3, 1, "c");
    assert_eq!(
        bench.log(),
        ["Client again KeepAlive 0", "Client again KeepAlive 1"]
    );
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!((side.keep_alives, side.retransmissions), (2, 0));
}

#[test]
fn syn_data_counts_once_and_a_rejected_copy_does_not_count_again() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "fast");
    bench.send(SERVER, "SA", 0, 1, "");
    bench.send(CLIENT, "AP", 1, 1, "fast");
    bench.send(CLIENT, "AP", 5, 1, "er");
    assert_eq!(bench.read(CLIENT), "faster");
}

#[test]
fn sequence_numbers_wrap_and_streams_pass_four_gigabytes() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    bench.add_actor(crate::event::EventSet::CONN_END, 0, 0);
    bench.open();
    let chunk = vec![0; 65_000];
    let mut segment = bench.segment(CLIENT, letters("A"), 1, 1, &chunk);
    let count = 70_000_u64;
    for i in 0..count {
        if let Transport::Tcp { seq, .. } = &mut segment.0.transport {
            *seq = ISN[0].wrapping_add(1).wrapping_add((i * 65_000) as u32);
        }
        bench.shard.handle_burst(
            &[segment.0],
            &[&segment.1],
            &[Default::default()],
            &mut bench.host,
        );
    }
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!(
        (side.stream_bytes, side.gap_bytes, side.payload_bytes),
        (count * 65_000, 0, count * 65_000)
    );
    assert_eq!(side.ip_bytes, count * 65_040 + 80);
}

#[test]
fn one_side_alone_makes_a_stream() {
    let mut bench = Bench::new(ShardConfig::default());
    for (seq, text) in [(1, "only "), (6, "half "), (11, "seen")] {
        bench.send(SERVER, "AP", seq, 1, text);
    }
    bench.finish();
    let flow = bench.removed();
    assert_eq!(flow.client.port, 80, "who sends first counts as the client");
    assert_eq!(bench.read(Side::Client), "only half seen");
}

#[test]
fn a_snapped_segment_leaves_a_hole_of_what_was_cut() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    let (mut packet, mut bytes) = bench.segment(CLIENT, letters("AP"), 1, 1, b"0123456789");
    packet.payload_captured = 4;
    bytes.truncate(58);
    bench.burst(&[(packet, bytes)]);
    bench.send(CLIENT, "AP", 11, 1, "ab");
    bench.finish();
    assert_eq!(bench.read(CLIENT), "0123ab");
    let side = bench.removed().sides[0];
    assert_eq!(
        (side.payload_bytes, side.stream_bytes, side.gap_bytes),
        (12, 6, 6)
    );
}

#[test]
fn late_bytes_after_the_close_are_told_apart() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(SERVER, "RA", 1, 1, "");
    assert!(bench.log().contains(&"ConnEnd(Reset)".into()));
    bench.send(CLIENT, "AP", 1, 1, "anyway");
    assert_eq!(bench.log(), ["LateData(Client)"]);
    assert_eq!(bench.read(CLIENT), "anyway");

    let mut bench = Bench::new(ShardConfig {
        profile: Profile::Receiver,
        ..ShardConfig::default()
    });
    bench.open();
    bench.send(SERVER, "RA", 1, 1, "");
    bench.log();
    bench.send(CLIENT, "AP", 1, 1, "anyway");
    assert!(bench.log().is_empty());
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!((side.payload_bytes, side.stream_bytes), (6, 0));
}

#[test]
fn a_receiver_refuses_what_lies_beyond_its_window() {
    for (profile, stream_bytes) in [(Profile::Receiver, 0), (Profile::Record, 11)] {
        let mut bench = Bench::new(ShardConfig {
            profile,
            ..ShardConfig::default()
        });
        bench.open();
        bench.log();
        bench.send(CLIENT, "AP", 100_000, 1, "out of here");
        assert_eq!(bench.log(), ["Client Invalid"]);
        bench.finish();
        let side = bench.removed().sides[0];
        assert_eq!(
            (side.stream_bytes, side.invalid, side.payload_bytes),
            (stream_bytes, 1, 11)
        );
    }
}

#[test]
fn a_segment_that_repeats_in_several_places_counts_once() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(CLIENT, "AP", 1, 1, "ab");
    bench.send(CLIENT, "AP", 5, 1, "ef");
    bench.send(CLIENT, "AP", 9, 1, "ij");
    bench.log();
    bench.send(CLIENT, "AP", 1, 1, "abcdefghijkl");
    assert_eq!(bench.log(), ["NewData(Client)", "Client again Data 6"]);
    assert_eq!(bench.read(CLIENT), "abcdefghijkl");
    bench.finish();
    let side = bench.removed().sides[0];
    assert_eq!(
        (
            side.retransmissions,
            side.retransmitted_bytes,
            side.stream_bytes
        ),
        (1, 6, 12)
    );
}

#[test]
fn a_missing_tail_is_told_even_after_a_reset() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    bench.send(CLIENT, "AF", 6, 1, "");
    bench.send(SERVER, "RA", 1, 1, "");
    assert!(bench.log().contains(&"ConnEnd(Reset)".into()));
    bench.finish();
    assert_eq!(bench.log(), ["Client Gap { offset: 0, len: 5 }", "removed"]);
    assert_eq!(bench.removed().sides[0].gap_bytes, 5);
}

/// PAWS goes by what the receiver has echoed: a repetition that overtook older segments may have been lost behind us.
#[test]
fn a_timestamp_is_old_when_the_receiver_has_echoed_a_later_one() {
    let mut bench = Bench::new(ShardConfig {
        profile: Profile::Receiver,
        ..ShardConfig::default()
    });
    let mut send = |from, flags: &str, numbers, times| {
        let payload: &[u8] = if flags.contains('P') { b"data" } else { b"" };
        let segment = bench.stamped(from, letters(flags), numbers, payload, times);
        bench.burst(&[segment]);
        bench.log().contains(&"Server Invalid".into())
    };
    send(CLIENT, "S", (0, 0), (100, 0));
    send(SERVER, "SA", (0, 1), (500, 100));
    send(CLIENT, "A", (1, 1), (101, 500));
    assert!(!send(SERVER, "AP", (1, 1), (520, 101)));
    assert!(!send(SERVER, "AP", (9, 1), (510, 101)), "not echoed yet");
    assert!(!send(CLIENT, "A", (1, 5), (120, 520)));
    assert!(send(SERVER, "AP", (5, 1), (518, 101)), "two ticks too old");
    assert!(!send(SERVER, "AP", (5, 1), (519, 101)), "one tick");
    // An echo of what nobody sent teaches nothing.
    assert!(!send(CLIENT, "A", (1, 13), (130, 9_000)));
    assert!(!send(SERVER, "AP", (13, 1), (530, 120)));
    assert_eq!(bench.read(SERVER), "datadatadatadata");
}
