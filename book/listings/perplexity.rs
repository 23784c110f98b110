use unforget::dataset::read_items;
use unforget::error::Result;
use unforget::model::Checkpoint;
use unforget::{lab, metric, verbs};

#[test]
fn how_surprising_is_each_token() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let cx = super::context(folder.path())?;
    // ANCHOR: score
    let base = Checkpoint::open(lab::folder()?.join("model"))?;
    let items = read_items(&lab::folder()?.join("code/train.jsonl"))?;
    let scored = verbs::score(&cx, &base, "one answer", &items[..1])?;
    let perplexity: Vec<Option<f32>> = scored.scores[0].perplexity();
    // ANCHOR_END: score
    let sequence = &scored.sequences[0];
    assert_eq!(perplexity.len(), sequence.ids.len());
    assert_eq!(perplexity[0], None, "the first token has no context");

    // ANCHOR: sequence
    let given_prompt = scored.perplexities()[0];
    // ANCHOR_END: sequence
    let surprisal: Vec<f64> =
        sequence.completion.positions().map(|at| f64::from(perplexity[at].unwrap()).ln()).collect();
    let by_hand = metric::perplexity(&surprisal).unwrap();
    assert!((given_prompt.unwrap() / by_hand - 1.0).abs() < 1e-4);
    Ok(())
}
