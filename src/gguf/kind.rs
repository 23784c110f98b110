//! Kinds of numbers and blocks, and what they mean.
//!
//! A number is computed from its block by the same operations in the same order as in llama.cpp's `dequantize_row_*`. The loops are written so that
//! the compiler turns them into vector instructions.

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// As llama.cpp writes it.
    pub name: &'static str,
    /// Numbers in a block.
    pub block: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Turns whole blocks into numbers.
    unpack: fn(&[u8], &mut [f32]),
}

/// A kind of blocks of so many numbers and bytes, each turned into numbers by a function.
macro_rules! kind {
    ($name:literal, $numbers:literal, $bytes:literal, $block:ident) => {
        Kind {
            name: $name,
            block: $numbers,
            bytes: $bytes,
            unpack: |bytes, to| {
                vectorised(|| {
                    let blocks = bytes.as_chunks::<$bytes>().0.iter();
                    for (block, to) in blocks.zip(to.as_chunks_mut::<$numbers>().0) {
                        $block(block, to);
                    }
                });
            },
        }
    };
}

/// Those that are read, by their number in the format.
const KNOWN: [(u32, Kind); 11] = [
    (0, kind!("F32", 1, 4, f32_of)),
    (1, kind!("F16", 1, 2, f16_of)),
    (30, kind!("BF16", 1, 2, bf16_of)),
    (2, kind!("Q4_0", 32, 18, q4_0)),
    (3, kind!("Q4_1", 32, 20, q4_1)),
    (6, kind!("Q5_0", 32, 22, q5_0)),
    (7, kind!("Q5_1", 32, 24, q5_1)),
    (8, kind!("Q8_0", 32, 34, q8_0)),
    (12, kind!("Q4_K", 256, 144, q4_k)),
    (13, kind!("Q5_K", 256, 176, q5_k)),
    (14, kind!("Q6_K", 256, 210, q6_k)),
];

/// Names of the others, by number (`GGMLQuantizationType` of the package gguf 0.19).
const OTHERS: [(u32, &str); 26] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl Kind {
    /// The kind with that number, or what it is called.
    pub fn numbered(number: u32) -> std::result::Result<Self, String> {
        if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == number) {
            return Ok(*kind);
        }
        let name = OTHERS.iter().find(|(known, _)| *known == number);
        Err(name.map_or_else(|| format!("kind {number}"), |(_, name)| (*name).to_string()))
    }

    /// Names of those that are read.
    pub fn known() -> String {
        KNOWN.map(|(_, kind)| kind.name).join(", ")
    }

    /// Bytes of so many numbers, which fill their blocks.
    pub fn bytes_of(self, numbers: usize) -> usize {
        debug_assert!(numbers.is_multiple_of(self.block));
        numbers / self.block * self.bytes
    }

    /// The numbers in f32 of whole blocks.
    ///
    /// # Panics
    /// When `bytes` and `to` are not as long as the same blocks.
    pub fn unpack_into(self, bytes: &[u8], to: &mut [f32]) {
        assert!(to.len().is_multiple_of(self.block) && bytes.len() == self.bytes_of(to.len()));
        (self.unpack)(bytes, to);
    }
}

/// Runs a loop compiled with AVX2 where this CPU has it.
#[inline(always)]
fn vectorised(work: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        unsafe fn wide(work: impl FnOnce()) {
            work();
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was found just now.
            return unsafe { wide(work) };
        }
    }
    work();
}

#[inline(always)]
fn f32_of(block: &[u8; 4], to: &mut [f32; 1]) {
    to[0] = f32::from_le_bytes(*block);
}

#[inline(always)]
fn f16_of(block: &[u8; 2], to: &mut [f32; 1]) {
    to[0] = half(block[0], block[1]);
}

#[inline(always)]
fn bf16_of(block: &[u8; 2], to: &mut [f32; 1]) {
    to[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
}

/// The value of an f16.
#[inline(always)]
fn half(low: u8, high: u8) -> f32 {
    let bits = u32::from(u16::from_le_bytes([low, high]));
    let (sign, rest) = ((bits & 0x8000) << 16, (bits & 0x7fff) << 13);
    // the exponent counts from another number: times 2¹¹², exactly, also where it is 0
    let value = (f32::from_bits(rest) * f32::from_bits(0x7780_0000)).to_bits();
    let value = if bits & 0x7c00 == 0x7c00 { rest | 0x7f80_0000 } else { value };
    f32::from_bits(value | sign)
}

/// Numbers from the halves of 16 bytes, the low ones first, each with its fifth bit from `high`.
#[inline(always)]
fn fives(high: u32, halves: &[u8], mut number: impl FnMut(usize, i32)) {
    for (at, byte) in halves.iter().enumerate() {
        number(at, i32::from(byte & 15) | ((high >> at) << 4 & 16) as i32);
    }
    for (at, byte) in halves.iter().enumerate() {
        number(at + 16, i32::from(byte >> 4) | ((high >> (at + 12)) & 16) as i32);
    }
}

#[inline(always)]
fn q4_0(block: &[u8; 18], to: &mut [f32; 32]) {
    let d = half(block[0], block[1]);
    fives(0, &block[2..], |at, q| to[at] = (q - 8) as f32 * d);
}

#[inline(always)]
fn q4_1(block: &[u8; 20], to: &mut [f32; 32]) {
    let (d, m) = (half(block[0], block[1]), half(block[2], block[3]));
    fives(0, &block[4..], |at, q| to[at] = q as f32 * d + m);
}

#[inline(always)]
fn q5_0(block: &[u8; 22], to: &mut [f32; 32]) {
    let d = half(block[0], block[1]);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    fives(high, &block[6..], |at, q| to[at] = (q - 16) as f32 * d);
}

#[inline(always)]
fn q5_1(block: &[u8; 24], to: &mut [f32; 32]) {
    let (d, m) = (half(block[0], block[1]), half(block[2], block[3]));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    fives(high, &block[8..], |at, q| to[at] = q as f32 * d + m);
}

#[inline(always)]
fn q8_0(block: &[u8; 34], to: &mut [f32; 32]) {
    let d = half(block[0], block[1]);
    for (to, q) in to.iter_mut().zip(&block[2..]) {
        *to = f32::from(*q as i8) * d;
    }
}

/// Scale and minimum of each 32 numbers of a block of 256, of six bits each.
#[inline(always)]
fn scales(q: &[u8]) -> [(u8, u8); 8] {
    std::array::from_fn(|at| match at {
        0..4 => (q[at] & 63, q[at + 4] & 63),
        _ => ((q[at + 4] & 15) | ((q[at - 4] >> 6) << 4), (q[at + 4] >> 4) | ((q[at] >> 6) << 4)),
    })
}

#[inline(always)]
fn q4_k(block: &[u8; 144], to: &mut [f32; 256]) {
    fours_or_fives(block, |_, _| 0, &block[16..], to);
}

#[inline(always)]
fn q5_k(block: &[u8; 176], to: &mut [f32; 256]) {
    let high = &block[16..48];
    fours_or_fives(block, |at, part| ((high[at] >> part) & 1) << 4, &block[48..], to);
}

/// `high` gives the fifth bit of a number of a part of 32.
#[inline(always)]
fn fours_or_fives(
    block: &[u8],
    high: impl Fn(usize, usize) -> u8,
    halves: &[u8],
    to: &mut [f32; 256],
) {
    let (d, min) = (half(block[0], block[1]), half(block[2], block[3]));
    let scales = scales(&block[4..16]);
    for (part, to) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scales[part];
        let (d, m) = (d * f32::from(scale), min * f32::from(least));
        let halves = &halves[part / 2 * 32..][..32];
        let shift = part % 2 * 4;
        for at in 0..32 {
            to[at] = d * f32::from(((halves[at] >> shift) & 15) | high(at, part)) - m;
        }
    }
}

#[inline(always)]
fn q6_k(block: &[u8; 210], to: &mut [f32; 256]) {
    let d = half(block[208], block[209]);
    for (at, to) in to.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        // 128 numbers, four times 32 of them, 16
        let (whole, part, half) = (at / 8, at % 8 / 2, at % 2);
        let low = &block[64 * whole + 32 * (part % 2) + 16 * half..][..16];
        let high = &block[128 + 32 * whole + 16 * half..][..16];
        let scale = d * f32::from(block[192 + at] as i8);
        let (low_shift, high_shift) = (part / 2 * 4, part * 2);
        for at in 0..16 {
            let q = ((low[at] >> low_shift) & 15) | (((high[at] >> high_shift) & 3) << 4);
            to[at] = scale * f32::from(q as i8 - 32);
        }
    }
}
