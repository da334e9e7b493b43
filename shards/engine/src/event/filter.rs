//! Packet filters: classic BPF programs, checked once, evaluated here.
//!
//! The machine is that of McCanne and Jacobson, "The BSD Packet Filter" (1993), as libpcap interprets it: an accumulator
//! `A`, an index `X`, sixteen scratch cells and the packet, which can only be read. A load beyond the captured bytes ends
//! the program with "no", as does a division by an `X` of zero.

use alloc::vec::Vec;

use crate::limits::FILTER_INSTRUCTIONS;

/// Scratch cells of the machine (`BPF_MEMWORDS`).
const CELLS: usize = 16;

/// One instruction of a classic BPF program, as libpcap's compiler makes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// Operation code.
    pub code: u16,
    /// Jump offset where the condition holds.
    pub jt: u8,
    /// Jump offset where it does not.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// A program that is not safe to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilterError {
    /// No instruction at all.
    #[error("empty program")]
    Empty,
    /// More than [`FILTER_INSTRUCTIONS`] instructions.
    #[error("{0} instructions, at most {FILTER_INSTRUCTIONS} are allowed")]
    TooLong(usize),
    /// An operation code that classic BPF does not have.
    #[error("instruction {at}: unknown operation code {code:#06x}")]
    UnknownCode {
        /// Index of the instruction.
        at: usize,
        /// Its code.
        code: u16,
    },
    /// A jump to behind the last instruction, or backwards, as `protochain` makes libpcap do.
    #[error("instruction {at}: jumps backwards or out of the program")]
    JumpOutside {
        /// Index of the instruction.
        at: usize,
    },
    /// A scratch cell above 15.
    #[error("instruction {at}: scratch cell {cell} does not exist")]
    NoSuchCell {
        /// Index of the instruction.
        at: usize,
        /// The cell.
        cell: u32,
    },
    /// Division, or remainder of a division, by the constant 0.
    #[error("instruction {at}: divides by zero")]
    DivisionByZero {
        /// Index of the instruction.
        at: usize,
    },
    /// The last instruction, of this index, is not a return.
    #[error("instruction {at}: the program does not end with a return")]
    NoReturn {
        /// Index of the instruction.
        at: usize,
    },
}

/// A checked filter program. Evaluating it ends, and touches nothing outside the packet.
///
/// Every jump goes forward and stays inside, and the last instruction returns; so a program of *n* instructions ends after
/// at most *n* steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    program: Vec<Operation>,
}

impl Filter {
    /// Checks `program`.
    ///
    /// # Errors
    /// Where it is empty or too long, an instruction is unknown, jumps out of the program, uses a scratch cell that does
    /// not exist or divides by the constant zero, or the last one does not return.
    pub fn new(program: Vec<Instruction>) -> Result<Self, FilterError> {
        let last = program.len().checked_sub(1).ok_or(FilterError::Empty)?;
        if program.len() > FILTER_INSTRUCTIONS {
            return Err(FilterError::TooLong(program.len()));
        }
        let program = program
            .iter()
            .enumerate()
            .map(|(at, instruction)| decode(*instruction, at, last - at))
            .collect::<Result<Vec<_>, _>>()?;
        match program[last] {
            Operation::Return(_) | Operation::ReturnA => Ok(Self { program }),
            _ => Err(FilterError::NoReturn { at: last }),
        }
    }

    /// Whether `packet`, of length `wire_len` before any snap length cut it, passes.
    #[inline]
    pub fn matches(&self, packet: &[u8], wire_len: u32) -> bool {
        self.run(packet, wire_len).is_some_and(|value| value != 0)
    }

    /// What the program returns; `None` where it was ended by a load outside the packet or a division by zero.
    fn run(&self, packet: &[u8], wire_len: u32) -> Option<u32> {
        let (mut a, mut x) = (0_u32, 0_u32);
        let mut cells = [0_u32; CELLS];
        let mut at = 0;
        loop {
            let operation = *self.program.get(at)?;
            at += 1;
            match operation {
                Operation::Load(size, k) => a = load(packet, size, k)?,
                Operation::LoadIndexed(size, k) => a = load(packet, size, x.checked_add(k)?)?,
                Operation::LoadLength => a = wire_len,
                Operation::LoadConstant(k) => a = k,
                Operation::LoadCell(cell) => a = cells[cell.index()],
                Operation::IndexConstant(k) => x = k,
                Operation::IndexLength => x = wire_len,
                Operation::IndexCell(cell) => x = cells[cell.index()],
                Operation::IndexHeaderLength(k) => x = (load(packet, Size::Byte, k)? & 0xf) << 2,
                Operation::Store(cell) => cells[cell.index()] = a,
                Operation::StoreIndex(cell) => cells[cell.index()] = x,
                Operation::Arithmetic(arithmetic, k) => a = arithmetic.of(a, k)?,
                Operation::ArithmeticIndex(arithmetic) => a = arithmetic.of(a, x)?,
                Operation::Negate => a = a.wrapping_neg(),
                Operation::AToIndex => x = a,
                Operation::IndexToA => a = x,
                Operation::Jump(by) => at += usize::from(by),
                Operation::Branch { test, jt, jf, k } => {
                    at += usize::from(if test.holds(a, k) { jt } else { jf })
                }
                Operation::BranchIndex { test, jt, jf } => {
                    at += usize::from(if test.holds(a, x) { jt } else { jf })
                }
                Operation::Return(k) => return Some(k),
                Operation::ReturnA => return Some(a),
            }
        }
    }
}

/// A checked instruction, eight bytes as the original one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    /// `A <- P[k]`.
    Load(Size, u32),
    /// `A <- P[X+k]`.
    LoadIndexed(Size, u32),
    /// `A <- len`.
    LoadLength,
    /// `A <- k`.
    LoadConstant(u32),
    /// `A <- M[k]`.
    LoadCell(Cell),
    /// `X <- k`.
    IndexConstant(u32),
    /// `X <- len`.
    IndexLength,
    /// `X <- M[k]`.
    IndexCell(Cell),
    /// `X <- 4 * (P[k] & 0xf)`: the length of an IPv4 header.
    IndexHeaderLength(u32),
    /// `M[k] <- A`.
    Store(Cell),
    /// `M[k] <- X`.
    StoreIndex(Cell),
    /// `A <- A op k`.
    Arithmetic(Arithmetic, u32),
    /// `A <- A op X`.
    ArithmeticIndex(Arithmetic),
    /// `A <- -A`.
    Negate,
    /// `X <- A`.
    AToIndex,
    /// `A <- X`.
    IndexToA,
    /// `pc += k`.
    Jump(u16),
    /// `pc += (A op k) ? jt : jf`.
    Branch { test: Test, jt: u8, jf: u8, k: u32 },
    /// `pc += (A op X) ? jt : jf`.
    BranchIndex { test: Test, jt: u8, jf: u8 },
    /// Accept `k` bytes.
    Return(u32),
    /// Accept `A` bytes.
    ReturnA,
}

const _: () = assert!(size_of::<Operation>() == 8);

/// How much of the packet a load takes, most significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Size {
    Word,
    Half,
    Byte,
}

/// A scratch cell that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cell(u8);

impl Cell {
    /// Below [`CELLS`], so that the compiler needs no bounds check.
    #[inline]
    fn index(self) -> usize {
        usize::from(self.0) % CELLS
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

impl Arithmetic {
    /// `None` for a division by zero. Shifts by 32 and more give 0, as in libpcap, not what the processor would do.
    #[inline]
    fn of(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => a.checked_div(b)?,
            Self::Remainder => a.checked_rem(b)?,
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            Self::ShiftLeft => a.checked_shl(b).unwrap_or(0),
            Self::ShiftRight => a.checked_shr(b).unwrap_or(0),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Test {
    Equal,
    Greater,
    GreaterOrEqual,
    AnyBit,
}

impl Test {
    #[inline]
    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::AnyBit => a & b != 0,
        }
    }
}

/// `None` where any of the bytes lies outside `packet`.
#[inline]
fn load(packet: &[u8], size: Size, at: u32) -> Option<u32> {
    let from = packet.get(at as usize..)?;
    match size {
        Size::Word => from.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        Size::Half => from
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes).into()),
        Size::Byte => from.first().map(|byte| u32::from(*byte)),
    }
}

/// Operation codes: class, then size, mode, operation and source, combined by addition as in `<pcap/bpf.h>`.
mod code {
    pub(super) const LD: u16 = 0x00;
    pub(super) const LDX: u16 = 0x01;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const RET: u16 = 0x06;
    pub(super) const MISC: u16 = 0x07;

    pub(super) const W: u16 = 0x00;
    pub(super) const H: u16 = 0x08;
    pub(super) const B: u16 = 0x10;

    pub(super) const IMM: u16 = 0x00;
    pub(super) const ABS: u16 = 0x20;
    pub(super) const IND: u16 = 0x40;
    pub(super) const MEM: u16 = 0x60;
    pub(super) const LEN: u16 = 0x80;
    pub(super) const MSH: u16 = 0xa0;

    pub(super) const NEG: u16 = 0x80;
    pub(super) const JA: u16 = 0x00;

    pub(super) const X: u16 = 0x08;
    pub(super) const A: u16 = 0x10;
    pub(super) const TXA: u16 = 0x80;

    pub(super) const CLASS_MASK: u16 = 0x07;
    pub(super) const SIZE_MASK: u16 = 0x18;
    pub(super) const OPERATION_MASK: u16 = 0xf0;
}

/// Checks instruction `at`, which `behind` others follow.
fn decode(instruction: Instruction, at: usize, behind: usize) -> Result<Operation, FilterError> {
    let operation = match instruction.code & code::CLASS_MASK {
        code::LD => decode_load(instruction, at)?,
        code::LDX => decode_load_index(instruction, at)?,
        code::ST if instruction.code == code::ST => {
            Some(Operation::Store(cell(instruction.k, at)?))
        }
        code::STX if instruction.code == code::STX => {
            Some(Operation::StoreIndex(cell(instruction.k, at)?))
        }
        code::ALU => decode_arithmetic(instruction, at)?,
        code::JMP => decode_jump(instruction, at, behind)?,
        code::RET if instruction.code == code::RET => Some(Operation::Return(instruction.k)),
        code::RET if instruction.code == code::RET + code::A => Some(Operation::ReturnA),
        code::MISC if instruction.code == code::MISC => Some(Operation::AToIndex),
        code::MISC if instruction.code == code::MISC + code::TXA => Some(Operation::IndexToA),
        _ => None,
    };
    operation.ok_or(FilterError::UnknownCode {
        at,
        code: instruction.code,
    })
}

fn decode_load(
    Instruction { code, k, .. }: Instruction,
    at: usize,
) -> Result<Option<Operation>, FilterError> {
    let size = match code & code::SIZE_MASK {
        code::W => Size::Word,
        code::H => Size::Half,
        code::B => Size::Byte,
        _ => return Ok(None),
    };
    Ok(match (code & !code::SIZE_MASK & !code::CLASS_MASK, size) {
        (code::ABS, _) => Some(Operation::Load(size, k)),
        (code::IND, _) => Some(Operation::LoadIndexed(size, k)),
        (code::IMM, Size::Word) => Some(Operation::LoadConstant(k)),
        (code::LEN, Size::Word) => Some(Operation::LoadLength),
        (code::MEM, Size::Word) => Some(Operation::LoadCell(cell(k, at)?)),
        _ => None,
    })
}

fn decode_load_index(
    Instruction { code, k, .. }: Instruction,
    at: usize,
) -> Result<Option<Operation>, FilterError> {
    const IMM: u16 = code::LDX + code::W + code::IMM;
    const MEM: u16 = code::LDX + code::W + code::MEM;
    const LEN: u16 = code::LDX + code::W + code::LEN;
    const MSH: u16 = code::LDX + code::B + code::MSH;
    Ok(match code {
        IMM => Some(Operation::IndexConstant(k)),
        LEN => Some(Operation::IndexLength),
        MSH => Some(Operation::IndexHeaderLength(k)),
        MEM => Some(Operation::IndexCell(cell(k, at)?)),
        _ => None,
    })
}

fn decode_arithmetic(
    Instruction { code, k, .. }: Instruction,
    at: usize,
) -> Result<Option<Operation>, FilterError> {
    if code == code::ALU + code::NEG {
        return Ok(Some(Operation::Negate));
    }
    let arithmetic = match code & code::OPERATION_MASK {
        0x00 => Arithmetic::Add,
        0x10 => Arithmetic::Subtract,
        0x20 => Arithmetic::Multiply,
        0x30 => Arithmetic::Divide,
        0x40 => Arithmetic::Or,
        0x50 => Arithmetic::And,
        0x60 => Arithmetic::ShiftLeft,
        0x70 => Arithmetic::ShiftRight,
        0x90 => Arithmetic::Remainder,
        0xa0 => Arithmetic::Xor,
        _ => return Ok(None),
    };
    Ok(match code & !code::OPERATION_MASK & !code::CLASS_MASK {
        code::X => Some(Operation::ArithmeticIndex(arithmetic)),
        0 if k == 0 && matches!(arithmetic, Arithmetic::Divide | Arithmetic::Remainder) => {
            return Err(FilterError::DivisionByZero { at });
        }
        0 => Some(Operation::Arithmetic(arithmetic, k)),
        _ => None,
    })
}

fn decode_jump(
    instruction: Instruction,
    at: usize,
    behind: usize,
) -> Result<Option<Operation>, FilterError> {
    let Instruction { code, jt, jf, k } = instruction;
    let outside = FilterError::JumpOutside { at };
    if code == code::JMP + code::JA {
        let by = u16::try_from(k).map_err(|_| outside)?;
        return if usize::from(by) < behind {
            Ok(Some(Operation::Jump(by)))
        } else {
            Err(outside)
        };
    }
    let test = match code & code::OPERATION_MASK {
        0x10 => Test::Equal,
        0x20 => Test::Greater,
        0x30 => Test::GreaterOrEqual,
        0x40 => Test::AnyBit,
        _ => return Ok(None),
    };
    if usize::from(jt.max(jf)) >= behind {
        return Err(outside);
    }
    Ok(match code & !code::OPERATION_MASK & !code::CLASS_MASK {
        0 => Some(Operation::Branch { test, jt, jf, k }),
        code::X => Some(Operation::BranchIndex { test, jt, jf }),
        _ => None,
    })
}

fn cell(k: u32, at: usize) -> Result<Cell, FilterError> {
    match u8::try_from(k) {
        Ok(cell) if usize::from(cell) < CELLS => Ok(Cell(cell)),
        _ => Err(FilterError::NoSuchCell { at, cell: k }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const PACKET: &[u8] = &[0x45, 0x00, 0x12, 0x34, 0xfe, 0xdc, 0xba, 0x98];
    const RET_A: Instruction = op(0x16, 0);

    const fn op(code: u16, k: u32) -> Instruction {
        Instruction {
            code,
            jt: 0,
            jf: 0,
            k,
        }
    }

    const fn jump(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }

    fn run(program: &[Instruction]) -> Option<u32> {
        Filter::new(program.to_vec()).unwrap().run(PACKET, 1500)
    }

    #[test]
    fn loads() {
        for (code, k, expected) in [
            (0x20, 0, Some(0x4500_1234)),
            (0x20, 4, Some(0xfedc_ba98)),
            (0x20, 5, None),
            (0x20, u32::MAX, None),
            (0x28, 2, Some(0x1234)),
            (0x28, 6, Some(0xba98)),
            (0x28, 7, None),
            (0x30, 7, Some(0x98)),
            (0x30, 8, None),
            (0x80, 0, Some(1500)),
            (0x00, 77, Some(77)),
        ] {
            assert_eq!(
                run(&[op(code, k), RET_A]),
                expected,
                "code {code:#x}, k {k}"
            );
        }
    }

    #[test]
    fn indexed_loads_count_from_x_and_never_wrap() {
        let at = |x, code, k| run(&[op(0x01, x), op(code, k), RET_A]);
        assert_eq!(at(2, 0x40, 2), Some(0xfedc_ba98));
        assert_eq!(at(2, 0x40, 3), None);
        assert_eq!(at(3, 0x48, 1), Some(0xfedc));
        assert_eq!(at(3, 0x50, 4), Some(0x98));
        assert_eq!(at(u32::MAX, 0x50, 1), None);
    }

    #[test]
    fn index_register() {
        let txa = op(0x87, 0);
        assert_eq!(
            run(&[op(0xb1, 0), txa, RET_A]),
            Some(20),
            "header length of the IPv4 header at 0"
        );
        assert_eq!(run(&[op(0xb1, 8), txa, RET_A]), None);
        assert_eq!(run(&[op(0x81, 0), txa, RET_A]), Some(1500));
        assert_eq!(
            run(&[op(0x00, 9), op(0x07, 0), op(0x00, 0), txa, RET_A]),
            Some(9)
        );
    }

    #[test]
    fn scratch_cells() {
        assert_eq!(
            run(&[op(0x00, 5), op(0x02, 15), op(0x00, 0), op(0x60, 15), RET_A]),
            Some(5)
        );
        assert_eq!(
            run(&[
                op(0x01, 6),
                op(0x03, 0),
                op(0x01, 0),
                op(0x61, 0),
                op(0x87, 0),
                RET_A
            ]),
            Some(6)
        );
        assert_eq!(run(&[op(0x60, 3), RET_A]), Some(0), "a cell begins as 0");
    }

    #[test]
    fn arithmetic_by_constant_and_by_index() {
        for (operation, a, b, expected) in [
            (0x00, u32::MAX, 2, Some(1)),
            (0x10, 1, 2, Some(u32::MAX)),
            (0x20, 0x8000_0001, 2, Some(2)),
            (0x30, 7, 2, Some(3)),
            (0x40, 0b1100, 0b1010, Some(0b1110)),
            (0x50, 0b1100, 0b1010, Some(0b1000)),
            (0x60, 1, 31, Some(1 << 31)),
            (0x60, 1, 32, Some(0)),
            (0x70, 1 << 31, 31, Some(1)),
            (0x70, 1, 99, Some(0)),
            (0x90, 7, 4, Some(3)),
            (0xa0, 0b1100, 0b1010, Some(0b0110)),
        ] {
            let constant = run(&[op(0x00, a), op(0x04 + operation, b), RET_A]);
            let index = run(&[op(0x00, a), op(0x01, b), op(0x0c + operation, 0), RET_A]);
            assert_eq!(
                (constant, index),
                (expected, expected),
                "operation {operation:#x}"
            );
        }
        assert_eq!(
            run(&[op(0x00, 1), op(0x84, 0), RET_A]),
            Some(u32::MAX),
            "negated"
        );
        assert_eq!(run(&[op(0x00, 1), op(0x3c, 0), RET_A]), None, "X is 0");
        assert_eq!(run(&[op(0x00, 1), op(0x9c, 0), RET_A]), None, "X is 0");
    }

    #[test]
    fn jumps() {
        for (operation, a, b, taken) in [
            (0x10, 4, 4, true),
            (0x10, 4, 5, false),
            (0x20, 5, 4, true),
            (0x20, 4, 4, false),
            (0x30, 4, 4, true),
            (0x30, 3, 4, false),
            (0x40, 6, 2, true),
            (0x40, 5, 2, false),
        ] {
            let tail = [op(0x06, 1), op(0x06, 0)];
            let constant = [
                op(0x00, a),
                jump(0x05 + operation, 0, 1, b),
                tail[0],
                tail[1],
            ];
            let index = [
                op(0x00, a),
                op(0x01, b),
                jump(0x0d + operation, 0, 1, 0),
                tail[0],
                tail[1],
            ];
            assert_eq!(
                run(&constant),
                Some(u32::from(taken)),
                "operation {operation:#x}"
            );
            assert_eq!(
                run(&index),
                Some(u32::from(taken)),
                "operation {operation:#x}"
            );
        }
        assert_eq!(run(&[op(0x05, 1), op(0x06, 0), op(0x06, 1)]), Some(1));
    }

    #[test]
    fn any_value_but_zero_passes() {
        let passes = |k| Filter::new(vec![op(0x06, k)]).unwrap().matches(&[], 0);
        assert!(passes(1) && passes(u32::MAX) && !passes(0));
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let refused = |program: Vec<Instruction>| Filter::new(program).unwrap_err();
        let ret = op(0x06, 0);
        assert_eq!(refused(vec![]), FilterError::Empty);
        assert_eq!(
            refused(vec![ret; FILTER_INSTRUCTIONS + 1]),
            FilterError::TooLong(FILTER_INSTRUCTIONS + 1)
        );
        assert_eq!(
            refused(vec![ret, op(0x0e, 0)]),
            FilterError::UnknownCode { at: 1, code: 0x0e }
        );
        assert_eq!(
            refused(vec![op(0x0120, 0), ret]),
            FilterError::UnknownCode {
                at: 0,
                code: 0x0120
            }
        );
        assert_eq!(
            refused(vec![op(0x05, 1), ret]),
            FilterError::JumpOutside { at: 0 }
        );
        assert_eq!(
            refused(vec![op(0x05, u32::MAX), ret]),
            FilterError::JumpOutside { at: 0 }
        );
        assert_eq!(
            refused(vec![ret, jump(0x15, 0, 1, 0), ret]),
            FilterError::JumpOutside { at: 1 }
        );
        assert_eq!(
            refused(vec![ret, jump(0x1d, 1, 0, 0), ret]),
            FilterError::JumpOutside { at: 1 }
        );
        assert_eq!(
            refused(vec![op(0x02, 16), ret]),
            FilterError::NoSuchCell { at: 0, cell: 16 }
        );
        assert_eq!(
            refused(vec![op(0x61, 272), ret]),
            FilterError::NoSuchCell { at: 0, cell: 272 }
        );
        assert_eq!(
            refused(vec![op(0x34, 0), ret]),
            FilterError::DivisionByZero { at: 0 }
        );
        assert_eq!(
            refused(vec![op(0x94, 0), ret]),
            FilterError::DivisionByZero { at: 0 }
        );
        assert_eq!(
            refused(vec![ret, op(0x00, 0)]),
            FilterError::NoReturn { at: 1 }
        );
        assert_eq!(
            refused(vec![jump(0x15, 0, 0, 0)]),
            FilterError::JumpOutside { at: 0 }
        );
        assert_eq!(
            Filter::new(vec![ret; FILTER_INSTRUCTIONS]).map(|_| ()),
            Ok(())
        );
    }

    /// Mostly known codes and small operands, so that many programs pass the check.
    fn instruction() -> impl Strategy<Value = Instruction> {
        let known = prop::sample::select(vec![
            0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x80, 0x00, 0x60, 0x01, 0x61, 0x81, 0xb1, 0x02,
            0x03, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64,
            0x6c, 0x74, 0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35,
            0x3d, 0x45, 0x4d, 0x06, 0x16, 0x07, 0x87,
        ]);
        let code = prop_oneof![500 => known, 1 => any::<u16>()];
        let k = prop_oneof![20 => 0_u32..16, 1 => any::<u32>()];
        (code, 0_u8..3, 0_u8..3, k).prop_map(|(code, jt, jf, k)| Instruction { code, jt, jf, k })
    }

    proptest! {
        #[test]
        fn a_program_is_refused_or_ends(
            mut program in prop::collection::vec(instruction(), 0..40),
            packet in prop::collection::vec(any::<u8>(), 0..64),
            wire_len in any::<u32>(),
        ) {
            program.extend([op(0x06, 0), op(0x06, 1), op(0x06, 2)]);
            if let Ok(filter) = Filter::new(program) {
                filter.matches(&packet, wire_len);
            }
        }

        #[test]
        fn any_bits_are_refused_or_end(
            words in prop::collection::vec(any::<(u16, u8, u8, u32)>(), 0..8),
            packet in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let program = words.into_iter().map(|(code, jt, jf, k)| Instruction { code, jt, jf, k }).collect();
            if let Ok(filter) = Filter::new(program) {
                filter.matches(&packet, 64);
            }
        }
    }
}
