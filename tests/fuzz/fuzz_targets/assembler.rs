//! The assembler against a map with one flag for each byte.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mosaic_engine::stream::Assembler;

const SPACE: u64 = 512;

#[derive(Arbitrary, Debug)]
enum Move {
    Insert { start: u8, len: u8 },
    Remove { start: u8, len: u8 },
    TakeReached { next: u8 },
    Clear,
}

fuzz_target!(|moves: Vec<Move>| {
    let mut assembler = Assembler::default();
    let mut map = [false; SPACE as usize];
    for step in moves {
        match step {
            Move::Insert { start, len } => {
                insert(&mut assembler, &mut map, start.into(), len.max(1).into())
            }
            Move::Remove { start, len } => {
                let (start, end) = (u64::from(start), u64::from(start) + u64::from(len));
                let present = (start..end).filter(|at| map[*at as usize]).count() as u64;
                assert_eq!(assembler.remove(start, end), present);
                (start..end).for_each(|at| map[at as usize] = false);
            }
            Move::TakeReached { next } => take_reached(&mut assembler, &mut map, next.into()),
            Move::Clear => {
                assembler.clear();
                map = [false; SPACE as usize];
            }
        }
        compare(&assembler, &map);
    }
});

fn insert(assembler: &mut Assembler, map: &mut [bool], start: u64, len: u64) {
    let end = start + len;
    let runs = assembler.holes();
    let opens = assembler.opens_hole(start, end);
    let mut fresh = Vec::new();
    let present = assembler.insert(start, end, |from, to| fresh.extend(from..to));
    let expected: Vec<u64> = (start..end).filter(|at| !map[*at as usize]).collect();
    assert_eq!(fresh, expected, "the parts that were not there");
    assert_eq!(present, len - expected.len() as u64);
    assert_eq!(assembler.holes() > runs, opens);
    (start..end).for_each(|at| map[at as usize] = true);
}

fn take_reached(assembler: &mut Assembler, map: &mut [bool], next: u64) {
    let Some(first) = (0..SPACE)
        .find(|at| map[*at as usize])
        .filter(|first| *first <= next)
    else {
        assert_eq!(assembler.take_reached(next), None);
        return;
    };
    let end = (first..SPACE)
        .find(|at| !map[*at as usize])
        .unwrap_or(SPACE);
    assert_eq!(assembler.take_reached(next), Some(end));
    (first..end).for_each(|at| map[at as usize] = false);
}

fn compare(assembler: &Assembler, map: &[bool]) {
    let present: Vec<u64> = (0..SPACE).filter(|at| map[*at as usize]).collect();
    let ours: Vec<u64> = assembler
        .iter()
        .flat_map(|(start, end)| start..end)
        .collect();
    assert_eq!(ours, present);
    assert_eq!(assembler.bytes(), present.len() as u64);
    assert_eq!(assembler.is_empty(), present.is_empty());
    let ranges: Vec<(u64, u64)> = assembler.iter().collect();
    assert!(
        ranges.windows(2).all(|pair| pair[0].1 < pair[1].0),
        "ranges do not touch"
    );
    assert_eq!(
        (assembler.holes(), assembler.first()),
        (ranges.len(), ranges.first().copied())
    );
}
