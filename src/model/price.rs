//! What models cost: what is known without asking anyone, and what the settings say.
//!
//! A price that is not known is never taken for nothing.

use std::collections::BTreeMap;

use super::{Completion, Identity};
use crate::spec::PriceSettings;

/// When the table below was last compared with the providers' own price lists.
pub const AS_OF: &str = "2026-11-05";
/// The table holds for prompts of up to so many tokens: some models cost more beyond.
const LONGEST_PROMPT: u64 = 100_000;

/// What a million tokens cost in US dollars; what one token costs in millionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Generated, reasoning included.
    pub output: f64,
    /// Of the prompt, read from the server's cache.
    pub cached: f64,
    /// Of the prompt, written to the server's cache.
    pub cache_write: f64,
}

/// What is free.
pub const FREE: Price = Price { input: 0.0, output: 0.0, cached: 0.0, cache_write: 0.0 };

/// OpenAI's and Anthropic's list prices for usual requests: input, output, read from the cache. Writing to the cache
/// costs a quarter more than input where it costs anything. OpenAI does not tell how much of a prompt it wrote, so that
/// the input of those models of its that charge for it is given at that price.
const OPENAI: &[(&str, [f64; 3])] = &[
    ("gpt-6-sol", [2.5, 10.0, 0.2]),
    ("gpt-6-luna", [0.125, 0.5, 0.01]),
    ("gpt-5.5", [5.0, 30.0, 0.5]),
    ("gpt-5.4", [2.5, 15.0, 0.25]),
    ("gpt-5.4-mini", [0.75, 4.5, 0.075]),
    ("gpt-5.4-nano", [0.2, 1.25, 0.02]),
    ("gpt-5.2", [1.75, 14.0, 0.175]),
    ("gpt-5.1", [1.25, 10.0, 0.125]),
    ("gpt-5", [1.25, 10.0, 0.125]),
    ("gpt-5-mini", [0.25, 2.0, 0.025]),
    ("gpt-5-nano", [0.05, 0.4, 0.005]),
    ("gpt-4.1", [2.0, 8.0, 0.5]),
    ("gpt-4.1-mini", [0.4, 1.6, 0.1]),
    ("gpt-4.1-nano", [0.1, 0.4, 0.025]),
    ("gpt-4o", [2.5, 10.0, 1.25]),
    ("gpt-4o-mini", [0.15, 0.6, 0.075]),
];
const ANTHROPIC: &[(&str, [f64; 3])] = &[
    ("claude-fable-5-1", [10.0, 50.0, 0.25]),
    ("claude-fable-5", [10.0, 50.0, 1.0]),
    ("claude-opus-5-5", [4.0, 20.0, 0.2]),
    ("claude-opus-5", [5.0, 25.0, 0.5]),
    ("claude-opus-4-8", [5.0, 25.0, 0.5]),
    ("claude-opus-4-7", [5.0, 25.0, 0.5]),
    ("claude-opus-4-6", [5.0, 25.0, 0.5]),
    ("claude-opus-4-5", [5.0, 25.0, 0.5]),
    ("claude-opus-4-1", [15.0, 75.0, 1.5]),
    ("claude-sonnet-5-5", [2.0, 10.0, 0.1]),
    ("claude-sonnet-5", [2.0, 10.0, 0.2]),
    ("claude-sonnet-4-6", [3.0, 15.0, 0.3]),
    ("claude-sonnet-4-5", [3.0, 15.0, 0.3]),
    ("claude-haiku-5-5", [0.1, 0.5, 0.01]),
    ("claude-haiku-4-5", [1.0, 5.0, 0.1]),
];

impl Price {
    /// The most that so many tokens can cost, in millionths of a dollar.
    pub fn most(&self, prompt: u64, completion: u64) -> u64 {
        let input = self.input.max(self.cached).max(self.cache_write);
        micros(prompt as f64 * input + completion as f64 * self.output)
    }

    /// What a completion cost, by its tokens, in millionths of a dollar.
    pub fn of(&self, completion: &Completion) -> u64 {
        let (cached, written) = (completion.cached_tokens, completion.cache_written_tokens);
        let fresh = completion.prompt_tokens.saturating_sub(cached + written);
        let tokens = |count: usize, price: f64| count as f64 * price;
        micros(
            tokens(fresh, self.input)
                + tokens(cached, self.cached)
                + tokens(written, self.cache_write)
                + tokens(completion.completion_tokens, self.output),
        )
    }
}

/// Whole millionths, upwards: a cost is never told as less than it is. What is added up in binary may be off by a hair.
fn micros(micros: f64) -> u64 {
    (micros - 1e-6).ceil().max(0.0) as u64
}

/// The prices that a run goes by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices {
    user: BTreeMap<String, PriceSettings>,
    workspace: BTreeMap<String, PriceSettings>,
}

impl Prices {
    /// Those of the user's own settings, and below them those of the workspace: a stranger's workspace says of no model that
    /// it costs less than its user or its provider says. The table and what is free come below both.
    pub fn new(user: &BTreeMap<String, PriceSettings>, workspace: &BTreeMap<String, PriceSettings>) -> Self {
        Self { user: user.clone(), workspace: workspace.clone() }
    }

    /// Whether sampling a model costs nothing: the settings say so, or it is free and they say nothing.
    pub fn are_nothing(&self, identity: &Identity) -> bool {
        match self.set(identity) {
            Some(own) => own.input == 0.0 && own.output == 0.0,
            None => is_free(identity),
        }
    }

    /// What a model costs for prompts of up to `prompt` tokens; `None` when nobody knows.
    pub fn of(&self, identity: &Identity, prompt: u64) -> Option<Price> {
        if let Some(own) = self.set(identity) {
            return Some(own);
        }
        if is_free(identity) {
            return Some(FREE);
        }
        listed(identity).filter(|_| prompt <= LONGEST_PROMPT)
    }

    /// What settings say of a model.
    fn set(&self, identity: &Identity) -> Option<Price> {
        let name = identity.to_string();
        let told = |own: &PriceSettings| {
            // llmc marks prompts for Anthropic's cache, and being written there costs more.
            let write = if identity.provider == "anthropic" { own.input * 1.25 } else { own.input };
            Price {
                input: own.input,
                output: own.output,
                cached: own.cached.unwrap_or(own.input),
                cache_write: own.cache_write.unwrap_or(write),
            }
        };
        if let Some(own) = self.user.get(&name) {
            return Some(told(own));
        }
        let own = told(self.workspace.get(&name)?);
        Some(match listed(identity) {
            Some(list) => Price {
                input: own.input.max(list.input),
                output: own.output.max(list.output),
                cached: own.cached.max(list.cached),
                cache_write: own.cache_write.max(list.cache_write),
            },
            None => own,
        })
    }
}

/// The list price of a model of the provider's own.
fn listed(identity: &Identity) -> Option<Price> {
    let (table, server) = match identity.provider.as_str() {
        "openai" => (OPENAI, super::openai::OPENAI),
        "anthropic" => (ANTHROPIC, super::anthropic::ANTHROPIC),
        _ => return None,
    };
    // Who else serves a model of that name has prices of its own; who asks for more than text may pay for more.
    let is_own = identity.facts.iter().any(|(name, value)| name == "base_url" && value == server);
    let is_plain = identity.facts.iter().all(|(name, value)| {
        name != "body" || !["service_tier", "speed", "tools", "web_search"].iter().any(|more| value.contains(more))
    });
    let (_, [input, output, cached]) =
        table.iter().find(|(name, _)| identity.name == *name || is_dated(&identity.name, name))?;
    let price = Price { input: *input, output: *output, cached: *cached, cache_write: *input * 1.25 };
    (is_own && is_plain).then_some(price)
}

/// Whether `full` is `name` with a date after it: `-2025-08-07`, `-20250929`.
fn is_dated(full: &str, name: &str) -> bool {
    let date = full.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    date.is_some_and(|date| {
        let digits = date.bytes().filter(u8::is_ascii_digit).count();
        digits == 8 && date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
    })
}

/// Whether sampling a model costs nothing: it runs on this machine, or nothing is run at all.
///
/// Of a program (`command`) that can't be known.
pub fn is_free(identity: &Identity) -> bool {
    match identity.provider.as_str() {
        "embedded" | "replay" => true,
        "command" => false,
        _ => identity.facts.iter().any(|(name, value)| name == "base_url" && is_on_this_machine(value)),
    }
}

fn is_on_this_machine(address: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(address) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback()),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(provider: &str, name: &str, base_url: &str) -> Identity {
        let facts = vec![("base_url".into(), base_url.into())];
        Identity { provider: provider.into(), name: name.into(), digest: None, facts }
    }

    #[test]
    fn what_runs_on_this_machine_is_free_and_nothing_else() {
        let model = |provider: &str, base_url: &str| model(provider, "m", base_url);
        for address in ["http://localhost:8000/v1", "http://127.0.0.1:1", "http://[::1]:11434/v1", "http://127.9.9.9/"]
        {
            assert!(is_free(&model("openai", address)), "{address}");
        }
        for address in ["https://api.openai.com/v1", "http://localhost.example.org", "http://10.0.0.1/v1", "nonsense"] {
            assert!(!is_free(&model("openai", address)), "{address}");
        }
        assert!(is_free(&Identity { facts: vec![], ..model("embedded", "") }));
        assert!(!is_free(&Identity { facts: vec![], ..model("command", "") }));
        assert!(!is_free(&Identity { facts: vec![], ..model("anthropic", "") }));
    }

    #[test]
    fn a_price_is_the_settings_or_the_lists_of_the_provider_itself_or_not_known() {
        let (openai, anthropic) = ("https://api.openai.com/v1", "https://api.anthropic.com/v1");
        let none = Prices::default();
        let input = |prices: &Prices, model: &Identity| prices.of(model, 1000).map(|price| price.input);
        for (model, price) in [
            (model("openai", "gpt-5-mini", openai), Some(0.25)),
            (model("openai", "gpt-5-mini-2025-08-07", openai), Some(0.25)),
            (model("openai", "gpt-5", openai), Some(1.25)),
            (model("anthropic", "claude-sonnet-4-5-20250929", anthropic), Some(3.0)),
            (model("openai", "gpt-5-pro", openai), None),
            (model("openai", "gpt-5-mini-audio", openai), None),
            (model("openai", "gpt-5-mini", "https://example.org/v1"), None),
            (model("openai", "gpt-5-mini", "http://localhost:1/v1"), Some(0.0)),
            (model("command", "mine", ""), None),
        ] {
            assert_eq!(input(&none, &model), price, "{model:?}");
        }
        let long = none.of(&model("openai", "gpt-5-mini", openai), LONGEST_PROMPT + 1);
        assert_eq!(long, None, "long prompts may cost more");
        let mut priority = model("openai", "gpt-5-mini", openai);
        priority.facts.push(("body".into(), r#"{"service_tier":"priority"}"#.into()));
        assert_eq!(input(&none, &priority), None);

        let own = PriceSettings { input: 7.0, output: 8.0, cached: None, cache_write: None };
        let workspace = BTreeMap::from([
            ("openai/gpt-5-mini".to_owned(), PriceSettings { input: 0.0, ..own }),
            ("openai/gpt-5".to_owned(), PriceSettings { input: 0.0, output: 0.0, ..own }),
            ("openai/mine".to_owned(), PriceSettings { input: 0.5, ..own }),
        ]);
        let user = BTreeMap::from([
            ("openai/gpt-5-mini".to_owned(), own),
            ("anthropic/x".to_owned(), PriceSettings { input: 4.0, ..own }),
        ]);
        let prices = Prices::new(&user, &workspace);
        assert_eq!(input(&prices, &model("openai", "gpt-5-mini", openai)), Some(7.0));
        assert_eq!(input(&prices, &model("openai", "gpt-5", openai)), Some(1.25), "a workspace makes nothing cheaper");
        assert!(!prices.are_nothing(&model("openai", "gpt-5", openai)));
        assert_eq!(input(&prices, &model("openai", "mine", openai)), Some(0.5));
        assert_eq!(prices.of(&model("anthropic", "x", ""), 1).unwrap().cache_write, 5.0);
    }

    #[test]
    fn no_completion_costs_more_than_the_most_that_its_tokens_can() {
        let price = Price { input: 3.0, output: 15.0, cached: 0.3, cache_write: 3.75 };
        for (cached, written) in [(0, 0), (900, 100), (0, 1000), (10, 20)] {
            let completion = Completion {
                prompt_tokens: 1000,
                completion_tokens: 100,
                cached_tokens: cached,
                cache_written_tokens: written,
                ..Completion::default()
            };
            assert!(price.of(&completion) <= price.most(1000, 100));
        }
        assert_eq!(price.most(1000, 100), 3750 + 1500);
        let cheap = Price { input: 0.05, output: 0.4, cached: 0.005, cache_write: 0.05 };
        assert_eq!(cheap.most(1, 0), 1, "a part of a millionth counts as one");
    }

    #[test]
    fn the_date_of_the_prices_is_in_the_documentation() {
        assert!(include_str!("../../docs/budget.md").contains(AS_OF));
    }
}
