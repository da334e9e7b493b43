//! What is asked of single flows, against a plain list for each flow.

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use super::fixture::{Bench, CLIENT, SERVER, letters};
use crate::actor::{ActorId, FlowContext, Host, MonitorId, PacketView, SubscribeError};
use crate::event::{Event, EventSet, Hook, Side, Topic, UserEventId, Verdict};
use crate::limits;
use crate::shard::ShardConfig;
use crate::shard::sets::EMPTY;
use crate::wire::Encapsulation;

const HOOKS: [Hook; 3] = [Hook::Send, Hook::Receive, Hook::End];

/// What a callback does.
#[derive(Clone, Debug)]
enum Act {
    Ask(Hook, Topic, bool),
    Stop,
    Buffer(Side, u64),
}

/// Asks what it is told to at the next call of the actor for a flow, and writes down all calls.
#[derive(Default)]
struct Changer {
    acts: Vec<(ActorId, Act)>,
    log: Vec<String>,
    results: Vec<Result<(), SubscribeError>>,
}

impl Changer {
    fn call(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, what: &str) {
        self.log.push(format!("{} {what}", actor.0));
        let (own, others) = core::mem::take(&mut self.acts)
            .into_iter()
            .partition(|(other, _)| *other == actor);
        self.acts = others;
        let own: Vec<_> = own;
        for (_, act) in own {
            match act {
                Act::Ask(hook, topic, true) => self.results.push(flow.subscribe(hook, topic)),
                Act::Ask(hook, topic, false) => self.results.push(flow.unsubscribe(hook, topic)),
                Act::Stop => flow.stop(),
                Act::Buffer(side, bytes) => flow.set_buffer(side, bytes),
            }
        }
    }
}

impl Host for Changer {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        self.call(actor, flow, &format!("packet {hook:?}"));
        Verdict::Forward
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        match event {
            Event::NewData(side) => {
                let read = flow.peek(side, |chunks| chunks.map(<[u8]>::len).sum());
                self.call(actor, flow, &format!("data {}", read.unwrap_or(0)));
            }
            Event::StateChange { .. } | Event::ConnEnd(_) => {}
            event => self.call(actor, flow, &format!("{event:?}")),
        }
    }
}

/// A shard with monitors that have asked for these events at these hooks.
fn bench(wishes: &[[EventSet; 3]]) -> (Bench, Vec<MonitorId>) {
    let mut bench = Bench::without_actors(ShardConfig {
        flows_max: 64,
        ..ShardConfig::default()
    });
    let mut monitors = Vec::new();
    for (actor, events) in (0..).zip(wishes) {
        let mut start = bench.start(actor);
        let builder = HOOKS
            .into_iter()
            .fold(start.monitor_stream(None), |monitor, hook| {
                monitor.on(hook, events[hook as usize])
            });
        monitors.push(builder.open().unwrap());
    }
    (bench, monitors)
}

/// One byte of a connection met midway, in a burst of its own.
fn send(bench: &mut Bench, host: &mut Changer, port: u16, from: Side, seq: u32) {
    bench.port = port;
    let (packet, bytes) = bench.segment(from, letters("A"), seq, 1, b"x");
    let layers = [Encapsulation::default()];
    bench
        .shard
        .handle_burst(&[packet], &[&bytes], &layers, host);
}

/// What the actor is told of a byte from the client at which it does something first.
fn after(bench: &mut Bench, host: &mut Changer, port: u16, seq: u32, act: Act) -> Vec<String> {
    host.acts = [(ActorId(0), act)].into();
    send(bench, host, port, CLIENT, seq);
    core::mem::take(&mut host.log)
}

const PACKETS: [EventSet; 3] = [EventSet::PACKET_IN, EventSet::empty(), EventSet::empty()];

fn ask(hook: Hook, topic: impl Into<Topic>) -> Act {
    Act::Ask(hook, topic.into(), true)
}

#[test]
fn flows_that_diverge_the_same_way_share_again() {
    let (mut bench, _) = bench(&[PACKETS]);
    let mut host = Changer::default();
    for port in 1..50 {
        send(&mut bench, &mut host, port, CLIENT, 1);
    }
    let plain = bench.shard.subscription_sets();
    let set = |bench: &Bench, number| bench.shard.table.hot(number).set;
    let acts = [
        ask(Hook::End, EventSet::NEW_DATA),
        ask(Hook::Receive, EventSet::PACKET_IN),
    ];
    for port in 1..50 {
        // Each comes to the same in its own order.
        let (first, second) = if port % 2 == 0 { (0, 1) } else { (1, 0) };
        after(&mut bench, &mut host, port, 2, acts[first].clone());
        after(&mut bench, &mut host, port, 3, acts[second].clone());
    }
    let first = set(&bench, 0);
    assert!((0..49).all(|number| set(&bench, number) == first));
    assert_eq!(
        bench.shard.subscription_sets(),
        plain + 3,
        "the two half ways and the end"
    );
    let told = after(&mut bench, &mut host, 7, 4, Act::Stop);
    assert_eq!(told, ["0 packet Send"]);
    assert_eq!(set(&bench, 6), EMPTY);
}

/// From the next event on: the rest of the same packet's events among them. What happened before is not told at the end.
#[test]
fn what_is_asked_counts_from_the_next_event_on() {
    let (mut bench, _) = bench(&[PACKETS; 2]);
    let mut host = Changer::default();
    let start = EventSet::CONN_START;
    host.acts = [
        (ActorId(0), ask(Hook::Send, start)),
        (ActorId(1), ask(Hook::Receive, start)),
        (ActorId(1), ask(Hook::End, start)),
    ]
    .into();
    send(&mut bench, &mut host, 1, CLIENT, 1);
    let told = [
        "0 packet Send",
        "1 packet Send",
        "0 ConnStart",
        "1 ConnStart",
    ];
    assert_eq!(host.log, told);
}

#[test]
fn what_no_set_is_left_for_is_refused_and_counted() {
    let (mut bench, _) = bench(&[PACKETS; 14]);
    let mut host = Changer::default();
    send(&mut bench, &mut host, 1, CLIENT, 1);
    host.log.clear();
    let first = bench.shard.table.hot(0).set;
    // Held as if flows had them.
    let monitors = bench.shard.monitors_mut();
    let mut held = 0_usize;
    for mask in 1..1 << 14 {
        held += usize::from(monitors.begin(mask).is_ok());
    }
    let refused = limits::MONITOR_SETS - held;
    assert!((1..4).contains(&refused), "{held} sets");
    let told = after(
        &mut bench,
        &mut host,
        1,
        2,
        ask(Hook::End, EventSet::NEW_DATA),
    );
    assert_eq!(
        (host.results.pop(), told.len()),
        (Some(Err(SubscribeError::NoSet)), 14)
    );
    assert_eq!(bench.shard.table.hot(0).set, first, "all is as it was");
    let before = bench.shard.counters().subscriptions_refused;
    // One that begins is not watched, which counts as well.
    bench
        .start(0)
        .monitor_stream(None)
        .on(Hook::End, EventSet::ERROR)
        .open()
        .unwrap();
    host.log.clear();
    send(&mut bench, &mut host, 2, CLIENT, 1);
    assert!(host.log.is_empty());
    send(&mut bench, &mut host, 1, CLIENT, 3);
    assert_eq!(host.log.len(), 14);
    assert_eq!(bench.shard.counters().subscriptions_refused, before + 1);
    bench.shard.finish(&mut host);
}

#[test]
fn every_fault_of_a_subscription_is_met() {
    let (mut bench, monitors) = bench(&[PACKETS]);
    let mut host = Changer::default();
    let faults = [
        (
            ask(Hook::Send, EventSet::NEW_DATA),
            SubscribeError::BadHook,
            "EINVAL",
        ),
        (
            ask(Hook::Send, UserEventId { shard: 1, index: 0 }),
            SubscribeError::BadEvent,
            "EINVAL",
        ),
    ];
    for (seq, (act, fault, errno)) in (1..).zip(faults) {
        after(&mut bench, &mut host, 1, seq, act);
        assert_eq!(
            (host.results.pop(), fault.errno()),
            (Some(Err(fault)), errno)
        );
    }
    host.acts = [
        (ActorId(0), Act::Stop),
        (ActorId(0), ask(Hook::End, EventSet::ERROR)),
    ]
    .into();
    send(&mut bench, &mut host, 1, CLIENT, 3);
    assert_eq!(host.results.pop(), Some(Err(SubscribeError::NotAttached)));
    assert_eq!(SubscribeError::NotAttached.errno(), "ENOTCONN");
    assert_eq!(SubscribeError::NoSet.errno(), "ENOMEM");
    bench.start(0).close(monitors[0]).unwrap();
    let stale = bench.start(0).monitor(monitors[0]).unwrap_err();
    assert_eq!(
        (stale, stale.errno()),
        (SubscribeError::StaleHandle, "EBADF")
    );
}

/// What one monitor has asked of one flow, and how far it has read.
#[derive(Clone, Debug)]
struct Model {
    events: [EventSet; 3],
    deaf: [bool; 2],
    read: [u32; 2],
}

impl Model {
    fn reads(&self, side: Side) -> bool {
        self.events[2].contains(EventSet::NEW_DATA) && !self.deaf[side as usize]
    }

    /// Does what the actor has asked for; `next` is the next byte of each side.
    fn act(&mut self, act: &Act, next: [u32; 2]) {
        let before = Side::BOTH.map(|side| self.reads(side));
        match *act {
            Act::Ask(hook, Topic::BuiltIn(events), wanted) => {
                self.events[hook as usize].set(events, wanted);
            }
            Act::Buffer(side, bytes) => self.deaf[side as usize] = bytes == 0,
            _ => {}
        }
        for side in Side::BOTH {
            if self.reads(side) && !before[side as usize] {
                self.read[side as usize] = next[side as usize];
            }
        }
    }
}

/// One flow: its monitors by number, and the next byte of each side.
type Flow = (BTreeMap<u8, Model>, [u32; 2]);

/// What is told of the next byte of `from`, when the monitor `actor` does something as soon as it is told anything.
fn told(flow: &mut Flow, from: Side, actor: u8, mut act: Option<&Act>) -> Vec<String> {
    let mut log = Vec::new();
    let (monitors, next) = flow;
    let moments = [
        (Hook::Send, EventSet::PACKET_IN),
        (Hook::Receive, EventSet::PACKET_IN),
        (Hook::End, EventSet::NEW_DATA),
    ];
    for (hook, event) in moments {
        if hook == Hook::Receive {
            next[from as usize] += 1;
        }
        let mut chain: Vec<u8> = monitors.keys().copied().collect();
        if from == SERVER {
            chain.reverse();
        }
        let mut acts = false;
        for monitor in chain {
            let model = monitors.get_mut(&monitor).unwrap();
            let is_data = event == EventSet::NEW_DATA;
            if !model.events[hook as usize].contains(event) || is_data && model.deaf[from as usize]
            {
                continue;
            }
            if is_data {
                let unread = next[from as usize] - model.read[from as usize];
                model.read[from as usize] = next[from as usize];
                log.push(format!("{monitor} data {unread}"));
            } else {
                log.push(format!("{monitor} packet {hook:?}"));
            }
            acts |= monitor == actor;
        }
        if acts && let Some(act) = act.take() {
            let model = monitors.get_mut(&actor).unwrap();
            if matches!(act, Act::Stop) {
                monitors.remove(&actor);
            } else {
                model.act(act, *next);
            }
        }
    }
    log
}

fn events() -> impl Strategy<Value = EventSet> {
    let choices = [
        EventSet::PACKET_IN,
        EventSet::NEW_DATA,
        EventSet::NEW_DATA | EventSet::CONN_END,
        EventSet::PACKET_IN | EventSet::STATE_CHANGE,
        EventSet::empty(),
    ];
    prop::sample::select(choices.to_vec())
}

/// Events that may be asked for at each hook.
fn wishes() -> impl Strategy<Value = [EventSet; 3]> {
    let at = |hook| events().prop_map(move |events| events & EventSet::at(hook));
    [at(Hook::Send), at(Hook::Receive), at(Hook::End)]
        .prop_map(|[send, receive, end]| [send, receive, end - EventSet::PACKET_IN])
}

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A byte of a flow; the actor does something as soon as it is told anything.
    Byte(u16, Side, u8, Option<Act>),
    /// A monitor asks something else of flows that begin.
    Change(u8, [EventSet; 3]),
    /// A monitor is closed.
    Close(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop::sample::select(Side::BOTH.to_vec());
    let ask = (wishes(), 0..3_usize, any::<bool>())
        .prop_map(|(wishes, at, wanted)| Act::Ask(HOOKS[at], Topic::BuiltIn(wishes[at]), wanted));
    let buffer = (side.clone(), any::<bool>())
        .prop_map(|(side, deaf)| Act::Buffer(side, if deaf { 0 } else { 4096 }));
    let act = prop_oneof![12 => ask, 1 => Just(Act::Stop), 3 => buffer];
    let byte = (0..5_u16, side, 0..3_u8, prop::option::of(act))
        .prop_map(|(port, side, actor, act)| Step::Byte(port, side, actor, act));
    let change = (0..3_u8, wishes()).prop_map(|(actor, wishes)| Step::Change(actor, wishes));
    prop_oneof![60 => byte, 3 => change, 1 => (0..3_u8).prop_map(Step::Close)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whatever is asked of whichever flows: what is told and read is what a plain list for each flow says.
    #[test]
    fn told_as_a_plain_list_says(
        mut passive in prop::collection::vec(wishes(), 3),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut bench, monitors) = bench(&passive);
        let mut open = [true; 3];
        let mut host = Changer::default();
        let mut flows: BTreeMap<u16, Flow> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Change(actor, wishes) => {
                    let mut start = bench.start(actor);
                    match start.monitor(monitors[usize::from(actor)]) {
                        Ok(mut monitor) => for hook in HOOKS {
                            monitor.unsubscribe(hook, EventSet::at(hook)).unwrap();
                            monitor.subscribe(hook, wishes[hook as usize]).unwrap();
                        },
                        Err(error) => prop_assert_eq!(
                            (error, open[usize::from(actor)]), (SubscribeError::StaleHandle, false)),
                    }
                    passive[usize::from(actor)] = wishes;
                }
                Step::Close(actor) => {
                    let closed = bench.start(actor).close(monitors[usize::from(actor)]);
                    prop_assert_eq!(closed.is_ok(), open[usize::from(actor)]);
                    open[usize::from(actor)] = false;
                    flows.values_mut().for_each(|flow| { flow.0.remove(&actor); });
                }
                Step::Byte(port, side, actor, act) => {
                    let side = if let Some(flow) = flows.get_mut(&port) {
                        host.acts.extend(act.clone().map(|act| (ActorId(actor), act)));
                        let expected = told(flow, side, actor, act.as_ref());
                        send(&mut bench, &mut host, port, side, flow.1[side as usize]);
                        prop_assert_eq!(core::mem::take(&mut host.log), expected);
                        host.acts.clear();
                        continue;
                    } else {
                        CLIENT
                    };
                    let model = |at: usize| Model { events: passive[at], deaf: [false; 2], read: [0; 2] };
                    let attached = (0..3).filter(|at| open[usize::from(*at)]);
                    let models = attached.map(|at| (at, model(usize::from(at)))).collect();
                    let flow = flows.entry(port).or_insert((models, [0; 2]));
                    let expected = told(flow, side, 9, None);
                    send(&mut bench, &mut host, port, side, 1);
                    prop_assert_eq!(core::mem::take(&mut host.log), expected);
                }
            }
        }
        bench.shard.finish(&mut host);
        prop_assert_eq!(bench.shard.buffered_bytes(), 0);
        prop_assert!(bench.shard.subscription_sets() <= 66, "sets nobody has are given back");
        prop_assert_eq!(bench.shard.counters().subscriptions_refused, 0);
    }
}
