//! What commits say.

use crate::certify::Certificate;
use crate::workspace::paths;

/// What the commit of one artifact says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitMessage<'a> {
    /// The spec's name.
    pub name: &'a str,
    /// The spec's path in the workspace.
    pub spec: &'a str,
    /// `provider/name`.
    pub model: &'a str,
    /// The chosen sample's number, from 1, and how many were drawn.
    pub sample: (usize, usize),
    /// How many steps of repair led from that sample to what is committed.
    pub repairs: usize,
    /// How many samples pass, of how many.
    pub passed: (usize, usize),
}

/// A trailer is one line, whatever a model or a file is called.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the commit of an artifact says that a person made: subject, body and trailers.
pub fn adopted(name: &str, spec: &str) -> String {
    let (name, spec) = (line(name), line(spec));
    format!(
        "llmc: adopt {name}\n\n\
         Made by a person, and judged as a sample is: every check of the spec holds.\n\
         How it came to be: {}\n\n\
         Llmc-Spec: {spec}\n\
         Llmc-Origin: human\n",
        paths::provenance(&name),
    )
}

/// What the commit of a component's types says.
pub fn component(name: &str, spec: &str) -> String {
    let (name, spec) = (line(name), line(spec));
    format!("llmc: types of {name}\n\nWhat the component takes and gives; a model answers it.\n\nLlmc-Spec: {spec}\n")
}

/// What the commit says that makes a component a hybrid.
pub fn hardened(name: &str, spec: &str, model: &str, certificate: &Certificate) -> String {
    let (name, spec, model) = (line(name), line(spec), line(model));
    let Certificate { n, disagreements, coverage, agreement, confidence, .. } = certificate;
    format!(
        "llmc: harden {name}\n\nCode answers {:.0} % of its calls, and agrees with the model at least {:.0} % of the time, at {:.0} % \
         confidence:\n{disagreements} of {n} later answers differ.\n\nLlmc-Spec: {spec}\nLlmc-Model: {model}\n",
        coverage * 100.0,
        agreement * 100.0,
        confidence * 100.0
    )
}

/// What the commit says by which a component's code goes.
pub fn softened(name: &str, spec: &str) -> String {
    let (name, spec) = (line(name), line(spec));
    format!("llmc: soften {name}\n\nIts model answers alone.\n\nLlmc-Spec: {spec}\n")
}

/// What the commit says by which the generated crate gets `register`, or loses it.
pub fn register(wanted: bool) -> String {
    let (subject, why) = match wanted {
        true => ("register the artifacts", "What can be called with JSON is listed for the harness."),
        false => ("register nothing", "There is no component, and llmc.yaml does not ask for `harness`."),
    };
    format!("llmc: {subject}\n\n{why}\n")
}

/// What the commit says that removes an artifact without a spec.
pub fn removed(name: &str, spec: &str) -> String {
    let (name, spec) = (line(name), line(spec));
    format!("llmc: remove {name}\n\nIts spec, {spec}, is no more.\n\nLlmc-Spec: {spec}\n")
}

/// What the commit says by which an artifact follows its spec to another name or place.
pub fn moved(old: &str, name: &str, spec: &str) -> String {
    let (old, name, spec) = (line(old), line(name), line(spec));
    let subject = if old == name { format!("move {name} to {spec}") } else { format!("move {old} to {name}") };
    format!(
        "llmc: {subject}\n\n\
         The same code: nothing that counts was changed but where its spec is, and every check holds.\n\n\
         Llmc-Spec: {spec}\n\
         Llmc-Moved-From: {old}\n",
    )
}

/// What the commit says that makes an earlier artifact current again.
pub fn reverted(name: &str, spec: &str, commit: &str, short: &str) -> String {
    let (name, spec) = (line(name), line(spec));
    format!(
        "llmc: revert {name} to {short}\n\n\
         Spec, code, tests and provenance are again as in {commit}.\n\n\
         Llmc-Spec: {spec}\n\
         Llmc-Reverts-To: {commit}\n",
    )
}

/// What the commit says that signs an artifact: subject, body and trailers.
pub fn signed(name: &str, spec: &str, key: &str) -> String {
    let (name, spec, key) = (line(name), line(spec), line(key));
    format!(
        "llmc: sign {name}\n\n\
         It was verified, and its provenance is signed: {}\n\n\
         Llmc-Spec: {spec}\n\
         Llmc-Signed-By: {key}\n",
        paths::envelope(&name),
    )
}

impl CommitMessage<'_> {
    /// Subject, body and trailers.
    pub fn text(&self) -> String {
        let (number, drawn) = self.sample;
        let (passed, of) = self.passed;
        let (name, spec, model) = (line(self.name), line(self.spec), line(self.model));
        let (repaired, trailer) = match self.repairs {
            0 => (String::new(), String::new()),
            1 => (" It was repaired in 1 step.".to_owned(), "Llmc-Repairs: 1\n".to_owned()),
            steps => (format!(" It was repaired in {steps} steps."), format!("Llmc-Repairs: {steps}\n")),
        };
        format!(
            "llmc: build {name}\n\n\
             Sample {number} of {drawn} drawn from {model}; {passed} of {of} pass.{repaired}\n\
             How it came to be: {}\n\n\
             Llmc-Spec: {spec}\n\
             Llmc-Model: {model}\n\
             Llmc-Sample: {number}/{drawn}\n\
             Llmc-Pass-Rate: {passed}/{of}\n{trailer}",
            paths::provenance(&name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_ends_in_trailers_of_one_line_each() {
        let message = CommitMessage {
            name: "slugify",
            spec: "specs/slugify.yaml",
            model: "command/odd\n\nLlmc-Sample: 9/9",
            sample: (5, 8),
            repairs: 0,
            passed: (6, 8),
        };
        insta::assert_snapshot!(message.text(), @r"
        llmc: build slugify

        Sample 5 of 8 drawn from command/odd Llmc-Sample: 9/9; 6 of 8 pass.
        How it came to be: generated/provenance/slugify.json

        Llmc-Spec: specs/slugify.yaml
        Llmc-Model: command/odd Llmc-Sample: 9/9
        Llmc-Sample: 5/8
        Llmc-Pass-Rate: 6/8
        ");
    }
}
