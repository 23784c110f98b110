//! Two things that one cannot have both of: the Pareto front of points, and the area below it.
//!
//! Every learning rate of an arm is one point, target score against non-target score. One rate may trade the one for the other, so
//! arms are compared by their whole fronts.
//!
//! ```
//! use unforget::pareto::{area, front};
//! let points = [(0.5, 0.9), (0.7, 0.6), (0.6, 0.5)];
//! assert_eq!(front(&points), [0, 1]); // the third is worse than the second at both
//! assert!((area(&points, (0.0, 0.0)) - (0.5 * 0.9 + 0.2 * 0.6)).abs() < 1e-12);
//! ```

/// Which of `points` no other point is at least as good as at both and better at one, more being better; by rising first
/// coordinate. Of equal points the first counts. Points that are not numbers are on no front.
pub fn front(points: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..points.len())
        .filter(|&at| points[at].0.is_finite() && points[at].1.is_finite())
        .collect();
    // from the right: what comes later must be higher
    order.sort_by(|&a, &b| {
        let (a, b) = (points[a], points[b]);
        b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
    });
    let mut highest = f64::NEG_INFINITY;
    order.retain(|&at| {
        let above = points[at].1 > highest;
        highest = highest.max(points[at].1);
        above
    });
    order.reverse();
    order
}

/// The area of all places that some point is at least as good as at both and that are at least as good as `reference`: the
/// hypervolume in two dimensions (Zitzler and Thiele 1998). Points below the reference add nothing.
pub fn area(points: &[(f64, f64)], reference: (f64, f64)) -> f64 {
    let mut left = reference.0;
    let mut sum = 0.0;
    for at in front(points) {
        let (x, y) = points[at];
        if x > left {
            // up to here, this point is the highest of those that reach as far
            sum += (x - left) * (y - reference.1).max(0.0);
            left = x;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_that_is_worse_at_both_is_not_on_the_front() {
        assert_eq!(front(&[(1.0, 1.0), (2.0, 2.0), (0.5, 3.0), (2.0, 1.5)]), [2, 1]);
        assert_eq!(front(&[(1.0, 1.0), (1.0, 1.0)]), [0]);
        assert_eq!(front(&[(f64::NAN, 1.0)]), [0usize; 0]);
        assert_eq!(front(&[]), [0usize; 0]);
    }

    #[test]
    fn the_area_counts_every_place_once() {
        let points = [(0.5, 0.9), (0.7, 0.6), (0.6, 0.5), (0.1, 2.0), (0.9, 0.05)];
        // (.5 − .2) (.9 − .1) + (.7 − .5) (.6 − .1); the last two are below the reference
        assert!((area(&points, (0.2, 0.1)) - 0.34).abs() < 1e-12);
        assert_eq!(area(&points, (1.0, 1.0)), 0.0);
    }

    #[test]
    fn one_more_point_never_makes_the_area_smaller() {
        let mut rng = crate::rng::Rng::new(3, "pareto");
        let (mut points, mut before) = (Vec::new(), 0.0);
        for _ in 0..200 {
            points.push((rng.uniform(), rng.uniform()));
            let now = area(&points, (0.0, 0.0));
            assert!(now >= before && now <= 1.0);
            before = now;
        }
        // against counting places of a grid
        let inside =
            (0..100_u32).flat_map(|x| (0..100_u32).map(move |y| (x, y))).filter(|(x, y)| {
                let place = ((f64::from(*x) + 0.5) / 100.0, (f64::from(*y) + 0.5) / 100.0);
                points.iter().any(|p| p.0 >= place.0 && p.1 >= place.1)
            });
        assert!((inside.count() as f64 / 1e4 - before).abs() < 0.02);
    }
}
