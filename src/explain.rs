//! What each error class and each code of a verdict means, and what follows: the one place for these texts.
//!
//! Reports show the next step, `llmc explain` all of it. What the driver does by itself is in `driver/repair.rs`.

use crate::verdict::Class;

/// What a code means and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The class or code; `-NAME` or `-N` at its end stands for any name or number.
    pub code: &'static str,
    /// The class that it belongs to; `None` for `drift`, which is seen in many samples and not in one.
    pub class: Option<Class>,
    /// What was seen.
    pub means: &'static str,
    /// What llmc does about it by itself.
    pub follows: &'static str,
    /// What a person can do.
    pub next: &'static str,
}

const fn of(
    code: &'static str,
    class: Class,
    means: &'static str,
    follows: &'static str,
    next: &'static str,
) -> Explanation {
    Explanation { code, class: Some(class), means, follows, next }
}

/// A code of a class whose rules hold for it, too.
const fn code(code: &'static str, class: Class, means: &'static str) -> Explanation {
    Explanation { code, class: Some(class), means, follows: "", next: "" }
}

/// Every class, then every code of llmc's own.
pub const ALL: &[Explanation] = &[
    of(
        "refusal",
        Class::Refusal,
        "there is no code in the reply, but the words of a refusal",
        "a fresh sample; it is counted apart and never sent back",
        "soften `prompt.system` in the spec, or take another model",
    ),
    of(
        "format-violation",
        Class::FormatViolation,
        "no code in the reply, code that is cut off or does not parse, or not the signature that the spec wants",
        "a fresh sample; `sampling.max_tokens` is not raised by itself, since that would be another distribution",
        "where replies are cut off, raise `sampling.max_tokens`; `llmc prompt NAME` shows what was asked",
    ),
    of(
        "hallucination",
        Class::Hallucination,
        "it names a crate, an item, a method or an argument that does not exist",
        "fixes that rustc is sure of, at no cost; then, with `sampling.repairs`, sent back with the diagnostic",
        "`sampling.repairs: 2` has it sent back with the diagnostic; list under `dependencies` what it may use",
    ),
    of(
        "policy-violation",
        Class::PolicyViolation,
        "unsafe code, a denied path, a crate that is not listed, file inclusion, or a trick with links or macros",
        "it is never compiled or run, and never sent back; a fresh sample",
        "if it is meant, allow it: `policy` or `dependencies` in the spec; else say in the description what to use",
    ),
    of(
        "miscompile",
        Class::Miscompile,
        "it does not compile: types, borrows, lifetimes",
        "fixes that rustc is sure of, at no cost; then, with `sampling.repairs`, sent back with the diagnostic",
        "`sampling.repairs: 2` has it sent back with the diagnostic; a stronger model makes fewer of them",
    ),
    of(
        "misinterpretation",
        Class::Misinterpretation,
        "it compiles, and fails an example, a property or a test",
        "with `sampling.repairs`, sent back with input, expected and got, where a check that models are shown fails",
        "one more example in the spec says which reading is meant; `sampling.repairs: 2` has it sent back",
    ),
    of(
        "resource",
        Class::Resource,
        "it used up its time or memory, or wrote too much, or the compiler did over it",
        "it is run again alone, with more time, before that is believed; a fresh sample",
        "say in the description how large inputs get, or how fast it must be",
    ),
    of(
        "flaky",
        Class::Flaky,
        "two runs on the same inputs differ",
        "it is rejected; a fresh sample",
        "say in the description that the result hangs on nothing but the arguments",
    ),
    Explanation {
        code: "drift",
        class: None,
        means: "the pass rate or the outputs differ from the recorded ones by more than chance explains",
        follows: "nothing: what is committed stays as it is",
        next: "draw again with `llmc build NAME --no-cache --no-commit` and compare `llmc show NAME`",
    },
    code("no-code", Class::FormatViolation, "the reply holds no code block with Rust in it"),
    code("cut-off", Class::FormatViolation, "the reply ends in the middle of the code"),
    code("too-long", Class::FormatViolation, "the reply is longer than a mebibyte"),
    code("syntax", Class::FormatViolation, "the code is no Rust, at the place that is named"),
    code("bounds", Class::FormatViolation, "the code is nested deeper or is larger than llmc reads"),
    code("signature", Class::FormatViolation, "a function or type is there, and is not the one that the spec wants"),
    code("missing-item", Class::FormatViolation, "a function or type that the spec wants is not there"),
    code("policy-unsafe", Class::PolicyViolation, "unsafe code, which `policy.unsafe: allow` would permit"),
    code("policy-path", Class::PolicyViolation, "it names a path that `policy.deny` lists, by whatever name"),
    code("policy-crate", Class::PolicyViolation, "it names a crate that is not among the spec's `dependencies`"),
    code("policy-macro", Class::PolicyViolation, "it uses a macro that reads files, the environment or assembly"),
    code(
        "policy-attribute",
        Class::PolicyViolation,
        "it has an attribute that changes how a crate is compiled or linked",
    ),
    code("policy-item", Class::PolicyViolation, "it has an item that generated code may not have, such as `extern`"),
    code("policy-identifier", Class::PolicyViolation, "a name holds characters that look like others or can't be seen"),
    code("policy-lines", Class::PolicyViolation, "it is longer than `policy.max_lines`"),
    code("rustc", Class::Miscompile, "the compiler failed without a code of its own, or ran out of time or memory"),
    code("example-N", Class::Misinterpretation, "the example with this number, from 1, does not hold"),
    code("test-NAME", Class::Misinterpretation, "the test of this name, in `tests` or `hidden_tests`, fails"),
    code(
        "property-NAME",
        Class::Misinterpretation,
        "the property of this name does not hold for the input that is shown",
    ),
];

/// The next step for a person, for a class.
pub fn next(class: Class) -> &'static str {
    ALL.iter().find(|one| one.code == class.as_str()).expect("every class is explained").next
}

/// What is known of a class or code, as it stands in a verdict. What a code itself does not say its class does.
pub fn find(asked: &str) -> Option<Explanation> {
    let fits = |one: &&Explanation| {
        let open =
            ["N", "NAME"].into_iter().find_map(|open| one.code.strip_suffix(open).filter(|rest| rest.ends_with('-')));
        one.code == asked || open.is_some_and(|rest| asked.strip_prefix(rest).is_some_and(|name| !name.is_empty()))
    };
    let rustc = || {
        let digits = asked.strip_prefix('E')?;
        let is_code = digits.len() == 4 && digits.bytes().all(|letter| letter.is_ascii_digit());
        is_code.then(|| code("E0000", Class::of_rustc(asked), "an error of the compiler"))
    };
    let own = ALL.iter().find(fits).copied().or_else(rustc)?;
    let class = own.class.and_then(|class| ALL.iter().find(|one| one.code == class.as_str()));
    Some(match class {
        Some(class) if own.next.is_empty() => Explanation { follows: class.follows, next: class.next, ..own },
        _ => own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_and_every_code_says_what_it_means_what_follows_and_what_to_do() {
        for class in Class::ALL {
            assert!(!next(class).is_empty());
        }
        for one in ALL {
            let found = find(one.code).expect("what is listed is found");
            assert!(!found.means.is_empty() && !found.follows.is_empty() && !found.next.is_empty(), "{}", one.code);
            assert_eq!(ALL.iter().filter(|other| other.code == one.code).count(), 1, "{}", one.code);
        }
    }

    #[test]
    fn codes_with_a_number_or_a_name_and_those_of_rustc_are_found() {
        for (asked, class) in [
            ("example-12", Class::Misinterpretation),
            ("test-keeps_digits", Class::Misinterpretation),
            ("property-even", Class::Misinterpretation),
            ("E0425", Class::Hallucination),
            ("E0308", Class::Miscompile),
        ] {
            assert_eq!(find(asked).and_then(|found| found.class), Some(class), "{asked}");
        }
        for unknown in ["", "example-", "E42", "EXXXX", "hallucinations", "policy-"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }
}
