//! Flows: who talks to whom, and where their state lives.

pub(crate) mod alias;
pub(crate) mod classes;
pub(crate) mod entry;
mod key;
pub(crate) mod list;
pub(crate) mod per_flow;
pub mod rss;
pub(crate) mod table;
pub(crate) mod wheel;

pub use entry::IDLE_FLOW_BYTES;
pub use key::{Direction, Endpoint, FlowKey, Proto};
