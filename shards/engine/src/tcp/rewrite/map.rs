//! Where the bytes of a stream stand once some of them were changed.

use alloc::collections::VecDeque;

use crate::limits;

/// Why an edit was not recorded. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// As many edits, or bytes of them, wait for their acknowledgment as may: [`limits::EDITS`], [`limits::EDIT_BYTES`].
    #[error("too many edits wait for their acknowledgment")]
    Full,
    /// The range is empty or was edited before; or the edit changes lengths and something behind it was edited already.
    #[error("this part of the stream was decided before")]
    Decided,
}

/// One edit: `removed` original positions from `at` on were replaced by `inserted` others.
#[derive(Clone, Copy, Debug)]
struct Edit {
    at: i64,
    /// What is added to positions just below `at`.
    shift: i64,
    removed: u32,
    inserted: u32,
    /// Running number of its first byte.
    bytes_at: u64,
    /// The last position of both is the FIN, which is no byte.
    with_fin: bool,
}

impl Edit {
    fn end(&self) -> i64 {
        self.at + i64::from(self.removed)
    }

    fn new_at(&self) -> i64 {
        self.at + self.shift
    }

    fn new_end(&self) -> i64 {
        self.new_at() + i64::from(self.inserted)
    }

    fn shift_after(&self) -> i64 {
        self.shift + i64::from(self.inserted) - i64::from(self.removed)
    }

    /// Its bytes; the FIN is none.
    fn bytes(&self) -> u32 {
        self.inserted - u32::from(self.with_fin)
    }

    /// How many inserted positions stand before the original position `at + distance`.
    fn inserted_before(&self, distance: i64) -> i64 {
        if distance >= i64::from(self.removed) {
            i64::from(self.inserted)
        } else {
            distance.min(i64::from(self.bytes()))
        }
    }

    /// The largest distance from `at` that has at most `inserted` positions before it; these are not all.
    fn distance_of(&self, inserted: i64) -> i64 {
        let last = i64::from(self.removed) - 1;
        if inserted >= i64::from(self.bytes()) {
            last
        } else {
            inserted.min(last)
        }
    }

    /// The smallest distance from `at` that has at least `inserted` positions before it, of which there are some.
    fn distance_up_of(&self, inserted: i64) -> i64 {
        if inserted < i64::from(self.removed) && inserted <= i64::from(self.bytes()) {
            inserted
        } else {
            i64::from(self.removed)
        }
    }
}

/// A run of bytes of the edited stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// Original bytes, from this position up to that one.
    Original(i64, i64),
    /// Bytes that stand there instead.
    Inserted(&'a [u8]),
}

/// The edits of one stream: a map from *original* positions to *edited* ones, and the bytes that came in.
///
/// Positions are stream offsets, 0 for the first byte behind the SYN; a FIN takes the one behind the last byte. Each edit
/// replaces at least one original position. Inside a replaced range that begins at `at`, original position `at + i` stands
/// for the inserted byte `i`, and the last one for whatever is left of them, the FIN always for itself: so the map is monotone,
/// and any partition of the original stream into segments covers the edited one exactly once. A retransmission that is cut
/// in another way gives the same bytes.
///
/// What the receiver has acknowledged is forgotten: from there down the map only shifts, and stays below what the
/// receiver expects.
///
/// Invariant: edits are ascending and do not overlap.
#[derive(Clone, Debug, Default)]
pub struct Rewrite {
    edits: VecDeque<Edit>,
    bytes: VecDeque<u8>,
    /// Running number of the first of `bytes`.
    bytes_from: u64,
    /// First original position whose edits are known.
    floor: i64,
    /// What is added to positions below the first edit.
    shift: i64,
}

impl Rewrite {
    /// Whether every position maps to itself, and none is edited.
    pub fn is_identity(&self) -> bool {
        self.edits.is_empty() && self.shift == 0
    }

    /// Edits that wait for their acknowledgment.
    pub fn edits(&self) -> usize {
        self.edits.len()
    }

    /// Bytes kept for them.
    pub fn held_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether another edit with this many bytes can be recorded.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.edits.len() < limits::EDITS && self.bytes.len() + bytes <= limits::EDIT_BYTES
    }

    /// Replaces `removed` positions from `at` on by `inserted`. With `with_fin`, the last of them is the FIN, which stays
    /// behind the inserted bytes: so bytes can be added at the end of a stream.
    ///
    /// Only what was not sent yet may be edited; that is the caller's to know. An edit that keeps the length may stand
    /// before others, any other comes last.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn record(
        &mut self,
        at: i64,
        removed: u32,
        inserted: &[u8],
        with_fin: bool,
    ) -> Result<(), RecordError> {
        let index = self.edits.partition_point(|edit| edit.at < at);
        let end = at + i64::from(removed);
        let positions = inserted.len() + usize::from(with_fin);
        let keeps_length = removed as usize == positions;
        let is_free = at >= self.floor
            && (index == 0 || self.edits[index - 1].end() <= at)
            && self.edits.get(index).is_none_or(|next| end <= next.at);
        if removed == 0 || !is_free || !keeps_length && index < self.edits.len() {
            return Err(RecordError::Decided);
        }
        let (true, Ok(positions)) = (self.has_room(inserted.len()), u32::try_from(positions))
        else {
            return Err(RecordError::Full);
        };
        let edit = Edit {
            at,
            shift: self.shift_below(index),
            removed,
            inserted: positions,
            bytes_at: self.bytes_before(index),
            with_fin,
        };
        self.insert_bytes(edit.bytes_at, inserted);
        for later in self.edits.range_mut(index..) {
            later.bytes_at += inserted.len() as u64;
        }
        self.edits.insert(index, edit);
        Ok(())
    }

    /// The edited position of an original one.
    pub fn translate(&self, position: i64) -> i64 {
        let index = self.edits.partition_point(|edit| edit.at <= position);
        match index.checked_sub(1).map(|index| &self.edits[index]) {
            None => position + self.shift,
            Some(edit) if position >= edit.end() => position + edit.shift_after(),
            Some(edit) => edit.new_at() + edit.inserted_before(position - edit.at),
        }
    }

    /// The largest original position whose edited one is at most `edited`: everything below it stands below `edited`. For
    /// acknowledgments and right edges. At a pure removal it lies behind what was removed, which will never be
    /// acknowledged in another way.
    pub fn invert(&self, edited: i64) -> i64 {
        let index = self.edits.partition_point(|edit| edit.new_at() <= edited);
        match index.checked_sub(1).map(|index| &self.edits[index]) {
            None => edited - self.shift,
            Some(edit) if edited >= edit.new_end() => edited - edit.shift_after(),
            Some(edit) => edit.at + edit.distance_of(edited - edit.new_at()),
        }
    }

    /// The smallest original position whose edited one is at least `edited`: everything from it on stands from `edited` on.
    /// For left edges.
    pub fn invert_up(&self, edited: i64) -> i64 {
        let index = self.edits.partition_point(|edit| edit.new_end() < edited);
        match self.edits.get(index) {
            Some(edit) if edit.new_at() < edited => {
                edit.at + edit.distance_up_of(edited - edit.new_at())
            }
            _ => edited - self.shift_below(index),
        }
    }

    /// What stands in the edited stream for the original positions from `start` up to `end`, in order. The FIN gives
    /// nothing of its own.
    pub fn parts(&self, start: i64, end: i64) -> Parts<'_> {
        Parts {
            rewrite: self,
            index: self.edits.partition_point(|edit| edit.end() <= start),
            at: start,
            end,
            rest: &[],
        }
    }

    /// The inserted bytes from the edited position `edited` on, to the end of their edit, in two pieces; none where what stands
    /// there is original or not known any more.
    pub fn inserted_from(&self, edited: i64) -> (&[u8], &[u8]) {
        let index = self.edits.partition_point(|edit| edit.new_end() <= edited);
        match self.edits.get(index) {
            Some(edit) if edit.new_at() <= edited => {
                self.bytes_of(edit, edited - edit.new_at(), i64::from(edit.inserted))
            }
            _ => (&[], &[]),
        }
    }

    /// Whether the original positions from `from` up to `to` stand in the edited stream as they are, with nothing between them.
    pub fn is_plain(&self, from: i64, to: i64) -> bool {
        match self.parts(from, to).next() {
            Some(Part::Original(first, end)) => (first, end) == (from, to),
            _ => from == to,
        }
    }

    /// The original position that stands at the edited one, and how many original ones follow before the next edit; `None` where
    /// inserted bytes stand there.
    pub fn original_at(&self, edited: i64) -> Option<(i64, i64)> {
        let index = self.edits.partition_point(|edit| edit.new_end() <= edited);
        let next = self.edits.get(index);
        if next.is_some_and(|edit| edit.new_at() <= edited) {
            return None;
        }
        let original = edited - self.shift_below(index);
        Some((original, next.map_or(i64::MAX, |edit| edit.at - original)))
    }

    /// The receiver has acknowledged everything below the edited position `acked`: forgets the edits that lie there.
    /// Nothing that was not sent may be passed.
    pub fn acknowledge(&mut self, acked: i64) {
        while let Some(edit) = self.edits.front().filter(|edit| edit.new_end() <= acked) {
            let bytes = edit.bytes() as usize;
            (self.floor, self.shift) = (edit.end(), edit.shift_after());
            self.bytes_from += bytes as u64;
            self.bytes.drain(..bytes);
            self.edits.pop_front();
        }
    }

    /// Forgets everything, but not its memory.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.bytes.clear();
        (self.floor, self.shift) = (0, 0);
    }

    /// What is added to positions just below the edit at `index`, or behind the last one.
    fn shift_below(&self, index: usize) -> i64 {
        match index.checked_sub(1) {
            None => self.shift,
            Some(before) => self.edits[before].shift_after(),
        }
    }

    /// Running number of the byte behind those of the edits before `index`.
    fn bytes_before(&self, index: usize) -> u64 {
        match index.checked_sub(1).map(|before| &self.edits[before]) {
            None => self.bytes_from,
            Some(edit) => edit.bytes_at + u64::from(edit.bytes()),
        }
    }

    fn insert_bytes(&mut self, at: u64, bytes: &[u8]) {
        let index = usize::try_from(at - self.bytes_from).unwrap_or(self.bytes.len());
        let is_last = index == self.bytes.len();
        self.bytes.extend(bytes);
        if !is_last {
            self.bytes.make_contiguous()[index..].rotate_right(bytes.len());
        }
    }

    /// The inserted bytes of `edit` from number `from` up to number `to` of the edit, which may lie in two pieces.
    fn bytes_of(&self, edit: &Edit, from: i64, to: i64) -> (&[u8], &[u8]) {
        let start = usize::try_from(edit.bytes_at - self.bytes_from).unwrap_or(0);
        let within = |number: i64| {
            let number = u32::try_from(number).unwrap_or(0).min(edit.bytes());
            start + number as usize
        };
        let (from, to) = (within(from), within(to));
        let (first, second) = self.bytes.as_slices();
        let split = first.len();
        (
            &first[from.min(split)..to.min(split)],
            &second[from.max(split) - split..to.max(split) - split],
        )
    }
}

/// Iterator of [`Rewrite::parts`].
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rewrite: &'a Rewrite,
    /// First edit that ends behind `at`.
    index: usize,
    at: i64,
    end: i64,
    /// Second piece of inserted bytes.
    rest: &'a [u8],
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        loop {
            if !self.rest.is_empty() {
                return Some(Part::Inserted(core::mem::take(&mut self.rest)));
            }
            if self.at >= self.end {
                return None;
            }
            let start = self.at;
            match self.rewrite.edits.get(self.index) {
                Some(edit) if edit.at <= start => {
                    self.at = self.end.min(edit.end());
                    self.index += usize::from(self.at == edit.end());
                    let (from, to) = (start - edit.at, self.at - edit.at);
                    let (first, second) = self.rewrite.bytes_of(
                        edit,
                        edit.inserted_before(from),
                        edit.inserted_before(to),
                    );
                    self.rest = second;
                    if !first.is_empty() {
                        return Some(Part::Inserted(first));
                    }
                }
                next => {
                    self.at = next.map_or(self.end, |edit| edit.at.min(self.end));
                    return Some(Part::Original(start, self.at));
                }
            }
        }
    }
}
