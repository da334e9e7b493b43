//! Streams that are edited on their way between real ends, over links that lose, repeat and reorder: each receiver gets exactly
//! the edited stream, and neither end notices anything.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mosaic_engine::actor::{ActorId, FlowContext, Host, PacketView, Translation};
use mosaic_engine::event::{Event, EventSet, Hook, Side, Verdict};
use mosaic_engine::flow::Endpoint;
use mosaic_engine::shard::edit::EditError;
use mosaic_engine::shard::{Profile, Route, Shard, ShardConfig, ShardCounters};
use mosaic_engine::wire::{Buffer, Ingress, Parsed, WireConfig};
use mosaic_port::{LinkType, Timestamp};
use mosaic_sim::{Burst, Link, Middlebox, PerMille, Random, Scenario, World};

use crate::{for_each_seed, patient};

/// What an editor does to streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Habit {
    /// Inserts, cuts, replaces.
    Anything,
    /// Changes bytes, but no lengths.
    SameLength,
    /// Nothing.
    Nothing,
}

/// Where it does that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hooks {
    Send,
    Receive,
    Both,
}

impl Hooks {
    fn chances(self, random: &mut Random) -> [PerMille; 2] {
        let mut chance = |edits: bool| {
            let chance = PerMille(random.pick(&[50, 400, 1000]));
            if edits { chance } else { PerMille::NEVER }
        };
        [chance(self != Self::Receive), chance(self != Self::Send)]
    }
}

/// One direction: who sends, and who receives.
type Way = (Endpoint, Endpoint);

/// An actor that edits, and knows what must come of it.
struct Editor {
    random: Random,
    habit: Habit,
    /// How often it edits at `Send`, and at `Receive`.
    chances: [PerMille; 2],
    drops: PerMille,
    /// The server is to see other ends: [`turned`].
    translates: bool,
    /// What the emulated receivers are to get: the streams as `Send` leaves them.
    edited: BTreeMap<Way, Vec<u8>>,
    /// What real receivers are to get: the same as `Receive` leaves them.
    forwarded: BTreeMap<Way, Vec<u8>>,
    /// What readers of the emulated receivers got.
    read: BTreeMap<Way, Vec<u8>>,
    edits: u64,
}

impl Editor {
    /// Changes the new part of the packet at hand, `fresh_from` on.
    fn edit(&mut self, flow: &mut FlowContext<'_>, fresh_from: usize) {
        for _ in 0..self.random.within(1..=3) {
            let len = flow.packet().expect("at a hook").payload().len();
            let at = self.random.size(fresh_from..=len);
            let removed_max = (len - at).min(self.random.pick(&[0, 3, 3000]));
            let removed = self.random.size(0..=removed_max);
            let added_max = self.random.pick(&[0, 5, 80, 4000]);
            let added = match self.habit {
                Habit::Anything => self.random.size(0..=added_max),
                _ => removed,
            };
            let added = self.random.bytes(added);
            let done = match self.random.within(0..=3) {
                0 if removed == 0 => flow.insert_payload(at, &added),
                1 if added.is_empty() => flow.cut_payload(at, removed),
                2 if added.len() == removed => flow
                    .edit()
                    .and_then(|mut edit| edit.overwrite_payload(at, &added)),
                _ => flow.replace_payload(at, removed, &added),
            };
            match done {
                Ok(()) => self.edits += 1,
                // Nothing of it is new; on a SYN lengths stay; too much was inserted.
                Err(EditError::Decided | EditError::Layout | EditError::TooLong) => {}
                Err(EditError::TooManyEdits | EditError::NoRoom) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn way(flow: &FlowContext<'_>, sender: Side) -> Way {
        (flow.endpoint(sender), flow.endpoint(sender.other()))
    }
}

impl Host for Editor {
    fn on_packet(
        &mut self,
        _: ActorId,
        flow: &mut FlowContext<'_>,
        packet: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        let sender = packet.sender;
        let is_send = hook == Hook::Send;
        if self.translates && is_send && sender == Side::Client && flow.translation().is_none() {
            let [client, server] = Side::BOTH.map(|side| Some(turned(flow.endpoint(side))));
            let translation = Translation {
                client,
                server,
                ..Translation::default()
            };
            flow.translate(translation).expect("the opening packet");
        }
        let Some(fresh_from) = flow.fresh_from() else {
            return Verdict::Forward;
        };
        let drops = self.random.happens(self.drops);
        if drops && is_send {
            return Verdict::DropUnseen;
        }
        let chance = self.chances[usize::from(!is_send)];
        if self.habit != Habit::Nothing && self.random.happens(chance) {
            self.edit(flow, fresh_from);
        }
        let expected = flow.fresh_offset().expect("a stream that is edited");
        let now = flow.packet().expect("at a hook").payload()[fresh_from..].to_vec();
        let streams = if is_send {
            &mut self.edited
        } else {
            &mut self.forwarded
        };
        let edited = streams.entry(Self::way(flow, sender)).or_default();
        let expected = usize::try_from(expected).expect("a short stream");
        if !now.is_empty() {
            // What was dropped is decided again.
            assert!(edited.len() >= expected, "the stream is ahead of its edits");
            edited.truncate(expected);
            edited.extend(now);
        }
        if drops {
            // What becomes of it is decided nevertheless.
            Verdict::Drop
        } else {
            Verdict::Forward
        }
    }

    fn on_event(&mut self, _: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let Event::NewData(side) = event else { return };
        let read = self.read.entry(Self::way(flow, side)).or_default();
        let taken = flow.peek(side, |chunks| {
            let mut taken = 0;
            for chunk in chunks {
                read.extend(chunk);
                taken += chunk.len();
            }
            taken
        });
        taken.expect("new data");
    }
}

/// The other end that the server sees in the place of one, and the other way round.
fn turned(end: Endpoint) -> Endpoint {
    let addr = match end.addr {
        IpAddr::V4(addr) => IpAddr::V4((addr.to_bits() ^ TURN).into()),
        IpAddr::V6(addr) => IpAddr::V6((addr.to_bits() ^ u128::from(TURN)).into()),
    };
    let port = end.port ^ PORT_TURN;
    Endpoint { addr, port }
}

const TURN: u32 = 0x5500_0055;
const PORT_TURN: u16 = 0x4000;

/// A TCP segment over IP in Ethernet whose ends are [`turned`], its checksums made anew.
fn turn(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let ip = &mut frame[14..];
    let (addresses, len, at) = match ip[0] >> 4 {
        4 => {
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            (12..20, total, usize::from(ip[0] & 0xf) * 4)
        }
        _ => {
            let payload = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            (8..40, 40 + payload, 40)
        }
    };
    for end in ip[addresses.clone()].chunks_mut(addresses.len() / 2) {
        let low = end.len() - 4;
        for (byte, turn) in end[low..].iter_mut().zip(TURN.to_be_bytes()) {
            *byte ^= turn;
        }
    }
    for high in [at, at + 2] {
        ip[high] ^= PORT_TURN.to_be_bytes()[0];
    }
    if ip[0] >> 4 == 4 {
        ip[10..12].fill(0);
        let sum = checksum(&ip[..at], 0);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    ip[at + 16..at + 18].fill(0);
    let pseudo = !u32::from(checksum(&ip[addresses], 0)) & 0xffff;
    let of_length = u32::try_from(len - at).expect("a short packet") + 6;
    let sum = checksum(&ip[at..len], pseudo + of_length);
    ip[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// RFC 1071, word by word.
fn checksum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    let mut sum = start + words.sum::<u32>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).expect("folded")
}

/// A shard between two links.
struct Box {
    ingress: Ingress,
    parsed: Parsed,
    shard: Shard,
    editor: Editor,
    received: u64,
    dropped: u64,
    injected: u64,
    forwarded: u64,
}

impl Box {
    fn new(config: ShardConfig, editor: Editor) -> Self {
        let mut shard = Shard::new(config);
        shard.set_inline(true);
        shard
            .start_actor(ActorId(0))
            .monitor_stream(None)
            .packets(Hook::Send)
            .packets(Hook::Receive)
            .on(Hook::End, EventSet::NEW_DATA)
            .edits()
            .open()
            .expect("a monitor");
        Self {
            ingress: Ingress::new(WireConfig::default()),
            parsed: Parsed::default(),
            shard,
            editor,
            received: 0,
            dropped: 0,
            injected: 0,
            forwarded: 0,
        }
    }
}

impl Middlebox for Box {
    fn handle_frames(
        &mut self,
        now: Timestamp,
        frames: &[(Side, Vec<u8>)],
    ) -> Vec<(Side, Vec<u8>)> {
        let translates = self.editor.translates;
        let as_it_comes = |(sender, frame): &(Side, Vec<u8>)| {
            let is_turned = translates && *sender == Side::Server;
            let frame = if is_turned {
                turn(frame)
            } else {
                frame.clone()
            };
            (*sender, frame)
        };
        let frames: Vec<_> = frames.iter().map(as_it_comes).collect();
        let mut burst = Burst::default();
        for (_, frame) in &frames {
            burst.push(now, LinkType::ETHERNET, frame);
        }
        self.ingress.parse(&burst, &mut self.parsed);
        assert_eq!(
            self.parsed.packets.len(),
            frames.len(),
            "every frame is good"
        );
        let bytes: Vec<&[u8]> = frames.iter().map(|(_, frame)| &frame[..]).collect();
        let packets = &self.parsed.packets;
        let dropped = self.shard.handle_burst(
            packets,
            &bytes,
            &self.parsed.encapsulations,
            &mut self.editor,
        );
        let mut out = Vec::new();
        for (i, (sender, frame)) in frames.iter().enumerate() {
            assert_eq!(
                packets[i].buffer,
                Buffer::Frame(u8::try_from(i).expect("a burst"))
            );
            let with = |wanted: bool| {
                self.shard
                    .injected()
                    .filter_map(move |injected| match injected.route {
                        Route::With {
                            packet,
                            before,
                            back,
                        } if usize::from(packet) == i && before == wanted => Some((
                            if back { *sender } else { sender.other() },
                            injected.bytes.to_vec(),
                        )),
                        _ => None,
                    })
            };
            out.extend(with(true));
            if dropped >> i & 1 == 0 {
                let frame = self.shard.changed(i).unwrap_or(frame);
                out.push((sender.other(), frame.to_vec()));
            } else {
                self.dropped += 1;
            }
            out.extend(with(false));
        }
        self.received += frames.len() as u64;
        self.injected += self.shard.injected().count() as u64;
        self.forwarded += out.len() as u64;
        for (to, frame) in &mut out {
            if translates && *to == Side::Server {
                *frame = turn(frame);
            }
        }
        out
    }
}

/// What is done to the connections of a world.
#[derive(Clone, Copy)]
struct Task {
    habit: Habit,
    hooks: Hooks,
    profile: Profile,
    /// The server is [`turned`] and sees a turned client.
    translates: bool,
}

impl Task {
    const fn new(habit: Habit, hooks: Hooks, profile: Profile) -> Self {
        Self {
            habit,
            hooks,
            profile,
            translates: false,
        }
    }
}

/// Runs the world of `seed` and looks at what every end has got. Returns what the shard counted, and how many edits there were.
fn check(seed: u64, task: Task) -> (ShardCounters, u64) {
    let mut random = Random::new(seed);
    let scenario = Scenario::lasting(&mut random);
    check_in(&scenario, (seed, random), task)
}

/// The same in a scenario.
fn check_in(
    scenario: &Scenario,
    (seed, mut random): (u64, Random),
    task: Task,
) -> (ShardCounters, u64) {
    let Task {
        habit,
        hooks,
        profile,
        translates,
    } = task;
    let editor = Editor {
        habit,
        translates,
        chances: hooks.chances(&mut random),
        drops: PerMille(random.pick(&[0, 0, 20])),
        random: random.split(),
        edited: BTreeMap::new(),
        forwarded: BTreeMap::new(),
        read: BTreeMap::new(),
        edits: 0,
    };
    let config = ShardConfig {
        profile,
        ..patient()
    };
    let mut middle = Box::new(config, editor);
    let passages = World::run_through(seed, scenario, &mut middle);
    assert_eq!(passages.len(), scenario.connections);
    assert_eq!(
        middle.received + middle.injected,
        middle.forwarded + middle.dropped,
        "the books balance"
    );
    middle.shard.finish(&mut middle.editor);
    for passage in &passages {
        for side in Side::BOTH {
            let way = (passage.ends.of(side), passage.ends.of(side.other()));
            // The editor knows those that the server has opened by their other ends.
            let is_turned = translates && !middle.editor.edited.contains_key(&way);
            let known = if is_turned {
                (turned(way.0), turned(way.1))
            } else {
                way
            };
            let edited = middle.editor.edited.remove(&known).unwrap_or_default();
            let forwarded = middle.editor.forwarded.remove(&known).unwrap_or_default();
            let received = &passage.received[side.other() as usize];
            assert_eq!(received.len(), forwarded.len(), "{way:?}");
            assert!(*received == forwarded, "{way:?}: other bytes");
            if hooks == Hooks::Send {
                assert!(forwarded == edited, "{way:?}: changed behind `Send`");
            }
            if habit == Habit::Nothing {
                assert!(
                    forwarded == passage.sent[side as usize],
                    "{way:?}: not what was sent"
                );
            }
            let read = middle.editor.read.remove(&known).unwrap_or_default();
            if profile == Profile::Record {
                // A keep-alive probe behind the FIN has a byte that no receiver takes.
                let read = &read[..read.len().min(edited.len())];
                assert!(read == edited, "{way:?}: the reader has other bytes");
            }
        }
        assert_eq!(
            passage.finished, [true; 2],
            "{:?}: an end still waits",
            passage.ends
        );
    }
    (*middle.shard.counters(), middle.editor.edits)
}

#[test]
fn a_receiver_gets_exactly_the_edited_stream() {
    for_each_seed(100, |seed| {
        let task = Task::new(Habit::Anything, Hooks::Send, Profile::Record);
        check(seed, task);
    });
}

/// Its emulation, and who reads the stream, get what was there before.
#[test]
fn so_it_does_where_streams_are_edited_onward() {
    for_each_seed(150, |seed| {
        for hooks in [Hooks::Receive, Hooks::Both] {
            check(seed, Task::new(Habit::Anything, hooks, Profile::Record));
        }
    });
}

#[test]
fn so_it_does_where_segments_are_refused() {
    for_each_seed(100, |seed| {
        for hooks in [Hooks::Send, Hooks::Both] {
            check(seed, Task::new(Habit::Anything, hooks, Profile::Receiver));
        }
    });
}

/// A rewriting proxy behind a NAT.
#[test]
fn edited_streams_may_be_translated() {
    for_each_seed(100, |seed| {
        let task = Task {
            translates: true,
            ..Task::new(Habit::Anything, Hooks::Both, Profile::Receiver)
        };
        let (counters, _) = check(seed, task);
        assert_eq!(counters.untranslated, 0);
    });
}

#[test]
fn lengths_that_stay_and_streams_that_are_left_alone() {
    for_each_seed(60, |seed| {
        for habit in [Habit::SameLength, Habit::Nothing] {
            check(seed, Task::new(habit, Hooks::Both, Profile::Receiver));
        }
    });
}

#[test]
fn everything_that_can_happen_happens() {
    let mut sum = ShardCounters::default();
    let mut edits = 0;
    for seed in 0..40 {
        let task = Task::new(Habit::Anything, Hooks::Both, Profile::Receiver);
        let (counters, made) = check(seed, task);
        sum += counters;
        edits += made;
    }
    assert!(edits > 1000);
    for (name, count) in [
        ("held", sum.held),
        ("held again", sum.held_again),
        ("released", sum.held_released),
        ("answered", sum.edits_answered),
    ] {
        assert!(count > 0, "{name}");
    }
}

/// Senders whose receivers offer far more than may wait: they are offered less, and nothing that waits is dropped.
#[test]
fn no_more_is_under_way_than_may_wait() {
    let mut sum = ShardCounters::default();
    for_each_seed(6, |seed| {
        let counters = check_long(seed);
        assert_eq!(counters.held_refused, 0);
    });
    for seed in 0..3 {
        sum += check_long(seed);
    }
    assert!(sum.held > 3000, "{} have waited", sum.held);
}

fn check_long(seed: u64) -> ShardCounters {
    let link = |loss| Link {
        delay_ns: 20_000_000,
        loss: PerMille(loss),
        ..Link::default()
    };
    let scenario = Scenario {
        connections: 2,
        near: link(2),
        far: link(2),
        data_max: 4_000_000,
        under_way: Some(8000),
        poll_ns: 100_000,
        linger_ns: 1 << 40,
        retries_max: 500,
        ..Scenario::default()
    };
    let task = Task::new(Habit::Anything, Hooks::Both, Profile::Receiver);
    check_in(&scenario, (seed, Random::new(seed)), task).0
}
