//! Reader of a fuzzer's bytes: everything that a target decides, it takes from here.

/// Bytes to take decisions from. After their end it yields zeros, so any input is a whole one.
pub struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Input { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn u8(&mut self) -> u8 {
        match self.bytes.split_first() {
            Some((first, rest)) => {
                self.bytes = rest;
                *first
            }
            None => 0,
        }
    }

    pub fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    /// A number of any magnitude, or its complement: one byte says how many bytes follow, and which.
    pub fn u64(&mut self) -> u64 {
        let kind = self.u8();
        let bytes = u32::from(kind & 0x0f).min(8);
        let value = (0..bytes).fold(0, |value, place| value | u64::from(self.u8()) << (8 * place));
        if kind & 0x80 == 0 { value } else { !value }
    }

    /// A number of any magnitude.
    pub fn u32(&mut self) -> u32 {
        self.u64() as u32
    }

    /// A number from `least` to `most`, both inclusive.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        let value = self.u64();
        match most.checked_sub(least).and_then(|range| range.checked_add(1)) {
            None => least,
            Some(_) if value == u64::MAX => most,
            Some(range) => least + value % range,
        }
    }

    /// As [`Input::between`], of 32 bits.
    pub fn between32(&mut self, least: u32, most: u32) -> u32 {
        self.between(least.into(), most.into()) as u32
    }

    /// As [`Input::between`], of 16 bits.
    pub fn between16(&mut self, least: u16, most: u16) -> u16 {
        self.between(least.into(), most.into()) as u16
    }

    /// As [`Input::between`], of 8 bits and one byte long.
    pub fn between8(&mut self, least: u8, most: u8) -> u8 {
        least + self.u8() % (most - least + 1)
    }

    /// One of `values`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[usize::from(self.u8()) % values.len()]
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }
}
