//! Streams that are edited on their way between real ends, over links that lose, repeat and reorder: each receiver gets exactly
//! the edited stream, and neither end notices anything.

use std::collections::BTreeMap;

use mosaic_engine::actor::{ActorId, FlowContext, Host, PacketView};
use mosaic_engine::event::{Event, EventSet, Hook, Side, Verdict};
use mosaic_engine::flow::Endpoint;
use mosaic_engine::shard::edit::EditError;
use mosaic_engine::shard::{Profile, Route, Shard, ShardConfig, ShardCounters};
use mosaic_engine::wire::{Buffer, Ingress, Parsed, WireConfig};
use mosaic_port::{LinkType, Timestamp};
use mosaic_sim::{Burst, Middlebox, PerMille, Random, Scenario, World};

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

/// One direction: who sends, and who receives.
type Way = (Endpoint, Endpoint);

/// An actor that edits, and knows what must come of it.
struct Editor {
    random: Random,
    habit: Habit,
    chance: PerMille,
    drops: PerMille,
    /// What receivers are to get.
    edited: BTreeMap<Way, Vec<u8>>,
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
        assert_eq!(hook, Hook::Send);
        let sender = packet.sender;
        let Some(fresh_from) = flow.fresh_from() else {
            return Verdict::Forward;
        };
        if self.random.happens(self.drops) {
            return Verdict::DropUnseen;
        }
        if self.habit != Habit::Nothing && self.random.happens(self.chance) {
            self.edit(flow, fresh_from);
        }
        let expected = flow.fresh_offset().expect("a stream that is edited");
        let now = flow.packet().expect("at a hook").payload()[fresh_from..].to_vec();
        let edited = self.edited.entry(Self::way(flow, sender)).or_default();
        let expected = usize::try_from(expected).expect("a short stream");
        if !now.is_empty() {
            // What was dropped is decided again.
            assert!(edited.len() >= expected, "the stream is ahead of its edits");
            edited.truncate(expected);
            edited.extend(now);
        }
        Verdict::Forward
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

    fn on_removed(&mut self, _: ActorId, _: &mut FlowContext<'_>) {}
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
        let mut burst = Burst::default();
        for (_, frame) in frames {
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
        out
    }
}

/// Runs the world of `seed` and looks at what every end has got. Returns what the shard counted, and how many edits there were.
fn check(seed: u64, habit: Habit, profile: Profile) -> (ShardCounters, u64) {
    let mut random = Random::new(seed);
    let scenario = Scenario::lasting(&mut random);
    let editor = Editor {
        habit,
        chance: PerMille(random.pick(&[50, 400, 1000])),
        drops: PerMille(random.pick(&[0, 0, 20])),
        random: random.split(),
        edited: BTreeMap::new(),
        read: BTreeMap::new(),
        edits: 0,
    };
    let config = ShardConfig {
        profile,
        ..patient()
    };
    let mut middle = Box::new(config, editor);
    let passages = World::run_through(seed, &scenario, &mut middle);
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
            let edited = middle.editor.edited.remove(&way).unwrap_or_default();
            let received = &passage.received[side.other() as usize];
            assert_eq!(received.len(), edited.len(), "{way:?}");
            assert!(*received == edited, "{way:?}: other bytes");
            if habit == Habit::Nothing {
                assert!(
                    edited == passage.sent[side as usize],
                    "{way:?}: not what was sent"
                );
            }
            let read = middle.editor.read.remove(&way).unwrap_or_default();
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
    for_each_seed(200, |seed| {
        check(seed, Habit::Anything, Profile::Record);
    });
}

#[test]
fn so_it_does_where_segments_are_refused() {
    for_each_seed(100, |seed| {
        check(seed, Habit::Anything, Profile::Receiver);
    });
}

#[test]
fn lengths_that_stay_and_streams_that_are_left_alone() {
    for_each_seed(60, |seed| {
        check(seed, Habit::SameLength, Profile::Receiver);
        check(seed, Habit::Nothing, Profile::Receiver);
    });
}

#[test]
fn everything_that_can_happen_happens() {
    let mut sum = ShardCounters::default();
    let mut edits = 0;
    for seed in 0..40 {
        let (counters, made) = check(seed, Habit::Anything, Profile::Receiver);
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
