//! Edits of a stream on its way, and the translation of its numbers for the rest of the connection.
//!
//! [`Rewrite`] knows which bytes were replaced by which, as positions of 64 bits; [`RewrittenStream`] translates what
//! stands in headers: sequence and acknowledgment numbers, selective acknowledgments, windows, urgent pointers.

mod map;
mod numbers;
#[cfg(test)]
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "streams of tests are short"
)]
mod tests;

pub use map::{Part, Parts, RecordError, Rewrite};
pub use numbers::RewrittenStream;
