//! TCP as seen from the middle.

mod options;
pub mod rewrite;
mod seq;
mod state;
mod validity;

pub use options::Options;
pub use seq::Seq;
pub use state::{Input, State};
pub(crate) use validity::{Judged, Window};
