//! Where frames come from and where they go.
//!
//! A [`Port`] receives bursts of at most [`BURST_MAX`] frames into a [`Batch`], which owns them until the burst is
//! over. Back-ends here need no foreign code: capture files ([`capture`]) and memory ([`memory`]).
//! The engine reads frames through [`Frame`] and never learns which back-end they came from.
#![deny(unsafe_code)]

pub mod capture;
mod extras;
mod frame;
mod large_pages;
mod link;
pub mod memory;
mod port;
mod prefetch;
mod time;

pub use extras::{Extras, Way};
pub use frame::{BURST_MAX, Batch, Frame, Headers};
pub use large_pages::advise_large_pages;
pub use link::LinkType;
pub use port::{Port, PortError, PortFactory, Received, Sent};
pub use prefetch::prefetch;
pub use time::Timestamp;
