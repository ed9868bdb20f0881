//! Stack frames of the compiled program.
//!
//! A frame has 4,096 bytes. Locals are laid out from its upper end downwards (negative offsets of r10);
//! arguments beyond the fifth lie at its lower end, where the caller put them. Nothing in LLVM or the
//! linker keeps the two apart: the linker reports only accesses that overlap at constant offsets, not
//! those through a pointer. So a function that takes such arguments must keep a distance.
//!
//! The input is the object that LLVM hands to the linker. Only there can these arguments be distinguished from
//! locals: they are loads from r11, which the linker rewrites to r10. The sizes found here were compared with LLVM's own (`-pass-remarks-analysis=prologepilog`): equal for all 473 functions of the program.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};

/// Bytes of a stack frame.
pub const FRAME: u32 = 4_096;
/// Bytes that a function with arguments on the stack must leave free; it has room for 32 such arguments.
pub const MARGIN: u32 = 256;

/// How one function uses its frame, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Depth of the deepest local.
    pub locals: u32,
    /// Arguments beyond the fifth, with the unused word that precedes them; 0 if there are none.
    pub arguments: u32,
}

impl Frame {
    /// True if locals could reach the arguments, or the next frame.
    pub fn is_too_large(&self) -> bool {
        let limit = if self.arguments > 0 { FRAME.saturating_sub(MARGIN.max(self.arguments)) } else { FRAME };
        self.locals > limit
    }
}

/// Every function of an LLVM object with its name, deepest locals first.
pub fn read(object: &[u8]) -> Result<Vec<(String, Frame)>> {
    let file = object::File::parse(object).context("cannot read LLVM's object")?;
    let mut frames = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        let name = symbol.name().context("LLVM's object has a function without a name")?;
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let frame = symbol
            .section_index()
            .and_then(|index| file.section_by_index(index).ok())
            .and_then(|section| section.data_range(symbol.address(), symbol.size()).ok().flatten())
            .with_context(|| format!("LLVM's object has no code for `{name}`"))
            .and_then(|code| decode(code).with_context(|| format!("in `{name}`")))?;
        frames.push((name, frame));
    }
    if !frames.iter().any(|(name, _)| name == "entrypoint") {
        bail!("LLVM's object has no function `entrypoint`: it is not the program's");
    }
    frames.sort_by(|(a_name, a), (b_name, b)| b.locals.cmp(&a.locals).then_with(|| a_name.cmp(b_name)));
    Ok(frames)
}

/// Fails if a function's locals could reach its arguments.
pub fn check(frames: &[(String, Frame)]) -> Result<()> {
    let offenders: Vec<String> = frames
        .iter()
        .filter(|(_, frame)| frame.is_too_large())
        .map(|(name, frame)| {
            format!("\n  {} bytes of locals, {} of arguments: {name}", frame.locals, frame.arguments)
        })
        .collect();
    if !offenders.is_empty() {
        bail!(
            "a function that takes more than five arguments may have {} bytes of locals, any other {FRAME}; \
             box large values, or pass fewer arguments, in:{}",
            FRAME - MARGIN,
            offenders.concat()
        );
    }
    Ok(())
}

// Opcode fields (RFC 9669, section 3): the class is in the lower three bits.
const CLASS: u8 = 0x07;
const CLASS_LDX: u8 = 0x01;
const CLASS_ST: u8 = 0x02;
const CLASS_STX: u8 = 0x03;
const CLASS_ALU: u8 = 0x04;
const CLASS_JMP: u8 = 0x05;
const CLASS_JMP32: u8 = 0x06;
const CLASS_ALU64: u8 = 0x07;
/// The operand is a register.
const SOURCE_REGISTER: u8 = 0x08;
/// 64-bit immediate: takes two instruction words.
const LDDW: u8 = 0x18;
const MOV64_REGISTER: u8 = 0xbf;
const ADD64_IMMEDIATE: u8 = 0x07;
const JA: u8 = 0x05;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

const FRAME_POINTER: u8 = 10;
const ARGUMENT_POINTER: u8 = 11;

/// How a function's instructions use its frame. Fails if the frame pointer is used in a way whose reach is unknown.
fn decode(code: &[u8]) -> Result<Frame> {
    let mut frame = Frame::default();
    let mut words = code.chunks_exact(8).enumerate();
    while let Some((index, word)) = words.next() {
        let opcode = word[0];
        let (destination, source) = (word[1] & 0x0f, word[1] >> 4);
        let offset = i64::from(i16::from_le_bytes([word[2], word[3]]));
        let unknown = |what: &str| {
            anyhow::anyhow!(
                "instruction {index} {what}, so the size of the frame is unknown; teach xtask/src/frames.rs about it"
            )
        };
        if opcode == LDDW {
            words.next();
            continue;
        }
        match opcode & CLASS {
            CLASS_LDX if source == FRAME_POINTER => frame.local(offset),
            CLASS_LDX if source == ARGUMENT_POINTER => frame.argument(offset, opcode),
            CLASS_ST | CLASS_STX if destination == FRAME_POINTER => frame.local(offset),
            // Outgoing arguments lie in the callee's frame.
            CLASS_ST | CLASS_STX if destination == ARGUMENT_POINTER => {}
            CLASS_STX if source >= FRAME_POINTER => return Err(unknown("stores the frame pointer")),
            CLASS_ALU64 if opcode == MOV64_REGISTER && source == FRAME_POINTER => {
                // LLVM takes an address by copying the frame pointer and adding to the copy at once.
                match words.next() {
                    Some((_, next)) if next[0] == ADD64_IMMEDIATE && next[1] & 0x0f == destination => {
                        frame.local(i64::from(i32::from_le_bytes([next[4], next[5], next[6], next[7]])));
                    }
                    _ => return Err(unknown("copies the frame pointer")),
                }
            }
            CLASS_ALU | CLASS_ALU64
                if destination >= FRAME_POINTER
                    || (opcode & SOURCE_REGISTER != 0 && source >= FRAME_POINTER) =>
            {
                return Err(unknown("computes with the frame pointer"));
            }
            CLASS_JMP | CLASS_JMP32
                if !matches!(opcode, JA | CALL | EXIT)
                    && (destination >= FRAME_POINTER || source >= FRAME_POINTER) =>
            {
                return Err(unknown("compares the frame pointer"));
            }
            _ => {}
        }
    }
    Ok(frame)
}

impl Frame {
    fn local(&mut self, offset: i64) {
        let depth = u32::try_from(-offset).unwrap_or(0);
        self.locals = self.locals.max(depth.next_multiple_of(8));
    }

    fn argument(&mut self, offset: i64, opcode: u8) {
        const WIDTHS: [u32; 4] = [4, 2, 1, 8];
        let end = u32::try_from(offset).unwrap_or(0) + WIDTHS[usize::from(opcode >> 3 & 3)];
        self.arguments = self.arguments.max(end.next_multiple_of(8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One instruction word: opcode, destination, source, offset, immediate.
    fn word(opcode: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> [u8; 8] {
        let mut word = [opcode, source << 4 | destination, 0, 0, 0, 0, 0, 0];
        word[2..4].copy_from_slice(&offset.to_le_bytes());
        word[4..8].copy_from_slice(&immediate.to_le_bytes());
        word
    }

    fn load(destination: u8, base: u8, offset: i16) -> [u8; 8] {
        word(0x79, destination, base, offset, 0)
    }

    fn store(base: u8, offset: i16, source: u8) -> [u8; 8] {
        word(0x7b, base, source, offset, 0)
    }

    /// `register = r10 + offset`, as LLVM takes the address of a local.
    fn address(register: u8, offset: i32) -> [[u8; 8]; 2] {
        [word(0xbf, register, 10, 0, 0), word(0x07, register, 0, 0, offset)]
    }

    fn decode_words(words: &[[u8; 8]]) -> Result<Frame> {
        decode(words.as_flattened())
    }

    #[test]
    fn locals_are_the_deepest_load_store_or_address() {
        let [copy, add] = address(1, -160);
        let words = [store(10, -8, 1), load(1, 10, -24), copy, add, word(0x95, 0, 0, 0, 0)];
        assert_eq!(decode_words(&words).unwrap(), Frame { locals: 160, arguments: 0 });
        assert_eq!(decode_words(&words[..2]).unwrap(), Frame { locals: 24, arguments: 0 });
        // A single byte takes a word of the stack.
        assert_eq!(decode_words(&[word(0x73, 10, 1, -9, 0)]).unwrap(), Frame { locals: 16, arguments: 0 });
    }

    #[test]
    fn arguments_are_loads_from_r11_only() {
        assert_eq!(decode_words(&[load(1, 11, 8)]).unwrap(), Frame { locals: 0, arguments: 16 });
        assert_eq!(
            decode_words(&[load(1, 11, 16), load(2, 11, 8)]).unwrap(),
            Frame { locals: 0, arguments: 24 }
        );
        // Passing arguments on is the callee's matter.
        assert_eq!(decode_words(&[store(11, -8, 1)]).unwrap(), Frame::default());
    }

    #[test]
    fn immediate_of_64_bits_is_no_instruction() {
        // Its second word reads as a load from r11 where its upper half is looked at as an instruction.
        let words = [word(0x18, 1, 0, 0, 0x79), load(1, 11, 8), store(10, -8, 1)];
        assert_eq!(decode_words(&words).unwrap(), Frame { locals: 8, arguments: 0 });
    }

    #[test]
    fn frame_near_the_limit_is_refused_only_with_arguments_on_the_stack() {
        let [copy, add] = address(1, -3_848);
        let deep = decode_words(&[copy, add]).unwrap();
        assert!(!deep.is_too_large(), "{deep:?}");
        let deep_with_arguments = decode_words(&[load(2, 11, 8), copy, add]).unwrap();
        assert!(deep_with_arguments.is_too_large(), "{deep_with_arguments:?}");

        let [copy, add] = address(1, -3_840);
        let with_the_margin_left = decode_words(&[load(2, 11, 8), copy, add]).unwrap();
        assert!(!with_the_margin_left.is_too_large(), "{with_the_margin_left:?}");

        let frames = [("deep".to_owned(), deep), ("near".to_owned(), deep_with_arguments)];
        check(&frames[..1]).unwrap();
        let refusal = check(&frames).unwrap_err().to_string();
        assert!(refusal.contains("3848 bytes of locals, 16 of arguments: near"), "{refusal}");
        assert!(!refusal.contains("deep"), "{refusal}");
    }

    #[test]
    fn more_arguments_than_the_margin_holds_need_their_own_room() {
        assert!(!Frame { locals: FRAME - 400, arguments: 400 }.is_too_large());
        assert!(Frame { locals: FRAME - 392, arguments: 400 }.is_too_large());
    }

    #[test]
    fn frame_beyond_the_limit_is_refused_without_arguments_too() {
        assert!(!Frame { locals: FRAME, arguments: 0 }.is_too_large());
        assert!(Frame { locals: FRAME + 8, arguments: 0 }.is_too_large());
    }

    #[test]
    fn frame_pointer_used_in_an_unknown_way_is_an_error() {
        for (words, what) in [
            (vec![word(0xbf, 1, 10, 0, 0), load(2, 1, -8)], "copies"),
            (vec![word(0xbf, 1, 10, 0, 0), word(0x07, 2, 0, 0, -8)], "copies"),
            (vec![word(0xbf, 1, 10, 0, 0)], "copies"),
            (vec![word(0x0f, 1, 10, 0, 0)], "computes with"),
            (vec![word(0x07, 10, 0, 0, -64)], "computes with"),
            (vec![store(1, 0, 10)], "stores"),
            (vec![word(0x1d, 1, 10, 4, 0)], "compares"),
        ] {
            let error = decode_words(&words).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn object_that_is_not_the_programs_is_refused() {
        assert!(read(b"not an object").is_err());
    }
}
