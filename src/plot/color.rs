//! How marks and lines look.

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// A line of this color.
    pub fn stroke(self, width: f64) -> Stroke {
        Stroke { color: self, width, opacity: 1.0, dashed: false }
    }

    /// As CSS writes it, with an opacity between 0 and 1.
    pub fn css(self, opacity: f64) -> String {
        let Self(red, green, blue) = self;
        format!("rgba({red},{green},{blue},{opacity:.2})")
    }

    /// The ratio of the luminances of two colors, from 1 to 21, as WCAG 2 defines it: text should have 4.5, marks 3.
    pub fn contrast(self, other: Self) -> f64 {
        let luminance = |Self(red, green, blue): Self| {
            let linear = |value: u8| {
                let share = f64::from(value) / 255.0;
                match share <= 0.04045 {
                    true => share / 12.92,
                    false => ((share + 0.055) / 1.055).powf(2.4),
                }
            };
            0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
        };
        let (one, other) = (luminance(self) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    /// As SVG writes it: `#1A1A1A`.
    pub fn hex(self) -> String {
        let Self(red, green, blue) = self;
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub struct Stroke {
    pub color: Color,
    pub width: f64,
    pub opacity: f64,
    pub dashed: bool,
}

impl Stroke {
    /// Lets what lies below shine through.
    pub fn opacity(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }

    /// Cut into dashes.
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }
}

/// The shape that stands for one thing besides its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the shapes
pub enum Mark {
    Circle,
    Square,
    Diamond,
    Up,
    Down,
    Right,
    Cross,
    Plus,
}

/// How an arm looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Its color.
    pub color: Color,
    /// Its mark.
    pub mark: Mark,
}

impl Look {
    /// The two together.
    pub const fn new(color: Color, mark: Mark) -> Self {
        Self { color, mark }
    }

    /// A line of its color.
    pub fn stroke(self, width: f64) -> Stroke {
        self.color.stroke(width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_is_written_as_svg_and_css_write_it() {
        let color = Color(0xd5, 0x5e, 0x00);
        assert_eq!(color.hex(), "#D55E00");
        assert_eq!(color.css(0.425), "rgba(213,94,0,0.42)");
    }

    /// The ends that WCAG 2 names, and its example of a gray.
    #[test]
    fn contrast_is_that_of_wcag() {
        let (white, black) = (Color(255, 255, 255), Color(0, 0, 0));
        assert!((white.contrast(black) - 21.0).abs() < 1e-9);
        assert_eq!(white.contrast(white), 1.0);
        // #767676 is the lightest gray that white text may stand on
        assert!((4.5..4.6).contains(&Color(0x76, 0x76, 0x76).contrast(white)));
    }
}
