use candle_core::{DType, Result, Tensor, Var, bail};
use std::collections::BTreeMap;

/// Muon (Jordan 2024, <https://kellerjordan.github.io/posts/muon>): momentum whose matrix is made nearly orthogonal before each step.
///
/// For training matrices from nothing; the lab model's pre-training uses it because it learns faster than AdamW alone there.
/// Embeddings, norms and heads stay with [`super::AdamW`].
#[derive(Debug)]
pub struct Muon {
    parameters: Vec<(String, Var)>,
    momentum: Vec<Tensor>,
}

/// How much of the last momentum is kept.
const MOMENTUM: f64 = 0.95;

impl Muon {
    /// For matrices, with momentum at 0.
    pub fn new(parameters: &[(String, Var)]) -> Result<Self> {
        let momentum = parameters
            .iter()
            .map(|(_, var)| var.as_detached_tensor().zeros_like())
            .collect::<Result<_>>()?;
        Ok(Self { parameters: parameters.to_vec(), momentum })
    }

    /// One step; `gradients` are in the parameters' order. The update of an `(out, in)` matrix has a root mean square of about
    /// `0.2 · learning_rate` whatever its shape, so that AdamW's rates fit.
    pub fn step(&mut self, gradients: &[Tensor], learning_rate: f64) -> Result<()> {
        if gradients.len() != self.parameters.len() {
            bail!("{} gradients for {} parameters", gradients.len(), self.parameters.len())
        }
        for (((_, var), momentum), gradient) in
            self.parameters.iter().zip(&mut self.momentum).zip(gradients)
        {
            *momentum = ((&*momentum * MOMENTUM)? + gradient)?;
            let ahead = ((&*momentum * MOMENTUM)? + gradient)?; // Nesterov
            let (rows, columns) = ahead.dims2()?;
            let scale = 0.2 * (rows.max(columns) as f64).sqrt();
            let update = (orthogonal(&ahead)? * (scale * learning_rate))?;
            var.set(&(var.as_detached_tensor() - update)?)?;
        }
        Ok(())
    }

    /// Momentum by name, to be saved beside the parameters.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let named = self.parameters.iter().zip(&self.momentum);
        named.map(|((name, _), momentum)| (format!("momentum.{name}"), momentum.clone())).collect()
    }

    /// Takes back what [`Muon::state`] gave.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for ((name, var), momentum) in self.parameters.iter().zip(&mut self.momentum) {
            match state.get(&format!("momentum.{name}")) {
                Some(saved) if saved.shape() == var.shape() => *momentum = saved.clone(),
                _ => bail!("the saved state has no momentum.{name} of shape {:?}", var.shape()),
            }
        }
        Ok(())
    }
}

/// The nearest matrix with singular values around 1, by five Newton-Schulz steps with the published coefficients.
fn orthogonal(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let tall = rows > columns;
    let x = if tall { x.t()?.contiguous()? } else { x.clone() };
    let norm = f64::from(x.sqr()?.sum_all()?.sqrt()?.to_dtype(DType::F32)?.to_scalar::<f32>()?);
    let mut x = (x / (norm + 1e-7))?;
    for _ in 0..5 {
        let gram = x.matmul(&x.t()?)?;
        let poly = ((&gram * -4.7750)? + (gram.matmul(&gram)? * 2.0315)?)?;
        x = ((&x * 3.4445)? + poly.matmul(&x)?)?;
    }
    if tall { x.t()?.contiguous() } else { Ok(x) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn an_orthogonalised_matrix_has_singular_values_near_one() {
        let mut rng = crate::rng::Rng::new(1, "test");
        let values: Vec<f32> = (0..12 * 30).map(|_| rng.normal() as f32).collect();
        let x = orthogonal(&Tensor::from_vec(values, (30, 12), &Device::Cpu).unwrap()).unwrap();
        let gram = x.t().unwrap().matmul(&x).unwrap().to_vec2::<f32>().unwrap();
        for (i, row) in gram.iter().enumerate() {
            assert!((0.4..1.5).contains(&row[i]), "squared length {}", row[i]);
        }
    }
}
