//! Actors that write down everything they are told.

use std::collections::HashMap;

use mosaic_engine::actor::{
    ActorId, FlowContext, FlowId, FlowSummary, Host, PacketView, PeekError,
};
use mosaic_engine::event::{EndReason, Event, EventSet, Hook, Side, StreamError, Verdict};
use mosaic_engine::shard::Shard;

/// How an actor reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appetite {
    /// Takes everything at every [`Event::NewData`].
    Everything,
    /// Takes at most this many bytes at every event, and the rest when the flow is removed.
    Sips(usize),
    /// Reads for the first time when the flow is removed.
    AtTheEnd,
    /// Subscribes to no data.
    NoData,
}

/// What an actor got of one direction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct StreamLog {
    /// Bytes taken, by stream offset, in the order in which they were taken. Adjoining pieces are one.
    pub(crate) pieces: Vec<(u64, Vec<u8>)>,
    /// Offset and length of the holes it was told of.
    pub(crate) gaps: Vec<(u64, u64)>,
    /// Bytes it was told it had lost.
    pub(crate) lost: u64,
    /// Bytes it was warned it would lose.
    pub(crate) overrun: u64,
}

impl StreamLog {
    /// Everything taken, in order.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.pieces
            .iter()
            .flat_map(|(_, piece)| piece)
            .copied()
            .collect()
    }

    /// Offset behind the last byte taken.
    pub(crate) fn end(&self) -> u64 {
        self.pieces
            .last()
            .map_or(0, |(offset, piece)| offset + piece.len() as u64)
    }

    fn take(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = self.end();
        assert!(
            offset >= end,
            "bytes at {offset} were offered after those up to {end}"
        );
        match self.pieces.last_mut() {
            Some((_, piece)) if offset == end => piece.extend(bytes),
            _ => self.pieces.push((offset, bytes.to_vec())),
        }
    }
}

/// What an actor was told of one flow.
#[derive(Clone, Debug)]
pub(crate) struct FlowLog {
    pub(crate) actor: ActorId,
    pub(crate) events: Vec<Event>,
    pub(crate) streams: [StreamLog; 2],
    /// What was known when the flow was removed.
    pub(crate) summary: FlowSummary,
    /// In which burst `NewData` was told last, by side; forgotten when a hole is skipped, since what came before the hole is
    /// told before the hole, and what stands behind it after.
    new_data_in: [Option<u64>; 2],
}

impl FlowLog {
    /// Why the flow ended, as the actor was told.
    pub(crate) fn end(&self) -> Option<EndReason> {
        self.events.iter().find_map(|event| match event {
            Event::ConnEnd(reason) => Some(*reason),
            _ => None,
        })
    }
}

/// A host for as many actors as there are appetites, on one shard.
pub(crate) struct Recorder {
    appetites: Vec<Appetite>,
    lasting: HashMap<(ActorId, FlowId), FlowLog>,
    /// Flows that were removed, in that order.
    pub(crate) removed: Vec<FlowLog>,
    burst: u64,
}

impl Recorder {
    /// Opens a monitor for each appetite, on every event at [`Hook::End`].
    pub(crate) fn start(shard: &mut Shard, appetites: &[Appetite]) -> Self {
        for (number, appetite) in (0..).zip(appetites) {
            let events = match appetite {
                Appetite::NoData => EventSet::all() - EventSet::NEW_DATA - EventSet::LATE_DATA,
                _ => EventSet::all(),
            };
            let mut actor = shard.start_actor(ActorId(number));
            let monitor = actor.monitor_stream(None).on(Hook::End, events);
            monitor.open().expect("there are monitors enough");
        }
        Self {
            appetites: appetites.to_vec(),
            lasting: HashMap::new(),
            removed: Vec::new(),
            burst: 0,
        }
    }

    /// A burst is over.
    pub(crate) fn end_burst(&mut self) {
        self.burst += 1;
    }

    /// What one actor was told.
    pub(crate) fn of(&self, actor: u8) -> impl Iterator<Item = &FlowLog> {
        self.removed
            .iter()
            .filter(move |log| log.actor == ActorId(actor))
    }

    fn appetite(&self, actor: ActorId) -> Appetite {
        self.appetites[usize::from(actor.0)]
    }
}

impl Host for Recorder {
    fn on_packet(
        &mut self,
        _: ActorId,
        _: &mut FlowContext<'_>,
        _: &PacketView<'_>,
        _: Hook,
    ) -> Verdict {
        panic!("nobody asked for packets");
    }

    fn on_event(&mut self, actor: ActorId, flow: &mut FlowContext<'_>, event: Event) {
        let appetite = self.appetite(actor);
        let log = self.lasting.entry((actor, flow.id())).or_insert_with(|| {
            assert_eq!(event, Event::ConnStart, "the first event");
            FlowLog {
                actor,
                events: Vec::new(),
                streams: Default::default(),
                summary: flow.summary(),
                new_data_in: [None; 2],
            }
        });
        check_order(log, event, self.burst);
        log.events.push(event);
        match event {
            Event::NewData(side) | Event::LateData(side) => {
                let stream = &mut log.streams[side as usize];
                match appetite {
                    Appetite::Everything => drain(stream, flow, side),
                    Appetite::Sips(most) => {
                        sip(stream, flow, side, most);
                    }
                    Appetite::AtTheEnd => {}
                    Appetite::NoData => panic!("told of data it did not ask for"),
                }
            }
            Event::Error {
                side,
                error: StreamError::Gap { offset, len },
            } => {
                log.streams[side as usize].gaps.push((offset, len));
            }
            Event::Error {
                side,
                error: StreamError::Overrun { len },
            } => {
                log.streams[side as usize].overrun += len;
            }
            _ => {}
        }
    }

    fn on_removed(&mut self, actor: ActorId, flow: &mut FlowContext<'_>) {
        let appetite = self.appetite(actor);
        let mut log = self
            .lasting
            .remove(&(actor, flow.id()))
            .expect("a removed flow has begun, and is removed once");
        if appetite != Appetite::NoData {
            for side in Side::BOTH {
                drain(&mut log.streams[side as usize], flow, side);
            }
        }
        log.summary = flow.summary();
        self.removed.push(log);
    }
}

/// The rules that hold for every event of every flow.
fn check_order(log: &mut FlowLog, event: Event, burst: u64) {
    let before = |wanted: fn(&Event) -> bool| log.events.iter().any(wanted);
    let ended = before(|event| matches!(event, Event::ConnEnd(_)));
    match event {
        Event::ConnStart => assert!(log.events.is_empty(), "ConnStart after {:?}", log.events),
        Event::ConnEstablished => {
            assert!(
                !before(|event| *event == Event::ConnEstablished),
                "established twice: {:?}",
                log.events
            );
        }
        Event::ConnEnd(_) => assert!(!ended, "ended twice: {:?}", log.events),
        Event::NewData(side) => {
            assert!(!ended, "NewData after ConnEnd: {:?}", log.events);
            let told = &mut log.new_data_in[side as usize];
            assert!(*told != Some(burst), "NewData twice for one side and burst");
            *told = Some(burst);
        }
        Event::LateData(_) => assert!(ended, "LateData before ConnEnd: {:?}", log.events),
        Event::Error {
            error: StreamError::Gap { .. },
            ..
        } => log.new_data_in = [None; 2],
        _ => {}
    }
}

/// Takes everything there is.
fn drain(stream: &mut StreamLog, flow: &mut FlowContext<'_>, side: Side) {
    while sip(stream, flow, side, usize::MAX) {}
}

/// Takes at most `most` bytes; tells whether there was anything.
fn sip(stream: &mut StreamLog, flow: &mut FlowContext<'_>, side: Side, most: usize) -> bool {
    let unread = flow.unread(side);
    let taken = flow.peek(side, |chunks| {
        let mut offset = chunks.offset();
        let mut left = most;
        assert_eq!(chunks.remaining(), unread, "what is lent is what is unread");
        let mut lent = 0;
        for chunk in chunks {
            lent += chunk.len() as u64;
            let part = &chunk[..chunk.len().min(left)];
            stream.take(offset, part);
            offset += part.len() as u64;
            left -= part.len();
        }
        assert_eq!(lent, unread, "all that was promised");
        most - left
    });
    match taken {
        Ok(taken) => {
            assert!(taken > 0, "nothing was lent");
            true
        }
        // A side may begin to send, and end, before both are connected.
        Err(PeekError::NoData | PeekError::NotConnected) => false,
        Err(PeekError::Lost(lost)) => {
            stream.lost += lost;
            true
        }
        Err(error) => panic!("{error}"),
    }
}
