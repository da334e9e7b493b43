//! What can go wrong for a whole process.

use std::io;
use std::path::PathBuf;

use mosaic_port::PortError;
use mosaic_runtime::RuntimeError;

use crate::config::{ConfigError, RangeError};
use crate::filter::FilterError;
use crate::metrics::ServeError;

/// Why a runtime could not start, or did not come to a good end. Each message names the file, the key or the shard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration file cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the builder is out of its range.
    #[error("{key} {source}")]
    Setting {
        /// Which, as the builder and the configuration file name it.
        key: &'static str,
        /// The range.
        source: RangeError,
    },
    /// A filter expression is refused.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Neither the builder nor the configuration names a source of packets.
    #[error("no source of packets: name a capture, or a port and a wire")]
    NoSource,
    /// Both captures and live ports are named.
    #[error("packets come from captures or from ports, not from both")]
    TwoSources,
    /// Ports are configured, but there is nothing to open them with.
    #[error("this mosaic was built without DPDK, which ports need: build with `--features dpdk`")]
    NoDpdk,
    /// `mosaic replay` was given a configuration with live ports and no capture.
    #[error("the configuration names live ports, which `mosaic run` watches: name a capture")]
    NotForReplay,
    /// A plan that a program made has a wire with a port that is not there.
    #[error("a wire names port number {0}, which the plan does not have")]
    UnknownPort(usize),
    /// A device cannot be used.
    #[cfg(feature = "dpdk")]
    #[error(transparent)]
    Dpdk(#[from] mosaic_dpdk::Error),
    /// The shards could not start.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A source of packets ended with an error. What it gave before was processed.
    #[error(transparent)]
    Port(#[from] PortError),
    /// Output cannot be written.
    #[error("{}: {source}", path.display())]
    Output {
        /// The file or folder; `standard output` for that.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] ServeError),
    /// Signals cannot be caught.
    #[error("signals cannot be caught: {0}")]
    Signals(io::Error),
    /// A shard's thread ended by a panic outside of actors.
    #[error("shard {0} failed: a defect of mosaic, please report it")]
    LostShard(u16),
}

/// A result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
