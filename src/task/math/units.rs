//! Units, which do not count, unless they contradict each other.

use super::read::is_text_command;

/// Whether both texts name units, and none that the other names: `5\text{ feet}`, `5 inches`.
pub(super) fn clash(gold: &str, given: &str) -> bool {
    let (of_gold, of_given) = (units(gold), units(given));
    if of_gold.is_empty() || of_given.is_empty() {
        return false;
    }
    // cm^2 and cm^3
    let powers = power(gold).zip(power(given));
    powers.is_some_and(|(a, b)| a != b) || !of_gold.iter().any(|unit| of_given.contains(unit))
}

/// The power of the unit that ends `text`.
fn power(text: &str) -> Option<&str> {
    let (unit, power) = text.rsplit_once('^')?;
    let power =
        power.trim_matches(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '$' | '.'));
    (unit.ends_with('}') && matches!(power, "2" | "3")).then_some(power)
}

/// The units that `text` names.
fn units(text: &str) -> Vec<&'static str> {
    const SIGNS: [(&str, &str); 8] = [
        ("\\$", "dollar"),
        ("\u{20ac}", "euro"),
        ("\u{a3}", "pound"),
        ("%", "percent"),
        ("\u{b0}", "degree"),
        ("^\\circ", "degree"),
        ("^{\\circ}", "degree"),
        ("\\degree", "degree"),
    ];
    let text = text.replace(".m.", "m").replace(".M.", "M");
    let mut found: Vec<&'static str> =
        SIGNS.iter().filter(|(sign, _)| text.contains(sign)).map(|(_, unit)| *unit).collect();
    let mut rest = text.as_str();
    // words, each with whether it stands in a text command, where even one letter is a unit
    let mut depth = 0_usize;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || matches!(c, '{' | '}')) {
        let before = &rest[..at];
        let word = &rest[at..];
        let end = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
        if end == 0 {
            depth = match (word.starts_with('{'), depth) {
                (true, 0) => 0,
                (true, depth) => depth + 1,
                (false, depth) => depth.saturating_sub(1),
            };
            rest = &word[1..];
            continue;
        }
        let (word, after) = word.split_at(end);
        rest = after;
        if before.ends_with('\\') {
            if is_text_command(word) && after.trim_start().starts_with('{') && depth == 0 {
                depth = 1;
                rest = &after.trim_start()[1..];
            }
        } else {
            found.extend(named(word, depth > 0));
        }
    }
    found
}

/// The units that a word names; short ones only where the word is a text.
fn named(word: &str, in_text: bool) -> Vec<&'static str> {
    let lower = word.to_ascii_lowercase();
    let plural = lower.strip_suffix('s').filter(|_| lower.len() > 3).unwrap_or(&lower);
    let long: &[&str] = match plural {
        "inch" | "inche" => &["inch"],
        "foot" | "feet" | "ft" => &["foot"],
        "yard" | "yd" => &["yard"],
        "mile" | "mi" => &["mile"],
        "mph" => &["mile", "hour"],
        "millimeter" | "millimetre" | "mm" => &["millimeter"],
        "centimeter" | "centimetre" | "cm" => &["centimeter"],
        "meter" | "metre" => &["meter"],
        "kilometer" | "kilometre" | "km" => &["kilometer"],
        "gram" => &["gram"],
        "kilogram" | "kg" => &["kilogram"],
        "pound" | "lb" => &["pound"],
        "ounce" | "oz" => &["ounce"],
        "second" => &["second"],
        "minute" => &["minute"],
        "hour" | "hr" => &["hour"],
        "day" => &["day"],
        "week" => &["week"],
        "month" => &["month"],
        "year" => &["year"],
        "degree" => &["degree"],
        "radian" => &["radian"],
        "percent" | "percentage" | "pct" => &["percent"],
        "dollar" => &["dollar"],
        "cent" => &["cent"],
        "euro" => &["euro"],
        "am" => &["morning"],
        "pm" => &["afternoon"],
        "liter" | "litre" => &["liter"],
        "gallon" | "gal" => &["gallon"],
        _ => &[],
    };
    let short: &[&str] = match lower.as_str() {
        "in" => &["inch"],
        "m" => &["meter"],
        "g" => &["gram"],
        "s" | "sec" => &["second"],
        "min" => &["minute"],
        "h" => &["hour"],
        "l" => &["liter"],
        "rad" => &["radian"],
        "kmh" => &["kilometer", "hour"],
        _ => &[],
    };
    let of = |units: &[&'static str]| units.to_vec();
    match (in_text, long.is_empty()) {
        (true, true) => of(short),
        _ => of(long),
    }
}
