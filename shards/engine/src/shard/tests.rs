//! Scripts: segments in, events and bytes out.

mod bounds;
mod buffers;
mod chain;
mod closing;
mod edits;
mod errno;
mod facts;
mod fixture;
mod handshake;
mod lengths;
mod life;
mod overlap;
mod raw;
mod readers;
mod short_way;
mod streams;
mod subscribing;
mod timers;
mod trace;
mod track;
mod unwatched;
mod user_events;
