//! Shards that run: watching, stopping and waiting for them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use mosaic_port::PortError;

use crate::snapshot::{ActorPanics, ShardSnapshot};
use crate::worker::Command;

/// Shards that run. Dropping it stops them without waiting.
#[derive(Debug)]
#[must_use = "dropping it stops the shards"]
pub struct Running {
    pub(crate) handle: Handle,
    pub(crate) threads: Vec<JoinHandle<Option<ShardReport>>>,
}

/// Watches and stops running shards, from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

/// What the shards' threads and the handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) mailboxes: Vec<flume::Sender<Command>>,
    pub(crate) snapshots: Vec<Mutex<ShardSnapshot>>,
    /// Threads that have not ended.
    pub(crate) alive: AtomicUsize,
    /// The first error of a source.
    pub(crate) error: Mutex<Option<PortError>>,
    /// The latest time, in nanoseconds, that a source had reached when it ended. All shards end their flows at that time, so
    /// that it does not matter which of them saw the last packets.
    pub(crate) end_clock: AtomicU64,
}

/// What was done, when all shards have ended.
#[derive(Debug)]
pub struct Report {
    /// By shard; without those that were lost.
    pub shards: Vec<ShardReport>,
    /// The first error of a source. What it gave before, and what the other sources gave, was processed.
    pub error: Option<PortError>,
    /// Panics of each actor over all shards, in the order of the plan.
    pub actor_panics: Vec<ActorPanics>,
    /// Shards whose thread ended by a panic outside of actors: a defect of mosaic or of a port.
    pub lost_shards: Vec<u16>,
}

/// What one shard did.
#[derive(Clone, Debug)]
pub struct ShardReport {
    /// Its final figures.
    pub snapshot: ShardSnapshot,
    /// Processor time (user and system) of its thread from its first packet to the end of its last delivery.
    pub cpu_time: Duration,
    /// Elapsed time from its first packet to the end of its last delivery.
    pub wall_time: Duration,
}

impl Running {
    /// A handle for other threads: signal handlers, metrics, progress displays.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// See [`Handle::snapshots`].
    pub fn snapshots(&self) -> Vec<ShardSnapshot> {
        self.handle.snapshots()
    }

    /// See [`Handle::stop`].
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// See [`Handle::is_finished`].
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Waits until every shard has ended: when every port has, or after [`stop`](Self::stop).
    pub fn wait(mut self) -> Report {
        let mut report = Report {
            shards: Vec::new(),
            error: None,
            actor_panics: Vec::new(),
            lost_shards: Vec::new(),
        };
        for (shard, thread) in (0_u16..).zip(self.threads.drain(..)) {
            match thread.join() {
                Ok(Some(ended)) => report.add(ended),
                Ok(None) => {}
                Err(_) => report.lost_shards.push(shard),
            }
        }
        report.error = lock(&self.handle.shared.error).take();
        report
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Handle {
    /// The figures each shard published last.
    pub fn snapshots(&self) -> Vec<ShardSnapshot> {
        self.shared
            .snapshots
            .iter()
            .map(|snapshot| lock(snapshot).clone())
            .collect()
    }

    /// Asks every shard to receive no more, to process what waits between shards
    /// ([`Plan::drain_on_stop`](crate::Plan::drain_on_stop)), to end its flows, and to finish its actors. Returns at
    /// once.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    pub(crate) fn send(&self, command: Command) {
        for mailbox in &self.shared.mailboxes {
            // Full: the shard will find an earlier one first. Closed: it has ended.
            let _ = mailbox.try_send(command);
        }
    }

    /// Whether every shard has ended; [`Running::wait`] then returns at once.
    pub fn is_finished(&self) -> bool {
        self.shared.alive.load(Ordering::Acquire) == 0
    }
}

impl Report {
    fn add(&mut self, shard: ShardReport) {
        for (index, panics) in shard.snapshot.actor_panics.iter().enumerate() {
            match self.actor_panics.get_mut(index) {
                Some(sum) => sum.panics += panics.panics,
                None => self.actor_panics.push(panics.clone()),
            }
        }
        self.shards.push(shard);
    }
}

/// What a mutex guards here is written as a whole: a thread that panicked left it in order.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
