//! What is told of which packet at which hook, and how far both ends are then: the table of event traces of the reference
//! system, row by row, and every deliberate difference to it.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use mosaic_port::Timestamp;

use super::fixture::{Bench, letters};
use crate::actor::{ActorId, FlowContext, Host, PacketView};
use crate::event::{Event, EventSet, Hook, Side, Verdict};
use crate::shard::{Profile, Shard, ShardConfig};
use crate::wire::Encapsulation;

/// One callback, as text; neighbours at the same hook with the same states share a group.
#[derive(Default)]
struct Tracer {
    groups: Vec<(String, String)>,
}

impl Tracer {
    fn note(&mut self, actor: ActorId, flow: &FlowContext<'_>, what: &str) {
        let states = Side::BOTH.map(|side| flow.state(side).to_string());
        // Each hook has an actor of its own.
        let hook = [Hook::Send, Hook::Receive, Hook::End][usize::from(actor.0)];
        let head = match (hook, flow.packet().map(|packet| packet.sender)) {
            (Hook::Send, Some(sender)) => format!("Send {sender:?}"),
            (Hook::Receive, Some(sender)) => format!("Receive {:?}", sender.other()),
            (Hook::End, None) => "End".into(),
            (hook, packet) => format!("{hook:?} with {packet:?}"),
        };
        let head = format!("{head} [{} {}]", states[0], states[1]);
        match self.groups.last_mut() {
            Some((last, events)) if *last == head => *events += &format!(" {what}"),
            _ => self.groups.push((head, what.into())),
        }
    }
}

impl Host for Tracer {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        self.note(actor, flow, "PacketIn");
        Verdict::Forward
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let what = match event {
            Event::StateChange { .. } => "StateChange".into(),
            Event::Retransmission { kind, .. } => format!("Retransmission({kind:?})"),
            Event::Error { error, .. } => format!("Error({error:?})"),
            event => format!("{event:?}"),
        };
        self.note(actor, flow, &what);
    }
}

/// Sends each packet in a burst of its own and compares what was told of it. A packet is `SIDE FLAGS SEQ ACK PAYLOAD`, with
/// numbers relative to the initial ones; `wait SECONDS` lets time pass.
fn check(profile: Profile, script: &[(&str, &str)]) {
    let mut shard = Shard::new(ShardConfig {
        profile,
        ..ShardConfig::default()
    });
    let end = EventSet::NEW_DATA | EventSet::CONN_END | EventSet::TIMEOUT | EventSet::LATE_DATA;
    let hooks = [
        (Hook::Send, EventSet::at(Hook::Send)),
        (Hook::Receive, EventSet::at(Hook::Receive)),
        (Hook::End, end),
    ];
    for (actor, (hook, events)) in (0..).zip(hooks) {
        let mut start = shard.start_actor(ActorId(actor));
        let monitor = start.monitor_stream(None).on(hook, events);
        monitor.open().unwrap();
    }
    let mut bench = Bench::without_actors(ShardConfig::default());
    for (step, expected) in script {
        let mut tracer = Tracer::default();
        let words: Vec<_> = step.split(' ').collect();
        match words[..] {
            ["wait", seconds] => {
                bench.now_ms += seconds.parse::<u64>().unwrap() * 1000;
                let now = Timestamp::from_nanos(bench.now_ms * 1_000_000);
                shard.handle_clock(now, &mut tracer);
            }
            [from, flags, seq, ack, ref payload @ ..] => {
                let from = if from == "C" {
                    Side::Client
                } else {
                    Side::Server
                };
                let (seq, ack) = (seq.parse().unwrap(), ack.parse().unwrap());
                let payload = payload.concat();
                let (packet, bytes) =
                    bench.segment(from, letters(flags), seq, ack, payload.as_bytes());
                let layers = [Encapsulation::default()];
                shard.handle_burst(&[packet], &[&bytes], &layers, &mut tracer);
                bench.now_ms += 1;
            }
            _ => panic!("{step}"),
        }
        let told: Vec<_> = tracer
            .groups
            .iter()
            .map(|(head, events)| format!("{head}: {events}"))
            .collect();
        let expected: Vec<_> = expected
            .split(" | ")
            .filter(|told| !told.is_empty())
            .collect();
        assert_eq!(told, expected, "{step}");
    }
}

/// As far as a connection that is open; the client has acknowledged the server's SYN.
const OPEN: [(&str, &str); 3] = [
    (
        "C S 0 0",
        "Send Client [SYN-SENT LISTEN]: PacketIn ConnStart StateChange \
         | Receive Server [SYN-SENT SYN-RECEIVED]: PacketIn ConnStart StateChange",
    ),
    (
        "S SA 0 1",
        "Send Server [SYN-SENT SYN-RECEIVED]: PacketIn \
         | Receive Client [ESTABLISHED SYN-RECEIVED]: PacketIn StateChange",
    ),
    (
        "C A 1 1",
        "Send Client [ESTABLISHED SYN-RECEIVED]: PacketIn \
         | Receive Server [ESTABLISHED ESTABLISHED]: PacketIn ConnEstablished StateChange",
    ),
];

fn check_open(profile: Profile, script: &[(&str, &str)]) {
    check(profile, &[&OPEN[..], script].concat());
}

fn check_both(script: &[(&str, &str)]) {
    for profile in [Profile::Record, Profile::Receiver] {
        check(profile, script);
    }
}

const PLAIN: &str = "Send Client [ESTABLISHED ESTABLISHED]: PacketIn \
                     | Receive Server [ESTABLISHED ESTABLISHED]: PacketIn";

const NEW: &str = "Send Client [ESTABLISHED ESTABLISHED]: PacketIn \
                   | Receive Server [ESTABLISHED ESTABLISHED]: PacketIn \
                   | End [ESTABLISHED ESTABLISHED]: NewData(Client)";

#[test]
fn opening() {
    check_both(&OPEN);
}

/// Reference: SYN again raises `CONN_START` and `STATE_CHANGE` of the server again.
#[test]
fn what_opens_comes_twice() {
    check_both(&[
        OPEN[0],
        (
            "C S 0 0",
            "Send Client [SYN-SENT SYN-RECEIVED]: PacketIn \
             | Receive Server [SYN-SENT SYN-RECEIVED]: PacketIn Retransmission(Syn)",
        ),
        OPEN[1],
        (
            "S SA 0 1",
            "Send Server [ESTABLISHED SYN-RECEIVED]: PacketIn \
             | Receive Client [ESTABLISHED SYN-RECEIVED]: PacketIn Retransmission(Syn)",
        ),
        OPEN[2],
    ]);
}

#[test]
fn data_in_order_and_out_of_it() {
    for profile in [Profile::Record, Profile::Receiver] {
        check_open(
            profile,
            &[
                ("C AP 1 1 abc", NEW),
                ("C AP 7 1 ghi", PLAIN),
                ("C AP 4 1 def", NEW),
                ("C A 10 1", PLAIN),
            ],
        );
    }
}

/// Bytes that were there before are told of before the packet, as in the reference, which calls probes the same.
#[test]
fn data_again() {
    for profile in [Profile::Record, Profile::Receiver] {
        check_open(
            profile,
            &[
                ("C AP 1 1 abc", NEW),
                (
                    "C AP 1 1 abc",
                    "Send Client [ESTABLISHED ESTABLISHED]: PacketIn \
                     | Receive Server [ESTABLISHED ESTABLISHED]: Retransmission(Data) PacketIn",
                ),
                (
                    "C AP 3 1 c",
                    "Send Client [ESTABLISHED ESTABLISHED]: PacketIn \
                     | Receive Server [ESTABLISHED ESTABLISHED]: Retransmission(KeepAlive) PacketIn",
                ),
            ],
        );
    }
}

#[test]
fn data_beyond_the_window() {
    let invalid = "Send Client [ESTABLISHED ESTABLISHED]: PacketIn \
                   | Receive Server [ESTABLISHED ESTABLISHED]: Error(Invalid) PacketIn";
    check_open(Profile::Receiver, &[("C AP 5000 1 abc", invalid)]);
    check_open(Profile::Record, &[("C AP 5000 1 abc", invalid)]);
}

/// Reference: a spurious `NEW_DATA` with the FIN, `CONN_END` up to four times with as many `STATE_CHANGE`, orphans after it.
#[test]
fn closing() {
    check_both(
        &[
            &OPEN[..],
            &[
                (
                    "C AP 1 1 abc",
                    NEW,
                ),
                (
                    "C AF 4 1",
                    "Send Client [FIN-WAIT-1 ESTABLISHED]: PacketIn StateChange \
                     | Receive Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn StateChange",
                ),
                (
                    "S A 1 5",
                    "Send Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn \
                     | Receive Client [FIN-WAIT-2 CLOSE-WAIT]: PacketIn StateChange",
                ),
                (
                    "S AF 1 5",
                    "Send Server [FIN-WAIT-2 LAST-ACK]: PacketIn StateChange \
                     | Receive Client [TIME-WAIT LAST-ACK]: PacketIn StateChange",
                ),
                (
                    "S AF 1 5",
                    "Send Server [TIME-WAIT LAST-ACK]: PacketIn \
                     | Receive Client [TIME-WAIT LAST-ACK]: PacketIn Retransmission(Fin)",
                ),
                (
                    "C A 5 2",
                    "Send Client [TIME-WAIT LAST-ACK]: PacketIn \
                     | Receive Server [TIME-WAIT CLOSED]: PacketIn StateChange \
                     | End [TIME-WAIT CLOSED]: ConnEnd(Fin)",
                ),
                (
                    "C A 5 2",
                    "Send Client [TIME-WAIT CLOSED]: PacketIn | Receive Server [TIME-WAIT CLOSED]: PacketIn",
                ),
            ][..],
        ]
        .concat(),
    );
}

/// Reference: data of a side whose peer has closed raises no `NEW_DATA`.
#[test]
fn data_of_a_half_closed_connection() {
    check_both(
        &[
            &OPEN[..],
            &[
                (
                    "C AF 1 1",
                    "Send Client [FIN-WAIT-1 ESTABLISHED]: PacketIn StateChange \
                     | Receive Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn StateChange",
                ),
                (
                    "S AP 1 2 xyz",
                    "Send Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn \
                     | Receive Client [FIN-WAIT-2 CLOSE-WAIT]: PacketIn StateChange \
                     | End [FIN-WAIT-2 CLOSE-WAIT]: NewData(Server)",
                ),
            ][..],
        ]
        .concat(),
    );
}

/// Reference: a FIN out of order is forgotten; here it counts once everything before it is there.
#[test]
fn a_fin_ahead_of_its_data() {
    check_both(
        &[
            &OPEN[..],
            &[
                (
                    "C AF 4 1",
                    "Send Client [FIN-WAIT-1 ESTABLISHED]: PacketIn StateChange \
                     | Receive Server [FIN-WAIT-1 ESTABLISHED]: PacketIn",
                ),
                (
                    "C AP 1 1 abc",
                    "Send Client [FIN-WAIT-1 ESTABLISHED]: PacketIn \
                     | Receive Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn StateChange \
                     | End [FIN-WAIT-1 CLOSE-WAIT]: NewData(Client)",
                ),
            ][..],
        ]
        .concat(),
    );
}

/// Reference: `CONN_END` up to four times; `NEW_DATA` of the same round is lost.
#[test]
fn resetting() {
    let reset = "Send Server [ESTABLISHED CLOSED]: PacketIn StateChange \
                 | Receive Client [CLOSED CLOSED]: PacketIn StateChange \
                 | End [CLOSED CLOSED]: ConnEnd(Reset)";
    for profile in [Profile::Record, Profile::Receiver] {
        check_open(profile, &[("S RA 1 1", reset)]);
    }
}

/// Reference: a RST is not validated; here one out of the window changes nothing.
#[test]
fn resetting_blindly() {
    let refused = "Send Server [ESTABLISHED ESTABLISHED]: PacketIn \
                   | Receive Client [ESTABLISHED ESTABLISHED]: Error(Invalid) PacketIn";
    for profile in [Profile::Record, Profile::Receiver] {
        check_open(profile, &[("S RA 50000 1", refused)]);
    }
}

#[test]
fn closing_at_the_same_time() {
    check_both(
        &[
            &OPEN[..],
            &[
                (
                    "C AF 1 1",
                    "Send Client [FIN-WAIT-1 ESTABLISHED]: PacketIn StateChange \
                     | Receive Server [FIN-WAIT-1 CLOSE-WAIT]: PacketIn StateChange",
                ),
                (
                    "S AF 1 1",
                    "Send Server [FIN-WAIT-1 CLOSING]: PacketIn StateChange \
                     | Receive Client [CLOSING CLOSING]: PacketIn StateChange",
                ),
                (
                    "C A 2 2",
                    "Send Client [CLOSING CLOSING]: PacketIn \
                     | Receive Server [CLOSING TIME-WAIT]: PacketIn StateChange",
                ),
                (
                    "S A 2 2",
                    "Send Server [CLOSING TIME-WAIT]: PacketIn \
                     | Receive Client [TIME-WAIT TIME-WAIT]: PacketIn StateChange \
                     | End [TIME-WAIT TIME-WAIT]: ConnEnd(Fin)",
                ),
            ][..],
        ]
        .concat(),
    );
}

/// Reference: no event but `CONN_END`, the client's first.
#[test]
fn idling_for_too_long() {
    let over = "End [ESTABLISHED ESTABLISHED]: Timeout ConnEnd(Timeout)";
    check_both(&[&OPEN[..], &[("wait 299", ""), ("wait 2", over)]].concat());
    // A connection that has ended only leaves.
    let reset = "Send Client [CLOSED ESTABLISHED]: PacketIn StateChange \
                 | Receive Server [CLOSED CLOSED]: PacketIn StateChange | End [CLOSED CLOSED]: ConnEnd(Reset)";
    check_both(&[&OPEN[..], &[("C RA 1 1", reset), ("wait 100", "")]].concat());
}

/// Reference: only a SYN makes a flow. Here a connection may be met on its way, and a datagram begins one of its own.
#[test]
fn beginning_without_a_syn() {
    check_both(&[(
        "C AP 1 1 abc",
        "Send Client [ESTABLISHED ESTABLISHED]: PacketIn ConnStart \
         | Receive Server [ESTABLISHED ESTABLISHED]: PacketIn ConnStart \
         | End [ESTABLISHED ESTABLISHED]: NewData(Client)",
    )]);
    let mut tracer = Tracer::default();
    let mut shard = Shard::new(ShardConfig::default());
    let mut start = shard.start_actor(ActorId(0));
    let monitor = start
        .monitor_stream(None)
        .on(Hook::Send, EventSet::at(Hook::Send));
    monitor.open().unwrap();
    let bench = Bench::without_actors(ShardConfig::default());
    let (mut packet, bytes) = bench.segment(Side::Client, letters(""), 0, 0, b"hello");
    packet.transport = crate::wire::Transport::Other;
    let (udp, direction) = crate::flow::FlowKey::v4(1, 2, 3, 4, crate::flow::Proto::UDP, 0);
    (packet.key, packet.direction) = (udp, direction);
    shard.handle_burst(
        &[packet],
        &[&bytes],
        &[Encapsulation::default()],
        &mut tracer,
    );
    assert_eq!(
        tracer.groups,
        [(
            "Send Client [CLOSED CLOSED]".into(),
            "PacketIn ConnStart".into()
        )]
    );
}
