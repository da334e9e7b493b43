use super::fixture::{Bench, CLIENT, ISN, SERVER, letters};
use crate::actor::{ActorId, FlowContext, Host, MonitorId, PacketView, PeekError, StreamInfo};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::flow::Proto;
use crate::shard::ShardConfig;
use crate::wire::{Encapsulation, Packet, Transport};
use std::vec::Vec;

/// Notes what is known of the side that sent each packet, takes some bytes at each event, and peeks in every way.
#[derive(Default)]
struct Curious {
    held: Vec<Vec<(u64, u64)>>,
    info: Vec<StreamInfo>,
    faults: Vec<PeekError>,
    takes: usize,
    closes_side: bool,
}

impl Host for Curious {
    fn on_packet(
        &mut self,
        _: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        let side = packet.sender;
        match (flow.held(side), flow.stream_info(side)) {
            (Ok(held), Ok(info)) => {
                let held: Vec<_> = held.map(|run| (run.offset, run.len)).collect();
                for (offset, len) in &held {
                    let mut into = std::vec![0; usize::try_from(*len).unwrap() + 1];
                    let read = flow.peek_at(side, *offset, &mut into);
                    assert_eq!(
                        read,
                        Ok(into.len() - 1),
                        "the whole run and nothing behind it"
                    );
                }
                self.held.push(held);
                self.info.push(info);
            }
            (held, info) => self
                .faults
                .extend([held.err(), info.err()].into_iter().flatten()),
        }
        self.faults.extend(flow.peek(side, |_| 0).err());
        if core::mem::take(&mut self.closes_side) {
            flow.stop_side(side);
        }
        Verdict::Forward
    }

    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        if let Event::NewData(side) = event {
            self.faults.extend(flow.peek(side, |_| self.takes).err());
        }
    }
}

fn monitor(bench: &mut Bench, events: EventSet) -> MonitorId {
    let mut start = bench.start(0);
    let builder = start.monitor_stream(None).packets(Hook::Receive);
    builder.on(Hook::End, events).open().unwrap()
}

fn burst(bench: &mut Bench, host: &mut Curious, segments: &[(Side, u32, &str)]) {
    let segments: Vec<_> = segments
        .iter()
        .map(|(side, seq, text)| bench.segment(*side, letters("A"), *seq, 1, text.as_bytes()))
        .collect();
    let (packets, bytes): (Vec<Packet>, Vec<&[u8]>) =
        segments.iter().map(|(p, b)| (*p, &b[..])).unzip();
    bench
        .shard
        .handle_burst(&packets, &bytes, &[Encapsulation::default()], host);
}

#[test]
fn what_is_held_and_how_far_a_stream_has_come() {
    let mut bench = Bench::without_actors(ShardConfig::default());
    monitor(&mut bench, EventSet::NEW_DATA);
    let mut host = Curious {
        takes: 2,
        ..Curious::default()
    };
    let steps = [(CLIENT, 1, "abcd"), (CLIENT, 5, "ef"), (CLIENT, 10, "jk")];
    burst(&mut bench, &mut host, &steps);
    let expected = [
        [(0, 4)].to_vec(),
        [(0, 6)].to_vec(),
        [(0, 6), (9, 2)].to_vec(),
    ];
    assert_eq!(host.held, expected);
    let info = StreamInfo {
        initial: Some(ISN[0]),
        read: Some(0),
        expected: 6,
        received: 11,
    };
    assert_eq!(host.info[2], info);
    // Two were taken; the hole is filled but for one byte, then altogether.
    host.held.clear();
    burst(
        &mut bench,
        &mut host,
        &[(CLIENT, 7, "gh"), (CLIENT, 9, "i")],
    );
    assert_eq!(host.held, [[(2, 6), (9, 2)].to_vec(), [(2, 9)].to_vec()]);
    let info = StreamInfo {
        read: Some(2),
        expected: 11,
        ..info
    };
    assert_eq!(host.info[4], info);
    // The other side has sent nothing before; its number is known from the acknowledgments.
    burst(&mut bench, &mut host, &[(SERVER, 1, "")]);
    let nothing = StreamInfo {
        initial: Some(ISN[1]),
        read: Some(0),
        expected: 0,
        received: 0,
    };
    assert_eq!(host.info[5], nothing);
    assert!(host.held[2].is_empty());
}

#[test]
fn every_fault_of_a_peek_is_met() {
    let mut bench = Bench::without_actors(ShardConfig {
        side_bytes_max: 4,
        out_of_order_bytes_max: 4,
        ..ShardConfig::default()
    });
    let reader = monitor(&mut bench, EventSet::NEW_DATA);
    let mut host = Curious::default();
    burst(&mut bench, &mut host, &[(CLIENT, 1, "")]);
    assert_eq!(core::mem::take(&mut host.faults), [PeekError::NoData]);
    burst(&mut bench, &mut host, &[(CLIENT, 1, "abcdef")]);
    assert_eq!(core::mem::take(&mut host.faults), []);
    host.closes_side = true;
    burst(&mut bench, &mut host, &[(CLIENT, 7, "")]);
    assert_eq!(core::mem::take(&mut host.faults), [PeekError::Lost(2)]);
    burst(&mut bench, &mut host, &[(CLIENT, 7, "x")]);
    assert_eq!(core::mem::take(&mut host.faults), [PeekError::NoBuffer]);
    let (mut datagram, bytes) = bench.segment(CLIENT, letters(""), 1, 1, b"d");
    let (key, direction) = crate::flow::FlowKey::v4(1, 2, 3, 4, Proto::UDP, 0);
    (datagram.key, datagram.direction) = (key, direction);
    datagram.transport = Transport::Other;
    let layers = [Encapsulation::default()];
    bench
        .shard
        .handle_burst(&[datagram], &[&bytes], &layers, &mut host);
    assert_eq!(core::mem::take(&mut host.faults), [PeekError::NotStream; 3]);
    bench.start(0).close(reader).unwrap();
    monitor(&mut bench, EventSet::empty());
    bench.port += 1;
    burst(&mut bench, &mut host, &[(CLIENT, 1, "y")]);
    assert_eq!(host.faults, [PeekError::NotReader]);
    assert_eq!(host.info.last().unwrap().read, None);
}
