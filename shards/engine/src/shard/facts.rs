//! What a callback may ask about the bytes of a side.

use super::context::{FlowContext, PeekError};
use crate::event::Side;
use crate::stream::{Chunks, Sources};

/// How far the stream of a side has come: what `MOS_INFO_CLIBUF` and `MOS_INFO_SVRBUF` tell in the reference system, as 64-bit
/// offsets from the first byte after the SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamInfo {
    /// Initial sequence number: that of the SYN, or guessed from the first segment where none was seen; `None` where the side
    /// has sent nothing and nothing was acknowledged.
    pub initial: Option<u32>,
    /// Where this actor's reader stands; `None` where it is no reader of this side.
    pub read: Option<u64>,
    /// The next byte expected in order.
    pub expected: u64,
    /// Behind the last byte received, also behind holes.
    pub received: u64,
}

/// A run of bytes that are held, and may be read by [`FlowContext::peek_at`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Stream offset of its first byte.
    pub offset: u64,
    /// Bytes; at least one.
    pub len: u64,
}

impl FlowContext<'_> {
    /// Lends the bytes `side` sent from stream offset `offset` on to `look`, without copying: at least one and at most `len`,
    /// up to the next byte that is not held. They may lie beyond a hole. Moves no reader. 64-bit offsets count from the
    /// first byte after the SYN.
    ///
    /// Held are the bytes of this burst, those kept for readers that have not read them or
    /// [retained](crate::actor::MonitorBuilder::retain), and those that wait behind holes; [`held`](Self::held) lists them.
    ///
    /// # Errors
    /// [`PeekError`] but for `Lost` and `NotReader`; `look` is then not called. [`PeekError::NoData`] where nothing is held
    /// at `offset`, or `len` is 0.
    pub fn peek_at_with<T>(
        &self,
        side: Side,
        offset: u64,
        len: u64,
        look: impl FnOnce(Chunks<'_>) -> T,
    ) -> Result<T, PeekError> {
        self.check_stream()?;
        self.check_open()?;
        self.check_buffer(side)?;
        let sources = self.sources(side);
        let end = match next_run(&sources, offset) {
            Some((start, end)) if start == offset => end.min(offset.saturating_add(len)),
            _ => offset,
        };
        if end == offset {
            return Err(self.nothing());
        }
        Ok(look(Chunks::new(sources, offset, end)))
    }

    /// Copies bytes `side` sent, from stream offset `offset` on: [`peek_at_with`](Self::peek_at_with) for a buffer. Returns
    /// how many, at least one; fewer than `into` holds is normal.
    ///
    /// # Errors
    /// Those of [`peek_at_with`](Self::peek_at_with).
    pub fn peek_at(&self, side: Side, offset: u64, into: &mut [u8]) -> Result<usize, PeekError> {
        self.peek_at_with(side, offset, into.len() as u64, |chunks| {
            let mut filled = 0;
            for chunk in chunks {
                into[filled..filled + chunk.len()].copy_from_slice(chunk);
                filled += chunk.len();
            }
            filled
        })
    }

    /// The runs of bytes `side` sent that are held at present, ascending, none touching another: those that came in this
    /// burst, those kept for readers or retained, and those that wait behind holes. Nothing is copied.
    ///
    /// # Errors
    /// [`PeekError::NotStream`].
    pub fn held(&self, side: Side) -> Result<impl Iterator<Item = Fragment>, PeekError> {
        self.check_stream()?;
        let sources = self.sources(side);
        let mut cursor = 0;
        Ok(core::iter::from_fn(move || {
            let (offset, end) = next_run(&sources, cursor)?;
            cursor = end;
            let len = end - offset;
            Some(Fragment { offset, len })
        }))
    }

    /// How far the stream of `side` has come.
    ///
    /// # Errors
    /// [`PeekError::NotStream`].
    pub fn stream_info(&self, side: Side) -> Result<StreamInfo, PeekError> {
        self.check_stream()?;
        let expected = self.expected(side);
        let waiting = self
            .sources(side)
            .store
            .and_then(|store| store.ahead.last_end());
        Ok(StreamInfo {
            initial: self.initial(side),
            read: self.read_to(side),
            expected,
            received: waiting.map_or(expected, |end| end.max(expected)),
        })
    }
}

/// The first run of bytes held at or after `from`, and where it ends.
fn next_run(sources: &Sources<'_>, from: u64) -> Option<(u64, u64)> {
    let stored = sources.store.and_then(|store| store.first_from(from));
    let in_burst = segments(sources)
        .find(|(_, end)| *end > from)
        .map(|(start, _)| start.max(from));
    let start = match (stored, in_burst) {
        (Some(stored), Some(in_burst)) => stored.min(in_burst),
        (stored, in_burst) => stored.or(in_burst)?,
    };
    let mut end = start;
    loop {
        let stored = sources.store.map_or(end, |store| store.run_end(end));
        let reached = segments(sources)
            .skip_while(|(_, behind)| *behind <= stored)
            .take_while(|(start, _)| *start <= stored)
            .last()
            .map_or(stored, |(_, behind)| behind);
        if reached == end {
            return Some((start, end));
        }
        end = reached;
    }
}

/// The runs of a side that lie in packets of the burst, ascending: first offset and the one behind the last.
fn segments(sources: &Sources<'_>) -> impl Iterator<Item = (u64, u64)> {
    let mut at = sources.first_segment;
    let all = sources.segments;
    core::iter::from_fn(move || {
        let segment = all.get(usize::from(at))?;
        at = segment.next;
        Some((segment.offset, segment.offset + u64::from(segment.len)))
    })
}
