use unforget::dataset::read_items;
use unforget::error::Result;
use unforget::generate::Sampling;
use unforget::model::Checkpoint;
use unforget::self_output::{Candidates, Conditioning, SelfOutput};
use unforget::{lab, verbs};

#[test]
fn the_model_writes_and_the_grader_chooses() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let cx = super::context(folder.path())?;
    let base = Checkpoint::open(lab::folder()?.join("model"))?;
    let items = &read_items(&lab::folder()?.join("word/train.jsonl"))?[..4];
    // ANCHOR: pool
    let config = SelfOutput {
        samples: 4,
        sampling: Sampling { temperature: 0.7, ..Sampling::greedy(128) },
        lowest: Conditioning::GivenPrompt,
    };
    let pool = verbs::self_output(&cx, &base, "self-output", items, &config)?;
    let data = pool.chosen(items, config.lowest, Candidates::Correct);
    // ANCHOR_END: pool
    assert_eq!(pool.sampled(), 16);
    let right = |item: &unforget::task::Item| item.grade(&item.truth, false).value == 1.0;
    assert!(!data.is_empty() && data.iter().all(right), "every chosen answer is right");
    Ok(())
}
