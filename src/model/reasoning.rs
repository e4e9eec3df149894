//! Reasoning that a model wrote into its answer, told apart from the answer. Pure.

/// How models mark it.
const MARKS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
];

/// The reasoning, without its marks, and the answer after it.
///
/// Reasoning stands at the beginning or nowhere: a `<think>` within code is code. Where the server's template opened
/// it, only its end is in the answer; it is one when it stands before the first code block. Reasoning that does not end
/// was cut off, and there is no answer.
pub fn split(text: &str) -> (String, String) {
    let start = text.trim_start();
    for (open, close) in MARKS {
        if let Some(rest) = start.strip_prefix(open) {
            return match rest.split_once(close) {
                Some((reasoning, answer)) => (reasoning.trim().to_owned(), after(answer)),
                None => (rest.trim().to_owned(), String::new()),
            };
        }
    }
    let prose = start.split("```").next().unwrap_or_default();
    for (open, close) in MARKS {
        if let Some((reasoning, _)) = prose.split_once(close)
            && !reasoning.contains(open)
            && ends_line(&start[reasoning.len() + close.len()..])
        {
            return (reasoning.trim().to_owned(), after(&start[reasoning.len() + close.len()..]));
        }
    }
    (String::new(), text.to_owned())
}

/// The line breaks after reasoning belong to neither.
fn after(answer: &str) -> String {
    answer.trim_start_matches(['\n', '\r', ' ']).to_owned()
}

fn ends_line(rest: &str) -> bool {
    rest.trim_start_matches([' ', '\t', '\r']).chars().next().is_none_or(|next| next == '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String) {
        split(text)
    }

    #[test]
    fn reasoning_at_the_beginning_is_taken_out() {
        let both = ("let me see".to_owned(), "```rust\nfn a() {}\n```".to_owned());
        assert_eq!(parts("<think>\nlet me see\n</think>\n\n```rust\nfn a() {}\n```"), both);
        assert_eq!(parts("\n<thinking>let me see</thinking>```rust\nfn a() {}\n```"), both);
        assert_eq!(parts("let me see\n</think>\n```rust\nfn a() {}\n```"), both);
        assert_eq!(parts("<think></think>hi"), (String::new(), "hi".to_owned()));
    }

    #[test]
    fn reasoning_that_was_cut_off_leaves_no_answer() {
        assert_eq!(parts("<think>hmm, ```rust\nfn a()"), ("hmm, ```rust\nfn a()".to_owned(), String::new()));
    }

    #[test]
    fn marks_in_the_answer_itself_stay() {
        for text in [
            "```rust\nfn strip(text: &str) { text.split(\"</think>\") }\n```",
            "Use `</think>` to end it.",
            "The mark <think> opens it and\n</think>\ncloses it.",
            "fn a() {}",
            "",
        ] {
            assert_eq!(parts(text), (String::new(), text.to_owned()));
        }
    }
}
