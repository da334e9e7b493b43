//! The maps against a stream that is a list of units, one for each original position; and both ends of a connection that
//! see nothing but translated numbers.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::limits;
use crate::tcp::Seq;

/// What stands in the edited stream for each original position; `None` is the FIN.
#[derive(Clone, Debug)]
struct Model {
    units: Vec<Vec<Option<u8>>>,
    edited: Vec<bool>,
}

impl Model {
    /// A stream of these bytes, and a FIN.
    fn new(bytes: &[u8]) -> Self {
        let units: Vec<_> = bytes
            .iter()
            .map(|byte| vec![Some(*byte)])
            .chain([vec![None]])
            .collect();
        let edited = vec![false; units.len()];
        Self { units, edited }
    }

    fn edit(&mut self, at: usize, removed: usize, inserted: &[u8], with_fin: bool) {
        let mut inserted = inserted.iter().copied().map(Some);
        for unit in &mut self.units[at..at + removed - 1] {
            *unit = inserted.next().into_iter().collect();
        }
        let fin = with_fin.then_some(None);
        self.units[at + removed - 1] = inserted.chain(fin).collect();
        self.edited[at..at + removed].fill(true);
    }

    fn translate(&self, position: usize) -> usize {
        self.units[..position].iter().map(Vec::len).sum()
    }

    fn bytes(&self, start: usize, end: usize) -> Vec<u8> {
        self.units[start..end]
            .iter()
            .flatten()
            .filter_map(|unit| *unit)
            .collect()
    }

    /// Length of the edited stream, FIN included.
    fn edited_len(&self) -> usize {
        self.translate(self.units.len())
    }
}

fn bytes_of(parts: Parts<'_>, original: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Inserted(inserted) => bytes.extend(inserted),
            Part::Original(start, end) => {
                // The FIN is no byte.
                let end = usize::try_from(end).unwrap().min(original.len());
                bytes.extend(&original[usize::try_from(start).unwrap().min(end)..end]);
            }
        }
    }
    bytes
}

/// An edit somewhere; whether it is possible is for the test to see.
#[derive(Clone, Debug)]
struct Wanted {
    at: usize,
    removed: usize,
    inserted: Vec<u8>,
    keeps_length: bool,
}

fn wanted() -> impl Strategy<Value = Wanted> {
    let inserted = prop_oneof![
        1 => Just(Vec::new()),
        3 => prop::collection::vec(any::<u8>(), 0..30),
    ];
    (0..200_usize, 1..20_usize, inserted, any::<bool>()).prop_map(
        |(at, removed, inserted, keeps_length)| Wanted {
            at,
            removed,
            inserted,
            keeps_length,
        },
    )
}

fn check_maps(rewrite: &Rewrite, model: &Model, original: &[u8], from: usize) {
    let last = model.units.len();
    let edited: Vec<i64> = (0..=last)
        .map(|position| model.translate(position) as i64)
        .collect();
    for (position, expected) in edited.iter().enumerate().skip(from) {
        let found = rewrite.translate(position as i64);
        assert_eq!(found, *expected, "of {position}");
    }
    for number in edited[from]..=*edited.last().unwrap() {
        let below = (0..=last)
            .rev()
            .find(|position| edited[*position] <= number)
            .unwrap();
        assert_eq!(rewrite.invert(number), below as i64, "of {number}");
        let above = (from..=last)
            .find(|position| edited[*position] >= number)
            .unwrap();
        assert_eq!(
            rewrite.invert_up(number).max(from as i64),
            above as i64,
            "of {number}, up"
        );
    }
    for number in edited[from]..*edited.last().unwrap() {
        // The bytes of whichever original positions stand there, as far as they are edited as one.
        let (first, second) = rewrite.inserted_from(number);
        let found = [first, second].concat();
        let position = (from..last)
            .rfind(|position| edited[*position] <= number)
            .unwrap();
        let unit = model.bytes(position, position + 1);
        let skip = (number - edited[position]) as usize;
        if model.edited[position] && unit.len() > skip {
            assert_eq!(
                found[..unit.len() - skip],
                unit[skip..],
                "inserted at {number}"
            );
        } else if !model.edited[position] {
            assert!(found.is_empty(), "nothing was inserted at {number}");
        }
    }
    for start in (from..last).step_by(3) {
        for end in [start, start + 1, start + 7, start + 40, last] {
            let end = end.min(last);
            let found = bytes_of(rewrite.parts(start as i64, end as i64), original);
            assert_eq!(found, model.bytes(start, end), "from {start} to {end}");
        }
    }
}

proptest! {
    #[test]
    fn a_map_is_a_list_of_units(
        original in prop::collection::vec(any::<u8>(), 1..200),
        edits in prop::collection::vec(wanted(), 0..30),
        acked in prop::collection::vec(0..400_usize, 0..5),
    ) {
        let (mut rewrite, mut model) = (Rewrite::default(), Model::new(&original));
        for mut edit in edits {
            let last = model.units.len();
            let with_fin = edit.at + edit.removed >= last;
            edit.at = edit.at.min(last - 1);
            edit.removed = edit.removed.min(last - edit.at);
            let with_fin = with_fin && edit.at + edit.removed == last;
            if edit.keeps_length {
                edit.inserted.resize(edit.removed - usize::from(with_fin), 7);
            }
            let keeps_length = edit.removed == edit.inserted.len() + usize::from(with_fin);
            let end = edit.at + edit.removed;
            let decided = model.edited[edit.at..end].contains(&true)
                || !keeps_length && model.edited[end..].contains(&true);
            let done = rewrite.record(edit.at as i64, edit.removed as u32, &edit.inserted, with_fin);
            prop_assert_eq!(done, if decided { Err(RecordError::Decided) } else { Ok(()) });
            if !decided {
                model.edit(edit.at, edit.removed, &edit.inserted, with_fin);
            }
        }
        check_maps(&rewrite, &model, &original, 0);
        let mut acked = acked;
        acked.sort_unstable();
        for acked in acked.into_iter().map(|acked| acked.min(model.edited_len())) {
            rewrite.acknowledge(acked as i64);
            // Of what was removed right there nothing needs to be known any more.
            let reached = |p: &usize| model.translate(*p) == acked;
            let from = (0..=original.len() + 1).rfind(reached).or_else(|| {
                (0..=original.len() + 1).find(|p| model.translate(*p) > acked)
            }).unwrap();
            check_maps(&rewrite, &model, &original, from);
            for end in (0..=original.len() + 1).filter(|p| model.translate(*p) <= acked) {
                prop_assert!(rewrite.translate(end as i64) <= acked as i64, "what is acknowledged stays below");
            }
        }
        rewrite.acknowledge(model.edited_len() as i64);
        prop_assert_eq!((rewrite.edits(), rewrite.held_bytes()), (0, 0));
    }
}

#[test]
fn what_is_full_refuses_and_keeps_the_rest() {
    let mut rewrite = Rewrite::default();
    let many = vec![1; limits::EDIT_BYTES - 10];
    rewrite.record(0, 1, &many, false).unwrap();
    assert_eq!(
        rewrite.record(5, 1, &[2; 11], false),
        Err(RecordError::Full)
    );
    rewrite.record(5, 1, &[2; 10], false).unwrap();
    assert_eq!(rewrite.translate(6), many.len() as i64 + 4 + 10);
    rewrite.acknowledge(many.len() as i64);
    assert_eq!(rewrite.held_bytes(), 10);

    let mut rewrite = Rewrite::default();
    for at in 0..limits::EDITS {
        rewrite.record(at as i64, 1, &[], false).unwrap();
    }
    assert_eq!(
        rewrite.record(1 << 40, 1, &[], false),
        Err(RecordError::Full)
    );
    rewrite.acknowledge(0);
    assert_eq!(rewrite.record(1 << 40, 1, &[], false), Ok(()));
}

/// The receiver: keeps the first copy of what it expects, or what lies ahead of that.
struct Receiver {
    base: Seq,
    first: i64,
    bytes: Vec<Option<u8>>,
    fin: Option<i64>,
}

impl Receiver {
    /// Next edited position expected, FIN included.
    fn expected(&self) -> i64 {
        let bytes = self.bytes.iter().take_while(|byte| byte.is_some()).count();
        let end = self.first + bytes as i64;
        end + i64::from(self.fin == Some(end))
    }

    fn seq(&self, position: i64) -> Seq {
        self.base.at_offset(position as u64)
    }

    fn take(&mut self, seq: Seq, payload: &[u8], fin: bool) {
        let expected = self.expected();
        let position = expected + i64::from(seq.distance_from(self.seq(expected)));
        let end = position + payload.len() as i64;
        for (at, byte) in (position..).zip(payload).filter(|(at, _)| *at >= expected) {
            let index = usize::try_from(at - self.first).unwrap();
            if self.bytes.len() <= index {
                self.bytes.resize(index + 1, None);
            }
            let kept = *self.bytes[index].get_or_insert(*byte);
            assert_eq!(kept, *byte, "a copy of edited byte {at} differs");
        }
        if fin && end >= expected {
            assert_eq!(*self.fin.get_or_insert(end), end, "the FIN moved");
        }
    }
}

/// What happens next on the connection.
#[derive(Clone, Debug)]
enum Step {
    Send {
        len: usize,
        edit: Option<Wanted>,
        lost: bool,
    },
    Repeat {
        from: usize,
        len: usize,
        lost: bool,
    },
    Acknowledge {
        window: u32,
        lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let edit = prop::option::of(wanted());
    prop_oneof![
        3 => (1..60_usize, edit, any::<bool>()).prop_map(|(len, edit, lost)| Step::Send { len, edit, lost }),
        2 => (0..400_usize, 1..90_usize, any::<bool>())
            .prop_map(|(from, len, lost)| Step::Repeat { from, len, lost }),
        2 => (0..3000_u32, any::<bool>()).prop_map(|(window, lost)| Step::Acknowledge { window, lost }),
    ]
}

struct Connection {
    original: Vec<u8>,
    model: Model,
    stream: RewrittenStream,
    receiver: Receiver,
    /// Original position of the first byte.
    first: i64,
    /// What the sender knows to have arrived, counted from `first`.
    unacked: usize,
    sent: usize,
}

impl Connection {
    fn new(base: u32, first: i64, original: Vec<u8>) -> Self {
        let base = Seq(base);
        Self {
            model: Model::new(&original),
            stream: RewrittenStream::new(base, first as u64),
            receiver: Receiver {
                base,
                first,
                bytes: Vec::new(),
                fin: None,
            },
            original,
            first,
            unacked: 0,
            sent: 0,
        }
    }

    /// The whole way of a segment with the original positions from `start` up to `end`, the FIN perhaps among them.
    fn transmit(&mut self, start: usize, end: usize, lost: bool) {
        let at = |position: usize| self.first + position as i64;
        let fin = end == self.model.units.len();
        let seq = self.stream.at(at(start));
        let mut payload = Vec::new();
        for part in self.stream.rewrite().parts(at(start), at(end)) {
            match part {
                Part::Inserted(bytes) => payload.extend(bytes),
                Part::Original(from, to) => {
                    let within =
                        |position: i64| ((position - self.first) as usize).min(self.original.len());
                    payload.extend(&self.original[within(from)..within(to)]);
                }
            }
        }
        let empty = payload.is_empty() && !fin;
        let seq = if empty {
            self.stream.seq_of_empty(seq)
        } else {
            self.stream.seq(seq)
        };
        if empty {
            let expected = self.receiver.seq(self.receiver.expected());
            let all_arrived = self.receiver.expected() == self.stream.sent_edited();
            let answered = expected.is_after(seq);
            assert!(
                !all_arrived || answered,
                "what was removed is acknowledged by a receiver that has all the rest"
            );
        } else if !lost {
            self.receiver.take(seq, &payload, fin);
        }
    }

    fn send(&mut self, len: usize, edit: Option<Wanted>, lost: bool) {
        let start = self.sent;
        let end = (start + len).min(self.model.units.len());
        if start == end {
            return;
        }
        if let Some(edit) = edit {
            let at = start + edit.at % (end - start);
            let removed = edit.removed.min(end - at);
            let with_fin = at + removed == self.model.units.len();
            let done = self.stream.edit(
                self.first + at as i64,
                removed as u32,
                &edit.inserted,
                with_fin,
            );
            assert_eq!(done, Ok(()));
            self.model.edit(at, removed, &edit.inserted, with_fin);
        }
        self.sent = end;
        self.stream.send(self.first + end as i64);
        self.transmit(start, end, lost);
    }

    /// The receiver acknowledges what it has, and, where it is told, something of what lies ahead.
    fn acknowledge(&mut self, window: u32, lost: bool) {
        let expected = self.receiver.expected();
        let ack = self.receiver.seq(expected);
        let edited = |position: usize| self.first + self.model.translate(position) as i64;
        let original = |seq: Seq| (self.stream.position(seq) - self.first) as usize;
        let translated = original(self.stream.ack(ack));
        let known = (0..=self.sent)
            .rev()
            .find(|p| edited(*p) <= expected)
            .unwrap();
        assert_eq!(
            translated, known,
            "everything below it has arrived, and as much as possible"
        );

        let right = translated + self.stream.window(ack, window) as usize;
        if right < self.sent {
            assert!(edited(right) <= expected + i64::from(window));
            assert!(
                edited(right + 1) > expected + i64::from(window),
                "the window is used"
            );
        }
        self.check_sacks(expected);
        self.stream.acknowledge(ack);
        if !lost {
            self.unacked = self.unacked.max(translated);
        }
    }

    /// Everything the receiver holds ahead of what it expects, run by run.
    fn check_sacks(&self, expected: i64) {
        let index = |position: i64| (position - self.receiver.first) as usize;
        let held = |position: i64| {
            self.receiver
                .bytes
                .get(index(position))
                .is_some_and(Option::is_some)
        };
        let end = self.receiver.first + self.receiver.bytes.len() as i64;
        let mut left = expected;
        while left < end {
            let right = (left..end).find(|position| !held(*position)).unwrap_or(end);
            if right > left {
                let block = self
                    .stream
                    .sack(self.receiver.seq(left), self.receiver.seq(right));
                if let Some((from, to)) = block {
                    let position = |seq| (self.stream.position(seq) - self.first) as usize;
                    let (from, to) = (position(from), position(to));
                    assert!(from < to && to <= self.sent);
                    let edited = [from, to].map(|p| self.first + self.model.translate(p) as i64);
                    assert!(
                        edited[0] >= left && edited[1] <= right,
                        "no more than it has"
                    );
                }
            }
            left = right.max(left + 1);
        }
    }

    /// The sender repeats what it does not know to have arrived, over a link that loses nothing any more.
    fn finish(&mut self) {
        let last = self.model.units.len();
        while self.sent < last {
            self.send(50, None, false);
        }
        for start in (self.unacked..last).step_by(37) {
            self.transmit(start, (start + 37).min(last), false);
        }
        self.acknowledge(1000, false);
        assert_eq!(self.unacked, last, "the sender waits for nothing more");
        let received: Vec<u8> = self
            .receiver
            .bytes
            .iter()
            .map(|byte| byte.unwrap())
            .collect();
        assert_eq!(received, self.model.bytes(0, last));
        assert_eq!(
            self.stream.rewrite().edits(),
            0,
            "nothing is remembered of what has arrived"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// In whatever cuts and however often it is sent, the receiver gets the edited stream, and the sender learns of it.
    #[test]
    fn a_connection_sees_nothing_of_its_edits(
        base in any::<u32>(),
        first in prop::sample::select(vec![0, 77, (1 << 32) - 100, (5 << 32) + 9]),
        original in prop::collection::vec(any::<u8>(), 0..400),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut connection = Connection::new(base, first, original);
        for step in steps {
            match step {
                Step::Send { len, edit, lost } => connection.send(len, edit, lost),
                Step::Repeat { from, len, lost } if connection.sent > 0 => {
                    let from = from % connection.sent;
                    connection.transmit(from, (from + len).min(connection.sent), lost);
                }
                Step::Repeat { .. } => {}
                Step::Acknowledge { window, lost } => connection.acknowledge(window, lost),
            }
        }
        connection.finish();
    }
}

/// A stream of which 10 bytes were sent: bytes 2 to 4 by `abcdef`, byte 8 and 9 by nothing.
fn edited() -> RewrittenStream {
    let mut stream = RewrittenStream::new(Seq(1000), 0);
    stream.edit(2, 3, b"abcdef", false).unwrap();
    stream.edit(8, 2, b"", false).unwrap();
    stream.send(10);
    stream
}

#[test]
fn probes_stand_below_what_is_expected() {
    let stream = edited();
    assert_eq!(stream.sent_edited(), 11);
    for probe in [1009, 1008, 1007] {
        let seq = stream.seq_of_empty(Seq(probe));
        assert!(Seq(1011).is_after(seq), "{probe} became {seq:?}");
    }
    assert_eq!(stream.seq_of_empty(Seq(1010)), Seq(1011));
    assert_eq!(stream.seq_of_empty(Seq(1500)), Seq(1011));
    assert_eq!(stream.seq_of_empty(Seq(999)), Seq(999));
}

#[test]
fn the_handshake_does_not_move() {
    let mut stream = edited();
    stream.acknowledge(Seq(1011));
    assert_eq!(stream.seq(Seq(999)), Seq(999));
    assert_eq!(stream.ack(Seq(999)), Seq(999));
    assert_eq!(stream.seq(Seq(1010)), Seq(1011));
}

#[test]
fn a_reset_is_what_the_receiver_expects() {
    let mut stream = edited();
    assert_eq!(
        stream.seq_of_reset(Seq(1010)),
        Seq(1011),
        "at the end of what was sent"
    );
    stream.acknowledge(Seq(1004));
    assert_eq!(stream.ack(Seq(1004)), Seq(1004));
    stream.acknowledge(Seq(1006));
    // The sender was told 1004: the receiver stands inside of what was inserted.
    assert_eq!(stream.ack(Seq(1006)), Seq(1004));
    assert_eq!(stream.seq_of_reset(Seq(1004)), Seq(1006));
}

#[test]
fn an_urgent_pointer_names_the_same_byte() {
    let stream = edited();
    assert_eq!(stream.urgent(Seq(1000), 7), 10);
    assert_eq!(
        stream.urgent(Seq(1006), 4),
        2,
        "what was removed is behind it"
    );
}

#[test]
fn acknowledgments_of_what_was_never_sent_are_ignored() {
    let mut stream = edited();
    stream.acknowledge(Seq(1012));
    assert_eq!(stream.rewrite().edits(), 2);
    stream.acknowledge(Seq(1011));
    assert_eq!(stream.rewrite().edits(), 0);
}
