//! The best approximation of a matrix by one of low rank, in f64.

use crate::error::Result;
use crate::rng::Rng;
use candle_core::{DType, Device, Tensor};

/// Columns of a matrix.
type Columns = Vec<Vec<f64>>;

/// More directions than asked for, so that the ones asked for come out well (Halko, Martinsson, Tropp 2011, § 4.2).
const SPARE: usize = 10;
/// Passes over the matrix that turn the directions towards the largest singular values.
const PASSES: usize = 6;

/// The leading part of a singular value decomposition: `left · diag(values) · rightᵀ` approximates the matrix.
pub(crate) struct Leading {
    /// Columns of length `rows`.
    pub left: Columns,
    /// From the largest on.
    pub values: Vec<f64>,
    /// Columns of length `columns`.
    pub right: Columns,
}

/// The `rank` largest singular values of `matrix`, `(rows, columns)`, with their vectors; fewer if the matrix is smaller.
///
/// Small matrices are decomposed whole by rotations (Hestenes). Large ones are first projected onto directions found by random sampling and
/// power iteration; `seed` draws the samples.
pub(crate) fn leading(matrix: &Tensor, rank: usize, seed: u64) -> Result<Leading> {
    let matrix = matrix.to_dtype(DType::F64)?;
    let (rows, columns) = matrix.dims2()?;
    let smaller = rows.min(columns);
    let directions = (rank + SPARE).min(smaller);
    let mut leading = if smaller <= 2 * directions.max(32) {
        whole(&matrix)?
    } else {
        let mut rng = Rng::new(seed, "svd");
        let samples: Vec<f64> = (0..columns * directions).map(|_| rng.normal()).collect();
        let samples = Tensor::from_vec(samples, (columns, directions), &Device::Cpu)?;
        let turned = matrix.t()?.contiguous()?;
        let mut range = orthonormal(&matrix.matmul(&samples)?)?;
        for _ in 0..PASSES {
            let back = orthonormal(&turned.matmul(&range)?)?;
            range = orthonormal(&matrix.matmul(&back)?)?;
        }
        let small = whole(&range.t()?.contiguous()?.matmul(&matrix)?)?;
        let left = range.matmul(&tensor(&small.left, directions)?)?;
        Leading { left: columns_of(&left)?, ..small }
    };
    leading.left.truncate(rank);
    leading.values.truncate(rank);
    leading.right.truncate(rank);
    Ok(leading)
}

/// The whole decomposition of a matrix that is small on one side.
fn whole(matrix: &Tensor) -> Result<Leading> {
    let (rows, columns) = matrix.dims2()?;
    if rows >= columns {
        return Ok(rotate(columns_of(matrix)?));
    }
    let turned = rotate(columns_of(&matrix.t()?.contiguous()?)?);
    Ok(Leading { left: turned.right, values: turned.values, right: turned.left })
}

/// One-sided Jacobi: pairs of columns are rotated until all are orthogonal; their lengths are then the singular values.
fn rotate(mut work: Columns) -> Leading {
    /// Enough for any matrix in f64; a handful is usual.
    const SWEEPS: usize = 60;
    let count = work.len();
    let mut right: Columns = (0..count)
        .map(|at| (0..count).map(|row| f64::from(u8::from(row == at))).collect())
        .collect();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for i in 0..count {
            for j in i + 1..count {
                let (a, b) = (dot(&work[i], &work[i]), dot(&work[j], &work[j]));
                let c = dot(&work[i], &work[j]);
                if c == 0.0 || c.abs() <= 1e-15 * (a * b).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (b - a) / (2.0 * c);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let cos = 1.0 / (1.0 + t * t).sqrt();
                for columns in [&mut work, &mut right] {
                    let (head, tail) = columns.split_at_mut(j);
                    for (x, y) in head[i].iter_mut().zip(&mut tail[0]) {
                        (*x, *y) = (cos * (*x - t * *y), cos * (t * *x + *y));
                    }
                }
            }
        }
        if !turned {
            break;
        }
    }
    let mut order: Vec<(f64, usize)> =
        work.iter().enumerate().map(|(at, column)| (dot(column, column).sqrt(), at)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let left = order.iter().map(|(length, at)| {
        let scale = if *length > 0.0 { 1.0 / length } else { 0.0 };
        work[*at].iter().map(|x| x * scale).collect()
    });
    Leading {
        left: left.collect(),
        values: order.iter().map(|(length, _)| *length).collect(),
        right: order.iter().map(|(_, at)| right[*at].clone()).collect(),
    }
}

/// Columns that span the same space, orthogonal and of length 1; by Gram and Schmidt, twice for accuracy.
pub(crate) fn orthonormal(matrix: &Tensor) -> Result<Tensor> {
    let (rows, _) = matrix.dims2()?;
    let mut columns = columns_of(matrix)?;
    for at in 0..columns.len() {
        let (before, rest) = columns.split_at_mut(at);
        let column = &mut rest[0];
        let length = dot(column, column).sqrt();
        for _ in 0..2 {
            for earlier in before.iter() {
                let along = dot(earlier, column);
                for (x, e) in column.iter_mut().zip(earlier) {
                    *x -= along * e;
                }
            }
        }
        // what is left of a dependent column is noise
        let left = dot(column, column).sqrt();
        let scale = if left > 1e-12 * length { 1.0 / left } else { 0.0 };
        column.iter_mut().for_each(|x| *x *= scale);
    }
    tensor(&columns, rows)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn columns_of(matrix: &Tensor) -> Result<Columns> {
    Ok(matrix.t()?.contiguous()?.to_vec2()?)
}

/// A matrix of `columns`, each of length `rows`.
pub(super) fn tensor(columns: &[Vec<f64>], rows: usize) -> Result<Tensor> {
    let turned = Tensor::from_vec(columns.concat(), (columns.len(), rows), &Device::Cpu)?;
    Ok(turned.t()?.contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sin(row + 0.7 column) + column · row mod 5`, a matrix that two languages make alike.
    fn matrix(rows: usize, columns: usize) -> Tensor {
        let values: Vec<f64> = (0..rows * columns)
            .map(|at| {
                let (row, column) = (at / columns, at % columns);
                (row as f64 + 0.7 * column as f64).sin() + (row * column % 5) as f64
            })
            .collect();
        Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    }

    /* import numpy as np
    r, c = np.mgrid[0:7, 0:4]
    print(np.linalg.svd(np.sin(r + .7 * c) + (r * c) % 5, compute_uv=False)) */
    #[test]
    fn singular_values_are_those_of_numpy() {
        let want = [9.24814558, 3.5515095, 2.18959756, 1.56444772];
        for matrix in [matrix(7, 4), matrix(7, 4).t().unwrap()] {
            let got = leading(&matrix, 4, 1).unwrap().values;
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-6, "{got}, {want}");
            }
        }
    }

    /// What is left of `matrix` beside its approximation, and what must be left by Eckart and Young.
    fn error(matrix: &Tensor, rank: usize) -> (f64, f64) {
        let (rows, columns) = matrix.dims2().unwrap();
        let Leading { left, values, right } = leading(matrix, rank, 1).unwrap();
        let scaled: Columns = left
            .iter()
            .zip(&values)
            .map(|(column, value)| column.iter().map(|x| x * value).collect())
            .collect();
        let product =
            tensor(&scaled, rows).unwrap().matmul(&tensor(&right, columns).unwrap().t().unwrap());
        let rest = (matrix - product.unwrap()).unwrap();
        let norm = |t: &Tensor| {
            let sum = t.sqr().unwrap().sum_all().unwrap();
            sum.to_scalar::<f64>().unwrap().sqrt()
        };
        let all = whole(matrix).unwrap().values;
        let best = all[rank..].iter().map(|value| value * value).sum::<f64>();
        (norm(&rest), best.sqrt())
    }

    #[test]
    fn no_matrix_of_that_rank_is_closer() {
        for (rows, columns, rank) in [(7, 4, 2), (20, 60, 5), (120, 90, 8), (90, 120, 20)] {
            let mut rng = Rng::new(7, "test");
            let noise: Vec<f64> = (0..rows * columns).map(|_| rng.normal()).collect();
            let noise = Tensor::from_vec(noise, (rows, columns), &Device::Cpu).unwrap();
            let mixed = (matrix(rows, columns) + (noise * 0.1).unwrap()).unwrap();
            let (left, best) = error(&mixed, rank);
            assert!(
                left >= best * (1.0 - 1e-9) && left <= best * 1.01,
                "{rows} x {columns}, rank {rank}: {left}, best {best}"
            );
        }
        let (left, _) = error(&Tensor::zeros((3, 5), DType::F64, &Device::Cpu).unwrap(), 2);
        assert_eq!(left, 0.0);
    }
}
