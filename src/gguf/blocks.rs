//! Matrices that stay in the blocks of their file.

use super::kind::Kind;
use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;

/// A matrix in the blocks in which its file has it. Clones share it.
#[derive(Clone)]
pub struct Blocks {
    kind: Kind,
    rows: usize,
    columns: usize,
    bytes: Arc<Vec<u8>>,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} × {}", self.kind.name, self.rows, self.columns)
    }
}

impl Blocks {
    /// The matrix in `bytes`, which have the length that the shape asks for; row `i` of it is row `order[i]` of theirs where an order is given.
    pub(super) fn new(
        kind: Kind,
        (rows, columns): (usize, usize),
        bytes: Vec<u8>,
        order: Option<&[u32]>,
    ) -> Self {
        let bytes = match order {
            None => bytes,
            Some(order) => {
                let width = kind.bytes_of(columns);
                let of = |row: &u32| &bytes[*row as usize * width..][..width];
                order.iter().flat_map(of).copied().collect()
            }
        };
        Self { kind, rows, columns, bytes: Arc::new(bytes) }
    }

    /// Rows and columns.
    pub fn dims2(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// Columns that are unpacked together: a row's columns are a multiple of it.
    pub fn block(&self) -> usize {
        self.kind.block
    }

    /// What the kind is called, such as `Q4_K`.
    pub fn kind(&self) -> &'static str {
        self.kind.name
    }

    /// Bytes that it takes in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Some columns of a row in f32; they begin and end with a block.
    ///
    /// # Panics
    /// When they are not in the matrix, or `to` has another length.
    pub fn unpack(&self, row: usize, columns: Range<usize>, to: &mut [f32]) {
        assert!(row < self.rows && columns.end <= self.columns && to.len() == columns.len());
        let from = row * self.kind.bytes_of(self.columns) + self.kind.bytes_of(columns.start);
        self.kind.unpack_into(&self.bytes[from..][..self.kind.bytes_of(to.len())], to);
    }

    /// Some rows in f32, `(ids, columns)`.
    pub fn select(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.rows) {
            bail!("row {id} of a weight of {}", self.rows)
        }
        let mut values = vec![0f32; ids.len() * self.columns];
        values
            .par_chunks_mut(self.columns)
            .zip(ids)
            .for_each(|(to, id)| self.unpack(*id as usize, 0..self.columns, to));
        Tensor::from_vec(values, (ids.len(), self.columns), &Device::Cpu)
    }

    /// The whole matrix in f32.
    pub fn dense(&self) -> Result<Tensor> {
        let ids: Vec<u32> = (0..self.rows as u32).collect();
        self.select(&ids)
    }

    /// Whether every number is finite.
    pub(super) fn is_finite(&self) -> bool {
        (0..self.rows).into_par_iter().with_min_len(64).all(|row| {
            let mut values = vec![0f32; self.columns];
            self.unpack(row, 0..self.columns, &mut values);
            // without an early end, so that many are looked at together
            values.iter().fold(true, |all, value| all & value.is_finite())
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rng::Rng;
    use candle_core::quantized::{GgmlDType, QStorage, QTensor};
    use std::borrow::Cow;

    /// Kinds of blocks, by their number and candle's name.
    pub const KINDS: [(u32, GgmlDType); 10] = [
        (1, GgmlDType::F16),
        (30, GgmlDType::BF16),
        (2, GgmlDType::Q4_0),
        (3, GgmlDType::Q4_1),
        (6, GgmlDType::Q5_0),
        (7, GgmlDType::Q5_1),
        (8, GgmlDType::Q8_0),
        (12, GgmlDType::Q4K),
        (13, GgmlDType::Q5K),
        (14, GgmlDType::Q6K),
    ];

    /// Random numbers in blocks of that kind.
    pub fn random((number, dtype): (u32, GgmlDType), (rows, columns): (usize, usize)) -> Blocks {
        let mut rng = Rng::new(1, "blocks");
        let values: Vec<f32> = (0..rows * columns).map(|_| rng.normal() as f32).collect();
        let tensor = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
        let bytes = QTensor::quantize(&tensor, dtype).unwrap().data().unwrap().into_owned();
        Blocks::new(Kind::numbered(number).unwrap(), (rows, columns), bytes, None)
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    #[test]
    fn every_kind_means_what_it_means_to_candle() {
        let shape = (8, 512);
        for (number, dtype) in KINDS {
            let kind = Kind::numbered(number).unwrap();
            let mut rng = Rng::new(number.into(), "bytes");
            let mut bytes: Vec<u8> =
                (0..kind.bytes_of(shape.0 * shape.1)).map(|_| rng.below(256) as u8).collect();
            // all bytes there are, but no factor that is not finite
            if kind.block == 1 {
                bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|[_, high]| *high &= 0xbf);
            } else {
                let factors: &[usize] = match kind.name {
                    "Q6_K" => &[209],
                    "Q4_0" | "Q5_0" | "Q8_0" => &[1],
                    _ => &[1, 3],
                };
                for block in bytes.chunks_exact_mut(kind.bytes) {
                    factors.iter().for_each(|at| block[*at] &= 0xbf);
                }
            }
            let storage = QStorage::from_data(Cow::Borrowed(&bytes), &Device::Cpu, dtype).unwrap();
            let want = QTensor::new(storage, shape).unwrap().dequantize(&Device::Cpu).unwrap();
            let blocks = Blocks::new(kind, shape, bytes, None);
            assert!(blocks.is_finite(), "{blocks:?}");
            assert_eq!(bits(&blocks.dense().unwrap()), bits(&want), "{blocks:?}");
        }
    }

    #[test]
    fn rows_and_columns_are_unpacked_apart() {
        for kind in KINDS {
            let blocks = random(kind, (5, 768));
            let whole = blocks.dense().unwrap().to_vec2::<f32>().unwrap();
            let mut part = vec![0f32; 256];
            blocks.unpack(3, 256..512, &mut part);
            assert_eq!(part, whole[3][256..512], "{blocks:?}");
            let some = blocks.select(&[4, 0]).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(some, [whole[4].clone(), whole[0].clone()], "{blocks:?}");
            assert!(blocks.select(&[5]).is_err());
        }
    }

    #[test]
    fn an_order_moves_whole_rows() {
        let blocks = random((8, GgmlDType::Q8_0), (3, 64));
        let moved = Blocks::new(blocks.kind, (3, 64), blocks.bytes.to_vec(), Some(&[2, 0, 1]));
        let want = blocks.select(&[2, 0, 1]).unwrap();
        assert_eq!(bits(&moved.dense().unwrap()), bits(&want));
    }

    #[test]
    fn halves_of_every_size_are_exact_and_what_is_not_finite_is_found() {
        let kind = Kind::numbered(1).unwrap();
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut values = vec![0f32; 1 << 16];
        kind.unpack_into(&bytes, &mut values);
        let halves =
            Tensor::from_raw_buffer(&bytes, candle_core::DType::F16, &[1 << 16], &Device::Cpu);
        let want = halves.unwrap().to_dtype(candle_core::DType::F32).unwrap();
        for (got, want) in values.iter().zip(want.to_vec1::<f32>().unwrap()) {
            assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()));
        }
        let blocks = Blocks::new(kind, (256, 256), bytes, None);
        assert!(!blocks.is_finite());
    }
}
