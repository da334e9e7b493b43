//! Streams whose lengths change: what callbacks may ask for, what leaves, and what waits.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::edits::{Editor, Middle, open, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{EditError, FlowContext, PacketView, Segment};
use crate::event::{Hook, Side, Verdict};
use crate::limits;
use crate::shard::{Route, ShardConfig};
use crate::wire::TcpFlags;
use crate::wire::testing::{ethernet, ipv4, join};

const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;

type Act = Box<dyn FnMut(&mut FlowContext<'_>, &PacketView<'_>, Hook) -> Verdict>;

/// Every `-` of what is new becomes `+++`.
fn grow() -> Act {
    Box::new(|flow, packet, hook| {
        if let (Hook::Send, Some(from)) = (hook, flow.fresh_from()) {
            let dash = packet.payload()[from..]
                .iter()
                .position(|byte| *byte == b'-');
            if let Some(at) = dash {
                flow.replace_payload(from + at, 1, b"+++").unwrap();
            }
        }
        Verdict::Forward
    })
}

fn editing(acts: Vec<Act>) -> Middle {
    let mut middle = Middle::editing(ShardConfig::default(), acts);
    open(&mut middle);
    middle
}

/// What was sent besides, towards where the packet came from and away from it.
fn besides(middle: &Middle) -> [Vec<Vec<u8>>; 2] {
    let frames = |wanted: bool| {
        let of_way = middle.shard.injected().filter(|injected| {
            matches!(injected.route, Route::With { back, before: false, .. } if back == wanted)
        });
        of_way.map(|injected| injected.bytes.to_vec()).collect()
    };
    [frames(true), frames(false)]
}

#[test]
fn both_ends_are_translated_to() {
    let mut middle = editing(vec![grow()]);
    let pass = |middle: &mut Middle, frame: Vec<u8>| middle.pass(&frame).unwrap();
    let sent = tcp4(CLIENT, ACK, (1, 1), b"ab-cd");
    assert_eq!(
        pass(&mut middle, sent.clone()),
        tcp4(CLIENT, ACK, (1, 1), b"ab+++cd")
    );
    assert_eq!(middle.host.streams[0], b"ab+++cd");
    let next = pass(&mut middle, tcp4(CLIENT, ACK, (6, 1), b"ef"));
    assert_eq!(next, tcp4(CLIENT, ACK, (8, 1), b"ef"));
    // Repetitions, whole and in other cuts.
    assert_eq!(
        pass(&mut middle, sent),
        tcp4(CLIENT, ACK, (1, 1), b"ab+++cd")
    );
    let cut = pass(&mut middle, tcp4(CLIENT, ACK, (3, 1), b"-c"));
    assert_eq!(cut, tcp4(CLIENT, ACK, (3, 1), b"+++c"));
    let behind = pass(&mut middle, tcp4(CLIENT, ACK, (4, 1), b"cdef"));
    assert_eq!(behind, tcp4(CLIENT, ACK, (6, 1), b"cdef"));
    // The server acknowledges in its numbers, the client hears its own.
    for (acked, heard) in [(3, 3), (4, 3), (6, 4), (8, 6), (10, 8)] {
        let answer = pass(&mut middle, tcp4(SERVER, ACK, (1, acked), b""));
        let end = super::edits::ISNS[0] + heard;
        assert_eq!(answer[42..46], end.to_be_bytes(), "{acked}");
    }
    // All is acknowledged: what is old stays old.
    let old = pass(&mut middle, tcp4(CLIENT, ACK, (1, 1), b"ab-cd"));
    assert_eq!(old, tcp4(CLIENT, ACK, (3, 1), b"ab-cd"));
    let fin = pass(&mut middle, tcp4(CLIENT, ACK | FIN, (8, 1), b""));
    assert_eq!(fin, tcp4(CLIENT, ACK | FIN, (10, 1), b""));
}

/// One edit adds as much as the next one takes away: what stands between them has moved in a segment of the same length.
#[test]
fn a_repetition_of_several_has_the_same_bytes() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Send && flow.fresh_from() == Some(0) {
            match packet.payload() {
                b"ab-cd" => flow.replace_payload(2, 1, b"+++").unwrap(),
                b"efgh" => flow.cut_payload(2, 2).unwrap(),
                _ => {}
            }
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![act]);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"ab-cd")).unwrap();
    middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"efgh")).unwrap();
    let both = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"ab-cdefgh"));
    assert_eq!(both, Some(tcp4(CLIENT, ACK, (1, 1), b"ab+++cdef")));
}

#[test]
fn what_cannot_be_asked_for_is_refused_and_changes_nothing() {
    let errors: Act = Box::new(|flow, packet, hook| {
        let len = packet.payload().len();
        if len == 0 && !matches!(hook, Hook::End) && flow.fresh_from().is_none() {
            assert_eq!(flow.insert_payload(0, b"x"), Err(EditError::NotEdited));
        } else if flow.fresh_from() == Some(len) {
            // Nothing is new, and there is no FIN.
            assert_eq!(flow.insert_payload(len, b"x"), Err(EditError::Decided));
        } else if len > 0 {
            assert_eq!(flow.cut_payload(len, 1), Err(EditError::NotThere));
            assert_eq!(flow.cut_payload(usize::MAX, 1), Err(EditError::NotThere));
            let many = vec![0; 65_600];
            assert_eq!(flow.insert_payload(0, &many), Err(EditError::TooLong));
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![errors]);
    let sent = tcp4(CLIENT, ACK, (1, 1), b"hello");
    for _ in 0..2 {
        assert_eq!(middle.pass(&sent), Some(sent.clone()));
    }
    // Half of it was sent before.
    let part = Box::new(|flow: &mut FlowContext<'_>, _: &PacketView<'_>, hook| {
        if hook == Hook::Send && flow.fresh_from() == Some(3) {
            assert_eq!(flow.fresh_offset(), Some(3));
            assert_eq!(flow.cut_payload(2, 1), Err(EditError::Decided));
            flow.cut_payload(3, 1).unwrap();
            // An overwritten byte that was sent before is what it was.
            flow.edit().unwrap().overwrite_payload(0, b"XYZ").unwrap();
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![part]);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"abc")).unwrap();
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"abcdef")).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b"abcef"));
    assert_eq!(middle.host.streams[0], b"abcef");

    let mut plain = Middle::new(vec![Box::new(|flow, _, _| {
        assert_eq!(flow.insert_payload(0, b"x"), Err(EditError::NotEdited));
        Verdict::Forward
    })]);
    open(&mut plain);
}

#[test]
fn a_segment_waits_for_its_turn_and_its_sender_is_told() {
    let mut middle = editing(vec![grow()]);
    let shown = middle.host.hooks.len();
    // The server has acknowledged the handshake only.
    middle.pass(&tcp4(SERVER, ACK, (1, 1), b"")).unwrap();
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"world")), None);
    assert_eq!(middle.host.hooks.len(), shown + 2, "no hook has seen it");
    let [back, on] = besides(&middle);
    assert_eq!((back.len(), on.len()), (1, 0));
    assert_eq!(
        back[0],
        tcp4(SERVER, ACK, (1, 1), b""),
        "what the server last said"
    );
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hel-o")).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b"hel+++o"));
    assert_eq!(
        besides(&middle),
        [vec![], vec![tcp4(CLIENT, ACK, (8, 1), b"world")]]
    );
    assert_eq!(middle.host.streams[0], b"hel+++oworld");
    assert_eq!(middle.shard.counters().held_released, 1);
}

#[test]
fn what_waits_is_bounded() {
    let mut middle = editing(vec![grow()]);
    for number in 0..limits::HELD_SEGMENTS as u32 + 3 {
        assert_eq!(
            middle.pass(&tcp4(CLIENT, ACK, (10 + 2 * number, 1), b"x")),
            None
        );
    }
    let counters = middle.shard.counters();
    assert_eq!(
        (counters.held, counters.held_refused),
        (limits::HELD_SEGMENTS as u64, 3)
    );
    middle.pass(&tcp4(CLIENT, ACK, (10, 1), b"x"));
    assert_eq!(middle.shard.counters().held_again, 1);
    // The memory comes back with the end of the flow.
    middle.shard.finish(&mut middle.host);
    assert_eq!(middle.shard.held_bytes(), 0);
}

/// Nobody sends again what a capture has lost.
#[test]
fn captures_have_holes() {
    for acknowledged in [false, true] {
        let mut middle = editing(vec![grow()]);
        middle.shard.set_inline(false);
        middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello"));
        middle.pass(&tcp4(CLIENT, ACK, (9, 1), b"world"));
        assert_eq!(middle.host.streams[0], b"hello");
        if acknowledged {
            middle.pass(&tcp4(SERVER, ACK, (1, 14), b""));
            assert_eq!(middle.shard.counters().held_released, 1);
        }
        middle.shard.finish(&mut middle.host);
        assert_eq!(
            middle.host.streams[0], b"helloworld",
            "acknowledged: {acknowledged}"
        );
        assert_eq!(middle.shard.counters().held_released, 1);
    }
}

/// In a capture the ends count what was really sent.
#[test]
fn captures_acknowledge_original_bytes() {
    for act in [grow(), Box::new(cut_dashes)] {
        let mut middle = editing(vec![act]);
        middle.shard.set_inline(false);
        middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"ab--cd"));
        middle.pass(&tcp4(SERVER, ACK, (1, 7), b""));
        middle.pass(&tcp4(CLIENT, ACK, (7, 1), b"e-f"));
        middle.pass(&tcp4(SERVER, ACK, (1, 10), b""));
        middle.pass(&tcp4(CLIENT, ACK | FIN, (10, 1), b""));
        let stream = core::str::from_utf8(&middle.host.streams[0]).unwrap();
        assert!(["ab+++-cde+++f", "abcdef"].contains(&stream), "{stream}");
        assert_eq!(middle.shard.counters().held, 0);
        let half = middle.shard.counters();
        assert_eq!((half.gaps, half.invalid_segments), (0, 0));
    }
}

/// Takes every `-` of what is new out.
fn cut_dashes(flow: &mut FlowContext<'_>, packet: &PacketView<'_>, hook: Hook) -> Verdict {
    if let (Hook::Send, Some(from)) = (hook, flow.fresh_from()) {
        let fresh = &packet.payload()[from..];
        let kept: Vec<u8> = fresh.iter().copied().filter(|byte| *byte != b'-').collect();
        if kept.len() < fresh.len() {
            flow.replace_payload(from, fresh.len(), &kept).unwrap();
        }
    }
    Verdict::Forward
}

#[test]
fn a_side_may_do_without_its_order() {
    let off: Act = Box::new(|flow, _, _| {
        flow.edit_stream(Side::Client, false);
        Verdict::Forward
    });
    let mut middle = editing(vec![off]);
    let ahead = tcp4(CLIENT, ACK, (6, 1), b"world");
    assert_eq!(middle.pass(&ahead), Some(ahead));
    let first = tcp4(CLIENT, ACK, (1, 1), b"hello");
    assert_eq!(middle.pass(&first), Some(first));
    assert_eq!(middle.shard.counters().held, 0);
}

/// All of a segment is cut: nobody but us can tell its sender that it has arrived.
#[test]
fn what_is_cut_is_acknowledged() {
    let cut: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Send && packet.payload() == b"secret" && flow.fresh_from() == Some(0) {
            flow.cut_payload(0, 6).unwrap();
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![cut]);
    middle.pass(&tcp4(SERVER, ACK, (1, 1), b"")).unwrap();
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"secret")).unwrap();
    assert_eq!(left, tcp4(CLIENT, ACK, (1, 1), b""));
    let [back, _] = besides(&middle);
    assert_eq!(back, [tcp4(SERVER, ACK, (1, 7), b"")]);
    let next = middle.pass(&tcp4(CLIENT, ACK, (7, 1), b"plain")).unwrap();
    assert_eq!(next, tcp4(CLIENT, ACK, (1, 1), b"plain"));
}

#[test]
fn a_packet_that_grew_too_long_is_split() {
    let many: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Send && !packet.payload().is_empty() && flow.fresh_from() == Some(0) {
            flow.insert_payload(1, &[b'x'; 2000]).unwrap();
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![many]);
    let last = TcpFlags::PSH | FIN;
    let first = middle
        .pass(&tcp4(CLIENT, ACK | last, (1, 1), b"ab"))
        .unwrap();
    let body = [b"a", &[b'x'; 2000][..], b"b"].concat();
    let (one, two) = body.split_at(1460);
    assert!(first == tcp4(CLIENT, ACK, (1, 1), one));
    assert!(besides(&middle)[1] == [tcp4(CLIENT, ACK | last, (1461, 1), two)]);
    assert!(middle.host.streams[0] == body);
    let _: &Editor = &middle.host;
}

/// What actors send besides has, for each end, the numbers that end knows.
#[test]
fn injected_segments_have_the_numbers_of_their_receiver() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == b"ef" {
            for to in Side::BOTH {
                flow.inject(to, Segment::default()).unwrap();
            }
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![grow(), act]);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"ab-cd")).unwrap();
    middle.pass(&tcp4(SERVER, ACK, (1, 8), b"-")).unwrap();
    middle.pass(&tcp4(CLIENT, ACK, (6, 4), b"ef")).unwrap();
    let [back, on] = besides(&middle);
    let numbers = |frame: &[u8]| {
        let word = |at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
        (word(38), word(42))
    };
    let [client, server] = super::edits::ISNS;
    // Each has acknowledged all that the other has sent before, in other numbers than it was sent.
    assert_eq!(numbers(&back[0]), (server + 4, client + 6));
    assert_eq!(numbers(&on[0]), (client + 10, server + 2));
}

#[test]
fn an_edited_client_is_answered() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload().starts_with(b"GET") {
            flow.answer(b"page").unwrap();
            return Verdict::Drop;
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![grow(), act]);
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"GET -")), None);
    let [back, on] = besides(&middle);
    let answer = tcp4(SERVER, ACK | FIN | TcpFlags::PSH, (1, 6), b"page");
    assert_eq!(back[0][34..46], answer[34..46], "all five bytes, not seven");
    assert_eq!(back[0][54..58], *b"page");
    // The server may expect what it had before the request.
    assert!(
        on.iter()
            .any(|rst| rst[38..42] == tcp4(CLIENT, ACK, (1, 1), b"")[38..42])
    );
}

/// A router quotes what it got: the edited segment. Its sender would not know the number.
#[test]
fn errors_quote_the_numbers_of_the_sender() {
    let mut middle = editing(vec![grow()]);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"ab-cd")).unwrap();
    let left = middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"ef")).unwrap();
    let came = tcp4(CLIENT, ACK, (6, 1), b"ef");
    let error = |quoted: &[u8]| {
        let mut message = join(&[&[3, 4, 0, 0, 0, 0, 5, 0x14], &quoted[14..42]]);
        let sum = !super::edits::words(&message, 0);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = ipv4(1, &message);
        packet[12..16].copy_from_slice(&[100, 64, 0, 1]);
        packet[16..20].copy_from_slice(&quoted[26..30]);
        super::edits::reseal_ip(&mut packet);
        ethernet(0x0800, &packet)
    };
    assert_ne!(left[38..42], came[38..42]);
    assert_eq!(middle.pass(&error(&left)), Some(error(&came)));
    assert_eq!(middle.shard.counters().errors_translated, 1);
}
