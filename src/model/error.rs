//! Why a model could not be sampled, in words for people: what happened, and what to do about it.
//!
//! Whoever makes one of these has taken every key out of its texts.

use std::fmt;
use std::time::Duration;

/// Why a model could not be sampled.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// The name or the settings can't be used.
    #[error("{0}")]
    Settings(String),
    /// A model file could not be had.
    #[error("{0}")]
    Download(String),
    /// The model can't be run here: no engine, wrong file, out of memory.
    #[error("{0}")]
    Engine(String),
    /// The server could not be reached.
    #[error("can't reach {url}: {reason}")]
    Unreachable {
        /// The address asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// No trusted connection could be made.
    #[error("can't reach {url} securely: {reason}")]
    Tls {
        /// The address asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// A proxy on the way refused.
    #[error("can't reach {url} through the proxy: {reason}")]
    Proxy {
        /// The address asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused the key.
    #[error("{url} refused the key (HTTP {status})")]
    Unauthorized {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// There is no money left, which waiting does not mend.
    #[error("{url} wants to be paid: {reason}")]
    Spent {
        /// The address asked.
        url: String,
        /// The server's words, shortened.
        reason: String,
    },
    /// The server wants us to wait.
    #[error("{url} is busy (HTTP {status}{})", asked(*retry_after))]
    Busy {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it wants us to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// The server knows no such model, or no such address.
    #[error("{url} answered HTTP {status}: {reason}")]
    NotFound {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words, shortened.
        reason: String,
    },
    /// The server won't do what is asked.
    #[error("{url} refused the request (HTTP {status}): {reason}")]
    Refused {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's words, shortened.
        reason: String,
    },
    /// The server failed.
    #[error("{url} failed (HTTP {status}): {reason}")]
    Failed {
        /// The address asked.
        url: String,
        /// The HTTP status; of an error within an answer, the one that stands for it.
        status: u16,
        /// The server's words, shortened.
        reason: String,
    },
    /// The server sends us elsewhere, which is never followed: the key would go along.
    #[error("{url} redirects to {to} (HTTP {status})")]
    Redirect {
        /// The address asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Where to.
        to: String,
    },
    /// The answer was cut off.
    #[error("{url} broke off in the middle of its answer: {reason}")]
    Cut {
        /// The address asked.
        url: String,
        /// How.
        reason: String,
    },
    /// The answer holds nothing.
    #[error("{url} answered with nothing: {reason}")]
    Empty {
        /// The address asked.
        url: String,
        /// What there was instead.
        reason: String,
    },
    /// The answer is something else than a completion.
    #[error("{url} answered with {reason}")]
    BadReply {
        /// The address asked.
        url: String,
        /// What it answered, shortened.
        reason: String,
    },
    /// It took too long.
    #[error("{url} took too long: {wait} {} s", seconds(*.limit))]
    Timeout {
        /// The address asked, or the program.
        url: String,
        /// What was waited for.
        wait: Wait,
        /// The limit.
        limit: Duration,
    },
    /// A program failed.
    #[error("`{program}` {reason}")]
    Program {
        /// The program, without arguments.
        program: String,
        /// How, with the end of what it said.
        reason: String,
    },
    /// A cap of the budget is in the way: nothing was sent.
    #[error("{cap} is {limit}: {spent} is spent, and the next request could take {next}")]
    Budget {
        /// Its name in the settings.
        cap: &'static str,
        /// How much it is.
        limit: String,
        /// What counts as spent, what is put aside included.
        spent: String,
        /// The most that the next request could take.
        next: String,
    },
    /// What a request may cost can't be recorded, so that nothing was sent.
    #[error("what a request may cost can't be put aside: {0}")]
    Unrecorded(String),
    /// The recorded completions can't be used, or are used up.
    #[error("{0}")]
    Replay(String),
}

/// What was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A connection.
    Connect,
    /// The first piece of an answer.
    FirstToken,
    /// The next piece of an answer.
    Idle,
    /// The whole answer.
    Whole,
}

impl fmt::Display for Wait {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "no connection within",
            Self::FirstToken => "not one token within",
            Self::Idle => "silent in the middle of its answer for",
            Self::Whole => "no whole answer within",
        })
    }
}

impl Wait {
    /// The setting that limits it.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Connect => "connect_seconds",
            Self::FirstToken => "first_token_seconds",
            Self::Idle => "idle_seconds",
            Self::Whole => "timeout_seconds",
        }
    }
}

impl ModelError {
    /// A word for it, for programs; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings(_) => "provider-settings",
            Self::Download(_) => "provider-download",
            Self::Engine(_) => "provider-engine",
            Self::Unreachable { .. } => "provider-unreachable",
            Self::Tls { .. } => "provider-tls",
            Self::Proxy { .. } => "provider-proxy",
            Self::Unauthorized { .. } => "provider-key",
            Self::Spent { .. } => "provider-spent",
            Self::Busy { .. } => "provider-busy",
            Self::NotFound { .. } => "provider-not-found",
            Self::Refused { .. } => "provider-refused",
            Self::Failed { .. } => "provider-failed",
            Self::Redirect { .. } => "provider-redirect",
            Self::Cut { .. } => "provider-cut",
            Self::Empty { .. } => "provider-empty",
            Self::BadReply { .. } => "provider-reply",
            Self::Timeout { .. } => "provider-timeout",
            Self::Program { .. } => "provider-program",
            Self::Budget { .. } => "budget",
            Self::Unrecorded(_) => "ledger",
            Self::Replay(_) => "provider-replay",
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Settings(_) | Self::Download(_) | Self::Engine(_) | Self::Replay(_) => return None,
            Self::Budget { .. } => {
                "raise it, or lower `sampling.max_tokens`: a request is sent only when the most it could take fits"
                    .into()
            }
            Self::Unrecorded(_) => "make `.llmc` writable, and room on its disk; nothing was sent".into(),
            Self::Unreachable { .. } => "is the server running? `llmc models` shows what can be reached".into(),
            Self::Tls { .. } => "is the address right (http or https), and does this machine trust the server's \
                                 certificate?"
                .into(),
            Self::Proxy { .. } => {
                "HTTPS_PROXY and HTTP_PROXY name the proxy; NO_PROXY lists hosts to reach without it".into()
            }
            Self::Unauthorized { .. } => "is the key in the environment the right one for this server?".into(),
            Self::Spent { .. } => "waiting won't help: look at the account's balance and limits".into(),
            Self::Busy { .. } => "wait a little, or lower the provider's `concurrency` in llmc.yaml".into(),
            Self::NotFound { .. } => {
                "are the model's name and `base_url` right? `llmc models` shows what the server has".into()
            }
            Self::Refused { .. } => "the server's words say what it wants; `sampling` and the provider's settings in \
                                     llmc.yaml make the request"
                .into(),
            Self::Failed { .. } => "the fault is the server's: try again later; what had arrived is kept".into(),
            Self::Redirect { .. } => {
                "set the provider's `base_url` to the address meant; llmc takes no key to another one".into()
            }
            Self::Cut { .. } | Self::Empty { .. } => {
                "try again; if it keeps happening, the server or a proxy before it cuts long answers off".into()
            }
            Self::BadReply { .. } => {
                "does `base_url` point at the API (it often ends in /v1), and not at a web page or a proxy?".into()
            }
            Self::Timeout { wait, .. } => {
                format!("for a slower server raise the provider's `{}` in llmc.yaml", wait.setting())
            }
            Self::Program { .. } => "run it by hand, with a prompt on its standard input".into(),
        })
    }
}

/// A duration in seconds, as short as it can be said.
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds.fract() == 0.0 { format!("{seconds:.0}") } else { format!("{seconds:.1}") }
}

fn asked(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(", asks for {} s", seconds(wait))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_people_write_them() {
        let error = ModelError::Timeout { url: "x".into(), wait: Wait::Idle, limit: Duration::from_millis(2500) };
        assert_eq!(error.to_string(), "x took too long: silent in the middle of its answer for 2.5 s");
        let error = ModelError::Busy { url: "x".into(), status: 429, retry_after: Some(Duration::from_secs(90)) };
        assert_eq!(error.to_string(), "x is busy (HTTP 429, asks for 90 s)");
    }
}
