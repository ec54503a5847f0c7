//! Both directions of the query socket.

use common::ask::{Answer, Ask};
use common::query::caret;

/// Asks and answers: what is read makes the same again; an ask that is not is refused at a spot inside.
pub fn ask(payload: &[u8]) {
    match Ask::parse(payload) {
        Ok(ask) => {
            let written = written(&ask);
            let again = Ask::parse(&written).expect("what is written is an ask");
            assert_eq!(self::written(&again), written, "it is read as another ask");
            assert_eq!(again.word(), ask.word());
            if let (Ask::Names(one, _), Ask::Names(other, _)) = (&ask, &again) {
                assert_eq!(one.tests, other.tests);
                for (test, key) in one.tests.iter().flat_map(|test| KEYS.map(|key| (test, key))) {
                    let opposite = common::ask::TagTest { is_not: !test.is_not, ..test.clone() };
                    assert_ne!(test.holds(key.as_bytes()), opposite.holds(key.as_bytes()));
                }
            }
        }
        Err(error) => {
            assert!(error.at.end() <= payload.len(), "the spot {:?} is outside", error.at);
            let told = error.to_string();
            assert!(!told.is_empty() && !told.chars().any(char::is_control), "{told:?} is not one line");
            if let Ok(text) = std::str::from_utf8(payload) {
                let shown = caret::render(text, &error);
                assert!(shown.lines().nth(1).is_some_and(|line| line.contains('^')), "{shown}");
            }
        }
    }
    if let Ok(Answer::Status(status)) = Answer::parse(payload) {
        let mut out = Vec::new();
        status.write(&mut out);
        let again = Answer::parse(&out).expect("what is written is an answer");
        // A text over the limit is cut when it is written.
        assert!(out.len() < payload.len() || again == Answer::Status(status), "{status:?} is {again:?}");
    }
}

const KEYS: [&str; 4] = ["web", "web;dc=ams", "web;a;dc=ams;x=1=2", "dc=ams"];

fn written(ask: &Ask) -> Vec<u8> {
    let mut out = Vec::new();
    ask.write(&mut out);
    out
}
