//! Values addressed by number, whose places are used again.

use alloc::vec::Vec;

/// No value.
pub(super) const NONE: u32 = u32::MAX;

/// Values addressed by number. A released value stays in its place until the place is used again, so that its buffers
/// are.
#[derive(Debug)]
pub(super) struct Slab<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values are in use.
    pub(super) fn in_use(&self) -> usize {
        self.values.len() - self.free.len()
    }

    /// A released place to fill again, or a new one with the value that `make` makes.
    pub(super) fn take(&mut self, make: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.free.pop() {
            return number;
        }
        self.values.push(make());
        u32::try_from(self.values.len() - 1).unwrap_or(NONE)
    }

    /// Gives the place of value `number` back.
    pub(super) fn release(&mut self, number: u32) {
        self.free.push(number);
    }
}

impl<T> core::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        &self.values[number as usize]
    }
}

impl<T> core::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.values[number as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_with_what_they_held() {
        let mut slab = Slab::new();
        let (a, b) = (slab.take(|| 'a'), slab.take(|| 'b'));
        assert_eq!((slab[a], slab[b], slab.in_use()), ('a', 'b', 2));
        slab.release(a);
        assert_eq!(slab.in_use(), 1);
        let again = slab.take(|| 'c');
        assert_eq!((again, slab[again], slab.in_use()), (a, 'a', 2));
    }
}
