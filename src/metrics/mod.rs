//! Metrics for Prometheus.
//!
//! [`names`] lists every metric; [`serve`] answers scrapes with them, read from the
//! [`ShardSnapshot`](mosaic_runtime::ShardSnapshot)s that the shards publish. Nothing here is on a packet's path.

mod export;
pub mod names;

pub use export::{MetricsServer, PUBLISH_INTERVAL, ServeError, serve};
