//! The faults of opening, closing and peeking, each provoked, with the error number that the reference's pages have for it;
//! and looking back into a stream without copying.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use super::fixture::{Bench, CLIENT, SERVER, Seen, letters};
use crate::actor::{ActorId, FlowContext, Host, MonitorId, OpenError, PacketView, PeekError};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::flow::Proto;
use crate::limits;
use crate::shard::ShardConfig;
use crate::wire::{Packet, Transport};

/// Calls what a test has at each packet, at `Receive`, and at the end of each burst with new data.
pub(super) struct Ask<F>(pub(super) F);

impl<F: FnMut(&mut FlowContext<'_>)> Host for Ask<F> {
    fn on_packet(
        &mut self,
        _: ActorId,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        (self.0)(flow);
        Verdict::Forward
    }

    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, _: Event) {
        (self.0)(flow);
    }
}

/// A shard with one reader that sees packets as well.
fn bench() -> (Bench, MonitorId) {
    let mut bench = Bench::without_actors(ShardConfig::default());
    // For the handshake, which nobody asks about.
    bench.host.0.push(Seen::default());
    let reader = bench
        .start(0)
        .monitor_stream(None)
        .packets(Hook::Receive)
        .on(Hook::End, EventSet::NEW_DATA)
        .open()
        .unwrap();
    (bench, reader)
}

fn send(bench: &mut Bench, segment: (Packet, Vec<u8>), ask: impl FnMut(&mut FlowContext<'_>)) {
    let layers = [Default::default()];
    bench
        .shard
        .handle_burst(&[segment.0], &[&segment.1], &layers, &mut Ask(ask));
}

/// What looking into `side` at `offset` says, in both forms, after one segment.
fn fault(bench: &mut Bench, segment: (Packet, Vec<u8>), side: Side, offset: u64) -> PeekError {
    let mut faults = Vec::new();
    send(bench, segment, |flow| {
        let lent = flow.peek_at_with(side, offset, 4, |_| ());
        let copied = flow.peek_at(side, offset, &mut [0; 4]);
        assert_eq!(lent.err(), copied.err());
        faults.extend(lent.err());
    });
    *faults.first().expect("it fails")
}

#[test]
fn opening_fails_with_einval_and_enfile() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    let early = bench
        .start(0)
        .monitor_stream(None)
        .on(Hook::Send, EventSet::NEW_DATA)
        .open();
    assert_eq!(early.map_err(OpenError::errno), Err("EINVAL"));
    for _ in 0..limits::MONITORS {
        bench.start(0).monitor_raw(None).open().unwrap();
    }
    let one_more = bench.start(0).monitor_stream(None).open();
    assert_eq!(one_more.map_err(OpenError::errno), Err("ENFILE"));
}

#[test]
fn a_peek_before_the_connection_is_established_is_enotconn() {
    let (mut bench, _) = bench();
    let syn = bench.segment(CLIENT, letters("S"), 0, 0, b"");
    let error = fault(&mut bench, syn, CLIENT, 0);
    assert_eq!(
        (error, error.errno()),
        (PeekError::NotConnected, "ENOTCONN")
    );
    // What a SYN brings can be read all the same.
    let answer = bench.segment(SERVER, letters("SA"), 0, 1, b"early");
    let mut read = Vec::new();
    send(&mut bench, answer, |flow| {
        assert_eq!(flow.peek(CLIENT, |_| 0), Err(PeekError::NotConnected));
        let early = flow.peek_at_with(SERVER, 1, 9, |chunks| chunks.flatten().copied().collect());
        read.push(early);
    });
    assert_eq!(read, [Ok(b"arly".to_vec()), Ok(b"arly".to_vec())]);
}

#[test]
fn a_peek_where_nothing_is_held_is_enodata() {
    let (mut bench, _) = bench();
    bench.open();
    let data = bench.segment(CLIENT, letters("A"), 1, 1, b"data");
    let error = fault(&mut bench, data, CLIENT, 4);
    assert_eq!((error, error.errno()), (PeekError::NoData, "ENODATA"));
    let more = bench.segment(CLIENT, letters("A"), 5, 1, b"data");
    assert_eq!(fault(&mut bench, more, SERVER, 0), PeekError::NoData);
}

#[test]
fn a_peek_of_a_side_without_buffer_is_einval() {
    let (mut bench, _) = bench();
    bench.open();
    let data = bench.segment(CLIENT, letters("A"), 1, 1, b"data");
    send(&mut bench, data, |flow| flow.stop_side(CLIENT));
    let more = bench.segment(CLIENT, letters("A"), 5, 1, b"more");
    let error = fault(&mut bench, more, CLIENT, 4);
    assert_eq!((error, error.errno()), (PeekError::NoBuffer, "EINVAL"));
}

#[test]
fn a_peek_into_what_is_no_stream_is_esocktnosupport() {
    let (mut bench, _) = bench();
    let mut datagram = bench.segment(CLIENT, letters(""), 1, 1, b"data");
    let (key, direction) = crate::flow::FlowKey::v4(1, 2, 3, 4, Proto::UDP, 0);
    (datagram.0.key, datagram.0.direction) = (key, direction);
    datagram.0.transport = Transport::Other;
    let error = fault(&mut bench, datagram, CLIENT, 0);
    let expected = (PeekError::NotStream, "ESOCKTNOSUPPORT");
    assert_eq!((error, error.errno()), expected);
}

#[test]
fn a_peek_through_a_closed_monitor_is_ebadf() {
    let (mut bench, reader) = bench();
    bench.open();
    let data = bench.segment(CLIENT, letters("A"), 1, 1, b"data");
    let mut calls = 0;
    send(&mut bench, data, |flow| {
        calls += 1;
        flow.close(reader).unwrap();
        assert_eq!(
            flow.close(reader).map_err(|error| error.errno()),
            Err("EBADF")
        );
        let errors = [
            flow.peek(CLIENT, |_| 0).unwrap_err(),
            flow.peek_at(CLIENT, 0, &mut [0; 4]).unwrap_err(),
        ];
        assert_eq!(errors, [PeekError::Closed; 2]);
        assert_eq!((errors[0].errno(), flow.unread(CLIENT)), ("EBADF", 0));
    });
    assert_eq!(calls, 1);
}

/// The byte of a stream at an offset.
fn byte(offset: u64) -> u8 {
    b'a' + (offset % 23) as u8
}

proptest! {
    /// From every offset: the run of bytes that has come, up to what was asked for, as often as one looks.
    #[test]
    fn looking_back_lends_what_is_there_and_moves_nobody(
        segments in proptest::collection::vec((0..60_u64, 1..20_u64), 1..12),
        len in 0..30_u64,
        taken in 0..6_usize,
    ) {
        let (mut bench, _) = bench();
        bench.open();
        let mut come = BTreeMap::new();
        for (start, count) in segments {
            come.extend((start..start + count).map(|offset| (offset, byte(offset))));
            let bytes: Vec<u8> = (start..start + count).map(byte).collect();
            let segment = bench.segment(CLIENT, letters("A"), 1 + start as u32, 1, &bytes);
            let mut read_to = 0;
            send(&mut bench, segment, |flow| {
                let read = flow.stream_info(CLIENT).unwrap().read;
                for offset in 0..90 {
                    let held = flow.held(CLIENT).unwrap().any(|run| {
                        (run.offset..run.offset + run.len).contains(&offset)
                    });
                    // Bytes that were read may be gone.
                    assert!(held || !come.contains_key(&offset) || Some(offset) < read);
                    let lent: Result<Vec<u8>, _> = flow.peek_at_with(CLIENT, offset, len, |chunks| {
                        assert_eq!(chunks.offset(), offset);
                        let remaining = chunks.remaining();
                        let bytes: Vec<u8> = chunks.flatten().copied().collect();
                        assert_eq!(bytes.len() as u64, remaining);
                        bytes
                    });
                    let expected: Vec<u8> = (offset..offset + len)
                        .map_while(|offset| come.get(&offset).copied())
                        .collect();
                    if held && len > 0 {
                        assert_eq!(lent.as_deref(), Ok(&expected[..]));
                    } else {
                        assert_eq!(lent, Err(PeekError::NoData));
                    }
                    let mut copy = [0; 30];
                    let copied = flow.peek_at(CLIENT, offset, &mut copy[..len as usize]);
                    assert_eq!(copied.ok(), lent.ok().map(|bytes| bytes.len()));
                }
                assert_eq!(flow.stream_info(CLIENT).unwrap().read, read);
                read_to = read.unwrap();
                let _ = flow.peek(CLIENT, |_| taken);
            });
        }
    }
}
