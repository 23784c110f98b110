//! What a formula is worth at a point: exactly where every step is rational, else with sixteen digits and a bound on the error.
//!
//! Powers and roots with an odd denominator are real where their base is: `(-8)^{1/3}` is -2.

use super::complex::{self, Complex};
use super::expression::Expr;
use num_bigint::{BigInt, BigUint};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::cell::Cell;
use std::collections::HashMap;

/// Most bits of an exact number; larger ones go on as floating point.
const MAX_BITS: u64 = 20_000;
/// The error of one step of floating point, with room for functions that are less exact.
const STEP: f64 = 4.0 * f64::EPSILON;
/// Most bits of a rational, above and below its line, that a value without an exact form may be; a longer one is a rounded decimal.
const SIMPLE_BITS: u64 = 40;

/// A value: `exact` where it is a rational number that was computed without rounding, else `about`, at most `error` away.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub exact: Option<BigRational>,
    pub about: Complex,
    error: f64,
}

impl Value {
    fn exact(value: BigRational) -> Self {
        let about = value.to_f64().unwrap_or(f64::NAN);
        let small = bits(&value) <= MAX_BITS;
        Self {
            about: complex::real(about),
            error: about.abs() * STEP,
            exact: small.then_some(value),
        }
    }

    /// `None` for what floating point cannot hold.
    fn about(value: Complex, error: f64) -> Option<Self> {
        let error = error + STEP * complex::norm(value);
        (complex::is_finite(value) && error.is_finite()).then_some(Self {
            exact: None,
            about: value,
            error,
        })
    }

    /// Infinity or minus infinity.
    pub fn infinite(positive: bool) -> Self {
        let about = if positive { f64::INFINITY } else { f64::NEG_INFINITY };
        Self { exact: None, about: complex::real(about), error: 0.0 }
    }

    fn size(&self) -> f64 {
        complex::norm(self.about)
    }

    fn is_real(&self) -> bool {
        self.about.im.abs() <= self.error.max(1e-12 * self.size())
    }

    fn is_infinite(&self) -> bool {
        self.about.re.is_infinite() && self.exact.is_none()
    }

    pub fn is_zero(&self) -> bool {
        match &self.exact {
            Some(exact) => exact.is_zero(),
            None => self.size() <= 8.0 * self.error,
        }
    }

    /// Whether two values are the same: exactly if both are exact, else to as many digits as are known. `None` if those are too
    /// few.
    pub fn same(&self, other: &Self) -> Option<bool> {
        if let (Some(a), Some(b)) = (&self.exact, &other.exact) {
            return Some(a == b);
        }
        if self.is_infinite() || other.is_infinite() {
            let both = self.is_infinite() && other.is_infinite();
            return Some(both && self.about.re == other.about.re);
        }
        let allowed = 8.0 * (self.error + other.error);
        let apart = complex::norm(self.about - other.about);
        if !apart.is_finite() || !allowed.is_finite() {
            return None;
        }
        if apart > allowed {
            return Some(false);
        }
        if allowed > 1e-10 && allowed > 1e-9 * self.size().max(other.size()) {
            return None;
        }
        // what is near 1.41421356237309505 need not be it
        let simple = |v: &Self| {
            v.exact.as_ref().is_none_or(|e| e.numer().bits() + e.denom().bits() <= SIMPLE_BITS)
        };
        Some(simple(self) && simple(other))
    }

    /// Whether this real value is less than `other`.
    pub fn less(&self, other: &Self) -> bool {
        match (&self.exact, &other.exact) {
            (Some(a), Some(b)) => a < b,
            _ => self.about.re < other.about.re,
        }
    }
}

fn bits(value: &BigRational) -> u64 {
    value.numer().bits().max(value.denom().bits())
}

/// The values of letters.
pub(super) type Point = HashMap<String, BigRational>;

/// Which numbers a formula is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Domain {
    /// What leaves the real numbers on its way has no value.
    Real,
    /// Roots, powers and logarithms have their principal values.
    Complex,
}

/// Computes values where the letters have those of `point`.
pub(super) struct Evaluator<'a> {
    pub point: &'a Point,
    pub domain: Domain,
    /// Steps of exact arithmetic that are left; after them all goes on as floating point.
    pub work: &'a Cell<u64>,
    /// Is set where a step in floating point loses what tells an exact number from its neighbors: `\sqrt{10^{20}+1}`.
    pub blurred: &'a Cell<bool>,
}

impl Evaluator<'_> {
    /// The value of `expr`; `None` where it has none or is not one number.
    pub fn value(&self, expr: &Expr) -> Option<Value> {
        self.work.set(self.work.get().checked_sub(100)?);
        let at = |part: &Expr| self.value(part);
        let value = match expr {
            Expr::Number(number) => Value::exact(number.clone()),
            Expr::Pi => Value::about(complex::real(std::f64::consts::PI), 0.0)?,
            Expr::Euler => Value::about(complex::real(std::f64::consts::E), 0.0)?,
            Expr::Imaginary => Value::about(Complex::new(0.0, 1.0), 0.0)?,
            Expr::Infinity => Value::infinite(true),
            Expr::Symbol(name) => self.point.get(name).cloned().map(Value::exact)?,
            Expr::Sum(parts) => {
                parts.iter().try_fold(Value::exact(BigRational::zero()), |sum, part| {
                    self.sum(&sum, &at(part)?)
                })?
            }
            Expr::Product(parts) => {
                parts.iter().try_fold(Value::exact(BigRational::one()), |product, part| {
                    self.product(&product, &at(part)?)
                })?
            }
            Expr::Divide(over, under) => self.quotient(&at(over)?, &at(under)?)?,
            Expr::Negative(part) => negative(at(part)?),
            Expr::Power(base, exponent) => self.power(&at(base)?, &at(exponent)?)?,
            Expr::Apply(name, arguments) => {
                let arguments = arguments.iter().map(at).collect::<Option<Vec<_>>>()?;
                self.apply(name, &arguments)?
            }
            Expr::PlusMinus(..)
            | Expr::Tuple(..)
            | Expr::Set(_)
            | Expr::List(_)
            | Expr::Union(_)
            | Expr::Matrix(_)
            | Expr::Relation(..)
            | Expr::Text(_) => return None,
        };
        let fits = self.domain == Domain::Complex || value.is_real();
        fits.then_some(value)
    }

    /// Both exactly, if they are and there is work left for it.
    fn exactly<'v>(
        &self,
        a: &'v Value,
        b: &'v Value,
    ) -> Option<(&'v BigRational, &'v BigRational)> {
        let (x, y) = (a.exact.as_ref()?, b.exact.as_ref()?);
        // a step of the divisor takes away one bit
        let bits = bits(x) + bits(y);
        let cost = bits * (bits / 64 + 1);
        let left = self.work.get().checked_sub(cost)?;
        self.work.set(left);
        Some((x, y))
    }

    /// Notes where a long exact number goes on as floating point. A power of ten may be long.
    fn enter(&self, value: &Value) {
        const MOST_BITS: u64 = 44;
        let long = |n: &BigInt| {
            let mut n = n.abs();
            let ten = BigInt::from(10);
            while n.bits() > MOST_BITS && n.bits() < 4_000 && (&n % &ten).is_zero() {
                n /= &ten;
            }
            n.bits() - n.trailing_zeros().unwrap_or(0).min(n.bits()) > MOST_BITS
        };
        if value.exact.as_ref().is_some_and(|e| long(e.numer()) || long(e.denom())) {
            self.blurred.set(true);
        }
    }

    /// Whether the value of a formula without letters is surely no rational number.
    pub fn is_irrational(&self, expr: &Expr) -> bool {
        let exact = |e: &Expr| self.value(e).and_then(|v| v.exact);
        // one part is no rational number, the others are, and not zero where they are factors
        let one_of = |parts: &[&Expr], factors: bool| {
            let (odd, other): (Vec<&Expr>, Vec<&Expr>) =
                parts.iter().partition(|part| exact(part).is_none());
            let zero = |e: &&Expr| exact(e).is_none_or(|e| e.is_zero());
            matches!(odd[..], [odd] if self.is_irrational(odd))
                && !(factors && other.iter().any(zero))
        };
        match expr {
            Expr::Pi | Expr::Euler => true,
            Expr::Negative(part) => self.is_irrational(part),
            Expr::Sum(parts) => one_of(&parts.iter().collect::<Vec<_>>(), false),
            Expr::Product(parts) => one_of(&parts.iter().collect::<Vec<_>>(), true),
            Expr::Divide(over, under) => one_of(&[over, under], true),
            Expr::Power(base, exponent) => {
                let parts = exact(base).zip(exact(exponent));
                parts.is_some_and(|(base, exponent)| {
                    let degree = exponent.denom().to_u32();
                    base.is_positive()
                        && degree.is_some_and(|n| (2..=64).contains(&n))
                        && bits(&base) <= MAX_BITS
                        && exact_root(&base, degree.unwrap_or(0)).is_none()
                })
            }
            Expr::Apply(name, arguments) if name == "root" => match &arguments[..] {
                [degree, inside] => {
                    let parts = exact(degree).as_ref().and_then(whole).zip(exact(inside));
                    parts.is_some_and(|(n, inside)| {
                        (2..=64).contains(&n)
                            && inside.is_positive()
                            && exact_root(&inside, n as u32).is_none()
                    })
                }
                _ => false,
            },
            Expr::Apply(name, arguments) if name == "ln" => {
                let inside = arguments.first().and_then(exact);
                inside.is_some_and(|inside| inside.is_positive() && !inside.is_one())
            }
            _ => false,
        }
    }

    fn sum(&self, a: &Value, b: &Value) -> Option<Value> {
        match self.exactly(a, b) {
            Some((x, y)) => Some(Value::exact(x + y)),
            None => {
                const SMALL: f64 = 1e-8;
                let (small, large) = (a.size().min(b.size()), a.size().max(b.size()));
                if small > 0.0 && small < SMALL * large {
                    self.blurred.set(true);
                }
                Value::about(a.about + b.about, a.error + b.error)
            }
        }
    }

    fn product(&self, a: &Value, b: &Value) -> Option<Value> {
        match self.exactly(a, b) {
            Some((x, y)) => Some(Value::exact(x * y)),
            None => {
                self.enter(a);
                self.enter(b);
                let error = a.size() * b.error + b.size() * a.error + a.error * b.error;
                Value::about(a.about * b.about, error)
            }
        }
    }

    /// The quotient of two values, unless the second may be zero.
    pub fn quotient(&self, a: &Value, b: &Value) -> Option<Value> {
        if b.is_zero() {
            return None;
        }
        match self.exactly(a, b) {
            Some((x, y)) => Some(Value::exact(x / y)),
            None => {
                self.enter(a);
                self.enter(b);
                let ratio = a.about / b.about;
                let error = (a.error + complex::norm(ratio) * b.error) / (b.size() - b.error);
                Value::about(ratio, error)
            }
        }
    }

    fn power(&self, base: &Value, exponent: &Value) -> Option<Value> {
        if let Some((b, e)) = self.exactly(base, exponent)
            && let Some(exact) = exact_power(b, e)
        {
            let cost = bits(&exact) * (bits(&exact) / 64 + 1);
            self.work.set(self.work.get().saturating_sub(cost));
            return Some(Value::exact(exact));
        }
        if base.is_zero() {
            if !exponent.is_real() || exponent.about.re <= 8.0 * exponent.error {
                return None;
            }
            let zero = complex::real(0.0);
            return Value::about(zero, (base.size() + base.error).powf(exponent.about.re));
        }
        self.enter(base);
        self.enter(exponent);
        let rational = exponent.exact.as_ref();
        let (b, e) = (base.about, exponent.about);
        let about = match (base.is_real(), exponent.is_real()) {
            (true, true) if b.re > 0.0 => complex::real(b.re.powf(e.re)),
            _ => match rational.and_then(whole) {
                Some(n) if n.abs() < 1_000 => whole_power(b, n),
                _ => match rational {
                    Some(r) if base.is_real() && odd(r.denom()) => {
                        let size = (-b.re).powf(e.re);
                        complex::real(if odd(r.numer()) { -size } else { size })
                    }
                    _ if self.domain == Domain::Complex => complex::power(b, e),
                    _ => return None,
                },
            },
        };
        let turns = complex::norm(complex::ln(b));
        let relative =
            complex::norm(e) * (base.error / base.size() + STEP * turns) + turns * exponent.error;
        Value::about(about, complex::norm(about) * relative)
    }

    /// The principal logarithm, in the real numbers that of a positive one.
    fn ln(&self, x: &Value) -> Option<Value> {
        if x.is_zero() || self.domain == Domain::Real && x.about.re < 0.0 {
            return None;
        }
        self.enter(x);
        Value::about(complex::ln(x.about), x.error / (x.size() - x.error) + STEP)
    }

    fn log(&self, x: &Value, base: &Value) -> Option<Value> {
        let (over, under) = (self.ln(x)?, self.ln(base)?);
        let log = self.quotient(&over, &under)?;
        if let (Some(x), Some(base)) = (&x.exact, &base.exact)
            && let Some(n) = log.about.re.round().to_i64().filter(|n| n.abs() < 1_000)
            && exact_power(base, &BigRational::from_integer(n.into())).as_ref() == Some(x)
        {
            return Some(Value::exact(BigRational::from_integer(n.into())));
        }
        Some(log)
    }

    fn root(&self, degree: &Value, inside: &Value) -> Option<Value> {
        let n = degree.exact.as_ref().and_then(whole).filter(|n| (1..=64).contains(n))?;
        self.power(inside, &Value::exact(BigRational::new(1.into(), n.into())))
    }

    fn apply(&self, name: &str, arguments: &[Value]) -> Option<Value> {
        let first = arguments.first()?;
        let x = first.about;
        if !matches!(name, "root" | "abs" | "floor" | "ceil" | "log" | "lg") {
            self.enter(first);
        }
        // a function that is smooth about x, and by how much it stretches there
        let smooth =
            |value: Complex, stretch: f64| Value::about(value, stretch * first.error + STEP);
        let inverse = |value: Complex| {
            // its slope has no bound at one and minus one
            let steep = complex::norm(complex::real(1.0) - x * x).max(first.error).sqrt();
            let left = self.domain == Domain::Real && x.re.abs() > 1.0 + 8.0 * first.error;
            let whole = first.exact.as_ref().is_some_and(BigRational::is_integer);
            if left {
                None
            } else if whole {
                Value::about(value, STEP)
            } else {
                smooth(value, 1.0 / steep)
            }
        };
        let (sin, cos) =
            (|| smooth(complex::sin(x), x.im.cosh()), || smooth(complex::cos(x), x.im.cosh()));
        let one = Value::exact(BigRational::one());
        match name {
            "root" => self.root(first, arguments.get(1)?),
            "abs" => match &first.exact {
                Some(exact) => Some(Value::exact(exact.abs())),
                None => Value::about(complex::real(first.size()), first.error),
            },
            "floor" | "ceil" => {
                let exact = match &first.exact {
                    Some(exact) => exact.clone(),
                    None if first.is_real() && x.re.abs() < 1e9 => {
                        // what may be whole is
                        let near = x.re.round();
                        let is_near = (x.re - near).abs() <= 8.0 * first.error;
                        BigRational::from_float(if is_near { near } else { x.re })?
                    }
                    None => return None,
                };
                Some(Value::exact(if name == "floor" { exact.floor() } else { exact.ceil() }))
            }
            "!" => {
                let n = first.exact.as_ref().and_then(whole).filter(|n| (0..=1_000).contains(n))?;
                self.work.set(self.work.get().checked_sub(1_000 * n as u64)?);
                let product = (1..=n).fold(BigInt::one(), |product, k| product * k);
                Some(Value::exact(BigRational::from_integer(product)))
            }
            "binom" => {
                let n = first.exact.as_ref().filter(|n| bits(n) <= 64)?;
                let k = arguments.get(1)?.exact.as_ref().and_then(whole);
                let k = k.filter(|k| (0..=200).contains(k))?;
                self.work.set(self.work.get().checked_sub(200_000 * k as u64)?);
                let integer = |i: i64| BigRational::from_integer(i.into());
                let ways = (0..k)
                    .fold(BigRational::one(), |ways, i| ways * (n - integer(i)) / integer(i + 1));
                Some(Value::exact(ways))
            }
            "gcd" | "lcm" | "max" | "min" => of_several(name, arguments),
            "sin" => sin(),
            "cos" => cos(),
            "tan" => self.quotient(&sin()?, &cos()?),
            "cot" => self.quotient(&cos()?, &sin()?),
            "sec" => self.quotient(&one, &cos()?),
            "csc" => self.quotient(&one, &sin()?),
            "arcsin" => inverse(complex::arcsin(x)),
            "arccos" => inverse(complex::arccos(x)),
            "arctan" => smooth(complex::arctan(x), 1.0),
            "sinh" | "cosh" | "tanh" => {
                let steep = x.re.cosh();
                let (sinh, cosh) =
                    (smooth(complex::sinh(x), steep)?, smooth(complex::cosh(x), steep)?);
                match name {
                    "sinh" => Some(sinh),
                    "cosh" => Some(cosh),
                    _ => self.quotient(&sinh, &cosh),
                }
            }
            "exp" | "cis" => {
                let i = Complex::new(0.0, 1.0);
                let value = complex::exp(if name == "cis" { i * x } else { x });
                Value::about(value, complex::norm(value) * (first.error + STEP))
            }
            "ln" => self.ln(first),
            "log" | "lg" => match arguments.get(1) {
                Some(base) if name == "log" => self.log(first, base),
                _ => self.log(first, &Value::exact(BigRational::from_integer(10.into()))),
            },
            // A function that is not known: any smooth one that no two names share stands for it.
            unknown => {
                let seed = 1.0 + (hash(unknown) % 1_000) as f64 / 997.0;
                let mut error = 0.0;
                let start = complex::real(seed);
                let mixed = arguments.iter().enumerate().fold(start, |sum, (i, a)| {
                    let scale = i as f64 + 1.37;
                    error += a.error * (scale * (scale * a.about.im).cosh() + 0.3 + seed);
                    sum + complex::sin(a.about * scale) + a.about * (0.3 + seed)
                });
                Value::about(mixed, error)
            }
        }
    }
}

fn negative(value: Value) -> Value {
    Value { exact: value.exact.map(|e| -e), about: -value.about, error: value.error }
}

fn odd(n: &BigInt) -> bool {
    n.bit(0)
}

fn whole_power(base: Complex, times: i64) -> Complex {
    let product = (0..times.abs()).fold(complex::real(1.0), |product, _| product * base);
    if times < 0 { complex::real(1.0) / product } else { product }
}

fn whole(value: &BigRational) -> Option<i64> {
    value.is_integer().then(|| value.to_integer().to_i64())?
}

/// A rational to a rational power where that is rational and not too long.
fn exact_power(base: &BigRational, exponent: &BigRational) -> Option<BigRational> {
    let times = exponent.numer().to_i32()?;
    let degree = exponent.denom().to_u32()?;
    if bits(base).saturating_mul(u64::from(times.unsigned_abs())) > MAX_BITS
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

/// The root of a rational where it is rational.
fn exact_root(value: &BigRational, degree: u32) -> Option<BigRational> {
    if degree == 0 || degree > 64 || value.is_negative() && degree.is_multiple_of(2) {
        return None;
    }
    let root = |n: &BigInt| -> Option<BigInt> {
        let n: BigUint = n.abs().to_biguint()?;
        let root = n.nth_root(degree);
        (root.pow(degree) == n).then(|| root.into())
    };
    let size = BigRational::new(root(value.numer())?, root(value.denom())?);
    Some(if value.is_negative() { -size } else { size })
}

/// The largest, smallest, common divisor or common multiple of exact values.
fn of_several(name: &str, arguments: &[Value]) -> Option<Value> {
    let all = arguments.iter().map(|a| a.exact.clone()).collect::<Option<Vec<_>>>()?;
    if name == "max" || name == "min" {
        let larger = name == "max";
        return all
            .into_iter()
            .reduce(|a, b| if (a > b) == larger { a } else { b })
            .map(Value::exact);
    }
    let wholes = all
        .iter()
        .map(|a| (a.is_integer() && bits(a) <= 2_000).then(|| a.to_integer()))
        .collect::<Option<Vec<_>>>()?;
    let result = wholes.into_iter().reduce(|a, b| {
        let divisor = divisor(a.clone(), b.clone());
        match name {
            "gcd" => divisor,
            _ if divisor.is_zero() => divisor,
            _ => a * b / divisor,
        }
    })?;
    Some(Value::exact(BigRational::from_integer(result)))
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
