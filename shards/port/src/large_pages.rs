//! Large pages for large tables.

use rustix::mm::{Advice, madvise};

/// What a large page has on the systems that matter here.
const LARGE: usize = 2 << 20;

/// Asks the kernel to back the memory that `table` has reserved with large pages as it is touched, where the system leaves that
/// to programs (`transparent_hugepage` is `madvise` or `always`).
///
/// A look-up in a table of many megabytes otherwise waits for the translation of its address, too. A hint only: smaller
/// memory is left alone, and nobody hears where the kernel does not want to.
#[expect(
    unsafe_code,
    reason = "advice to the kernel is an unsafe function; documented exception of the house rules"
)]
pub fn advise_large_pages<T>(table: &Vec<T>) {
    let start = table.as_ptr().cast::<u8>();
    let len = table.capacity().saturating_mul(size_of::<T>());
    let to_page = start.align_offset(LARGE);
    let whole = len.saturating_sub(to_page) / LARGE * LARGE;
    if whole == 0 {
        return;
    }
    let first = start.wrapping_add(to_page).cast_mut().cast();
    // SAFETY: the range lies within memory that the vector owns, and this advice changes neither what is in it nor whether it
    // may be touched.
    let _ = unsafe { madvise(first, whole, Advice::LinuxHugepage) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_every_size_is_as_it_was() {
        for len in [0, 1, 5000, LARGE, 5 * LARGE + 3] {
            let mut table = Vec::with_capacity(len);
            table.push(7_u8);
            advise_large_pages(&table);
            table.resize(len.max(1), 9);
            assert_eq!(table[0], 7);
            assert!(table[1..].iter().all(|byte| *byte == 9));
        }
    }
}
