//! The query language and the two directions of the proc socket.

use common::query::answer::{Answer, Answers, write_reason};
use common::query::caret;
use common::query::error::QueryError;
use common::query::pipeline::Pipeline;
use common::query::proc::{self, Ask, Instruction, Proc};
use common::query::selector::Selector;
use common::query::statement::{Statement, split};
use regex::bytes::Regex;

/// Values that a series may have.
const VALUES: [f64; 14] = [
    1.0,
    -2.5,
    0.0,
    -0.0,
    1e300,
    -1e300,
    f64::NAN,
    3.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    5e-324,
    7.0,
    0.1,
    9_007_199_254_740_993.0,
];

/// Pipelines: what parses is printed so that it parses as the same, and runs within its stated memory; what does
/// not is refused at a spot inside.
pub fn pipeline(text: &[u8]) {
    let pipeline = match Pipeline::parse(text) {
        Ok(pipeline) => pipeline,
        Err(error) => return refused(text, &error),
    };
    let printed = pipeline.to_string();
    let again = Pipeline::parse(&printed).expect("what is printed is a pipeline");
    assert_eq!(again, pipeline, "{printed} is another pipeline");
    assert_eq!(again.to_string(), printed);
    let (mut one, mut other) = (pipeline.start(), again.start());
    for value in VALUES.into_iter().cycle().take(100) {
        let (one, other) = (one.feed(value), other.feed(value));
        assert_eq!(one.map(f64::to_bits), other.map(f64::to_bits), "{printed} runs in two ways");
    }
    assert!(one.bytes() <= pipeline.state_bytes_max(), "{} bytes", one.bytes());
}

fn refused(text: &[u8], error: &QueryError) {
    assert!(error.at.end() <= text.len(), "the spot {:?} is outside", error.at);
    let told = error.to_string();
    assert!(!told.is_empty() && !told.chars().any(char::is_control), "{told:?} is not one line");
    if let Ok(text) = std::str::from_utf8(text) {
        let shown = caret::render(text, error);
        assert!(shown.lines().nth(1).is_some_and(|line| line.contains('^')), "{shown}");
    }
    let mut answer = Vec::new();
    write_reason(&mut answer, error);
    let read = Answers::of(&answer).next();
    assert!(matches!(read, Some(Ok(Answer::Reason { at, .. })) if at == error.at), "{read:?}");
}

/// Statements: the parts stand where they are said to, and what is checked can be asked of a proc socket.
pub fn statement(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let parts = match split(text) {
        Ok(parts) => parts,
        Err(error) => {
            assert!(Statement::parse(text).is_err());
            return refused(text.as_bytes(), &error);
        }
    };
    for part in [Some(parts.pipeline), Some(parts.regex), parts.clauses].into_iter().flatten() {
        assert_eq!(&text[part.offset..part.spot().end()], part.text);
        assert!(!part.text.is_empty());
    }
    let statement = match Statement::parse(text) {
        Ok(statement) => statement,
        Err(error) => return refused(text.as_bytes(), &error),
    };
    selects(&statement.selector);
    let (regex, pipeline) = (statement.selector.to_string(), statement.pipeline.to_string());
    let mut payload = Vec::new();
    Ask { with: proc::With::default(), only: None, regex: &regex, pipeline: &pipeline }.write(&mut payload);
    let Ok(Instruction::Proc(proc)) = proc::parse(&payload) else { panic!("{regex} {pipeline} is no proc") };
    assert_eq!((proc.selector.to_string(), &proc.pipeline), (regex, &statement.pipeline));
}

/// A selector does what its regex does, on the name or on the whole key.
fn selects(selector: &Selector) {
    let text = selector.to_string();
    let regex = Regex::new(&text).expect("a selector is a regex");
    let literal: String =
        text.chars().filter(|char| char.is_alphanumeric() || "._;=".contains(*char)).collect();
    let prefix = String::from_utf8_lossy(selector.prefix()).into_owned();
    for key in [&*literal, &prefix, "", "web.hits", "web.hits;dc=ams;host=a", "größe;a", ";"] {
        let name = key.split(';').next().unwrap_or_default();
        let seen = if selector.sees_tags() { key } else { name };
        assert_eq!(selector.matches(key.as_bytes()), regex.is_match(seen.as_bytes()), "{text} of {key:?}");
    }
}

/// What clients say to the proc socket: a proc that is taken can be written, and is read as the same.
pub fn proc(payload: &[u8]) {
    match proc::parse(payload) {
        Ok(Instruction::Close) => assert!(payload == proc::CLOSE),
        Ok(Instruction::Proc(proc)) => proc_again(&proc),
        Err(refused_) => refused(payload, &refused_.error),
    }
}

fn proc_again(proc: &Proc) {
    let only = proc.only.as_ref().map(ToString::to_string);
    let (regex, pipeline) = (proc.selector.to_string(), proc.pipeline.to_string());
    let mut payload = Vec::new();
    let ask = Ask { with: proc.with, only: only.as_deref(), regex: &regex, pipeline: &pipeline };
    let places = ask.write(&mut payload);
    assert_eq!(&payload[places.regex.offset..places.regex.end()], regex.as_bytes());
    assert_eq!(&payload[places.pipeline.offset..places.pipeline.end()], pipeline.as_bytes());
    let Ok(Instruction::Proc(again)) = proc::parse(&payload) else { panic!("{:?}", payload.escape_ascii()) };
    assert_eq!((again.with, again.only.map(|only| only.to_string())), (proc.with, only));
    assert_eq!((again.selector.to_string(), &again.pipeline), (regex, &proc.pipeline));
}

/// What the server says: each answer that is read is read again when it is written.
pub fn answer(payload: &[u8]) {
    let mut written = Vec::new();
    let mut answers = 0;
    for answer in Answers::of(payload) {
        match answer {
            Ok(answer) => {
                answer.write(&mut written);
                answers += 1;
            }
            Err(error) => assert!(error.0 < payload.len()),
        }
    }
    let again: Vec<_> = Answers::of(&written).collect();
    assert_eq!(again.len(), answers);
    let mut twice = Vec::new();
    for answer in again {
        answer.expect("it was written by the writer").write(&mut twice);
    }
    assert_eq!(twice, written, "{}", written.escape_ascii());
}
