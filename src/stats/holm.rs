/// Holm's adjustment for asking several times: p values that may be compared with the level as they are, in the order given.
///
/// The chance that any true null hypothesis of the family is rejected stays below the level, whatever the tests have to do with each other
/// (Holm 1979). The i-th smallest of m is multiplied by m − i + 1, and none becomes smaller than the one before it.
///
/// ```
/// use unforget::stats::holm;
/// let adjusted = holm(&[0.01, 0.04, 0.03]);
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// ```
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (place, index) in order.iter().enumerate() {
        largest = largest.max((p.len() - place) as f64 * p[*index]).min(1.0);
        adjusted[*index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    /* statsmodels 0.15.0: tests/reference/statistics.py
    multipletests(p, method='holm')[1] */
    #[test]
    fn adjusted_values_equal_statsmodels() {
        for (found, expected) in holm(&P).iter().zip(STATSMODELS) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
        assert!(holm(&[]).is_empty());
    }
    const P: [f64; 7] = [0.04, 0.001, 0.2, 0.012, 0.9, 0.012, 0.5];
    const STATSMODELS: [f64; 7] = [0.16, 0.007, 0.6, 0.072, 1.0, 0.072, 1.0];
}
