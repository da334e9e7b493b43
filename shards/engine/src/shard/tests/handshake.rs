use std::vec::Vec;

use super::fixture::{Bench, CLIENT, SERVER};
use crate::actor::{ActorId, ClientBy};
use crate::event::{EndReason, Hook};
use crate::shard::ShardConfig;

#[test]
fn a_whole_connection_in_events() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.open();
    assert_eq!(
        bench.log(),
        [
            "ConnStart",
            "Client CLOSED > SYN-SENT",
            "Server LISTEN > SYN-RECEIVED",
            "Client SYN-SENT > ESTABLISHED",
            "ConnEstablished",
            "Server SYN-RECEIVED > ESTABLISHED",
        ]
    );
    bench.send(CLIENT, "AP", 1, 1, "hello");
    bench.send(SERVER, "AP", 1, 6, "world");
    assert_eq!(bench.log(), ["NewData(Client)", "NewData(Server)"]);
    bench.send(CLIENT, "AF", 6, 6, "");
    bench.send(SERVER, "A", 6, 7, "");
    bench.send(SERVER, "AF", 6, 7, "");
    bench.send(CLIENT, "A", 7, 7, "");
    assert_eq!(
        bench.log(),
        [
            "Client ESTABLISHED > FIN-WAIT-1",
            "Server ESTABLISHED > CLOSE-WAIT",
            "Client FIN-WAIT-1 > FIN-WAIT-2",
            "Server CLOSE-WAIT > LAST-ACK",
            "Client FIN-WAIT-2 > TIME-WAIT",
            "Server LAST-ACK > CLOSED",
            "ConnEnd(Fin)",
        ]
    );
    bench.finish();
    assert_eq!(bench.log(), ["removed"]);
    assert_eq!((bench.read(CLIENT), bench.read(SERVER)), ("hello", "world"));
    let flow = bench.removed();
    assert_eq!(flow.history.as_str(), "ShADdFaf");
    assert_eq!((flow.end, flow.established), (Some(EndReason::Fin), true));
    assert_eq!(flow.sides.map(|side| side.packets), [5, 4]);
    assert_eq!(flow.sides.map(|side| side.ip_bytes), [205, 165]);
}

#[test]
fn the_sender_is_updated_before_the_receiver() {
    let mut bench = Bench::new(ShardConfig::default());
    let mut start = bench.shard.start_actor(ActorId(0));
    start
        .monitor_stream(None)
        .packets(Hook::Send)
        .packets(Hook::Receive)
        .open()
        .unwrap();
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "SA", 0, 1, "");
    let packets: Vec<_> = bench
        .log()
        .into_iter()
        .filter(|line| line.starts_with("packet"))
        .collect();
    assert_eq!(
        packets,
        [
            "packet Send Client SYN-SENT LISTEN",
            "packet Receive Client SYN-SENT SYN-RECEIVED",
            "packet Send Server SYN-SENT SYN-RECEIVED",
            "packet Receive Server ESTABLISHED SYN-RECEIVED",
        ]
    );
}

#[test]
fn simultaneous_open_and_close() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "S", 0, 0, "");
    bench.send(CLIENT, "SA", 0, 1, "");
    bench.send(SERVER, "SA", 0, 1, "");
    assert!(bench.log().contains(&"ConnEstablished".into()));
    bench.send(CLIENT, "AF", 1, 1, "");
    bench.send(SERVER, "AF", 1, 1, "");
    bench.send(CLIENT, "A", 2, 2, "");
    bench.send(SERVER, "A", 2, 2, "");
    assert_eq!(
        bench.log(),
        [
            "Client ESTABLISHED > FIN-WAIT-1",
            "Server ESTABLISHED > CLOSE-WAIT",
            "Server CLOSE-WAIT > CLOSING",
            "Client FIN-WAIT-1 > CLOSING",
            "Server CLOSING > TIME-WAIT",
            "Client CLOSING > TIME-WAIT",
            "ConnEnd(Fin)",
        ]
    );
}

#[test]
fn the_client_is_the_opener_whichever_packet_comes_first() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(SERVER, "SA", 0, 1, "");
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(CLIENT, "A", 1, 1, "");
    bench.finish();
    let flow = bench.removed();
    assert_eq!(
        (flow.client.port, flow.client_by, flow.established),
        (40_000, ClientBy::SynAck, true)
    );

    // A stray RST of the server without numbers, then the handshake.
    bench.send(SERVER, "R", 0, 0, "");
    bench.open();
    bench.finish();
    let flow = bench.removed();
    assert_eq!((flow.client.port, flow.client_by), (40_000, ClientBy::Syn));
}

#[test]
fn useless_numbers_establish_nothing() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "SA", 0, 77, "");
    bench.send(CLIENT, "A", 1, 99, "");
    bench.finish();
    assert!(!bench.removed().established);
}

#[test]
fn resets_count_only_with_the_right_number() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "RA", 0, 9, "");
    assert!(bench.log().contains(&"Server Invalid".into()));
    bench.send(SERVER, "SA", 0, 1, "");
    bench.send(CLIENT, "A", 1, 1, "");
    bench.send(SERVER, "R", 50_000, 0, "");
    bench.send(CLIENT, "AP", 1, 1, "on");
    let log = bench.log();
    assert!(
        log.contains(&"NewData(Client)".into()) && !log.contains(&"ConnEnd(Reset)".into()),
        "{log:?}"
    );
    bench.send(SERVER, "R", 1, 0, "denied");
    assert!(bench.log().contains(&"ConnEnd(Reset)".into()));
    bench.finish();
    assert_eq!(
        (bench.read(CLIENT), bench.read(SERVER)),
        ("on", ""),
        "payload of a RST is not stream"
    );
    assert_eq!(bench.removed().sides[1].payload_bytes, 6);
}

#[test]
fn of_two_initial_numbers_the_acknowledged_one_counts() {
    for acknowledged_late in [false, true] {
        let mut bench = Bench::new(ShardConfig::default());
        bench.send(CLIENT, "S", 0, 0, "");
        bench.send(SERVER, "SA", 0, 1, "");
        if !acknowledged_late {
            bench.send(CLIENT, "A", 1, 1, "");
        }
        bench.send(SERVER, "SA", 70_000, 1, "");
        bench.send(CLIENT, "A", 1, 1, "");
        bench.send(SERVER, "AP", 1, 1, "heard");
        bench.finish();
        assert_eq!(bench.read(SERVER), "heard");
        assert_eq!(bench.removed().sides[1].gap_bytes, 0);
    }
}

#[test]
fn a_fin_before_its_handshake_finds_its_place() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(SERVER, "AF", 5, 1, "");
    bench.send(SERVER, "SA", 0, 1, "");
    bench.send(SERVER, "AP", 1, 1, "late");
    bench.finish();
    let server = bench.removed().client;
    assert_eq!(server.port, 80, "it sent first");
    assert_eq!(bench.read(CLIENT), "late");
    assert_eq!(bench.removed().sides[0].gap_bytes, 0);
}

#[test]
fn a_handshake_completes_with_data() {
    let mut bench = Bench::new(ShardConfig::default());
    bench.send(CLIENT, "S", 0, 0, "");
    bench.send(SERVER, "SA", 0, 1, "");
    bench.send(CLIENT, "AP", 1, 1, "GET");
    let log = bench.log();
    let established = log.iter().position(|line| line == "ConnEstablished");
    assert!(
        established < log.iter().position(|line| line == "NewData(Client)")
            && established.is_some()
    );
}
