// ANCHOR: all
use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::ops::log_softmax;

/// A token is a letter.
fn tokens(text: &str) -> Vec<u32> {
    text.bytes().map(u32::from).collect()
}

/// The model is a table: its row for a letter holds a logit for each letter that may come next.
fn surprisal(model: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let before = Tensor::new(&ids[..ids.len() - 1], model.device())?;
    let next = Tensor::new(&ids[1..], model.device())?.unsqueeze(1)?;
    let logits = model.index_select(&before, 0)?; // (letters, vocabulary)
    log_softmax(&logits, D::Minus1)?.gather(&next, 1)?.squeeze(1)?.neg()
}

/// Selective Token Masking: 1 where the model gives a perplexity of at most `threshold`, else 0.
fn mask(model: &Tensor, ids: &[u32], threshold: f64) -> Result<Tensor> {
    surprisal(model, ids)?.le(threshold.ln())?.to_dtype(DType::F32)
}

/// The mean surprisal of the letters that are learned.
fn loss(model: &Tensor, ids: &[u32], mask: &Tensor) -> Result<Tensor> {
    (surprisal(model, ids)? * mask)?.sum_all()? / mask.sum_all()?
}

/// One step downhill, as long as `rate` says.
fn step(model: &Var, ids: &[u32], mask: &Tensor, rate: f64) -> Result<()> {
    let gradients = loss(model, ids, mask)?.backward()?;
    let gradient = gradients.get(model).expect("the loss depends on the model");
    model.set(&(model.as_tensor() - (gradient * rate)?)?)
}

/// A copy of `model` after `steps` steps.
fn learn(model: &Tensor, ids: &[u32], mask: &Tensor, rate: f64, steps: usize) -> Result<Var> {
    let model = Var::from_tensor(&model.copy()?)?;
    for _ in 0..steps {
        step(&model, ids, mask, rate)?;
    }
    Ok(model)
}

#[test]
fn a_mask_keeps_what_the_model_could_do() -> Result<()> {
    // what the model can do: two skills, in one manner
    let known = tokens(&"step one: 4 + 5 = 9. step two: 9 - 2 = 7. ".repeat(8));
    let every = |ids: &[u32]| Tensor::ones(ids.len() - 1, DType::F32, &Device::Cpu);
    let nothing = Tensor::zeros((128, 128), DType::F32, &Device::Cpu)?;
    let base = learn(&nothing, &known, &every(&known)?, 30.0, 300)?;

    // the same skill, as somebody else writes it
    let truth = tokens("well, 4 + 5 = 9. so 9 - 2 is 7. ");
    let plausible = mask(&base, &truth, 2.5)?;
    let on_all = learn(&base, &truth, &every(&truth)?, 10.0, 50)?;
    let on_plausible = learn(&base, &truth, &plausible, 10.0, 50)?;

    // how well each still reads what the model could do
    let perplexity =
        |model: &Tensor| surprisal(model, &known)?.mean_all()?.exp()?.to_scalar::<f32>();
    let [before, all, masked] =
        [perplexity(&base)?, perplexity(&on_all)?, perplexity(&on_plausible)?];
    assert!(before < 2.6 && all > 5.0 && masked < 2.6, "{before} {all} {masked}");
    assert_eq!(plausible.sum_all()?.to_scalar::<f32>()?, 11.0); // of 31 letters
    Ok(())
}
// ANCHOR_END: all
