// ANCHOR: library
use unforget::dataset::read_items;
use unforget::prelude::*;

fn main() -> Result<()> {
    let cx = Context::in_notebook()?; // keeps results in ./unforget-store
    let base = Checkpoint::open("SmolLM2-135M-Instruct")?; // a folder or a GGUF file
    let items = read_items("train.jsonl".as_ref())?;
    let truth = score(&cx, &base, "ground truth", &items)?; // a perplexity for each token
    let low = truth.mask("stm(2.5)")?; // the tokens that the model finds plausible
    let tuned = finetune(&cx, &base, &low, &TrainConfig::paper())?; // an adapter for PEFT
    println!("{:.0} % masked: {:?}", 100.0 * low.masked_share(), tuned.checkpoint.adapter);
    Ok(())
}
// ANCHOR_END: library

#[test]
fn the_readme_shows_what_compiles() {
    let _: fn() -> Result<()> = main;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let shown = readme.split_once("```rust\n").and_then(|(_, rest)| rest.split_once("```"));
    let (_, rest) = include_str!("readme.rs").split_once("// ANCHOR: library\n").unwrap();
    let (compiled, _) = rest.split_once("// ANCHOR_END").unwrap();
    assert_eq!(shown.expect("the README has code").0, compiled);
}
