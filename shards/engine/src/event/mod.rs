//! What actors can subscribe to.

mod catalog;
mod filter;

pub use catalog::{
    EVENTS, EndReason, Event, EventSet, Hook, RetransmissionKind, Side, StreamError, Verdict,
};
pub use filter::{Filter, FilterError, Instruction};
