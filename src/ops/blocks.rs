//! Products in f32 with a frozen weight that stays in the blocks of its GGUF file.
//!
//! Parts of the weight are unpacked and multiplied as an f32 weight would be. A part has whole rows in the forward product and whole columns in the
//! backward one, and which parts there are depends on the shapes alone, so the number of threads changes no bit. With many rows a value is summed in
//! the order in which it would be with the whole weight.

use super::host::{Matrix, Write, product};
use crate::gguf::Blocks;
use rayon::prelude::*;
use std::cell::Cell;

/// Numbers that are unpacked together for the forward product.
const FORWARD: usize = 1 << 23;
/// The same for the backward product: all columns of most weights, and enough of a head's that reading the gradient again costs little.
const BACKWARD: usize = 1 << 25;
/// The same where there are few rows to multiply: what stays in the second-level cache.
const FEW: usize = 1 << 17;
/// As many rows are few. Reading the weight takes longer then than multiplying.
const FEW_ROWS: usize = 32;

thread_local! {
    /// Memory for what is unpacked, kept so that the system need not clear it each time.
    static UNPACKED: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Runs `work` with room for `count` numbers, whatever they are.
fn with_room<R>(count: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // taken, not borrowed: while products run on the pool this thread may come here again
    let mut memory = UNPACKED.take();
    if memory.len() < count {
        memory = vec![0f32; count];
    }
    let result = work(&mut memory[..count]);
    // a head's part is not worth keeping
    if memory.len() <= FORWARD {
        UNPACKED.set(memory);
    }
    result
}

/// `y (rows × out) = x Wᵀ`, on the current rayon pool.
pub(super) fn forward(weight: &Blocks, x: &[f32], y: &mut [f32]) {
    let (out, inner) = weight.dims2();
    let rows = x.len() / inner;
    assert!(x.len() == rows * inner && y.len() == rows * out, "a product outside its slices");
    if rows == 0 {
        return;
    }
    let x = Matrix::rows(x, inner);
    let unpack = |first: usize, to: &mut [f32]| {
        for (at, to) in to.chunks_exact_mut(inner).enumerate() {
            weight.unpack(first + at, 0..inner, to);
        }
    };
    if rows <= FEW_ROWS {
        let many = (FEW / inner).max(1).next_multiple_of(16).min(out);
        let starts = (0..out).into_par_iter().step_by(many);
        let parts: Vec<(usize, Vec<f32>)> = starts
            .map(|first| {
                let many = many.min(out - first);
                let mut part = vec![0f32; rows * many];
                with_room(many * inner, |w| {
                    unpack(first, w);
                    let (w, shape) = (Matrix::rows(w, inner), (rows, many, inner));
                    product(shape, &mut part, many, x, w.t(), 1.0, Write::Overwrite, false);
                });
                (first, part)
            })
            .collect();
        for (first, part) in parts {
            let many = part.len() / rows;
            for (y, part) in y.chunks_exact_mut(out).zip(part.chunks_exact(many)) {
                y[first..first + many].copy_from_slice(part);
            }
        }
        return;
    }
    let many = (FORWARD / inner).max(1).next_multiple_of(64).min(out);
    for first in (0..out).step_by(many) {
        let many = many.min(out - first);
        with_room(many * inner, |w| {
            let each = 16;
            let parts = w.par_chunks_mut(each * inner).enumerate();
            parts.for_each(|(at, to)| unpack(first + at * each, to));
            let (w, shape) = (Matrix::rows(w, inner), (rows, many, inner));
            product(shape, &mut y[first..], out, x, w.t(), 1.0, Write::Overwrite, true);
        });
    }
}

/// `dx (rows × inner) = dy W`, on the current rayon pool.
pub(super) fn backward(weight: &Blocks, dy: &[f32], dx: &mut [f32]) {
    let ((out, inner), block) = (weight.dims2(), weight.block());
    let rows = dy.len() / out;
    assert!(dy.len() == rows * out && dx.len() == rows * inner, "a product outside its slices");
    if rows == 0 {
        return;
    }
    let dy = Matrix::rows(dy, out);
    let many = (BACKWARD / out / block.max(64) * block.max(64)).clamp(block, inner);
    for first in (0..inner).step_by(many) {
        let many = many.min(inner - first);
        with_room(out * many, |w| {
            let parts = w.par_chunks_mut(many).enumerate().with_min_len(16);
            parts.for_each(|(row, to)| weight.unpack(row, first..first + many, to));
            let (w, shape) = (Matrix::rows(w, many), (rows, many, out));
            product(shape, &mut dx[first..], inner, dy, w, 1.0, Write::Overwrite, true);
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::gguf::blocks_of_tests::{KINDS, random};
    use crate::ops::weight::HostWeight;
    use crate::ops::{Panels, Weight};
    use crate::rng::Rng;

    fn numbers(count: usize, name: &str) -> Vec<f32> {
        let mut rng = Rng::new(2, name);
        (0..count).map(|_| rng.normal() as f32).collect()
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn both(weight: &HostWeight<'_>, x: &[f32], dy: &[f32], rows: usize) -> [Vec<u32>; 2] {
        [bits(&weight.forward(x, rows)), bits(&weight.backward(dy, rows))]
    }

    #[test]
    fn products_are_those_with_the_unpacked_weight() {
        for kind in KINDS {
            // more than is unpacked together in the second, whose inner size is that of several parts of a product
            for (out, inner) in [(200, 256), (9000, 1024)] {
                if out == 9000 && ![6, 14].contains(&kind.0) {
                    continue;
                }
                let blocks = random(kind, (out, inner));
                let (plain, packed) =
                    (Weight::from(blocks.dense().unwrap()), Weight::Blocks(blocks));
                let rows = if out == 9000 { vec![3, 40] } else { vec![1, 2, 7, 32, 33, 150] };
                for rows in rows {
                    let (x, dy) = (numbers(rows * inner, "x"), numbers(rows * out, "dy"));
                    let want = both(&plain.host().unwrap(), &x, &dy, rows);
                    let of = |threads: usize| {
                        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                        let pool = pool.build().unwrap();
                        pool.install(|| both(&packed.host().unwrap(), &x, &dy, rows))
                    };
                    let got = of(1);
                    assert!(of(3) == got, "{packed:?}, {rows} rows: threads");
                    if rows > super::FEW_ROWS {
                        assert!(got == want, "{packed:?}, {rows} rows");
                    }
                    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
                        let off = f32::from_bits(*got) - f32::from_bits(*want);
                        assert!(off.abs() < 2e-4, "{packed:?}, {rows} rows: {off}");
                    }
                }
            }
        }
    }

    #[test]
    fn panels_of_blocks_multiply_as_panels_of_their_numbers() {
        for kind in KINDS {
            for (out, inner, rows) in [(200, 256, 1), (131, 1024, 70), (1000, 512, 13)] {
                let blocks = random(kind, (out, inner));
                let dense = blocks.dense().unwrap();
                let (x, dy) = (numbers(rows * inner, "x"), numbers(rows * out, "dy"));
                for terms in [1, 2] {
                    let plain = Weight::Panels(Panels::new(&dense, terms).unwrap());
                    let packed = Panels::of_blocks(blocks.clone(), terms).unwrap();
                    let packed = Weight::Panels(packed);
                    let want = both(&plain.host().unwrap(), &x, &dy, rows);
                    let got = both(&packed.host().unwrap(), &x, &dy, rows);
                    assert!(got == want, "{packed:?}, {rows} rows, {terms} terms");
                }
            }
        }
    }
}
