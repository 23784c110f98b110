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
}
