//! Values by number of the flow.

use alloc::vec::Vec;

/// One value for each flow of a table. Takes no memory before the first one is written.
#[derive(Debug)]
pub(crate) struct PerFlow<T> {
    values: Vec<T>,
    /// What flows have that nothing was written for.
    unset: T,
    flows_max: usize,
}

impl<T: Clone> PerFlow<T> {
    /// For a table of so many flows, which have `unset` until something else is written.
    pub(crate) fn new(flows_max: usize, unset: T) -> Self {
        Self {
            values: Vec::new(),
            unset,
            flows_max,
        }
    }

    /// Whether nothing was ever written.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.values.is_empty()
    }

    /// The value of a flow, if one with its number or a larger one was ever written.
    #[inline]
    pub(crate) fn of(&self, flow: u32) -> Option<&T> {
        self.values.get(flow as usize)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn of_mut(&mut self, flow: u32) -> Option<&mut T> {
        self.values.get_mut(flow as usize)
    }

    /// The value of a flow, to be written. The first time, address space for every flow is reserved, so that nothing moves
    /// later; memory is touched as far as numbers have been used.
    pub(crate) fn at(&mut self, flow: u32) -> &mut T {
        let index = flow as usize;
        if self.values.capacity() == 0 {
            // Where even the address space is refused, the vector grows as it must.
            let _ = self.values.try_reserve_exact(self.flows_max);
        }
        if index >= self.values.len() {
            self.values.resize(index + 1, self.unset.clone());
        }
        &mut self.values[index]
    }
}
