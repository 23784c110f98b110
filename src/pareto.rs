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

/// The highest second coordinate among points whose first is at least `least`: what is kept at most where so much is gained. `None` where no point
/// reaches so far.
///
/// ```
/// use unforget::pareto::highest_from;
/// let points = [(0.0, 0.0), (4.0, -3.0), (6.0, -9.0)];
/// assert_eq!(highest_from(&points, 2.0), Some(-3.0));
/// assert_eq!(highest_from(&points, 7.0), None);
/// ```
pub fn highest_from(points: &[(f64, f64)], least: f64) -> Option<f64> {
    let reach = points.iter().filter(|(x, y)| *x >= least && y.is_finite());
    reach.map(|(_, y)| *y).max_by(f64::total_cmp)
}

/// The largest first coordinate that points of both sets reach: min(max x of the one, max x of the other). `None` where a set is empty.
pub fn reached_by_both(one: &[(f64, f64)], other: &[(f64, f64)]) -> Option<f64> {
    let farthest = |points: &[(f64, f64)]| {
        points.iter().map(|(x, _)| *x).filter(|x| x.is_finite()).max_by(f64::total_cmp)
    };
    Some(farthest(one)?.min(farthest(other)?))
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

    /// By hand: gains of two arms at three rates, against what they keep. Both reach a gain of 4; there the first keeps −1 (at its gain of 5),
    /// the second −6 (at its gain of 4).
    #[test]
    fn what_is_kept_at_an_equal_gain_is_compared() {
        let (one, other) =
            ([(1.0, 0.0), (5.0, -1.0), (3.0, -0.5)], [(2.0, -2.0), (4.0, -6.0), (-9.0, -40.0)]);
        let gain = reached_by_both(&one, &other).unwrap();
        assert_eq!(gain, 4.0);
        assert_eq!(highest_from(&one, gain), Some(-1.0));
        assert_eq!(highest_from(&other, gain), Some(-6.0));
        // above (0, 0): the first has nothing, as it keeps less than 0 wherever it gains more than 1
        assert_eq!(area(&one, (0.0, 0.0)), 0.0);
        assert_eq!(area(&[(2.0, 1.0), (5.0, 0.5), (-1.0, 9.0)], (0.0, 0.0)), 2.0 * 1.0 + 3.0 * 0.5);
        assert_eq!((reached_by_both(&one, &[]), highest_from(&[], 0.0)), (None, None));
        assert_eq!(highest_from(&[(5.0, f64::NAN)], 0.0), None);
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
