//! Frames that are sent besides those that came in.

/// Where an extra frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// With frame `frame` of the batch.
    With {
        /// Index of the frame.
        frame: u8,
        /// Before it or after it, where both go the same way.
        before: bool,
        /// Out of the port it came in on, instead of the opposite one.
        back: bool,
    },
    /// Out of the port of an interface, or the one opposite to it.
    Interface {
        /// The number, as in [`Frame::interface`](crate::Frame::interface).
        interface: u32,
        /// Out of it, instead of the opposite one.
        back: bool,
    },
}

/// Frames that are sent besides those of a batch, with their bytes. Used again from burst to burst.
#[derive(Debug, Default)]
pub struct Extras {
    bytes: Vec<u8>,
    list: Vec<(Way, usize)>,
}

impl Extras {
    /// Adds a frame, and lends it to be changed.
    pub fn push(&mut self, way: Way, bytes: &[u8]) -> &mut [u8] {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.list.push((way, self.bytes.len()));
        &mut self.bytes[start..]
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Every frame, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = (Way, &[u8])> {
        let starts = std::iter::once(0).chain(self.list.iter().map(|(_, end)| *end));
        starts
            .zip(&self.list)
            .map(|(start, (way, end))| (*way, &self.bytes[start..*end]))
    }

    /// Those that go with frame `frame`, before it or after it.
    pub fn with(&self, frame: usize, before: bool) -> impl Iterator<Item = (bool, &[u8])> {
        self.iter().filter_map(move |(way, bytes)| match way {
            Way::With {
                frame: of,
                before: is_before,
                back,
            } if usize::from(of) == frame && is_before == before => Some((back, bytes)),
            _ => None,
        })
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }
}
