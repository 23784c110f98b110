//! Functions of complex numbers. `num-complex` has them too, behind a feature whose other users would have to be built again.

pub(super) use num_complex::Complex64 as Complex;

const I: Complex = Complex { re: 0.0, im: 1.0 };
const ONE: Complex = Complex { re: 1.0, im: 0.0 };

pub(super) fn real(x: f64) -> Complex {
    Complex::new(x, 0.0)
}

/// The absolute value.
pub(super) fn norm(z: Complex) -> f64 {
    z.re.hypot(z.im)
}

pub(super) fn is_finite(z: Complex) -> bool {
    z.re.is_finite() && z.im.is_finite()
}

pub(super) fn exp(z: Complex) -> Complex {
    if z.im == 0.0 { real(z.re.exp()) } else { Complex::new(z.im.cos(), z.im.sin()) * z.re.exp() }
}

/// The principal logarithm.
pub(super) fn ln(z: Complex) -> Complex {
    // a zero with a sign would turn the branch
    let im = if z.im == 0.0 { 0.0 } else { z.im };
    Complex::new(norm(z).ln(), im.atan2(z.re))
}

/// The principal square root.
pub(super) fn sqrt(z: Complex) -> Complex {
    if z.im != 0.0 {
        exp(ln(z) * 0.5)
    } else if z.re >= 0.0 {
        real(z.re.sqrt())
    } else {
        Complex::new(0.0, (-z.re).sqrt())
    }
}

/// The principal power.
pub(super) fn power(base: Complex, exponent: Complex) -> Complex {
    exp(ln(base) * exponent)
}

pub(super) fn sin(z: Complex) -> Complex {
    Complex::new(z.re.sin() * z.im.cosh(), z.re.cos() * z.im.sinh())
}

pub(super) fn cos(z: Complex) -> Complex {
    Complex::new(z.re.cos() * z.im.cosh(), -z.re.sin() * z.im.sinh())
}

pub(super) fn sinh(z: Complex) -> Complex {
    Complex::new(z.re.sinh() * z.im.cos(), z.re.cosh() * z.im.sin())
}

pub(super) fn cosh(z: Complex) -> Complex {
    Complex::new(z.re.cosh() * z.im.cos(), z.re.sinh() * z.im.sin())
}

pub(super) fn arcsin(z: Complex) -> Complex {
    if z.im == 0.0 && z.re.abs() <= 1.0 {
        real(z.re.asin())
    } else {
        -I * ln(I * z + sqrt(ONE - z * z))
    }
}

pub(super) fn arccos(z: Complex) -> Complex {
    if z.im == 0.0 && z.re.abs() <= 1.0 {
        real(z.re.acos())
    } else {
        real(std::f64::consts::FRAC_PI_2) - arcsin(z)
    }
}

pub(super) fn arctan(z: Complex) -> Complex {
    if z.im == 0.0 { real(z.re.atan()) } else { (ln(ONE + I * z) - ln(ONE - I * z)) / (I * 2.0) }
}
