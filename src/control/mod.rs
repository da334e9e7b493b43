//! Control of running shards from outside the packet path: signals, files that change, what is due by the clock.
//!
//! A program with rules that may change, and figures that are asked for, looks after both in the tick of
//! [`Builder::attend`](crate::Builder::attend):
//!
//! ```
//! use mosaic::control::{Reminder, Watched};
//! use mosaic::prelude::*;
//!
//! fn numbers(text: &str) -> Result<Vec<u16>, String> {
//!     text.lines()
//!         .zip(1..)
//!         .map(|(line, number)| line.parse().map_err(|_| format!("{number}: {line} is no port")))
//!         .collect()
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (file, every) = (None, None);
//! let mut file = Watched::new(file)?;
//! let mut ports = file.load("80\n443", numbers)?;
//! let mut table = Reminder::new(every)?;
//! let report = Runtime::builder().capture("tests/captures/http.pcap").attend("ports", |runtime| {
//!     if file.has_changed() {
//!         match file.load("80\n443", numbers) {
//!             Ok(read) => ports = read,
//!             Err(error) => eprintln!("ports: {error}; the ports of before stay in force"),
//!         }
//!     }
//!     if table.is_due() {
//!         println!("{} flows, {} ports", runtime.snapshot().flows(), ports.len());
//!     }
//! })?;
//! # assert_eq!(ports, [80, 443]);
//! Ok(report.into_result()?)
//! # }
//! ```

mod signals;
mod ticks;
mod watched;

pub use signals::Interrupt;
pub use ticks::{Reminder, Ticks};
pub use watched::{LoadError, Watched};

/// One line to standard error. Where even that is closed, nobody listens.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
