//! Whole shards on threads: every packet once, at its owner, in order; books, back-pressure, stopping, containment.

mod changes;
mod containment;
mod fragments;
mod handover;
mod inline;
mod lifecycle;
mod raw;
mod support;
mod timers;
