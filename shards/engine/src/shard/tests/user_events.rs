//! User-defined events: trees of them, groups, raised by hand.

use proptest::prelude::*;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use super::fixture::{Bench, CLIENT, SERVER, letters};
use crate::actor::{
    ActorId, FlowContext, Host, MonitorId, OpenError, PacketView, PeekError, ShardContext, TimerId,
};
use crate::event::{
    DefineError, Event, EventSet, Hook, RaiseError, Side, Topic, UserEventId, Verdict,
};
use crate::limits;
use crate::shard::ShardConfig;
use crate::wire::Encapsulation;

type Log = Rc<RefCell<Vec<String>>>;

/// Writes down what is told; raises events in answer to others.
#[derive(Default)]
struct Raiser {
    log: Log,
    /// In answer to which event what is raised.
    answers: Vec<(Option<UserEventId>, UserEventId, u64)>,
    results: Vec<Result<(), RaiseError>>,
    /// Whether a timer is set at the next packet.
    sets_timer: bool,
}

impl Raiser {
    fn answer(&mut self, to: Option<UserEventId>, flow: &mut FlowContext<'_>) {
        for (trigger, event, payload) in &self.answers {
            if *trigger == to {
                self.results.push(flow.raise(*event, *payload));
            }
        }
    }
}

impl Host for Raiser {
    fn on_packet(
        &mut self,
        actor: ActorId,
        flow: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        self.log
            .borrow_mut()
            .push(format!("{} packet {hook:?}", actor.0));
        if core::mem::take(&mut self.sets_timer) {
            flow.set_timer(core::time::Duration::from_nanos(1)).unwrap();
        } else {
            self.answer(None, flow);
        }
        Verdict::Forward
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let hook = if flow.packet().is_some() {
            ""
        } else {
            " at the end"
        };
        let line = match event {
            Event::User { event, payload } => format!("{} e{} {payload}", actor.0, event.index),
            event => format!("{} {event:?}", actor.0),
        };
        self.log.borrow_mut().push(line + hook);
        if let Event::User { event, .. } = event {
            self.answer(Some(event), flow);
        }
    }

    fn on_removed(&mut self, _: ActorId, flow: &mut FlowContext<'_>) {
        self.answer(None, flow);
    }

    fn on_timer(&mut self, _: ActorId, flow: &mut FlowContext<'_>, _: TimerId) {
        self.log.borrow_mut().push("timer".into());
        self.answer(None, flow);
    }
}

/// A shard whose events tell the log when their predicates are asked.
struct Tree {
    bench: Bench,
    host: Raiser,
    seq: [u32; 2],
}

impl Tree {
    fn new() -> Self {
        let config = ShardConfig {
            flows_max: 16,
            ..ShardConfig::default()
        };
        Self {
            bench: Bench::without_actors(config),
            host: Raiser::default(),
            seq: [1; 2],
        }
    }

    /// Defines an event that happens always, or never.
    fn define(&mut self, base: impl Into<Topic>, happens: bool) -> UserEventId {
        let log = Rc::clone(&self.host.log);
        let name = format!(
            "event {}",
            self.bench.shard.monitors_mut().users.nodes.len()
        );
        let mut start = self.bench.start(7);
        let ask = move |_: &FlowContext<'_>, trigger: &mut crate::event::Trigger<'_>| {
            log.borrow_mut().push(format!("e{}?", trigger.id().index));
            happens
        };
        start.define_event(&name, base, ask).unwrap()
    }

    fn raised(&mut self, base: impl Into<Topic>) -> UserEventId {
        let name = format!(
            "event {}",
            self.bench.shard.monitors_mut().users.nodes.len()
        );
        self.bench.start(7).define_raised(&name, base).unwrap()
    }

    fn monitor(&mut self, actor: u8, asks: &[(Hook, Topic)]) -> MonitorId {
        let mut start: ShardContext<'_> = self.bench.start(actor);
        let builder = start.monitor_stream(None);
        let builder = asks
            .iter()
            .fold(builder, |monitor, (hook, topic)| monitor.on(*hook, *topic));
        builder.open().unwrap()
    }

    /// What is told of some bytes.
    fn send(&mut self, from: Side, payload: &str) -> Vec<String> {
        let seq = self.seq[from as usize];
        self.seq[from as usize] += payload.len() as u32;
        let segment = self
            .bench
            .segment(from, letters("A"), seq, 1, payload.as_bytes());
        let layers = [Encapsulation::default()];
        let host = &mut self.host;
        self.bench
            .shard
            .handle_burst(&[segment.0], &[&segment.1], &layers, host);
        self.bench.now_ms += 1;
        self.host.log.take()
    }
}

const PACKET_IN: Topic = Topic::BuiltIn(EventSet::PACKET_IN);
const NEW_DATA: Topic = Topic::BuiltIn(EventSet::NEW_DATA);

#[test]
fn bases_come_before_what_is_built_on_them() {
    let mut tree = Tree::new();
    let first = tree.define(EventSet::PACKET_IN, true);
    let second = tree.define(EventSet::PACKET_IN, true);
    let on_first = tree.define(first, true);
    let never = tree.define(first, false);
    let on_never = tree.define(never, true);
    let unheard = tree.define(second, true);
    let _ = unheard;
    let send = Hook::Send;
    tree.monitor(
        0,
        &[
            (send, PACKET_IN),
            (send, first.into()),
            (send, on_first.into()),
        ],
    );
    tree.monitor(
        1,
        &[
            (send, on_first.into()),
            (send, second.into()),
            (send, on_never.into()),
        ],
    );
    assert_eq!(
        tree.send(CLIENT, "x"),
        [
            "0 packet Send",
            "e0?",
            "0 e0 0",
            "e2?",
            "0 e2 0",
            "1 e2 0",
            "e3?",
            "e1?",
            "1 e1 0"
        ]
    );
    // The chain is the same as for other events.
    let told = tree.send(SERVER, "x");
    assert_eq!(told[4..6], ["1 e2 0", "0 e2 0"]);
    assert_eq!(
        tree.bench.shard.events()[10],
        6,
        "user-defined events are counted"
    );
}

#[test]
fn predicates_look_at_the_packet_and_at_the_bytes() {
    let mut tree = Tree::new();
    let mut start = tree.bench.start(0);
    let syn = start.define_event("large", EventSet::PACKET_IN, |flow, trigger| {
        assert_eq!(
            (trigger.event(), trigger.base()),
            (Event::PacketIn, Event::PacketIn)
        );
        assert_eq!(trigger.hook(), Hook::Receive);
        let payload = flow.packet().unwrap().payload();
        trigger.set_payload(payload.len() as u64);
        payload.len() > 3
    });
    let request = start.define_event("request", EventSet::NEW_DATA, |flow, trigger| {
        let Event::NewData(side) = trigger.event() else {
            return false;
        };
        assert!(flow.packet().is_none());
        let mut start = [0; 4];
        let end = flow.stream_info(side).unwrap().expected;
        let held = flow.peek_at(side, end.saturating_sub(5), &mut start);
        held == Ok(4) && start == *b"GET "
    });
    let (large, request) = (syn.unwrap(), request.unwrap());
    let nested = start.define_event("nested", large, |_, trigger| {
        let Event::User { payload, .. } = trigger.base() else {
            return false;
        };
        trigger.event() == Event::PacketIn && payload > 4
    });
    let asks = [
        (Hook::Receive, large.into()),
        (Hook::Receive, nested.unwrap().into()),
        (Hook::End, request.into()),
    ];
    tree.monitor(0, &asks);
    assert!(tree.send(CLIENT, "abc").is_empty());
    assert_eq!(tree.send(CLIENT, "abcd"), ["0 e0 4"]);
    let told = ["0 e0 5", "0 e2 0", "0 e1 0 at the end"];
    assert_eq!(tree.send(CLIENT, "GET /"), told);
    assert_eq!(
        tree.bench.shard.buffered_bytes(),
        0,
        "nobody reads, so nothing is kept"
    );
    assert_eq!(tree.bench.shard.counters().copied_bytes, 0);
}

/// One predicate raises any number of what is built on it.
#[test]
fn groups() {
    let mut tree = Tree::new();
    let mut start = tree.bench.start(0);
    let group = start.define_event("patterns", EventSet::PACKET_IN, |flow, trigger| {
        let id = |index| UserEventId {
            index,
            ..trigger.id()
        };
        let (own, foreign) = (id(0), UserEventId { shard: 9, index: 1 });
        let ids = [1, 2, 3].map(id);
        let payload = flow.packet().unwrap().payload();
        for wrong in [own, ids[2], foreign, id(99)] {
            assert_eq!(trigger.raise(wrong, 0), Err(RaiseError::BadEvent));
        }
        for (at, byte) in (1..).zip(payload) {
            match byte {
                b'a' => trigger.raise(ids[0], at).unwrap(),
                b'b' => trigger.raise(ids[1], at).unwrap(),
                _ => {}
            }
        }
        payload != b"no"
    });
    let group = group.unwrap();
    let a = start.define_raised("a", group).unwrap();
    let b = start.define_raised("b", group).unwrap();
    let unrelated = start.define_raised("c", EventSet::PACKET_IN).unwrap();
    let on_b = start.define_event("on b", b, |_, _| true).unwrap();
    let all = [a, b, unrelated, on_b].map(|event| (Hook::Send, event.into()));
    tree.monitor(0, &all);
    assert_eq!(tree.send(CLIENT, "bxab"), ["0 e1 3", "0 e2 4", "0 e4 0"]);
    assert_eq!(tree.send(CLIENT, "a"), ["0 e1 1"]);
    assert!(tree.send(CLIENT, "x").is_empty());
    assert!(tree.send(CLIENT, "no").is_empty());
}

#[test]
fn raised_by_hand() {
    let mut tree = Tree::new();
    let base = tree.raised(EventSet::STATE_CHANGE);
    let built = tree.define(base, true);
    let both = [Hook::Send, Hook::End];
    let asks: Vec<_> = both
        .iter()
        .flat_map(|hook| [(*hook, base.into()), (*hook, built.into())])
        .collect();
    tree.monitor(0, &[(Hook::Send, PACKET_IN), (Hook::Receive, PACKET_IN)]);
    tree.monitor(1, &asks);
    assert_eq!(
        tree.send(CLIENT, "x"),
        ["0 packet Send", "0 packet Receive"]
    );
    tree.host.answers = [(None, base, 5)].into();
    let told = [
        "0 packet Send",
        "1 e0 5",
        "e1?",
        "1 e1 0",
        "0 packet Receive",
        "1 e0 5 at the end",
        "e1?",
        "1 e1 0 at the end",
        "1 e0 5 at the end",
        "e1?",
        "1 e1 0 at the end",
    ];
    assert_eq!(tree.send(CLIENT, "x"), told);
    // What has a predicate may be raised by hand as well: it is not asked.
    tree.host.answers = [(None, built, 6)].into();
    assert_eq!(tree.send(CLIENT, "x")[1], "1 e1 6");

    tree.host.sets_timer = true;
    tree.host.answers = [(None, base, 7)].into();
    tree.send(CLIENT, "x");
    let told = tree.send(CLIENT, "x");
    let end = ["timer", "1 e0 7 at the end", "e1?", "1 e1 0 at the end"];
    assert_eq!(told[told.len() - 4..], end);
    assert!(tree.host.results.iter().all(Result::is_ok));
    tree.host.results.clear();
    tree.bench.shard.finish(&mut tree.host);
    assert_eq!(tree.host.results, [Err(RaiseError::Leaving); 2]);
    assert_eq!(RaiseError::Leaving.errno(), "ENOTCONN");
}

#[test]
fn an_endless_answer_ends() {
    let mut tree = Tree::new();
    let event = tree.raised(EventSet::STATE_CHANGE);
    tree.monitor(0, &[(Hook::Send, PACKET_IN), (Hook::Send, event.into())]);
    tree.host.answers = [(None, event, 0), (Some(event), event, 1)].into();
    let told = tree.send(CLIENT, "x");
    assert_eq!(told.len(), 1 + limits::RAISED_EVENTS);
    assert_eq!(tree.host.results.pop(), Some(Err(RaiseError::TooMany)));
    assert_eq!(tree.bench.shard.counters().raises_refused, 1);
    let told = tree.send(CLIENT, "x");
    assert_eq!(
        told.len(),
        1 + limits::RAISED_EVENTS,
        "each event has an answer of its own"
    );
    assert_eq!(RaiseError::TooMany.errno(), "ENOBUFS");
    assert_eq!(RaiseError::BadEvent.errno(), "EINVAL");
}

#[test]
fn definitions() {
    let mut tree = Tree::new();
    let mut start = tree.bench.start(0);
    let base = start
        .define_event("base", EventSet::NEW_DATA, |_, _| true)
        .unwrap();
    let again = start.define_event("base", EventSet::NEW_DATA, |_, _| false);
    assert_eq!(again, Ok(base), "the same");
    assert_eq!(
        start.define_raised("base", EventSet::NEW_DATA),
        Err(DefineError::NameTaken)
    );
    assert_eq!(
        start.define_raised("base", EventSet::ERROR),
        Err(DefineError::NameTaken)
    );
    let foreign = UserEventId { shard: 1, ..base };
    for bad in [
        Topic::BuiltIn(EventSet::NEW_DATA | EventSet::ERROR),
        Topic::BuiltIn(EventSet::empty()),
        Topic::User(foreign),
    ] {
        assert_eq!(start.define_raised("bad", bad), Err(DefineError::BadBase));
    }
    let nested = start.define_raised("nested", base).unwrap();
    assert_eq!(
        tree.bench.start(3).event("nested"),
        Some(nested),
        "for every actor"
    );
    assert_eq!(tree.bench.start(3).event("bad"), None);

    // Hooks are those of the built-in event.
    let mut start = tree.bench.start(0);
    let early = start.monitor_stream(None).on(Hook::Receive, nested).open();
    assert_eq!(early, Err(OpenError::BadHook));
    let packets = start.define_raised("packets", EventSet::PACKET_IN).unwrap();
    let late = start.monitor_stream(None).on(Hook::End, packets).open();
    assert_eq!(late, Err(OpenError::BadHook));
    let strange = start.monitor_stream(None).on(Hook::End, foreign).open();
    assert_eq!(strange, Err(OpenError::BadEvent));
    assert!(
        start
            .monitor_stream(None)
            .on(Hook::End, nested)
            .open()
            .is_ok()
    );

    for n in 3..limits::USER_EVENTS {
        start.define_raised(&format!("{n}"), nested).unwrap();
    }
    assert_eq!(
        start.define_raised("one more", nested),
        Err(DefineError::NoRoom)
    );
    let errnos = [
        DefineError::NoRoom,
        DefineError::BadBase,
        DefineError::NameTaken,
    ];
    assert_eq!(
        errnos.map(DefineError::errno),
        ["ENOMEM", "EINVAL", "EINVAL"]
    );
}

#[test]
fn the_deepest_tree_is_walked() {
    let mut tree = Tree::new();
    let mut last = tree.define(EventSet::NEW_DATA, true);
    for _ in 1..limits::USER_EVENTS {
        last = tree.define(last, true);
    }
    tree.monitor(0, &[(Hook::End, last.into())]);
    let told = tree.send(CLIENT, "x");
    assert_eq!(told.len(), limits::USER_EVENTS + 1);
    assert_eq!(told.last().unwrap(), "0 e4095 0 at the end");
}

/// Who wants no bytes of a side hears nothing that is built on them; to listen to what is built on them is not to read.
#[test]
fn what_is_built_on_new_data_follows_it() {
    let mut tree = Tree::new();
    let event = tree.define(EventSet::NEW_DATA, true);
    tree.monitor(0, &[(Hook::End, event.into())]);
    assert_eq!(tree.send(CLIENT, "x"), ["e0?", "0 e0 0 at the end"]);

    struct Deafens(Vec<PeekError>);
    impl Host for Deafens {
        fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, _: Event) {
            self.0.extend(flow.peek(CLIENT, |_| 0).err());
            flow.stop_side(CLIENT);
        }
    }
    let mut deafens = Deafens(Vec::new());
    let segment = tree.bench.segment(CLIENT, letters("A"), 2, 1, b"y");
    tree.seq[0] = 3;
    let layers = [Encapsulation::default()];
    tree.bench
        .shard
        .handle_burst(&[segment.0], &[&segment.1], &layers, &mut deafens);
    assert_eq!(deafens.0, [PeekError::NotReader]);
    tree.host.log.take();
    assert!(tree.send(CLIENT, "x").is_empty());
    assert_eq!(tree.send(SERVER, "x"), ["e0?", "0 e0 0 at the end"]);
}

/// A forest: on which event each is built, whether it happens, and which of two monitors ask for it.
type Forest = Vec<(Option<prop::sample::Index>, bool, u8)>;

/// What is told, by a walk over the whole forest.
fn walked(forest: &Forest, bases: &[Option<usize>], base: Option<usize>, told: &mut Vec<String>) {
    fn asked(forest: &Forest, bases: &[Option<usize>], at: usize) -> bool {
        let above = |below: &usize| bases[*below] == Some(at);
        forest[at].2 != 0
            || (0..forest.len())
                .filter(above)
                .any(|below| asked(forest, bases, below))
    }
    for at in (0..forest.len()).filter(|at| bases[*at] == base) {
        if !asked(forest, bases, at) {
            continue;
        }
        told.push(format!("e{at}?"));
        if forest[at].1 {
            let monitors = (0..2).filter(|monitor| forest[at].2 & 1 << monitor != 0);
            told.extend(monitors.map(|monitor| format!("{monitor} e{at} 0 at the end")));
            walked(forest, bases, Some(at), told);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any forest is walked as one without plans would be: depth first, in the order of definition, each asked once and only
    /// where somebody asked for it or for what is built on it.
    #[test]
    fn forests_are_walked_depth_first(
        forest in prop::collection::vec((prop::option::of(any::<prop::sample::Index>()), prop::bool::weighted(0.8), 0..4_u8), 1..40),
    ) {
        let mut tree = Tree::new();
        let (mut ids, mut bases) = (Vec::new(), Vec::new());
        for (at, (base, happens, _)) in forest.iter().enumerate() {
            let base = base.as_ref().filter(|_| at > 0).map(|base| base.index(at));
            let topic = base.map_or(NEW_DATA, |base: usize| Topic::User(ids[base]));
            ids.push(tree.define(topic, *happens));
            bases.push(base);
        }
        for monitor in 0..2 {
            let asks: Vec<_> = ids.iter().zip(&forest)
                .filter(|(_, (_, _, mask))| mask & 1 << monitor != 0)
                .map(|(id, _)| (Hook::End, Topic::User(*id)))
                .collect();
            tree.monitor(monitor, &asks);
        }
        let mut told = Vec::new();
        walked(&forest, &bases, None, &mut told);
        prop_assert_eq!(tree.send(CLIENT, "x"), told);
    }
}

/// The first one told asks for nothing more, the second closes a third: the rest of what happens is told all the same.
#[test]
fn a_walk_goes_on_in_the_set_in_which_it_began() {
    struct Changes(UserEventId, Option<MonitorId>, Vec<String>);
    impl Host for Changes {
        fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
            if let Event::User { event, .. } = event {
                self.2.push(format!("{} e{}", actor.0, event.index));
            }
            match actor.0 {
                0 => flow.unsubscribe(Hook::End, self.0).unwrap(),
                1 => self.1.take().map_or((), |third| flow.close(third).unwrap()),
                _ => {}
            }
        }
    }
    let mut tree = Tree::new();
    let (first, second) = (tree.define(NEW_DATA, true), tree.define(NEW_DATA, true));
    let asks = [first, second].map(|event| (Hook::End, Topic::User(event)));
    let monitors = [0, 1, 2].map(|actor| tree.monitor(actor, &asks));
    let mut host = Changes(first, Some(monitors[2]), Vec::new());
    let mut send = |seq, host: &mut Changes| {
        let segment = tree.bench.segment(CLIENT, letters("A"), seq, 1, b"x");
        let layers = [Encapsulation::default()];
        let shard = &mut tree.bench.shard;
        shard.handle_burst(&[segment.0], &[&segment.1], &layers, host);
        core::mem::take(&mut host.2)
    };
    assert_eq!(send(1, &mut host), ["0 e0", "1 e0", "0 e1", "1 e1"]);
    assert_eq!(send(2, &mut host), ["1 e0", "0 e1", "1 e1"]);
}
