//! Metrics for Prometheus.
//!
//! [`names`] lists every metric; [`serve`] answers scrapes with them, read from the
//! figures that the shards publish and those of the live ports. Nothing here is on a packet's path.

mod export;
pub mod names;

pub use export::{MetricsServer, PUBLISH_INTERVAL, ServeError, serve};
