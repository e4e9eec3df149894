//! Finding the Rust in a completion, as models really write it.
//!
//! Fences, prose, reasoning, a first try and a second, code cut off at the end. Every step is linear in
//! the completion, and the number of blocks that are parsed is bounded.

use std::collections::HashSet;

use syn::{File, Item};

use super::conform::{Conformed, Fit, conform, is_stub};
use super::names::{free_names, leaves, mentioned, name_of, space_of, type_name};
use super::scan::{State, line_and_column, scan};
use super::{format_violation, parse_file, syntax};
use crate::model::Finish;
use crate::spec::Interface;
use crate::verdict::{Class, Phase, Verdict};

/// Blocks that are looked at: so many of the first, and as many of the last.
const MAX_BLOCKS: usize = 32;
/// Bytes that are scanned for items in one block that does not parse as a whole, re-scans included.
const SCAN_BUDGET: usize = 4 << 20;
/// Names of left-out definitions that are remembered.
const MAX_LEFT_OUT: usize = 1000;
/// Bytes of code parsed for one completion, retries included.
const PARSE_BUDGET: usize = 4 << 20;

/// A part of a completion that may be code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    code: String,
    /// The fence's language, in lower case; empty where none is named.
    language: String,
    /// Whether the fence was closed.
    closed: bool,
}

impl Block {
    fn may_be_rust(&self) -> bool {
        matches!(self.language.as_str(), "" | "rust" | "rs" | "rust2021" | "rust2024" | "rustlang")
    }
}

/// A block after parsing.
#[derive(Debug, Clone)]
struct Parsed {
    file: File,
    /// Text that was left out because it is no item, if any.
    failure: Option<Failure>,
    /// Names that the left-out text seems to define.
    left_out: Vec<String>,
}

/// Code that did not parse.
#[derive(Debug, Clone)]
struct Failure {
    verdict: Verdict,
    /// The text that was left out (its beginning).
    text: String,
    /// Whether it looks like Rust, rather than prose.
    code: bool,
}

/// The code of a completion that conforms to the interface, or why there is none.
///
/// One that would have to be adapted is taken only where no other is left, a last resort.
pub(super) fn choose(text: &str, finish: Finish, interface: &Interface) -> Result<Conformed, Verdict> {
    match choose_fitting(text, finish, interface, Fit::Exact) {
        Err(verdict) if verdict.code.as_deref() == Some("signature") => {
            choose_fitting(text, finish, interface, Fit::Adapted).map_err(|_| verdict)
        }
        chosen => chosen,
    }
}

fn choose_fitting(text: &str, finish: Finish, interface: &Interface, fit: Fit) -> Result<Conformed, Verdict> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let (answer, unfinished_thought) = without_reasoning(&text);
    let (blocks, prose) = blocks_of(answer);
    let mut budget = PARSE_BUDGET;
    let had_fences = !blocks.is_empty();

    let blocks = bounded(blocks);
    let rust: Vec<Parsed> = blocks
        .iter()
        .filter(|block| block.may_be_rust())
        .map(|block| parse_block(block, finish, &mut budget))
        .collect();
    let mut attempts = Attempts::new(interface, finish, fit);
    if let Some(found) = attempts.best_of(&rust) {
        return Ok(found);
    }
    // Code in a fence that names another language, and code in no fence at all.
    let other: Vec<Parsed> = blocks
        .iter()
        .filter(|block| !block.may_be_rust())
        .map(|block| parse_block(block, finish, &mut budget))
        .collect();
    if let Some(found) = attempts.last_whole(&other) {
        return Ok(found);
    }
    let unfenced = parse_loose(&prose, finish != Finish::Stop, &mut budget);
    let everything: Vec<Parsed> = [rust, vec![unfenced]].concat();
    if let Some(found) = attempts.best_of(&everything[everything.len() - 1..]).or_else(|| attempts.joined(&everything))
    {
        return Ok(found);
    }
    Err(attempts.verdict(answer, had_fences, unfinished_thought))
}

/// The completion without the model's reasoning, and whether the reasoning never ended.
fn without_reasoning(text: &str) -> (&str, bool) {
    for (open, close) in [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("<reasoning>", "</reasoning>"),
        ("<|think|>", "<|/think|>"),
    ] {
        if let Some(rest) = text.trim_start().strip_prefix(open) {
            return match rest.find(close) {
                Some(end) => (&rest[end + close.len()..], false),
                None => ("", true),
            };
        }
        // Some templates open it in the prompt. On a line of its own, as it could stand in a string.
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            offset += line.len();
            if line.trim() == close {
                return (&text[offset..], false);
            }
        }
    }
    (text, false)
}

/// Splits a completion into fenced blocks and the text outside of them.
fn blocks_of(text: &str) -> (Vec<Block>, String) {
    let mut blocks = Vec::new();
    let mut prose = String::new();
    let mut open: Option<(Fence, String)> = None;
    let mut first_fence = true;
    for line in text.lines() {
        match &mut open {
            None => match opening(line) {
                // An answer that was begun with code: the first fence closes what was never opened.
                Some(fence) if first_fence && fence.language.is_empty() && begins_with_code(&prose) => {
                    first_fence = false;
                    blocks.push(Block { code: std::mem::take(&mut prose), language: String::new(), closed: true });
                }
                Some(fence) => {
                    first_fence = false;
                    open = Some((fence, String::new()));
                }
                None => {
                    prose.push_str(line);
                    prose.push('\n');
                }
            },
            Some((fence, code)) => {
                if fence.is_closed_by(line) {
                    let code = std::mem::take(code);
                    blocks.push(Block { code, language: std::mem::take(&mut fence.language), closed: true });
                    open = None;
                } else if let Some(body) = glued_close(line, fence) {
                    code.push_str(body);
                    code.push('\n');
                    let code = std::mem::take(code);
                    blocks.push(Block { code, language: std::mem::take(&mut fence.language), closed: true });
                    open = None;
                } else if let Some(next) = opening(line).filter(|next| next.mark == fence.mark && next.is_rust()) {
                    // A new block without an end of the last one.
                    let code = std::mem::take(code);
                    blocks.push(Block { code, language: std::mem::take(&mut fence.language), closed: true });
                    open = Some((next, String::new()));
                } else {
                    code.push_str(dedented(line, fence.indent));
                    code.push('\n');
                }
            }
        }
    }
    if let Some((fence, code)) = open {
        blocks.push(Block { code, language: fence.language, closed: false });
    }
    blocks.retain(|block| !block.code.trim().is_empty());
    (blocks, prose)
}

struct Fence {
    mark: char,
    length: usize,
    indent: usize,
    language: String,
}

impl Fence {
    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim();
        line.len() >= self.length && line.chars().all(|character| character == self.mark)
    }

    fn is_rust(&self) -> bool {
        matches!(self.language.as_str(), "rust" | "rs")
    }
}

/// The fence that a line opens, if it does: ```` ``` ````, ```` ```rust ````, `~~~`, in lists and quotes, or after a
/// few words.
fn opening(line: &str) -> Option<Fence> {
    let trimmed = line.trim_start();
    let indent = line.len() - trimmed.len();
    let body = trimmed.trim_start_matches(['-', '*', '>', ' ']);
    let body = match body.find(|character: char| !character.is_ascii_digit()) {
        Some(digits @ 1..=3) => body[digits..].strip_prefix(['.', ')']).map_or(body, str::trim_start),
        _ => body,
    };
    let mark = body.chars().next().filter(|first| matches!(first, '`' | '~'));
    if let Some(mark) = mark {
        let length = body.chars().take_while(|character| *character == mark).count();
        let info = body[length..].trim();
        // Inline code such as ```` ```x``` ```` opens nothing.
        if length < 3 || info.contains('`') {
            return None;
        }
        let language: String = info
            .trim_start_matches(['{', '.'])
            .chars()
            .take_while(|character| character.is_alphanumeric() || matches!(character, '+' | '#' | '-'))
            .take(20)
            .collect();
        return Some(Fence { mark, length, indent, language: language.to_lowercase() });
    }
    // "Here is the code: ```rust"
    let end = trimmed.trim_end();
    ["```rust", "```rs", "```Rust"].iter().any(|suffix| end.ends_with(suffix)).then(|| Fence {
        mark: '`',
        length: 3,
        indent: 0,
        language: "rust".into(),
    })
}

/// The code before a closing fence on the same line, as in `}` directly followed by the fence.
fn glued_close<'a>(line: &'a str, fence: &Fence) -> Option<&'a str> {
    let close: String = std::iter::repeat_n(fence.mark, fence.length.min(8)).collect();
    let body = line.trim_end().strip_suffix(close.as_str())?.trim_end();
    (body.ends_with('}') && !body.contains("//")).then_some(body)
}

fn dedented(line: &str, indent: usize) -> &str {
    let spaces = line.bytes().take(indent).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &line[spaces..]
}

fn begins_with_code(prose: &str) -> bool {
    prose.lines().find(|line| !line.trim().is_empty()).is_some_and(starts_item)
}

/// The first and the last few: a model that went on and on may have the answer at either end.
fn bounded(mut blocks: Vec<Block>) -> Vec<Block> {
    if blocks.len() > 2 * MAX_BLOCKS {
        let last = blocks.split_off(blocks.len() - MAX_BLOCKS);
        blocks.truncate(MAX_BLOCKS);
        blocks.extend(last);
    }
    blocks
}

fn parse_block(block: &Block, finish: Finish, budget: &mut usize) -> Parsed {
    if let Some(left) = budget.checked_sub(block.code.len()) {
        *budget = left;
        match parse_file(&block.code) {
            Ok(file) => return Parsed { file, failure: None, left_out: Vec::new() },
            Err(verdict) => {
                let mut parsed = parse_loose(&block.code, !block.closed || finish == Finish::Length, budget);
                if let Some(failure) = &mut parsed.failure {
                    // Places in the block say more than places in a part of it.
                    if failure.verdict.code.as_deref() != Some("cut-off") {
                        failure.verdict = verdict;
                    }
                }
                return parsed;
            }
        }
    }
    Parsed { file: empty(), failure: None, left_out: Vec::new() }
}

fn empty() -> File {
    super::file_of(Vec::new())
}

/// Takes the items out of text that holds other things too.
fn parse_loose(text: &str, may_be_cut: bool, budget: &mut usize) -> Parsed {
    let mut file = empty();
    let mut failure: Option<Failure> = None;
    let mut left_out = Vec::new();
    let mut scans = SCAN_BUDGET;
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
        let line = &text[at..line_end];
        if !starts_item(line) {
            at = line_end;
            continue;
        }
        let start = at + (line.len() - line.trim_start().len());
        let scanned = scan(text, start, 4);
        let cost = scanned.reached - start;
        if cost > scans {
            break;
        }
        scans -= cost;
        let mut end = None;
        for candidate in &scanned.ends {
            let slice = &text[start..*candidate];
            let Some(left) = budget.checked_sub(slice.len()) else { break };
            *budget = left;
            if let Ok(parsed) = parse_file(slice)
                && !parsed.items.iter().any(|item| matches!(item, Item::Verbatim(_)))
            {
                file.attrs.extend(parsed.attrs);
                file.items.extend(parsed.items);
                end = Some(*candidate);
                break;
            }
        }
        match end {
            Some(end) => at = end,
            None => {
                let code = looks_like_code(line);
                if code && left_out.len() < MAX_LEFT_OUT {
                    left_out.extend(defined_in(line).map(String::from));
                }
                if failure.as_ref().is_none_or(|failure| code && !failure.code) {
                    failure = Some(failure_of(text, start, scanned.state, may_be_cut, code));
                }
                at = line_end;
            }
        }
    }
    Parsed { file, failure, left_out }
}

fn failure_of(text: &str, start: usize, state: State, may_be_cut: bool, code: bool) -> Failure {
    let verdict = match state {
        State::Open(offset) if may_be_cut => {
            let (line, _) = line_and_column(text, offset);
            format_violation("cut-off", format!("the code ends inside of what was opened on line {line}"))
        }
        State::Open(offset) => {
            let (line, column) = line_and_column(text, offset);
            syntax(text, line, column, "this is never closed")
        }
        _ => {
            let end = text.len().min(start + 16_384);
            let end = (start..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(start);
            match parse_file(&text[start..end]) {
                Err(verdict) => verdict,
                Ok(_) => syntax(text, line_and_column(text, start).0, 1, "not an item"),
            }
        }
    };
    Failure { verdict, text: text[start..].chars().take(65_536).collect(), code }
}

/// Whether a line may begin an item.
fn starts_item(line: &str) -> bool {
    let line = line.trim_start();
    const WORDS: &[&str] = &[
        "use", "pub", "fn", "struct", "enum", "union", "impl", "trait", "mod", "const", "static", "type", "unsafe",
        "async", "extern",
    ];
    const SIGNS: &[&str] = &["#[", "#![", "///", "//!", "/**", "pub(", "impl<", "macro_rules!", "thread_local!"];
    SIGNS.iter().any(|sign| line.starts_with(sign))
        || WORDS.iter().any(|word| line.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '\t', '\n'])))
}

/// Whether a line is Rust rather than a sentence.
fn looks_like_code(line: &str) -> bool {
    let line = line.trim();
    let code_start = [
        "fn ",
        "pub ",
        "pub(",
        "impl<",
        "struct ",
        "enum ",
        "#[",
        "#![",
        "unsafe fn",
        "async fn",
        "const fn",
        "macro_rules!",
    ]
    .iter()
    .any(|start| line.starts_with(start));
    (code_start && line.contains(['(', '{', ':', '<', ';', '[', '!']))
        || (line.starts_with("impl ") && line.contains('{'))
        || (line.starts_with("use ") && line.contains("::"))
        || (line.starts_with("fn ") || line.starts_with("pub fn "))
}

/// What was tried, for the verdict when nothing conforms.
struct Attempts<'a> {
    interface: &'a Interface,
    finish: Finish,
    fit: Fit,
    /// Verdicts of code that parsed and does not conform.
    unfit: Vec<Verdict>,
    /// Code that did not parse.
    failures: Vec<Failure>,
    parsed_anything: bool,
}

impl<'a> Attempts<'a> {
    fn new(interface: &'a Interface, finish: Finish, fit: Fit) -> Self {
        Self { interface, finish, fit, unfit: Vec::new(), failures: Vec::new(), parsed_anything: false }
    }

    /// The last block that conforms, with what it needs of the others; else all of them as one.
    fn best_of(&mut self, blocks: &[Parsed]) -> Option<Conformed> {
        let mut stub = None;
        for (index, block) in blocks.iter().enumerate().rev() {
            let Some(found) = self.conforming(block) else { continue };
            if is_stub(&found.file, self.interface) {
                stub = stub.or(Some(found));
                continue;
            }
            return Some(self.supplemented(blocks, index).unwrap_or(found));
        }
        if let Some(found) = self.joined(blocks)
            && !is_stub(&found.file, self.interface)
        {
            return Some(found);
        }
        stub
    }

    fn last_whole(&mut self, blocks: &[Parsed]) -> Option<Conformed> {
        blocks
            .iter()
            .rev()
            .filter(|block| !block.file.items.is_empty())
            .find_map(|block| conform(block.file.clone(), self.interface, self.fit).ok())
    }

    /// The block as it conforms; what is against it is remembered.
    fn conforming(&mut self, block: &Parsed) -> Option<Conformed> {
        if let Some(failure) = &block.failure {
            self.failures.push(failure.clone());
        }
        if block.file.items.is_empty() {
            return None;
        }
        self.parsed_anything = true;
        match conform(block.file.clone(), self.interface, self.fit) {
            Ok(found) => self.without_left_out(block, found),
            Err(verdict) => {
                self.unfit.push(verdict);
                None
            }
        }
    }

    /// A file whose left-out text it can do without.
    fn without_left_out(&self, block: &Parsed, mut found: Conformed) -> Option<Conformed> {
        if block.failure.is_some() {
            let names = mentioned(&found.file);
            let defined: HashSet<String> = found.file.items.iter().filter_map(name_of).collect();
            if block.left_out.iter().any(|name| names.contains(name) && !defined.contains(name)) {
                return None;
            }
            found.notes.push("left out text that is not Rust items".into());
        }
        Some(found)
    }

    /// The block at `index` with the definitions and imports of other blocks that it mentions and lacks.
    fn supplemented(&self, blocks: &[Parsed], index: usize) -> Option<Conformed> {
        let mut file = blocks[index].file.clone();
        let mut added = Vec::new();
        let order = (0..index).rev().chain(index + 1..blocks.len());
        let others: Vec<&Item> = order
            .filter(|other| blocks[*other].failure.is_none())
            .flat_map(|other| &blocks[other].file.items)
            .collect();
        if others.is_empty() {
            return None;
        }
        let mut bound: HashSet<String> = HashSet::new();
        for item in &file.items {
            bound.extend(binds(item));
        }
        bound.extend(self.interface.given.iter().map(|given| given.name.clone()));
        bound.insert("main".into());
        let mut names = free_names(&file);
        for _ in 0..8 {
            let before = added.len();
            for item in &others {
                let brings = binds(item);
                if brings.is_empty() || !brings.iter().any(|name| names.contains(name) && !bound.contains(name)) {
                    continue;
                }
                if brings.iter().any(|name| bound.contains(name)) && !matches!(item, Item::Use(_)) {
                    continue;
                }
                names.extend(free_names(*item));
                bound.extend(brings);
                added.push((*item).clone());
            }
            if added.len() == before {
                break;
            }
        }
        if added.is_empty() {
            return None;
        }
        // The blocks of methods of the types that came along.
        let types: HashSet<String> = added.iter().filter(|item| space_of(item) == "type").filter_map(name_of).collect();
        added.extend(others.iter().filter(|item| is_impl_on(item, &types)).map(|item| (*item).clone()));
        added.append(&mut file.items);
        file.items = added;
        let block = Parsed { file, ..blocks[index].clone() };
        let mut found = conform(block.file.clone(), self.interface, self.fit).ok()?;
        found.notes.push("took what it needs from other code blocks".into());
        self.without_left_out(&block, found)
    }

    /// All blocks as one file.
    fn joined(&mut self, blocks: &[Parsed]) -> Option<Conformed> {
        let whole: Vec<&Parsed> = blocks.iter().filter(|block| !block.file.items.is_empty()).collect();
        if whole.len() < 2 {
            return None;
        }
        let mut file = empty();
        for block in &whole {
            file.attrs.extend(block.file.attrs.clone());
            file.items.extend(block.file.items.clone());
        }
        let mut found = conform(file, self.interface, self.fit).ok()?;
        for block in &whole {
            found = self.without_left_out(block, found)?;
        }
        found.notes.push(format!("put together from {} code blocks", whole.len()));
        Some(found)
    }

    /// Why nothing conforms: the reason nearest to success.
    fn verdict(self, answer: &str, had_fences: bool, unfinished_thought: bool) -> Verdict {
        let cut = |detail: &str| format_violation("cut-off", detail);
        let wanted: HashSet<&str> = self
            .interface
            .functions
            .iter()
            .map(|function| function.name.as_str())
            .chain(self.interface.methods.iter().map(|method| method.on.as_str()))
            .collect();
        let mut failures = self.failures;
        failures.retain(|failure| had_fences || failure.code);
        if let Some(signature) = self.unfit.iter().find(|verdict| verdict.code.as_deref() == Some("signature")) {
            return signature.clone();
        }
        let of_wanted = failures.iter().find(|failure| defined_in(&failure.text).any(|name| wanted.contains(name)));
        if let Some(failure) = of_wanted {
            return failure.verdict.clone();
        }
        if self.finish == Finish::Length && (unfinished_thought || !failures.is_empty() || !self.parsed_anything) {
            return failures
                .iter()
                .find(|failure| failure.verdict.code.as_deref() == Some("cut-off"))
                .map(|failure| failure.verdict.clone())
                .unwrap_or_else(|| cut("the completion ran into its limit of tokens before the code was complete"));
        }
        let refused = self.finish == Finish::Filter || is_refusal(answer);
        if let Some(verdict) = self.unfit.first().filter(|_| self.parsed_anything) {
            return verdict.clone();
        }
        if let Some(failure) = failures.iter().find(|failure| failure.code).or(failures.first())
            && (!refused || failure.code)
        {
            return failure.verdict.clone();
        }
        if refused {
            let words: String = answer.trim().chars().take(200).collect();
            return Verdict::failed(Phase::Parse, Class::Refusal, "refusal", words);
        }
        if unfinished_thought {
            return format_violation("no-code", "the reasoning never ends, and there is no code after it");
        }
        let words: String = answer.trim().chars().take(200).collect();
        let what = if had_fences { "no code block holds Rust items" } else { "there is no Rust code" };
        format_violation("no-code", format!("{what}: {words}"))
    }
}

/// The names an item brings into the file.
fn binds(item: &Item) -> Vec<String> {
    match item {
        Item::Use(item) => leaves(item).into_iter().filter_map(|leaf| leaf.bound).collect(),
        item => name_of(item).into_iter().collect(),
    }
}

fn is_impl_on(item: &Item, types: &HashSet<String>) -> bool {
    matches!(item, Item::Impl(item) if type_name(&item.self_ty).is_some_and(|name| types.contains(&name)))
}

/// The names that text which did not parse seems to define.
fn defined_in(text: &str) -> impl Iterator<Item = &str> {
    let mut words = text.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    std::iter::from_fn(move || {
        loop {
            let word = words.next()?;
            if matches!(word, "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "impl" | "macro_rules")
            {
                return words.by_ref().find(|word| !word.is_empty() && *word != "mut");
            }
        }
    })
}

/// Whether the words are those of a refusal.
fn is_refusal(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(600).collect::<String>().to_lowercase().replace('\u{2019}', "'");
    [
        "i'm sorry",
        "i am sorry",
        "i apologize",
        "i can't",
        "i cannot",
        "i can not",
        "i won't",
        "i will not",
        "i'm unable",
        "i am unable",
        "i'm not able",
        "i am not able",
        "unable to assist",
        "unable to help",
        "can't assist",
        "cannot assist",
        "can't help",
        "cannot help",
        "as an ai",
        "must decline",
        "against my",
    ]
    .iter()
    .any(|words| start.contains(words))
}
