use unforget::dataset::{Example, read_items};
use unforget::error::Result;
use unforget::model::Checkpoint;
use unforget::{lab, metric, perplexity, tokens, verbs};

#[test]
fn how_surprising_is_each_token() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let cx = super::context(folder.path())?;
    // ANCHOR: score
    let base = Checkpoint::open(lab::folder()?.join("model"))?;
    let items = read_items(&lab::folder()?.join("code/train.jsonl"))?;
    let tokenizer = cx.tokenizer(&base)?;
    let sequence = tokens::sequence(&tokenizer, &Example::from(&items[0]))?;
    let scores = verbs::score(&cx, &base, "one answer", &[&sequence.ids])?;
    let perplexity: Vec<Option<f32>> = scores[0].perplexity();
    // ANCHOR_END: score
    assert_eq!(perplexity.len(), sequence.ids.len());
    assert_eq!(perplexity[0], None, "the first token has no context");

    // ANCHOR: sequence
    let given_prompt = perplexity::given_prompt(std::slice::from_ref(&sequence), &scores)[0];
    // ANCHOR_END: sequence
    let surprisal: Vec<f64> =
        sequence.completion.positions().map(|at| f64::from(perplexity[at].unwrap()).ln()).collect();
    let by_hand = metric::perplexity(&surprisal).unwrap();
    assert!((given_prompt.unwrap() / by_hand - 1.0).abs() < 1e-4);
    Ok(())
}
