//! What actors can subscribe to.

mod catalog;
mod filter;
pub(crate) mod user;

pub use catalog::{
    EVENTS, EndReason, Event, EventSet, Hook, RetransmissionKind, Side, StreamError, Verdict,
};
pub use filter::{Filter, FilterError, Instruction};
pub use user::{DefineError, RaiseError, Topic, Trigger, UserEventId};
