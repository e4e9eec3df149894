//! A hostile candidate, and the specs that they are judged by.

use llmc::spec::Spec;
use llmc::verdict::Verdict;

/// The specs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// `double(n)`: three examples, one of them hidden, and a property.
    Double,
    /// The same, where the spec allows unsafe code.
    Unsafe,
    /// A given type that is compared.
    Point,
    /// Strings, vectors, options and results travel.
    Label,
    /// Free tests that use the macros of std.
    Tested,
    /// One answer, which no candidate could guess; unsafe code is allowed.
    Secret,
    /// Any positive number will do.
    Positive,
    /// Generic: its types can't travel.
    Generic,
    /// A type that the candidate defines.
    Stack,
    /// `double`, where the spec denies no path of std.
    Files,
    /// Generic, where the spec denies no path of std: its checks are in the candidate's process.
    Together,
}

impl For {
    pub(super) const ALL: [Self; 11] = [
        Self::Double,
        Self::Unsafe,
        Self::Point,
        Self::Label,
        Self::Tested,
        Self::Secret,
        Self::Positive,
        Self::Generic,
        Self::Stack,
        Self::Files,
        Self::Together,
    ];

    pub(super) fn spec(self) -> Spec {
        let (name, text) = self.text();
        let text = format!("llmc: 1\nname: {name}\ndescription: As the examples say.\n{text}");
        let parsed = llmc::spec::parse(&format!("specs/{name}.yaml"), name, text.as_bytes());
        parsed.unwrap_or_else(|mistakes| panic!("{self:?}: {mistakes:?}")).0
    }

    fn text(self) -> (&'static str, &'static str) {
        const DOUBLE: &str = "signature: \"pub fn double(n: i64) -> i64\"
examples:
  - { call: double(2), returns: 4 }
  - { call: double(5), returns: 10 }
  - { call: double(-21), returns: -42, hidden: true }
properties:
  - { name: twice, forall: { n: i32 }, holds: double(i64::from(n)) == 2 * i64::from(n) }
";
        match self {
            Self::Double => ("double", DOUBLE),
            Self::Unsafe => (
                "double",
                "signature: \"pub fn double(n: i64) -> i64\"
policy: { unsafe: allow }
examples:
  - { call: double(2), returns: 4 }
  - { call: double(5), returns: 10 }
  - { call: double(-21), returns: -42, hidden: true }
",
            ),
            Self::Point => (
                "mirror",
                "interface: |
  #[derive(Debug, Clone, PartialEq)]
  pub struct Point { pub x: i32, pub y: i32 }
  pub fn mirror(point: Point) -> Point;
examples:
  - { call: \"mirror(Point { x: 1, y: 2 })\", returns: \"Point { x: -1, y: 2 }\" }
  - { call: \"mirror(Point { x: -3, y: 4 })\", returns: \"Point { x: 3, y: 4 }\" }
",
            ),
            Self::Label => (
                "label",
                "signature: \"pub fn label(words: &[String], limit: Option<usize>) -> Result<Vec<String>, String>\"
examples:
  - { call: 'label(&[\"a\".to_string(), \"b\".to_string()], None)', returns: 'Ok(vec![\"<a>\".to_string(), \"<b>\".to_string()])' }
  - { call: 'label(&[\"a\".to_string(), \"b\".to_string()], Some(1))', returns: 'Err(\"more than 1\".to_string())' }
  - { call: 'label(&[], Some(0))', returns: 'Ok(vec![])' }
",
            ),
            Self::Tested => (
                "double",
                "signature: \"pub fn double(n: i64) -> i64\"
tests: |
  #[test]
  fn twice() {
      assert_eq!(double(2), 4);
      assert!(double(5) == 10, \"{}\", double(5));
      assert_ne!(double(1), 1);
      let all = vec![double(0), double(1)];
      assert_eq!(format!(\"{all:?}\"), \"[0, 2]\");
      if !matches!(double(3), 6) { panic!(\"three\") }
  }
",
            ),
            Self::Secret => (
                "recall",
                "signature: \"pub fn recall(n: i64) -> String\"
policy: { unsafe: allow }
examples:
  - { call: recall(1), returns: '\"zq-expected-8fd1c0\"', hidden: true }
",
            ),
            Self::Positive => (
                "positive",
                "signature: \"pub fn positive(n: u8) -> u64\"
examples:
  - { call: positive(1), holds: result > 0 }
  - { call: positive(2), holds: result > 0 }
",
            ),
            Self::Generic => (
                "last",
                "signature: \"pub fn last<T: Clone>(items: &[T]) -> Option<T>\"
examples:
  - { call: \"last(&[1, 2])\", returns: Some(2) }
  - { call: \"last::<u8>(&[])\", returns: None }
  - { call: 'last(&[\"a\", \"b\"])', returns: 'Some(\"b\")', hidden: true }
",
            ),
            Self::Files => (
                "double",
                "signature: \"pub fn double(n: i64) -> i64\"
policy: { deny: [] }
examples:
  - { call: double(2), returns: 4 }
  - { call: double(5), returns: 10 }
  - { call: double(-21), returns: -42, hidden: true }
",
            ),
            Self::Together => (
                "name",
                "signature: \"pub fn name<T: Clone>(number: u32, _unused: T) -> String\"
policy: { deny: [] }
examples:
  - { call: \"name(1, 'a')\", returns: '\"zq-first-77ab\"' }
  - { call: \"name(2, 0)\", returns: '\"zq-second-91fe\"', hidden: true }
",
            ),
            Self::Stack => (
                "stack",
                "interface: |
  pub struct Stack;
  impl Stack {
      pub fn new() -> Self;
      pub fn push(&mut self, value: i64);
      pub fn pop(&mut self) -> Option<i64>;
  }
examples:
  - { call: \"Stack::new().pop()\", returns: None }
  - { call: \"{ let mut s = Stack::new(); s.push(1); s.push(2); s.pop() }\", returns: Some(2) }
",
            ),
        }
    }

    /// A right candidate; different for each number.
    pub(super) fn honest(self, number: usize) -> String {
        match self {
            Self::Double | Self::Unsafe | Self::Tested | Self::Files => {
                format!("pub fn double(n: i64) -> i64 {{ let extra = {number}; n * 2 + extra - {number} }}")
            }
            Self::Point => format!(
                "#[derive(Debug, Clone, PartialEq)]\npub struct Point {{ pub x: i32, pub y: i32 }}\n\
                 pub fn mirror(point: Point) -> Point {{ let y = point.y + {number} - {number}; Point {{ x: -point.x, y }} }}"
            ),
            Self::Label => format!(
                "pub fn label(words: &[String], limit: Option<usize>) -> Result<Vec<String>, String> {{\n\
                 let _number = {number};\n\
                 match limit {{\n    Some(limit) if words.len() > limit => Err(format!(\"more than {{limit}}\")),\n    \
                 _ => Ok(words.iter().map(|word| format!(\"<{{word}}>\")).collect()),\n}} }}"
            ),
            Self::Secret => format!(
                "pub fn recall(_n: i64) -> String {{ let _ = {number}; [\"zq\", \"expected\", \"8fd1c0\"].join(\"-\") }}"
            ),
            Self::Positive => format!("pub fn positive(n: u8) -> u64 {{ u64::from(n) + {number} }}"),
            Self::Generic => {
                format!("pub fn last<T: Clone>(items: &[T]) -> Option<T> {{ let _ = {number}; items.last().cloned() }}")
            }
            Self::Together => format!(
                "pub fn name<T: Clone>(number: u32, _unused: T) -> String {{ let _ = {number}; \
                 [\"zq\", if number == 1 {{ \"first\" }} else {{ \"second\" }}, if number == 1 {{ \"77ab\" }} else {{ \"91fe\" }}].join(\"-\") }}"
            ),
            Self::Stack => format!(
                "pub struct Stack {{ values: Vec<i64> }}\nimpl Stack {{\n    \
                 pub fn new() -> Self {{ Self {{ values: Vec::with_capacity({number}) }} }}\n    \
                 pub fn push(&mut self, value: i64) {{ self.values.push(value); }}\n    \
                 pub fn pop(&mut self) -> Option<i64> {{ self.values.pop() }}\n}}"
            ),
        }
    }
}

/// One candidate and what may be found about it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) spec: For,
    /// With `@NAME@` for what the trap knows.
    pub(super) source: String,
    /// The verdicts on a user's candidate of this text; where there are none, it is not handed in so.
    pub(super) user: Vec<&'static str>,
    /// The verdicts when the policy does not look.
    pub(super) engine: Vec<&'static str>,
    /// Whether outside of the sandbox it says ESCAPED.
    pub(super) control: bool,
    /// Whether a judge that reads the exit code takes it for right.
    pub(super) fools_exit_code: bool,
}

/// A candidate that is right.
pub(super) const PASSES: &str = "*/passed/-/-";

impl Case {
    /// Verdicts are written PHASE/OUTCOME/CLASS/CODE; `a|b` is either, `a*` what begins so, `-` nothing.
    pub(super) fn new(name: impl Into<String>, spec: For, source: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            spec,
            source: source.into(),
            user: Vec::new(),
            engine: Vec::new(),
            control: false,
            fools_exit_code: false,
        }
    }

    /// A body of `double`, which may call `escaped` when it got out.
    pub(super) fn double(name: &str, body: &str) -> Self {
        Self::new(name, For::Double, double(body))
    }

    /// The same, where unsafe code is allowed; `items` are put beside it.
    pub(super) fn raw(name: &str, items: &str, body: &str) -> Self {
        Self::new(name, For::Unsafe, format!("{items}\n{}", double(body)))
    }

    pub(super) fn user(mut self, verdict: &'static str) -> Self {
        self.user.push(verdict);
        self
    }

    pub(super) fn engine(mut self, verdict: &'static str) -> Self {
        self.engine.push(verdict);
        self
    }

    /// Both ways in end the same.
    pub(super) fn both(self, verdict: &'static str) -> Self {
        self.user(verdict).engine(verdict)
    }

    pub(super) fn control(mut self) -> Self {
        self.control = true;
        self
    }

    pub(super) fn fools_exit_code(mut self) -> Self {
        self.fools_exit_code = true;
        self
    }
}

fn double(body: &str) -> String {
    format!(
        "pub fn double(n: i64) -> i64 {{\n{body}\n}}\n\
         #[allow(dead_code)]\nfn escaped(how: &str) -> ! {{ panic!(\"{{}}{{}} {{how}}\", \"ESC\", \"APED\") }}\n"
    )
}

/// A verdict as patterns are written.
pub(super) fn written(verdict: &Verdict) -> String {
    let word = |value: serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let known = "a verdict's words are strings";
    let phase = word(serde_json::to_value(verdict.phase).expect(known));
    let outcome = word(serde_json::to_value(verdict.outcome).expect(known));
    let class = word(serde_json::to_value(verdict.class).expect(known));
    format!("{phase}/{outcome}/{class}/{}", verdict.code.as_deref().unwrap_or("-"))
}

/// Whether a verdict, as [`written`], is one of a pattern.
pub(super) fn fits(pattern: &str, verdict: &str) -> bool {
    let one = |pattern: &str, word: &str| match pattern.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => pattern == word,
    };
    let (mut patterns, mut words) = (pattern.splitn(4, '/'), verdict.splitn(4, '/'));
    (0..4).all(|_| match (patterns.next(), words.next()) {
        (Some(pattern), Some(word)) => pattern.split('|').any(|pattern| one(pattern, word)),
        _ => panic!("`{pattern}` is no pattern"),
    })
}
