//! Packets whose checksum their sender left to a network card: what is changed of them leaves complete, and what is not as it
//! came.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::edits::{Act, Middle, endpoint, tcp4, words};
use super::fixture::{CLIENT, SERVER};
use crate::actor::Translation;
use crate::event::{Hook, Verdict};
use crate::shard::ShardConfig;
use crate::wire::testing::Bench as Entrance;
use crate::wire::{Checksums, TcpFlags, WireConfig};

const ACK: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;

/// A frame of [`tcp4`] as its sender gives it to the network card: with the sum of the pseudo-header alone.
fn unfinished(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let len = u32::try_from(frame.len() - 34).unwrap();
    let pseudo = words(&frame[26..34], 6 + len);
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    frame
}

/// A connection in which a segment comes before its turn, and one twice.
fn connection() -> Vec<Vec<u8>> {
    vec![
        tcp4(CLIENT, SYN, (0, 0), b""),
        tcp4(SERVER, SYN | ACK, (0, 1), b""),
        tcp4(CLIENT, ACK, (1, 1), b""),
        tcp4(CLIENT, ACK, (1, 1), b"ab-cd"),
        tcp4(SERVER, ACK, (1, 6), b""),
        tcp4(CLIENT, ACK, (8, 1), b"x-yz"),
        tcp4(CLIENT, ACK, (6, 1), b"-f"),
        tcp4(SERVER, ACK, (1, 12), b"answer-"),
        tcp4(CLIENT, ACK, (1, 1), b"ab-cd-fx"),
        tcp4(CLIENT, ACK | TcpFlags::FIN, (12, 8), b""),
    ]
}

/// Passes the connection twice, finished and not; how many packets left changed.
fn compare(make: &dyn Fn() -> Middle) -> usize {
    let (mut finished, mut other) = (make(), make());
    other.entrance = Entrance::new(WireConfig {
        checksums: Checksums::Verify,
        unfinished_checksums: true,
        ..WireConfig::default()
    });
    let mut changed = 0;
    for frame in connection() {
        let came = unfinished(&frame);
        let (expected, left) = (finished.pass(&frame), other.pass(&came));
        if expected.as_ref() == Some(&frame) {
            assert!(left == Some(came) || left == Some(frame));
        } else {
            assert_eq!(left, expected);
            changed += usize::from(left.is_some());
        }
        let besides = [&finished, &other].map(|middle| {
            let frames = middle.shard.injected();
            frames.map(|frame| frame.bytes.to_vec()).collect::<Vec<_>>()
        });
        assert_eq!(besides[0], besides[1]);
        changed += besides[0].len();
    }
    changed
}

#[test]
fn what_is_written_over() {
    for at in [Hook::Send, Hook::Receive] {
        let make = || {
            let act: Act = Box::new(move |flow, packet, hook| {
                if hook == at && packet.payload().len() > 2 {
                    let mut edit = flow.edit().unwrap();
                    edit.overwrite_payload(1, b"?").unwrap();
                    edit.set_ttl(7).unwrap();
                }
                Verdict::Forward
            });
            Middle::new(vec![act])
        };
        assert_eq!(compare(&make), 4, "{at:?}");
    }
}

#[test]
fn what_gets_another_length_or_waits() {
    let make = |insert: &'static [u8]| {
        let act: Act = Box::new(move |flow, packet, hook| {
            if let (Hook::Send, Some(from)) = (hook, flow.fresh_from())
                && let Some(at) = packet.payload()[from..].iter().position(|b| *b == b'-')
            {
                flow.replace_payload(from + at, 1, insert).unwrap();
            }
            Verdict::Forward
        });
        Middle::editing(ShardConfig::default(), vec![act])
    };
    assert!(compare(&|| make(b"+++")) >= 6);
    assert!(compare(&|| make(b"")) >= 6);
    assert!(compare(&|| make(&[b'x'; 2000])) >= 6, "split");
}

#[test]
fn what_is_translated() {
    let make = || {
        let act: Act = Box::new(|flow, packet, hook| {
            if hook == Hook::Send && packet.sender == CLIENT && flow.translation().is_none() {
                let translation = Translation {
                    client: Some(endpoint([203, 0, 113, 9], 1234, false)),
                    ..Translation::default()
                };
                flow.translate(translation).unwrap();
            }
            Verdict::Forward
        });
        Middle::new(vec![act])
    };
    assert!(compare(&make) >= 7);
}
