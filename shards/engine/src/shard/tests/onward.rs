//! Lengths changed at `Receive`: what is forwarded changes, what the receiver's emulation and its readers have does not.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::edits::{Act, ISNS, Middle, open, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{EditError, FlowContext, Segment};
use crate::event::{Hook, Side, Verdict};
use crate::limits;
use crate::shard::ShardConfig;
use crate::wire::TcpFlags;

const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags::FIN;

/// Every first `of` of what is new at `hook` becomes `to`.
fn put(hook: Hook, of: u8, to: &'static [u8]) -> Act {
    Box::new(move |flow, packet, now| {
        if let (true, Some(from)) = (now == hook, flow.fresh_from()) {
            let at = packet.payload()[from..].iter().position(|byte| *byte == of);
            if let Some(at) = at {
                flow.replace_payload(from + at, 1, to).unwrap();
            }
        }
        Verdict::Forward
    })
}

/// The first `-` that is new at `Send` becomes `+++`, the first `*` at `Receive` becomes `<>`.
fn both() -> Vec<Act> {
    vec![
        put(Hook::Send, b'-', b"+++"),
        put(Hook::Receive, b'*', b"<>"),
    ]
}

fn editing(acts: Vec<Act>) -> Middle {
    let mut middle = Middle::editing(ShardConfig::default(), acts);
    open(&mut middle);
    middle
}

/// What the client hears where the server acknowledges `acked`, both from the first byte on.
fn heard(middle: &mut Middle, acked: u32) -> u32 {
    let answer = middle.pass(&tcp4(SERVER, ACK, (1, acked), b"")).unwrap();
    u32::from_be_bytes(*answer[42..].first_chunk().unwrap()) - ISNS[0]
}

#[test]
fn what_is_forwarded_changes_and_the_stream_does_not() {
    let mut middle = editing(vec![put(Hook::Receive, b'*', b"<===>")]);
    let sent = tcp4(CLIENT, ACK, (1, 1), b"ab*cd");
    let left = tcp4(CLIENT, ACK, (1, 1), b"ab<===>cd");
    assert_eq!(middle.pass(&sent), Some(left.clone()));
    let next = middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"ef"));
    assert_eq!(next, Some(tcp4(CLIENT, ACK, (10, 1), b"ef")));
    assert_eq!(middle.host.streams[0], b"ab*cdef");
    // Repetitions, whole and in other cuts, with what is new behind them.
    assert_eq!(middle.pass(&sent), Some(left));
    let cut = middle.pass(&tcp4(CLIENT, ACK, (3, 1), b"*c"));
    assert_eq!(cut, Some(tcp4(CLIENT, ACK, (3, 1), b"<===>c")));
    let behind = middle.pass(&tcp4(CLIENT, ACK, (2, 1), b"b*cdefg*h"));
    assert_eq!(
        behind,
        Some(tcp4(CLIENT, ACK, (2, 1), b"b<===>cdefg<===>h"))
    );
    assert_eq!(middle.host.streams[0], b"ab*cdefg*h");
    // The server acknowledges what it got, the client hears its own numbers.
    for (acked, expected) in [(3, 3), (4, 3), (7, 3), (8, 4), (10, 6), (12, 8), (19, 11)] {
        assert_eq!(heard(&mut middle, acked), expected, "{acked}");
    }
    let fin = middle.pass(&tcp4(CLIENT, ACK | FIN, (11, 1), b""));
    assert_eq!(fin, Some(tcp4(CLIENT, ACK | FIN, (19, 1), b"")));
}

#[test]
fn both_hooks_may_change_a_segment() {
    let mut middle = editing(both());
    let sent = tcp4(CLIENT, ACK, (1, 1), b"a*b-c");
    let left = tcp4(CLIENT, ACK, (1, 1), b"a<>b+++c");
    for _ in 0..2 {
        assert_eq!(middle.pass(&sent), Some(left.clone()));
    }
    assert_eq!(middle.host.streams[0], b"a*b+++c");
    for (acked, expected) in [(2, 2), (3, 2), (4, 3), (5, 4), (7, 4), (8, 5), (9, 6)] {
        assert_eq!(heard(&mut middle, acked), expected, "{acked}");
    }
    let next = middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"d"));
    assert_eq!(next, Some(tcp4(CLIENT, ACK, (9, 1), b"d")));
}

/// What one hook has added may be changed, or taken away, by the other.
#[test]
fn what_was_added_may_be_taken_away() {
    let acts = vec![put(Hook::Send, b'-', b"+*+"), put(Hook::Receive, b'*', b"")];
    let mut middle = editing(acts);
    for _ in 0..2 {
        let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"a-b"));
        assert_eq!(left, Some(tcp4(CLIENT, ACK, (1, 1), b"a++b")));
    }
    assert_eq!(middle.host.streams[0], b"a+*+b");
    assert_eq!(heard(&mut middle, 5), 4);
}

/// What was acknowledged is forgotten, and only moves: so far that it stands before the beginning.
#[test]
fn what_is_old_stays_old() {
    let acts = vec![put(Hook::Send, b'-', b""), put(Hook::Receive, b'*', b"")];
    let mut middle = editing(acts);
    let sent = tcp4(CLIENT, ACK, (1, 1), b"a-*b");
    let left = middle.pass(&sent);
    assert_eq!(left, Some(tcp4(CLIENT, ACK, (1, 1), b"ab")));
    assert_eq!(heard(&mut middle, 3), 5);
    let old = middle.pass(&sent).unwrap();
    assert_eq!(old[38..42], (ISNS[0] + 1 - 2).to_be_bytes());
    assert_eq!(old[54..], *b"a-*b");
}

#[test]
fn what_was_forwarded_is_decided() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && !packet.payload().is_empty() {
            let decided = flow.fresh_from().unwrap();
            assert_eq!(flow.fresh_offset(), Some(if decided == 0 { 0 } else { 5 }));
            if decided == 0 {
                flow.replace_payload(2, 1, b"+++").unwrap();
            } else {
                // As `Send` left it, not as it went on.
                assert_eq!(packet.payload(), b"abc");
                assert_eq!(flow.cut_payload(2, 1), Err(EditError::Decided));
                flow.edit().unwrap().overwrite_payload(0, b"XYZ").unwrap();
            }
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![act]);
    for _ in 0..2 {
        let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"abc"));
        assert_eq!(left, Some(tcp4(CLIENT, ACK, (1, 1), b"ab+++")));
    }
    assert_eq!(middle.host.streams[0], b"abc");
}

/// Nobody but us can tell its sender that it has arrived.
#[test]
fn what_is_cut_is_acknowledged() {
    let cut: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == b"secret" && flow.fresh_from() == Some(0) {
            flow.cut_payload(0, 6).unwrap();
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![cut]);
    middle.pass(&tcp4(SERVER, ACK, (1, 1), b"")).unwrap();
    let left = middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"secret"));
    assert_eq!(left, Some(tcp4(CLIENT, ACK, (1, 1), b"")));
    let told = (true, tcp4(SERVER, ACK, (1, 7), b""));
    assert_eq!(middle.injected(), [told]);
    assert_eq!(middle.host.streams[0], b"secret");
    let next = middle.pass(&tcp4(CLIENT, ACK, (7, 1), b"plain"));
    assert_eq!(next, Some(tcp4(CLIENT, ACK, (1, 1), b"plain")));
}

/// The same segment with selective acknowledgments.
fn sacks(ack: u32, blocks: &[(u32, u32)]) -> Vec<u8> {
    let frame = tcp4(SERVER, ACK, (1, ack), b"");
    let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
    for (left, right) in blocks {
        options.extend((ISNS[0] + left).to_be_bytes());
        options.extend((ISNS[0] + right).to_be_bytes());
    }
    let window = u16::from_be_bytes([frame[48], frame[49]]);
    super::windows::with(&frame, &options, window)
}

#[test]
fn selective_acknowledgments_pass_both_translations() {
    let mut middle = editing(both());
    for (number, payload) in [b"a*", b"b-", b"cd", b"ef"].into_iter().enumerate() {
        middle
            .pass(&tcp4(CLIENT, ACK, (1 + 2 * number as u32, 1), payload))
            .unwrap();
    }
    // It has `b+++`, and `ef`: 4..8 and 10..12 as it counts.
    let left = middle.pass(&sacks(1, &[(4, 8), (10, 12)])).unwrap();
    let expected = sacks(1, &[(3, 5), (7, 9)]);
    assert_eq!(left[54..], expected[54..]);
    assert_eq!(left[38..46], expected[38..46]);
    // Three of the bytes that its window takes were added here.
    assert_eq!(left[48..50], 0x1ffd_u16.to_be_bytes());
}

/// Where an edit cannot be remembered, its segment does not go on, and what comes behind it waits for it.
#[test]
fn what_cannot_be_remembered_does_not_go_on() {
    let act: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == b"ab" {
            flow.edit().unwrap().overwrite_payload(0, b"X").unwrap();
        }
        Verdict::Forward
    });
    let mut middle = editing(vec![act]);
    let segment = |number: u32, payload: &[u8]| tcp4(CLIENT, ACK, (1 + 2 * number, 1), payload);
    let edits = limits::EDITS as u32;
    for number in 0..edits {
        let left = middle.pass(&segment(number, b"ab"));
        assert_eq!(left, Some(segment(number, b"Xb")));
    }
    assert_eq!(middle.pass(&segment(edits, b"ab")), None);
    assert_eq!(middle.shard.counters().edits_refused, 1);
    assert_eq!(middle.pass(&segment(edits + 1, b"cd")), None);
    assert_eq!(middle.shard.counters().held, 1);
    // All is acknowledged: there is room again.
    assert_eq!(heard(&mut middle, 1 + 2 * edits), 1 + 2 * edits);
    let left = middle.pass(&segment(edits, b"ab"));
    assert_eq!(left, Some(segment(edits, b"Xb")));
    assert_eq!(middle.injected(), [(false, segment(edits + 1, b"cd"))]);
    assert!(middle.host.streams[0].ends_with(b"ababcd"));
}

/// Nothing of a capture is sent on: nothing comes of it.
#[test]
fn captures_are_not_changed_onward() {
    let mut middle = editing(both());
    middle.shard.set_inline(false);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"a*b-c"));
    middle.pass(&tcp4(SERVER, ACK, (1, 6), b""));
    middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"d*"));
    middle.pass(&tcp4(SERVER, ACK, (1, 8), b""));
    middle.pass(&tcp4(CLIENT, ACK | FIN, (8, 1), b""));
    assert_eq!(middle.host.streams[0], b"a*b+++cd*");
    let counters = middle.shard.counters();
    assert_eq!((counters.gaps, counters.invalid_segments), (0, 0));
}

#[test]
fn injected_segments_have_the_numbers_of_their_receiver() {
    let tell: Act = Box::new(|flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == b"ef" {
            for to in Side::BOTH {
                flow.inject(to, Segment::default()).unwrap();
            }
            flow.reset().unwrap();
        }
        Verdict::Forward
    });
    let acts = both().into_iter().chain([tell]);
    let mut middle = editing(acts.collect());
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"a*b-")).unwrap();
    middle.pass(&tcp4(SERVER, ACK, (1, 8), b"s*")).unwrap();
    middle.pass(&tcp4(CLIENT, ACK, (5, 4), b"ef")).unwrap();
    let word = |frame: &[u8], at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
    let frames = middle.injected();
    let of = |back: bool, flags: TcpFlags| {
        let of_way = frames.iter().filter(move |(way, _)| *way == back);
        let of_kind =
            of_way.filter(move |(_, frame)| frame[47] & TcpFlags::RST.bits() == flags.bits());
        of_kind
            .map(|(_, frame)| (word(frame, 38), word(frame, 42)))
            .collect::<Vec<_>>()
    };
    let [client, server] = ISNS;
    // The server has sent two bytes, of which three went on; the client six, of which nine will have.
    assert_eq!(of(true, TcpFlags::empty()), [(server + 4, client + 5)]);
    assert_eq!(of(false, TcpFlags::empty()), [(client + 10, server + 3)]);
    let resets = of(false, TcpFlags::RST);
    for expected in [8, 10] {
        let is_there = resets.iter().any(|(seq, _)| *seq == client + expected);
        assert!(is_there, "{expected}: {resets:?}");
    }
    let resets = of(true, TcpFlags::RST);
    assert!(resets.iter().any(|(seq, _)| *seq == server + 4));
}

/// What a callback sends goes by what the same callback has made of the packet at hand.
#[test]
fn injected_segments_stand_behind_what_their_callback_has_changed() {
    let word = |frame: &[u8], at: usize| u32::from_be_bytes(*frame[at..].first_chunk().unwrap());
    for (at, to) in [
        (Hook::Send, "<===>"),
        (Hook::Receive, "<===>"),
        (Hook::Receive, ""),
    ] {
        let act: Act = Box::new(move |flow, packet, hook| {
            if hook == at && packet.payload() == b"e*f" {
                flow.replace_payload(1, 1, to.as_bytes()).unwrap();
                if hook == Hook::Receive {
                    flow.inject(Side::Server, Segment::default()).unwrap();
                }
                flow.reset().unwrap();
            }
            Verdict::Forward
        });
        let mut middle = editing(vec![act]);
        middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"e*f")).unwrap();
        let end = ISNS[0] + 3 + u32::try_from(to.len()).unwrap();
        let frames = middle.injected();
        let of = |is_reset: bool| {
            let of_way = frames.iter().filter(|(back, _)| !back);
            let of_kind =
                of_way.filter(|(_, frame)| (frame[47] & TcpFlags::RST.bits() != 0) == is_reset);
            of_kind
                .map(|(_, frame)| word(frame, 38))
                .collect::<Vec<_>>()
        };
        assert!(of(true).contains(&end), "{at:?} {to}: {frames:?}");
        if at == Hook::Receive {
            assert_eq!(of(false), [end], "{to}");
        }
    }
}

/// A side that does without its order: what is changed ahead of its turn is changed in that packet, and moves nothing.
#[test]
fn what_comes_ahead_is_not_remembered() {
    for hook in [Hook::Send, Hook::Receive] {
        let act = move |flow: &mut FlowContext<'_>, payload: &[u8], now: Hook| {
            flow.edit_stream(Side::Client, false);
            if now == hook && payload == b"world" {
                assert_eq!(flow.cut_payload(0, 1), Err(EditError::Decided));
                flow.edit().unwrap().overwrite_payload(0, b"W").unwrap();
            }
            Verdict::Forward
        };
        let act: Act = Box::new(move |flow, packet, now| act(flow, packet.payload(), now));
        let mut middle = editing(vec![act]);
        let ahead = middle.pass(&tcp4(CLIENT, ACK, (6, 1), b"world"));
        assert_eq!(ahead, Some(tcp4(CLIENT, ACK, (6, 1), b"World")));
        let first = tcp4(CLIENT, ACK, (1, 1), b"hello");
        assert_eq!(middle.pass(&first), Some(first), "{hook:?}");
    }
}
