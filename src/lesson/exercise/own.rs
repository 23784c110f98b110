//! Exercises about a reader's own data and runs.

use super::Judgement;
use crate::adapter::LoraConfig;
use crate::card::Card;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::experiment::Recipe;
use crate::train::{Finetune, Method};

/// Data read from other columns: what is asked, and what is answered, stand where `like` has them.
pub fn maps_columns(mine: &Dataset, like: &Dataset) -> Judgement {
    let turns = |data: &Dataset| -> Vec<(Option<String>, Option<String>)> {
        let of = |example: &crate::dataset::Example| {
            let said = &example.conversation;
            let asked = said.messages.first().map(|message| message.content.clone());
            (asked, said.completion().map(str::to_owned))
        };
        data.examples.iter().map(of).collect()
    };
    let (own, other) = (turns(mine), turns(like));
    let found =
        own.iter().filter(|(asked, _)| other.iter().any(|(known, _)| known == asked)).count();
    if found < own.len() {
        return Judgement::not_yet(format!(
            "Of {} questions {found} are questions of `{}`. Which column holds what is asked?",
            own.len(),
            like.name
        ));
    }
    // the answers are in fewer words, but end alike
    let ends = |(asked, said): &(Option<String>, Option<String>)| {
        let same = other.iter().find(|(known, _)| known == asked);
        same.and_then(|(_, full)| Some(full.as_ref()?.ends_with(said.as_ref()?.as_str())))
            == Some(true)
    };
    let right = own.iter().filter(|row| ends(row)).count();
    match right == own.len() {
        true => Judgement::right(format!(
            "{} rows are conversations now, each with the answer that belongs to its question.",
            own.len()
        )),
        false => Judgement::not_yet(format!(
            "{right} of {} answers end as those of `{}` to the same question.",
            own.len(),
            like.name
        )),
    }
}

/// A recipe that trains as `like`, but with half the rank and the same scale.
///
/// # Errors
/// One of them trains no adapter.
pub fn halves_the_rank(mine: &Recipe, like: &Recipe) -> Result<Judgement> {
    let (own, other) = (lora(mine)?, lora(like)?);
    if own.rank * 2 != other.rank {
        return Ok(Judgement::not_yet(format!(
            "Its rank is {}, and {} is half of {}.",
            own.rank,
            other.rank / 2,
            other.rank
        )));
    }
    let scale = |lora: &LoraConfig| lora.alpha / lora.rank as f64;
    if scale(own) != scale(other) {
        return Ok(Judgement::not_yet(format!(
            "The rank is half, but the scale alpha / rank is {} instead of {}: two things differ, and a difference could come from either.",
            scale(own),
            scale(other)
        )));
    }
    let same_but = |recipe: &Recipe| {
        let lora = LoraConfig { rank: 1, alpha: 1.0, ..lora(recipe)?.clone() };
        Ok::<_, Error>(Recipe {
            name: String::new(),
            finetune: Finetune { method: Method::Lora(lora), ..recipe.finetune.clone() },
            ..recipe.clone()
        })
    };
    Ok(match same_but(mine)? == same_but(like)? {
        true => Judgement::right(format!(
            "Rank {} with scale {}: the update has half the numbers, and nothing else differs.",
            own.rank,
            scale(own)
        )),
        false => Judgement::not_yet("Something else than rank and alpha differs as well.".into()),
    })
}

fn lora(recipe: &Recipe) -> Result<&LoraConfig> {
    match &recipe.finetune.method {
        Method::Lora(lora) => Ok(lora),
        Method::Full => Err(Error::invalid(
            format!("recipe {}", recipe.name),
            "trains every weight; name an adapter under [finetune.method.lora]",
        )),
    }
}

/// Two trainings whose cards differ in one thing that was decided, and in what follows from it.
///
/// # Errors
/// A card cannot be read.
pub fn differ_in_one(one: &Card, other: &Card) -> Result<Judgement> {
    let mut decided: Vec<String> = Vec::new();
    for difference in one.differences(other)? {
        let field = difference.field;
        let thing = match field.split('.').next().unwrap_or_default() {
            // what was made follows from what was decided; seeds stand in the recipe too
            "files" | "seeds" => continue,
            // a mask's rule, counts and hash are one thing
            whole @ ("mask" | "data" | "weights") => whole.to_owned(),
            _ => field,
        };
        if !decided.contains(&thing) {
            decided.push(thing);
        }
    }
    Ok(match &decided[..] {
        [] => Judgement::not_yet("No field differs: it is the same run.".into()),
        [field] => Judgement::right(format!(
            "`{field}` alone differs: what the two models do otherwise comes from it."
        )),
        _ => Judgement::not_yet(format!(
            "{} things differ: {}. Of what the two models do otherwise nobody can say which caused it.",
            decided.len(),
            decided.join(", ")
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(rows: &str) -> Dataset {
        Dataset::parse(rows.as_bytes(), "tickets.jsonl".as_ref()).unwrap()
    }

    #[test]
    fn columns_are_judged_by_what_they_say() {
        let like = data("{\"question\": \"wifi?\", \"answer\": \"I think network\"}\n");
        let judge = |rows: &str| maps_columns(&data(rows), &like);
        assert!(judge("{\"question\": \"wifi?\", \"answer\": \"network\"}\n").right);
        let turned = judge("{\"question\": \"network\", \"answer\": \"wifi?\"}\n");
        assert!(turned.why.contains("Which column"), "{turned:?}");
        let wrong = judge("{\"question\": \"wifi?\", \"answer\": \"billing\"}\n");
        assert!(wrong.why.contains("0 of 1 answers"), "{wrong:?}");
    }

    #[test]
    fn half_the_rank_keeps_the_scale() {
        let recipe = |rank: usize, alpha: f64, epochs: usize| -> Recipe {
            format!("name = \"r{rank}\"\n[finetune]\nepochs = {epochs}\n[finetune.method.lora]\nrank = {rank}\nalpha = {alpha}\n")
                .parse()
                .unwrap()
        };
        let like = recipe(16, 32.0, 3);
        let judge = |mine: Recipe| halves_the_rank(&mine, &like).unwrap();
        assert!(judge(recipe(8, 16.0, 3)).right);
        assert!(judge(recipe(16, 32.0, 3)).why.contains("is half of"));
        assert!(judge(recipe(8, 32.0, 3)).why.contains("scale"));
        assert!(judge(recipe(8, 16.0, 4)).why.contains("Something else"));
    }
}
