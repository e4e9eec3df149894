//! `llmc serve`: a workspace's components over HTTP, or as MCP tools over standard input and output.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;

use super::args::{AskingArgs, Cli, MessageFormat};
use super::{Output, directory, session};
use crate::driver::{self, Opened, Opening};
use crate::error::{Error, ExitCode};
use crate::harness::{Budget, Harness, RunOptions};
use crate::interrupt::Interrupt;
use crate::report::{count, printable};
use crate::serve::{Access, Limits, Served, Token, http, stdio};

/// The variable that holds a token.
const TOKEN: &str = "LLMC_SERVE_TOKEN";

/// `llmc serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  llmc serve                                   every component, over HTTP on this machine; prints how to call them
  llmc serve classify reply                    these two alone
  llmc serve --mcp                             for an MCP client that starts it: command `llmc`, arguments `serve --mcp`
  llmc -C ~/tickets serve --mcp                the workspace in that folder
  llmc serve --listen 127.0.0.1:8080 --token-file ~/.llmc-token
  llmc serve --max-usd 2                       asks no model any more once $2 are spent

Over HTTP: GET /v1/components lists, POST /v1/components/NAME calls with the body as input, /mcp takes MCP clients. A token
is needed, made up and printed unless --token-file or LLMC_SERVE_TOKEN gives one. The connection is not encrypted: to be
reached from elsewhere, put something in front that encrypts. docs/serve.md

What a rule asks a person about is denied: there is nobody to ask. Ctrl-C finishes what is under way and stops.")]
pub(crate) struct ServeArgs {
    /// Components by name; all of them when none is given
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// As MCP tools, over standard input and output
    #[arg(
        long,
        conflicts_with_all = ["http", "listen", "token_file", "no_token", "host", "allow_origin"]
    )]
    mcp: bool,
    /// Over HTTP (as when neither is given)
    #[arg(long)]
    http: bool,
    /// Where to listen; port 0 takes a free one. Other addresses than loopback need --token-file or LLMC_SERVE_TOKEN
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The token that callers must know: the text of FILE
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Let every program of this machine call, whoever started it; on loopback only
    #[arg(long, conflicts_with = "token_file")]
    no_token: bool,
    /// A name by which callers address the server, beside `localhost` and IP addresses; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Web pages of ORIGIN (https://app.example.org) may call; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Calls at once; others wait
    #[arg(short, long, value_name = "N", default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    jobs: u16,
    /// The longest that a call may take
    #[arg(long, value_name = "SECONDS", default_value = "600")]
    timeout: NonZeroU32,
    /// The most that all calls may cost together as long as it serves, in US dollars
    #[arg(long, value_name = "USD", value_parser = super::call::positive)]
    max_usd: Option<f64>,
    /// The most tokens that all calls may take together
    #[arg(long, value_name = "N")]
    max_tokens: Option<u64>,
    /// The most that one call may cost, beside its component's own budget
    #[arg(long, value_name = "USD", value_parser = super::call::positive)]
    max_usd_per_call: Option<f64>,
    /// The most tokens that one call may take
    #[arg(long, value_name = "N")]
    max_tokens_per_call: Option<u64>,
    /// Read more rules on who may call what from this file (YAML or JSON)
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Runs the command.
pub(super) async fn serve(cli: &Cli, args: &ServeArgs, output: &Output) -> Result<ExitCode, Error> {
    let plan = Plan::new(cli, args, std::env::var(TOKEN).ok().filter(|token| !token.is_empty()))?;
    if args.mcp {
        // Before anything else can print there.
        let own = own_stdout()?;
        let output = Output { format: MessageFormat::Human, ..*output };
        let (opened, interrupt) = open(cli, args, &output).await?;
        let ended = speak(&served(opened.harness.clone(), args)?, own, &output, &interrupt).await;
        opened.flush()?;
        return ended;
    }
    let (opened, interrupt) = open(cli, args, output).await?;
    let ended = listen(&served(opened.harness.clone(), args)?, args, plan, output, &interrupt).await;
    opened.flush()?;
    ended
}

/// The workspace's components. There is nobody to ask: what needs an approval is denied.
async fn open(cli: &Cli, args: &ServeArgs, output: &Output) -> Result<(Opened, Interrupt), Error> {
    let mut session = session(cli, output, Some(&args.asking.whole()))?;
    let from = directory(&cli.global)?;
    let rules = args.rules.as_deref().map(|file| super::call::rules(&from.join(file))).transpose()?;
    let total = Budget { calls: None, tokens: args.max_tokens, usd: args.max_usd };
    let opening = Opening { rules: rules.unwrap_or_default(), total, ..Opening::default() };
    let opened = driver::open_components(&mut session, &args.names, opening, &from).await?;
    if opened.harness.names().is_empty() {
        return Err(Error::new(ExitCode::Usage, "this workspace has no components").hint(
            "a component is a spec of `kind: component`, docs/components.md; artifacts count, too, once they are built",
        ));
    }
    Ok((opened, session.interrupt.clone()))
}

fn served(harness: Harness, args: &ServeArgs) -> Result<Served, Error> {
    let limits = Limits {
        calls: usize::from(args.jobs),
        call: Duration::from_secs(u64::from(args.timeout.get())),
        ..Limits::default()
    };
    let budget = Budget { calls: None, tokens: args.max_tokens_per_call, usd: args.max_usd_per_call };
    Served::new(harness, &args.names, limits)
        .map(|served| served.with_run(RunOptions { budget, ..RunOptions::default() }))
        .map_err(|error| Error::new(ExitCode::Usage, error.to_string()))
}

/// Serves the client at standard input.
async fn speak(
    served: &Served,
    own: impl tokio::io::AsyncWrite + Unpin + Send + 'static,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<ExitCode, Error> {
    if output.verbosity != crate::report::Verbosity::Quiet {
        let names = served.names();
        Output::note(&printable(&format!(
            "serving {} over MCP: {}",
            count(names.len(), "component"),
            names.join(", ")
        )));
    }
    let ended = stdio(served, tokio::io::stdin(), own, interrupt).await;
    ended
        .map(|_| ExitCode::Done)
        .map_err(|error| Error::new(ExitCode::Internal, "failed to read standard input").cause(error))
}

/// Standard output for the protocol alone: whatever else prints there prints to standard error from now on.
#[cfg(unix)]
fn own_stdout() -> Result<tokio::fs::File, Error> {
    use std::os::fd::{AsFd as _, AsRawFd as _};

    let failed = |error| Error::new(ExitCode::Internal, "failed to set standard output aside").cause(error);
    let own = std::io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
    // SAFETY: both are open, and whatever was at the second is still at `own`.
    if unsafe { libc::dup2(std::io::stderr().as_raw_fd(), std::io::stdout().as_raw_fd()) } < 0 {
        return Err(failed(std::io::Error::last_os_error()));
    }
    Ok(tokio::fs::File::from_std(std::fs::File::from(own)))
}

#[cfg(not(unix))]
fn own_stdout() -> Result<tokio::io::Stdout, Error> {
    Ok(tokio::io::stdout())
}

/// What was asked for HTTP, once it is known to be possible.
#[derive(Debug)]
struct Plan {
    token: Option<Token>,
    /// How a shell writes it.
    shown: Option<String>,
    /// Its text, where it was made up.
    made: Option<String>,
}

impl Plan {
    fn new(cli: &Cli, args: &ServeArgs, from_environment: Option<String>) -> Result<Self, Error> {
        let none = Self { token: None, shown: None, made: None };
        if args.mcp {
            return Ok(none);
        }
        let wrong = |message: String| Error::new(ExitCode::Usage, message);
        let is_local = args.listen.ip().is_loopback();
        if !is_local && cli.global.offline {
            return Err(wrong(format!("--offline and --listen {} can't go together", args.listen))
                .hint("without --listen only programs of this machine can call"));
        }
        if !is_local && args.no_token {
            return Err(wrong(format!("--no-token and --listen {} can't go together", args.listen))
                .hint("a token that callers must know: --token-file FILE"));
        }
        if args.no_token {
            return Ok(none);
        }
        if let Some(file) = &args.token_file {
            let path = directory(&cli.global)?.join(file);
            let name = printable(&file.display().to_string());
            let text = std::fs::read_to_string(path)
                .map_err(|error| wrong(format!("failed to read the token in `{name}`")).cause(error))?;
            let token = Token::new(&text)
                .map_err(|error| wrong(format!("the text of `{name}` can't be a token")).cause(error))?;
            return Ok(Self { token: Some(token), shown: Some("$(cat TOKEN-FILE)".to_owned()), made: None });
        }
        if let Some(text) = from_environment {
            let token = Token::new(&text)
                .map_err(|error| wrong(format!("the text of {TOKEN} can't be a token")).cause(error))?;
            return Ok(Self { token: Some(token), shown: Some(format!("${TOKEN}")), made: None });
        }
        if !is_local {
            return Err(wrong(format!("--listen {} needs a token of yours", args.listen))
                .hint(format!("--token-file FILE, or {TOKEN}; `openssl rand -hex 20` makes one")));
        }
        let (token, text) =
            Token::random().map_err(|error| Error::new(ExitCode::Internal, "failed to make a token").cause(error))?;
        Ok(Self { token: Some(token), shown: Some(text.clone()), made: Some(text) })
    }
}

/// Serves over HTTP until it is told to stop.
async fn listen(
    served: &Served,
    args: &ServeArgs,
    plan: Plan,
    output: &Output,
    interrupt: &Interrupt,
) -> Result<ExitCode, Error> {
    let failed = |error| {
        Error::new(ExitCode::Usage, format!("failed to listen at {}", args.listen))
            .cause(error)
            .hint("`--listen 127.0.0.1:0` takes a port that is free")
    };
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let mut access = Access::new(address, plan.token);
    access.hosts.clone_from(&args.host);
    access.origins = args.allow_origin.iter().map(|origin| origin.trim_end_matches('/').to_owned()).collect();
    let url = format!("http://{address}");
    if output.is_json() {
        Output::json_line(json!({
            "event": "serving", "url": url, "components": served.names(), "token": plan.made,
        }));
    } else {
        Output::note(&printable(&told(served.names(), &url, plan.shown.as_deref())));
    }
    http(served, listener, access, interrupt).await.map_err(failed)?;
    Ok(ExitCode::Done)
}

/// What a person needs to call the server.
fn told(names: &[String], url: &str, token: Option<&str>) -> String {
    let header = token.map(|token| format!("-H \"Authorization: Bearer {token}\" ")).unwrap_or_default();
    let components = count(names.len(), "component");
    let with = if token.is_some() { ", with the same header" } else { "" };
    let first = names.first().map_or("NAME", String::as_str);
    format!(
        "serving {components} at {url} (Ctrl-C stops): {}\n  curl {header}{url}/v1/components\n  curl {header}--json INPUT \
         {url}/v1/components/{first}\n  MCP clients: {url}/mcp{with}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::Command;
    use super::*;

    fn plan(line: &str, from_environment: Option<&str>) -> Result<Plan, String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Command::Serve(args) = &cli.command else { panic!("{line} is another command") };
        Plan::new(&cli, args, from_environment.map(str::to_owned)).map_err(|error| error.render(false))
    }

    #[test]
    fn a_token_is_made_up_on_this_machine_alone() {
        let made = plan("llmc serve", None).unwrap();
        assert_eq!(made.shown, made.made);
        assert_eq!(Token::new(&made.made.unwrap()).ok(), made.token);
        let given = plan("llmc serve", Some("0123456789abcdef")).unwrap();
        assert_eq!((given.made, given.shown.as_deref()), (None, Some("$LLMC_SERVE_TOKEN")));
        assert_eq!(given.token, Token::new("0123456789abcdef").ok());
        assert_eq!(plan("llmc serve --no-token", Some("0123456789abcdef")).unwrap().token, None);
        assert!(plan("llmc serve", Some("short")).unwrap_err().contains("shorter than 16 characters"));
        assert!(plan("llmc serve --listen 0.0.0.0:80", None).unwrap_err().contains("needs a token of yours"));
        assert!(plan("llmc serve --listen [::]:80 --no-token", None).unwrap_err().contains("can't go together"));
        let other = plan("llmc serve --listen 10.0.0.1:80", Some("0123456789abcdef")).unwrap();
        assert!(other.token.is_some() && other.made.is_none());
        let offline = plan("llmc --offline serve --listen 10.0.0.1:80", Some("0123456789abcdef"));
        assert!(offline.unwrap_err().contains("--offline"));
        assert!(plan("llmc --offline serve", None).is_ok());
        let missing = plan("llmc serve --token-file /nowhere/token", None).unwrap_err();
        assert!(missing.contains("failed to read the token in `/nowhere/token`"), "{missing}");
    }

    #[test]
    fn what_is_for_http_is_refused_over_standard_input() {
        assert!(plan("llmc serve --mcp a b", None).is_ok());
        for flag in ["--http", "--listen 127.0.0.1:1", "--no-token", "--token-file x", "--host x", "--allow-origin x"] {
            assert!(plan(&format!("llmc serve --mcp {flag}"), None).is_err(), "{flag}");
        }
        assert!(plan("llmc serve --timeout 0", None).is_err());
    }

    #[test]
    fn a_person_is_told_how_to_call() {
        let names = ["classify".to_owned(), "reply".to_owned()];
        assert_eq!(
            told(&names, "http://127.0.0.1:8000", Some("TOKEN")),
            "serving 2 components at http://127.0.0.1:8000 (Ctrl-C stops): classify, reply\n  \
             curl -H \"Authorization: Bearer TOKEN\" http://127.0.0.1:8000/v1/components\n  \
             curl -H \"Authorization: Bearer TOKEN\" --json INPUT http://127.0.0.1:8000/v1/components/classify\n  \
             MCP clients: http://127.0.0.1:8000/mcp, with the same header"
        );
        assert!(told(&names, "http://127.0.0.1:8000", None).ends_with("  MCP clients: http://127.0.0.1:8000/mcp"));
    }
}
