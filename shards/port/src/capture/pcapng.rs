//! The pcapng format (draft-ietf-opsawg-pcapng).

use crate::{LinkType, Timestamp};

use super::batch::FrameDesc;
use super::decode::{MAX_FRAME_LEN, Order, Step};

/// The most bytes a block may have: libpcap's limit. A block is read whole, whatever it holds.
pub const MAX_BLOCK_LEN: u32 = 16 * 1024 * 1024;

/// The most interfaces a section may have: as many as the obsolete packet block can tell apart.
pub const MAX_INTERFACES: usize = 65_536;

/// Type of a section header block (section 4.1): a palindrome, so that it needs no byte order.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;

/// Types of blocks (sections 4.2 to 4.4 and appendix A).
const INTERFACE_DESCRIPTION: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Options of an interface description block (section 4.2).
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// Bytes before a block's body: type and length; the length again follows it.
const BLOCK_HEAD_LEN: usize = 8;
const BLOCK_TAIL_LEN: usize = 4;
/// A block without body.
const SHORTEST_BLOCK_LEN: usize = BLOCK_HEAD_LEN + BLOCK_TAIL_LEN;

/// How to read the blocks of the section that the file is in.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    link: LinkType,
    /// 0: unlimited.
    snap_len: u32,
    clock: Clock,
    /// Over all sections and files.
    number: u32,
}

impl Pcapng {
    /// Looks at the block at the beginning of `bytes`. Numbers new interfaces by `interfaces`, which it counts up.
    #[inline]
    pub(super) fn step(&mut self, bytes: &[u8], interfaces: &mut u32) -> Step {
        self.block(bytes, interfaces).unwrap_or_else(|step| step)
    }

    /// As [`step`](Self::step), with an early return for everything that is neither a frame nor skipped.
    #[inline]
    fn block(&mut self, bytes: &[u8], interfaces: &mut u32) -> Result<Step, Step> {
        let head = bytes
            .first_chunk::<SHORTEST_BLOCK_LEN>()
            .ok_or(Step::Need(SHORTEST_BLOCK_LEN))?;
        let [kind, len] = [0, 4].map(|at| [head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if u32::from_ne_bytes(kind) == SECTION_HEADER {
            self.begin_section(&head[BLOCK_HEAD_LEN..])?;
        }
        let body = body(bytes, self.order.u32(len), self.order)?;
        let frame = match self.order.u32(kind) {
            ENHANCED_PACKET => Some(self.enhanced_packet(body)?),
            SIMPLE_PACKET => Some(self.simple_packet(body)?),
            PACKET => Some(self.packet(body)?),
            INTERFACE_DESCRIPTION => {
                self.interface_description(body, interfaces)?;
                None
            }
            SECTION_HEADER => {
                self.section_version(body)?;
                None
            }
            _ => None,
        };
        let len = BLOCK_HEAD_LEN + body.len() + BLOCK_TAIL_LEN;
        Ok(match frame {
            Some(frame) => Step::Frame { frame, len },
            None => Step::Skip(len),
        })
    }

    /// Begins a section: its byte order stands in the section header's `magic` (section 4.1).
    #[cold]
    fn begin_section(&mut self, magic: &[u8]) -> Result<(), Step> {
        self.order = match magic {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            _ => return Err(Step::Damaged("section header without byte-order magic")),
        };
        self.interfaces.clear();
        Ok(())
    }

    #[cold]
    fn section_version(&self, body: &[u8]) -> Result<(), Step> {
        let [_, _, _, _, first, second, ..] = *body else {
            return Err(Step::Damaged("section header is too short"));
        };
        if self.order.u16([first, second]) != 1 {
            return Err(Step::Damaged("pcapng of a major version other than 1"));
        }
        Ok(())
    }

    #[cold]
    fn interface_description(&mut self, body: &[u8], interfaces: &mut u32) -> Result<(), Step> {
        let Some((&[link @ .., _, _, s0, s1, s2, s3], options)) = body.split_first_chunk::<8>()
        else {
            return Err(Step::Damaged("interface description is too short"));
        };
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Step::Damaged("more than 65536 interfaces in a section"));
        }
        self.interfaces.push(Interface {
            link: LinkType(self.order.u16(link)),
            snap_len: self.order.u32([s0, s1, s2, s3]),
            clock: Clock::from_options(self.order, options)?,
            number: *interfaces,
        });
        *interfaces = interfaces.saturating_add(1);
        Ok(())
    }

    #[inline]
    fn enhanced_packet(&self, body: &[u8]) -> Result<FrameDesc, Step> {
        let Some([interface, time @ .., cap_len, wire_len]) = self.order.words::<5>(body) else {
            return Err(Step::Damaged("packet block is too short"));
        };
        self.timed_packet(
            body,
            self.interface(interface as usize)?,
            time,
            [cap_len, wire_len],
        )
    }

    #[cold]
    fn packet(&self, body: &[u8]) -> Result<FrameDesc, Step> {
        let (Some(interface), Some([_, time @ .., cap_len, wire_len])) =
            (body.first_chunk::<2>(), self.order.words::<5>(body))
        else {
            return Err(Step::Damaged("packet block is too short"));
        };
        let interface = self.interface(usize::from(self.order.u16(*interface)))?;
        self.timed_packet(body, interface, time, [cap_len, wire_len])
    }

    /// Enhanced and obsolete packet blocks have everything but the interface in common.
    #[inline]
    fn timed_packet(
        &self,
        body: &[u8],
        interface: &Interface,
        [high, low]: [u32; 2],
        [cap_len, wire_len]: [u32; 2],
    ) -> Result<FrameDesc, Step> {
        const DATA: usize = 20;
        check_frame_len(cap_len, body.len() - DATA)?;
        Ok(FrameDesc {
            offset: BLOCK_HEAD_LEN + DATA,
            timestamp: interface
                .clock
                .timestamp(u64::from(high) << 32 | u64::from(low)),
            cap_len,
            wire_len,
            interface: interface.number,
            link: interface.link,
        })
    }

    /// A simple packet block belongs to the first interface and states neither time nor captured length.
    #[cold]
    fn simple_packet(&self, body: &[u8]) -> Result<FrameDesc, Step> {
        const DATA: usize = 4;
        let [wire_len] = self
            .order
            .words(body)
            .ok_or(Step::Damaged("packet block is too short"))?;
        let interface = self.interface(0)?;
        let cap_len = match interface.snap_len {
            0 => wire_len,
            snap_len => wire_len.min(snap_len),
        };
        check_frame_len(cap_len, body.len() - DATA)?;
        Ok(FrameDesc {
            offset: BLOCK_HEAD_LEN + DATA,
            timestamp: Timestamp::ZERO,
            cap_len,
            wire_len,
            interface: interface.number,
            link: interface.link,
        })
    }

    #[inline]
    fn interface(&self, index: usize) -> Result<&Interface, Step> {
        self.interfaces.get(index).ok_or(Step::Damaged(
            "packet of an interface that the section does not describe",
        ))
    }
}

/// The body of the block of `len` bytes at the beginning of `bytes`.
#[inline]
fn body(bytes: &[u8], len: u32, order: Order) -> Result<&[u8], Step> {
    if len > MAX_BLOCK_LEN {
        return Err(Step::Damaged("block claims more than 16 MiB"));
    }
    // Some writers leave the padding out of the length, though not out of the file.
    let padded = len.next_multiple_of(4) as usize;
    if padded < SHORTEST_BLOCK_LEN {
        return Err(Step::Damaged("block claims fewer than 12 bytes"));
    }
    let block = bytes.get(..padded).ok_or(Step::Need(padded))?;
    let (head_and_body, tail) = block.split_last_chunk::<4>().ok_or(Step::Need(padded))?;
    if order.u32(*tail) != len {
        return Err(Step::Damaged(
            "lengths at the beginning and the end of the block differ",
        ));
    }
    Ok(&head_and_body[BLOCK_HEAD_LEN..])
}

#[inline]
fn check_frame_len(cap_len: u32, room: usize) -> Result<(), Step> {
    if cap_len > MAX_FRAME_LEN {
        return Err(Step::Damaged(
            "record claims more than 262144 captured bytes",
        ));
    }
    if cap_len as usize > room {
        return Err(Step::Damaged("packet is longer than its block"));
    }
    Ok(())
}

/// What an interface's timestamps count (`if_tsresol`), and from when (`if_tsoffset`, seconds after the epoch).
#[derive(Debug)]
struct Clock {
    tick: Tick,
    offset_seconds: i64,
}

#[derive(Debug)]
enum Tick {
    /// So many nanoseconds.
    Nanos(u64),
    /// A nanosecond is so many ticks.
    PerNano(u64),
    /// 2^-n seconds.
    Binary(u8),
}

impl Clock {
    /// As the options of an interface description have it; microseconds since the epoch where they say nothing.
    fn from_options(order: Order, options: &[u8]) -> Result<Self, Step> {
        let mut clock = Self {
            tick: Tick::Nanos(1_000),
            offset_seconds: 0,
        };
        for option in (Options {
            order,
            rest: options,
        }) {
            match option? {
                (IF_TSRESOL, &[resolution]) => clock.tick = Tick::from_resolution(resolution),
                (IF_TSOFFSET, value) if value.len() == 8 => {
                    let value = value.first_chunk().copied().unwrap_or_default();
                    clock.offset_seconds = order.i64(value);
                }
                (IF_TSRESOL | IF_TSOFFSET, _) => {
                    return Err(Step::Damaged("time option of a wrong length"));
                }
                _ => {}
            }
        }
        Ok(clock)
    }

    /// Times before the epoch become the epoch, those after the range of a timestamp its end.
    #[inline]
    fn timestamp(&self, ticks: u64) -> Timestamp {
        let nanos = match self.tick {
            Tick::Nanos(nanos) => ticks.saturating_mul(nanos),
            Tick::PerNano(ticks_per_nano) => ticks / ticks_per_nano,
            Tick::Binary(exponent) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> exponent).unwrap_or(u64::MAX)
            }
        };
        let offset = self
            .offset_seconds
            .unsigned_abs()
            .saturating_mul(1_000_000_000);
        Timestamp::from_nanos(match self.offset_seconds {
            0 => nanos,
            1.. => nanos.saturating_add(offset),
            _ => nanos.saturating_sub(offset),
        })
    }
}

impl Tick {
    /// `if_tsresol`: a negative exponent of 2 where the highest bit is set, otherwise of 10.
    fn from_resolution(resolution: u8) -> Self {
        match resolution {
            exponent @ 0..=9 => Self::Nanos(10_u64.pow(9 - u32::from(exponent))),
            exponent @ 10..=0x7f => Self::PerNano(
                10_u64
                    .checked_pow(u32::from(exponent) - 9)
                    .unwrap_or(u64::MAX),
            ),
            _ => Self::Binary(resolution & 0x7f),
        }
    }
}

/// The options at the end of a block: code and value. Ends after the first that is damaged.
struct Options<'a> {
    order: Order,
    rest: &'a [u8],
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u16, &'a [u8]), Step>;

    fn next(&mut self) -> Option<Self::Item> {
        const END_OF_OPTIONS: u16 = 0;
        if self.rest.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.rest);
        let Some((&[code @ .., len_first, len_second], rest)) = rest.split_first_chunk::<4>()
        else {
            return Some(Err(Step::Damaged("option is cut off by its block's end")));
        };
        let code = self.order.u16(code);
        if code == END_OF_OPTIONS {
            return None;
        }
        let len = usize::from(self.order.u16([len_first, len_second]));
        let Some(value) = rest.get(..len) else {
            return Some(Err(Step::Damaged("option is cut off by its block's end")));
        };
        self.rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((code, value)))
    }
}
