//! What the model that writes a component's code is told: the task, and answers to go by.

use serde_json::Value;

use crate::spec::ComponentSpec;

/// Most calls that are shown.
const SHOWN: usize = 24;
/// Most inputs of each kind that a program is sent back with.
const SENT_BACK: usize = 4;
/// Longest call that is shown, in characters of JSON.
const LONGEST_SHOWN: usize = 600;

/// The description of the function that is to be written, from inputs with the answer each got most often.
pub(super) fn description(spec: &ComponentSpec, modal: &[(Value, Value)]) -> String {
    let mut text = format!(
        "{}\n\nA model answers this today. Write code that gives the very same answer, to the letter, where the input makes it \
         clear, and `None` in every other case: a wrong answer is much worse than none. Generalise: look in every field of the \
         input for words, forms and rules that decide, not for these very inputs. Only std, serde and serde_json may be \
         used.\n\nWhat the model answered (input => output):\n",
        spec.description.trim()
    );
    for (input, output) in different(modal, SHOWN) {
        text.push_str(&format!("{input} => {output}\n"));
    }
    text
}

/// What is wrong with a program, in a few inputs: those that it answers otherwise than the model (with what it says), and
/// those that it leaves.
pub(super) fn flaw(wrong: &[(&(Value, Value), String)], silent: &[&(Value, Value)]) -> String {
    let mut text = String::new();
    for ((input, output), says) in wrong.iter().take(SENT_BACK) {
        text.push_str(&format!("{input}\n  it answers: {says}\n  the model answered: {output}\n"));
    }
    let silent: Vec<(Value, Value)> = silent.iter().map(|pair| (*pair).clone()).collect();
    for (input, output) in different(&silent, SENT_BACK) {
        text.push_str(&format!("{input}\n  it answers: None\n  the model answered: {output}\n"));
    }
    text
}

/// Calls with answers as different as there are: one of each answer, then another of each, in the order of time.
fn different(modal: &[(Value, Value)], most: usize) -> Vec<&(Value, Value)> {
    let mut groups: Vec<(&Value, Vec<usize>)> = Vec::new();
    for (place, (input, output)) in modal.iter().enumerate() {
        if format!("{input} => {output}").chars().count() > LONGEST_SHOWN {
            continue;
        }
        match groups.iter_mut().find(|(of, _)| *of == output) {
            Some((_, places)) => places.push(place),
            None => groups.push((output, vec![place])),
        }
    }
    let longest = groups.iter().map(|(_, places)| places.len()).max().unwrap_or_default();
    let turns = (0..longest).flat_map(|turn| groups.iter().filter_map(move |(_, places)| places.get(turn)));
    let mut chosen: Vec<usize> = turns.copied().take(most).collect();
    chosen.sort_unstable();
    chosen.into_iter().filter_map(|place| modal.get(place)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rare_answers_are_shown_beside_frequent_ones_and_in_order() {
        let mut modal: Vec<(Value, Value)> = (0..100).map(|number| (json!(number), json!("none"))).collect();
        modal.push((json!("late"), json!("rare")));
        modal.push((json!("x".repeat(LONGEST_SHOWN)), json!("long")));
        let shown = different(&modal, SHOWN);
        assert_eq!(shown.len(), SHOWN);
        assert_eq!(shown.iter().filter(|(_, output)| output == "rare").count(), 1);
        assert_eq!(shown[0].0, json!(0));
        assert_eq!(shown[SHOWN - 1].0, json!("late"));
    }
}
