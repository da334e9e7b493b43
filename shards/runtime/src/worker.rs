//! The poll loop of one shard.
//!
//! A turn: mailbox, packets from other shards, a burst of the own port, and what others own of it on its way. Nothing
//! in it waits for another thread but a full ring of a lossless port, and while it waits it takes in what others sent,
//! so that two shards never wait for each other.

use std::sync::atomic::Ordering;
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use mosaic_engine::flow::rss::Owners;
use mosaic_port::{Batch, Port, PortError, Received, Timestamp};

use crate::backoff::Backoff;
use crate::clock;
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
/// Empty turns between two publications of the figures, which time changes as well: about a second of longest sleeps.
const IDLE_PUBLISH_TURNS: u32 = 4096;

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
    local: LocalShard,
    owners: Owners,
    links: Links<P::Batch>,
    mailbox: &'a flume::Receiver<Command>,
    backoff: Backoff,
    shared: Arc<Shared>,
    live: bool,
    drain_on_stop: bool,
    stopped: bool,
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
    ) -> Self {
        Self {
            shard,
            port,
            batch: P::Batch::default(),
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
    pub(crate) async fn run(mut self) -> ShardReport {
        while !self.is_over() {
            self.read_mailbox();
            let taken = self.take_in();
            let received = self.receive().await;
            if taken || received {
                self.count_turn();
            } else {
                self.idle().await;
            }
            glommio::yield_if_needed().await;
        }
        self.finish()
    }

    fn is_over(&self) -> bool {
        self.port.is_none() && self.links.from.iter().all(|ring| ring.is_closed())
    }

    fn is_lossless(&self) -> bool {
        self.port.as_ref().is_some_and(P::is_lossless)
    }

    fn read_mailbox(&mut self) {
        while let Ok(command) = self.mailbox.try_recv() {
            match command {
                Command::Go { live } => self.live = live,
                Command::Stop => {
                    self.stopped = true;
                    self.close();
                }
            }
        }
    }

    /// Receives no more, and tells the others that nothing more comes from here.
    fn close(&mut self) {
        if let Some(port) = self.port.take() {
            self.figures.progress = port.progress();
        }
        let reached = self.local.clock().as_nanos();
        self.shared.end_clock.fetch_max(reached, Ordering::AcqRel);
        self.links.to.clear();
    }

    /// Processes what other shards sent; whether there was anything.
    fn take_in(&mut self) -> bool {
        let mut any = false;
        for ring in &mut self.links.from {
            for _ in 0..TAKE_MAX {
                let Some(bundle) = ring.take() else { break };
                any = true;
                if self.stopped && !self.drain_on_stop {
                    self.figures.ring_dropped += bundle.packets();
                } else {
                    begin(&mut self.began);
                    self.figures.taken_in += bundle.packets();
                    self.local.handle_bundle(&bundle.parsed, &bundle.batch);
                }
                ring.give_back(bundle);
            }
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
        if !self.batch.is_empty() {
            begin(&mut self.began);
            self.process().await;
        }
        if received == Received::End {
            self.close();
        }
        received != Received::Idle
    }

    async fn process(&mut self) {
        self.local.parse(&self.batch);
        if self.hand_out() {
            self.publish_bundles().await;
        }
        self.local.handle_parsed(&self.batch);
        self.batch.clear();
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
        packets.retain(|packet| {
            let owner = owners.owner(packet.rss);
            if let Some(ring) = &mut self.links.to[usize::from(owner)] {
                ring.add(packet, parsed);
            }
            owner == own
        });
        self.figures.handed_out += (before - packets.len()) as u64;
        parsed.packets = packets;
        for ring in self.links.to.iter_mut().flatten() {
            ring.take_frames(&mut self.batch);
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
            if self.take_in() {
                self.backoff.reset();
            } else {
                self.backoff.pause().await;
            }
            glommio::yield_if_needed().await;
        }
    }

    /// Whether nothing is left to send.
    fn try_publish(&mut self, lossless: bool) -> bool {
        let mut done = true;
        for ring in self.links.to.iter_mut().flatten() {
            match ring.publish() {
                Published::Done => {}
                Published::Gone(packets) => self.figures.ring_dropped += packets,
                Published::Full if lossless => done = false,
                Published::Full => self.figures.ring_dropped += ring.discard(),
            }
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

    async fn idle(&mut self) {
        self.figures.idle_polls += 1;
        if self.live && self.backoff.turns().is_multiple_of(CLOCK_TURNS) {
            self.local.run_clock(clock::now());
        }
        if self.backoff.turns().is_multiple_of(IDLE_PUBLISH_TURNS) {
            self.publish_figures();
        }
        self.backoff.pause().await;
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

    fn finish(mut self) -> ShardReport {
        let end = self.shared.end_clock.load(Ordering::Acquire);
        self.local.run_clock(Timestamp::from_nanos(end));
        self.local.end_flows();
        let now = (clock::thread_cpu_time(), clock::monotonic());
        let (cpu, wall) = self.began.unwrap_or(now);
        self.local.finish_actors();
        self.local.fill(&mut self.figures);
        self.figures.finished = true;
        lock(&self.shared.snapshots[usize::from(self.shard)]).clone_from(&self.figures);
        ShardReport {
            snapshot: self.figures,
            cpu_time: now.0 - cpu,
            wall_time: now.1 - wall,
        }
    }
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
