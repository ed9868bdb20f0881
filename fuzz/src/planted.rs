//! Target `planted`: a fault behind several comparisons, which only a fuzzer that sees coverage finds.

/// Panics for one input in 2⁸⁸ or so.
pub fn run(data: &[u8]) {
    let Some((magic, rest)) = data.split_first_chunk::<4>() else { return };
    if u32::from_le_bytes(*magic) != 0x6c65_6173 {
        return;
    }
    let Some((number, rest)) = rest.split_first_chunk::<8>() else { return };
    let number = u64::from_le_bytes(*number);
    if number < 1 << 40 || number % 1_009 != 17 {
        return;
    }
    if rest.len() >= 3 && rest[0] == b'G' && rest[1] == rest[0] ^ 0x17 && rest[2] == b'U' {
        panic!("the planted fault was found");
    }
}
