//! Clocks. Nothing else in the data plane reads one: everywhere else time is an argument.

use std::time::Duration;

use mosaic_port::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// The wall clock: what live packets are stamped with.
pub fn now() -> Timestamp {
    let nanos = duration(clock_gettime(ClockId::Realtime)).as_nanos();
    Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// Time since some fixed point; never steps back. For measuring elapsed time.
pub fn monotonic() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

/// Processor time, user and system, that the calling thread has used so far.
pub fn thread_cpu_time() -> Duration {
    duration(clock_gettime(ClockId::ThreadCPUTime))
}

/// Times before the clock's origin count as the origin.
fn duration(time: Timespec) -> Duration {
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) else {
        return Duration::ZERO;
    };
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_advance_and_cpu_time_counts_work_only() {
        let (wall, cpu) = (monotonic(), thread_cpu_time());
        std::thread::sleep(Duration::from_millis(20));
        let slept = thread_cpu_time() - cpu;
        assert!(monotonic() - wall >= Duration::from_millis(20));
        assert!(
            slept < Duration::from_millis(10),
            "sleeping is not work: {slept:?}"
        );

        let mut sum = 0_u64;
        while thread_cpu_time() - cpu < Duration::from_millis(5) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(
            now() > Timestamp::from_nanos(1_700_000_000_000_000_000),
            "the wall clock is set"
        );
    }
}
