//! SIGINT and SIGTERM, and signals that ask for something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Error, Result};

/// Tells whether the process was asked to end. The first SIGINT or SIGTERM only asks; a second one ends the process at
/// once, with status 128 plus its number.
#[derive(Clone, Debug)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
}

impl Interrupt {
    /// Catches the signals from now on, for the rest of the process.
    ///
    /// # Errors
    /// [`Error::Signals`] where the operating system refuses.
    pub fn catch() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Called in this order: the shutdown must still see the flag unset when the first signal comes.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .map_err(Error::Signals)?;
            flag::register(signal, Arc::clone(&asked)).map_err(Error::Signals)?;
        }
        Ok(Self { asked })
    }

    /// Whether a signal has come.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A signal that asks for something to be done, as often as it comes.
#[derive(Debug)]
pub(super) struct Request {
    asked: Arc<AtomicBool>,
}

impl Request {
    /// Catches `signal` from now on, for the rest of the process.
    ///
    /// # Errors
    /// [`Error::Signals`] where the operating system refuses.
    pub(super) fn by(signal: i32) -> Result<Self> {
        let asked = Arc::default();
        flag::register(signal, Arc::clone(&asked)).map_err(Error::Signals)?;
        Ok(Self { asked })
    }

    /// Whether the signal has come since this was last asked.
    pub(super) fn take(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }
}
