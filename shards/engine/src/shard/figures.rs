//! What a shard counts.

crate::counters::counters! {
    /// What a shard did.
    pub struct ShardCounters {
        /// Packets given to [`Shard::handle_burst`](super::Shard::handle_burst).
        packets,
        /// Packets that belonged to a flow.
        consumed,
        /// TCP packets of no tracked flow that did not begin one (midstream pick-up is off); consumed all the same.
        orphans,
        /// Bytes of those packets, from the innermost IP header on.
        ip_bytes,
        /// Flows that began.
        flows_started,
        /// Flows that left the table.
        flows_removed,
        /// Flows removed because the table was full.
        flows_evicted,
        /// Payload bytes of TCP segments.
        payload_bytes,
        /// Bytes that joined a stream.
        stream_bytes,
        /// Bytes skipped as missing.
        gap_bytes,
        /// Holes skipped.
        gaps,
        /// Bytes that filled a hole after it had been skipped.
        late_bytes,
        /// Segments that repeated bytes or control bits.
        retransmissions,
        /// Segments ahead of the next expected byte.
        out_of_order,
        /// Payload bytes copied into stream buffers.
        copied_bytes,
        /// Bytes lost to readers that did not keep up.
        overrun_bytes,
        /// Times a bound on buffered bytes or holes was hit.
        bounds_hit,
        /// Segments that a receiver must refuse.
        invalid_segments,
        /// Times no set of subscriptions was left for what was asked of a flow
        /// ([`limits::MONITOR_SETS`](crate::limits::MONITOR_SETS)).
        subscriptions_refused,
        /// User-defined events not raised because too many were raised in answer to one
        /// ([`limits::RAISED_EVENTS`](crate::limits::RAISED_EVENTS)).
        raises_refused,
        /// Segments of edited flows that came before their turn, and wait for it.
        held,
        /// Those that waited already.
        held_again,
        /// Those that were dropped because too much waits: see [`limits::HELD_SEGMENTS`](crate::limits::HELD_SEGMENTS).
        held_refused,
        /// Segments that have waited, and were processed then.
        held_released,
        /// Segments of edited flows, or parts of them, that were not sent because there was no room to translate them.
        edits_no_room,
        /// Segments that were dropped because too many edits wait for their acknowledgment.
        edits_refused,
        /// Acknowledgments sent in the name of a receiver.
        edits_answered,
        /// Segments of inserted bytes sent because a window has opened.
        edits_pushed,
        /// Times a monitor's filter was to judge a frame of a link type that it has no program for: the frame did not pass.
        unknown_links,
        /// Times nothing was remembered of how an end is reached, because too many ways are in use
        /// ([`limits::WAYS`](crate::limits::WAYS)).
        ways_refused,
        /// Packets dropped because they could not be translated.
        untranslated,
        /// ICMP errors translated with the flow they are about; these belong to no flow.
        errors_translated,
    }
}
