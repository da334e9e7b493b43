//! What a callback sees of a flow.

use arrayvec::ArrayString;
use core::fmt;
use core::time::Duration;
use mosaic_port::Timestamp;

use super::burst::{Active, END};
use super::changes::{AtHand, Desk};
use super::edited::Editing;
use super::sets::{Set, Wanted};
use super::timers::{TimerError, TimerId};
use super::track::{self, Tracks};
use super::{Run, Shard};
use crate::actor::{ActorId, CloseError, Host, MonitorId};
use crate::event::{EndReason, Hook, Side};
use crate::flow::entry::{Cold, Flags, Hot};
use crate::flow::{Endpoint, FlowKey, Proto};
pub use crate::stream::Chunks;
use crate::stream::{OverlapPolicy, Reader, SideStore, Sources};
use crate::tcp::State;
use crate::wire::{Encapsulation, Packet};

/// Names a flow of a shard for as long as it is tracked; never names another one later.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowId {
    /// The shard.
    pub shard: u16,
    /// Place in its table: dense, reused.
    pub index: u32,
    /// How often that place was reused.
    pub generation: u32,
}

/// A packet at a hook.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// Decapsulated headers.
    pub packet: &'a Packet,
    /// The buffer; offsets in `packet` count from its start.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub sender: Side,
}

impl<'a> PacketView<'a> {
    /// The captured payload.
    pub fn payload(&self) -> &'a [u8] {
        let start = self.packet.payload_at as usize;
        &self.bytes[start..start + self.packet.payload_captured as usize]
    }
}

/// How the client was told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientBy {
    /// It sent a SYN.
    Syn,
    /// It received a SYN/ACK.
    SynAck,
    /// It sent the first packet.
    FirstPacket,
}

/// Counts of one side: of what it *sent*.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SideSummary {
    /// Packets (TCP segments; a fragmented datagram counts once).
    pub packets: u64,
    /// Bytes from the innermost IP header on.
    pub ip_bytes: u64,
    /// Payload bytes by the headers, repetitions included.
    pub payload_bytes: u64,
    /// Bytes of the reassembled stream.
    pub stream_bytes: u64,
    /// Bytes known to be missing.
    pub gap_bytes: u64,
    /// Holes skipped.
    pub gaps: u32,
    /// Bytes that came after the hole they belong to had been skipped.
    pub late_bytes: u64,
    /// Segments that repeated bytes or control bits; keep-alive probes are not among them.
    pub retransmissions: u32,
    /// Payload bytes seen before.
    pub retransmitted_bytes: u64,
    /// Segments ahead of the next expected byte.
    pub out_of_order: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Segments that announced a window of zero.
    pub zero_windows: u32,
    /// Repeated bytes that differed from the copy that counted, as far as that was still held.
    pub overlap_differs_bytes: u64,
    /// Segments a receiver must refuse.
    pub invalid: u32,
    /// Segments with SYN.
    pub syn: u32,
    /// Segments with FIN.
    pub fin: u32,
    /// Segments with RST.
    pub rst: u32,
    /// Emulated state; `Closed` where the flow is not TCP.
    pub state: State,
}

/// Everything known about a flow, as plain values.
#[derive(Clone, Debug)]
pub struct FlowSummary {
    /// Which flow.
    pub id: FlowId,
    /// Canonical key.
    pub key: FlowKey,
    /// Protocol.
    pub proto: Proto,
    /// The opener.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// How the client was told.
    pub client_by: ClientBy,
    /// Time of the first packet.
    pub first: Timestamp,
    /// Time of the last packet.
    pub last: Timestamp,
    /// From where the packets were seen to each side and back, as the handshake showed; indexed by [`Side`]. `None` where
    /// it was not seen, or a part of it was sent twice.
    pub round_trips: [Option<Duration>; 2],
    /// Counts, indexed by [`Side`].
    pub sides: [SideSummary; 2],
    /// Whether the three-way handshake was seen to complete, or the flow was picked up midstream.
    pub established: bool,
    /// Why it ended; `None` while it lasts.
    pub end: Option<EndReason>,
    /// What happened, in Zeek's letters: `S` SYN, `H` SYN/ACK, `A` bare ACK, `D` data, `F` FIN, `R` RST, `G` gap, `T`
    /// retransmission, `W` zero window; capitals from the client, small letters from the server.
    pub history: ArrayString<24>,
    /// Layers around the flow's first packet.
    pub encapsulation: Encapsulation,
}

/// Why a peek gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeekError {
    /// Nothing unread, or nothing held at that offset.
    #[error("no data")]
    NoData,
    /// The reader did not keep up: this many of its bytes are gone. Its position has moved past them.
    #[error("{0} bytes lost")]
    Lost(u64),
    /// The flow is not TCP.
    #[error("not a stream")]
    NotStream,
    /// The monitor is not a reader: it did not subscribe to new data.
    #[error("not a reader")]
    NotReader,
    /// The actor has switched buffering of this side off.
    #[error("buffering is off")]
    NoBuffer,
    /// The connection is not established yet, and there is nothing to read.
    #[error("not connected")]
    NotConnected,
    /// The monitor was closed, by this callback.
    #[error("the monitor socket is closed")]
    Closed,
}

impl PeekError {
    /// The name of the error number that `mtcp_peek` and `mtcp_ppeek` have for this fault.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::NoData | Self::Lost(_) => "ENODATA",
            Self::NotStream => "ESOCKTNOSUPPORT",
            Self::NotReader | Self::NoBuffer => "EINVAL",
            Self::NotConnected => "ENOTCONN",
            Self::Closed => "EBADF",
        }
    }
}

/// Why a packet could not be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PacketError {
    /// The callback has no packet: it comes at the end of a burst, from a timer, or when the flow leaves.
    #[error("no packet at hand")]
    NoPacket,
}

impl PacketError {
    /// The name of the error number that `mtcp_setlastpkt` has for this fault.
    pub const fn errno(self) -> &'static str {
        match self {
            Self::NoPacket => "ENODATA",
        }
    }
}

/// The packet at a hook: its index, who sent it, and the hook.
pub(super) type Hand = (u8, Side, Hook);

/// One flow, lent to a callback.
pub struct FlowContext<'a> {
    pub(super) shard: &'a mut Shard,
    pub(super) desk: Desk<'a>,
    /// Packets of the burst, and the buffers they lie in.
    pub(super) packets: &'a [Packet],
    pub(super) bytes: &'a [&'a [u8]],
    /// Number of the flow.
    pub(super) flow: u32,
    pub(super) monitor: u8,
    pub(super) hand: Option<Hand>,
    /// What may be edited of its stream, at the hook that it is meant for.
    pub(super) editing: &'a Option<Editing>,
}

impl fmt::Debug for FlowContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowContext")
            .field("id", &self.id())
            .field("monitor", &self.monitor)
            .field("hand", &self.hand)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Lends a flow to a callback of `monitor` at `hook`, and the host to be called with it. Afterwards,
    /// [`give_back`](Self::give_back).
    pub(super) fn context<'a>(
        &'a mut self,
        run: &'a mut Run<'_>,
        flow: u32,
        monitor: u8,
        hook: Hook,
    ) -> (&'a mut dyn Host, FlowContext<'a>) {
        let hand = run.at_hand.filter(|_| hook != Hook::End);
        let hand = hand.map(|(i, sender)| (i, sender, hook));
        self.lend(run, flow, monitor, hand)
    }

    /// The same, with this packet at hand.
    #[inline]
    pub(super) fn lend<'a>(
        &'a mut self,
        run: &'a mut Run<'_>,
        flow: u32,
        monitor: u8,
        hand: Option<Hand>,
    ) -> (&'a mut dyn Host, FlowContext<'a>) {
        let context = FlowContext {
            shard: self,
            desk: run.changes.desk(),
            packets: run.packets,
            bytes: run.bytes,
            flow,
            monitor,
            hand,
            editing: &run.editing,
        };
        (&mut *run.host, context)
    }

    /// Takes in what a callback of `actor` for a flow has made, and does what it asked for.
    #[inline]
    pub(super) fn give_back(&mut self, run: &mut Run<'_>, flow: u32, actor: ActorId) {
        run.adopt();
        if self.commands.any {
            let slot = self.slot_at_hand(run, flow);
            let commands = core::mem::take(&mut self.commands);
            self.obey(run, slot, actor, commands);
        }
    }
}

impl FlowContext<'_> {
    #[inline]
    pub(super) fn hot(&self) -> &Hot {
        self.shard.table.hot(self.flow)
    }

    #[inline]
    pub(super) fn cold(&self) -> &Cold {
        self.shard.table.cold(self.flow)
    }

    /// What the burst knows of the flow, if it has a slot.
    #[inline]
    pub(super) fn active(&self) -> Option<&Active> {
        let slot = self.hot().active.slot()?;
        Some(&self.shard.burst.actives[usize::from(slot)])
    }

    /// The subscriptions with which the callback was made.
    #[inline]
    fn set(&self) -> &Set {
        self.shard.monitors.set(self.hot().set)
    }

    /// What may be edited of the stream of the packet at hand, here.
    pub(super) fn editing(&self) -> Option<&Editing> {
        let (.., hook) = self.hand?;
        self.editing.as_ref().filter(|editing| editing.hook == hook)
    }

    /// The packet at a hook, as it is now but for what this callback has changed.
    #[inline]
    pub(super) fn at_hand(&self) -> Option<AtHand<'_>> {
        let (index, sender, hook) = self.hand?;
        let i = usize::from(index);
        Some(AtHand {
            packet: self.desk.notes.packet(self.packets, i),
            bytes: self.desk.bytes(self.bytes, i),
            sender,
            hook,
        })
    }

    /// Which flow.
    pub fn id(&self) -> FlowId {
        FlowId {
            shard: self.shard.config.shard,
            index: self.flow,
            generation: self.cold().generation,
        }
    }

    /// Place of the flow in its shard's table: dense, used again after the flow has left. Cheaper than [`id`](Self::id).
    #[inline]
    pub fn index(&self) -> u32 {
        self.flow
    }

    /// Protocol.
    pub fn proto(&self) -> Proto {
        self.hot().key.proto()
    }

    /// Address and port of a side.
    pub fn endpoint(&self, side: Side) -> Endpoint {
        self.hot().endpoint(side)
    }

    /// Emulated TCP state of a side.
    pub fn state(&self, side: Side) -> State {
        self.hot().states[side as usize]
    }

    /// Time of the packet at hand (at `End`: of the flow's last packet in the burst).
    pub fn now(&self) -> Timestamp {
        let at_hand = || self.at_hand().map(|at_hand| at_hand.packet.timestamp);
        let active = self.active().map(|active| active.now);
        active.or_else(at_hand).unwrap_or(self.hot().last)
    }

    /// Drops the packet at hand, as [`Verdict::Drop`](crate::event::Verdict::Drop) does. Later monitors see it all the same.
    ///
    /// # Errors
    /// [`PacketError::NoPacket`].
    pub fn drop_packet(&mut self) -> Result<(), PacketError> {
        self.hand.ok_or(PacketError::NoPacket)?;
        (self.shard.commands.drops, self.shard.commands.any) = (true, true);
        Ok(())
    }

    /// Everything known about the flow.
    pub fn summary(&self) -> FlowSummary {
        let encapsulation = &self.shard.encapsulations[usize::from(self.cold().encapsulation)];
        summary(self.hot(), self.cold(), self.id(), encapsulation)
    }

    /// Lends the unread bytes `side` sent to `read`, up to the next hole, and moves this reader on by what `read` returns
    /// (at most what was lent). Bytes left unread are kept and lent again; call again to read on behind a skipped hole.
    ///
    /// # Errors
    /// [`PeekError`]; `read` is then not called.
    #[inline]
    pub fn peek(
        &mut self,
        side: Side,
        read: impl FnOnce(Chunks<'_>) -> usize,
    ) -> Result<usize, PeekError> {
        self.check_reader(side)?;
        if self.hot().has(Flags::STORED, side) {
            self.report_loss(side)?;
        }
        let sources = self.sources(side);
        let (position, end) = sources.span(self.reader(side, sources.store));
        if position >= end {
            return Err(self.nothing());
        }
        let taken = read(Chunks::new(sources, position, end))
            .min(usize::try_from(end - position).unwrap_or(usize::MAX));
        let now = self.now();
        let slot = self.shard.activate(self.flow, now);
        let position = position + taken as u64;
        self.shard.burst.actives[usize::from(slot)].set_position(side, self.monitor, position);
        Ok(taken)
    }

    /// Unread bytes of this reader on `side`, up to the next hole.
    pub fn unread(&self, side: Side) -> u64 {
        if self.check_reader(side).is_err() {
            return 0;
        }
        let (position, end) = self.unread_span(side);
        end - position
    }

    /// Ends this actor's interest in the flow: from the next event on it hears nothing more of it, except `on_removed`.
    pub fn stop(&mut self) {
        (self.shard.commands.stops, self.shard.commands.any) = (true, true);
    }

    /// Ends this actor's interest in the bytes that `side` sends: from the next callback on it hears no `NewData` or
    /// `LateData` of it, cannot peek there, and nothing is kept for it. All else goes on: other events, the emulation, the
    /// other side, other actors. The same as [`set_buffer`](Self::set_buffer) with 0 bytes.
    pub fn stop_side(&mut self, side: Side) {
        self.set_buffer(side, 0);
    }

    /// Sets how many bytes of `side` are kept for readers that do not keep up, from the next callback on.
    ///
    /// 0 switches buffering off for this actor: see [`stop_side`](Self::stop_side). Any other number switches it on again, from
    /// there on, and becomes the bound of the side for every reader of this flow (the last one set counts): rounded up to a
    /// power of two from 1 KiB to 8 MiB, and never more than the configuration's bound. What was held beyond a smaller bound
    /// goes at the next delivery, with `Overrun` told before.
    pub fn set_buffer(&mut self, side: Side, bytes: u64) {
        self.shard.commands.buffers[side as usize] = Some(bytes);
        self.shard.commands.any = true;
    }

    /// Sets which copy of a byte that `side` sends counts from the next callback on, for every monitor of this flow: bytes
    /// that wait behind a hole are judged by it when another copy of them comes.
    pub fn set_overlap(&mut self, side: Side, policy: OverlapPolicy) {
        self.shard.commands.overlaps[side as usize] = Some(policy);
        self.shard.commands.any = true;
    }

    /// Closes a monitor socket of this shard, this one or another. From the next callback on no flow shows it anything; an
    /// actor that has another monitor on a flow still hears of that flow's removal, one that has none left loses its state of
    /// the flow. The connections go on untouched, and what was kept for the monitor is given back, some hundred flows a burst.
    ///
    /// # Errors
    /// [`CloseError`].
    pub fn close(&mut self, monitor: MonitorId) -> Result<(), CloseError> {
        self.shard.monitors.close(monitor)
    }

    /// Calls [`Actor::on_timer`](crate::actor::Actor::on_timer) for this flow once, `after` so much packet time (at least
    /// 1 ns) from the shard's clock on.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set_timer(&mut self, after: Duration) -> Result<TimerId, TimerError> {
        let owner = (self.actor(), Some(self.flow));
        self.shard.timers.set(self.shard.clock, owner, after, false)
    }

    /// The same every `period` (at least 1 ns). Times that pass within one burst are one call.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set_timer_every(&mut self, period: Duration) -> Result<TimerId, TimerError> {
        let owner = (self.actor(), Some(self.flow));
        self.shard.timers.set(self.shard.clock, owner, period, true)
    }

    /// As [`ShardContext::set_timer`](crate::actor::ShardContext::set_timer): one of the shard, which outlives the flow.
    ///
    /// # Errors
    /// [`TimerError::NoTimer`].
    pub fn set_shard_timer(&mut self, after: Duration) -> Result<TimerId, TimerError> {
        let owner = (self.actor(), None);
        self.shard.timers.set(self.shard.clock, owner, after, false)
    }

    /// Takes a timer of this actor back, of this flow, another one or the shard.
    ///
    /// # Errors
    /// [`TimerError::StaleHandle`].
    pub fn cancel_timer(&mut self, timer: TimerId) -> Result<(), TimerError> {
        let actor = self.actor();
        self.shard.timers.cancel(timer, actor)
    }

    /// The set of subscriptions with which the callback was made.
    pub(super) fn set_at_call(&self) -> u16 {
        self.hot().set
    }

    fn actor(&self) -> ActorId {
        self.shard.monitors.actor(self.monitor)
    }

    pub(super) fn check_stream(&self) -> Result<(), PeekError> {
        if self.proto() == Proto::TCP {
            Ok(())
        } else {
            Err(PeekError::NotStream)
        }
    }

    /// What is known of the packets of tracked flows, if this is one.
    pub(super) fn tracks_of_flow(&self) -> Option<&Tracks> {
        let wanted = self.set().wanted;
        wanted.contains(Wanted::FACTS).then_some(&self.shard.tracks)
    }

    /// The round trip to a side that the handshake showed.
    pub(super) fn handshake(&self, side: Side) -> Option<Duration> {
        track::of_handshake(self.cold(), side)
    }

    /// Next byte of a side expected in order.
    pub(super) fn expected(&self, side: Side) -> u64 {
        self.hot().half(side).next
    }

    /// Initial sequence number of a side, as far as it is known.
    pub(super) fn initial(&self, side: Side) -> Option<u32> {
        let rare = self.cold().half(side);
        rare.isn_known.then_some(rare.isn.0)
    }

    /// Where this reader stands, if it is one.
    pub(super) fn read_to(&self, side: Side) -> Option<u64> {
        self.check_reader(side).ok()?;
        Some(self.unread_span(side).0)
    }

    #[inline]
    fn check_reader(&self, side: Side) -> Result<(), PeekError> {
        let reads = self.set().readers[side as usize] & 1 << self.monitor != 0;
        if reads && self.hot().is_tcp() && self.shard.monitors.get(self.monitor).is_some() {
            Ok(())
        } else {
            Err(self.why_no_reader(side))
        }
    }

    #[cold]
    fn why_no_reader(&self, side: Side) -> PeekError {
        let checked = self
            .check_stream()
            .and_then(|()| self.check_open())
            .and_then(|()| self.check_buffer(side));
        checked.err().unwrap_or(PeekError::NotReader)
    }

    /// Whether the monitor that was called is still open.
    pub(super) fn check_open(&self) -> Result<(), PeekError> {
        let open = self.shard.monitors.get(self.monitor).is_some();
        open.then_some(()).ok_or(PeekError::Closed)
    }

    /// Whether this actor wants the bytes of a side.
    pub(super) fn check_buffer(&self, side: Side) -> Result<(), PeekError> {
        let deaf = self.set().deaf[side as usize];
        if deaf & 1 << self.monitor == 0 {
            Ok(())
        } else {
            Err(PeekError::NoBuffer)
        }
    }

    /// Why there is nothing to read.
    pub(super) fn nothing(&self) -> PeekError {
        if self.hot().flags.contains(Flags::ESTABLISHED) {
            PeekError::NoData
        } else {
            PeekError::NotConnected
        }
    }

    /// Tells a reader once what it has lost.
    #[cold]
    fn report_loss(&mut self, side: Side) -> Result<(), PeekError> {
        let (store, _) = self.shard.stores.with_blocks(self.cold().half(side).store);
        match core::mem::take(&mut store.lost[usize::from(self.monitor)]) {
            0 => Ok(()),
            lost => Err(PeekError::Lost(lost)),
        }
    }

    /// Where this reader stands on `side`, and where the bytes it may read end.
    fn unread_span(&self, side: Side) -> (u64, u64) {
        let sources = self.sources(side);
        sources.span(self.reader(side, sources.store))
    }

    /// What this reader may read of `side`, whose store is `store`.
    #[inline]
    fn reader(&self, side: Side, store: Option<&SideStore>) -> Reader {
        let next = self.hot().half(side).next;
        let (position, fresh) = match self.active() {
            Some(active) => (
                active.position(side, self.monitor, store),
                active.sides[side as usize].fresh,
            ),
            None => (Active::stored_position(self.monitor, store, next), next),
        };
        Reader {
            position,
            fresh,
            next,
        }
    }

    #[inline]
    pub(super) fn sources(&self, side: Side) -> Sources<'_> {
        Sources {
            store: self.shard.store(self.flow, side),
            blocks: &self.shard.stores.blocks,
            segments: &self.shard.burst.segments,
            first_segment: self
                .active()
                .map_or(END, |active| active.sides[side as usize].first_segment),
            bytes: self.bytes,
            arena: self.desk.kept,
        }
    }
}

/// Everything known about a flow.
pub(super) fn summary(
    hot: &Hot,
    cold: &Cold,
    id: FlowId,
    encapsulation: &Encapsulation,
) -> FlowSummary {
    FlowSummary {
        id,
        key: hot.key,
        proto: hot.key.proto(),
        client: hot.endpoint(Side::Client),
        server: hot.endpoint(Side::Server),
        client_by: cold.client_by,
        first: cold.first,
        last: hot.last,
        round_trips: Side::BOTH.map(|side| track::of_handshake(cold, side)),
        sides: Side::BOTH.map(|side| side_summary(hot, cold, side)),
        established: hot.flags.contains(Flags::ESTABLISHED),
        end: cold.end,
        history: cold.history(),
        encapsulation: encapsulation.clone(),
    }
}

fn side_summary(hot: &Hot, cold: &Cold, side: Side) -> SideSummary {
    let (half, rare, trouble) = (hot.half(side), cold.half(side), cold.trouble(side));
    let payload_bytes = half.next.wrapping_add(rare.payload_adjust);
    let header_bytes = u64::from(trouble.header_bytes_carry) << 32 | u64::from(half.header_bytes);
    let is_stream = hot.key.proto() == Proto::TCP;
    SideSummary {
        packets: u64::from(trouble.packets_carry) << 32 | u64::from(half.packets),
        ip_bytes: payload_bytes + header_bytes,
        payload_bytes,
        stream_bytes: if is_stream {
            half.next - trouble.gap_bytes
        } else {
            0
        },
        gap_bytes: trouble.gap_bytes,
        gaps: trouble.gaps,
        late_bytes: trouble.late_bytes,
        retransmissions: trouble.retransmissions,
        retransmitted_bytes: trouble.retransmitted_bytes,
        out_of_order: trouble.out_of_order,
        keep_alives: trouble.keep_alives.into(),
        zero_windows: trouble.zero_windows.into(),
        overlap_differs_bytes: trouble.overlap_differs_bytes,
        invalid: trouble.invalid,
        syn: rare.syn.into(),
        fin: rare.fin.into(),
        rst: rare.rst.into(),
        state: hot.states[side as usize],
    }
}
