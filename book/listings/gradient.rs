use candle_core::{D, Device, Result, Tensor, Var};
use candle_nn::ops::log_softmax;

/// The gradient of one token's loss with respect to the logits, by candle.
fn gradient(logits: &[f32], token: u32) -> Result<Vec<f32>> {
    let logits = Var::from_tensor(&Tensor::new(logits, &Device::Cpu)?.unsqueeze(0)?)?;
    // ANCHOR: loss
    let token = Tensor::new(&[[token]], &Device::Cpu)?;
    let loss = log_softmax(&logits, D::Minus1)?.gather(&token, 1)?.neg()?;
    // ANCHOR_END: loss
    let gradients = loss.sum_all()?.backward()?;
    gradients.get(&logits).expect("the loss depends on them").squeeze(0)?.to_vec1()
}

fn length(of: &[f32]) -> f64 {
    of.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn the_gradient_is_probability_minus_one_hot() -> Result<()> {
    let logits = [2.0, -1.0, 0.5, 0.0, 1.0];
    let sum: f32 = logits.iter().map(|z: &f32| z.exp()).sum();
    for token in 0..5 {
        let by_candle = gradient(&logits, token)?;
        for (at, found) in by_candle.iter().enumerate() {
            let one_hot = if at == token as usize { 1.0 } else { 0.0 };
            assert!((found - (logits[at].exp() / sum - one_hot)).abs() < 1e-6);
        }
        let p = f64::from(logits[token as usize].exp() / sum);
        let length = length(&by_candle);
        assert!(1.0 - p <= length + 1e-6 && length <= 2f64.sqrt() * (1.0 - p) + 1e-6);
    }
    Ok(())
}

/// A token of probability `p` among 1024 of which the others are alike: the table of the chapter.
fn among_alike(p: f64) -> Result<f64> {
    let mut logits = vec![0f32; 1024];
    logits[0] = (p / (1.0 - p) * 1023.0).ln() as f32;
    Ok(length(&gradient(&logits, 0)?))
}

#[test]
fn the_table_of_lengths_is_right() -> Result<()> {
    // ANCHOR: table
    // probability, and the length of the gradient when all other tokens are alike
    let table = [(0.99, 0.01), (0.9, 0.1), (0.4, 0.6), (0.1, 0.9), (0.001, 1.0)];
    // ANCHOR_END: table
    for (p, expected) in table {
        let found = among_alike(p)?;
        assert!((found - expected).abs() < 0.005, "{p}: {found}");
    }
    Ok(())
}
