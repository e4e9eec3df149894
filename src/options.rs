//! Options: what the command line, the environment and the settings files come to, resolved once.
//!
//! The order, strongest first: flags and `LLMC_*`, the spec, the workspace's `llmc.yaml`, the user's own settings,
//! llmc's defaults. Nothing below `cli` reads the environment; it gets what it needs from here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::harness::Rule;
use crate::model::Parameters;
use crate::model::price::Prices;
use crate::spec::{Budget, Review, Sampling, Settings, Spec, Stop, Whose};

/// Samples drawn where nothing says how many.
pub const DEFAULT_SAMPLES: usize = 8;
/// The seed where nothing sets one.
pub const DEFAULT_SEED: u64 = 1;
/// Nucleus sampling where nothing sets it.
pub const DEFAULT_TOP_P: f32 = 0.95;

/// What the user asked for, beside the specs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Never open a network connection.
    pub offline: bool,
    /// Compile and run candidates without the sandbox. Never by a workspace's settings: they come with its files.
    pub unsandboxed: bool,
    /// Fail rather than sample.
    pub locked: bool,
    /// Write the files and leave git alone.
    pub no_commit: bool,
    /// Sample and judge afresh, even what is up to date.
    pub no_cache: bool,
    /// Replace an artifact that was edited by hand.
    pub overwrite: bool,
    /// The most entropy, in bits, that what passes may have in a build.
    pub max_entropy: Option<f64>,
    /// The share of what passes that must do as the choice of a build does, as a test on fresh samples shows.
    pub certify: Option<f64>,
    /// How many candidates to judge at once.
    pub jobs: usize,
    /// `--model`.
    pub model: Option<String>,
    /// Sampling flags.
    pub sampling: Sampling,
    /// The workspace's `llmc.yaml`.
    pub workspace: Settings,
    /// The user's own settings.
    pub user: Settings,
    /// Folders of the user.
    pub places: Places,
    /// The environment.
    pub environment: Environment,
}

/// Folders of the user (XDG).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Model files and built dependencies, e.g. `~/.cache/llmc`.
    pub cache: PathBuf,
    /// The user's own settings, e.g. `~/.config/llmc/config.yaml`.
    pub settings: PathBuf,
    /// Private folders that are removed after use, e.g. `/tmp`.
    pub temp: PathBuf,
    /// The home folder, for `~/` in settings.
    pub home: Option<PathBuf>,
}

/// The environment, as far as llmc looks into it: keys, git's identity.
#[derive(Clone)]
pub struct Environment(Lookup);

type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl Environment {
    /// Looks variables up with `get`.
    pub fn new(get: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(get))
    }

    /// An environment of these variables only.
    pub fn fixed(variables: BTreeMap<String, String>) -> Self {
        Self::new(move |name| variables.get(name).cloned())
    }

    /// A variable's value; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values hold secrets.
        formatter.write_str("Environment")
    }
}

/// How a spec is built: everything decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The models that are configured, as `provider/name`; empty: llmc chooses.
    pub models: Vec<String>,
    /// Samples to draw at most.
    pub samples: usize,
    /// When to stop drawing.
    pub stop: Stop,
    /// Repairs to try at most.
    pub repairs: usize,
    /// The sampler's parameters.
    pub parameters: Parameters,
    /// Caps on the build.
    pub budget: Budget,
    /// Caps on the day.
    pub day: Day,
}

/// Caps on what all of a workspace may use up on one day (UTC), each with whose it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Day {
    /// Prompt and completion tokens together.
    pub tokens: Option<(u64, Whose)>,
    /// US dollars.
    pub usd: Option<(f64, Whose)>,
}

impl Options {
    /// How to build `spec`.
    pub fn plan(&self, spec: &Spec) -> Plan {
        self.plan_of(&spec.model, &spec.sampling, &spec.budget)
    }

    /// How to ask for what has no spec yet.
    pub fn plan_alone(&self) -> Plan {
        self.plan_of(&[], &Sampling::default(), &Budget::default())
    }

    fn plan_of(&self, models: &[String], sampling: &Sampling, budget: &Budget) -> Plan {
        let layers = [&self.sampling, sampling, &self.workspace.sampling, &self.user.sampling];
        let models = self.models_of(models);
        let budgets = [budget, &self.workspace.budget, &self.user.budget];
        Plan {
            models,
            samples: first(&layers, |layer| layer.samples).unwrap_or(DEFAULT_SAMPLES),
            stop: first(&layers, |layer| layer.stop).unwrap_or(Stop::Agree),
            repairs: first(&layers, |layer| layer.repairs).unwrap_or(0),
            parameters: Parameters {
                temperature: first(&layers, |layer| layer.temperature),
                top_p: first(&layers, |layer| layer.top_p).unwrap_or(DEFAULT_TOP_P),
                max_tokens: first(&layers, |layer| layer.max_tokens),
                seed: first(&layers, |layer| layer.seed).unwrap_or(DEFAULT_SEED),
            },
            budget: Budget {
                tokens: first(&budgets, |budget| budget.tokens),
                usd: first(&budgets, |budget| budget.usd),
                seconds: first(&budgets, |budget| budget.seconds),
            },
            day: self.day(),
        }
    }

    /// Caps on the day: of the workspace's and the user's own the lower one. A stranger's workspace spends no more of
    /// the user's than the user said.
    pub fn day(&self) -> Day {
        let both = [(&self.workspace.day, Whose::Workspace), (&self.user.day, Whose::User)];
        let tokens = both.iter().filter_map(|(day, whose)| Some((day.tokens?, *whose)));
        let usd = both.iter().filter_map(|(day, whose)| Some((day.usd?, *whose)));
        Day { tokens: tokens.min_by_key(|cap| cap.0), usd: usd.min_by(|one, other| one.0.total_cmp(&other.0)) }
    }

    /// The models of a spec that names these: what the user asked for, else those, else the workspace's, else the user's
    /// own; empty where llmc chooses.
    pub fn models_of(&self, own: &[String]) -> Vec<String> {
        match &self.model {
            Some(model) => vec![model.clone()],
            None => [own, &self.workspace.model, &self.user.model]
                .into_iter()
                .find(|models| !models.is_empty())
                .map(<[String]>::to_vec)
                .unwrap_or_default(),
        }
    }

    /// How a component's model is sampled: flags, then its spec, then the workspace's settings, then the user's own.
    pub fn sampling_of(&self, own: &Sampling) -> Sampling {
        let layers = [&self.sampling, own, &self.workspace.sampling, &self.user.sampling];
        Sampling {
            temperature: first(&layers, |layer| layer.temperature),
            top_p: first(&layers, |layer| layer.top_p),
            max_tokens: first(&layers, |layer| layer.max_tokens),
            // A seed of the settings is one for builds: it would make every draw of a component the same.
            seed: self.sampling.seed.or(own.seed),
            repairs: first(&layers, |layer| layer.repairs),
            ..Sampling::default()
        }
    }

    /// Whether the generated crate has `register`, even without a component.
    pub fn harness(&self) -> bool {
        self.workspace.harness == Some(true)
    }

    /// Whether builds leave proposals: if either the workspace or the user wants to see what is committed.
    pub fn needs_review(&self) -> bool {
        [&self.workspace, &self.user].iter().any(|settings| settings.review == Some(Review::Required))
    }

    /// Who may call which component: the rules of the workspace and of the user. The strictest that applies decides, so that
    /// their order means nothing.
    pub fn approvals(&self) -> impl Iterator<Item = &Rule> {
        self.workspace.approvals.iter().chain(&self.user.approvals)
    }

    /// What models cost.
    pub fn prices(&self) -> Prices {
        Prices::new(&self.user.prices, &self.workspace.prices)
    }
}

/// The value of the strongest layer that has one.
fn first<L, T>(layers: &[&L], get: impl Fn(&L) -> Option<T>) -> Option<T> {
    layers.iter().find_map(|layer| get(layer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{self, DayBudget};

    fn options() -> Options {
        Options {
            offline: false,
            unsandboxed: false,
            locked: false,
            no_commit: false,
            no_cache: false,
            overwrite: false,
            max_entropy: None,
            certify: None,
            jobs: 1,
            model: None,
            sampling: Sampling::default(),
            workspace: Settings::default(),
            user: Settings::default(),
            places: Places { cache: "c".into(), settings: "s".into(), temp: "t".into(), home: None },
            environment: Environment::fixed(BTreeMap::new()),
        }
    }

    fn spec(more: &str) -> Spec {
        let text = format!("llmc: 1\nname: f\ndescription: d\nsignature: 'fn f(x: u8) -> u8'\n{more}");
        spec::parse("f.yaml", "f", text.as_bytes()).expect("the spec is valid").0
    }

    #[test]
    fn a_flag_beats_the_spec_which_beats_the_workspace_which_beats_the_user() {
        let mut options = options();
        let plan = options.plan(&spec(""));
        assert_eq!((plan.samples, plan.parameters.seed, plan.stop), (DEFAULT_SAMPLES, DEFAULT_SEED, Stop::Agree));
        assert!(plan.models.is_empty() && plan.parameters.temperature.is_none());

        options.user.sampling.samples = Some(1);
        options.user.model = vec!["openai/user".into()];
        assert_eq!(options.plan(&spec("")).samples, 1);
        options.workspace.sampling.samples = Some(2);
        assert_eq!(options.plan(&spec("")).samples, 2);
        assert_eq!(options.plan(&spec("")).models, ["openai/user"]);
        let own = spec("sampling: { samples: 3 }\nmodel: [openai/a, embedded/0.5b]\n");
        assert_eq!(options.plan(&own).samples, 3);
        assert_eq!(options.plan(&own).models, ["openai/a", "embedded/0.5b"]);
        options.sampling.samples = Some(4);
        options.model = Some("openai/flag".into());
        assert_eq!(options.plan(&own).samples, 4);
        assert_eq!(options.plan(&own).models, ["openai/flag"]);
    }

    #[test]
    fn of_two_caps_on_a_day_the_lower_one_holds() {
        let mut options = options();
        assert_eq!(options.day(), Day::default());
        options.workspace.day = DayBudget { tokens: Some(9), usd: Some(100.0) };
        assert_eq!(options.day().usd, Some((100.0, Whose::Workspace)));
        options.user.day = DayBudget { tokens: Some(10), usd: Some(5.0) };
        let day = Day { tokens: Some((9, Whose::Workspace)), usd: Some((5.0, Whose::User)) };
        assert_eq!((options.day(), options.plan(&spec("")).day), (day, day));
    }

    #[test]
    fn an_environment_never_shows_what_it_holds() {
        let environment = Environment::fixed(BTreeMap::from([("KEY".to_owned(), "sk-secret".to_owned())]));
        assert_eq!(environment.get("KEY").as_deref(), Some("sk-secret"));
        assert_eq!(format!("{environment:?}"), "Environment");
    }
}
