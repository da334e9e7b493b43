//! A host that checks, at every call, the rules that hold for every flow.

use std::collections::HashMap;

use arbitrary::Arbitrary;
use mosaic_engine::actor::{ActorId, FlowContext, FlowId, Host, PacketView, PeekError};
use mosaic_engine::event::{Event, EventSet, Hook, Side, StreamError, Verdict};
use mosaic_engine::flow::Proto;
use mosaic_engine::shard::Shard;

/// How the second reader reads; the first one takes everything at once.
#[derive(Arbitrary, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// At most seven bytes at an event.
    Sips,
    /// Only when the flow is removed.
    AtTheEnd,
    /// Looks by offset, and reads when the flow is removed.
    PeeksAt,
    /// Wants no data.
    NoData,
    /// Wants no more of a flow once it has data.
    Stops,
}

#[derive(Default)]
struct Direction {
    /// Offset behind the last byte taken.
    end: u64,
    taken: u64,
    lost: u64,
    skipped: u64,
}

#[derive(Default)]
struct Flow {
    directions: [Direction; 2],
    ended: bool,
    established: bool,
    stopped: bool,
    new_data_in: [Option<u64>; 2],
}

pub struct Scribe {
    second: Style,
    lasting: HashMap<(ActorId, FlowId), Flow>,
    removed: u64,
    burst: u64,
}

impl Scribe {
    pub fn start(shard: &mut Shard, second: Style, retain: u32) -> Self {
        let mut first = shard.start_actor(ActorId(0));
        first
            .monitor_stream(None)
            .on(Hook::End, EventSet::all())
            .open()
            .unwrap();
        let mut other = shard.start_actor(ActorId(1));
        let events = match second {
            Style::NoData => EventSet::all() - EventSet::NEW_DATA - EventSet::LATE_DATA,
            _ => EventSet::all(),
        };
        let early = EventSet::RETRANSMISSION | EventSet::ERROR;
        let monitor = other
            .monitor_stream(None)
            .on(Hook::End, events)
            .retain(retain);
        monitor
            .on(Hook::Receive, early)
            .packets(Hook::Receive)
            .open()
            .unwrap();
        Self {
            second,
            lasting: HashMap::new(),
            removed: 0,
            burst: 0,
        }
    }

    pub fn end_burst(&mut self) {
        self.burst += 1;
    }

    pub fn check_at_rest(&self, shard: &Shard) {
        assert!(self.lasting.is_empty(), "every flow was removed");
        assert_eq!((shard.flows(), shard.buffered_bytes()), (0, 0));
        assert_eq!(
            shard.counters().flows_started,
            shard.counters().flows_removed
        );
        assert_eq!(shard.counters().flows_removed, self.removed);
        let [started, _, _, _, _, ended, ..] = shard.events();
        assert_eq!(
            (started, ended),
            (self.removed, self.removed),
            "ConnStart and ConnEnd once a flow"
        );
    }

    fn is_second(actor: ActorId) -> bool {
        actor == ActorId(1)
    }
}

impl Host for Scribe {
    fn on_packet(
        &mut self,
        actor: ActorId,
        _: &mut FlowContext<'_>,
        view: &PacketView<'_>,
        hook: Hook,
    ) -> Verdict {
        assert!(Self::is_second(actor) && hook == Hook::Receive);
        assert_eq!(view.payload().len(), view.packet.payload_captured as usize);
        if view.payload().first() == Some(&7) {
            Verdict::Drop
        } else {
            Verdict::Forward
        }
    }

    fn on_event(&mut self, actor: ActorId, context: &mut FlowContext<'_>, event: Event) {
        let second = Self::is_second(actor);
        let flow = self.lasting.entry((actor, context.id())).or_default();
        assert!(!flow.stopped, "{event:?} after stop");
        check_order(flow, event, self.burst);
        match event {
            Event::NewData(side) | Event::LateData(side) => {
                let direction = &mut flow.directions[side as usize];
                match self.second {
                    _ if !second => drain(direction, context, side),
                    Style::Sips => {
                        sip(direction, context, side, 7);
                    }
                    Style::PeeksAt => {
                        let mut some = [0; 40];
                        let _ = context.peek_at(side, direction.end, &mut some);
                        let _ = context.peek_at(side, 0, &mut some);
                    }
                    Style::AtTheEnd => {}
                    Style::NoData => panic!("told of data it did not ask for"),
                    Style::Stops => {
                        context.stop();
                        flow.stopped = true;
                    }
                }
            }
            Event::Error {
                side,
                error: StreamError::Gap { len, .. },
            } => {
                // The second one hears of it at two hooks.
                flow.directions[side as usize].skipped += if second { 0 } else { len };
            }
            _ => {}
        }
    }

    fn on_removed(&mut self, actor: ActorId, context: &mut FlowContext<'_>) {
        let second = Self::is_second(actor);
        let mut flow = self
            .lasting
            .remove(&(actor, context.id()))
            .expect("a flow begins, and is removed once");
        self.removed += u64::from(!second);
        assert!(
            flow.ended || flow.stopped,
            "ConnEnd before the flow is removed"
        );
        if context.proto() != Proto::TCP || flow.stopped || (second && self.second == Style::NoData)
        {
            return;
        }
        let summary = context.summary();
        for side in Side::BOTH {
            let direction = &mut flow.directions[side as usize];
            drain(direction, context, side);
            let counted = &summary.sides[side as usize];
            assert_eq!(
                direction.taken + direction.lost,
                counted.stream_bytes,
                "{side:?}: {counted:?}"
            );
            if !second {
                assert_eq!(
                    direction.skipped, counted.gap_bytes,
                    "{side:?}: {counted:?}"
                );
            }
        }
    }
}

fn check_order(flow: &mut Flow, event: Event, burst: u64) {
    match event {
        Event::ConnEstablished => assert!(
            !std::mem::replace(&mut flow.established, true),
            "established twice"
        ),
        Event::ConnEnd(_) => assert!(!std::mem::replace(&mut flow.ended, true), "ended twice"),
        Event::NewData(side) => {
            assert!(!flow.ended, "NewData after ConnEnd");
            let before = flow.new_data_in[side as usize].replace(burst);
            assert_ne!(before, Some(burst), "NewData twice for one side and burst");
        }
        Event::LateData(_) => assert!(flow.ended, "LateData before ConnEnd"),
        // What comes before a hole is told before the hole, and what stands behind it after.
        Event::Error {
            error: StreamError::Gap { .. },
            ..
        } => flow.new_data_in = [None; 2],
        _ => {}
    }
}

fn drain(direction: &mut Direction, context: &mut FlowContext<'_>, side: Side) {
    while sip(direction, context, side, usize::MAX) {}
}

/// Takes at most `most` bytes; tells whether there was anything.
fn sip(direction: &mut Direction, context: &mut FlowContext<'_>, side: Side, most: usize) -> bool {
    let unread = context.unread(side);
    let result = context.peek(side, |chunks| {
        assert_eq!(chunks.remaining(), unread);
        assert!(chunks.offset() >= direction.end, "offsets only grow");
        direction.end = chunks.offset();
        let taken = chunks.map(<[u8]>::len).sum::<usize>();
        assert_eq!(taken as u64, unread, "all that was promised is there");
        taken.min(most)
    });
    match result {
        Ok(taken) => {
            assert!(taken > 0);
            direction.end += taken as u64;
            direction.taken += taken as u64;
            true
        }
        Err(PeekError::NoData | PeekError::NotConnected) => false,
        Err(PeekError::Lost(lost)) => {
            direction.lost += lost;
            true
        }
        Err(error) => panic!("{error}: TCP, and a reader"),
    }
}
