//! Segments of our own: to whom they go, and what they say.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::edits::{ADDRESSES, Act, ISNS, Middle, PORTS, open, tcp4};
use super::fixture::{CLIENT, SERVER};
use crate::actor::{FlowContext, InjectError, Segment};
use crate::event::{EndReason, Event, EventSet, Hook, Side, Verdict};
use crate::flow::Direction;
use crate::shard::ShardConfig;
use crate::wire::testing::{Bench as Entrance, OneFrame, ethernet, ipv4, join, udp};
use crate::wire::{TcpFlags, Transport};
use mosaic_port::LinkType;

const ACK: TcpFlags = TcpFlags::ACK;
const RST: TcpFlags = TcpFlags::RST;
const SYN: TcpFlags = TcpFlags::SYN;
const FIN: TcpFlags = TcpFlags::FIN;

/// What a segment says: to whom it goes, flags, numbers relative to the initial ones of its sender and receiver, payload.
type Said = (Side, TcpFlags, u32, u32, Vec<u8>);

/// Does `act` where a packet holds `payload`, at `hook`.
fn on(
    payload: &'static [u8],
    hook: Hook,
    verdict: Verdict,
    mut act: impl FnMut(&mut FlowContext<'_>) + 'static,
) -> Act {
    Box::new(move |flow, packet, now| {
        if packet.payload() != payload || now != hook {
            return Verdict::Forward;
        }
        act(flow);
        verdict
    })
}

/// What was sent besides the packet from `sender`; every frame is right in itself: checksums, ends, hardware addresses.
fn said(middle: &Middle, sender: Side) -> Vec<Said> {
    let injected = middle.injected();
    injected
        .iter()
        .map(|(back, frame)| {
            let to = if *back { sender } else { sender.other() };
            let mut entrance = Entrance::verifying();
            let packet = entrance
                .frame(OneFrame::new(LinkType::ETHERNET, frame))
                .unwrap();
            let from = to.other() as usize;
            let source = packet.key.source(packet.direction);
            assert_eq!(
                (source.addr, source.port),
                (ADDRESSES[from].into(), PORTS[from])
            );
            let up = packet.direction == Direction::Up;
            assert_eq!(up, to == SERVER);
            let hardware = if to == SERVER { [1, 2] } else { [2, 1] };
            assert_eq!([frame[5], frame[11]], hardware, "destination and source");
            assert!(frame.len() >= 60);
            let Transport::Tcp {
                seq, ack, flags, ..
            } = packet.transport
            else {
                panic!("{packet:?}")
            };
            let end = packet.payload_at as usize + packet.payload_len as usize;
            (
                to,
                flags,
                seq.wrapping_sub(ISNS[from]),
                ack.wrapping_sub(ISNS[to as usize]),
                frame[packet.payload_at as usize..end].to_vec(),
            )
        })
        .collect()
}

#[test]
fn a_segment_has_the_numbers_of_the_connection() {
    for (sender, numbers) in [(CLIENT, (1, 1)), (SERVER, (1, 1))] {
        for to in Side::BOTH {
            let act = on(b"hello", Hook::Receive, Verdict::Forward, move |flow| {
                let segment = Segment {
                    payload: b"probe",
                    ..Segment::default()
                };
                flow.inject(to, segment).unwrap();
            });
            let mut middle = Middle::new(vec![act]);
            open(&mut middle);
            middle.pass(&tcp4(sender, ACK, numbers, b"hello")).unwrap();
            // The receiver has the hello by now; nobody has acknowledged it.
            let seq = if to == sender { 1 } else { 6 };
            assert_eq!(
                said(&middle, sender),
                [(to, ACK, seq, 1, b"probe".to_vec())]
            );
        }
    }
}

#[test]
fn an_ip_packet_goes_as_it_is() {
    let packet = ipv4(17, &udp(1, 2, b"other"));
    let sent = packet.clone();
    let act = on(b"hello", Hook::Send, Verdict::Drop, move |flow| {
        flow.inject_packet(SERVER, &sent).unwrap();
        flow.inject_packet(CLIENT, &sent).unwrap();
        for wrong in [&sent[..19], &[0x60; 40][..]] {
            assert_eq!(
                flow.inject_packet(CLIENT, wrong),
                Err(InjectError::BadPacket)
            );
        }
    });
    let mut middle = Middle::new(vec![act]);
    open(&mut middle);
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")), None);
    let [(false, on), (true, back)] = &middle.injected()[..] else {
        panic!("one each way")
    };
    let plain = ethernet(0x0800, &packet);
    assert_eq!(on[..plain.len()], plain);
    assert!(on[plain.len()..].iter().all(|byte| *byte == 0) && on.len() == 60);
    assert_eq!(back[14..plain.len()], plain[14..]);
    assert_eq!((&back[..6], &back[6..12]), (&plain[6..12], &plain[..6]));
}

#[test]
fn both_ends_get_resets_with_every_number_they_may_expect() {
    let act = on(b"bad", Hook::Receive, Verdict::Drop, |flow| {
        flow.reset().unwrap()
    });
    let mut middle = Middle::new(vec![act]);
    open(&mut middle);
    // Data of the server that is under way.
    middle.pass(&tcp4(SERVER, ACK, (1, 1), b"hello")).unwrap();
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"bad")), None);
    let said = said(&middle, CLIENT);
    let seqs = |to| -> Vec<u32> {
        let mut seqs: Vec<_> = said
            .iter()
            .filter(|said| said.0 == to)
            .map(|said| said.2)
            .collect();
        seqs.sort_unstable();
        seqs
    };
    assert!(said.iter().all(|said| said.1 == RST | ACK));
    assert_eq!(seqs(CLIENT), [1, 6], "without and with what is under way");
    assert_eq!(seqs(SERVER), [1, 4], "without and with the packet at hand");
    assert_eq!(
        middle.host.events.last(),
        Some(&Event::ConnEnd(EndReason::Reset))
    );
}

#[test]
fn a_syn_is_reset_in_the_way_that_counts_there() {
    for hook in [Hook::Send, Hook::Receive] {
        let act = on(b"", hook, Verdict::Drop, |flow| flow.reset().unwrap());
        let mut middle = Middle::new(vec![act]);
        assert_eq!(middle.pass(&tcp4(CLIENT, SYN, (0, 0), b"")), None);
        let said = said(&middle, CLIENT);
        let of_client: Vec<_> = said.iter().filter(|said| said.0 == CLIENT).collect();
        let [(_, flags, _, ack, _)] = of_client[..] else {
            panic!("{said:?}")
        };
        assert_eq!((*flags, *ack), (RST | ACK, 1), "it acknowledges the SYN");
        let of_server = said.iter().filter(|said| said.0 == SERVER);
        assert!(of_server.clone().all(|said| said.2 == 1));
        assert_eq!(of_server.count(), if hook == Hook::Send { 0 } else { 1 });
    }
}

#[test]
fn at_the_end_of_a_burst_the_last_packet_lends_its_link_layer() {
    #[derive(Default)]
    struct Resets(Vec<Result<(), InjectError>>);
    impl crate::actor::Host for Resets {
        fn on_packet(
            &mut self,
            _: crate::actor::ActorId,
            _: &mut FlowContext<'_>,
            _: &crate::actor::PacketView<'_>,
            _: Hook,
        ) -> Verdict {
            Verdict::Forward
        }
        fn on_event(&mut self, _: crate::actor::ActorId, flow: &mut FlowContext<'_>, event: Event) {
            if let Event::NewData(_) = event {
                self.0.push(flow.reset());
            }
        }
        fn on_removed(&mut self, _: crate::actor::ActorId, flow: &mut FlowContext<'_>) {
            self.0.push(flow.inject(CLIENT, Segment::default()));
        }
    }
    let mut middle = Middle::new(vec![Box::new(|_, _, _| Verdict::Forward)]);
    open(&mut middle);
    let frame = tcp4(CLIENT, ACK, (1, 1), b"bad");
    let one = OneFrame {
        timestamp: 2_000_000_000,
        ..OneFrame::new(LinkType::ETHERNET, &frame)
    };
    let packet = middle.entrance.frame(one).unwrap();
    let mut host = Resets::default();
    let layers = [crate::wire::Encapsulation::default()];
    middle
        .shard
        .handle_burst(&[packet], &[&frame], &layers, &mut host);
    assert_eq!(host.0, [Ok(())]);
    let said = said(&middle, CLIENT);
    assert!(
        said.contains(&(SERVER, RST | ACK, 4, 1, vec![])),
        "{said:?}"
    );
    assert!(
        said.contains(&(CLIENT, RST | ACK, 1, 1, vec![])),
        "{said:?}"
    );
    middle.shard.finish(&mut host);
    assert_eq!(host.0[1], Err(InjectError::NoPacket));
}

/// Where nobody sees packets, too.
#[test]
fn a_reader_resets_what_it_reads() {
    struct Resets(Vec<Result<(), InjectError>>);
    impl crate::actor::Host for Resets {
        fn on_event(&mut self, _: crate::actor::ActorId, flow: &mut FlowContext<'_>, _: Event) {
            self.0.push(flow.reset());
        }
    }
    let mut middle = Middle::new(vec![]);
    let mut shard = middle.shard.start_actor(crate::actor::ActorId(0));
    let monitor = shard.monitor_stream(None);
    monitor.on(Hook::End, EventSet::NEW_DATA).open().unwrap();
    open(&mut middle);
    let frame = tcp4(CLIENT, ACK, (1, 1), b"bad");
    let packet = middle.entrance.frame(OneFrame {
        timestamp: 2_000_000_000,
        ..OneFrame::new(LinkType::ETHERNET, &frame)
    });
    let mut host = Resets(Vec::new());
    let layers = [crate::wire::Encapsulation::default()];
    middle
        .shard
        .handle_burst(&[packet.unwrap()], &[&frame], &layers, &mut host);
    assert_eq!(host.0, [Ok(())]);
    let said = said(&middle, CLIENT);
    assert!(
        said.contains(&(SERVER, RST | ACK, 4, 1, vec![])),
        "{said:?}"
    );
}

#[test]
fn a_client_is_answered_until_it_has_closed() {
    let page: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
    let sent = page.clone();
    let act = on(b"GET", Hook::Receive, Verdict::Drop, move |flow| {
        let long = vec![0; 100_000];
        assert_eq!(flow.answer(&long), Err(InjectError::Window));
        flow.answer(&sent).unwrap();
    });
    let mut middle = Middle::new(vec![act]);
    open(&mut middle);
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"GET")), None);
    let said_now = said(&middle, CLIENT);
    let of_client: Vec<&Said> = said_now.iter().filter(|said| said.0 == CLIENT).collect();
    let mut received = Vec::new();
    for (_, flags, seq, ack, payload) in &of_client {
        assert_eq!((*seq as usize, *ack), (1 + received.len(), 4));
        received.extend_from_slice(payload);
        let is_last = received.len() == page.len();
        assert_eq!(flags.contains(FIN), is_last);
    }
    assert_eq!((received, of_client.len()), (page, 3));
    assert!(
        said_now
            .iter()
            .any(|said| said.0 == SERVER && said.1.contains(RST) && said.2 == 1)
    );
    assert_eq!(
        middle.host.events.last(),
        Some(&Event::ConnEnd(EndReason::Reset))
    );

    // The client acknowledges, and closes.
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (4, 3002), b"")), None);
    assert_eq!(said(&middle, CLIENT), []);
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK | FIN, (4, 3002), b"")), None);
    assert_eq!(said(&middle, CLIENT), [(CLIENT, ACK, 3002, 5, vec![])]);
    // One that has not got everything, and asks again, is reset; so is a server that goes on.
    assert_eq!(middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"GET")), None);
    assert_eq!(said(&middle, CLIENT), [(CLIENT, RST | ACK, 1, 4, vec![])]);
    assert_eq!(middle.pass(&tcp4(SERVER, ACK, (1, 4), b"page")), None);
    assert_eq!(said(&middle, SERVER), [(SERVER, RST | ACK, 4, 5, vec![])]);
    assert_eq!(middle.pass(&tcp4(CLIENT, RST, (4, 0), b"")), None);
    assert_eq!(said(&middle, CLIENT), []);
}

#[test]
fn a_tap_and_a_tunnel_are_told() {
    let act = on(b"hello", Hook::Receive, Verdict::Forward, |flow| {
        assert_eq!(flow.reset(), Err(InjectError::NotInline));
        assert_eq!(flow.answer(b""), Err(InjectError::NotInline));
        assert_eq!(
            flow.inject(CLIENT, Segment::default()),
            Err(InjectError::NotInline)
        );
        assert_eq!(
            flow.inject_packet(CLIENT, &[0x45; 40]),
            Err(InjectError::NotInline)
        );
    });
    let mut middle = Middle::new(vec![act]);
    middle.shard.set_inline(false);
    open(&mut middle);
    middle.pass(&tcp4(CLIENT, ACK, (1, 1), b"hello")).unwrap();
    assert!(
        middle
            .host
            .events
            .iter()
            .all(|event| !matches!(event, Event::ConnEnd(_)))
    );

    let act = on(b"hello", Hook::Receive, Verdict::Forward, |flow| {
        assert_eq!(flow.reset(), Err(InjectError::Tunnel));
    });
    let mut middle = Middle::with(ShardConfig::default(), vec![act]);
    let inner = tcp4(CLIENT, ACK, (1, 1), b"hello");
    middle
        .pass(&ethernet(0x0800, &ipv4(4, &inner[14..])))
        .unwrap();
    assert!(!middle.shard.has_changes());

    // VLAN tags stay.
    let act = on(b"hello", Hook::Receive, Verdict::Forward, |flow| {
        flow.reset().unwrap()
    });
    let mut middle = Middle::new(vec![act]);
    middle
        .pass(&ethernet(0x8100, &join(&[&[0, 5, 8, 0], &inner[14..]])))
        .unwrap();
    let injected = middle.injected();
    assert!(!injected.is_empty());
    assert!(
        injected
            .iter()
            .all(|(_, frame)| frame[12..18] == [0x81, 0, 0, 5, 8, 0])
    );
}

#[test]
fn segments_have_timestamps_where_both_ends_send_them() {
    // In the profile of live traffic, where timestamps are known.
    let config = ShardConfig {
        profile: crate::shard::Profile::Receiver,
        ..ShardConfig::default()
    };
    let act = on(b"GET", Hook::Receive, Verdict::Drop, |flow| {
        flow.answer(b"page").unwrap()
    });
    let mut middle = Middle::with(config, vec![act]);
    for (from, flags, numbers, stamps, payload) in [
        (CLIENT, SYN, (0, 0), (100, 0), &b""[..]),
        (SERVER, SYN | ACK, (0, 1), (700, 100), b""),
        (CLIENT, ACK, (1, 1), (101, 700), b""),
        (CLIENT, ACK, (1, 1), (102, 700), b"GET"),
    ] {
        middle.pass(&super::edits::stamped4(
            from, flags, numbers, stamps, payload,
        ));
    }
    let injected = middle.injected();
    let (_, frame) = injected.iter().find(|(back, _)| *back).unwrap();
    let expected = join(&[
        &[1, 1, 8, 10],
        &700_u32.to_be_bytes(),
        &102_u32.to_be_bytes(),
    ]);
    assert_eq!(frame[54..66], expected);
    assert_eq!(&frame[66..70], b"page");
}
