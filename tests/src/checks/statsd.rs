//! StatsD's and DogStatsD's lines.

use common::key;
use common::metric::{Kind, MEMBER_BYTES_MAX, Note};
use common::process::Process;
use common::time::Time;
use leela_statsd::Config;
use leela_statsd::dialect::{self, Fault};
use leela_statsd::reader::{Found, Reader, Rules};

const NOW: Time = Time::from_secs(1_000_000_000);

/// All that can be configured.
const ALL: &str = r#"
gauges = "absolute"
tagged_names = ["graphite", "influx"]
origin_tags = ["container", "external", "cardinality"]
[[rules]]
name = '^debug\.'
drop = true
[[rules]]
name = '^a(?<rest>.*)'
tag = ':'
rename = '$rest'
keep = ["a", "b"]
add = { c = "1", b = "" }
"#;

/// A datagram, under several configurations: lines in = metrics + refused + empty, each in the form that travels, and a
/// reader that has read others reads the same.
pub fn statsd(datagram: &[u8]) {
    for config in ["", "names = \"etsy\"", ALL] {
        let config: Config = toml::from_str(config).expect("it is right");
        config.check().expect("it is right");
        let rules = config.reading().expect("it is right");
        let mut used = Reader::default();
        let (mut lines, mut bytes) = (0, 0);
        for line in dialect::lines(datagram) {
            lines += 1;
            bytes += line.len();
            assert!(!line.contains(&b'\n'));
            let found = read(&mut used, line, &rules);
            assert_eq!(
                found,
                read(&mut Reader::default(), line, &rules),
                "a used reader reads something else"
            );
            assert_eq!(found.is_empty(), line.is_empty(), "a line that left no trace");
        }
        let ends = datagram.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(lines, ends + usize::from(datagram.last().is_some_and(|last| *last != b'\n')));
        assert!(bytes + ends <= datagram.len());
    }
}

fn read(reader: &mut Reader, line: &[u8], rules: &Rules) -> Vec<Result<String, Fault>> {
    let mut all = Vec::new();
    reader.read(line, NOW, rules, |found| {
        let found = found.inspect_err(|fault| assert!(fault.offset <= line.len()));
        all.push(found.map(|found| {
            let key = match &found {
                Found::Metric(metric) => {
                    assert!(metric.value.is_finite());
                    let is_member = metric.kind == Kind::Member;
                    assert_eq!(is_member, (1..=MEMBER_BYTES_MAX).contains(&metric.member.len()));
                    Some(metric.key)
                }
                Found::Note(note) => {
                    assert!(note.json.len() <= Note::JSON_BYTES_MAX);
                    let json: serde_json::Value = serde_json::from_slice(note.json).expect("a note is JSON");
                    assert!(json.is_object());
                    Some(note.key)
                }
                Found::Dropped => None,
            };
            if let Some(key) = key {
                assert_eq!(key::parse(key).as_deref().map(str::as_bytes), Ok(key), "a key in another form");
            }
            format!("{found:?}")
        }));
    });
    all
}
