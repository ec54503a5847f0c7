//! Queries tested by scripts: every `tests/scripts/*.dmq`.
//!
//! ```text
//! # a comment
//! load 10s                                points every 10 s, the first at 0 s; forgets those before
//!   web.hits;host=a  1 2 _ 4              a series: values, `_` for no point
//!   web.hits;host=b  10x4                 four times 10
//! query SELECT id FROM ^web\.hits$
//! at 0s  web.hits;host=a 1                all that comes of it, in order; or
//! nothing                                 that nothing does; or
//! refused 7..11  WORDS                    the bytes of the statement it is refused at, and words of the reason
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use common::key;
use common::query::caret;
use common::query::number;
use common::query::run::Run;
use common::query::statement::Statement;
use common::span::Span;
use common::value::Shortest;

struct Series {
    key: String,
    values: Vec<Option<f64>>,
}

#[derive(Default)]
struct Script {
    step: Span,
    series: Vec<Series>,
}

impl Script {
    /// What a statement gives, in the form of the expectations.
    fn answer(&self, statement: &str) -> String {
        let statement = match Statement::parse(statement) {
            Ok(statement) => statement,
            Err(error) => {
                return format!("refused {}..{}  {error}\n", error.at.offset, error.at.end());
            }
        };
        let mut runs: HashMap<&str, Run> = HashMap::new();
        let mut answer = String::new();
        for at in 0..self.series.iter().map(|series| series.values.len()).max().unwrap_or(0) {
            for Series { key, values } in &self.series {
                let Some(&Some(value)) = values.get(at) else { continue };
                if !statement.selector.matches(key.as_bytes()) {
                    continue;
                }
                let run = runs.entry(key).or_insert_with(|| statement.pipeline.start());
                if let Some(value) = run.feed(value) {
                    let time = Span::from_ns(self.step.ns() * at as u64);
                    writeln!(answer, "at {time}  {key} {}", Shortest(value))
                        .expect("a String takes every write");
                }
            }
        }
        if answer.is_empty() { "nothing\n".to_owned() } else { answer }
    }

    /// Runs a script; each failure names the line of its query.
    fn run(text: &str) -> Result<usize, String> {
        let mut script = Script::default();
        let mut queries: Vec<(usize, String, String, String)> = Vec::new();
        for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
            let fail = |why: &str| format!("line {number}: {why}: {line}");
            let (word, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim(), ""));
            if line.starts_with(' ') {
                let values = values(rest).ok_or_else(|| fail("no values"))?;
                let key = key::parse(word.as_bytes()).map_err(|error| fail(&error.to_string()))?;
                script.series.push(Series { key: key.into_owned(), values });
                continue;
            }
            match word {
                "" | "#" => {}
                "load" => {
                    let step = rest.parse().map_err(|_| fail("no step"))?;
                    script = Script { step, series: Vec::new() };
                }
                "query" => queries.push((number, rest.to_owned(), script.answer(rest), String::new())),
                "at" | "nothing" | "refused" => {
                    let (.., wanted) = queries.last_mut().ok_or_else(|| fail("no query before"))?;
                    writeln!(wanted, "{line}").expect("a String takes every write");
                }
                _ => return Err(fail("no such word")),
            }
        }
        for (number, statement, answer, wanted) in &queries {
            if !is_wanted(answer, wanted) {
                return Err(format!("line {number}: {statement}\nwanted:\n{wanted}given:\n{answer}"));
            }
        }
        Ok(queries.len())
    }
}

/// `1 2 _ 4` or `10x4`
fn values(text: &str) -> Option<Vec<Option<f64>>> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let (value, times) = word.split_once('x').unwrap_or((word, "1"));
        let value = if value == "_" { None } else { Some(number::parse(value.as_bytes())?) };
        values.extend(std::iter::repeat_n(value, times.parse().ok()?));
    }
    (!values.is_empty()).then_some(values)
}

/// Word for word, but that of a reason some words are enough.
fn is_wanted(answer: &str, wanted: &str) -> bool {
    let normal = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match (answer.strip_prefix("refused "), wanted.strip_prefix("refused ")) {
        (Some(answer), Some(wanted)) => {
            let (answer, wanted) = (normal(answer), normal(wanted));
            let (at, words) = wanted.split_once(' ').unwrap_or((&wanted, ""));
            answer.split_once(' ').is_some_and(|(spot, reason)| spot == at && reason.contains(words))
        }
        _ => {
            let lines = |text: &str| text.lines().map(time_in_one_form).collect::<Vec<_>>();
            lines(answer) == lines(wanted)
        }
    }
}

/// `at 60s` is `at 1m`, and blanks do not count.
fn time_in_one_form(line: &str) -> Vec<String> {
    line.split_whitespace()
        .enumerate()
        .map(|(at, word)| match word.parse::<Span>() {
            Ok(span) if at == 1 => span.to_string(),
            _ => word.to_owned(),
        })
        .collect()
}

#[test]
fn every_script_gives_what_it_says() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scripts");
    let mut scripts = 0;
    for entry in std::fs::read_dir(&directory).expect("tests/scripts lies beside common") {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "dmq") {
            let text = std::fs::read_to_string(&path).unwrap();
            match Script::run(&text) {
                Ok(queries) => assert!(queries > 0, "{}: no query", path.display()),
                Err(why) => panic!("{}: {why}", path.display()),
            }
            scripts += 1;
        }
    }
    assert!(scripts >= 12, "{scripts} scripts in {}", directory.display());
}

#[test]
fn a_script_that_is_wrong_fails() {
    for text in [
        "load 1s\n  a  1\nquery SELECT id FROM a\nat 0s a 2\n",
        "load 1s\n  a  1\nquery SELECT id FROM a\nat 1s a 1\n",
        "load 1s\n  a  1\nquery SELECT id FROM a\nnothing\n",
        "load 1s\n  a  1\nquery SELECT id FROM a\n",
        "load 1s\n  a  1\nquery SELECT id FROM b\nat 0s a 1\n",
        "query SELECT ix FROM b\nrefused 7..8 there is no\n",
        "query SELECT ix FROM b\nrefused 7..9 there is one\n",
        "query SELECT id FROM b\nrefused 7..9 there is no\n",
        "load 1\n",
        "load 1s\n  a  x\n",
        "at 1s a 1\n",
        "quarry SELECT id FROM a\n",
    ] {
        assert!(Script::run(text).is_err(), "{text}");
    }
}

#[test]
fn a_refusal_is_shown_to_a_person() {
    let statement = "SELECT window 5 (meen) FROM größe;";
    let error = Statement::parse(statement).unwrap_err();
    assert_eq!(
        caret::render(statement, &error),
        "SELECT window 5 (meen) FROM größe;\n                 ^^^^\nthere is no function `meen`; did you mean `mean`?\n"
    );
}
