//! The same color, mark and name for the same arm in every table and figure.
//!
//! Most colors are those of Okabe and Ito (2008), which people with a color-vision deficiency can tell apart, a little
//! darker or lighter where needed to stand out on both white and black. Every arm also has its own mark, so that nothing
//! depends on color alone.

use super::color::{Color, Look, Mark};

/// Text and axes.
pub const INK: Color = Color(0x1a, 0x1a, 0x1a);
/// The background.
pub const PAPER: Color = Color(0xff, 0xff, 0xff);
/// The base model, and what others are compared with.
pub const GRAY: Color = Color(0x76, 0x76, 0x76);
/// What surprises: the ground truth, and the heat of a token.
pub const VERMILION: Color = Color(0xd5, 0x5e, 0x00);
/// The paper's own rule, and whatever is shown alone.
pub const BLUE: Color = Color(0x00, 0x72, 0xb2);
/// Precision against a known style.
pub const OCHER: Color = Color(0xb0, 0x7a, 0x00);
/// Recall against a known style.
pub const VIOLET: Color = Color(0x7a, 0x5c, 0xc8);

/// The base model's name among the arms.
pub const BASE: &str = "base";

const KNOWN: [(&str, Look); 7] = [
    (BASE, Look::new(GRAY, Mark::Plus)),
    ("ground_truth", Look::new(VERMILION, Mark::Square)),
    ("ground_truth_on_self_output_items", Look::new(Color(0xe0, 0x97, 0x00), Mark::Diamond)),
    ("self_output", Look::new(Color(0x00, 0x9e, 0x73), Mark::Up)),
    ("rephrase", Look::new(Color(0x4a, 0xa8, 0xe0), Mark::Down)),
    ("random_mask", Look::new(Color(0xcc, 0x79, 0xa7), Mark::Cross)),
    ("lowest_mask", Look::new(Color(0x8c, 0x8c, 0x1f), Mark::Right)),
];

/// The paper's own threshold has the first look; other thresholds and arms that are not known follow.
pub const STM: Look = Look::new(BLUE, Mark::Circle);
const OTHERS: [Look; 5] = [
    Look::new(Color(0x77, 0x77, 0xdd), Mark::Circle),
    Look::new(Color(0x44, 0xaa, 0x99), Mark::Square),
    Look::new(Color(0xa5, 0x67, 0x3f), Mark::Diamond),
    Look::new(Color(0xaa, 0x44, 0x77), Mark::Up),
    Look::new(Color(0x6f, 0x8f, 0x5f), Mark::Down),
];

/// How `arm` looks among `arms` (all arms of the experiment, in the order of the recipe).
pub fn look(arm: &str, arms: &[&str]) -> Look {
    let known = |name: &str| KNOWN.iter().find(|(known, _)| *known == name).map(|(_, look)| *look);
    if let Some(look) = known(arm) {
        return look;
    }
    let stm = arms
        .iter()
        .find(|name| **name == "stm(2.5)")
        .or_else(|| arms.iter().find(|name| name.starts_with("stm")));
    if stm.is_some_and(|stm| *stm == arm) {
        return STM;
    }
    let rest = arms.iter().filter(|name| known(name).is_none() && stm != Some(name));
    let index = rest.take_while(|name| **name != arm).count();
    OTHERS[index % OTHERS.len()]
}

/// What a reader is shown for an arm's short name: `stm(2.5)` is `STM 2.5`.
pub fn label(arm: &str) -> String {
    if let Some((mask @ ("stm" | "random_mask" | "lowest_mask"), threshold)) =
        arm.strip_suffix(')').and_then(|rule| rule.split_once('('))
    {
        let mask = if mask == "stm" { "STM".to_owned() } else { mask.replace('_', " ") };
        return format!("{mask} {threshold}");
    }
    match (arm, arm.strip_prefix("stm_")) {
        ("ground_truth_on_self_output_items", _) => "ground truth, self-output items".to_owned(),
        _ if arm.contains('@') => {
            let (arm, variant) = arm.split_once('@').unwrap_or((arm, ""));
            format!("{}, {}", label(arm), variant.replace('_', " "))
        }
        ("self_output", _) => "self-output".to_owned(),
        ("self_output_right" | "self_output_any" | "self_output_wrong", _) => {
            arm.replacen("self_output_", "self-output, ", 1)
        }
        (_, Some(threshold)) => format!("STM {}", threshold.replace('_', " ")),
        _ => arm.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_arms_look_alike() {
        let arms = [
            "ground_truth",
            "ground_truth_on_self_output_items",
            "self_output",
            "rephrase",
            "stm(2.5)",
            "stm(10)",
            "stm(25)",
            "random_mask",
            "lowest_mask",
            "kl",
        ];
        for (index, one) in arms.iter().enumerate() {
            for other in arms[..index].iter().chain(&[BASE]) {
                assert_ne!(look(one, &arms).color, look(other, &arms).color, "{one} and {other}");
            }
        }
    }

    /// Text is ink alone; what is drawn in another color stands out on a dark page, too.
    #[test]
    fn marks_stand_out_on_a_dark_page() {
        let dark = Color(0x17, 0x18, 0x1a);
        let looks = KNOWN.iter().map(|(_, look)| *look).chain([STM]).chain(OTHERS);
        for color in looks.map(|look| look.color).chain([VERMILION, BLUE, OCHER, VIOLET]) {
            assert!(color.contrast(dark) >= 3.0, "{} {}", color.hex(), color.contrast(dark));
        }
        assert!(INK.contrast(PAPER) >= 4.5);
    }

    #[test]
    fn an_arm_keeps_its_look_when_another_leaves() {
        let all = ["ground_truth", "stm(2.5)", "stm(10)"];
        assert_eq!(look("stm(2.5)", &all), look("stm(2.5)", &all[..2]));
    }

    #[test]
    fn labels_read_as_words() {
        assert_eq!(label("stm(2.5)"), "STM 2.5");
        assert_eq!(label("random_mask"), "random mask");
        assert_eq!(label("random_mask(2.5)"), "random mask 2.5");
        assert_eq!(label("stm_quantile(0.75)"), "STM quantile(0.75)");
        assert_eq!(label("stm(2.5)@dora"), "STM 2.5, dora");
        assert_eq!(label("self_output_wrong"), "self-output, wrong");
    }
}
