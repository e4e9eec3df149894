//! The command line, as typed. Says nothing about what a value means: see `options`.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// A stochastic compiler: samples implementations of a spec from a language model, compiles and tests
/// them in a sandbox, picks one, and commits spec, code, tests and provenance together.
#[derive(Debug, Parser)]
#[command(name = "llmc", version, styles = STYLES, max_term_width = 100, after_help = "\
Examples:
  llmc init demo && cd demo && llmc build    a workspace with one spec, built
  llmc check                                 are my specs right? (no model needed)
  llmc build slugify -n 32                   more samples for one spec
  llmc validate slugify mine.rs              is this an implementation of it?
  llmc show slugify                          where did this code come from?
  llmc regen slugify && llmc review          other samples, seen before they are committed
  llmc clarify slugify                       what does my spec leave open?
  llmc verify                                for CI: is everything as it was built?
  llmc adopt slugify                         keep what I edited in generated/src/slugify.rs

Exit codes: 0 done, 1 usage or settings, 2 spec invalid, 3 no candidate passed, 4 budget or time spent,
5 provider failed, 6 difference found, 7 a limit was not kept or a test failed, 8 a test was not decided,
70 internal error, 130 interrupted.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Work as if started in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// How to tell what happens: for people; one JSON event a line on standard output; of what `verify` and `check`
    /// find also what CI services read [default: human]
    #[arg(long, global = true, value_enum, env = "LLMC_MESSAGE_FORMAT", value_name = "FORMAT")]
    pub(crate) message_format: Option<MessageFormat>,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
    /// Print failures and warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print each candidate's verdict
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Never open a network connection
    #[arg(long, global = true, env = "LLMC_OFFLINE")]
    pub(crate) offline: bool,
    /// Compile and run what the model wrote without the sandbox, with all of your rights
    #[arg(long, global = true, env = "LLMC_UNSANDBOXED")]
    pub(crate) unsandboxed: bool,
}

/// `--message-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageFormat {
    /// For people.
    Human,
    /// One event a line.
    Json,
    /// GitHub Actions' annotations (verify and check).
    Github,
    /// SARIF 2.1.0, for code scanning (verify and check).
    Sarif,
    /// JUnit XML (verify, check and test).
    Junit,
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a workspace that is ready to build
    Init(InitArgs),
    /// Write a spec to begin with, or have a model draft one from user stories
    New(super::new::NewArgs),
    /// Check specs without a model, examples and tests included
    Check(CheckArgs),
    /// Print the prompt that a spec becomes
    Prompt(PromptArgs),
    /// Sample, validate, choose and commit
    Build(BuildArgs),
    /// Draw new samples for a spec that is up to date, and leave a proposal
    Regen(RegenArgs),
    /// Look at the proposals that wait, and decide on each with a key
    Review(ReviewArgs),
    /// Make proposals the artifacts of their specs, and commit them
    Accept(AcceptArgs),
    /// Turn proposals down: they are not offered again
    Reject(RejectArgs),
    /// Judge candidates that are given: files, JSON lines, or a stream of them
    Validate(ValidateArgs),
    /// Prove that what is committed is what was built, without a model
    Verify(VerifyArgs),
    /// Sign the provenance of artifacts with your key, once they are verified
    Sign(SignArgs),
    /// Make an artifact again from its recorded completion, byte for byte
    Replay(ReplayArgs),
    /// Measure the distribution that a spec denotes: pass rate, behaviours, cost
    Measure(MeasureArgs),
    /// Take in an artifact that was edited by hand, once it passes every check
    Adopt(AdoptArgs),
    /// Ask what a spec leaves open, and put the answers into it
    Clarify(ClarifyArgs),
    /// Find out how much a spec's own checks pin down, by changing the artifact
    Strength(StrengthArgs),
    /// Hold two programs of a spec against each other: what they do, how fast, and their text
    Diff(DiffArgs),
    /// Show where an artifact came from, now or in an earlier commit
    Show(ShowArgs),
    /// List the commits that changed an artifact: when, by whom or what, and what changed
    Log(LogArgs),
    /// Make an artifact of an earlier commit current again, in a new commit
    Revert(RevertArgs),
    /// Everything that was sampled here: export it, add it up, remove what is old
    Ledger(LedgerArgs),
    /// Call a component or an artifact by name, through the harness
    Call(super::call::CallArgs),
    /// Make code of what a component's model answers again and again, with a certificate
    Harden(super::harden::HardenArgs),
    /// Take a component's code away, or make a component of a function
    Soften(super::harden::SoftenArgs),
    /// Find out whether a component keeps what its spec expects of it, with as few calls as that takes
    Test(super::test::TestArgs),
    /// Show the recorded calls of components: runs, one as a tree, two side by side
    Trace(super::trace::TraceArgs),
    /// Serve components to other programs: over HTTP, or as MCP tools
    Serve(super::serve::ServeArgs),
    /// List the models that can be used, or fetch an embedded one
    Models(ModelsArgs),
    /// Find out whether the sandbox holds on this machine, by trying to break it
    Doctor,
    /// Explain an error class or a code of a verdict, and what follows from it
    Explain(ExplainArgs),
    /// Print a JSON Schema
    Schema(SchemaArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// `llmc init`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  llmc init demo\n  llmc init        in the current folder\n  llmc init --vcs none lib"
)]
pub(crate) struct InitArgs {
    /// Where; created if it does not exist
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Whether to start a git repository where there is none
    #[arg(long, value_enum, default_value_t = Vcs::Git)]
    pub(crate) vcs: Vcs,
}

/// `--vcs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vcs {
    /// `git init`, unless the folder is in a repository already.
    Git,
    /// Leave it be.
    None,
}

/// `llmc check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  llmc check\n  llmc check slugify\n  llmc check specs/slugify.yaml --message-format json\n  llmc check --message-format github      annotations in a pull request; also sarif, junit"
)]
pub(crate) struct CheckArgs {
    /// Specs by name or file; all of specs/ when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
}

/// `llmc prompt`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  llmc prompt slugify\n  llmc prompt slugify --message-format json | jq -r .user")]
pub(crate) struct PromptArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
}

/// `llmc build`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  llmc build                                   every spec that is not up to date
  llmc build slugify -n 32                     one spec, 32 samples
  llmc build --model embedded/1.5b             a larger embedded model
  llmc build --model openai/gpt-5-mini         needs OPENAI_API_KEY
  llmc build --estimate                        what it would cost
  llmc build --stop all --max-entropy 0.5      commit only what most samples agree on
  llmc build slugify --certify 0.5             commit only what a test on fresh samples certifies
  llmc build --no-commit                       write the files, leave git alone")]
pub(crate) struct BuildArgs {
    /// Specs by name or file; all of specs/ when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Every spec in specs/ (as when none is named)
    #[arg(long, conflicts_with = "specs")]
    pub(crate) all: bool,
    /// Leave git alone: write the files and stop
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// Sample and judge afresh, even what is up to date
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Fail (exit code 6) rather than sample
    #[arg(long, env = "LLMC_LOCKED")]
    pub(crate) locked: bool,
    /// Replace an artifact that was edited by hand
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Say what it may cost at most and what it likely costs, and send nothing
    #[arg(long)]
    pub(crate) estimate: bool,
    /// Fail (exit code 7) and write nothing where what the samples that pass do has more entropy than this, in bits
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub(crate) max_entropy: Option<f64>,
    /// Write only what a test on fresh samples certifies: more than this share of what passes does as the choice does
    /// (95 % sure). Else exit code 7, or 8 where it is undecided
    #[arg(long, value_name = "SHARE", value_parser = share, conflicts_with = "estimate", num_args = 0..=1, default_missing_value = "0.5")]
    pub(crate) certify: Option<f64>,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// How many candidates to judge at once [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// `llmc regen`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc regen slugify                           new samples; what is chosen waits for `llmc review`
  llmc regen slugify --model openai/gpt-5-mini -n 16
  llmc regen slugify --seed 7                  samples of this seed

Nothing is committed. The artifact is judged along with the candidates, so that what is said of the proposal begins with
whether it behaves the same. Where the choice is the program that is there, there is no proposal; a program that was
rejected before is not offered again. A run that was cut short is gone on with: what it paid for is used.")]
pub(crate) struct RegenArgs {
    /// Specs by name or file; they must be up to date
    #[arg(value_name = "SPEC", required = true)]
    pub(crate) specs: Vec<String>,
    /// Judge afresh, and pass over what a run that was cut short has drawn
    #[arg(long)]
    pub(crate) no_cache: bool,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
    /// How many candidates to judge at once [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// `llmc review`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc review                                  all that wait, one after the other
  llmc review slugify
  llmc review --message-format json            lists them

In a terminal: a accept, r reject, s skip, n resample, e edit the spec, i add an input on which both differ as an example,
m show more, q quit, ? help. Without one the proposals are listed with the commands that decide on them.")]
pub(crate) struct ReviewArgs {
    /// Specs by name or file; all that have a proposal when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
}

/// `llmc accept`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc accept slugify
  llmc accept --all
  llmc accept slugify --no-commit              write the files, leave git alone

Each becomes a commit of its own, as `llmc build` makes it. A proposal is made again from its recorded completion and
judged first; one that was made for another spec, or against another artifact, than there is now is refused (exit code
6).")]
pub(crate) struct AcceptArgs {
    /// Specs by name or file
    #[arg(value_name = "SPEC", required_unless_present = "all")]
    pub(crate) specs: Vec<String>,
    /// Every proposal that waits
    #[arg(long, conflicts_with = "specs")]
    pub(crate) all: bool,
    /// Leave git alone: write the files and stop
    #[arg(long)]
    pub(crate) no_commit: bool,
}

/// `llmc reject`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc reject slugify
  llmc reject --all
  llmc reject slugify --forget                 what was rejected for it may be offered again")]
pub(crate) struct RejectArgs {
    /// Specs by name or file
    #[arg(value_name = "SPEC", required_unless_present = "all")]
    pub(crate) specs: Vec<String>,
    /// Every proposal that waits
    #[arg(long, conflicts_with_all = ["specs", "forget"])]
    pub(crate) all: bool,
    /// Forget which programs were rejected, instead of rejecting one
    #[arg(long)]
    pub(crate) forget: bool,
}

/// Whom to ask, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct AskingArgs {
    /// The model, as provider/name
    #[arg(long, value_name = "MODEL", env = "LLMC_MODEL")]
    pub(crate) model: Option<String>,
    /// The temperature, from 0 to 2
    #[arg(long, value_name = "T", env = "LLMC_TEMPERATURE", value_parser = temperature)]
    pub(crate) temperature: Option<f32>,
    /// The sampler's seed
    #[arg(long, value_name = "SEED", env = "LLMC_SEED")]
    pub(crate) seed: Option<u64>,
}

impl AskingArgs {
    /// The same where no number of samples is named.
    pub(crate) fn whole(&self) -> SamplingArgs {
        SamplingArgs { asking: self.clone(), ..SamplingArgs::default() }
    }
}

/// How to sample.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// How many samples to draw at most
    #[arg(short = 'n', long, value_name = "N", env = "LLMC_SAMPLES", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) samples: Option<u16>,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
    /// When to stop drawing
    #[arg(long, value_enum, value_name = "RULE")]
    pub(crate) stop: Option<StopRule>,
}

/// `--stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StopRule {
    /// At the first candidate that passes.
    First,
    /// When it is settled which behaviour of those that pass leads: after four that agree, or six to one.
    Agree,
    /// When every sample is drawn.
    All,
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("a temperature is a number from 0 to 2".to_owned()),
    }
}

/// `llmc validate`.
#[derive(Debug, Args)]
#[command(
    override_usage = "llmc validate [OPTIONS] SPEC FILES...\n       llmc validate [OPTIONS] --stdin [SPEC...]",
    after_help = "\
Examples:
  llmc validate slugify one.rs two.rs          each file is a candidate
  llmc validate slugify replies.jsonl          a candidate a line
  llmc validate ./any/where/spec.yaml - < x.jsonl
  llmc validate slugify mine.rs --all -q       for CI: exit code 3 unless every one passes
  llmc validate --stdin                        serve every spec in specs/, a verdict for each line as it comes

A line is a JSON object with `code` (Rust) or `completion` (a model's reply, from which the Rust is taken),
and maybe `id` (a string or a number; else its line number is its id), `spec` (a spec's name) and `finish`
(`length` when the reply was cut off). Other keys are passed over.

Exit codes: 0 one passed (with --all: all did), 1 a line could not be read or there was none, 2 spec invalid,
3 none passed."
)]
pub(crate) struct ValidateArgs {
    /// The spec, by name or file, in a workspace or not; with --stdin any number of them [default there: all of specs/]
    #[arg(value_name = "SPEC", required_unless_present = "stdin")]
    pub(crate) spec: Option<String>,
    /// Candidates: `.rs` files, `.jsonl` files, or `-` for JSON lines from standard input
    #[arg(value_name = "FILES", required_unless_present = "stdin")]
    pub(crate) files: Vec<String>,
    /// Answer JSON lines on standard input as they come, in JSON unless --message-format says otherwise
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Fail (exit code 3) unless every candidate passes
    #[arg(long)]
    pub(crate) all: bool,
    /// Judge afresh, even what was judged before
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How many workers judge [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// `llmc verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc verify                                  every artifact, and the generated crate as a whole
  llmc verify slugify --message-format json
  llmc verify --message-format github          annotations in a pull request; docs/ci.md
  llmc verify --message-format sarif > verify.sarif
  llmc verify --no-cache                       judge again, even what was judged before

No model is asked, and nothing is written. Each artifact's spec, prompt, templates, code, tests and provenance are held
against each other; the recorded completion is made into code again; that is compiled and run against every check.

Exit codes: 0 all is as it was built, 6 something differs.")]
pub(crate) struct VerifyArgs {
    /// Specs by name or file; all of specs/, and the generated crate as a whole, when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Judge afresh, even what was judged before
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How many artifacts to judge at once [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Who may sign, in the place of what llmc.yaml says; then every artifact has to be signed
    #[arg(long, value_name = "FILE")]
    pub(crate) signers: Option<PathBuf>,
}

/// `llmc sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc sign                                    every artifact, once each is verified
  llmc sign --public-key ann@example.org >> allowed_signers

Builds sign what they make where llmc.yaml has `sign`; this signs what is there already. The key is your own: an Ed25519
key of SSH's or in PEM, named in your own settings (`sign: { key: ~/.ssh/id_ed25519 }`) or by LLMC_SIGN_KEY.

Exit codes: 0 signed, 1 there is no key, 6 something differs, and nothing was signed.")]
pub(crate) struct SignArgs {
    /// Specs by name or file; all of specs/ when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Leave git alone: write the files and stop
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// Print your public key as a line of allowed_signers, and sign nothing
    #[arg(long, value_name = "WHO", conflicts_with = "specs", value_parser = who)]
    pub(crate) public_key: Option<String>,
}

/// Whose a key is: one word, so that it can stand in a file of signers.
fn who(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && !text.contains(|one: char| one.is_whitespace() || one.is_control() || one == '"');
    if is_one && !text.starts_with('#') { Ok(text.to_owned()) } else { Err("one word, as ann@example.org".to_owned()) }
}

/// `llmc replay`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc replay slugify                          the same bytes, the same tree
  llmc replay slugify --overwrite              put back what was edited by hand

No model is asked. Exit codes: 0 the artifact is what its recorded completion gives, 6 it is not.")]
pub(crate) struct ReplayArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
    /// Write what the recorded completion gives, where something else is there
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Judge afresh, even what was judged before
    #[arg(long)]
    pub(crate) no_cache: bool,
}

/// `llmc adopt`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc adopt slugify                           generated/src/slugify.rs as I edited it is the artifact now
  llmc adopt slugify --no-commit               write its record and leave git alone

No model is asked. The code is held against the interface and the policy, printed as llmc prints code (comments but for
documentation are not kept), compiled, and run against every check of the spec, in the sandbox, as a sample would be. Its
provenance says that a person made it, and from what. A build does not replace it by a sample unless --overwrite is given.

Exit codes: 0 it is the artifact now, or nothing was edited; 3 it does not pass: nothing was written, and the edit stays.")]
pub(crate) struct AdoptArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
    /// Leave git alone: write the files and stop
    #[arg(long)]
    pub(crate) no_commit: bool,
    /// Judge afresh, even what was judged before
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Write the spec's own tests over tests that were edited by hand
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// `llmc measure`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc measure slugify -n 32                   pass rate, pass@k, behaviours, cost
  llmc measure slugify --against openai/gpt-5-mini
                                               does another model do the same?
  llmc measure slugify --against HEAD          do fresh draws pass as often, and do as the committed code does?
  llmc measure slugify --against 2026-11-01    are they as those that the ledger has until then?
  llmc measure slugify --vary temperature=0.2,0.8
  llmc measure slugify --vary examples         with and without the examples in the prompt

Every sample is an independent draw: nothing is repaired and nothing ends early. Samples that are in the ledger cost
nothing. What passes and differs on some input shows where the spec leaves room.")]
pub(crate) struct MeasureArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
    #[command(flatten)]
    pub(crate) sampling: MeasureSampling,
    /// What to hold fresh draws against: another model (provider/name), a revision of git's, or a time (2026-11-01,
    /// 2026-11-01T12:00Z)
    #[arg(long, value_name = "MODEL|REV|DATE", conflicts_with = "vary")]
    pub(crate) against: Option<String>,
    /// What to vary: temperature=A,B or model=A,B; examples, shots or system: with and without
    #[arg(long, value_name = "FACTOR")]
    pub(crate) vary: Option<String>,
    /// Draw and judge afresh, even what is in the ledger
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How many candidates to judge at once [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// How to sample, without what ends early.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct MeasureSampling {
    /// How many samples to draw of each setting
    #[arg(short = 'n', long, value_name = "N", env = "LLMC_SAMPLES", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) samples: Option<u16>,
    #[command(flatten)]
    pub(crate) asking: AskingArgs,
}

impl MeasureSampling {
    /// The same, to the end.
    pub(crate) fn whole(&self) -> SamplingArgs {
        SamplingArgs { samples: self.samples, asking: self.asking.clone(), stop: None }
    }
}

/// `llmc clarify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc clarify slugify                         asks, one question at a time, on a terminal
  llmc clarify slugify --list                  the questions that tell most; nothing is asked or written
  llmc clarify slugify --answers answers.yaml  answers given beforehand
  llmc clarify slugify --max-entropy 0.5       for CI: exit code 7 when the spec leaves more open than that

Programs that pass every check and differ on some input read the spec in different ways. A question is such an input;
its answer becomes an example in the spec's file, or a property that rules the input out. Nothing is committed.
A file with answers is a list, in YAML or JSON:
  - { call: 'slugify(\"\")', returns: '\"\"' }
  - { call: 'slugify(\"-\")', invalid: true }      or panics: true, dont_care: true; invalid and dont_care
                                                 also take a condition that all other inputs keep

Exit codes: 0 done, 1 an answer can't be taken, 3 nothing passes, 7 above --max-entropy.")]
pub(crate) struct ClarifyArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
    #[command(flatten)]
    pub(crate) sampling: MeasureSampling,
    /// How many questions to ask at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) questions: u16,
    /// Print the questions that tell most, and ask nothing
    #[arg(long, conflicts_with = "answers")]
    pub(crate) list: bool,
    /// Take the answers from a file (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<String>,
    /// Fail (exit code 7) when the readings have more entropy than this, in bits, after the answers; asks nothing
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub(crate) max_entropy: Option<f64>,
    /// Draw and judge afresh, even what is in the ledger
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How many candidates to judge at once [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 0.99 => Ok(value),
        _ => Err("a share to certify is above 0 and below 0.99".to_owned()),
    }
}

fn bits(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("an entropy is a number of bits, from 0".to_owned()),
    }
}

/// `llmc strength`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc strength slugify                        which small changes of the code would the checks not notice?
  llmc strength slugify -n 500                 try more of them
  llmc strength slugify --add                  asks of each suggested example whether it is right, and adds it
  llmc strength slugify --deny-missed          for CI: exit code 7 when a change is not noticed

No model is asked, and without --add nothing is written. The artifact is changed in one small way at a time (`<` for
`<=`, a call left out, another constant …), and the spec's examples, properties and tests judge each change in the
sandbox. Changes that no check notices run on the same inputs as the artifact: where one parts from it that input is
suggested as an example; one that never does is likely the same program, and counts as neither caught nor missed.

Exit codes: 0 done, 6 the artifact fails its own checks, 7 a change is missed (--deny-missed).")]
pub(crate) struct StrengthArgs {
    /// The spec, by name or file
    pub(crate) spec: String,
    /// How many changes to try at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) mutants: u16,
    /// Which changes are tried, where there are more
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Put suggested examples into the spec's file; asks of each first
    #[arg(long)]
    pub(crate) add: bool,
    /// Ask nothing: what the artifact gives is right (needed with --add where there is no terminal)
    #[arg(short, long, requires = "add")]
    pub(crate) yes: bool,
    /// Fail (exit code 7) when a change is missed that is not likely the same program
    #[arg(long)]
    pub(crate) deny_missed: bool,
    /// Judge afresh, even what was judged before
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// How many workers judge [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// `llmc diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc diff                                    every proposal, against the artifact it would replace
  llmc diff slugify                            the one of this spec
  llmc diff slugify --rev HEAD~3..HEAD         between two commits
  llmc diff --rev main                         what differs between `main` and the work tree, in all specs
  llmc diff slugify --files old.rs new.rs      any two implementations of a spec
  llmc diff slugify --with slug_fast           the artifacts of two specs with one signature
  llmc diff slugify --text                     the text alone: nothing is compiled or run

Both are compiled, in the sandbox, and run on the same inputs: the calls that the spec shows, values at the edges of
their types, values drawn at random, and others near to where they part. Where they part the input is made as small as
it gets. Where they don't, it is said how large a difference may still be there.

Exit codes: 0 whether they differ or not (with --exit-code 1 where they do), 1 there is nothing to compare.")]
pub(crate) struct DiffArgs {
    /// Specs by name or file; every one with a proposal when none is given
    #[arg(value_name = "SPEC")]
    pub(crate) specs: Vec<String>,
    /// Two revisions of git's, or one to compare the work tree with
    #[arg(long, value_name = "A..B", conflicts_with_all = ["with", "files"])]
    pub(crate) rev: Option<String>,
    /// Compare with the artifact of another spec
    #[arg(long, value_name = "SPEC", conflicts_with = "files")]
    pub(crate) with: Option<String>,
    /// Compare two files
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    pub(crate) files: Vec<PathBuf>,
    /// Compare the text alone: nothing is compiled or run
    #[arg(long)]
    pub(crate) text: bool,
    /// Measure no time
    #[arg(long)]
    pub(crate) no_time: bool,
    /// How many inputs to draw at random for each function [default: 300]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    pub(crate) inputs: Option<u16>,
    /// Draw other inputs: all follow from this number
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Exit with 1 where they differ
    #[arg(long)]
    pub(crate) exit_code: bool,
    /// Print straight to the terminal
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// Show the code in the diff tool that git is told to use (`git config diff.tool`): nothing is compiled or run
    #[arg(long, conflicts_with = "exit_code")]
    pub(crate) tool: bool,
}

/// `llmc show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  llmc show slugify\n  llmc show slugify --samples        every sample of the last build, with its verdict\n  llmc show slugify --code\n  llmc show slugify@HEAD~3 --code    as it was three commits ago\n  llmc show slugify --format intoto  for other programs: the statement, or the envelope that signs it"
)]
pub(crate) struct ShowArgs {
    /// The spec, by name or file, and maybe a revision of git's
    #[arg(value_name = "SPEC[@REV]")]
    pub(crate) spec: String,
    /// The samples of the last build on this machine, with their verdicts
    #[arg(long, conflicts_with = "code")]
    pub(crate) samples: bool,
    /// The code
    #[arg(long)]
    pub(crate) code: bool,
    /// How to show the provenance [default: human, or json with --message-format json]
    #[arg(long, value_enum, value_name = "FORMAT", conflicts_with_all = ["samples", "code"])]
    pub(crate) format: Option<ShowFormat>,
}

/// `--format` of `llmc show`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShowFormat {
    /// In a few lines.
    Human,
    /// The in-toto statement, on one line.
    Json,
    /// For in-toto's tools: the file as it is committed; where it is signed, the DSSE envelope.
    Intoto,
}

/// `llmc log`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc log slugify
  llmc log slugify -n 3                        the last three
  llmc log slugify --behaviour                 and where each does something else than the one before
  llmc log slugify --message-format json | jq -r .commit

Read from git alone. An artifact that was moved to another name is followed to the commits under its old one. Where the code
and what it is built with are the same, its behaviour is; --behaviour runs each version beside the one before, in the sandbox.")]
pub(crate) struct LogArgs {
    /// The spec, by name or file; it need not be there any more
    pub(crate) spec: String,
    /// How many commits to list at most
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) number: Option<u32>,
    /// Compile each version and run it on the same inputs as the one before
    #[arg(long)]
    pub(crate) behaviour: bool,
}

/// `llmc revert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc revert slugify@HEAD~1                   as it was before the last commit
  llmc revert slugify@3f0c1d2                  as `llmc log slugify` lists it

Spec, code, tests and provenance are made what they were, and the generated crate's own files follow; all else stays as it
is. What is changed and not committed is never written over. Nothing is sampled, compiled or run.

Exit codes: 0 it is current, 6 changes would be lost, or that commit's artifact is not as its own record says.")]
pub(crate) struct RevertArgs {
    /// The spec, by name or file, and a revision of git's
    #[arg(value_name = "SPEC@REV")]
    pub(crate) spec: String,
    /// Leave git alone: write the files and stop
    #[arg(long)]
    pub(crate) no_commit: bool,
}

/// `llmc ledger`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  llmc ledger stats                         samples, tokens, cost and pass rate by day and model
  llmc ledger export > samples.jsonl
  llmc ledger gc --older-than 30d           what would be removed; --yes removes it")]
pub(crate) struct LedgerArgs {
    #[command(subcommand)]
    pub(crate) action: LedgerAction,
}

/// What to do with the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerAction {
    /// Print every sample with its verdicts, as one JSON object a line
    Export(ExportArgs),
    /// Print what was sampled by day and model: samples, tokens, cost, pass rate
    Stats(StatsArgs),
    /// Say which old samples can go; with --yes, remove them
    Gc(GcArgs),
}

/// `llmc ledger stats`.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// What to add up, for each model
    #[arg(long, value_enum, default_value_t = StatsBy::Day)]
    pub(crate) by: StatsBy,
}

/// `--by`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsBy {
    /// Days (UTC).
    Day,
    /// Everything.
    Model,
    /// Builds.
    Build,
    /// Nothing: each sample.
    Sample,
}

/// `llmc ledger export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// How
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    pub(crate) format: ExportFormat,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON object a line.
    Jsonl,
}

/// `llmc ledger gc`.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Samples that arrived longer ago than this: days, at least one
    #[arg(long, value_name = "DAYS", default_value = "90d", value_parser = days)]
    pub(crate) older_than: u32,
    /// Keep also the samples that earlier artifacts came from (those of the present ones always stay)
    #[arg(long)]
    pub(crate) keep_chosen: bool,
    /// Remove them
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A number of days, as `90d`. Less than one would remove what today's budget counts.
fn days(text: &str) -> Result<u32, String> {
    match text.strip_suffix('d').unwrap_or(text).parse() {
        Ok(days @ 1..=36_500) => Ok(days),
        _ => Err("a number of days from 1, as in `90d`".to_owned()),
    }
}

/// `llmc models`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  llmc models\n  llmc models pull 1.5b")]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ModelsAction>,
}

/// What to do about models.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelsAction {
    /// Fetch an embedded model's file into the cache
    Pull {
        /// `0.5b`, `1.5b`, or the URL of a GGUF file
        model: String,
    },
}

/// `llmc explain`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  llmc explain                  all of them\n  llmc explain hallucination\n  llmc explain E0425"
)]
pub(crate) struct ExplainArgs {
    /// As in a verdict: `hallucination`, `cut-off`, `example-2`, `E0425`
    pub(crate) code: Option<String>,
}

/// `llmc schema`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  llmc schema spec > spec.schema.json\n\nIn an editor with YAML support, the first line of a spec can be:\n  # yaml-language-server: $schema=./spec.schema.json"
)]
pub(crate) struct SchemaArgs {
    /// Of what
    #[arg(value_enum)]
    pub(crate) of: SchemaOf,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// Spec files.
    Spec,
}

/// `llmc completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  llmc completions bash > ~/.local/share/bash-completion/completions/llmc")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
