//! ICMP errors about flows that are translated or edited (RFC 5508, section 4): they go where the quoted packet came from, and
//! quote it as it was there.

use super::edit::set_endpoint;
use super::translate::{Hardware, Translation, set_hardware};
use super::{Run, Shard};
use crate::event::Side;
use crate::flow::{Endpoint, Proto};
use crate::tcp::Seq;
use crate::wire::{Buffer, Packet, Quote, Sums};

/// How an ICMP error about a translated flow leaves.
struct Returned {
    quote: Quote,
    /// Source and destination of what it quotes.
    quoted: [Endpoint; 2],
    /// Its own source, where that is not for the receiver to see.
    source: Option<Endpoint>,
    hardware: Hardware,
    /// The sequence number that it quotes, as the sender of the segment knows it.
    seq: Option<Seq>,
}

impl Shard {
    /// Translates packet `i` if it is an ICMP error about a translated or edited flow; whether that was all. The packet belongs
    /// to no flow of its own then, and is no event of the one it is about.
    #[cold]
    pub(super) fn take_error(&mut self, run: &mut Run<'_>, i: usize) -> bool {
        let packet = &run.packets[i];
        if !matches!(packet.key.proto(), Proto::ICMP | Proto::ICMPV6) {
            return false;
        }
        let Some(quote) = Quote::of(packet, run.bytes[i]) else {
            return false;
        };
        let Some((number, returned)) = self.find_quoted(packet, run.bytes[i], quote) else {
            return false;
        };
        let bit = 1 << i;
        let special = self.specials.get(number);
        if special.is_some_and(|special| special.blocked) {
            run.dropped |= bit;
        } else if run.dropped & bit == 0 {
            if rewrite(run, i, &returned).is_some() {
                self.counters.errors_translated += 1;
            } else {
                run.dropped |= bit;
                self.counters.untranslated += 1;
            }
        }
        true
    }

    /// The translated flow that an error is about, and what is to become of the error. `None` where it quotes no packet
    /// that has left from here, or does not go to who sent that.
    fn find_quoted(&self, packet: &Packet, bytes: &[u8], quote: Quote) -> Option<(u32, Returned)> {
        let hash = self.table.hash(&quote.key);
        let alias = self.aliases.find(&quote.key, hash);
        let number = match alias {
            Some((number, _)) => number,
            None => self.table.find(&quote.key, hash, None)?,
        };
        let special = self.specials.get(number)?;
        let hot = self.table.hot(number);
        let original = hot.ends();
        let (seen, asked) = match &special.translated {
            Some(translated) => (translated.seen, translated.asked),
            None if special.edited.is_some() => (original, Translation::default()),
            None => return None,
        };
        // What it quotes was sent by `to`, and has passed here.
        let to = match alias {
            Some((_, client)) if quote.direction == client => Side::Client,
            Some(_) => return None,
            None => hot.side_of(quote.direction),
        };
        let is_own_key = alias.is_none() && seen != original;
        let destination = packet.key.source(packet.direction.reversed());
        let is_addressed = destination.addr == quote.key.source(quote.direction).addr;
        if is_own_key && to == Side::Client
            || !is_addressed
            || self.has_expired(number, packet.clock)
        {
            return None;
        }
        let (known, hidden) = match to {
            Side::Client => (original, seen),
            Side::Server => (seen, original),
        };
        let far = to.other() as usize;
        let source = (known[far].addr != hidden[far].addr).then_some(Endpoint {
            port: 0,
            ..known[far]
        });
        let seq = special
            .edited
            .filter(|_| quote.end >= quote.transport_at + 8)
            .and_then(|place| {
                let seq = bytes.get(quote.transport_at + 4..)?.first_chunk()?;
                let seq = Seq(u32::from_be_bytes(*seq));
                Some(self.edited.sent_number(place, to, seq))
            });
        let returned = Returned {
            seq,
            quote,
            quoted: [known[to as usize], known[far]],
            source,
            hardware: asked.towards(to),
        };
        Some((number, returned))
    }
}

/// Rewrites the error that packet `i` is. `None` where that cannot be done.
fn rewrite(run: &mut Run<'_>, i: usize, returned: &Returned) -> Option<()> {
    let quote = &returned.quote;
    if quote.is_redirect || matches!(run.packets[i].buffer, Buffer::Datagram { .. }) {
        return None;
    }
    let (bytes, packet) = run.changes.make_copy(run.packets, run.bytes, i)?;
    let sums = Sums::with_quote(packet, quote, bytes)?;
    let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let inner = Packet {
        key: quote.key,
        ip_at: at(quote.ip_at),
        transport_at: at(quote.transport_at),
        ..*packet
    };
    let [source, destination] = returned.quoted;
    set_endpoint(&inner, bytes, &sums, source, true).ok()?;
    set_endpoint(&inner, bytes, &sums, destination, false).ok()?;
    if let Some(seq) = returned.seq {
        sums.write(bytes, quote.transport_at + 4, &seq.0.to_be_bytes());
    }
    let receiver = Endpoint { port: 0, ..source };
    set_endpoint(packet, bytes, &sums, receiver, false).ok()?;
    if let Some(source) = returned.source {
        set_endpoint(packet, bytes, &sums, source, true).ok()?;
    }
    set_hardware(packet.link, bytes, &sums, returned.hardware);
    Some(())
}
