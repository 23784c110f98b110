//! Products with a frozen weight in bf16, by the processor's own instruction for it.
//!
//! `vdpbf16ps` multiplies pairs of bf16 numbers exactly and sums in f32. A checkpoint in bf16 loses nothing by that, only activations are
//! rounded: to one bf16 number, or to the sum of two, which keeps 16 bits.
//!
//! The weight `W (out × inner)` lies in panels of [`WIDE`] rows of `W`, pairs along `inner` side by side, in the order in which the forward
//! product `x Wᵀ` reads it. The product `dy W` of the backward pass turns a part of a panel at a time. A weight in the blocks of a GGUF file stays in
//! them, and each product packs a panel of it at a time.
//!
//! A value of a product depends on its row and its column alone: not on the other rows, and not on the number of threads.

use super::host::vectorised;
use crate::gguf::Blocks;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Columns of a product's tile: four vectors of sixteen f32.
const WIDE: usize = 64;
/// Rows of a product's tile.
const HIGH: usize = 6;
/// Pairs that are summed before a tile is written: a panel's part of that length stays in the second-level cache. A multiple of `WIDE / 2`.
const DEEP: usize = 448;
/// Rows and terms of activations that a task goes through with one part of a panel.
const ROWS: usize = 40 * HIGH;

/// Terms of an activation.
const TERMS: std::ops::RangeInclusive<usize> = 1..=2;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    /// AVX-512 with its bf16 part.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// Plain loops: right, and slow.
    Plain,
}

/// The variable that hides the processor's instruction, for tests of what happens without it.
#[cfg(target_arch = "x86_64")]
const OFF: &str = "UNFORGET_NO_BF16";

/// The one place where the instruction set is chosen.
fn engine() -> Engine {
    static CHOSEN: OnceLock<Engine> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if std::env::var_os(OFF).is_none()
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
        {
            return Engine::Avx512;
        }
        Engine::Plain
    })
}

/// The instructions by which this processor multiplies bf16, if it has those that are used here: AVX-512 with its bf16 part.
pub fn bf16_instructions() -> Option<&'static str> {
    match engine() {
        #[cfg(target_arch = "x86_64")]
        Engine::Avx512 => Some("avx512_bf16"),
        Engine::Plain => None,
    }
}

/// A frozen weight in bf16. Clones share it.
#[derive(Debug, Clone)]
pub struct Panels {
    packed: Arc<Packed>,
    terms: usize,
    engine: Engine,
}

struct Packed {
    out: usize,
    inner: usize,
    values: Values,
}

enum Values {
    /// `[out / WIDE][inner / 2][WIDE]`, the first of a pair in the low half; what is beyond `out` or `inner` is 0.
    Panels(Vec<u32>),
    /// Each number is rounded to bf16 when its panel is packed.
    Blocks(Blocks),
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.values {
            Values::Panels(_) => write!(f, "bf16 {} × {}", self.out, self.inner),
            Values::Blocks(blocks) => write!(f, "bf16 of {blocks:?}"),
        }
    }
}

/// The nearest bf16, ties to even; NaN stays NaN.
#[inline(always)]
fn rounded(x: f32) -> u16 {
    let bits = x.to_bits();
    let near = (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
    if x.is_nan() { (bits >> 16) as u16 | 0x40 } else { near }
}

/// The value of a bf16.
#[inline(always)]
fn widened(x: u16) -> f32 {
    f32::from_bits(u32::from(x) << 16)
}

#[inline(always)]
fn pair(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

impl Panels {
    /// Packs `weight (out, in)`, rounding what is not bf16 to it; activations become the sum of `terms` bf16 numbers, 1 or 2.
    pub fn new(weight: &Tensor, terms: usize) -> Result<Self> {
        let (out, inner) = weight.dims2()?;
        if !TERMS.contains(&terms) || !weight.device().is_cpu() || inner == 0 || out == 0 {
            bail!("no panels of {terms} terms from {weight:?}")
        }
        let weight = match weight.dtype() {
            DType::BF16 | DType::F32 => weight.contiguous()?,
            _ => weight.to_dtype(DType::F32)?.contiguous()?,
        };
        let (storage, layout) = weight.storage_and_layout();
        let from = layout.start_offset();
        let values = match &*storage {
            Storage::Cpu(CpuStorage::BF16(values)) => {
                packed(&values[from..], (out, inner), |value| value.to_bits())
            }
            Storage::Cpu(CpuStorage::F32(values)) => {
                packed(&values[from..], (out, inner), |value| rounded(*value))
            }
            _ => bail!("panels are made of numbers on the CPU"),
        };
        let values = Values::Panels(values);
        Ok(Self { packed: Arc::new(Packed { out, inner, values }), terms, engine: engine() })
    }

    /// As [`Panels::new`], of a weight that stays in its blocks.
    pub fn of_blocks(blocks: Blocks, terms: usize) -> Result<Self> {
        let (out, inner) = blocks.dims2();
        if !TERMS.contains(&terms) || inner == 0 || out == 0 {
            bail!("no panels of {terms} terms from {blocks:?}")
        }
        let values = Values::Blocks(blocks);
        Ok(Self { packed: Arc::new(Packed { out, inner, values }), terms, engine: engine() })
    }

    /// Rows and columns of the weight.
    pub fn dims2(&self) -> (usize, usize) {
        (self.packed.out, self.packed.inner)
    }

    fn pairs(&self) -> usize {
        self.packed.inner.div_ceil(2)
    }

    /// The weight in f32, `(out, in)`: the same numbers, those of blocks before they are rounded.
    pub fn dense(&self) -> Result<Tensor> {
        let ids: Vec<u32> = (0..self.packed.out as u32).collect();
        self.rows(&ids)
    }

    /// Some rows of the weight in f32, `(ids, in)`.
    pub fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let Packed { out, inner, ref values } = *self.packed;
        let values = match values {
            Values::Panels(values) => values,
            Values::Blocks(blocks) => return blocks.select(ids),
        };
        if let Some(id) = ids.iter().find(|id| **id as usize >= out) {
            bail!("row {id} of a weight of {out}")
        }
        let pairs = self.pairs();
        let mut rows = vec![0f32; ids.len() * inner];
        rows.par_chunks_mut(inner).zip(ids).for_each(|(row, &id)| {
            let id = id as usize;
            let of_row = values[id / WIDE * pairs * WIDE..][..pairs * WIDE].iter();
            let of_row = of_row.skip(id % WIDE).step_by(WIDE);
            for (to, &pair) in row.chunks_mut(2).zip(of_row) {
                to[0] = widened(pair as u16);
                if let [_, second] = to {
                    *second = widened((pair >> 16) as u16);
                }
            }
        });
        Tensor::from_vec(rows, (ids.len(), inner), &Device::Cpu)
    }

    /// `y (rows × out) = x Wᵀ`, on the current rayon pool.
    pub(super) fn forward(&self, x: &[f32], y: &mut [f32]) {
        let (&Packed { out, inner, ref values }, pairs) = (&*self.packed, self.pairs());
        let rows = x.len() / inner;
        assert!(x.len() == rows * inner && y.len() == rows * out, "a product outside its slices");
        let x = Rounded::new(x, inner, self.terms);
        let to = Destination { start: y.as_mut_ptr(), values: y.len(), row: out };
        let panels = out.div_ceil(WIDE);
        let part = |panel: usize, from: usize| Part {
            from,
            pairs: DEEP.min(pairs - from),
            column: panel * WIDE,
            columns: WIDE.min(out - panel * WIDE),
        };
        match values {
            Values::Panels(values) => {
                let high = (ROWS / self.terms).max(HIGH);
                split((rows, high), panels, rows * out * inner, |rows, panels| {
                    for from in (0..pairs).step_by(DEEP) {
                        for panel in panels.clone() {
                            let b = &values[(panel * pairs + from) * WIDE..];
                            self.part(&x, rows.clone(), b, &part(panel, from), &to);
                        }
                    }
                });
            }
            // a panel is packed once for all rows
            Values::Blocks(blocks) => {
                split((rows, rows.max(1)), panels, rows * out * inner, |rows, panels| {
                    let mut packed = vec![0u32; pairs * WIDE];
                    let mut scratch = Scratch::new(inner, 16);
                    for panel in panels {
                        self.pack(blocks, panel * WIDE, &mut scratch, &mut packed);
                        for from in (0..pairs).step_by(DEEP) {
                            let b = &packed[from * WIDE..];
                            self.part(&x, rows.clone(), b, &part(panel, from), &to);
                        }
                    }
                });
            }
        }
    }

    /// `dx (rows × inner) = dy W`, on the current rayon pool.
    pub(super) fn backward(&self, dy: &[f32], dx: &mut [f32]) {
        let Packed { out, inner, ref values } = *self.packed;
        let rows = dy.len() / out;
        assert!(dy.len() == rows * out && dx.len() == rows * inner, "a product outside its slices");
        let dy = Rounded::new(dy, out, self.terms);
        let to = Destination { start: dx.as_mut_ptr(), values: dx.len(), row: inner };
        // columns that are turned together
        let wide = match values {
            Values::Panels(_) => WIDE,
            Values::Blocks(blocks) => blocks.block().max(WIDE),
        };
        // a panel is turned once for all rows
        let high = rows.max(1);
        split((rows, high), inner.div_ceil(wide), rows * out * inner, |rows, strips| {
            let mut turned = vec![0u32; DEEP * wide];
            let mut scratch = Scratch::new(wide, 2);
            for first in strips.map(|at| at * wide) {
                for from in (0..dy.pairs).step_by(DEEP) {
                    match values {
                        Values::Panels(values) => self.turn(values, from, first, &mut turned),
                        Values::Blocks(blocks) => {
                            let columns = first..inner.min(first + wide);
                            pair_rows(blocks, from, columns, &mut scratch, &mut turned);
                        }
                    }
                    let columns = (first..inner.min(first + wide)).step_by(WIDE);
                    for (column, turned) in columns.zip(turned.chunks_exact(DEEP * WIDE)) {
                        let part = Part {
                            from,
                            pairs: DEEP.min(dy.pairs - from),
                            column,
                            columns: WIDE.min(inner - column),
                        };
                        self.part(&dy, rows.clone(), turned, &part, &to);
                    }
                }
            }
        });
    }

    /// Packs [`WIDE`] rows of a weight in blocks, `first` on, into a panel; rows beyond the last are 0.
    fn pack(&self, blocks: &Blocks, first: usize, scratch: &mut Scratch, packed: &mut [u32]) {
        let ((out, inner), pairs) = (blocks.dims2(), self.pairs());
        for part in 0..WIDE / 16 {
            for (at, to) in scratch.pairs.chunks_exact_mut(pairs).enumerate() {
                let row = first + part * 16 + at;
                if row < out {
                    blocks.unpack(row, 0..inner, &mut scratch.numbers[..inner]);
                    vectorised(|| round_row(&scratch.numbers[..inner], to, 1));
                } else {
                    to.fill(0);
                }
            }
            match self.engine {
                // SAFETY: this engine is chosen only where its instructions were found.
                #[cfg(target_arch = "x86_64")]
                Engine::Avx512 => unsafe {
                    avx512::interleave(&scratch.pairs, pairs, part * 16, packed)
                },
                Engine::Plain => interleave(&scratch.pairs, pairs, part * 16, packed),
            }
        }
    }

    /// Adds the products of some pairs to a column of tiles; the first pairs overwrite.
    fn part(
        &self,
        a: &Rounded,
        rows: std::ops::Range<usize>,
        b: &[u32],
        part: &Part,
        to: &Destination,
    ) {
        let a_row = a.pairs * a.terms;
        for first in rows.clone().step_by(HIGH) {
            let tile = Tile {
                high: HIGH.min(rows.end - first),
                terms: a.terms,
                pairs: part.pairs,
                a: &a.values[first * a_row + part.from * a.terms..],
                a_row,
                b,
                columns: part.columns,
                add: part.from > 0,
            };
            let at = first * to.row + part.column;
            assert!(at + (tile.high - 1) * to.row + tile.columns <= to.values);
            // SAFETY: the tile lies inside the destination, and each tile belongs to one task of `split`.
            unsafe { tile.run(self.engine, to.start.add(at), to.row) }
        }
    }

    /// Turns 64 columns of `W`, `column` on, into a panel of pairs along `out`, from pair `from` on: `[DEEP][WIDE]`.
    fn turn(&self, values: &[u32], from: usize, column: usize, turned: &mut [u32]) {
        let (out, pairs) = (self.packed.out, self.pairs());
        let panels = from / (WIDE / 2)..out.div_ceil(WIDE).min((from + DEEP) / (WIDE / 2));
        let many = (WIDE / 2).min(pairs - column / 2);
        for (panel, to) in panels.zip(turned.chunks_exact_mut(WIDE / 2 * WIDE)) {
            let source = &values[(panel * pairs + column / 2) * WIDE..][..many * WIDE];
            match self.engine {
                // SAFETY: this engine is chosen only where its instructions were found.
                #[cfg(target_arch = "x86_64")]
                Engine::Avx512 => unsafe { avx512::turn(source, to) },
                Engine::Plain => turn(source, to),
            }
        }
    }
}

/// Room for rows of a weight in blocks while they are packed.
struct Scratch {
    /// One or two rows in f32.
    numbers: Vec<f32>,
    /// Rows of pairs.
    pairs: Vec<u32>,
}

impl Scratch {
    fn new(columns: usize, rows: usize) -> Self {
        Self { numbers: vec![0f32; 2 * columns], pairs: vec![0u32; rows * columns.div_ceil(2)] }
    }
}

/// `to[pair][column + row]` = `rows[row][pair]` of 16 rows.
fn interleave(rows: &[u32], pairs: usize, column: usize, to: &mut [u32]) {
    for (row, values) in rows.chunks_exact(pairs).enumerate() {
        for (value, to) in values.iter().zip(to.chunks_exact_mut(WIDE)) {
            to[column + row] = *value;
        }
    }
}

/// Packs some columns of a weight in blocks into panels of pairs along its rows, from pair `from` on: `[columns / WIDE][DEEP][WIDE]`.
fn pair_rows(
    blocks: &Blocks,
    from: usize,
    columns: std::ops::Range<usize>,
    scratch: &mut Scratch,
    to: &mut [u32],
) {
    let (out, many) = (blocks.dims2().0, columns.len());
    let (first, second) = scratch.numbers[..2 * many].split_at_mut(many);
    for at in 0..DEEP.min(out.div_ceil(2) - from) {
        let row = 2 * (from + at);
        blocks.unpack(row, columns.clone(), first);
        match row + 1 < out {
            true => blocks.unpack(row + 1, columns.clone(), second),
            false => second.fill(0.0),
        }
        vectorised(|| {
            let parts = first.chunks(WIDE).zip(second.chunks(WIDE));
            for ((a, b), to) in parts.zip(to.chunks_exact_mut(DEEP * WIDE)) {
                for ((to, a), b) in to[at * WIDE..][..WIDE].iter_mut().zip(a).zip(b) {
                    *to = pair(rounded(*a), rounded(*b));
                }
            }
        });
    }
}

/// `[out / WIDE][inner / 2][WIDE]` of numbers in rows of `inner`.
fn packed<T: Sync>(
    weight: &[T],
    (out, inner): (usize, usize),
    bits: impl Fn(&T) -> u16 + Sync,
) -> Vec<u32> {
    let pairs = inner.div_ceil(2);
    let mut values = vec![0u32; out.div_ceil(WIDE) * pairs * WIDE];
    values.par_chunks_exact_mut(pairs * WIDE).enumerate().for_each(|(at, panel)| {
        let rows = weight[at * WIDE * inner..out.min((at + 1) * WIDE) * inner].chunks_exact(inner);
        for (row, of) in rows.enumerate() {
            for (at, of) in of.chunks(2).enumerate() {
                panel[at * WIDE + row] = pair(bits(&of[0]), of.get(1).map_or(0, &bits));
            }
        }
    });
    values
}

/// Runs `work` on blocks of rows, at most `high` each, and ranges of columns of tiles, which together are all of them once.
fn split(
    (rows, high): (usize, usize),
    columns: usize,
    size: usize,
    work: impl Fn(std::ops::Range<usize>, std::ops::Range<usize>) + Sync,
) {
    if rows == 0 {
        return;
    }
    // below this a second thread costs more than it saves
    const SMALL: usize = 1 << 18;
    let threads = if size < SMALL { 1 } else { rayon::current_num_threads() };
    let blocks = rows.div_ceil(high);
    let wanted = if threads == 1 { 1 } else { (4 * threads).div_ceil(blocks) };
    let wide = columns.div_ceil(wanted.clamp(1, columns));
    let strips = columns.div_ceil(wide);
    let task = |at: usize| {
        let (block, strip) = (at / strips, at % strips);
        work(
            block * high..rows.min((block + 1) * high),
            strip * wide..columns.min((strip + 1) * wide),
        );
    };
    if threads == 1 {
        (0..blocks * strips).for_each(task);
    } else {
        (0..blocks * strips).into_par_iter().for_each(task);
    }
}

/// Where a product goes: tasks write tiles that do not overlap.
struct Destination {
    start: *mut f32,
    values: usize,
    row: usize,
}

// SAFETY: the pointer is used only through `Panels::part`, whose tiles lie inside the values, one task each.
unsafe impl Sync for Destination {}

/// Pairs along a product's inner dimension, and columns of its result.
struct Part {
    from: usize,
    pairs: usize,
    column: usize,
    columns: usize,
}

/// Activations as one or two bf16 terms, pairs along a row.
struct Rounded {
    pairs: usize,
    terms: usize,
    /// `[rows][pairs][terms]`.
    values: Vec<u32>,
}

impl Rounded {
    fn new(x: &[f32], inner: usize, terms: usize) -> Self {
        let pairs = inner.div_ceil(2);
        let mut values = vec![0u32; x.len() / inner * pairs * terms];
        let rows = 1 + (1 << 16) / inner;
        values.par_chunks_mut(rows * pairs * terms).zip(x.par_chunks(rows * inner)).for_each(
            |(to, x)| {
                vectorised(|| {
                    for (to, row) in to.chunks_exact_mut(pairs * terms).zip(x.chunks_exact(inner)) {
                        round_row(row, to, terms);
                    }
                });
            },
        );
        Self { pairs, terms, values }
    }
}

#[inline(always)]
fn round_row(row: &[f32], to: &mut [u32], terms: usize) {
    let (whole, rest) = row.as_chunks::<2>();
    let last = rest.first().map(|a| [*a, 0.0]);
    let (to, to_last) = to.split_at_mut(whole.len() * terms);
    if terms == 1 {
        let one = |[a, b]: &[f32; 2]| pair(rounded(*a), rounded(*b));
        for (x, to) in whole.iter().zip(to) {
            *to = one(x);
        }
        if let Some(x) = &last {
            to_last[0] = one(x);
        }
    } else {
        let two = |[a, b]: &[f32; 2]| {
            let (high_a, high_b) = (rounded(*a), rounded(*b));
            let (low_a, low_b) = (rounded(a - widened(high_a)), rounded(b - widened(high_b)));
            [pair(high_a, high_b), pair(low_a, low_b)]
        };
        for (x, to) in whole.iter().zip(to.as_chunks_mut::<2>().0) {
            *to = two(x);
        }
        if let Some(x) = &last {
            to_last[..2].copy_from_slice(&two(x));
        }
    }
}

/// A product of at most [`HIGH`] rows of activations and a part of a panel.
struct Tile<'a> {
    high: usize,
    terms: usize,
    pairs: usize,
    a: &'a [u32],
    a_row: usize,
    b: &'a [u32],
    columns: usize,
    add: bool,
}

impl Tile<'_> {
    /// Writes the tile to `c`, or adds it.
    ///
    /// # Safety
    /// `high` rows of `columns` values, `c_row` apart from `c` on, may be read and written by this call alone.
    unsafe fn run(&self, engine: Engine, c: *mut f32, c_row: usize) {
        assert!(
            self.a.len() >= (self.high - 1) * self.a_row + self.pairs * self.terms
                && self.b.len() >= self.pairs * WIDE
                && (1..=HIGH).contains(&self.high)
                && self.columns <= WIDE,
            "a tile outside its slices"
        );
        match engine {
            // SAFETY: this engine is chosen only where its instructions were found; the slices were measured just now, and the
            // caller vouches for `c`.
            #[cfg(target_arch = "x86_64")]
            Engine::Avx512 => unsafe { avx512::tiles(self, c, c_row) },
            Engine::Plain => {
                for row in 0..self.high {
                    // SAFETY: the caller vouches for it.
                    let c =
                        unsafe { std::slice::from_raw_parts_mut(c.add(row * c_row), self.columns) };
                    self.plain_row(row, c);
                }
            }
        }
    }

    fn plain_row(&self, row: usize, c: &mut [f32]) {
        let mut sums = [0f32; WIDE];
        let a = &self.a[row * self.a_row..][..self.pairs * self.terms];
        for (a, b) in a.chunks_exact(self.terms).zip(self.b.chunks_exact(WIDE)) {
            for &a in a {
                let (low, high) = (widened(a as u16), widened((a >> 16) as u16));
                for (sum, &b) in sums.iter_mut().zip(b) {
                    *sum += high * widened((b >> 16) as u16);
                    *sum += low * widened(b as u16);
                }
            }
        }
        for (c, sum) in c.iter_mut().zip(sums) {
            *c = if self.add { sum + *c } else { sum };
        }
    }
}

/// `to[n / 2][column]` = rows `n` and `n + 1` of a column, from pairs along the columns, `from[column / 2][n]`.
fn turn(from: &[u32], to: &mut [u32]) {
    to.fill(0);
    for (pair_at, from) in from.chunks_exact(WIDE).enumerate() {
        for (at, &[a, b]) in from.as_chunks::<2>().0.iter().enumerate() {
            let to = &mut to[at * WIDE + 2 * pair_at..][..2];
            to[0] = pair(a as u16, b as u16);
            to[1] = pair((a >> 16) as u16, (b >> 16) as u16);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{Tile, WIDE};
    use std::arch::x86_64::*;

    /// # Safety
    /// As [`Tile::run`]; the slices are long enough, and the processor has the three features.
    #[target_feature(enable = "avx512f,avx512bf16,avx512bw")]
    pub unsafe fn tiles(of: &Tile<'_>, c: *mut f32, c_row: usize) {
        macro_rules! by_rows {
            ($terms:literal, $($rows:literal)*) => {
                match of.high {
                    // SAFETY: the caller's promise.
                    $($rows => unsafe { tile::<$rows, $terms>(of, c, c_row) },)*
                    _ => unreachable!("a tile has 1 to 6 rows"),
                }
            };
        }
        match of.terms {
            1 => by_rows!(1, 1 2 3 4 5 6),
            _ => by_rows!(2, 1 2 3 4 5 6),
        }
    }

    /// # Safety
    /// As [`tiles`], for a tile of `ROWS` rows and `TERMS` terms.
    #[target_feature(enable = "avx512f,avx512bf16,avx512bw")]
    unsafe fn tile<const ROWS: usize, const TERMS: usize>(
        of: &Tile<'_>,
        c: *mut f32,
        c_row: usize,
    ) {
        let mut sums = [[_mm512_setzero_ps(); 4]; ROWS];
        // SAFETY: `a` holds ROWS rows of pairs and terms, `b` as many pairs of 64; the caller has measured them. Values of `c` beyond the
        // columns are masked out.
        unsafe {
            let (mut a, mut b) = (of.a.as_ptr(), of.b.as_ptr());
            for _ in 0..of.pairs {
                let vectors = [0, 16, 32, 48].map(|at| {
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(b.add(at).cast()))
                });
                for term in 0..TERMS {
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let x = _mm512_set1_epi32(*a.add(row * of.a_row + term) as i32);
                        let x = std::mem::transmute::<__m512i, __m512bh>(x);
                        for (sum, vector) in sums.iter_mut().zip(vectors) {
                            *sum = _mm512_dpbf16_ps(*sum, x, vector);
                        }
                    }
                }
                a = a.add(TERMS);
                b = b.add(WIDE);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (lane, sum) in sums.iter().enumerate() {
                    let left = of.columns.saturating_sub(lane * 16).min(16);
                    if left == 0 {
                        break;
                    }
                    let mask = ((1u32 << left) - 1) as __mmask16;
                    let place = c.add(row * c_row + lane * 16);
                    let sum = match of.add {
                        true => _mm512_add_ps(*sum, _mm512_maskz_loadu_ps(mask, place)),
                        false => *sum,
                    };
                    _mm512_mask_storeu_ps(place, mask, sum);
                }
            }
        }
    }

    /// As [`super::interleave`].
    ///
    /// # Safety
    /// The processor has the feature.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn interleave(rows: &[u32], pairs: usize, column: usize, to: &mut [u32]) {
        assert!(rows.len() >= 16 * pairs && to.len() >= pairs * WIDE && column + 16 <= WIDE);
        let whole = pairs / 16 * 16;
        for first in (0..whole).step_by(16) {
            // SAFETY: 16 values of a row, which has `whole` at least.
            let r: [__m512i; 16] = std::array::from_fn(|row| unsafe {
                _mm512_loadu_si512(rows.as_ptr().add(row * pairs + first).cast())
            });
            // 16 × 16: first in pairs of rows, then of pairs, then the quarters
            let mut t = [_mm512_setzero_si512(); 16];
            for i in 0..8 {
                t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
            }
            let mut u = [_mm512_setzero_si512(); 16];
            for i in 0..4 {
                for half in 0..2 {
                    let (a, b) = (t[4 * i + half], t[4 * i + 2 + half]);
                    u[4 * i + 2 * half] = _mm512_unpacklo_epi64(a, b);
                    u[4 * i + 2 * half + 1] = _mm512_unpackhi_epi64(a, b);
                }
            }
            // u[4 i + c] has of rows 4 i to 4 i + 3 the columns c, 4 + c, 8 + c, 12 + c, a quarter each
            for c in 0..4 {
                let ab_low = _mm512_shuffle_i32x4::<0b10_00_10_00>(u[c], u[4 + c]);
                let ab_high = _mm512_shuffle_i32x4::<0b11_01_11_01>(u[c], u[4 + c]);
                let cd_low = _mm512_shuffle_i32x4::<0b10_00_10_00>(u[8 + c], u[12 + c]);
                let cd_high = _mm512_shuffle_i32x4::<0b11_01_11_01>(u[8 + c], u[12 + c]);
                let columns = [
                    (c, _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_low, cd_low)),
                    (8 + c, _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_low, cd_low)),
                    (4 + c, _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_high, cd_high)),
                    (12 + c, _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_high, cd_high)),
                ];
                for (n, vector) in columns {
                    let at = (first + n) * WIDE + column;
                    // SAFETY: 16 values of 64, of a pair below `pairs`.
                    unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), vector) }
                }
            }
        }
        for pair in whole..pairs {
            for row in 0..16 {
                to[pair * WIDE + column + row] = rows[row * pairs + pair];
            }
        }
    }

    /// As [`super::turn`].
    ///
    /// # Safety
    /// The processor has the two features.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub unsafe fn turn(from: &[u32], to: &mut [u32]) {
        let pairs = from.len() / WIDE;
        assert!(pairs <= WIDE / 2 && to.len() == WIDE / 2 * WIDE);
        // within 64 bits the inner two of four bf16 change places
        let swap = _mm512_broadcast_i32x4(_mm_setr_epi8(
            0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
        ));
        for rows in 0..4 {
            for columns in 0..4 {
                let mut r = [_mm512_setzero_si512(); 8];
                for (at, r) in r.iter_mut().enumerate() {
                    let pair = columns * 8 + at;
                    if pair < pairs {
                        // SAFETY: 16 values of a pair's 64.
                        let loaded = unsafe {
                            _mm512_loadu_si512(from.as_ptr().add(pair * WIDE + rows * 16).cast())
                        };
                        *r = _mm512_shuffle_epi8(loaded, swap);
                    }
                }
                // 8 × 8 of 64 bits: first within quarters, then the quarters
                let mut t = [_mm512_setzero_si512(); 8];
                for i in 0..4 {
                    t[2 * i] = _mm512_unpacklo_epi64(r[2 * i], r[2 * i + 1]);
                    t[2 * i + 1] = _mm512_unpackhi_epi64(r[2 * i], r[2 * i + 1]);
                }
                for odd in 0..2 {
                    let (a, b, c, d) = (t[odd], t[2 + odd], t[4 + odd], t[6 + odd]);
                    let ab_even = _mm512_shuffle_i64x2::<0b10_00_10_00>(a, b);
                    let ab_odd = _mm512_shuffle_i64x2::<0b11_01_11_01>(a, b);
                    let cd_even = _mm512_shuffle_i64x2::<0b10_00_10_00>(c, d);
                    let cd_odd = _mm512_shuffle_i64x2::<0b11_01_11_01>(c, d);
                    let columns_of = [
                        (odd, _mm512_shuffle_i64x2::<0b10_00_10_00>(ab_even, cd_even)),
                        (4 + odd, _mm512_shuffle_i64x2::<0b11_01_11_01>(ab_even, cd_even)),
                        (2 + odd, _mm512_shuffle_i64x2::<0b10_00_10_00>(ab_odd, cd_odd)),
                        (6 + odd, _mm512_shuffle_i64x2::<0b11_01_11_01>(ab_odd, cd_odd)),
                    ];
                    for (n, vector) in columns_of {
                        let at = (rows * 8 + n) * WIDE + columns * 16;
                        // SAFETY: 16 values of 64, in a row below 32.
                        unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), vector) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn random(count: usize, name: &str) -> Vec<f32> {
        let mut rng = Rng::new(1, name);
        (0..count).map(|_| rng.normal() as f32).collect()
    }

    /// Panels of each engine that this machine has.
    fn panels(weight: &[f32], shape: (usize, usize), terms: usize) -> Vec<Panels> {
        let weight = Tensor::from_slice(weight, shape, &Device::Cpu).unwrap();
        let chosen = Panels::new(&weight, terms).unwrap();
        let plain = Panels { engine: Engine::Plain, ..chosen.clone() };
        vec![chosen, plain]
    }

    /// Rows, inner, out.
    const SHAPES: [(usize, usize, usize); 8] = [
        (1, 1, 1),
        (7, 13, 70),
        (13, 130, 65),
        (6, 64, 64),
        (65, 897, 200),
        (12, 1000, 129),
        (3, 2000, 63),
        (250, 31, 1000),
    ];

    /// What a value of the product may differ by from f64: `2⁻⁸` or `2⁻¹⁶` of the sum of the absolute products, and f32's own sum.
    fn bound(terms: usize, sizes: f64) -> f64 {
        (if terms == 1 { 2f64.powi(-8) } else { 2f64.powi(-16) } + 2e-6) * sizes + 1e-12
    }

    #[test]
    fn products_of_any_shape_are_those_of_f64() {
        for (rows, inner, out) in SHAPES {
            let exact = |x: f32| widened(rounded(x));
            let weight: Vec<f32> = random(out * inner, "w").into_iter().map(exact).collect();
            let (x, dy) = (random(rows * inner, "x"), random(rows * out, "dy"));
            for terms in [1, 2] {
                for panels in panels(&weight, (out, inner), terms) {
                    let what = format!("{rows} {inner} {out} {terms} {:?}", panels.engine);
                    let mut y = vec![f32::NAN; rows * out];
                    panels.forward(&x, &mut y);
                    let mut dx = vec![f32::NAN; rows * inner];
                    panels.backward(&dy, &mut dx);
                    let check = |got: f32, products: &mut dyn Iterator<Item = (f32, f32)>| {
                        let (mut sum, mut sizes) = (0f64, 0f64);
                        for (a, b) in products {
                            let product = f64::from(a) * f64::from(b);
                            sum += product;
                            sizes += product.abs();
                        }
                        let off = (f64::from(got) - sum).abs();
                        assert!(off <= bound(terms, sizes), "{what}: {got}, not {sum}");
                    };
                    for (at, got) in y.iter().enumerate() {
                        let (row, column) = (at / out, at % out);
                        let w = &weight[column * inner..][..inner];
                        let x = &x[row * inner..][..inner];
                        check(*got, &mut x.iter().copied().zip(w.iter().copied()));
                    }
                    for (at, got) in dx.iter().enumerate() {
                        let (row, column) = (at / inner, at % inner);
                        let w = weight.iter().skip(column).step_by(inner).copied();
                        check(*got, &mut dy[row * out..][..out].iter().copied().zip(w));
                    }
                }
            }
        }
    }

    #[test]
    fn panels_hold_the_numbers_of_a_bf16_weight() {
        for (_, inner, out) in SHAPES {
            let weight = Tensor::from_vec(random(out * inner, "w"), (out, inner), &Device::Cpu);
            let weight = weight.unwrap().to_dtype(DType::BF16).unwrap();
            let wide = weight.to_dtype(DType::F32).unwrap();
            let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let panels = Panels::new(&weight, 1).unwrap();
            assert_eq!(flat(panels.dense().unwrap()), flat(wide.clone()));
            assert_eq!(flat(Panels::new(&wide, 1).unwrap().dense().unwrap()), flat(wide.clone()));
            let last = panels.rows(&[out as u32 - 1, 0]).unwrap();
            let want =
                wide.index_select(&Tensor::new(&[out as u32 - 1, 0], &Device::Cpu).unwrap(), 0);
            assert_eq!(flat(last), flat(want.unwrap()));
            assert!(panels.rows(&[out as u32]).is_err());
        }
    }

    #[test]
    fn neither_threads_nor_other_rows_change_a_bit() {
        let (rows, inner, out) = (130, 1000, 333);
        let weight = random(out * inner, "w");
        let (x, dy) = (random(rows * inner, "x"), random(rows * out, "dy"));
        for terms in [1, 2] {
            let panels = &panels(&weight, (out, inner), terms)[0];
            let both = |rows: usize| {
                let (mut y, mut dx) = (vec![0f32; rows * out], vec![0f32; rows * inner]);
                panels.forward(&x[..rows * inner], &mut y);
                panels.backward(&dy[..rows * out], &mut dx);
                (y, dx)
            };
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| both(rows))
            };
            let one = on(1);
            assert!([2, 3, 5].into_iter().all(|threads| on(threads) == one));
            for fewer in [1, 2, 5, 6, 7, 96] {
                let (y, dx) = both(fewer);
                assert!(y == one.0[..fewer * out] && dx == one.1[..fewer * inner], "{fewer}");
            }
        }
    }

    #[test]
    fn no_rows_give_no_product_and_bad_weights_are_refused() {
        let panels = &panels(&[1.0, 2.0], (1, 2), 1)[0];
        panels.forward(&[], &mut []);
        panels.backward(&[], &mut []);
        let weight = Tensor::zeros((2, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(Panels::new(&weight, 3).is_err() && Panels::new(&weight, 0).is_err());
        assert!(Panels::new(&Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap(), 1).is_err());
    }

    #[test]
    fn rounding_is_to_the_nearest_and_ties_to_even() {
        let near = |x: f32| widened(rounded(x));
        let values = random(10_000, "x");
        let tensor = Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap();
        let candle = tensor.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
        for (x, want) in values.iter().zip(candle.to_vec1::<f32>().unwrap()) {
            assert_eq!(near(*x), want, "{x}");
        }
        assert_eq!(near(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(near(1.0 + 3.0 / 256.0), 1.0 + 4.0 / 256.0);
        assert!(near(f32::NAN).is_nan() && near(f32::INFINITY) == f32::INFINITY);
    }
}
