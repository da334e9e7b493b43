//! From a plan to running shards.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use mosaic_engine::flow::rss::Owners;
use mosaic_engine::shard::ShardConfig;
use mosaic_engine::wire::{FragmentPolicy, WireConfig};
use mosaic_port::{Port, PortFactory};

use crate::backoff::Backoff;
use crate::local::LocalShard;
use crate::needs::{allowed_cpus, check_io_uring, ensure_locked_memory};
use crate::ring::{Links, mesh};
use crate::running::{Handle, Running, ShardReport, Shared};
use crate::worker::{Command, Worker};
use crate::{ActorSpec, Idle, OnPanic, Pin, Plan, RuntimeError, WireRules, panics};

/// Commands that may wait in a shard's mailbox.
const MAILBOX_DEPTH: usize = 64;

/// After how long an executor interrupts its task: practically never. It has only one. And an executor of glommio 0.9 that is
/// interrupted before it has run anything, as on a busy machine, takes that for having nothing to do and sleeps for good
/// (glommio/glommio, pull request 53).
const PREEMPT_AFTER: Duration = Duration::from_secs(24 * 3600);

type BatchOf<F> = <<F as PortFactory>::Port as Port>::Batch;

/// Starts the shards of `plan`, each on its thread. When it returns, every port is open and every actor has started.
///
/// # Errors
/// [`RuntimeError`]; no shard has received anything then, and all of them end.
pub fn start<F>(mut plan: Plan<F>) -> Result<Running, RuntimeError>
where
    F: PortFactory + 'static,
    BatchOf<F>: 'static,
{
    plan.check()?;
    check_io_uring()?;
    ensure_locked_memory(plan.shards)?;

    let (mailboxes, commands): (Vec<_>, Vec<_>) = (0..plan.shards)
        .map(|_| flume::bounded(MAILBOX_DEPTH))
        .unzip();
    let shared = Arc::new(Shared {
        mailboxes,
        snapshots: (0..plan.shards).map(|_| Mutex::default()).collect(),
        alive: AtomicUsize::new(usize::from(plan.shards)),
        error: Mutex::new(None),
        end_clock: AtomicU64::new(0),
    });
    let mut running = Running {
        handle: Handle {
            shared: Arc::clone(&shared),
        },
        threads: Vec::new(),
    };

    // Without this sender of its own, the channel closes when every shard has answered.
    let (answer, answers) = flume::bounded(usize::from(plan.shards));
    for (seed, commands) in seeds(&mut plan, &shared).into_iter().zip(commands) {
        let (shard, answer) = (seed.shard, answer.clone());
        let thread = thread::Builder::new()
            .name(format!("mosaic-shard-{shard}"))
            .spawn(move || seed.run(&commands, answer))
            .map_err(|error| RuntimeError::Executor {
                shard,
                reason: error.to_string(),
            })?;
        running.threads.push(thread);
    }
    drop(answer);
    let live = await_ready(&answers)?;
    running.handle.send(Command::Go { live });
    Ok(running)
}

/// Waits until every shard is ready; tells whether all ports are live ones.
fn await_ready(
    answers: &flume::Receiver<Result<Ready, RuntimeError>>,
) -> Result<bool, RuntimeError> {
    let mut live = true;
    for ready in answers {
        live &= ready?.live;
    }
    Ok(live)
}

/// What a shard says when it is about to receive.
struct Ready {
    /// Whether it has no lossless port.
    live: bool,
}

/// What one shard's thread begins with.
struct Seed<F: PortFactory> {
    shard: u16,
    port: Option<Box<F>>,
    wire: WireConfig,
    config: ShardConfig,
    actors: Vec<ActorSpec>,
    on_panic: OnPanic,
    drain_on_stop: bool,
    owners: Owners,
    links: Links<BatchOf<F>>,
    placement: Placement,
    backoff: Backoff,
    shared: Arc<Shared>,
    rules: Arc<[WireRules]>,
}

/// Deals the plan out to its shards.
fn seeds<F: PortFactory>(plan: &mut Plan<F>, shared: &Arc<Shared>) -> Vec<Seed<F>> {
    let cpus = allowed_cpus();
    let crowded = cpus.len() < usize::from(plan.shards);
    let pinned = plan.pin == Pin::Auto && !crowded;
    let idle = if crowded { Idle::Adaptive } else { plan.idle };

    plan.ports.resize_with(usize::from(plan.shards), || None);
    let has_port: Vec<bool> = plan.ports.iter().map(Option::is_some).collect();
    let configs: Vec<_> = (0..plan.shards)
        .map(|shard| (plan.wire_config(shard), plan.shard_config(shard)))
        .collect();
    let ports = std::mem::take(&mut plan.ports);
    let rules: Arc<[WireRules]> = std::mem::take(&mut plan.wires).into();

    let mut seeds = Vec::new();
    for (((shard, links), (wire, config)), port) in (0..)
        .zip(mesh(&has_port, plan.ring_depth))
        .zip(configs)
        .zip(ports)
    {
        seeds.push(Seed {
            shard,
            port,
            wire,
            config,
            actors: plan.actors.clone(),
            on_panic: plan.on_panic,
            drain_on_stop: plan.drain_on_stop,
            owners: Owners::new(plan.shards),
            links,
            placement: match plan.cores.get(usize::from(shard)) {
                Some(core) => Placement::Fixed(usize::from(*core)),
                None if pinned => Placement::Fixed(cpus[usize::from(shard)]),
                None => Placement::Unbound,
            },
            backoff: Backoff::new(idle, crowded),
            shared: Arc::clone(shared),
            rules: Arc::clone(&rules),
        });
    }
    seeds
}

impl<F: PortFactory> Seed<F> {
    /// The whole life of a shard's thread. `None` where the shard never got to run.
    fn run(
        self,
        commands: &flume::Receiver<Command>,
        answer: flume::Sender<Result<Ready, RuntimeError>>,
    ) -> Option<ShardReport> {
        let _alive = Alive(Arc::clone(&self.shared));
        let shard = self.shard;
        panics::watch_this_thread();
        let prepared =
            catch_unwind(AssertUnwindSafe(|| self.prepare(commands))).unwrap_or_else(|panic| {
                let reason = format!(
                    "panicked at {}: {}",
                    panics::location(),
                    panics::message(&*panic)
                );
                Err(RuntimeError::Executor { shard, reason })
            });
        let (executor, mut worker) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = answer.send(Err(error));
                return None;
            }
        };
        let _ = answer.send(Ok(Ready {
            live: worker.is_live(),
        }));
        drop(answer);
        // Nothing runs yet on this thread that could starve.
        match commands.recv() {
            Ok(Command::Go { live }) => worker.set_live(live),
            Ok(Command::Stop) | Err(_) => return None,
        }
        match catch_unwind(AssertUnwindSafe(|| executor.run(worker.run()))) {
            Ok(report) => Some(report),
            Err(panic) => {
                let (reason, at) = (panics::message(&*panic), panics::location());
                tracing::error!(
                    shard,
                    reason,
                    at,
                    "a shard is lost: this is a defect of mosaic or of its port"
                );
                worker.stand_in();
                resume_unwind(panic)
            }
        }
    }

    /// The executor first: from then on the thread is on its core, and memory comes from near it.
    fn prepare<'a>(
        self,
        commands: &'a flume::Receiver<Command>,
    ) -> Result<(LocalExecutor, Worker<'a, F::Port>), RuntimeError> {
        let executor = LocalExecutorBuilder::new(self.placement)
            .name("mosaic-shard")
            .io_memory(0) // no storage I/O: the least it takes
            .preempt_timer(PREEMPT_AFTER)
            .make()
            .map_err(|error| RuntimeError::Executor {
                shard: self.shard,
                reason: error.to_string(),
            })?;
        let port = self.port.map(F::open).transpose()?;
        let mut wire = self.wire;
        if !port.as_ref().is_some_and(F::Port::is_inline) {
            wire.fragments = FragmentPolicy::Pass;
        }
        let local = LocalShard::new(wire, self.config, &self.actors, self.on_panic)?;
        let worker = Worker::new(
            self.shard,
            port,
            local,
            self.owners,
            self.links,
            commands,
            self.backoff,
            self.shared,
            self.drain_on_stop,
            self.rules,
        );
        Ok((executor, worker))
    }
}

/// Counts the thread as alive, however it ends.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Release);
    }
}
