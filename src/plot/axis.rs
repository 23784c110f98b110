//! An axis: a quantity, its two ends, and where its numbers stand.

/// One axis; positions outside `from..to` are not drawn there.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity with its unit.
    pub label: String,
    /// The lower end.
    pub from: f64,
    /// The upper end, above `from`.
    pub to: f64,
    /// Whether equal ratios are equally long; both ends are then above 0.
    pub log: bool,
    /// Names that stand at 0, 1, 2 and so on, in the place of numbers.
    pub categories: Vec<String>,
}

/// Points or percent that an axis of scores spans at least, so that noise does not fill it.
pub const SCORES: f64 = 20.0;

impl Axis {
    /// Equal differences are equally long.
    pub fn new(label: impl Into<String>, from: f64, to: f64) -> Self {
        Self { label: label.into(), from, to, log: false, categories: Vec::new() }
    }

    /// Equal ratios are equally long; both ends are above 0.
    pub fn log(label: impl Into<String>, from: f64, to: f64) -> Self {
        Self { log: true, ..Self::new(label, from, to) }
    }

    /// Names at equal distances, at 0, 1, 2 and so on, from left to right or from below to above.
    pub fn categories(
        label: impl Into<String>,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let categories: Vec<String> = names.into_iter().map(Into::into).collect();
        let to = categories.len().max(1) as f64 - 0.5;
        Self { categories, ..Self::new(label, -0.5, to) }
    }

    /// From the smallest value to the largest with a margin; `least` is the smallest length it may have.
    pub fn around(
        label: impl Into<String>,
        values: impl IntoIterator<Item = f64>,
        least: f64,
    ) -> Self {
        let (from, to) = values
            .into_iter()
            .filter(|value| value.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), value| {
                (from.min(value), to.max(value))
            });
        let (from, to) = if from > to { (0.0, 1.0) } else { (from, to) };
        let (middle, half) = ((from + to) / 2.0, (0.55 * (to - from)).max(least / 2.0));
        Self::new(label, middle - half, middle + half)
    }

    /// Ends where the quantity itself does: a share has nothing below 0.
    pub fn within(self, from: f64, to: f64) -> Self {
        Self { from: self.from.max(from), to: self.to.min(to), ..self }
    }

    /// 0 at the lower end, 1 at the upper.
    pub(super) fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| {
            if self.log { value.max(f64::MIN_POSITIVE).ln() } else { value }
        };
        (scale(value) - scale(self.from)) / (scale(self.to) - scale(self.from))
    }

    /// Whether the value is on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (-1e-9..=1.0 + 1e-9).contains(&self.place(value))
    }

    /// Round numbers along it.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if !self.categories.is_empty() {
            return (0..self.categories.len()).map(|at| at as f64).collect();
        }
        if self.log {
            let (low, high) = (self.from.log10().floor() as i32, self.to.log10().ceil() as i32);
            let steps: &[f64] = if high - low > 4 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let all = (low..=high)
                .flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
            let inside = |tick: &f64| (self.from * 0.999..=self.to * 1.001).contains(tick);
            return all.filter(inside).collect();
        }
        let rough = (self.to - self.from) / 6.0;
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|step| step * unit)
            .find(|step| *step >= rough)
            .unwrap_or(unit);
        let first = (self.from / step - 1e-9).ceil() as i64;
        let last = (self.to / step + 1e-9).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

impl Axis {
    /// What stands at a tick.
    pub(super) fn tick(&self, value: f64) -> String {
        match self.categories.get(value as usize) {
            Some(name) => name.clone(),
            None => number(value),
        }
    }
}

/// A tick's number, no longer than needed.
pub(super) fn number(value: f64) -> String {
    let text = if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        format!("{value:e}")
    } else {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    // a sign that a reader can tell from a hyphen
    text.replacen('-', "−", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(Axis::new("", -0.3, 10.2).ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(Axis::new("", 0.0, 1.0).ticks().len(), 6);
        assert_eq!(
            Axis::log("", 1.0, 1000.0).ticks(),
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]
        );
    }

    #[test]
    fn an_axis_around_one_value_still_has_a_length() {
        let axis = Axis::around("", [3.0], 1.0);
        assert_eq!((axis.from, axis.to), (2.5, 3.5));
        let empty = Axis::around("", [], 1.0);
        assert!(empty.from < empty.to);
    }

    #[test]
    fn categories_stand_at_whole_numbers() {
        let axis = Axis::categories("arm", ["base", "STM"]);
        let ticks: Vec<String> = axis.ticks().into_iter().map(|at| axis.tick(at)).collect();
        assert_eq!(ticks, ["base", "STM"]);
        assert_eq!((axis.place(0.0), axis.place(1.0)), (0.25, 0.75));
        assert_eq!(Axis::new("", 0.0, 2.0).tick(1.0), "1");
    }

    #[test]
    fn numbers_on_axes_are_short() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(0.5, "0.5");
        check(100.0, "100");
        check(-20.0, "−20");
        check(0.1 + 0.2, "0.3");
    }
}
