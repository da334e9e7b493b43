//! Scripts: segments in, events and bytes out.

mod bounds;
mod buffers;
mod chain;
mod checksums;
mod closing;
mod edits;
mod errno;
mod facts;
mod fixture;
mod handshake;
mod inject;
mod lengths;
mod life;
mod overlap;
mod quoted;
mod raw;
mod readers;
mod short_way;
mod streams;
mod subscribing;
mod timers;
mod trace;
mod track;
mod translate;
mod unwatched;
mod user_events;
