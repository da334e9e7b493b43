//! Panics on the shards' threads: where they happened, without a line on standard error for each.
//!
//! A panic of an actor is contained, counted, and logged once. The panic hook of the standard library would still print
//! every one of them, and an actor may panic at every packet. So the shards' threads are silent, and only remember
//! where it happened; all other threads keep the hook they had.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::Once;

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Silences the hook for the calling thread; [`location`] knows about its panics from now on.
pub(crate) fn watch_this_thread() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !SILENT.get() {
                return before(info);
            }
            LAST.with_borrow_mut(|last| *last = info.location().map(ToString::to_string));
        }));
    });
    SILENT.set(true);
}

/// File, line and column of the last panic on this thread, once; empty where it is not known.
pub(crate) fn location() -> String {
    LAST.take().unwrap_or_default()
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_thread_knows_where_it_panicked() {
        let thread = std::thread::spawn(|| {
            watch_this_thread();
            let panic = std::panic::catch_unwind(|| panic!("by {}", "design")).unwrap_err();
            (location(), message(&*panic).to_owned(), location())
        });
        let (place, said, again) = thread.join().unwrap();
        assert!(place.contains("panics.rs:"), "{place}");
        assert_eq!((said.as_str(), again.as_str()), ("by design", ""));
    }
}
