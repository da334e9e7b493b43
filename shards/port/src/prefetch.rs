//! The one exception to "no unsafe outside the DPDK crates": a hint to the processor.

/// Asks for the cache line at `target` (and, on x86-64, its neighbour by the adjacent-line prefetcher).
///
/// A hint only: the address is never read from, so that any address is fine.
#[inline(always)]
#[expect(
    unsafe_code,
    reason = "the prefetch intrinsic is an unsafe function; documented exception of the house rules"
)]
pub fn prefetch<T>(target: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: PREFETCHT0 does not fault whatever the address, and SSE is part of the x86-64 baseline.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(target.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = target;
}
