//! Pools of packet buffers.

use std::ffi::CString;
use std::ptr::NonNull;

use mosaic_dpdk_sys as sys;

use crate::drivers::reason;
use crate::{Eal, Error};

/// Buffers that each thread keeps for itself: DPDK's maximum.
const CACHE: u32 = 512;

/// A pool, freed when dropped. Whoever may hold one of its buffers holds the pool, by an `Arc`.
#[derive(Debug)]
pub(crate) struct Pool {
    pool: NonNull<sys::Mempool>,
    mbufs: u32,
    /// Its memory is the EAL's.
    _eal: Eal,
}

// SAFETY: the pool's ring takes and gives buffers on any thread, its caches are kept by thread number, and its
// description does not change once it is made.
unsafe impl Send for Pool {}
// SAFETY: as above; `in_use` only reads counters, which may be a moment old.
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool of `mbufs` buffers for `len` bytes each, for the device of that name, close to the memory of `numa`.
    pub(crate) fn new(
        eal: &Eal,
        number: u32,
        device: &str,
        mbufs: u32,
        len: u32,
        numa: i32,
    ) -> Result<Self, Error> {
        let name = CString::new(format!("mosaic_{number}")).expect("a number has no zero byte");
        // A cache may not hold more than two thirds of the pool, or a thread would keep all of it.
        let cache = CACHE.min(mbufs / 4);
        let mut error = 0;
        // SAFETY: the EAL is started, the name ends with a zero, `error` may be written.
        let pool =
            unsafe { sys::mosaic_pool_create(name.as_ptr(), mbufs, cache, len, numa, &mut error) };
        let pool = NonNull::new(pool).ok_or_else(|| Error::Pool {
            device: device.to_owned(),
            mbufs,
            len,
            reason: reason(error),
        })?;
        Ok(Self {
            pool,
            mbufs,
            _eal: eal.clone(),
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::Mempool {
        self.pool.as_ptr()
    }

    pub(crate) fn mbufs(&self) -> u32 {
        self.mbufs
    }

    /// Buffers that are with devices, batches or programs. Exact only while nobody moves any.
    pub(crate) fn in_use(&self) -> u32 {
        // SAFETY: the pool exists as long as `self`.
        unsafe { sys::mosaic_pool_in_use(self.pool.as_ptr()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: nobody else holds the pool, and therefore nobody one of its buffers.
        unsafe { sys::mosaic_pool_free(self.pool.as_ptr()) };
    }
}
