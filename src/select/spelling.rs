/// What earlier recipes and results call `stm_2.5` as it is written today: `stm(2.5)`.
pub fn respelled(name: &str) -> Option<String> {
    let of = |preset: &str| {
        let threshold = name.strip_prefix(preset)?.strip_prefix('_')?.parse::<f64>().ok()?;
        Some(format!("{preset}({threshold})"))
    };
    ["stm", "random_mask", "lowest_mask"].into_iter().find_map(of)
}

/// The name that an arm has today: results of older versions, and people, also say `stm_2.5`, or `stm_2.5@dora`. What names no arm, as `base`,
/// stays as it is.
pub fn canonical(name: &str) -> String {
    let (arm, variant) = match name.rsplit_once('@') {
        Some((arm, _)) => (arm, &name[arm.len()..]),
        None => (name, ""),
    };
    respelled(arm).map_or_else(|| name.to_owned(), |arm| arm + variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_the_name_of_today() {
        assert_eq!(canonical("stm_2.5@dora"), "stm(2.5)@dora");
        assert_eq!(canonical("random_mask_25"), "random_mask(25)");
        assert_eq!([canonical("base"), canonical("rephrase")], ["base", "rephrase"]);
    }
}
