//! Edited streams whose senders have much under way: windows that end where nothing more may wait, and what has waited going on
//! little by little.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::edits::{Act, Middle, open, reseal_ip, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::Segment;
use crate::event::{Hook, Side, Verdict};
use crate::limits;
use crate::shard::ShardConfig;
use crate::wire::TcpFlags;
use crate::wire::testing::{ipv4, join, seal};

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;
const MSS: u16 = 1460;
const SCALE: u8 = 8;

fn idle() -> Act {
    Box::new(|_, _, _| Verdict::Forward)
}

/// The same segment with options, a multiple of four bytes, and another window.
pub(super) fn with(frame: &[u8], options: &[u8], window: u16) -> Vec<u8> {
    let mut segment = join(&[&frame[34..54], options, &frame[54..]]);
    segment[12] += u8::try_from(options.len() / 4).unwrap() << 4;
    segment[14..16].copy_from_slice(&window.to_be_bytes());
    let addresses = frame[26..34].to_vec();
    seal(&mut segment, 16, &addresses, 6);
    let mut packet = ipv4(6, &segment);
    packet[12..20].copy_from_slice(&addresses);
    reseal_ip(&mut packet);
    join(&[&frame[..14], &packet])
}

/// A connection with scaled windows.
fn scaled(act: Act) -> Middle {
    let mut middle = Middle::editing(ShardConfig::default(), vec![act]);
    let mss = MSS.to_be_bytes();
    let options = [2, 4, mss[0], mss[1], 1, 3, 3, SCALE];
    for (from, flags, ack) in [(CLIENT, SYN, 0), (SERVER, SYN | ACK, 1)] {
        let frame = with(&tcp4(from, flags, (0, ack), b""), &options, u16::MAX);
        assert_eq!(middle.pass(&frame), Some(frame));
    }
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"")).unwrap();
    middle
}

/// What the client hears of a window of the server.
fn offered(middle: &mut Middle, ack: u32, window: u16) -> u16 {
    let frame = with(&tcp4(SERVER, ACK, (1, ack), b""), &[], window);
    let left = middle.pass(&frame).unwrap();
    let field = u16::from_be_bytes([left[48], left[49]]);
    assert_eq!(left, with(&frame, &[], field), "another window, no more");
    field
}

#[test]
fn windows_end_where_nothing_more_may_wait() {
    let mut middle = scaled(idle());
    let (unit, mss) = (1 << SCALE, u32::from(MSS));
    let may_wait = limits::HELD_SEGMENTS as u32 / 2 * mss;
    let whole = offered(&mut middle, 1, u16::MAX);
    let edge = 1 + u32::from(whole) * unit;
    assert!((may_wait - unit..=may_wait + 1).contains(&edge), "{edge}");
    // Smaller ones stay.
    assert_eq!(offered(&mut middle, 1, 100), 100);
    // The right edge moves by whole segments,
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), &[b'.'; 1000]));
    let field = offered(&mut middle, 1001, u16::MAX);
    let kept = 1001 + u32::from(field) * unit;
    assert!(kept.abs_diff(edge) < unit, "{kept} after {edge}");
    middle.pass(&tcp4(CLIENT, ACK, (1001, 1), &[b'.'; 1000]));
    let field = offered(&mut middle, 2001, u16::MAX);
    let moved = 2001 + u32::from(field) * unit;
    assert!(
        (moved - edge).abs_diff(2000) <= unit,
        "{moved} after {edge}"
    );
    // and not where the receiver only repeats itself, which its sender must see.
    middle.pass(&tcp4(CLIENT, ACK, (2001, 1), &[b'.'; 1460]));
    middle.pass(&tcp4(CLIENT, ACK, (3461, 1), &[b'.'; 1460]));
    assert_eq!(offered(&mut middle, 2001, u16::MAX), field);
}

#[test]
fn windows_stay_where_nothing_waits() {
    let off: Act = Box::new(|flow, _, _| {
        flow.edit_stream(Side::Client, false);
        Verdict::Forward
    });
    let mut middle = scaled(off);
    assert_eq!(offered(&mut middle, 1, u16::MAX), u16::MAX);
    let mut unscaled = Middle::editing(ShardConfig::default(), vec![idle()]);
    open(&mut unscaled);
    assert_eq!(offered(&mut unscaled, 1, u16::MAX), u16::MAX);
}

/// What has waited behind a hole is more than a burst has room for: the acknowledgment of its beginning takes the rest along.
#[test]
fn what_waited_goes_on_little_by_little() {
    let many = limits::INJECTED as u32 * 3 / 4;
    let tells: Act = Box::new(move |flow, packet, hook| {
        if hook == Hook::Receive && packet.payload() == [b'0' + (many % 10) as u8; 2] {
            flow.inject(SERVER, Segment::default()).unwrap();
        }
        Verdict::Forward
    });
    let mut middle = Middle::editing(ShardConfig::default(), vec![tells]);
    open(&mut middle);
    let segment = |number: u32| {
        let digit = b'0' + if number == many { many % 10 } else { 10 } as u8;
        tcp4(CLIENT, ACK, (1 + 2 * number, 1), &[digit; 2])
    };
    for number in 1..=many {
        assert_eq!(middle.pass(&segment(number)), None);
    }
    assert_eq!(middle.pass(&segment(0)), Some(segment(0)));
    let first: Vec<_> = middle.injected();
    assert!((1..many as usize).contains(&first.len()));
    middle.pass(&tcp4(SERVER, ACK, (1, 3), b"")).unwrap();
    let mut rest = middle.injected();
    // An actor sends something with the last one.
    let (back, made) = rest.remove(rest.len() - 2);
    assert!(back);
    let last = segment(many);
    assert_eq!(made[..12], last[..12], "the way of the client's packets");
    assert_eq!(made[26..38], last[26..38]);
    let gone = first.into_iter().map(|frame| (false, frame));
    let gone = gone.chain(rest.into_iter().map(|frame| (true, frame)));
    let expected = (1..=many).map(segment);
    let mut number = 0;
    for ((crosses, (back, frame)), segment) in gone.zip(expected) {
        assert_eq!(back, crosses);
        assert_eq!(frame, segment);
        number += 1;
    }
    assert_eq!(number, many);
    assert_eq!(middle.shard.counters().edits_no_room, 0);
}
