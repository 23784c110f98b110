use unforget::error::Result;
use unforget::select::{LossMask, low_perplexity};

#[test]
fn the_rule_needs_no_model() -> Result<()> {
    // ANCHOR: rule
    //                                        the prompt | the answer
    let answer = LossMask::from_iter([false, false, true, true, true, true]);
    let perplexity = [None, Some(9.0), Some(1.1), Some(40.0), Some(2.5), Some(2.6)];
    let learned = low_perplexity(&answer, &perplexity, 2.5)?;
    assert_eq!(learned.as_slice(), [false, false, true, false, true, false]);
    // ANCHOR_END: rule
    assert_eq!(learned.learned(), 2);
    Ok(())
}

#[test]
fn a_threshold_that_masks_nothing_is_refused_kindly() {
    let answer = LossMask::from_iter([true]);
    let error = low_perplexity(&answer, &[Some(1.0)], f32::NAN).unwrap_err();
    assert!(error.to_string().contains("must be a perplexity above 0"));
}
