//! Datagrams that are cut, held, changed and put together again by somebody who knows nothing of that.

use std::vec;
use std::vec::Vec;

use mosaic_port::{LinkType, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::checksum::{fold, sum};
use super::super::testing::{Bench, Frames, OneFrame, ethernet, join};
use super::super::{Buffer, Checksums, FragmentPolicy, Sums, WireConfig};

/// A datagram that is sent in fragments.
#[derive(Clone, Debug)]
struct Cut {
    v6: bool,
    tagged: bool,
    options: bool,
    id: u16,
    payload: Vec<u8>,
    /// Where it is cut, in units of eight bytes.
    at: Vec<Index>,
}

/// UDP with a checksum, from `from` to `to`.
fn udp(cut: &Cut, from: u8, to: u8) -> Vec<u8> {
    let len = u16::try_from(8 + cut.payload.len()).unwrap().to_be_bytes();
    let mut udp = join(&[&[0x10, from, 0, 53], &len, &[0, 0], &cut.payload]);
    let ends = join(&[&address(cut.v6, from), &address(cut.v6, to), &[0, 17], &len]);
    let checksum = match !fold(sum(&udp, sum(&ends, 0))) {
        0 => 0xffff,
        checksum => checksum,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    udp
}

fn address(v6: bool, last: u8) -> Vec<u8> {
    let prefix: &[u8] = match v6 {
        true => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        false => &[192, 0, 2],
    };
    join(&[prefix, &[last]])
}

impl Cut {
    /// Frames with its fragments, in order.
    fn frames(&self) -> Vec<Vec<u8>> {
        let whole = udp(self, 1, 2);
        let units = whole.len().div_ceil(8);
        let mut cuts: Vec<usize> = self.at.iter().map(|at| at.index(units - 1) + 1).collect();
        cuts.extend([0, units]);
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|cut| {
            let (from, to) = (cut[0] * 8, (cut[1] * 8).min(whole.len()));
            self.frame(&whole[from..to], cut[0], to < whole.len())
        });
        pieces.collect()
    }

    fn frame(&self, piece: &[u8], units: usize, more: bool) -> Vec<u8> {
        let (kind, packet): (u16, _) = if self.v6 {
            let len = u16::try_from(8 + piece.len()).unwrap().to_be_bytes();
            let field = u16::try_from(units * 8 + usize::from(more)).unwrap();
            let ends = [address(true, 1), address(true, 2)].concat();
            let head = [&[0x60, 0, 0, 0], &len[..], &[44, 64], &ends].concat();
            let header = [&[17, 0], &field.to_be_bytes()[..], &[0, 0]].concat();
            (
                0x86dd,
                join(&[&head, &header, &self.id.to_be_bytes(), piece]),
            )
        } else {
            // A record of the route, with nothing in it.
            let options: &[u8] = if self.options {
                &[7, 7, 4, 0, 0, 0, 0, 0]
            } else {
                &[]
            };
            let header = 20 + options.len();
            let len = u16::try_from(header + piece.len()).unwrap().to_be_bytes();
            let field = u16::try_from(units + usize::from(more) * 0x2000).unwrap();
            let ends = [address(false, 1), address(false, 2)].concat();
            let first = 0x40 + u8::try_from(header / 4).unwrap();
            let mut head = [&[first, 0], &len[..], &self.id.to_be_bytes()].concat();
            head = join(&[&head, &field.to_be_bytes(), &[64, 17, 0, 0], &ends, options]);
            let checksum = !fold(sum(&head, 0));
            head[10..12].copy_from_slice(&checksum.to_be_bytes());
            (0x0800, join(&[&head, piece]))
        };
        if self.tagged {
            let kind = kind.to_be_bytes();
            ethernet(0x8100, &join(&[&[0, 5], &kind, &packet]))
        } else {
            ethernet(kind, &packet)
        }
    }
}

/// A datagram of 108 bytes, cut by hand.
fn plain() -> Cut {
    Cut {
        v6: false,
        tagged: false,
        options: false,
        id: 1,
        payload: vec![7; 100],
        at: vec![],
    }
}

fn any_cut() -> impl Strategy<Value = Cut> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let payload = prop::collection::vec(any::<u8>(), 16..2000);
    let at = prop::collection::vec(any::<Index>(), 1..8);
    (flags, payload, at).prop_map(|((v6, tagged, options), payload, at)| Cut {
        v6,
        tagged,
        options,
        id: 0,
        payload,
        at,
    })
}

/// What is done with a datagram on its way.
#[derive(Clone, Debug)]
struct Edit {
    to: u8,
    ttl: u8,
    hardware: u8,
    at: Index,
    byte: u8,
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let fields = (3_u8.., 1_u8.., any::<u8>(), any::<Index>(), any::<u8>());
    fields.prop_map(|(to, ttl, hardware, at, byte)| Edit {
        to,
        ttl,
        hardware,
        at,
        byte,
    })
}

fn holding() -> Bench {
    Bench::new(WireConfig {
        checksums: Checksums::Verify,
        fragments: FragmentPolicy::Hold,
        fragment_timeout_ns: 1000,
        ..WireConfig::default()
    })
}

fn one(bytes: &[u8]) -> OneFrame {
    OneFrame::new(LinkType::ETHERNET, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Datagrams in fragments that come in any order, some of them twice: with the last one of each all others leave, in the
    /// order in which they came; and who puts together what leaves gets the datagram as it was changed.
    #[test]
    fn what_leaves_is_what_was_made_of_the_datagram(
        cuts in prop::collection::vec((any_cut(), any_edit()), 1..6),
        order in prop::collection::vec(any::<Index>(), 64),
        twice: Index,
        burst in 1_usize..20,
    ) {
        let mut frames: Vec<(usize, Vec<u8>)> = Vec::new();
        for (number, (cut, _)) in cuts.iter().enumerate() {
            let cut = Cut { id: u16::try_from(number).unwrap(), ..cut.clone() };
            frames.extend(cut.frames().into_iter().map(|frame| (number, frame)));
        }
        for (at, index) in (1..frames.len()).zip(order) {
            frames.swap(at, index.index(at + 1));
        }
        // Where its datagram has been complete before, the second one begins another, which never is.
        let again = twice.index(frames.len());
        frames.insert(again, frames[again].clone());

        let mut bench = holding();
        let mut receiver = Bench::verifying();
        let mut expected: Vec<Vec<Vec<u8>>> = vec![Vec::new(); cuts.len()];
        let (mut left, mut done) = (0, 0);
        for burst in frames.chunks(burst) {
            let batch = Frames(burst.iter().map(|(_, frame)| one(frame)).collect());
            bench.ingress.parse(&batch, &mut bench.parsed);
            prop_assert_eq!(bench.parsed.absorbed, bench.parsed.held);
            for (index, (number, frame)) in burst.iter().enumerate() {
                if !expected[*number].contains(frame) {
                    expected[*number].push(frame.clone());
                }
                let completed = u8::try_from(index).unwrap();
                let found = bench.parsed.packets.iter().find(|packet| packet.buffer.frame() == completed);
                let Some(packet) = found else { continue };
                let is_framed = matches!(packet.buffer, Buffer::Framed { .. });
                prop_assert!(is_framed);
                let came = bench.parsed.bytes_of(packet, &batch);
                let edit = &cuts[*number].1;
                let leaves = edited(packet, came, edit);
                prop_assert_eq!(packet.encapsulation != 0, cuts[*number].0.tagged);
                let parts: Vec<_> = bench.parsed.waited.of(completed).collect();
                let came_as: Vec<&[u8]> = parts.iter().map(|part| part.frame.unwrap_or(frame)).collect();
                prop_assert_eq!(&came_as, &expected[*number]);
                prop_assert!(parts[..parts.len() - 1].iter().all(|part| part.frame.is_some()));
                prop_assert!(parts[parts.len() - 1].frame.is_none());
                prop_assert_eq!(bench.parsed.waited.count(completed), parts.len() as u64 - 1);
                left += parts.len();
                done += 1;
                for (last, part) in parts.iter().enumerate() {
                    let mut copy = part.frame.unwrap_or(frame).to_vec();
                    part.follow(&mut copy, packet, came, &leaves);
                    prop_assert_eq!(&copy[..14], &leaves[..14]);
                    let taken = receiver.frame(one(&copy));
                    if last + 1 < parts.len() {
                        prop_assert_eq!(taken.unwrap_err(), "absorbed");
                        continue;
                    }
                    let packet = taken.unwrap();
                    let ip = packet.ip_at as usize;
                    let whole = &receiver.parsed.datagrams[0][ip..];
                    let from = if cuts[*number].0.tagged { 18 } else { 14 };
                    prop_assert_eq!(whole, &leaves[from..]);
                }
                expected[*number].clear();
            }
        }
        prop_assert_eq!(done, cuts.len());
        let waiting = bench.ingress.held_frames();
        prop_assert_eq!(frames.len() as u64, left as u64 + waiting + bench.ingress.held_for_nothing());
        bench.ingress.run_clock(Timestamp::from_nanos(2000));
        prop_assert_eq!(bench.ingress.held_frames(), 0);
        prop_assert_eq!(frames.len() as u64, left as u64 + bench.ingress.held_for_nothing());
    }
}

/// The datagram as `edit` makes it.
fn edited(packet: &super::Packet, came: &[u8], edit: &Edit) -> Vec<u8> {
    let mut leaves = came.to_vec();
    let sums = Sums::of(packet, &leaves).unwrap();
    let ip = packet.ip_at as usize;
    let (destination, ttl) = if packet.key.is_v6() { (39, 7) } else { (19, 8) };
    sums.write(&mut leaves, ip + destination, &[edit.to]);
    sums.write(&mut leaves, ip + ttl, &[edit.ttl]);
    sums.write(&mut leaves, 3, &[edit.hardware]);
    let payload = packet.payload_at as usize;
    let at = payload + edit.at.index(leaves.len() - payload);
    sums.write(&mut leaves, at, &[edit.byte]);
    sums.write(&mut leaves, packet.transport_at as usize, &[edit.byte]);
    if packet.transport_at as usize > ip + 20 && !packet.key.is_v6() {
        sums.write(&mut leaves, ip + 24, &[edit.byte]);
    }
    leaves
}

/// Where the datagram itself comes in a tunnel, its frames wait as well, but it stays what it is.
#[test]
fn in_tunnels_frames_wait_and_stay_what_they_are() {
    let cut = plain();
    let [whole] = &cut.frames()[..] else { panic!() };
    let ends = [address(false, 8), address(false, 9)].concat();
    let mut bench = holding();
    let mut frames = Vec::new();
    for (from, to, more) in [(0, 64, true), (64, 108, false)] {
        let inner = cut.frame(&whole[34 + from..34 + to], from / 8, more);
        let len = u16::try_from(20 + inner.len() - 14).unwrap().to_be_bytes();
        let mut outer = join(&[&[0x45, 0], &len, &[0, 0, 0, 0, 64, 4, 0, 0], &ends]);
        let checksum = !fold(sum(&outer, 0));
        outer[10..12].copy_from_slice(&checksum.to_be_bytes());
        frames.push(ethernet(0x0800, &join(&[&outer, &inner[14..]])));
    }
    assert_eq!(bench.frame(one(&frames[0])).unwrap_err(), "absorbed");
    assert_eq!(bench.parsed.held, 1);
    let packet = bench.frame(one(&frames[1])).unwrap();
    assert!(matches!(packet.buffer, Buffer::Datagram { .. }));
    let waited: Vec<_> = bench.parsed.waited.of(0).map(|part| part.frame).collect();
    assert_eq!(waited, [Some(&frames[0][..]), None]);
}

/// Fragments of what is given up, of what contradicts itself, and what was there already, have waited for nothing.
#[test]
fn what_waits_for_nothing_is_counted() {
    let cut = plain();
    let piece = |byte: u8, units: usize| cut.frame(&[byte; 16], units, true);
    let mut bench = holding();
    let absorbed = Err("absorbed");
    let mut take = |bytes: &[u8]| bench.frame(one(bytes)).map(|_| ());
    assert_eq!(take(&piece(1, 0)), absorbed);
    assert_eq!(take(&piece(1, 0)), absorbed, "said nothing new");
    assert_eq!(take(&piece(1, 4)), absorbed);
    assert_eq!(take(&piece(2, 1)), Err("fragment_invalid"));
    assert_eq!(
        (
            bench.ingress.held_frames(),
            bench.ingress.held_for_nothing()
        ),
        (0, 3)
    );
    let other = Cut {
        id: 2,
        ..cut.clone()
    };
    assert_eq!(
        bench
            .frame(one(&other.frame(&[1; 16], 0, true)))
            .map(|_| ()),
        absorbed
    );
    assert_eq!(bench.ingress.held_frames(), 1);
    // Time passes with other packets, too.
    let later = OneFrame {
        timestamp: 2000,
        ..one(&ethernet(0x0806, &[0; 28]))
    };
    assert_eq!(bench.frame(later).map(|_| ()), Err("not_ip"));
    assert_eq!(
        (
            bench.ingress.held_frames(),
            bench.ingress.held_for_nothing()
        ),
        (0, 4)
    );
}
