//! Threads that DPDK knows have a number, and by it a cache in each pool.

use std::cell::Cell;
use std::marker::PhantomData;

use mosaic_dpdk_sys as sys;

use crate::drivers::reason;

thread_local! {
    /// Registrations of this thread that are held.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// Keeps the calling thread registered; stays on it.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Whether the thread had a number without us: the one that started the EAL.
    had_one: bool,
    _stays: PhantomData<*const ()>,
}

impl Registration {
    /// Registers the calling thread, unless it is.
    pub(crate) fn of_this_thread() -> Result<Self, String> {
        let held = HELD.get();
        // SAFETY: reads a variable of the calling thread.
        let had_one = held == 0 && unsafe { sys::mosaic_thread_has_lcore() } != 0;
        if held == 0 && !had_one {
            // SAFETY: the EAL is started (ports are opened by those who hold devices), and the thread not registered.
            let result = unsafe { sys::mosaic_thread_register() };
            if result < 0 {
                return Err(reason(result));
            }
        }
        if !had_one {
            HELD.set(held + 1);
        }
        Ok(Self {
            had_one,
            _stays: PhantomData,
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.had_one {
            return;
        }
        let held = HELD.get() - 1;
        HELD.set(held);
        if held == 0 {
            // SAFETY: this thread was registered by the first of the registrations that are all gone now; DPDK gives
            // its number, and the caches that go with it, to the next thread.
            unsafe { sys::mosaic_thread_unregister() };
        }
    }
}
