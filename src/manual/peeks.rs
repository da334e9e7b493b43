//! How to read streams, and what is copied.
//!
//! # Reading on
//!
//! [`peek`](crate::prelude::FlowContext::peek) lends the bytes of a side that this reader has not taken yet, as slices in
//! order, up to the next hole. They lie where they were received: in the frames of this burst or, if they had to wait, in the
//! stream's buffer. The closure returns how many bytes it took; the rest is lent again next time.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! /// Takes whole lines and leaves the beginning of the next one.
//! fn lines(flow: &mut FlowContext<'_>, side: Side) -> u64 {
//!     let mut lines = 0;
//!     let taken = flow.peek(side, |chunks| {
//!         let (mut seen, mut end_of_line) = (0, 0);
//!         for chunk in chunks {
//!             lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
//!             if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
//!                 end_of_line = seen + at + 1;
//!             }
//!             seen += chunk.len();
//!         }
//!         end_of_line
//!     });
//!     match taken {
//!         Ok(_) | Err(PeekError::NoData) => lines,
//!         Err(error) => panic!("{error}"),
//!     }
//! }
//! ```
//!
//! Each reader has a position of its own for each side; how much one takes changes nothing for the others.
//!
//! | error | means |
//! |---|---|
//! | `NoData` | nothing unread |
//! | `Lost(n)` | this reader left bytes unread until the side's bound was hit, and `n` of them went; its position has moved on |
//! | `NotStream` | the flow is not TCP |
//! | `NotReader` | the monitor asked for no data |
//! | `NoBuffer` | this actor has switched buffering of the side off |
//!
//! `errno` gives the name of the error number that the reference system has for it, as it does for the errors of opening and
//! closing a monitor.
//!
//! # Looking back
//!
//! [`peek_at`](crate::prelude::FlowContext::peek_at) copies bytes from any offset that is still held, and moves no reader. A
//! monitor that was opened with `.retain(bytes)` has at least that many of the last bytes of each side there, whoever took
//! them.
//!
//! ```
//! use mosaic::prelude::*;
//!
//! struct Context;
//!
//! impl Actor for Context {
//!     type Flow = ();
//!
//!     fn start(&mut self, shard: &mut ShardContext<'_>) -> Result<(), StartError> {
//!         shard.monitor_stream(None).on(Hook::End, EventSet::NEW_DATA).retain(4096).open()?;
//!         Ok(())
//!     }
//!
//!     fn on_event(&mut self, _: &mut (), flow: &mut FlowContext<'_>, event: Event) {
//!         let Event::NewData(side) = event else { return };
//!         let mut start = 0;
//!         let _ = flow.peek(side, |chunks| {
//!             start = chunks.offset();
//!             chunks.map(<[u8]>::len).sum()
//!         });
//!         let mut before = [0; 16];
//!         let _context = flow.peek_at(side, start.saturating_sub(16), &mut before);
//!     }
//! }
//! ```
//!
//! [`held`](crate::prelude::FlowContext::held) lists the runs of bytes that `peek_at` reaches at present, and
//! [`stream_info`](crate::prelude::FlowContext::stream_info) tells the initial sequence number, where this reader stands, which byte
//! is expected next, and how far the side has come behind holes.
//!
//! # Offsets
//!
//! Offset 0 is the byte after the SYN, or the first byte seen where no SYN was. Offsets have 64 bits: sequence numbers
//! wrap, offsets do not. The payload of a SYN counts; that of a RST does not; urgent bytes stand in line.
//!
//! # What is copied
//!
//! Bytes that come in order and that every reader takes within the burst are never copied: `peek` lends the frame itself.
//! Copied are bytes behind a hole, bytes that a reader left, and the retained window; `mosaic_copied_bytes_total` says how many. A reader
//! that takes everything at every `NewData`, as most should, costs no copy on traffic without loss.
//!
//! [`set_buffer`](crate::prelude::FlowContext::set_buffer) changes the bound of a side of one flow at run time; 0, or
//! [`stop_side`](crate::prelude::FlowContext::stop_side), ends an actor's interest in a side: nothing is kept for it, it hears no
//! `NewData` of that side, and neither the emulation nor other actors notice.
//!
//! # Repeated bytes
//!
//! The first copy of a byte counts, unless the configuration says `overlap = "last"`: then the last, as long as the byte still waits behind a hole.
//! A copy that differs is reported as [`StreamError::OverlapDiffers`](crate::prelude::StreamError::OverlapDiffers): on the
//! Internet that is rare, and a sign of somebody who wants to be read differently by different readers.
