//! Record formats: what a flow looks like when it is written down.
//!
//! [`ConnectionRecord`] is one line of the connection log: a JSON object for each flow, made from its
//! [`FlowSummary`](mosaic_engine::actor::FlowSummary) when the flow leaves the table. Its documentation is the
//! documentation of the format.

pub mod community_id;
mod connection;
mod number;

pub use connection::{ConnectionRecord, EndpointRecord, SideRecord, StreamRecord, TunnelRecord};
pub use number::{Digest, Seconds};
