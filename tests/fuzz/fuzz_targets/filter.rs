//! Filter programs: refused, or safe to run on any packet.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use mosaic_engine::event::{Filter, Instruction};

#[derive(Arbitrary, Debug)]
struct Input {
    program: Vec<Word>,
    packet: Vec<u8>,
    wire_len: u32,
}

#[derive(Arbitrary, Debug)]
struct Word {
    /// Of the 16 bits, classic BPF uses the lower eight.
    code: u8,
    jt: u8,
    jf: u8,
    k: Constant,
}

#[derive(Arbitrary, Debug)]
enum Constant {
    Small(u8),
    Any(u32),
}

fuzz_target!(|input: Input| {
    let instruction = |word: &Word| {
        let k = match word.k {
            Constant::Small(k) => k.into(),
            Constant::Any(k) => k,
        };
        Instruction {
            code: word.code.into(),
            jt: word.jt % 8,
            jf: word.jf % 8,
            k,
        }
    };
    let mut program: Vec<Instruction> = input.program.iter().map(instruction).collect();
    program.push(Instruction {
        code: 0x16,
        jt: 0,
        jf: 0,
        k: 0,
    });
    if let Ok(filter) = Filter::new(program) {
        let matches = filter.matches(&input.packet, input.wire_len);
        assert_eq!(matches, filter.matches(&input.packet, input.wire_len));
    }
});
