//! Exercises about what was lost: form or skill, single items, the paper's backward transfer.

use super::Judgement;
use crate::error::{Error, Result};
use crate::lesson::{Answers, Losses, Lost, TaskLoss, forgotten};
use crate::task::Form;

/// Whether more than half of what was lost of a task is form.
fn mostly_form(task: &TaskLoss) -> bool {
    task.points.value < 0.0 && task.form.value < 0.5 * task.points.value
}

/// The name of a task of whose loss more than half is form, or `None` if there is no such task.
pub fn lost_in_form(losses: &Losses, mine: Option<&str>) -> Judgement {
    let points = |task: &TaskLoss| {
        format!(
            "of the {:.0} points lost of {} {:.0} are form",
            task.points.value.abs(),
            task.task,
            task.form.value.abs()
        )
    };
    let most = losses.tasks.iter().min_by(|one, other| one.form.value.total_cmp(&other.form.value));
    let Some(name) = mine else {
        return match losses.tasks.iter().any(mostly_form) {
            true => Judgement::not_yet("There is one: look at the columns points and form.".into()),
            false => Judgement::right(format!(
                "By the grader's reading there is none: at most, {}.",
                most.map_or("nothing was lost".to_owned(), points)
            )),
        };
    };
    match losses.tasks.iter().find(|task| task.task == name) {
        None => Judgement::not_yet(format!("`{name}` was not asked.")),
        Some(task) if task.points.value >= 0.0 => {
            Judgement::not_yet(format!("Nothing was lost of {name}."))
        }
        Some(task) if mostly_form(task) => Judgement::right(format!("Indeed, {}.", points(task))),
        Some(task) => Judgement::not_yet(format!(
            "No: {}. If it is so with every task, the answer is None.",
            points(task)
        )),
    }
}

/// The id of an item that was answered rightly and is now answered in the right form, but wrongly.
///
/// # Errors
/// The two were not asked the same items of the task that the id names.
pub fn lost_in_skill(before: &Answers, after: &Answers, id: &str) -> Result<Judgement> {
    let task = id.split('/').next().unwrap_or_default();
    let (items, earlier) = before.of(task)?;
    let Some(at) = items.iter().position(|item| item.id == id) else {
        let problem = format!("`{id}` is not among those of {task} that were asked");
        return Err(Error::invalid("item", problem));
    };
    if earlier[at].score.value < 1.0 {
        return Ok(Judgement::not_yet(format!(
            "{} could not answer {id} either: {}",
            before.name, earlier[at].score.why
        )));
    }
    let lost = forgotten(before, after, task)?;
    let Some(lost) = lost.iter().find(|lost| lost.item.id == id) else {
        return Ok(Judgement::not_yet(format!("{} still answers {id} rightly.", after.name)));
    };
    let why = &lost.after.score.why;
    if lost.lost() == Lost::Form {
        return Ok(Judgement::not_yet(format!("The right answer to {id} is still there: {why}")));
    }
    if lost.after.score.form != Form::Kept {
        return Ok(Judgement::not_yet(format!(
            "No answer to {id} can be read ({why}), so that nobody can tell whether the skill is there. Find one whose form is kept."
        )));
    }
    if lost.names_right_option() == Some(true) {
        return Ok(Judgement::not_yet(format!(
            "The answer to {id} names the right option in words and another one's letter: it knows."
        )));
    }
    Ok(Judgement::right(format!("{id} was right, has the right form and is wrong: {why}")))
}

/// The paper's BWT of `losses`, in percent.
pub fn is_backward_transfer(losses: &Losses, mine: f64) -> Judgement {
    let near = |value: Option<f64>| value.is_some_and(|value| (value - mine).abs() < 0.05);
    let Some(expected) = losses.backward_transfer() else {
        return Judgement::not_yet("base scores 0 on a task, so that it is not defined.".into());
    };
    let pairs = losses.pairs();
    let turned: Vec<(f64, f64)> = pairs.iter().map(|(base, tuned)| (*tuned, *base)).collect();
    let all: Vec<(f64, f64)> = losses.tasks.iter().map(|task| (task.base, task.tuned)).collect();
    let of_means = {
        let count = pairs.len().max(1) as f64;
        let (base, tuned) = pairs
            .iter()
            .fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0 / count, sum.1 + pair.1 / count));
        crate::metric::relative_change(base, tuned)
    };
    let hint = if near(Some(expected)) {
        return Judgement::right(format!(
            "{mine:.1} %: the mean of {} changes, each divided by its own base.",
            pairs.len()
        ));
    } else if near(losses.backward_transfer_points()) {
        "is the mean change in points, which is SSR's; the paper divides each task's change by its base"
    } else if near(of_means) {
        "divides the change of the mean by the mean; the paper takes the mean of the tasks' own relative changes"
    } else if near(crate::metric::backward_transfer(&all)) {
        "counts the target too, which is meant to change"
    } else if near(crate::metric::backward_transfer(&turned).map(|value| -value)) {
        "divides by what the model can do now; the denominator is base"
    } else if near(Some(-expected)) {
        "has the other sign: what is lost is below 0"
    } else if near(Some(expected / 100.0)) {
        "is a share; the paper prints percent"
    } else {
        "is not the mean over the other tasks of 100 · (now − base) / base"
    };
    Judgement::not_yet(format!("{mine:.1} {hint}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::answers::tests::{BEFORE, answered};
    use crate::lesson::losses;
    use crate::metric;

    const AFTER: [&str; 4] =
        ["This holds for low only.\nAnswer: A", BEFORE[1], "That makes 5.", "Answer: 8"];

    #[test]
    fn a_task_of_form_is_found_or_there_is_none() {
        let before = answered("base", BEFORE);
        let judge = |texts: [&str; 4], mine: Option<&str>| {
            let found = losses(&before.scores(), &answered("tuned", texts).scores()).unwrap();
            lost_in_form(&found, mine)
        };
        // half of the loss of word is form, and half is not more than half
        assert!(judge(AFTER, None).right);
        assert!(judge(AFTER, Some("word")).why.contains("100 points lost of word 50 are form"));
        let form = [AFTER[0], AFTER[1], "That makes 5.", BEFORE[3]];
        assert!(judge(form, Some("word")).right);
        assert!(!judge(form, None).right);
        assert!(judge(BEFORE, Some("word")).why.contains("Nothing was lost"));
        assert!(judge(AFTER, Some("chess")).why.contains("not asked"));
    }

    #[test]
    fn an_item_lost_in_skill_keeps_its_form_and_knows_nothing() {
        let (before, after) = (answered("base", BEFORE), answered("tuned", AFTER));
        let judge = |id: &str| lost_in_skill(&before, &after, id).unwrap();
        assert!(judge("word/test/1").right, "{}", judge("word/test/1").why);
        assert!(judge("word/test/0").why.contains("still there"));
        assert!(judge("choice/test/0").why.contains("it knows"));
        assert!(judge("choice/test/1").why.contains("still answers"));
        assert!(lost_in_skill(&before, &after, "word/test/9").is_err());
        let unread = answered("tuned", [AFTER[0], AFTER[1], AFTER[2], "no idea"]);
        let judgement = lost_in_skill(&before, &unread, "word/test/1").unwrap();
        assert!(judgement.why.contains("can be read"), "{}", judgement.why);
        let judgement = lost_in_skill(&after, &before, "word/test/1").unwrap();
        assert!(judgement.why.contains("could not answer"), "{}", judgement.why);
    }

    #[test]
    fn the_usual_mistakes_with_bwt_are_told_apart() {
        let task = |base: f64, tuned: f64| TaskLoss { task: "task".into(), base, tuned, ..zero() };
        fn zero() -> TaskLoss {
            let nothing = crate::stats::Estimate { value: 0.0, se: None };
            TaskLoss {
                task: String::new(),
                base: 1.0,
                tuned: 1.0,
                points: nothing,
                skill: nothing,
                form: nothing,
                items: None,
                form_kept: 1.0,
            }
        }
        let losses = Losses {
            name: "tuned".into(),
            tasks: vec![task(0.5, 0.6), task(0.8, 0.6), task(0.4, 0.1)],
        };
        let right = metric::backward_transfer(&[(0.8, 0.6), (0.4, 0.1)]).unwrap();
        assert!(is_backward_transfer(&losses, right).right);
        for (mine, part) in [
            (-25.0, "SSR"),
            (100.0 * (0.35 - 0.6) / 0.6, "mean by the mean"),
            ((20.0 - 25.0 - 75.0) / 3.0, "target too"),
            (-right, "other sign"),
            (right / 100.0, "is a share"),
            (17.0, "is not the mean"),
            (-(100.0 * 0.2 / 0.6 + 100.0 * 0.3 / 0.1) / 2.0, "denominator is base"),
        ] {
            let judgement = is_backward_transfer(&losses, mine);
            assert!(!judgement.right && judgement.why.contains(part), "{}", judgement.why);
        }
    }
}
