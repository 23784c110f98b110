//! What a formula is worth at a point: exactly where every step is rational, else with sixteen digits.

use super::complex::{self, Complex};
use super::expression::Expr;
use num_bigint::{BigInt, BigUint};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::HashMap;

/// Most bits of an exact number; larger ones go on as floating point.
const MAX_BITS: u64 = 50_000;

/// A value: `exact` where it is a rational number that was computed without rounding.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub exact: Option<BigRational>,
    pub about: Complex,
}

impl Value {
    fn exact(value: BigRational) -> Self {
        let about = value.to_f64().unwrap_or(f64::NAN);
        let small = value.numer().bits().max(value.denom().bits()) <= MAX_BITS;
        Self { about: Complex::new(about, 0.0), exact: small.then_some(value) }
    }

    fn about(value: Complex) -> Self {
        Self { exact: None, about: value }
    }

    fn real(value: f64) -> Self {
        Self::about(Complex::new(value, 0.0))
    }

    fn is_real(&self) -> bool {
        self.about.im.abs() <= 1e-12 * self.about.re.abs().max(1.0)
    }

    /// Whether two values are the same: exactly if both are exact, else to about twelve digits.
    pub fn same(&self, other: &Self) -> bool {
        if let (Some(a), Some(b)) = (&self.exact, &other.exact) {
            return a == b;
        }
        let (a, b) = (self.about, other.about);
        if !complex::is_finite(a) || !complex::is_finite(b) {
            return a.re == b.re && a.im == b.im; // two infinities
        }
        complex::norm(a - b) <= 1e-11 * complex::norm(a).max(complex::norm(b)) + 1e-13
    }
}

/// The values of letters.
pub(super) type Point = HashMap<String, BigRational>;

/// The value of `expr` where its letters have the values of `point`; `None` where it has none or is not one number.
pub(super) fn value(expr: &Expr, point: &Point) -> Option<Value> {
    let at = |part: &Expr| value(part, point);
    match expr {
        Expr::Number(number) => Some(Value::exact(number.clone())),
        Expr::Pi => Some(Value::real(std::f64::consts::PI)),
        Expr::Euler => Some(Value::real(std::f64::consts::E)),
        Expr::Imaginary => Some(Value::about(Complex::new(0.0, 1.0))),
        Expr::Infinity => Some(Value::real(f64::INFINITY)),
        Expr::Symbol(name) => point.get(name).cloned().map(Value::exact),
        Expr::Sum(parts) => {
            parts.iter().try_fold(Value::exact(BigRational::zero()), |sum, part| {
                Some(both(&sum, &at(part)?, |a, b| Some(a + b), |a, b| a + b))
            })
        }
        Expr::Product(parts) => {
            parts.iter().try_fold(Value::exact(BigRational::one()), |product, part| {
                Some(both(&product, &at(part)?, |a, b| Some(a * b), |a, b| a * b))
            })
        }
        Expr::Divide(over, under) => {
            let (over, under) = (at(over)?, at(under)?);
            if complex::norm(under.about) == 0.0 {
                return None;
            }
            let exact = |a: &BigRational, b: &BigRational| (!b.is_zero()).then(|| a / b);
            Some(both(&over, &under, exact, |a, b| a / b))
        }
        Expr::Negative(part) => {
            let part = at(part)?;
            Some(Value { exact: part.exact.map(|e| -e), about: -part.about })
        }
        Expr::Power(base, exponent) => power(&at(base)?, &at(exponent)?),
        Expr::Apply(name, arguments) => {
            let arguments = arguments.iter().map(at).collect::<Option<Vec<_>>>()?;
            apply(name, &arguments)
        }
        Expr::PlusMinus(..)
        | Expr::Tuple(..)
        | Expr::Set(_)
        | Expr::List(_)
        | Expr::Union(_)
        | Expr::Matrix(_)
        | Expr::Relation(..)
        | Expr::Text(_) => None,
    }
}

fn both(
    a: &Value,
    b: &Value,
    exact: impl Fn(&BigRational, &BigRational) -> Option<BigRational>,
    about: impl Fn(Complex, Complex) -> Complex,
) -> Value {
    if let (Some(x), Some(y)) = (&a.exact, &b.exact)
        && let Some(value) = exact(x, y)
    {
        return Value::exact(value);
    }
    // inf + i·0 times a number makes NaN of the imaginary part
    if a.is_real() && b.is_real() {
        let real = |x: f64| Complex::new(x, 0.0);
        let result = about(real(a.about.re), real(b.about.re));
        if result.re.is_infinite() {
            return Value::real(result.re);
        }
    }
    Value::about(about(a.about, b.about))
}

fn power(base: &Value, exponent: &Value) -> Option<Value> {
    if let (Some(b), Some(e)) = (&base.exact, &exponent.exact)
        && let Some(exact) = exact_power(b, e)
    {
        return Some(Value::exact(exact));
    }
    if complex::norm(base.about) == 0.0 {
        return match exponent.about.re > 0.0 {
            true => Some(Value::exact(BigRational::zero())),
            false => None,
        };
    }
    let about = match exponent.is_real() && base.is_real() && base.about.re > 0.0 {
        true => Complex::new(base.about.re.powf(exponent.about.re), 0.0),
        false => match exponent.exact.as_ref().and_then(whole) {
            Some(n) if n.abs() < 1_000 => whole_power(base.about, n),
            _ => complex::power(base.about, exponent.about),
        },
    };
    Some(Value::about(about))
}

fn whole_power(base: Complex, times: i64) -> Complex {
    let product = (0..times.abs()).fold(complex::real(1.0), |product, _| product * base);
    match times < 0 {
        true => complex::real(1.0) / product,
        false => product,
    }
}

fn whole(value: &BigRational) -> Option<i64> {
    value.is_integer().then(|| value.to_integer().to_i64())?
}

/// A rational to a rational power where that is rational and not too long.
fn exact_power(base: &BigRational, exponent: &BigRational) -> Option<BigRational> {
    let times = exponent.numer().to_i32()?;
    let degree = exponent.denom().to_u32()?;
    let bits = base.numer().bits().max(base.denom().bits());
    if bits.saturating_mul(u64::from(times.unsigned_abs())) > MAX_BITS
        || base.is_zero() && times <= 0
    {
        return None;
    }
    let rooted = match degree {
        1 => base.clone(),
        _ => exact_root(base, degree)?,
    };
    Some(rooted.pow(times))
}

/// The root of a rational that is not negative, where it is rational.
fn exact_root(value: &BigRational, degree: u32) -> Option<BigRational> {
    if value.is_negative() || degree == 0 || degree > 64 {
        return None;
    }
    let root = |n: &BigInt| -> Option<BigInt> {
        let n: BigUint = n.to_biguint()?;
        let root = n.nth_root(degree);
        (root.pow(degree) == n).then(|| root.into())
    };
    Some(BigRational::new(root(value.numer())?, root(value.denom())?))
}

fn apply(name: &str, arguments: &[Value]) -> Option<Value> {
    let first = arguments.first()?;
    let x = first.about;
    let real = first.is_real().then_some(x.re);
    let one = complex::real(1.0);
    let about = |value: Complex| Some(Value::about(value));
    match name {
        "root" => {
            let inside = arguments.get(1)?;
            root(first, inside)
        }
        "abs" | "det" => match &first.exact {
            Some(exact) => Some(Value::exact(exact.abs())),
            None => Some(Value::real(complex::norm(x))),
        },
        "floor" => match &first.exact {
            Some(exact) => Some(Value::exact(exact.floor())),
            None => Some(Value::real(real?.floor())),
        },
        "ceil" => match &first.exact {
            Some(exact) => Some(Value::exact(exact.ceil())),
            None => Some(Value::real(real?.ceil())),
        },
        "!" => {
            let n = first.exact.as_ref().and_then(whole)?;
            (0..=1_000).contains(&n).then(|| Value::exact(BigRational::from_integer(factorial(n))))
        }
        "binom" => {
            let n = first.exact.as_ref().and_then(whole)?;
            let k = arguments.get(1)?.exact.as_ref().and_then(whole)?;
            if !(0..=1_000).contains(&n) || !(0..=1_000).contains(&k) {
                return None;
            }
            let ways = (0..k).fold(BigInt::one(), |ways, i| ways * (n - i) / (i + 1));
            Some(Value::exact(BigRational::from_integer(ways)))
        }
        "gcd" | "lcm" | "max" | "min" => {
            let all = arguments.iter().map(|a| a.exact.clone()).collect::<Option<Vec<_>>>()?;
            let pick = |larger: bool| {
                all.iter().cloned().reduce(|a, b| if (a > b) == larger { a } else { b })
            };
            match name {
                "max" => pick(true).map(Value::exact),
                "min" => pick(false).map(Value::exact),
                _ => {
                    let whole = all
                        .iter()
                        .map(|a| a.is_integer().then(|| a.to_integer()))
                        .collect::<Option<Vec<_>>>()?;
                    let result = whole.into_iter().reduce(|a, b| {
                        let divisor = divisor(a.clone(), b.clone());
                        match name {
                            "gcd" => divisor,
                            _ if divisor.is_zero() => divisor,
                            _ => a * b / divisor,
                        }
                    })?;
                    Some(Value::exact(BigRational::from_integer(result)))
                }
            }
        }
        "sin" => about(complex::sin(x)),
        "cos" => about(complex::cos(x)),
        "tan" => about(complex::sin(x) / complex::cos(x)),
        "cot" => about(complex::cos(x) / complex::sin(x)),
        "sec" => about(one / complex::cos(x)),
        "csc" => about(one / complex::sin(x)),
        "arcsin" => about(complex::arcsin(x)),
        "arccos" => about(complex::arccos(x)),
        "arctan" => about(complex::arctan(x)),
        "sinh" => about(complex::sinh(x)),
        "cosh" => about(complex::cosh(x)),
        "tanh" => about(complex::sinh(x) / complex::cosh(x)),
        "exp" => about(complex::exp(x)),
        "ln" | "log" | "lg" => {
            if complex::norm(x) == 0.0 {
                return None;
            }
            match (name, arguments.get(1)) {
                ("log", Some(base)) => {
                    let base = base.about;
                    if complex::norm(base) == 0.0 || base == one {
                        return None;
                    }
                    about(near_whole(complex::ln(x) / complex::ln(base)))
                }
                ("ln", _) => about(complex::ln(x)),
                _ => about(near_whole(complex::ln(x) / std::f64::consts::LN_10)),
            }
        }
        // A function that is not known: any smooth one that no two names share stands for it.
        unknown => {
            let seed = hash(unknown) % 1_000;
            let start = Complex::new(1.0 + seed as f64 / 997.0, 0.0);
            let mixed = arguments.iter().enumerate().fold(start, |sum, (i, a)| {
                sum + complex::sin(a.about * (i as f64 + 1.37)) + a.about * (0.3 + start.re)
            });
            complex::is_finite(mixed).then(|| Value::about(mixed))
        }
    }
}

/// Logarithms of powers come out beside the whole number that they are.
fn near_whole(value: Complex) -> Complex {
    let near = value.re.round();
    match (value.re - near).abs() < 1e-13 * near.abs().max(1.0) {
        true => Complex::new(near, value.im),
        false => value,
    }
}

fn root(degree: &Value, inside: &Value) -> Option<Value> {
    let n = degree.exact.as_ref().and_then(whole)?;
    if !(1..=64).contains(&n) {
        return None;
    }
    if let Some(exact) = &inside.exact {
        if let Some(root) = exact_root(exact, n as u32) {
            return Some(Value::exact(root));
        }
        if n % 2 == 1 && exact.is_negative() {
            let positive = root(degree, &Value::exact(-exact))?;
            return Some(Value { exact: positive.exact.map(|e| -e), about: -positive.about });
        }
    }
    let x = inside.about;
    Some(Value::about(match (n, inside.is_real()) {
        (2, true) if x.re >= 0.0 => Complex::new(x.re.sqrt(), 0.0),
        (2, _) => complex::sqrt(x),
        (_, true) if x.re >= 0.0 => Complex::new(x.re.powf(1.0 / n as f64), 0.0),
        (_, true) if n % 2 == 1 => Complex::new(-(-x.re).powf(1.0 / n as f64), 0.0),
        _ => complex::power(x, complex::real(1.0 / n as f64)),
    }))
}

fn factorial(n: i64) -> BigInt {
    (1..=n).fold(BigInt::one(), |product, k| product * k)
}

fn divisor(mut a: BigInt, mut b: BigInt) -> BigInt {
    while !b.is_zero() {
        (a, b) = (b.clone(), a % b);
    }
    a.abs()
}

/// A number that depends on every byte of `name`: FNV-1a.
pub(super) fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
