//! What shards need of the operating system.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::RuntimeError;

/// Locked memory, in bytes, that an executor needs for its rings and their registered buffers.
pub const MEMLOCK_BYTES_PER_SHARD: u64 = 512 << 10;

/// The cores this process may use. Empty where that cannot be told.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// Whether this process may use an io_uring with everything the executors ask for. They would panic without, or end the
/// process.
///
/// # Errors
/// [`RuntimeError::IoUringMissing`], [`RuntimeError::IoUringForbidden`], [`RuntimeError::IoUringTooOld`], or
/// [`RuntimeError::Executor`] with what the operating system said.
pub fn check_io_uring() -> Result<(), RuntimeError> {
    let mut probe = io_uring::Probe::new();
    let asked =
        io_uring::IoUring::new(2).and_then(|ring| ring.submitter().register_probe(&mut probe));
    if let Err(error) = asked {
        return Err(match error.kind() {
            std::io::ErrorKind::Unsupported => RuntimeError::IoUringMissing,
            std::io::ErrorKind::PermissionDenied => RuntimeError::IoUringForbidden,
            // A kernel older than the request to tell its operations.
            std::io::ErrorKind::InvalidInput => RuntimeError::IoUringTooOld,
            _ => RuntimeError::Executor {
                shard: 0,
                reason: format!("io_uring: {error}"),
            },
        });
    }
    // Linux 5.6 brought these two and everything else the executor asks for.
    let newest = [io_uring::opcode::Statx::CODE, io_uring::opcode::Recv::CODE];
    if newest
        .iter()
        .all(|operation| probe.is_supported(*operation))
    {
        Ok(())
    } else {
        Err(RuntimeError::IoUringTooOld)
    }
}

/// Raises the limit on locked memory where it is too low and we may.
pub(crate) fn ensure_locked_memory(shards: u16) -> Result<(), RuntimeError> {
    let needed = u64::from(shards) * MEMLOCK_BYTES_PER_SHARD;
    let limits = getrlimit(Resource::Memlock);
    let Some(limit) = limits.current.filter(|limit| *limit < needed) else {
        return Ok(());
    };
    let raised = Rlimit {
        current: Some(needed),
        maximum: limits.maximum.map(|most| most.max(needed)),
    };
    setrlimit(Resource::Memlock, raised).map_err(|_| RuntimeError::LockedMemory { limit, shards })
}
