//! Faults, and the error numbers that the reference system has for them.
//!
//! Every fault of a call is a value of a small enum; its `errno` gives the name of the number that the reference system's pages
//! have for it. What cannot go wrong here, because the types leave no way to do it, has no value.
//!
//! # Opening a monitor (`mtcp_socket`)
//!
//! | errno | there | here |
//! |---|---|---|
//! | `EACCES` | the context is not valid | cannot be: [`ShardContext`] is the context, lent to a callback and valid as long as that |
//! | `EAFNOSUPPORT` | the domain is not supported | cannot be: there is no domain to name; IPv4 and IPv6 are both watched |
//! | `EINVAL` | the type is not valid | [`OpenError::BadHook`]: an event was asked for at a hook where it does not happen. The types are methods: [`monitor_stream`], [`monitor_raw`] |
//! | `ENFILE` | no socket is left in the pool | [`OpenError::NoSocket`] |
//!
//! A filter whose text is wrong is refused before (`EINVAL` of `mtcp_bind_monitor_filter`): [`FilterError`](crate::filter::FilterError)
//! says what libpcap says, and shows where.
//!
//! # Closing it (`mtcp_close`)
//!
//! | errno | there | here |
//! |---|---|---|
//! | `EBADF` | the descriptor is not valid | [`CloseError::StaleHandle`](crate::prelude::CloseError::StaleHandle) |
//!
//! # Peeking (`mtcp_peek`, `mtcp_ppeek`)
//!
//! | errno | there | here |
//! |---|---|---|
//! | `EACCES` | the context is not valid | cannot be: [`FlowContext`] is the context and the socket in one, lent to a callback |
//! | `EBADF` | the descriptor is not valid | [`PeekError::Closed`]: the callback has closed the monitor itself |
//! | `EINVAL` | buffering was switched off | [`PeekError::NoBuffer`]; also [`PeekError::NotReader`] for `peek` by a monitor that asked for no data |
//! | `ESOCKTNOSUPPORT` | the socket is of another type | [`PeekError::NotStream`]: the flow is not TCP. A raw monitor has no flow to peek into |
//! | `ENOTCONN` | the state of the connection allows no reading | [`PeekError::NotConnected`]: not established yet, and nothing there |
//! | `ENODATA` | nothing to read | [`PeekError::NoData`]: nothing unread, or nothing held at the offset; [`PeekError::Lost`]: told once, by how many bytes the reader fell behind |
//! | `EPERM` | called from a thread that may not | cannot be: whoever holds a [`FlowContext`] may use it, and it does not outlive its callback |
//!
//! What cannot be is not a matter of discipline. A context does not leave its callback:
//!
//! ```compile_fail,E0521
//! use mosaic::prelude::*;
//!
//! fn on_event(flow: &mut FlowContext<'_>) {
//!     std::thread::spawn(move || flow.peek_at(Side::Client, 0, &mut [0; 8]));
//! }
//! ```
//!
//! [`ShardContext`]: crate::prelude::ShardContext
//! [`FlowContext`]: crate::prelude::FlowContext
//! [`OpenError::BadHook`]: crate::prelude::OpenError::BadHook
//! [`OpenError::NoSocket`]: crate::prelude::OpenError::NoSocket
//! [`PeekError::Closed`]: crate::prelude::PeekError::Closed
//! [`PeekError::NoBuffer`]: crate::prelude::PeekError::NoBuffer
//! [`PeekError::NotReader`]: crate::prelude::PeekError::NotReader
//! [`PeekError::NotStream`]: crate::prelude::PeekError::NotStream
//! [`PeekError::NotConnected`]: crate::prelude::PeekError::NotConnected
//! [`PeekError::NoData`]: crate::prelude::PeekError::NoData
//! [`PeekError::Lost`]: crate::prelude::PeekError::Lost
//! [`monitor_stream`]: crate::prelude::ShardContext::monitor_stream
//! [`monitor_raw`]: crate::prelude::ShardContext::monitor_raw
