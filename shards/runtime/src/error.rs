//! Why a plan could not be started.

use std::sync::Arc;

use mosaic_engine::actor::StartError;
use mosaic_port::PortError;

use crate::needs::MEMLOCK_BYTES_PER_SHARD;

/// Why a plan could not be started. Each is one sentence with its remedy, where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// `Plan::shards` is 0.
    #[error("at least one shard is needed")]
    NoShards,
    /// More ports than shards.
    #[error("{ports} ports for {shards} shards: a port needs a shard of its own")]
    TooManyPorts {
        /// Entries of `Plan::ports`.
        ports: usize,
        /// `Plan::shards`.
        shards: u16,
    },
    /// More actors than an actor number can name.
    #[error("{0} actors: at most 256 are possible")]
    TooManyActors(usize),
    /// `Plan::ring_depth` is 0.
    #[error("the hand-over rings need a depth of at least 1")]
    NoRingDepth,
    /// `Plan::cores` does not name one core for each shard.
    #[error("{cores} core{} for {shards} shards: name one for each", if *cores == 1 { "" } else { "s" })]
    CoresPerShard {
        /// Entries of `Plan::cores`.
        cores: usize,
        /// `Plan::shards`.
        shards: u16,
    },
    /// A core that does not exist, or that this process may not use.
    #[error(
        "core {0} does not exist or is not this process's to use: `taskset -p $$` shows which are"
    )]
    NoSuchCore(u16),
    /// The kernel has no io_uring.
    #[error(
        "this kernel has no io_uring, which every shard needs: use Linux 5.8 or newer, built with CONFIG_IO_URING"
    )]
    IoUringMissing,
    /// The kernel has an io_uring that lacks operations.
    #[error("the io_uring of this kernel is too old: use Linux 5.8 or newer")]
    IoUringTooOld,
    /// A seccomp profile or a setting forbids io_uring.
    #[error(
        "io_uring is forbidden here: allow io_uring_setup, io_uring_enter and io_uring_register in the container's \
         seccomp profile (docker: --security-opt seccomp=unconfined), or set sysctl kernel.io_uring_disabled=0"
    )]
    IoUringForbidden,
    /// The limit on locked memory is too low for the executors.
    #[error(
        "locked memory is limited to {} KiB but {shards} shards need {} KiB: raise it with `ulimit -l {}` or \
         LimitMEMLOCK= of the service",
        limit / 1024, needed_kib(*shards), needed_kib(*shards)
    )]
    LockedMemory {
        /// The limit, in bytes (`RLIMIT_MEMLOCK`).
        limit: u64,
        /// Number of shards.
        shards: u16,
    },
    /// A thread or its executor could not start for another reason.
    #[error("shard {shard} cannot start: {reason}")]
    Executor {
        /// Which shard.
        shard: u16,
        /// What the executor or the operating system said, or what panicked.
        reason: String,
    },
    /// A port could not be opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// An actor refused to start.
    #[error("actor {name} cannot start on shard {shard}: {source}")]
    Actor {
        /// Name of the actor.
        name: Arc<str>,
        /// Which shard.
        shard: u16,
        /// What it said.
        source: StartError,
    },
}

fn needed_kib(shards: u16) -> u64 {
    u64::from(shards) * MEMLOCK_BYTES_PER_SHARD / 1024
}
