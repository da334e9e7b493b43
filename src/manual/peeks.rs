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
//! | `NotConnected` | the handshake is not complete, and there is nothing to read |
//! | `Closed` | this callback has closed the monitor |
//!
//! `errno` gives the name of the error number that the reference system has for it: see [`errors`](super::errors).
//!
//! # Looking back
//!
//! [`peek_at_with`](crate::prelude::FlowContext::peek_at_with) lends bytes from any offset that is still held, also from behind a
//! hole, and moves no reader; [`peek_at`](crate::prelude::FlowContext::peek_at) copies them. A
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
//! Which copy of a byte counts is decided as long as the byte waits behind a hole; what was delivered stays. By default it is the
//! first copy. Receivers differ in this, and what a host reads is what its system makes of it: a monitor may ask for the
//! policy of a system, by side ([`overlap`](mosaic_engine::actor::MonitorBuilder::overlap)), an actor may set it for a flow
//! ([`set_overlap`](crate::prelude::FlowContext::set_overlap)), and the configuration has one for the rest (`overlap`). `Client`
//! stands for the bytes that the client *sends*: give it the policy of the server's system.
//!
//! The policies go back to Novak and Sturges ("Target-Based TCP Stream Reassembly", 2007), as Snort and Suricata
//! have them. This table says when the newer of two segments counts, by how the older one lies to it:
//!
//! | the older one | `bsd` `macos` `windows` `windows2003` | `linux` `irix` `hpux10` | `old-linux` | `solaris` `hpux11` | `bsd-right` |
//! |---|---|---|---|---|---|
//! | begins before, ends within | | | | newer | newer |
//! | begins before, ends with it or behind | | | | | newer |
//! | begins with it, ends within | | newer | newer | newer | newer |
//! | begins and ends with it | | | newer | newer, if the byte before is there | newer |
//! | begins with it, ends behind | | | | | newer |
//! | begins within, ends within or with it | newer | newer | newer | newer | |
//! | begins within, ends behind | newer | newer | newer | | |
//!
//! `first` and `vista` never prefer the newer one, `last` always does. Where three segments or more overlap, each pair is judged
//! by the newer one as it was sent and what is left of the older one; there systems differ in ways that these names do not tell.
//!
//! A copy that differs is reported as [`StreamError::OverlapDiffers`](crate::prelude::StreamError::OverlapDiffers): on the
//! Internet that is rare, and a sign of somebody who wants to be read differently by different readers.
