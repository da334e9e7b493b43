//! Translation of addresses: what NATs and load balancers do with a flow for as long as it lasts.

use core::net::IpAddr;

use super::changes::{Changes, Route};
use super::context::FlowContext;
use super::edit::set_endpoint;
use super::special::Special;
use super::{Run, Shard};
use crate::actor::ShardContext;
use crate::event::{Hook, Side};
use crate::flow::{Direction, Endpoint, FlowKey, Proto, rss};
use crate::wire::{Buffer, Packet, Sums};
use mosaic_port::LinkType;

/// Hardware addresses of packets that go one way; `None` leaves one as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hardware {
    /// Of the sender.
    pub source: Option<[u8; 6]>,
    /// Of the receiver.
    pub destination: Option<[u8; 6]>,
}

impl Hardware {
    /// What stands where in an Ethernet header.
    pub(super) fn fields(self) -> impl Iterator<Item = (usize, [u8; 6])> {
        let fields = [(0, self.destination), (6, self.source)];
        fields
            .into_iter()
            .filter_map(|(at, address)| Some((at, address?)))
    }
}

/// What becomes of the addresses of a flow: see [`FlowContext::translate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Translation {
    /// What the server takes the client for; `None` leaves that as it is. The port counts where the protocol has ports; of an
    /// ICMP echo it is the identifier.
    pub client: Option<Endpoint>,
    /// Where packets of the client really go; `None` leaves that as it is.
    pub server: Option<Endpoint>,
    /// Hardware addresses on the way to the server, where frames begin with Ethernet.
    pub to_server: Hardware,
    /// Hardware addresses on the way to the client, where frames begin with Ethernet.
    pub to_client: Hardware,
}

impl Translation {
    /// Hardware addresses on the way to `side`.
    pub(super) fn towards(&self, side: Side) -> Hardware {
        match side {
            Side::Client => self.to_client,
            Side::Server => self.to_server,
        }
    }
}

/// Why a flow is not translated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TranslateError {
    /// Not at [`Hook::Send`] of a packet of the client, or the server has sent something already, or the flow is translated.
    #[error("not at the beginning of the flow")]
    NotOpening,
    /// An address is of the other family.
    #[error("an address of another family")]
    Family,
    /// There is a flow with the translated addresses and ports.
    #[error("the translated addresses are in use")]
    Taken,
    /// The packets that come back would belong to this other shard.
    #[error("packets of these addresses belong to shard {0}")]
    OtherShard(u16),
    /// As many flows are translated as the shard has flows.
    #[error("no room for another translated flow")]
    NoRoom,
    /// The packet came in fragments that were not held, or in a tunnel: see [`FragmentPolicy`](crate::wire::FragmentPolicy).
    #[error("the packet came in fragments")]
    Fragmented,
    /// The checksum of the protocol has the addresses and cannot follow (DCCP, UDP-Lite).
    #[error("a checksum could not be kept right")]
    Checksum,
}

/// A translated flow.
#[derive(Clone, Debug)]
pub(super) struct Translated {
    pub(super) asked: Translation,
    /// The ends as the server sees them: client, server.
    pub(super) seen: [Endpoint; 2],
    /// The key of these, under which the flow is found as well; `None` where it is the flow's own.
    alias: Option<FlowKey>,
}

impl FlowContext<'_> {
    /// Translates the flow from this packet on, for as long as it is tracked: packets of the client leave with the addresses
    /// that `translation` has, those of the server, which come to these, with the original ones. Checksums follow. To be called
    /// at [`Hook::Send`] of the opening packet.
    ///
    /// Packets are rewritten last, after both hooks: there they have the addresses with which they came, and
    /// [`endpoint`](Self::endpoint), [`summary`](Self::summary) and the packet's key tell the original ones. A packet that cannot be
    /// rewritten is dropped and counted (`untranslated`): one that came in fragments that were not held
    /// ([`FragmentPolicy`](crate::wire::FragmentPolicy); the first ones have left as they came), or for which the burst has no
    /// room.
    ///
    /// ICMP errors about packets of the flow are translated as well, with what they quote, so that ends learn of ways with a
    /// smaller MTU (RFC 5508, section 4): an error goes to who sent the quoted packet, and quotes it as it was there. Its
    /// source becomes the other end, as the receiver knows it, where that end's address is translated; otherwise it stays
    /// that of the router. Such errors are no packets of a flow: only raw monitors see them. Redirects are dropped
    /// (`untranslated`).
    ///
    /// # Errors
    /// [`TranslateError`].
    pub fn translate(&mut self, translation: Translation) -> Result<(), TranslateError> {
        let at_hand = self.at_hand().ok_or(TranslateError::NotOpening)?;
        let opens = at_hand.hook == Hook::Send
            && at_hand.sender == Side::Client
            && self.hot().half(Side::Server).packets == 0
            && self.translation().is_none();
        if !opens {
            return Err(TranslateError::NotOpening);
        }
        if matches!(at_hand.packet.buffer, Buffer::Datagram { .. }) {
            return Err(TranslateError::Fragmented);
        }
        if matches!(self.proto(), Proto(33 | 136)) {
            return Err(TranslateError::Checksum);
        }
        let client = translation.client.unwrap_or(self.endpoint(Side::Client));
        let server = translation.server.unwrap_or(self.endpoint(Side::Server));
        let (key, direction) = self.key_of(client, server).ok_or(TranslateError::Family)?;
        let owner = self.owner_of(&key);
        if owner != self.shard.config.shard {
            return Err(TranslateError::OtherShard(owner));
        }
        let alias = (key != self.hot().key).then_some(key);
        if let Some(key) = alias {
            let hash = self.shard.table.hash(&key);
            let is_taken = self.shard.table.find(&key, hash, None).is_some()
                || self.shard.aliases.find(&key, hash).is_some();
            if is_taken {
                return Err(TranslateError::Taken);
            }
            if self.shard.aliases.is_full() {
                return Err(TranslateError::NoRoom);
            }
            let flow = self.flow;
            self.shard.aliases.insert(key, hash, flow, direction);
        }
        let seen = [key.source(direction), key.source(direction.reversed())];
        self.shard.specials.make(self.flow).translated = Some(Translated {
            asked: translation,
            seen,
            alias,
        });
        (self.shard.commands.special, self.shard.commands.any) = (true, true);
        Ok(())
    }

    /// How the flow is translated, if it is.
    pub fn translation(&self) -> Option<Translation> {
        let special = self.shard.specials.get(self.flow)?;
        Some(special.translated.as_ref()?.asked)
    }

    /// The shard that owns packets between these two, of this flow's protocol: what a NAT asks before it chooses a port, for
    /// packets that come back must belong to this shard. `None` where the addresses are not of the flow's family.
    pub fn shard_of(&self, client: Endpoint, server: Endpoint) -> Option<u16> {
        let (key, _) = self.key_of(client, server)?;
        Some(self.owner_of(&key))
    }

    fn owner_of(&self, key: &FlowKey) -> u16 {
        self.shard.config.owner_of(key)
    }

    /// The key of packets from `client` to `server`.
    fn key_of(&self, client: Endpoint, server: Endpoint) -> Option<(FlowKey, Direction)> {
        let (own, is_v6) = (&self.hot().key, self.hot().key.is_v6());
        let key = key_between(own.proto(), own.domain(), client, server)?;
        (key.0.is_v6() == is_v6).then_some(key)
    }

    /// The ends of the flow as `side` sees them: client, server.
    pub(super) fn ends_for(&self, side: Side) -> [Endpoint; 2] {
        let special = self.shard.specials.get(self.flow);
        match special.and_then(|special| special.translated.as_ref()) {
            Some(translated) if side == Side::Server => translated.seen,
            _ => self.hot().ends(),
        }
    }
}

impl ShardContext<'_> {
    /// The shard that owns packets between these two. `None` where their addresses are of different families.
    pub fn shard_of(&self, proto: Proto, client: Endpoint, server: Endpoint) -> Option<u16> {
        let (key, _) = key_between(proto, 0, client, server)?;
        Some(self.shard.config.owner_of(&key))
    }
}

impl super::ShardConfig {
    /// The shard that owns packets of this key.
    fn owner_of(&self, key: &FlowKey) -> u16 {
        if self.owners.shards() == 1 {
            self.shard
        } else {
            self.owners.owner(rss::hash(key))
        }
    }
}

fn key_between(
    proto: Proto,
    domain: u64,
    client: Endpoint,
    server: Endpoint,
) -> Option<(FlowKey, Direction)> {
    let (from, to) = match proto {
        Proto::TCP | Proto::UDP | Proto::SCTP => (client.port, server.port),
        // Both ports are the identifier.
        Proto::ICMP | Proto::ICMPV6 => (client.port, client.port),
        _ => (0, 0),
    };
    match (client.addr, server.addr) {
        (IpAddr::V4(client), IpAddr::V4(server)) => Some(FlowKey::v4(
            client.into(),
            server.into(),
            from,
            to,
            proto,
            domain,
        )),
        (IpAddr::V6(client), IpAddr::V6(server)) => Some(FlowKey::v6(
            client.into(),
            server.into(),
            from,
            to,
            proto,
            domain,
        )),
        _ => None,
    }
}

impl Shard {
    /// The translated flow that packet `i` belongs to, which is found under no key of its own; the packet then has the flow's
    /// key.
    #[cold]
    pub(super) fn find_translated(
        &mut self,
        run: &mut Run<'_>,
        i: usize,
        hash: u64,
    ) -> Option<u32> {
        let packet = run.packets[i];
        let (number, client) = self.aliases.find(&packet.key, hash)?;
        let hot = self.table.hot(number);
        let sender = if packet.direction == client {
            Side::Client
        } else {
            Side::Server
        };
        let packet = Packet {
            key: hot.key,
            direction: hot.direction_of(sender),
            ..packet
        };
        if self.is_over_for(number, &packet) {
            self.remove_before(run, number, &packet);
            return None;
        }
        run.changes.override_packet(i, packet).then_some(number)
    }

    /// What comes after all else with a packet of a special flow.
    #[cold]
    pub(super) fn leave_special(&mut self, run: &mut Run<'_>, i: usize, number: u32) {
        let Some(translated) = self
            .specials
            .get(number)
            .and_then(|special| special.translated.as_ref())
            .filter(|_| run.dropped >> i & 1 == 0)
        else {
            return;
        };
        let sender = self.table.hot(number).side_of(run.packet(i).direction);
        let [client, server] = self.table.hot(number).ends();
        let ends = match sender {
            Side::Client => translated.seen,
            Side::Server => [server, client],
        };
        let hardware = translated.asked.towards(sender.other());
        let is_done = rewrite(
            &mut run.changes,
            (run.packets, run.bytes),
            i,
            ends,
            hardware,
        );
        if is_done.is_none() {
            run.dropped |= 1 << i;
            self.counters.untranslated += 1;
        }
    }

    /// The same with what was sent besides packet `i`, of `sender`, from frame number `first` on, in the place of segments of
    /// an edited flow: it has the addresses of either end's view.
    #[cold]
    pub(super) fn translate_made(
        &mut self,
        run: &mut Run<'_>,
        (i, first): (usize, usize),
        number: u32,
        sender: Side,
    ) {
        let special = self.specials.get(number);
        let Some(translated) = special.and_then(|special| special.translated.as_ref()) else {
            return;
        };
        let views = [self.table.hot(number).ends(), translated.seen];
        let template = *run.packet(i);
        let mut lost = 0;
        for n in (first..run.changes.injected_frames()).rev() {
            let Some((Route::With { back, .. }, bytes)) = run.changes.frame_mut(n) else {
                continue;
            };
            let to = if back { sender } else { sender.other() };
            let Some(made) = of_flow(&template, bytes, &views, to) else {
                continue;
            };
            let ends = [
                views[to as usize][to.other() as usize],
                views[to as usize][to as usize],
            ];
            let hardware = if back {
                // What came from there has the addresses of that side.
                Hardware::default()
            } else {
                translated.asked.towards(to)
            };
            if set_ends(&made, bytes, ends, hardware).is_none() {
                run.changes.take_back(n);
                lost += 1;
            }
        }
        self.counters.untranslated += lost;
    }

    /// The flow is found under its own key only.
    pub(super) fn forget_translation(&mut self, special: &Special) {
        let alias = special
            .translated
            .as_ref()
            .and_then(|translated| translated.alias);
        if let Some(key) = alias {
            self.aliases.remove(&key, self.table.hash(&key));
        }
    }
}

/// Gives packet `i` other ends: source, destination. `None` where that cannot be done.
fn rewrite(
    changes: &mut Changes,
    (packets, bytes): (&[Packet], &[&[u8]]),
    i: usize,
    [source, destination]: [Endpoint; 2],
    hardware: Hardware,
) -> Option<()> {
    if matches!(packets[i].buffer, Buffer::Datagram { .. }) {
        return None;
    }
    let (bytes, packet) = changes.make_copy(packets, bytes, i)?;
    set_ends(packet, bytes, [source, destination], hardware)
}

fn set_ends(
    packet: &Packet,
    bytes: &mut [u8],
    [source, destination]: [Endpoint; 2],
    hardware: Hardware,
) -> Option<()> {
    let sums = Sums::of(packet, bytes)?;
    set_endpoint(packet, bytes, &sums, source, true).ok()?;
    set_endpoint(packet, bytes, &sums, destination, false).ok()?;
    set_hardware(packet.link, bytes, &sums, hardware);
    Some(())
}

/// The headers of a segment made in the place of `template`, if it is one of the flow that goes to `to`, with ends as in one of
/// `views`: client, server.
fn of_flow(
    template: &Packet,
    bytes: &[u8],
    views: &[[Endpoint; 2]; 2],
    to: Side,
) -> Option<Packet> {
    let ip = template.ip_at as usize;
    let is_v6 = template.key.is_v6();
    let (len, proto_at, addresses) = if is_v6 {
        ((template.transport_at - template.ip_at) as usize, 6, 8)
    } else {
        (usize::from(bytes.get(ip)? & 0xf) * 4, 9, 12)
    };
    let version = if is_v6 { 6 } else { 4 };
    let is_tcp = is_v6 && len != 40 || bytes.get(ip + proto_at) == Some(&Proto::TCP.0);
    if bytes.get(ip)? >> 4 != version || !is_tcp {
        return None;
    }
    let transport = ip + len;
    let payload = transport + usize::from(bytes.get(transport + 12)? >> 4) * 4;
    let is_end = |end: Endpoint, is_source: bool| {
        let (at, port_at) = if is_source { (0, 0) } else { (1, 2) };
        let port = bytes.get(transport + port_at..transport + port_at + 2);
        let at = |len: usize| bytes.get(ip + addresses + at * len..)?.get(..len);
        let is_addr = match end.addr {
            IpAddr::V4(addr) => at(4) == Some(addr.octets().as_slice()),
            IpAddr::V6(addr) => at(16) == Some(addr.octets().as_slice()),
        };
        is_addr && port == Some(end.port.to_be_bytes().as_slice())
    };
    let is_own = views
        .iter()
        .any(|ends| is_end(ends[to.other() as usize], true) && is_end(ends[to as usize], false));
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    let left = bytes.len().checked_sub(payload)?;
    is_own.then_some(Packet {
        transport_at: offset(transport),
        payload_at: offset(payload),
        payload_len: offset(left),
        payload_captured: offset(left),
        ..*template
    })
}

/// Puts hardware addresses into a frame that begins with Ethernet.
pub(super) fn set_hardware(link: LinkType, bytes: &mut [u8], sums: &Sums, hardware: Hardware) {
    if link != LinkType::ETHERNET {
        return;
    }
    for (at, address) in hardware.fields() {
        sums.write(bytes, at, &address);
    }
}
