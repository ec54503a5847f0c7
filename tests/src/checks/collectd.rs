//! collectd's packets and the two files beside them.

use std::sync::OnceLock;

use common::key;
use common::metric::{Metric, Note};
use common::time::Time;
use leela_collectd::packet::{Output, Reader, Remarks, Rules, Sources};
use leela_collectd::part::{Code, Parts, Values};
use leela_collectd::reason::{Reason, Refused};
use leela_collectd::security::Level;
use leela_collectd::types_db::TypesDb;
use leela_collectd::users::{AuthFile, Users};

use super::in_file;

const NOW: Time = Time::from_secs(1_000_000_000);

const TYPES: &[u8] = b"if_octets rx:DERIVE:0:U, tx:DERIVE:0:U\n\
    load shortterm:GAUGE:0:5000, midterm:GAUGE:0:5000, longterm:GAUGE:0:5000\ncpu value:DERIVE:0:U\n";

/// What one reading of a packet gave.
#[derive(PartialEq, Debug)]
struct Reading {
    given: Vec<String>,
    refused: Vec<Refused>,
    remarks: Remarks,
}

impl Reading {
    /// Every value and notification, whatever became of it.
    fn values(&self) -> u64 {
        self.given.len() as u64 + self.refused.iter().map(|refused| refused.values).sum::<u64>()
    }
}

/// Packets, at every level of security: what is given and what is refused add up to what is in the packet, and a
/// reader that has read others reads the same.
pub fn collectd(packet: &[u8]) {
    let (users, types) = known();
    let all = Rules {
        required: Level::None,
        users: Some(users),
        user_prefix: true,
        sources: Sources::Names,
        types,
    };
    let mut used = Reader::default();
    let mut totals = Vec::new();
    for rules in [
        Rules { users: None, user_prefix: false, sources: Sources::Index, ..all },
        all,
        Rules { required: Level::Sign, ..all },
        Rules { required: Level::Encrypt, ..all },
    ] {
        let reading = read(&mut used, packet, &rules);
        assert_eq!(
            reading,
            read(&mut Reader::default(), packet, &rules),
            "a used reader reads something else"
        );
        assert!(reading.values() > 0, "a packet that left no trace");
        assert!(reading.refused.iter().all(|refused| refused.offset <= packet.len() && refused.values > 0));
        let refused_for_level = reading
            .refused
            .iter()
            .any(|refused| matches!(refused.reason, Reason::Unsigned | Reason::Unencrypted));
        assert!(!refused_for_level || rules.required > Level::None);
        totals.push(reading.values());
    }
    let [without_users, totals @ ..] = &totals[..] else { unreachable!("there are four rules") };
    assert!(totals.iter().all(|total| *total == totals[0]), "values are lost between levels: {totals:?}");
    if let Some(counted) = count(packet) {
        assert_eq!((totals[0], *without_users), (counted, counted), "values are lost");
    }
}

/// A user and types.
fn known() -> &'static (Users, TypesDb) {
    static KNOWN: OnceLock<(Users, TypesDb)> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let (users, bad) = Users::parse(b"alice: secret");
        assert!(bad.is_empty());
        let mut types = TypesDb::default();
        assert!(types.read(TYPES).is_empty());
        (users, types)
    })
}

fn read(reader: &mut Reader, packet: &[u8], rules: &Rules<'_>) -> Reading {
    let (mut given, mut refused) = (Vec::new(), Vec::new());
    let remarks = reader.read(packet, NOW, rules, |found| match found {
        Ok(found) => {
            let key = match &found {
                Output::Metric(Metric { key, value, .. }) => {
                    assert!(value.is_finite());
                    *key
                }
                Output::Note(Note { key, json, .. }) => {
                    assert!(json.len() <= Note::JSON_BYTES_MAX);
                    let json: serde_json::Value = serde_json::from_slice(json).expect("a note is JSON");
                    assert!(json["message"].is_string() && json["severity"].is_string());
                    *key
                }
            };
            assert_eq!(key::parse(key).as_deref().map(str::as_bytes), Ok(key), "a key in another form");
            given.push(format!("{found:?}"));
        }
        Err(one) => refused.push(one),
    });
    Reading { given, refused, remarks }
}

/// The values and notifications of a packet that is not secured; `None` for one that is.
fn count(packet: &[u8]) -> Option<u64> {
    let mut values = 0;
    for part in Parts::new(packet, 0) {
        values += match part {
            Ok(part) => match part.code {
                Code::Signature | Code::Encryption => return None,
                Code::Values => {
                    Values::parse(part.body).map_or_else(|(_, count)| count, |v| v.count() as u64)
                }
                Code::Message => 1,
                _ => 0,
            },
            Err(_) => 1,
        };
    }
    Some(values.max(1))
}

/// types.db: every line is taken, skipped or named, and the sources of a type have names of their own.
pub fn types_db(text: &[u8]) {
    let mut types = TypesDb::default();
    let bad = types.read(text);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(types.len() + bad.len() <= lines);
    assert!(bad.iter().map(|bad| bad.line).is_sorted_by(|a, b| a < b));
    assert!(bad.iter().all(|bad| (1..=lines).contains(&bad.line) && !bad.error.to_string().is_empty()));
    for line in text.split(|byte| *byte == b'\n') {
        let type_ =
            line.split(|byte| byte.is_ascii_whitespace() || *byte == b',').find(|word| !word.is_empty());
        let Some(sources) = type_.and_then(|type_| types.sources(type_)) else { continue };
        let names: std::collections::BTreeSet<_> = sources.iter().collect();
        assert_eq!(names.len(), sources.len());
        assert!(names.iter().all(|name| !name.is_empty() && !name.contains(';')));
    }
    let before = types.clone();
    assert_eq!(types.read(text).len(), bad.len());
    assert_eq!(types, before, "reading a file twice changes something");
}

/// The AuthFile: every line is taken, skipped or named; nothing of it is shown.
pub fn users(text: &[u8]) {
    let (users, bad) = Users::parse(text);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(users.len() + bad.len() <= lines);
    assert!(bad.iter().map(|bad| bad.line).is_sorted_by(|a, b| a < b));
    assert_eq!(format!("{users:?}"), format!("Users({})", users.len()));
    in_file(text, |path| {
        let (file, again) = AuthFile::open(path, NOW).expect("the file is there and small");
        assert_eq!((file.users().len(), again.len()), (users.len(), bad.len()));
    });
}
