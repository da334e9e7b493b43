//! Monitor sockets, and the interned sets of them that flows carry.

use alloc::vec::Vec;
use arrayvec::ArrayVec;

use crate::actor::{ActorId, END_ONLY, MonitorId, OpenError};
use crate::event::{EventSet, Filter, Hook};
use crate::limits::MONITORS;

/// One monitor socket.
#[derive(Clone, Debug)]
pub(crate) struct Monitor {
    pub(crate) actor: ActorId,
    pub(crate) filter: Option<Filter>,
    /// Events asked for, by hook.
    pub(crate) events: [EventSet; 3],
    /// Whether packets are asked for, by hook.
    pub(crate) packets: [bool; 2],
    /// Bytes a side kept for it whoever has read them.
    pub(crate) retain: u32,
}

impl Monitor {
    /// Whether bytes are kept for it until it has read them.
    fn is_reader(&self) -> bool {
        self.events[Hook::End as usize].contains(EventSet::NEW_DATA)
    }
}

/// What a set of monitors asks for together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    /// Members, a bit each.
    pub(crate) mask: u16,
    /// Members that read streams, a bit each.
    pub(crate) readers: u16,
    /// Events any of them asks for, by hook.
    pub(crate) events: [EventSet; 3],
    /// Whether any of them asks for packets, by hook.
    pub(crate) packets: [bool; 2],
    /// The largest retention any of them asks for.
    pub(crate) retain: u32,
}

impl Set {
    /// Whether bytes of streams matter to anybody.
    #[inline]
    pub(crate) fn keeps_bytes(&self) -> bool {
        self.readers != 0 || self.retain != 0
    }
}

/// The monitor sockets of a shard. Flows with the same monitors share one set.
#[derive(Debug)]
pub struct Monitors {
    monitors: ArrayVec<Monitor, MONITORS>,
    /// The empty set first.
    sets: Vec<Set>,
}

impl Default for Monitors {
    fn default() -> Self {
        Self {
            monitors: ArrayVec::new(),
            sets: alloc::vec![Set::default()],
        }
    }
}

impl Monitors {
    pub(crate) fn get(&self, monitor: u8) -> &Monitor {
        &self.monitors[usize::from(monitor)]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u8, &Monitor)> {
        (0..).zip(&self.monitors)
    }

    #[inline]
    pub(crate) fn set(&self, id: u16) -> &Set {
        &self.sets[usize::from(id)]
    }

    /// The set of exactly the monitors in `mask`.
    pub(crate) fn intern(&mut self, mask: u16) -> u16 {
        // At most 2^16 sets; in practice a handful, and the empty and the full one first.
        let known = self.sets.iter().position(|set| set.mask == mask);
        let at = known.unwrap_or_else(|| {
            let mut set = Set {
                mask,
                ..Set::default()
            };
            for (id, monitor) in self.iter().filter(|(id, _)| mask & 1 << id != 0) {
                set.readers |= u16::from(monitor.is_reader()) << id;
                set.retain = set.retain.max(monitor.retain);
                for (all, own) in set.events.iter_mut().zip(monitor.events) {
                    *all |= own;
                }
                for (any, own) in set.packets.iter_mut().zip(monitor.packets) {
                    *any |= own;
                }
            }
            self.sets.push(set);
            self.sets.len() - 1
        });
        u16::try_from(at).unwrap_or(0)
    }
}

/// Numbers of the monitors in `mask`, ascending.
pub(crate) fn members(mask: u16) -> impl Iterator<Item = u8> {
    let mut left = mask;
    core::iter::from_fn(move || {
        let id = u8::try_from(left.trailing_zeros())
            .ok()
            .filter(|_| left != 0);
        left &= left.wrapping_sub(1);
        id
    })
}

/// A monitor socket about to be opened.
#[derive(Debug)]
#[must_use = "a monitor does nothing until it is opened"]
pub struct MonitorBuilder<'a> {
    monitors: &'a mut Monitors,
    monitor: Monitor,
}

impl<'a> MonitorBuilder<'a> {
    pub(crate) fn new(monitors: &'a mut Monitors, actor: ActorId, filter: Option<Filter>) -> Self {
        let events = [EventSet::empty(); 3];
        Self {
            monitors,
            monitor: Monitor {
                actor,
                filter,
                events,
                packets: [false; 2],
                retain: 0,
            },
        }
    }

    /// Asks for `events` at `hook`. May be called several times.
    pub fn on(mut self, hook: Hook, events: EventSet) -> Self {
        self.monitor.events[hook as usize] |= events;
        self
    }

    /// Asks for every packet at `hook` ([`Hook::Send`] or [`Hook::Receive`]; there are none at `End`).
    pub fn packets(mut self, hook: Hook) -> Self {
        if let Some(wanted) = self.monitor.packets.get_mut(hook as usize) {
            *wanted = true;
        }
        self
    }

    /// Keeps at least the last `bytes` of each side for `peek_at`, whoever has consumed them, as far as the side's bound
    /// allows.
    pub fn retain(mut self, bytes: u32) -> Self {
        self.monitor.retain = bytes;
        self
    }

    /// Opens the monitor. It stays open until the shard ends; flows that already exist are not attached.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(self) -> Result<MonitorId, OpenError> {
        let early =
            self.monitor.events[Hook::Send as usize] | self.monitor.events[Hook::Receive as usize];
        if early.intersects(END_ONLY) {
            return Err(OpenError::BadHook);
        }
        let id = u8::try_from(self.monitors.monitors.len()).map_err(|_| OpenError::NoSocket)?;
        self.monitors
            .monitors
            .try_push(self.monitor)
            .map_err(|_| OpenError::NoSocket)?;
        Ok(MonitorId(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(monitors: &mut Monitors) -> Result<MonitorId, OpenError> {
        MonitorBuilder::new(monitors, ActorId(0), None)
            .on(Hook::End, EventSet::NEW_DATA)
            .open()
    }

    #[test]
    fn the_pool_is_bounded() {
        let mut monitors = Monitors::default();
        for _ in 0..MONITORS {
            open(&mut monitors).unwrap();
        }
        assert_eq!(open(&mut monitors), Err(OpenError::NoSocket));
    }

    #[test]
    fn end_events_are_refused_at_other_hooks() {
        let mut monitors = Monitors::default();
        let builder =
            MonitorBuilder::new(&mut monitors, ActorId(0), None).on(Hook::Send, EventSet::NEW_DATA);
        assert_eq!(builder.open(), Err(OpenError::BadHook));
    }

    #[test]
    fn equal_sets_are_one() {
        let mut monitors = Monitors::default();
        for _ in 0..3 {
            open(&mut monitors).unwrap();
        }
        let (a, b) = (monitors.intern(0b101), monitors.intern(0b111));
        assert_eq!(monitors.intern(0b101), a);
        assert_ne!(a, b);
        assert_eq!(monitors.intern(0), 0);
        assert_eq!(monitors.set(a).readers, 0b101);
        assert_eq!(
            members(0b1001_0000_0000_0010).collect::<Vec<_>>(),
            [1, 12, 15]
        );
    }
}
