//! The connection log: one JSON object for each flow.

use core::fmt;
use core::net::IpAddr;

use arrayvec::{ArrayString, ArrayVec};
use mosaic_engine::actor::{ClientBy, FlowSummary, SideSummary};
use mosaic_engine::event::{EndReason, Side};
use mosaic_engine::flow::{Endpoint, Proto};
use mosaic_engine::tcp::State;
use mosaic_engine::wire::{Encapsulation, LAYERS_MAX, Layer};
use serde::Serialize;
use serde::ser::Serializer;

use super::community_id::CommunityId;
use super::{Digest, Seconds};

/// One flow, in the order and under the names in which it is written.
///
/// Every number is exact. Nothing depends on how many shards there were, so the records of one capture are always the
/// same; only their order is not.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ConnectionRecord {
    /// Time of the first packet, in seconds since the Unix epoch.
    pub start: Seconds,
    /// Seconds from the first packet to the last.
    pub duration: Seconds,
    /// `"tcp"`, `"udp"`, `"icmp"`, `"icmpv6"`, `"sctp"`, otherwise `"proto-N"` with the IANA number.
    #[serde(serialize_with = "as_text")]
    pub proto: Proto,
    /// The opener.
    pub client: EndpointRecord,
    /// The other end.
    pub server: EndpointRecord,
    /// How the client was told: it sent a SYN (`"syn"`), it was sent a SYN/ACK (`"synack"`), or it sent the first packet
    /// that was seen (`"first_packet"`).
    pub client_by: &'static str,
    /// Community ID, version 1, seed 0. Absent for ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<CommunityId>,
    /// How far the connection came, in Zeek's words (`conn_state` of its conn.log): `S0` opening without an answer, `S1`
    /// open, `SF` opened and closed, `REJ` refused, `S2` and `S3` half closed by the client and by the server, `RSTO`
    /// and `RSTR` reset by the client and by the server, `RSTOS0` opening, then reset by the client, `RSTRH` SYN/ACK and
    /// reset by the server without a SYN, `SH` and `SHR` SYN and FIN without SYN/ACK and the reverse, `OTH` picked up
    /// midstream. Flows that are not TCP are `S0` (one side sent) or `SF` (both did).
    pub state: &'static str,
    /// Whether the three-way handshake was seen to complete.
    pub established: bool,
    /// Seconds from the SYN to the SYN/ACK: from where the packets were seen to the server and back. Absent where one of them
    /// was not seen, or sent twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rtt: Option<Seconds>,
    /// Seconds from the SYN/ACK to its acknowledgment: from there to the client and back; as `server_rtt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_rtt: Option<Seconds>,
    /// Why the flow ended: `"fin"`, `"reset"`, `"timeout"`, `"reopened"` (the same 5-tuple opened again), `"evicted"` (the
    /// flow table was full) or `"source_end"` (the capture ended).
    pub end: &'static str,
    /// What happened, a letter each time for the first few: `S` SYN, `H` SYN/ACK, `A` bare ACK, `D` data, `F` FIN, `R`
    /// RST, `G` gap, `T` retransmission, `W` zero window, `C` bad checksum; capitals from the client.
    pub history: ArrayString<24>,
    /// What the client sent.
    pub c2s: SideRecord,
    /// What the server sent.
    pub s2c: SideRecord,
    /// VLAN identifiers around the first packet, outermost first.
    pub vlans: ArrayVec<u16, LAYERS_MAX>,
    /// Tunnels around the first packet, outermost first.
    pub tunnels: ArrayVec<TunnelRecord, LAYERS_MAX>,
}

/// An end of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct EndpointRecord {
    /// IPv4 or IPv6 address.
    pub addr: IpAddr,
    /// Port; 0 for protocols without ports, the identifier for ICMP echo.
    pub port: u16,
}

/// What one side sent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct SideRecord {
    /// Packets; a fragmented datagram counts once.
    pub packets: u64,
    /// Bytes from the innermost IP header on.
    pub ip_bytes: u64,
    /// Payload bytes by the headers, repetitions included.
    pub payload_bytes: u64,
    /// The stream; TCP only.
    #[serde(flatten)]
    pub stream: Option<StreamRecord>,
}

/// What one side's TCP stream was like. Its fields stand beside those of [`SideRecord`].
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct StreamRecord {
    /// Bytes of the reassembled stream.
    pub stream_bytes: u64,
    /// Bytes known to be missing.
    pub gap_bytes: u64,
    /// Holes that were skipped.
    pub gaps: u32,
    /// Bytes that came after their hole had been skipped; not part of the stream.
    pub late_bytes: u64,
    /// Segments that repeated bytes or control bits, without keep-alive probes.
    pub retransmissions: u32,
    /// Payload bytes that were seen before.
    pub retransmitted_bytes: u64,
    /// Segments ahead of the next expected byte.
    pub out_of_order: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Segments that announced a window of zero.
    pub zero_windows: u32,
    /// Repeated bytes that differed from the copy that counted.
    pub overlap_differs_bytes: u64,
    /// Segments that a receiver must refuse.
    pub invalid: u32,
    /// State of the side's TCP at the end, as RFC 9293 names it: `"TIME-WAIT"`.
    #[serde(serialize_with = "as_text")]
    pub state: State,
    /// SHA-256 of exactly the `stream_bytes`, in order. Absent unless digests were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// A tunnel, or another layer with an identifier, around a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TunnelRecord {
    /// `"mpls"`, `"pppoe"`, `"ip"` (a carrying IP header), `"gre"`, `"vxlan"`, `"geneve"`, `"gtp"`, `"teredo"`, `"erspan"`,
    /// `"ayiya"`, `"l2tp"`, or the short name of another layer.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Label, key, network, endpoint or session identifier; absent where the layer has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// L2TP tunnel identifier, beside the session identifier in `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnel_id: Option<u32>,
    /// Source of a carrying IP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<IpAddr>,
    /// Destination of a carrying IP header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<IpAddr>,
}

impl ConnectionRecord {
    /// The record of a flow that left the table; `digests` of the client's and the server's stream, where they were made.
    pub fn new(flow: &FlowSummary, digests: [Option<Digest>; 2]) -> Self {
        let is_tcp = flow.proto == Proto::TCP;
        let [c2s, s2c] = [0, 1].map(|side| {
            let summary = &flow.sides[side];
            SideRecord {
                packets: summary.packets,
                ip_bytes: summary.ip_bytes,
                payload_bytes: summary.payload_bytes,
                stream: is_tcp.then(|| StreamRecord::new(summary, digests[side])),
            }
        });
        Self {
            start: flow.first.into(),
            duration: Seconds {
                nanos: flow.last.as_nanos().saturating_sub(flow.first.as_nanos()),
            },
            proto: flow.proto,
            client: flow.client.into(),
            server: flow.server.into(),
            client_by: client_by_name(flow.client_by),
            community_id: CommunityId::new(0, flow.proto, flow.client, flow.server),
            state: if is_tcp {
                tcp_state(flow)
            } else {
                exchange_state(flow)
            },
            established: flow.established,
            server_rtt: rtt(flow, Side::Server),
            client_rtt: rtt(flow, Side::Client),
            // A flow that leaves the table without a reason can only have been drained.
            end: end_name(flow.end.unwrap_or(EndReason::SourceEnd)),
            history: flow.history,
            c2s,
            s2c,
            vlans: vlans(&flow.encapsulation),
            tunnels: flow
                .encapsulation
                .layers
                .iter()
                .filter_map(TunnelRecord::new)
                .collect(),
        }
    }

    /// Appends the record to `out` as one line of JSON, line feed included.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self)
            .expect("every key is a string, and a Vec takes every byte");
        out.push(b'\n');
    }
}

fn rtt(flow: &FlowSummary, side: Side) -> Option<Seconds> {
    let round_trip = flow.round_trips[side as usize]?;
    let nanos = u64::try_from(round_trip.as_nanos()).ok()?;
    Some(Seconds { nanos })
}

impl From<Endpoint> for EndpointRecord {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            addr: endpoint.addr,
            port: endpoint.port,
        }
    }
}

impl StreamRecord {
    fn new(side: &SideSummary, sha256: Option<Digest>) -> Self {
        Self {
            stream_bytes: side.stream_bytes,
            gap_bytes: side.gap_bytes,
            gaps: side.gaps,
            late_bytes: side.late_bytes,
            retransmissions: side.retransmissions,
            retransmitted_bytes: side.retransmitted_bytes,
            out_of_order: side.out_of_order,
            keep_alives: side.keep_alives,
            zero_windows: side.zero_windows,
            overlap_differs_bytes: side.overlap_differs_bytes,
            invalid: side.invalid,
            state: side.state,
            sha256,
        }
    }
}

impl TunnelRecord {
    /// `None` for VLAN tags, which have a field of their own.
    fn new(layer: &Layer) -> Option<Self> {
        let (kind, id) = match *layer {
            Layer::Vlan(_) => return None,
            Layer::Mpls(label) => ("mpls", Some(label)),
            Layer::Pppoe(session) => ("pppoe", Some(u32::from(session))),
            Layer::Ip(..) => ("ip", None),
            Layer::Gre(key) => ("gre", Some(key)),
            Layer::Vxlan(vni) => ("vxlan", Some(vni)),
            Layer::Geneve(vni) => ("geneve", Some(vni)),
            Layer::Gtp(teid) => ("gtp", Some(teid)),
            Layer::Teredo => ("teredo", None),
            Layer::Erspan(session) => ("erspan", Some(u32::from(session))),
            Layer::Ayiya => ("ayiya", None),
            Layer::L2tp(_, session) => ("l2tp", Some(session)),
            Layer::Other(name) => (name, None),
        };
        let tunnel_id = if let Layer::L2tp(tunnel, _) = *layer {
            Some(tunnel)
        } else {
            None
        };
        let (src, dst) = if let Layer::Ip(src, dst) = *layer {
            (Some(src), Some(dst))
        } else {
            (None, None)
        };
        Some(Self {
            kind,
            id,
            tunnel_id,
            src,
            dst,
        })
    }
}

fn vlans(encapsulation: &Encapsulation) -> ArrayVec<u16, LAYERS_MAX> {
    let id = |layer: &Layer| {
        if let Layer::Vlan(id) = *layer {
            Some(id)
        } else {
            None
        }
    };
    encapsulation.layers.iter().filter_map(id).collect()
}

const fn client_by_name(client_by: ClientBy) -> &'static str {
    match client_by {
        ClientBy::Syn => "syn",
        ClientBy::SynAck => "synack",
        ClientBy::FirstPacket => "first_packet",
    }
}

const fn end_name(end: EndReason) -> &'static str {
    match end {
        EndReason::Fin => "fin",
        EndReason::Reset => "reset",
        EndReason::Timeout => "timeout",
        EndReason::Reopened => "reopened",
        EndReason::Evicted => "evicted",
        EndReason::SourceEnd => "source_end",
    }
}

/// Zeek's `conn_state` of a TCP flow; see [`ConnectionRecord::state`].
fn tcp_state(flow: &FlowSummary) -> &'static str {
    let [client, server] = &flow.sides;
    match (client.syn > 0, server.syn > 0) {
        (true, true) if flow.end == Some(EndReason::Reset) => {
            if client_reset_first(flow) {
                "RSTO"
            } else {
                "RSTR"
            }
        }
        (true, true) => match (client.fin > 0, server.fin > 0) {
            (true, true) => "SF",
            (true, false) => "S2",
            (false, true) => "S3",
            (false, false) => "S1",
        },
        (true, false) if server.rst > 0 => "REJ",
        (true, false) if client.rst > 0 => "RSTOS0",
        (true, false) if client.fin > 0 => "SH",
        (true, false) if server.packets == 0 => "S0",
        (false, true) if server.rst > 0 => "RSTRH",
        (false, true) if server.fin > 0 => "SHR",
        _ => "OTH",
    }
}

/// Which of the two reset a flow that both may have reset: the history tells who came first, unless it was full by then.
fn client_reset_first(flow: &FlowSummary) -> bool {
    match flow
        .history
        .chars()
        .find(|letter| letter.eq_ignore_ascii_case(&'R'))
    {
        Some(letter) => letter == 'R',
        None => flow.sides[0].rst > 0,
    }
}

fn exchange_state(flow: &FlowSummary) -> &'static str {
    if flow.sides.iter().all(|side| side.packets > 0) {
        "SF"
    } else {
        "S0"
    }
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
