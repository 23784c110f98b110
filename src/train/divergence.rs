/// Why a training has diverged, if it has: it changed the weights, all that were trained together, by more than their own norm. A training that
/// learns changes them by a few percent; beyond its own norm nothing of the model is left. (A loss that is not finite ends a training with an
/// error.)
///
/// ```
/// use unforget::train::divergence;
/// assert_eq!(divergence(0.04), None);
/// assert!(divergence(1e7).is_some_and(|why| why.contains("times their own norm")));
/// ```
pub fn divergence(relative_weight_change: f64) -> Option<String> {
    (relative_weight_change.is_nan() || relative_weight_change > 1.0).then(|| {
        format!(
            "the training has diverged: its weights changed by {relative_weight_change:.3} times their own norm, so that nothing of the model is left; try a lower learning rate"
        )
    })
}
