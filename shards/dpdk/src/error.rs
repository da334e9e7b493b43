//! What can go wrong before the first packet.

/// Why the EAL could not be started or a device not be opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The EAL was started before in this process, and cannot be started again.
    #[error("DPDK can be started once a process, and was started before")]
    AlreadyStarted,
    /// There are not as many huge pages as asked for.
    #[error(
        "hugepages: {asked_mb} MB asked for, {free_mb} MB free (see /proc/sys/vm/nr_hugepages)"
    )]
    Hugepages {
        /// Asked for, in MB.
        asked_mb: u64,
        /// Free, in MB.
        free_mb: u64,
    },
    /// The EAL did not start.
    #[error("DPDK did not start: {reason} (arguments: {arguments})")]
    Start {
        /// What it said; more may stand on standard error.
        reason: String,
        /// What it was called with.
        arguments: String,
    },
    /// A text has a zero byte, or is empty.
    #[error("{option}: {text:?} is not a text that DPDK takes")]
    Text {
        /// Which option.
        option: &'static str,
        /// The text.
        text: String,
    },
    /// A virtual device could not be made: unknown driver, bad arguments, or the driver failed.
    #[error("{device}: not attached: {reason}")]
    Attach {
        /// Name and arguments.
        device: String,
        /// What DPDK said.
        reason: String,
    },
    /// There is no such device.
    #[error("{device}: no such device (there {}: {})", if known.len() == 1 { "is" } else { "are" },
        if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownDevice {
        /// The name asked for.
        device: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// The device is open already.
    #[error("{device}: is open already")]
    InUse {
        /// Its name.
        device: String,
    },
    /// An option is outside of what the device takes.
    #[error("{device}: {option} = {asked} is not within {min} to {max}")]
    OutOfRange {
        /// The device.
        device: String,
        /// The option.
        option: &'static str,
        /// What was asked for.
        asked: u64,
        /// The smallest allowed.
        min: u64,
        /// The largest allowed.
        max: u64,
    },
    /// There is no memory for the device's packet buffers.
    #[error("{device}: no memory for {mbufs} packet buffers of {len} bytes: {reason}")]
    Pool {
        /// The device.
        device: String,
        /// Number of buffers.
        mbufs: u32,
        /// Bytes each holds.
        len: u32,
        /// What DPDK said.
        reason: String,
    },
    /// The device refused.
    #[error("{device}: cannot {what}: {reason}")]
    Refused {
        /// The device.
        device: String,
        /// To do what.
        what: &'static str,
        /// What DPDK said.
        reason: String,
    },
}
