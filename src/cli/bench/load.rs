//! What the measured shard's actor does with a flow.

use std::fmt;
use std::ops::AddAssign;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use mosaic_engine::actor::{Actor, FlowContext, PeekError, ShardContext, StartError};
use mosaic_engine::event::{Event, EventSet, Filter, Hook, Side};

/// Which work an actor does: `--actor`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// A monitor that asks for nothing: flows are tracked and streams kept in order, but nobody listens.
    None,
    /// Every event but those of new bytes is delivered, and counted.
    Count,
    /// Every byte is taken through `peek`; only lengths are looked at.
    Read,
    /// As `Read`, and every byte is read.
    Touch,
    /// As `Read`, with the last so many bytes of each side retained and looked into once for each `NewData`.
    Window(u32),
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => match text {
                "none" => Ok(Self::None),
                "count" => Ok(Self::Count),
                "read" => Ok(Self::Read),
                "touch" => Ok(Self::Touch),
                _ => Err("one of none, count, read, touch, window:BYTES".to_owned()),
            },
            Some(("window", bytes)) => match bytes.parse() {
                Ok(bytes @ 1..) => Ok(Self::Window(bytes)),
                _ => Err(format!("window:BYTES with BYTES from 1 to {}", u32::MAX)),
            },
            Some((other, _)) => Err(format!("{other} takes no argument")),
        }
    }
}

/// As it is written on the command line.
impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Count => f.write_str("count"),
            Self::Read => f.write_str("read"),
            Self::Touch => f.write_str("touch"),
            Self::Window(bytes) => write!(f, "window:{bytes}"),
        }
    }
}

/// What an actor saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Callbacks for events.
    pub(crate) events: u64,
    /// Bytes taken through `peek`.
    pub(crate) payload_bytes: u64,
    /// Bytes that `peek` reported as lost.
    pub(crate) lost_bytes: u64,
    /// Looks into the window that gave nothing.
    pub(crate) window_misses: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.payload_bytes += other.payload_bytes;
        self.lost_bytes += other.lost_bytes;
        self.window_misses += other.window_misses;
    }
}

/// Where an actor leaves its tally at its end.
pub(crate) type SharedTally = Arc<Mutex<Tally>>;

/// Reads `tally`, whatever became of those who wrote it.
pub(crate) fn read(tally: &SharedTally) -> Tally {
    *tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks for nothing.
pub(crate) struct Idle {
    pub(crate) filter: Option<Filter>,
}

impl Actor for Idle {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard.monitor_stream(self.filter.clone()).open()?;
        Ok(())
    }
}

/// Counts events.
pub(crate) struct Counter {
    filter: Option<Filter>,
    tally: Tally,
    total: SharedTally,
}

impl Counter {
    pub(crate) fn new(filter: Option<Filter>, total: SharedTally) -> Self {
        Self {
            filter,
            tally: Tally::default(),
            total,
        }
    }
}

impl Actor for Counter {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        // A subscriber to new bytes is a reader, for whom bytes are kept: that is another load.
        let events = EventSet::all() - EventSet::NEW_DATA - EventSet::LATE_DATA;
        shard
            .monitor_stream(self.filter.clone())
            .on(Hook::End, events)
            .open()?;
        Ok(())
    }

    fn on_event(&mut self, (): &mut (), _flow: &mut FlowContext<'_>, _event: Event) {
        self.tally.events += 1;
    }

    fn finish(&mut self) {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) += self.tally;
    }
}

/// Takes every byte of every stream.
pub(crate) struct Reader {
    filter: Option<Filter>,
    touch: bool,
    window: Option<u32>,
    tally: Tally,
    /// Depends on every byte touched, so that none of the reads can be left out.
    words: u64,
    total: SharedTally,
}

impl Reader {
    /// A reader for one of the loads that read.
    pub(crate) fn new(load: Load, filter: Option<Filter>, total: SharedTally) -> Self {
        let window = if let Load::Window(bytes) = load {
            Some(bytes)
        } else {
            None
        };
        Self {
            filter,
            touch: load == Load::Touch,
            window,
            tally: Tally::default(),
            words: 0,
            total,
        }
    }

    fn take(&mut self, flow: &mut FlowContext<'_>, side: Side) {
        let mut end = 0;
        let taken = flow.peek(side, |chunks| {
            let start = chunks.offset();
            let mut len = 0;
            for chunk in chunks {
                len += chunk.len();
                if self.touch {
                    self.words = self.words.wrapping_add(sum_words(chunk));
                }
            }
            end = start + len as u64;
            len
        });
        match taken {
            Ok(len) => self.tally.payload_bytes += len as u64,
            Err(PeekError::Lost(len)) => {
                self.tally.lost_bytes += len;
                // The position has moved past the loss; what remains is there to be taken.
                return self.take(flow, side);
            }
            Err(_) => return,
        }
        if let Some(window) = self.window {
            let mut oldest = [0; 64];
            let look = flow.peek_at(side, end.saturating_sub(u64::from(window)), &mut oldest);
            self.tally.window_misses += u64::from(look.is_err());
            self.words = self.words.wrapping_add(sum_words(&oldest));
        }
    }
}

impl Actor for Reader {
    type Flow = ();

    fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
        shard
            .monitor_stream(self.filter.clone())
            .on(Hook::End, EventSet::NEW_DATA | EventSet::LATE_DATA)
            .retain(self.window.unwrap_or(0))
            .open()?;
        Ok(())
    }

    fn on_event(&mut self, (): &mut (), flow: &mut FlowContext<'_>, event: Event) {
        self.tally.events += 1;
        if let Event::NewData(side) | Event::LateData(side) = event {
            self.take(flow, side);
        }
    }

    fn finish(&mut self) {
        std::hint::black_box(self.words);
        *self.total.lock().unwrap_or_else(PoisonError::into_inner) += self.tally;
    }
}

/// Sum of the bytes taken eight at a time: about the cheapest way to read each of them.
fn sum_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(0_u64, |sum, word| {
        sum.wrapping_add(u64::from_ne_bytes(*word))
    });
    rest.iter()
        .fold(words, |sum, byte| sum.wrapping_add(u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_written_as_they_are_read() {
        for text in ["none", "count", "read", "touch", "window:4096"] {
            assert_eq!(text.parse::<Load>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "Read",
            "window",
            "window:",
            "window:0",
            "window:-1",
            "window:4294967296",
            "read:1",
        ] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (1..=35).collect();
        let whole = sum_words(&bytes);
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 0x80;
            assert_ne!(sum_words(&changed), whole, "byte {i}");
        }
    }
}
