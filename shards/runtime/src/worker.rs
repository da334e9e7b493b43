//! The poll loop of one shard.
//!
//! A turn: mailbox, packets from other shards, frames that came back from them, a burst of the own port, and what others
//! own of it on its way. Nothing in it waits for another thread but a full ring of a lossless port, and while it waits it
//! takes in what others sent, so that two shards never wait for each other.
//!
//! An inline port stays open as long as the shard's thread lives: while the shard ends, and after it was lost by a panic,
//! frames pass unseen, or are dropped, as the rules of their wire say.

use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use mosaic_engine::flow::Proto;
use mosaic_engine::flow::rss::Owners;
use mosaic_engine::wire::{Buffer, Encapsulation, Packet, Parsed};
use mosaic_port::{Batch, Extras, Port, PortError, Received, Sent, Timestamp};

use crate::backoff::Backoff;
use crate::clock;
use crate::forward::{WireRules, is_tagged_at_most};
use crate::local::LocalShard;
use crate::ring::{Links, Published};
use crate::running::{ShardReport, Shared, lock};
use crate::snapshot::ShardSnapshot;

/// Busy turns between two publications of the figures.
const PUBLISH_TURNS: u32 = 256;
/// Bundles taken from one ring before others get their turn.
const TAKE_MAX: usize = 8;
/// Empty turns between two looks at the clock.
const CLOCK_TURNS: u32 = 64;
/// Flows ended between two looks at an inline port.
const END_FLOWS: usize = 256;
/// What a port of a lost shard waits when it has nothing.
const BYPASS_SLEEP: Duration = Duration::from_micros(50);
/// Empty turns between two publications of the figures, which time changes as well: about a second of longest sleeps.
const IDLE_PUBLISH_TURNS: u32 = 1024;

/// What a shard is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Every shard is ready: begin. `live`: there is no lossless port anywhere, so that time passes without packets.
    Go { live: bool },
    /// Receive no more; end when the rings are empty and closed.
    Stop,
}

/// One shard at work.
pub(crate) struct Worker<'a, P: Port> {
    shard: u16,
    /// `None` where there is none, or nothing more comes from it.
    port: Option<P>,
    /// The burst at hand.
    batch: P::Batch,
    /// What actors have made besides.
    extras: Extras,
    local: LocalShard,
    owners: Owners,
    links: Links<P::Batch>,
    mailbox: &'a flume::Receiver<Command>,
    backoff: Backoff,
    shared: Arc<Shared>,
    live: bool,
    drain_on_stop: bool,
    stopped: bool,
    rules: Arc<[WireRules]>,
    /// Figures that only the loop knows; the rest is filled in when they are published.
    figures: ShardSnapshot,
    turns_to_publish: u32,
    /// Processor and elapsed time at the first packet.
    began: Option<(Duration, Duration)>,
}

impl<'a, P: Port> Worker<'a, P> {
    #[expect(
        clippy::too_many_arguments,
        reason = "a plain list of parts, called once"
    )]
    pub(crate) fn new(
        shard: u16,
        port: Option<P>,
        local: LocalShard,
        owners: Owners,
        links: Links<P::Batch>,
        mailbox: &'a flume::Receiver<Command>,
        backoff: Backoff,
        shared: Arc<Shared>,
        drain_on_stop: bool,
        rules: Arc<[WireRules]>,
    ) -> Self {
        Self {
            shard,
            rules,
            port,
            batch: P::Batch::default(),
            extras: Extras::default(),
            local,
            owners,
            links,
            mailbox,
            backoff,
            shared,
            live: false,
            drain_on_stop,
            stopped: false,
            figures: ShardSnapshot::default(),
            turns_to_publish: PUBLISH_TURNS,
            began: None,
        }
    }

    /// Whether its port, if it has one, is a live one.
    pub(crate) fn is_live(&self) -> bool {
        !self.is_lossless()
    }

    /// Tells it whether all ports are live ones: then the clock runs without packets.
    pub(crate) fn set_live(&mut self, live: bool) {
        self.live = live;
    }

    /// Works until the port has ended, or `Stop`, and every other shard has closed its ring to this one.
    pub(crate) async fn run(&mut self) -> ShardReport {
        if self.backoff.may_sleep() {
            self.links.note_sleeper();
        }
        while !self.is_over() {
            self.read_mailbox();
            let taken = self.take_in();
            let returned = self.take_back();
            let received = self.receive().await;
            if taken || returned || received {
                self.count_turn();
            } else {
                self.idle();
            }
            glommio::yield_if_needed().await;
        }
        self.finish()
    }

    /// Whether nothing more comes, neither from the port nor from other shards. An inline port counts no more once the
    /// shard was told to stop.
    fn is_over(&self) -> bool {
        (self.port.is_none() || self.stopped)
            && self.links.to.is_empty()
            && self.links.from.iter().all(|ring| ring.is_closed())
    }

    fn is_lossless(&self) -> bool {
        self.port.as_ref().is_some_and(P::is_lossless)
    }

    fn is_inline(&self) -> bool {
        self.port.as_ref().is_some_and(P::is_inline)
    }

    fn read_mailbox(&mut self) {
        while let Ok(command) = self.mailbox.try_recv() {
            match command {
                Command::Go { live } => self.live = live,
                Command::Stop => self.stop(),
            }
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
        if self.is_inline() {
            // The port stays; what is under way comes back first.
            self.note_reached();
        } else {
            self.close();
        }
    }

    /// Receives no more, and tells the others that nothing more comes from here.
    fn close(&mut self) {
        if let Some(port) = self.port.take() {
            self.figures.progress = port.progress();
        }
        self.note_reached();
        self.links.to.clear();
    }

    fn note_reached(&self) {
        let reached = self.local.clock().as_nanos();
        self.shared.end_clock.fetch_max(reached, Ordering::AcqRel);
    }

    /// Processes what other shards sent; whether there was anything.
    fn take_in(&mut self) -> bool {
        let mut any = false;
        for ring in &mut self.links.from {
            for _ in 0..TAKE_MAX {
                let Some(mut bundle) = ring.take() else { break };
                any = true;
                let len = bundle.batch.len();
                if self.stopped && !self.drain_on_stop {
                    self.figures.ring_dropped += bundle.packets();
                    if bundle.inline {
                        let pass = rules(&self.rules, &bundle.batch).pass_exit;
                        let wire = &mut self.figures.wire;
                        let (parsed, extras) = (&bundle.parsed, &mut bundle.extras);
                        let frames = (parsed, len);
                        bundle.forward =
                            wire.judge_unheard(frames, pass, |w| &mut w.dropped_exit, extras);
                    }
                } else {
                    begin(&mut self.began);
                    self.figures.taken_in += bundle.packets();
                    self.local.set_inline(bundle.inline);
                    let dropped = self.local.handle_bundle(&bundle.parsed, &bundle.batch);
                    if bundle.inline {
                        let (parsed, batch) = (&bundle.parsed, &mut bundle.batch);
                        let (shard, extras) = (self.local.shard(), &mut bundle.extras);
                        let wire = &mut self.figures.wire;
                        bundle.forward = wire.decide(shard, parsed, batch, (0, dropped), extras);
                    }
                }
                ring.give_back(bundle);
            }
        }
        any
    }

    /// Sends on what came back from other shards; whether there was anything.
    fn take_back(&mut self) -> bool {
        let mut any = false;
        for ring in self.links.to.iter_mut().flatten() {
            while let Some(mut bundle) = ring.returned() {
                any = true;
                if let Some(port) = &mut self.port {
                    let sent = transmit(port, &mut bundle.batch, bundle.forward, &bundle.extras);
                    self.figures.wire.count_sent(sent);
                }
                ring.reuse(bundle);
            }
        }
        if self.stopped && !self.links.to.iter().flatten().any(|ring| ring.awaits()) {
            // Tells the others that nothing more comes from here.
            self.links.to.clear();
        }
        any
    }

    /// Processes a burst of the port; whether there was one.
    async fn receive(&mut self) -> bool {
        let Some(port) = &mut self.port else {
            return false;
        };
        let received = port.rx_burst(&mut self.batch).unwrap_or_else(|error| {
            record(&self.shared, self.shard, error);
            // What the damage leaves of the source follows, or its end.
            Received::Frames
        });
        if self.stopped && self.is_inline() {
            self.bypass();
        } else if !self.batch.is_empty() {
            begin(&mut self.began);
            self.process().await;
        }
        if received == Received::End {
            self.close();
        }
        received != Received::Idle
    }

    async fn process(&mut self) {
        if !self.is_lossless() {
            self.batch.stamp(clock::now());
        }
        self.local.parse(&self.batch);
        let (inline, mut forward) = (self.is_inline(), 0);
        if inline {
            self.figures.wire.received += self.batch.len() as u64;
            let wire = &mut self.figures.wire;
            wire.finish_checksums(self.local.parsed_mut(), &mut self.batch);
            let rules = rules(&self.rules, &self.batch);
            forward = self.figures.wire.judge_refused(self.local.parsed(), rules);
        }
        if self.hand_out() {
            self.publish_bundles().await;
        }
        self.local.set_inline(inline);
        let dropped = self.local.handle_parsed(&self.batch);
        if inline {
            let parsed = self.local.parsed();
            let wire = &mut self.figures.wire;
            let refused = wire.revoke(parsed, forward, self.local.raw_dropped());
            let (shard, batch) = (self.local.shard(), &mut self.batch);
            forward = wire.decide(shard, parsed, batch, (refused, dropped), &mut self.extras);
            self.send_with_extras(forward);
        } else {
            self.batch.clear();
        }
    }

    /// Lets the frames of the burst pass unseen, or drops them, as the rules say.
    fn bypass(&mut self) {
        let len = self.batch.len();
        if len == 0 {
            return;
        }
        let pass = rules(&self.rules, &self.batch).pass_exit;
        let wire = &mut self.figures.wire;
        wire.unseen += len as u64;
        let forward = wire.judge_unseen(len, pass, |wire| &mut wire.dropped_exit);
        self.send(forward);
    }

    /// The same with what actors have made.
    fn send_with_extras(&mut self, forward: u64) {
        if let Some(port) = &mut self.port {
            let sent = transmit(port, &mut self.batch, forward, &self.extras);
            self.figures.wire.count_sent(sent);
        }
    }

    /// Sends what actors have made while there were no packets.
    fn send_made(&mut self) {
        let shard = self.local.shard();
        if shard.has_changes() && self.port.as_ref().is_some_and(P::is_inline) {
            let (wire, batch) = (&mut self.figures.wire, &mut self.batch);
            wire.apply(shard, &Parsed::default(), batch, 0, &mut self.extras);
            self.send_with_extras(0);
        }
    }

    fn send(&mut self, forward: u64) {
        if let Some(port) = &mut self.port {
            let sent = port.tx_burst(&mut self.batch, forward);
            self.figures.wire.count_sent(sent);
        }
    }

    /// One burst of the port of a shard that looks no more at its frames; whether there was one.
    fn bypass_turn(&mut self) -> bool {
        let Some(port) = self.port.as_mut().filter(|port| port.is_inline()) else {
            return false;
        };
        let received = port.rx_burst(&mut self.batch);
        self.bypass();
        matches!(received, Ok(Received::Frames))
    }

    /// Keeps the wire of a lost shard alive until `Stop`: frames are only passed on, or dropped.
    pub(crate) fn stand_in(&mut self) {
        self.batch.clear();
        while self.is_inline() {
            match self.mailbox.try_recv() {
                Ok(Command::Stop) | Err(flume::TryRecvError::Disconnected) => return,
                Ok(Command::Go { .. }) | Err(flume::TryRecvError::Empty) => {}
            }
            self.take_back();
            if !self.bypass_turn() {
                std::thread::sleep(BYPASS_SLEEP);
            }
        }
    }

    /// Takes the packets of other shards out of the burst and puts them into bundles; whether there are any.
    fn hand_out(&mut self) -> bool {
        let (owners, own) = (&self.owners, self.shard);
        let parsed = self.local.parsed_mut();
        // The common case, where the NIC agrees with us or there is one shard only: nothing to move.
        if parsed
            .packets
            .iter()
            .all(|packet| owners.owner(packet.rss) == own)
        {
            return false;
        }
        let mut packets = std::mem::take(&mut parsed.packets);
        let before = packets.len();
        let port = self.port.as_ref();
        if port.is_some_and(|port| port.deals_flows(&self.batch)) {
            let around = &parsed.encapsulations;
            let foreign = packets
                .iter()
                .filter(|packet| owners.owner(packet.rss) != own);
            let wrong = foreign.filter(|packet| is_hashed(packet, around));
            self.figures.wrong_shard += wrong.count() as u64;
        }
        packets.retain(|packet| {
            let owner = owners.owner(packet.rss);
            if let Some(ring) = &mut self.links.to[usize::from(owner)] {
                ring.add(packet, parsed);
            }
            owner == own
        });
        self.figures.handed_out += (before - packets.len()) as u64;
        parsed.packets = packets;
        let inline = self.is_inline();
        for ring in self.links.to.iter_mut().flatten() {
            ring.take_frames(&mut self.batch, inline);
        }
        true
    }

    /// Sends the bundles of this burst. A lossless port waits for room, a live one drops what finds none.
    async fn publish_bundles(&mut self) {
        let lossless = self.is_lossless();
        let mut waited = false;
        while !self.try_publish(lossless) {
            if !waited {
                waited = true;
                self.figures.ring_waits += 1;
                self.publish_figures();
            }
            // Whoever we wait for may itself wait for room here.
            if self.take_in() | self.take_back() {
                self.backoff.reset();
            } else {
                self.backoff.pause();
            }
            glommio::yield_if_needed().await;
        }
    }

    /// Whether nothing is left to send.
    fn try_publish(&mut self, lossless: bool) -> bool {
        let mut done = true;
        for ring in self.links.to.iter_mut().flatten() {
            match ring.publish() {
                Published::Done => continue,
                Published::Full if lossless => {
                    done = false;
                    continue;
                }
                Published::Full | Published::Gone => {}
            }
            let Some(mut bundle) = ring.discard() else {
                continue;
            };
            self.figures.ring_dropped += bundle.packets();
            if let Some(port) = self.port.as_mut().filter(|port| port.is_inline()) {
                let pass = rules(&self.rules, &bundle.batch).pass_overload;
                let (wire, frames) = (&mut self.figures.wire, (&bundle.parsed, bundle.batch.len()));
                let extras = &mut self.extras;
                let forward =
                    wire.judge_unheard(frames, pass, |wire| &mut wire.dropped_overload, extras);
                wire.count_sent(transmit(port, &mut bundle.batch, forward, extras));
            }
            ring.reuse(bundle);
        }
        done
    }

    fn count_turn(&mut self) {
        self.backoff.reset();
        self.turns_to_publish -= 1;
        if self.turns_to_publish == 0 {
            self.publish_figures();
        }
    }

    fn idle(&mut self) {
        self.figures.idle_polls += 1;
        if self.live && self.backoff.turns().is_multiple_of(CLOCK_TURNS) {
            self.local.set_inline(self.is_inline());
            self.local.run_clock(clock::now());
            self.send_made();
        }
        if self.backoff.turns().is_multiple_of(IDLE_PUBLISH_TURNS) {
            self.publish_figures();
        }
        self.backoff.pause();
    }

    /// Publishes the figures, unless somebody is reading them at this moment.
    fn publish_figures(&mut self) {
        self.turns_to_publish = PUBLISH_TURNS;
        self.local.fill(&mut self.figures);
        if let Some(port) = &self.port {
            self.figures.progress = port.progress();
        }
        match self.shared.snapshots[usize::from(self.shard)].try_lock() {
            Ok(mut published) => published.clone_from(&self.figures),
            Err(TryLockError::Poisoned(published)) => {
                published.into_inner().clone_from(&self.figures)
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn finish(&mut self) -> ShardReport {
        let end = self.shared.end_clock.load(Ordering::Acquire);
        // What is made from here on would go nowhere.
        self.local.set_inline(false);
        self.local.run_clock(Timestamp::from_nanos(end));
        while !self.local.end_some_flows(END_FLOWS) {
            self.bypass_turn();
        }
        let now = (clock::thread_cpu_time(), clock::monotonic());
        let (cpu, wall) = self.began.unwrap_or(now);
        self.local.finish_actors();
        self.local.give_up_fragments();
        self.local.fill(&mut self.figures);
        self.figures.finished = true;
        lock(&self.shared.snapshots[usize::from(self.shard)]).clone_from(&self.figures);
        ShardReport {
            snapshot: self.figures.clone(),
            cpu_time: now.0 - cpu,
            wall_time: now.1 - wall,
        }
    }
}

/// Ends a burst, and sends `extras` with it where there are any.
fn transmit<P: Port>(port: &mut P, batch: &mut P::Batch, forward: u64, extras: &Extras) -> Sent {
    if extras.is_empty() {
        port.tx_burst(batch, forward)
    } else {
        port.tx_burst_with(batch, forward, extras)
    }
}

/// The rules of the wire that the frames of `batch`, of which there is one at least, came in on.
fn rules<'r, B: Batch>(rules: &'r [WireRules], batch: &B) -> &'r WireRules {
    static DEFAULT: WireRules = WireRules::WIRE;
    let interface = batch.frame(0).interface;
    let index = usize::try_from(interface).unwrap_or(usize::MAX);
    rules.get(index).unwrap_or(&DEFAULT)
}

/// Whether every device that spreads flows hashes the packet by its own addresses and ports: it is no fragment, in no tunnel, and
/// has ports that devices know of.
fn is_hashed(packet: &Packet, encapsulations: &[Encapsulation]) -> bool {
    let around = encapsulations.get(usize::from(packet.encapsulation));
    let is_plain = around.is_some_and(is_tagged_at_most);
    is_plain
        && matches!(packet.buffer, Buffer::Frame(_))
        && matches!(packet.key.proto(), Proto::TCP | Proto::UDP)
}

/// Notes the time of the first packet.
fn begin(began: &mut Option<(Duration, Duration)>) {
    if began.is_none() {
        *began = Some((clock::thread_cpu_time(), clock::monotonic()));
    }
}

/// Keeps the first error of all sources for the report; only further ones would be lost without a log line.
fn record(shared: &Shared, shard: u16, error: PortError) {
    let mut first = lock(&shared.error);
    if first.is_some() {
        tracing::error!(shard, %error, "a source is damaged from here on; what it gave before is processed");
    }
    first.get_or_insert(error);
}
