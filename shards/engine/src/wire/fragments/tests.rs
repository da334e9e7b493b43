//! Fragments by hand, and against putting bytes where they belong.

use super::*;
use proptest::prelude::*;

const TIMEOUT: u64 = 1000;

/// Header of an IPv4 packet as the first fragment has it.
const HEADER4: [u8; 20] = [
    0x45, 0, 0, 0, 0, 7, 0x20, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2,
];
/// Of an IPv6 packet, up to the fragment header that was left out.
const HEADER6: [u8; 40] = {
    let mut header = [0; 40];
    (header[0], header[6]) = (0x60, 44);
    header
};

struct Fixture {
    fragments: Fragments,
    counters: IngressCounters,
    clock: u64,
    v6: bool,
    id: u32,
}

impl Fixture {
    fn new(fragments_max: usize, v6: bool) -> Self {
        let fragments = Fragments::new(fragments_max, TIMEOUT);
        Self {
            fragments,
            counters: IngressCounters::default(),
            clock: 0,
            v6,
            id: 7,
        }
    }

    fn add(
        &mut self,
        offset: usize,
        more: bool,
        payload: &[u8],
    ) -> Result<Option<Vec<u8>>, Reason> {
        let fragment = Fragment {
            addresses: if self.v6 {
                Addresses::V6(1, 2)
            } else {
                Addresses::V4(1, 2)
            },
            proto: 17,
            id: self.id,
            offset,
            more,
            header: if self.v6 { &HEADER6 } else { &HEADER4 },
            next_header_at: 6,
            ip_at: 0,
            payload_at: 0,
            payload,
        };
        let around = (0, Timestamp::from_nanos(self.clock));
        let added = self
            .fragments
            .add(&fragment, around, None, &mut self.counters);
        self.check();
        added
    }

    /// Bytes of the payload where the fragment completed the datagram.
    fn payload(&mut self, offset: usize, more: bool, payload: &[u8]) -> Option<Vec<u8>> {
        let header_len = if self.v6 { 40 } else { 20 };
        self.add(offset, more, payload)
            .unwrap()
            .map(|whole| whole[header_len..].to_vec())
    }

    /// The invariants: pieces are disjoint, in order and counted, and within the bound.
    fn check(&self) {
        let (mut pieces, mut invalid, mut at) = (0, 0, self.fragments.oldest);
        while at != NONE {
            let datagram = &self.fragments.datagrams[at];
            assert_eq!(self.fragments.find(&datagram.key), Some(at));
            let (mut end, mut present, mut piece) = (0, 0, datagram.first);
            while piece != NONE {
                let Piece {
                    offset,
                    bytes,
                    next,
                } = &self.fragments.pieces[piece];
                assert!(*offset >= end && !bytes.is_empty());
                (end, present, pieces) = (offset + bytes.len(), present + bytes.len(), pieces + 1);
                assert_eq!(*next == NONE, datagram.last == piece);
                piece = *next;
            }
            assert_eq!(present, datagram.present);
            assert!(datagram.len.is_none_or(|len| end <= len));
            invalid += usize::from(datagram.invalid);
            at = datagram.newer;
        }
        assert_eq!(
            (pieces, invalid),
            (self.fragments.pieces.in_use(), self.fragments.invalid)
        );
        assert!(pieces + invalid <= self.fragments.fragments_max);
    }
}

#[test]
fn pieces_in_any_order_make_the_datagram() {
    for v6 in [false, true] {
        for order in [
            [0, 1, 2],
            [2, 1, 0],
            [1, 2, 0],
            [1, 0, 2],
            [2, 0, 1],
            [0, 2, 1],
        ] {
            let mut fixture = Fixture::new(16, v6);
            let parts = [
                (0, true, &[1; 16][..]),
                (16, true, &[2; 8]),
                (24, false, &[3; 5]),
            ];
            let done: Vec<_> = order
                .map(|i| fixture.payload(parts[i].0, parts[i].1, parts[i].2))
                .into();
            let expected = [&[1; 16][..], &[2; 8], &[3; 5]].concat();
            assert_eq!(done, [None, None, Some(expected)]);
            assert_eq!(fixture.counters.datagrams_reassembled, 1);
            assert_eq!(fixture.fragments.oldest, NONE);
        }
    }
}

#[test]
fn the_header_says_that_the_datagram_is_whole() {
    let mut four = Fixture::new(16, false);
    assert_eq!(four.add(8, false, &[2; 4]), Ok(None));
    let whole = four.add(0, true, &[1; 8]).unwrap().unwrap();
    assert_eq!((&whole[2..4], &whole[6..8]), (&[0, 32][..], &[0, 0][..]));
    assert!(checksum::is_valid(checksum::sum(&whole[..20], 0)));

    let mut six = Fixture::new(16, true);
    assert_eq!(six.add(8, false, &[2; 4]), Ok(None));
    let whole = six.add(0, true, &[1; 8]).unwrap().unwrap();
    assert_eq!((&whole[4..6], whole[6]), (&[0, 12][..], 17));
}

#[test]
fn duplicates_are_tolerated() {
    for v6 in [false, true] {
        let mut fixture = Fixture::new(16, v6);
        assert_eq!(fixture.payload(0, true, &[1; 8]), None);
        assert_eq!(fixture.payload(0, true, &[1; 8]), None);
        assert_eq!(
            fixture.payload(8, false, &[2; 3]),
            Some([&[1; 8][..], &[2; 3]].concat())
        );
    }
}

#[test]
fn overlaps_that_agree_are_fine_with_ipv4_only() {
    let bytes: Vec<u8> = (0..40).collect();
    let mut four = Fixture::new(16, false);
    assert_eq!(four.payload(8, true, &bytes[8..16]), None);
    assert_eq!(four.payload(24, true, &bytes[24..32]), None);
    assert_eq!(four.payload(0, true, &bytes[..40]), None);
    assert_eq!(four.payload(32, false, &bytes[32..]), Some(bytes.clone()));

    let mut six = Fixture::new(16, true);
    assert_eq!(six.add(8, true, &bytes[8..16]), Ok(None));
    assert_eq!(six.add(0, true, &bytes[..16]), Err(Reason::FragmentInvalid));
}

#[test]
fn a_contradiction_poisons_the_datagram_until_its_time_is_over() {
    for v6 in [false, true] {
        let mut fixture = Fixture::new(16, v6);
        assert_eq!(fixture.add(0, true, &[1; 16]), Ok(None));
        assert_eq!(fixture.add(8, true, &[2; 8]), Err(Reason::FragmentInvalid));
        assert_eq!(
            fixture.add(16, false, &[3; 8]),
            Err(Reason::FragmentInvalid)
        );
        assert_eq!(fixture.add(0, true, &[1; 16]), Err(Reason::FragmentInvalid));
        fixture.clock = TIMEOUT + 1;
        assert_eq!(fixture.payload(0, true, &[1; 16]), None);
        assert!(fixture.payload(16, false, &[3; 8]).is_some());
        assert_eq!(fixture.counters.datagrams_expired, 0);
    }
}

#[test]
fn the_last_fragment_decides_the_length_once() {
    for (offset, more, len) in [(16, true, 8), (8, false, 4), (16, false, 8)] {
        let mut fixture = Fixture::new(16, false);
        assert_eq!(fixture.add(8, false, &[1; 8]), Ok(None));
        assert_eq!(
            fixture.add(offset, more, &[1; 8][..len]),
            Err(Reason::FragmentInvalid)
        );
    }
    let mut fixture = Fixture::new(16, false);
    assert_eq!(fixture.add(16, true, &[1; 8]), Ok(None));
    assert_eq!(fixture.add(8, false, &[1; 8]), Err(Reason::FragmentInvalid));
}

#[test]
fn odd_empty_and_too_long_fragments_are_refused() {
    let mut fixture = Fixture::new(16, false);
    assert_eq!(fixture.add(0, true, &[1; 9]), Err(Reason::FragmentInvalid));
    assert_eq!(fixture.add(0, true, &[]), Err(Reason::FragmentInvalid));
    assert_eq!(fixture.add(65_512, false, &[1; 3]), Ok(None));
    fixture.id = 8;
    assert_eq!(
        fixture.add(65_512, false, &[1; 4]),
        Err(Reason::FragmentInvalid)
    );
    fixture.v6 = true;
    assert_eq!(fixture.add(65_528, false, &[1; 7]), Ok(None));
    fixture.id = 9;
    assert_eq!(
        fixture.add(65_528, false, &[1; 8]),
        Err(Reason::FragmentInvalid)
    );
}

#[test]
fn a_datagram_that_its_first_header_makes_too_long_is_refused() {
    let mut fixture = Fixture::new(16, false);
    for i in 0..8 {
        assert_eq!(fixture.add(8 + i * 8184, true, &[0; 8184]), Ok(None));
    }
    assert_eq!(fixture.add(65_480, false, &[0; 35]), Ok(None));
    let long = Fragment {
        addresses: Addresses::V4(1, 2),
        proto: 17,
        id: 7,
        offset: 0,
        more: true,
        header: &[0x46; 24],
        next_header_at: 0,
        ip_at: 0,
        payload_at: 0,
        payload: &[0; 8],
    };
    let added = fixture
        .fragments
        .add(&long, (0, Timestamp::ZERO), None, &mut fixture.counters);
    assert_eq!(added, Err(Reason::FragmentInvalid));
    assert_eq!(fixture.counters.datagrams_reassembled, 0);
}

#[test]
fn incomplete_datagrams_are_given_up_in_time() {
    let mut fixture = Fixture::new(16, false);
    assert_eq!(fixture.add(0, true, &[1; 8]), Ok(None));
    fixture.clock = TIMEOUT;
    assert!(fixture.payload(8, false, &[1; 8]).is_some(), "not yet");
    assert_eq!(fixture.add(0, true, &[1; 8]), Ok(None));
    fixture.clock = 2 * TIMEOUT + 1;
    assert_eq!(fixture.payload(8, false, &[1; 8]), None);
    assert_eq!(fixture.counters.datagrams_expired, 1);
}

#[test]
fn at_the_bound_the_oldest_is_given_up() {
    let mut fixture = Fixture::new(4, false);
    for id in 0..4 {
        fixture.id = id;
        assert_eq!(fixture.add(0, true, &[1; 8]), Ok(None));
    }
    fixture.id = 9;
    assert_eq!(fixture.add(0, true, &[1; 8]), Ok(None));
    assert_eq!(fixture.counters.datagrams_evicted, 1);
    // The bound holds for the last missing fragment too; room is made before it is looked at.
    fixture.id = 3;
    assert!(fixture.payload(8, false, &[1; 8]).is_some());
    fixture.id = 0;
    assert_eq!(
        fixture.payload(8, false, &[1; 8]),
        None,
        "it was the oldest"
    );
}

#[test]
fn without_room_nothing_is_kept() {
    let mut none = Fixture::new(0, false);
    assert_eq!(none.add(0, true, &[1; 8]), Err(Reason::FragmentBound));
    // A fragment that fills three holes where there is room for one.
    let mut few = Fixture::new(3, false);
    assert_eq!(few.add(8, true, &[1; 8]), Ok(None));
    assert_eq!(few.add(24, true, &[1; 8]), Ok(None));
    assert_eq!(few.add(0, true, &[1; 40]), Err(Reason::FragmentBound));
    assert_eq!(
        (
            few.counters.datagrams_evicted,
            few.fragments.pieces.in_use()
        ),
        (1, 0)
    );
}

#[test]
fn what_differs_in_any_part_of_the_key_stays_apart() {
    let mut fixture = Fixture::new(16, false);
    assert_eq!(fixture.add(0, true, &[1; 8]), Ok(None));
    fixture.v6 = true;
    assert_eq!(fixture.add(8, false, &[1; 8]), Ok(None));
    fixture.v6 = false;
    fixture.id = 8;
    assert_eq!(fixture.add(8, false, &[1; 8]), Ok(None));
    let last = Fragment {
        addresses: Addresses::V4(1, 2),
        proto: 17,
        id: 7,
        offset: 8,
        more: false,
        header: &HEADER4,
        next_header_at: 0,
        ip_at: 0,
        payload_at: 0,
        payload: &[1; 8],
    };
    let others = [
        (
            Fragment {
                addresses: Addresses::V4(2, 1),
                ..last
            },
            0,
        ),
        (Fragment { proto: 6, ..last }, 0),
        (last, 1),
    ];
    for (other, domain) in others {
        let added = fixture.fragments.add(
            &other,
            (domain, Timestamp::ZERO),
            None,
            &mut fixture.counters,
        );
        assert_eq!(added, Ok(None));
    }
    let added = fixture
        .fragments
        .add(&last, (0, Timestamp::ZERO), None, &mut fixture.counters);
    assert!(added.unwrap().is_some());
}

#[test]
fn in_the_steady_state_buffers_are_used_again() {
    let mut fixture = Fixture::new(16, false);
    let mut places = (0, 0);
    for round in 0..100 {
        fixture.id = round;
        assert_eq!(fixture.add(8, false, &[1; 1000]), Ok(None));
        let whole = fixture.add(0, true, &[1; 8]).unwrap().unwrap();
        fixture.fragments.recycle(whole);
        let now = (
            fixture.fragments.pieces.in_use(),
            fixture.fragments.pool.len(),
        );
        if round > 0 {
            assert_eq!(now, places);
        }
        places = now;
    }
}

/// Bytes that differ from their neighbours and, for another `salt`, from others.
fn bytes(len: usize, salt: u64) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (i * 31).wrapping_add(salt).to_le_bytes()[0])
        .collect()
}

proptest! {
    /// Random cuts in random order, with duplicates, of several datagrams at once: each comes out as it was, once.
    #[test]
    fn agrees_with_putting_the_bytes_where_they_belong(
        v6: bool,
        datagrams in prop::collection::vec((1_usize..600, any::<u64>()), 1..5),
        seed: u64,
    ) {
        let mut random = seed | 1;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let payloads: Vec<Vec<u8>> =
            datagrams.iter().map(|(len, salt)| bytes(*len, *salt)).collect();
        let mut sent = Vec::new();
        for (id, payload) in payloads.iter().enumerate() {
            let mut at = 0;
            while at < payload.len() {
                let end = (at + 8 * (1 + next(12))).min(payload.len());
                for _ in 0..=usize::from(next(4) == 0) {
                    sent.insert(next(sent.len() + 1), (id, at, end));
                }
                at = end;
            }
        }
        let mut fixture = Fixture::new(1000, v6);
        let mut missing: Vec<Vec<bool>> = payloads.iter().map(|payload| std::vec![true; payload.len()]).collect();
        for (id, at, end) in sent {
            fixture.id = u32::try_from(id).unwrap();
            let whole = fixture.payload(at, end < payloads[id].len(), &payloads[id][at..end]);
            missing[id][at..end].fill(false);
            if missing[id].contains(&true) {
                prop_assert_eq!(whole, None);
            } else {
                prop_assert_eq!(whole.as_ref(), Some(&payloads[id]));
                // What comes now begins another datagram.
                missing[id].fill(true);
            }
        }
    }

    /// Anything at all: the invariants hold, and what comes out is made of bytes that went in.
    #[test]
    fn arbitrary_fragments_keep_the_invariants(
        v6: bool,
        fragments in prop::collection::vec((0_u32..3, 0_usize..12, any::<bool>(), 0_usize..5, any::<bool>()), 0..60),
    ) {
        let mut fixture = Fixture::new(6, v6);
        for (id, unit, more, units, odd) in fragments {
            fixture.id = id;
            fixture.clock += 90;
            let payload = std::vec![if odd { 1 } else { 0 }; units * 8 + usize::from(!more && odd)];
            if let Ok(Some(whole)) = fixture.add(unit * 8, more, &payload) {
                let header_len = if v6 { 40 } else { 20 };
                prop_assert!(whole.len() > header_len);
                fixture.fragments.recycle(whole);
            }
        }
    }
}
