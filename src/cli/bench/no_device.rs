//! Devices for `mosaic bench port`, in a build without DPDK.

use mosaic_port::Timestamp;

use super::BenchError;
use super::port::PortArgs;
use super::report::Spread;

/// Refuses: there is nothing to open it with.
pub(super) fn measure(
    _: &PortArgs,
    source: &str,
    _: &[(Timestamp, [u8; 64])],
) -> Result<Vec<(&'static str, Spread)>, BenchError> {
    Err(BenchError::NoDpdk(source.to_owned()))
}
