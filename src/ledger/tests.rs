//! The ledger's own tests. Those with several processes, and with builds that are killed, are in `tests/it`.

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;

use rusqlite::Connection;

use super::*;
use crate::model::purse::{Cost, Paid};
use crate::model::{Completion, Finish, Identity, Parameters};
use crate::prompt::Prompt;
use crate::verdict::{Class, Phase as Where, Verdict};

/// A build's key, to be changed piece by piece.
#[derive(Clone)]
struct Key {
    prompt: Prompt,
    models: Vec<Identity>,
    parameters: Parameters,
    afresh: bool,
}

fn key() -> Key {
    let prompt = Prompt {
        template: "implement".into(),
        template_digest: "t".into(),
        system: "You write Rust.".into(),
        user: "Twice.".into(),
        opening: String::new(),
        continuation: None,
    };
    let parameters = Parameters { temperature: Some(0.8), top_p: 0.95, max_tokens: None, seed: 1 };
    Key { prompt, models: vec![model("a")], parameters, afresh: false }
}

fn model(name: &str) -> Identity {
    let facts = vec![("base_url".to_owned(), "http://localhost:1/v1".to_owned())];
    Identity { provider: "openai".into(), name: name.into(), digest: None, facts }
}

fn completion(index: usize) -> Completion {
    Completion {
        index,
        text: format!("fn f() {{ {index} }}"),
        finish: Finish::Length,
        prompt_tokens: 11,
        completion_tokens: 7,
        temperature: 0.8,
        style: "chat".into(),
        milliseconds: 30,
        ..Completion::default()
    }
}

fn begin(ledger: &Arc<Ledger>, key: &Key) -> Record {
    let models: Vec<&Identity> = key.models.iter().collect();
    let start = Start {
        spec: "double",
        run: "double-1",
        inputs: "inputs",
        checks: "checks",
        wanted: 4,
        phase: Phase::Fresh,
        prompt: &key.prompt,
        parameters: &key.parameters,
        models: &models,
        afresh: key.afresh,
    };
    Record::begin(ledger.clone(), &start).unwrap()
}

/// The indices, of four from the first model, that a build with this key finds.
fn found(ledger: &Arc<Ledger>, key: &Key) -> Vec<usize> {
    let (stored, unreadable) = begin(ledger, key).replay(&[(0, 0), (1, 0), (2, 0), (3, 0)]).unwrap();
    assert_eq!(unreadable, 0);
    stored.into_iter().map(|stored| stored.completion.index).collect()
}

fn ledger() -> (tempfile::TempDir, Arc<Ledger>) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
    (folder, ledger)
}

fn count(ledger: &Ledger, table: &str) -> i64 {
    ledger.lock().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[test]
fn a_sample_is_found_again_exactly_and_only_by_its_index() {
    let (folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(2)), (0, &completion(0))]).unwrap();
    drop((record, ledger));
    let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
    let mut record = begin(&ledger, &key());
    let (stored, _) = record.replay(&[(0, 0), (1, 0), (2, 0)]).unwrap();
    let expected: Vec<Stored> =
        [0, 2].into_iter().map(|index| Stored { model: 0, completion: completion(index) }).collect();
    assert_eq!(stored, expected);
    // Found and not drawn: nothing is there twice.
    assert_eq!(count(&ledger, "samples"), 2);
    record.arrived(&[(0, &completion(1))]).unwrap();
    assert_eq!(found(&ledger, &key()), [0, 1, 2]);
}

#[test]
fn another_prompt_model_or_parameter_is_another_key() {
    let (_folder, ledger) = ledger();
    begin(&ledger, &key()).arrived(&[(0, &completion(0))]).unwrap();
    let changes: [fn(&mut Key); 8] = [
        |key| key.prompt.user.push('!'),
        |key| key.prompt.system.push('!'),
        |key| key.models = vec![model("b")],
        |key| key.models[0].facts[0].1.push('2'),
        |key| key.parameters.temperature = Some(0.7),
        |key| key.parameters.top_p = 0.9,
        |key| key.parameters.max_tokens = Some(100),
        |key| key.parameters.seed = 2,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = key();
        change(&mut other);
        assert!(found(&ledger, &other).is_empty(), "change {number}");
    }
    assert_eq!(found(&ledger, &key()), [0]);
}

#[test]
fn each_model_of_a_list_has_samples_of_its_own() {
    let (_folder, ledger) = ledger();
    let both = Key { models: vec![model("a"), model("b")], ..key() };
    begin(&ledger, &both).arrived(&[(0, &completion(0)), (1, &completion(1))]).unwrap();
    let (stored, _) = begin(&ledger, &both).replay(&[(0, 0), (1, 0), (0, 1), (1, 1)]).unwrap();
    let found: Vec<_> = stored.iter().map(|stored| (stored.model, stored.completion.index)).collect();
    assert_eq!(found, [(0, 0), (1, 1)]);
}

#[test]
fn sampling_afresh_keeps_what_was_there_and_goes_on_from_what_is_new() {
    let (_folder, ledger) = ledger();
    begin(&ledger, &key()).arrived(&[(0, &completion(0)), (0, &completion(1))]).unwrap();
    let afresh = Key { afresh: true, ..key() };
    assert!(found(&ledger, &afresh).is_empty());
    begin(&ledger, &afresh).arrived(&[(0, &completion(3))]).unwrap();
    // The next build goes on from the newest generation; the older one is still there.
    assert_eq!(found(&ledger, &key()), [3]);
    assert_eq!(count(&ledger, "samples"), 3);
}

#[test]
fn two_that_draw_the_same_sample_at_once_both_keep_theirs() {
    let (_folder, ledger) = ledger();
    let (mut one, mut other) = (begin(&ledger, &key()), begin(&ledger, &key()));
    one.arrived(&[(0, &completion(0))]).unwrap();
    other.arrived(&[(0, &Completion { text: "other".into(), ..completion(0) })]).unwrap();
    assert_eq!(count(&ledger, "samples"), 2);
    let (stored, _) = begin(&ledger, &key()).replay(&[(0, 0)]).unwrap();
    assert_eq!(stored, [Stored { model: 0, completion: completion(0) }]);
}

#[test]
fn independent_draws_until_a_moment_are_found_and_no_others() {
    let (_folder, ledger) = ledger();
    let mut build = begin(&ledger, &key());
    build.arrived(&[(0, &completion(0)), (0, &completion(1))]).unwrap();
    build.end(&Ending { ended: Ended::Built, sampled: 2, ..Ending::default() }).unwrap();
    let other = Key { parameters: Parameters { seed: 2, ..key().parameters }, ..key() };
    let mut measured = begin(&ledger, &other);
    measured.arrived(&[(0, &completion(2)), (0, &completion(3))]).unwrap();
    let connection = ledger.lock();
    connection
        .execute_batch(
            "UPDATE samples SET arrived = 1000 * id; UPDATE samples SET phase = 'measure' WHERE series = 2;
        UPDATE samples SET phase = 'repair' WHERE id = 2",
        )
        .unwrap();
    drop(connection);
    let until = |moment: i64, most: usize| -> Vec<(usize, u64, bool)> {
        let found = ledger.drawn_until("double", moment, most).unwrap();
        found.into_iter().map(|one| (one.completion.index, one.parameters.unwrap().seed, one.is_early)).collect()
    };
    // The latest first; the build wanted four and had enough with two. A repair is no independent draw.
    assert_eq!(until(4000, 9), [(3, 2, false), (2, 2, false), (0, 1, true)]);
    assert_eq!(until(4000, 1), [(3, 2, false)]);
    assert_eq!(until(2999, 9), [(0, 1, true)]);
    assert!(until(999, 9).is_empty() && ledger.drawn_until("other", 4000, 9).unwrap().is_empty());
    assert_eq!((ledger.first_draw("double").unwrap(), ledger.first_draw("other").unwrap()), (Some(1000), None));
}

#[test]
fn the_last_build_is_shown_with_what_was_replayed_and_what_was_found() {
    let (_folder, ledger) = ledger();
    begin(&ledger, &key()).arrived(&[(0, &completion(1))]).unwrap();
    let mut record = begin(&ledger, &key());
    record.replay(&[(1, 0)]).unwrap();
    record.arrived(&[(0, &completion(0))]).unwrap();
    let verdict = Verdict::failed(Where::Parse, Class::FormatViolation, "no-code", "nothing");
    record.judged(1, None, &verdict).unwrap();
    // A build that got nowhere does not hide it.
    drop(begin(&ledger, &key()));
    let shown = ledger.last_build("double").unwrap().unwrap();
    let shown: Vec<_> = shown.into_iter().map(|one| (one.completion, one.model, one.replayed, one.verdict)).collect();
    let model = "openai/a".to_owned();
    assert_eq!(shown, [(completion(0), model.clone(), false, None), (completion(1), model, true, Some(verdict))]);
    assert!(ledger.last_build("other").unwrap().is_none());
}

#[test]
fn a_verdict_leaves_the_next_sample_as_durable_as_before() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0))]).unwrap();
    record.judged(0, None, &Verdict::passed(Where::Test, 1)).unwrap();
    let synchronous: i64 = ledger.lock().query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap();
    assert_eq!(synchronous, 2, "2 is FULL");
}

#[test]
fn a_disk_that_is_full_loses_nothing_that_was_stored() {
    let (folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0))]).unwrap();
    {
        let connection = ledger.lock();
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let _: i64 = connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0)).unwrap();
    }
    let large = Completion { text: "x".repeat(1 << 20), ..completion(1) };
    let error = record.arrived(&[(0, &large)]).unwrap_err();
    assert_eq!(error.hint(), Some("make room on the disk; what was stored before is safe"));
    drop((record, ledger));
    let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
    assert_eq!(ledger.set_aside(), None);
    assert_eq!(found(&ledger, &key()), [0]);
}

/// Everything in a folder: names and bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .filter(|(name, _)| name != "ledger.lock")
        .collect();
    files.sort();
    files
}

#[test]
fn a_newer_ledger_is_refused_and_left_as_it_is() {
    let (folder, ledger) = ledger();
    begin(&ledger, &key()).arrived(&[(0, &completion(0))]).unwrap();
    ledger.lock().pragma_update(None, "user_version", 99).unwrap();
    // What another process would see while the newer llmc runs, or after it was killed: the version is in the log.
    let killed = tempfile::tempdir().unwrap();
    for (name, bytes) in files(folder.path()) {
        fs::write(killed.path().join(name), bytes).unwrap();
    }
    drop(ledger);
    for folder in [&folder, &killed] {
        let before: Vec<_> = files(folder.path()).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
        let error = Ledger::open(folder.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "`.llmc/ledger.db` was written by a newer llmc: its format is 99, and this llmc knows {}",
                schema::STEPS.len()
            )
        );
        assert!(Ledger::open_to_read(folder.path()).is_err());
        let after: Vec<_> = files(folder.path()).into_iter().filter(|(name, _)| !name.ends_with("-shm")).collect();
        assert_eq!(before, after);
    }
    assert!(files(killed.path()).iter().any(|(name, _)| name == "ledger.db-wal"), "the version was not in the log");
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(folder.path().join(FILE)).unwrap();
    connection.execute_batch("CREATE TABLE mine (a INTEGER); INSERT INTO mine VALUES (1)").unwrap();
    drop(connection);
    let before = files(folder.path());
    let error = Ledger::open(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "`.llmc/ledger.db` is the database of another program");
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_corrupt_ledger_is_set_aside_whole_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    for number in 1..=2 {
        let bytes = format!("this is no database, number {number}").repeat(100);
        fs::write(folder.path().join(FILE), &bytes).unwrap();
        let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
        let name = format!("ledger.db.corrupt-{number}");
        assert_eq!(ledger.set_aside(), Some(name.as_str()));
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), bytes);
        begin(&ledger, &key()).arrived(&[(0, &completion(0))]).unwrap();
        drop(ledger);
        let again = Arc::new(Ledger::open(folder.path()).unwrap());
        assert_eq!(again.set_aside(), None);
        assert_eq!(found(&again, &key()), [0]);
    }
}

#[test]
fn damage_that_shows_only_in_use_is_told_and_the_next_to_open_it_begins_anew() {
    let (folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    for index in 0..200 {
        record.arrived(&[(0, &Completion { text: "x".repeat(2000), ..completion(index) })]).unwrap();
    }
    let roots: Vec<usize> = {
        let connection = ledger.lock();
        let mut statement = connection.prepare("SELECT rootpage FROM sqlite_schema WHERE rootpage > 1").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    drop((record, ledger));
    let path = folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    // The tables and not the list of them.
    for root in roots {
        bytes[(root - 1) * 4096..root * 4096].fill(0x5a);
    }
    fs::write(&path, &bytes).unwrap();
    let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
    assert_eq!(ledger.set_aside(), None, "the schema is whole");
    let error = ledger.last_build("double").unwrap_err();
    assert!(error.hint().unwrap().contains("sets it aside"), "{error}");
    drop(ledger);
    let ledger = Arc::new(Ledger::open(folder.path()).unwrap());
    assert_eq!(ledger.set_aside(), Some("ledger.db.corrupt-1"));
    assert_eq!(fs::read(folder.path().join("ledger.db.corrupt-1")).unwrap(), bytes);
    assert!(found(&ledger, &key()).is_empty());
}

#[test]
fn a_ledger_can_be_read_where_nothing_can_be_written() {
    let (folder, ledger) = ledger();
    begin(&ledger, &key()).arrived(&[(0, &completion(0))]).unwrap();
    drop(ledger);
    let connection = file::open_read_only(folder.path()).unwrap().unwrap();
    let samples: i64 = connection.query_row("SELECT count(*) FROM samples", [], |row| row.get(0)).unwrap();
    assert_eq!(samples, 1);
    assert!(connection.execute("DELETE FROM samples", []).is_err());
    assert!(Ledger::open_to_read(&folder.path().join("nowhere")).unwrap().is_none());
}

#[test]
fn what_is_no_file_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    let error = Ledger::open(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "failed to read `.llmc/ledger.db`");
    assert!(folder.path().join(FILE).is_dir());
}

/// Makes every sample of the ledger older by so many days.
fn age(ledger: &Ledger, days: i64) {
    ledger.lock().execute("UPDATE samples SET arrived = arrived - ?1", [days * 86_400_000]).unwrap();
}

#[test]
fn days_add_up_samples_tokens_and_passes_by_the_last_checks() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0)), (0, &completion(1)), (0, &completion(2))]).unwrap();
    record.judged(0, None, &Verdict::passed(Where::Test, 1)).unwrap();
    record.judged(1, None, &Verdict::failed(Where::Test, Class::Misinterpretation, "example-1", "")).unwrap();
    age(&ledger, 1);
    begin(&ledger, &Key { models: vec![model("b")], ..key() }).arrived(&[(0, &completion(0))]).unwrap();
    let days = ledger.spending(By::Day).unwrap();
    assert!(days[0].of < days[1].of, "{days:?}");
    let found: Vec<_> = days
        .iter()
        .map(|day| (day.model.as_str(), day.samples, day.judged, day.passed, day.prompt_tokens, day.completion_tokens))
        .collect();
    assert_eq!(found, [("openai/a", 3, 2, 1, 33, 21), ("openai/b", 1, 0, 0, 11, 7)]);
    assert_eq!((days[0].usd_micros, days[0].unpriced), (0, 3));
}

fn paid(index: usize, ticket: i64, tokens: u64, usd_micros: u64) -> Completion {
    let cost = Cost { tokens, usd_micros: Some(usd_micros) };
    Completion { paid: Some(Paid { ticket, cost }), ..completion(index) }
}

#[test]
fn a_request_counts_whole_until_it_is_settled_with_its_sample_and_for_its_day_only() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    let most = Cost { tokens: 100, usd_micros: Some(500) };
    let put = Put { build: Some(record.build()), component: None, model: "openai/a", most };
    let mut seen = Vec::new();
    let fits = |number: usize, taken: &Taken| {
        seen.push(taken.tokens);
        number != 2
    };
    let tickets = ledger.put_aside(&[], &[put; 4], fits).unwrap();
    assert_eq!(seen, [0, 100, 200, 200]);
    assert_eq!(tickets, [Some(1), Some(2), None, Some(3)]);
    ledger.put_aside(&[3], &[], |_, _| true).unwrap();
    assert_eq!(ledger.taken_today().unwrap(), Taken { tokens: 200, usd_micros: 1000, unpriced: 0 });
    record.arrived(&[(0, &paid(0, 1, 18, 42))]).unwrap();
    assert_eq!(ledger.taken_today().unwrap(), Taken { tokens: 118, usd_micros: 542, unpriced: 0 });
    // What is settled is not given back, whoever asks.
    ledger.put_aside(&[1], &[], |_, _| true).unwrap();
    assert_eq!(ledger.taken_today().unwrap().tokens, 118);
    // What nobody put aside for is written down all the same.
    record.arrived(&[(0, &paid(1, 0, 18, 0))]).unwrap();
    assert_eq!(ledger.taken_today().unwrap().tokens, 136);
    // What the killed process had on its way is spent for the day, and for no later one.
    drop(record);
    ledger.lock().execute("UPDATE requests SET day = day - 1", []).unwrap();
    assert_eq!(ledger.taken_today().unwrap(), Taken::default());
    // A sample that is removed does not give its money back.
    age(&ledger, 10);
    ledger.remove(&ledger.older_than(9, &HashSet::new(), false).unwrap()).unwrap();
    assert_eq!((count(&ledger, "samples"), count(&ledger, "requests")), (0, 3));
}

#[test]
fn what_was_spent_is_added_up_by_day_model_build_and_sample() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    let most = Cost { tokens: 100, usd_micros: Some(500) };
    let put = Put { build: Some(record.build()), component: None, model: "openai/a", most };
    ledger.put_aside(&[], &[put; 3], |_, _| true).unwrap();
    record.arrived(&[(0, &paid(0, 1, 18, 40)), (0, &paid(1, 2, 18, 2))]).unwrap();
    begin(&ledger, &Key { afresh: true, ..key() }).arrived(&[(0, &completion(0))]).unwrap();
    for (by, samples) in
        [(By::Day, vec![3]), (By::Model, vec![3]), (By::Build, vec![2, 1]), (By::Sample, vec![0, 1, 1, 1])]
    {
        let rows = ledger.spending(by).unwrap();
        assert_eq!(rows.iter().map(|row| row.samples).collect::<Vec<_>>(), samples, "{by:?}");
        let sum = |part: fn(&Spending) -> u64| rows.iter().map(part).sum::<u64>();
        assert_eq!((sum(|row| row.usd_micros), sum(|row| row.unpriced)), (42, 1), "{by:?}");
        let untold = (sum(|row| row.untold), sum(|row| row.untold_tokens), sum(|row| row.untold_usd_micros));
        assert_eq!(untold, (1, 100, 500), "{by:?}");
        assert_eq!(sum(|row| row.prompt_tokens), 33, "{by:?}");
    }
}

#[test]
fn what_a_build_would_find_and_what_samples_took_is_told_without_one() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0)), (0, &completion(2)), (0, &completion(9))]).unwrap();
    let stored = |key: &Key, part| ledger.stored((&key.prompt, &key.parameters, &key.models[0]), part).unwrap();
    assert_eq!(stored(&key(), (0, 1, 8)), 2);
    assert_eq!(stored(&key(), (0, 1, 10)), 3);
    assert_eq!((stored(&key(), (0, 2, 10)), stored(&key(), (1, 2, 10))), (2, 1));
    assert_eq!(stored(&Key { models: vec![model("b")], ..key() }, (0, 1, 8)), 0);
    let mean = ledger.mean(&model("a"), Some("double")).unwrap().unwrap();
    assert_eq!(mean, Mean { samples: 3, prompt_tokens: 11.0, completion_tokens: 7.0 });
    assert_eq!(ledger.mean(&model("a"), Some("other")).unwrap(), None);
    assert_eq!(ledger.mean(&model("_"), None).unwrap(), None);
    assert_eq!(count(&ledger, "builds"), 1);
}

#[test]
fn an_export_has_every_sample_with_its_verdicts() {
    let (folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0)), (0, &completion(1))]).unwrap();
    let verdict = Verdict::passed(Where::Test, 1);
    record.judged(1, None, &verdict).unwrap();
    let mut lines = Vec::new();
    ledger.export(&mut |line| lines.push(line.clone())).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["completion"], serde_json::json!(completion(1)));
    assert_eq!(lines[1]["verdicts"][0]["verdict"], serde_json::json!(verdict));
    assert_eq!(
        (&lines[0]["model"], &lines[0]["sample"], &lines[0]["phase"]),
        (&"openai/a".into(), &1.into(), &"fresh".into())
    );
    assert_eq!(lines[0]["verdicts"], serde_json::json!([]));
    let folder = folder.path().display().to_string();
    assert!(lines.iter().all(|line| !line.to_string().contains(&folder)));
}

#[test]
fn what_is_old_goes_but_for_the_sample_that_an_artifact_came_from() {
    let (_folder, ledger) = ledger();
    let mut record = begin(&ledger, &key());
    record.arrived(&[(0, &completion(0)), (0, &completion(1)), (0, &completion(2))]).unwrap();
    record.judged(0, None, &Verdict::passed(Where::Test, 1)).unwrap();
    record.end(&Ending { ended: Ended::Built, chosen: Some(2), ..Ending::default() }).unwrap();
    age(&ledger, 10);
    begin(&ledger, &key()).arrived(&[(0, &completion(3))]).unwrap();
    let artifacts = HashSet::from([crate::digest::sha256(completion(1).text)]);

    assert!(ledger.older_than(11, &artifacts, false).unwrap().is_empty());
    let old = ledger.older_than(9, &artifacts, true).unwrap();
    assert_eq!((old.len(), old.kept), (1, 2), "the chosen one and the artifact's stay");
    let old = ledger.older_than(9, &artifacts, false).unwrap();
    assert_eq!((old.len(), old.kept), (2, 1));
    ledger.remove(&old).unwrap();
    assert_eq!(found(&ledger, &key()), [1, 3]);
    assert_eq!(count(&ledger, "verdicts"), 0);
    // What was removed is drawn again, and found again.
    begin(&ledger, &key()).arrived(&[(0, &completion(0))]).unwrap();
    assert_eq!(found(&ledger, &key()), [0, 1, 3]);
}

#[test]
fn a_copy_takes_the_place_of_a_first_that_was_removed() {
    let (_folder, ledger) = ledger();
    let (mut one, mut other) = (begin(&ledger, &key()), begin(&ledger, &key()));
    one.arrived(&[(0, &completion(0))]).unwrap();
    age(&ledger, 10);
    let copy = Completion { text: "other".into(), ..completion(0) };
    other.arrived(&[(0, &copy)]).unwrap();
    ledger.remove(&ledger.older_than(9, &HashSet::new(), false).unwrap()).unwrap();
    let (stored, _) = begin(&ledger, &key()).replay(&[(0, 0)]).unwrap();
    assert_eq!(stored, [Stored { model: 0, completion: copy }]);
}
