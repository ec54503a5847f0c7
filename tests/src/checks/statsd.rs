//! StatsD's and DogStatsD's lines.

use std::sync::OnceLock;

use common::key;
use common::metric::{Kind, MEMBER_BYTES_MAX, Metric, Note};
use common::process::Process;
use common::time::Time;
use leela_statsd::Config;
use leela_statsd::dialect::{self, Fault};
use leela_statsd::reader::{self, Found, Reader, Rules};
use leela_statsd::streams::cutter::{Cutter, FrameTooLong, Piece};

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

/// A datagram, under the configuration that its length chooses: lines in = metrics + refused + empty, each in the form that
/// travels, and a reader that has read others reads the same.
pub fn statsd(datagram: &[u8]) {
    let [chosen @ .., the_long_way] = configured();
    let rules = &chosen[datagram.len() % chosen.len()];
    let mut used = Reader::default();
    let (mut lines, mut bytes) = (0, 0);
    for line in dialect::lines(datagram) {
        lines += 1;
        bytes += line.len();
        assert!(!line.contains(&b'\n'));
        let found = read(&mut used, line, rules);
        assert_eq!(found, read(&mut Reader::default(), line, rules), "a used reader reads something else");
        assert_eq!(found.is_empty(), line.is_empty(), "a line that left no trace");
        if let Some(short) = plain(&mut used, line, rules) {
            let long = read(&mut Reader::default(), line, the_long_way);
            assert_eq!(long, [Ok(short)], "the way of lines that are plain leads elsewhere");
        }
    }
    let ends = datagram.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, ends + usize::from(datagram.last().is_some_and(|last| *last != b'\n')));
    assert!(bytes + ends <= datagram.len());
}

/// What is read by default, as etsy's server does, with all that can be configured; and by default, but for a rule that
/// matches nothing and lets no line be plain.
fn configured() -> &'static [Rules; 4] {
    static RULES: OnceLock<[Rules; 4]> = OnceLock::new();
    RULES.get_or_init(|| {
        ["", "names = \"etsy\"", ALL, "[[rules]]\nname = '$x'\ndrop = true"].map(|config| {
            let config: Config = toml::from_str(config).expect("it is right");
            config.check().expect("it is right");
            config.reading().expect("it is right")
        })
    })
}

/// What leela-statsd makes of a line that is plain, or is but for its tags, without looking further.
fn plain(reader: &mut Reader, line: &[u8], rules: &Rules) -> Option<String> {
    if let Some(metric) = reader::plain(line, NOW, rules) {
        return Some(format!("{:?}", Found::Metric(metric)));
    }
    let (metric, tags) = reader.plain_tagged(line, NOW, rules)?;
    let mut key = metric.key.to_vec();
    key.resize(metric.key.len() + tags.bytes(), 0);
    tags.write(&mut key[metric.key.len()..]);
    Some(format!("{:?}", Found::Metric(Metric { key: &key, ..metric })))
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

/// Streams: the lines that come out are the same however the stream is chopped, and of one that is too long no more is kept
/// than its beginning. The first byte says how it is chopped and, where it is odd, that it has frames.
pub fn stream(bytes: &[u8]) {
    let Some((how, stream)) = bytes.split_first() else { return };
    let cutter = || match how % 2 {
        0 => Cutter::of_lines(LINE_MAX),
        _ => Cutter::of_frames(LINE_MAX, FRAME_MAX),
    };
    let whole = cut(cutter(), stream, usize::MAX);
    assert_eq!(cut(cutter(), stream, 1 + usize::from(how >> 1)), whole);
    assert_eq!(cut(cutter(), stream, 1), whole);
    let lines: usize = whole.lines.iter().map(|(_, line)| line.len()).sum();
    assert!(lines <= stream.len(), "more came out than went in");
}

const LINE_MAX: usize = 24;
const FRAME_MAX: usize = 96;

#[derive(PartialEq, Debug, Default)]
struct Cut {
    /// Each line, and whether it was too long.
    lines: Vec<(bool, Vec<u8>)>,
    /// The stream ended in a line or in a frame.
    unfinished: Option<Vec<u8>>,
    too_long: Option<FrameTooLong>,
}

fn cut(mut cutter: Cutter, stream: &[u8], size: usize) -> Cut {
    let mut cut = Cut::default();
    let mut lines = Vec::new();
    let mut each = |piece: Piece<'_>| match piece {
        Piece::Lines(text) => {
            lines.extend(dialect::lines(text).map(|line| match line.get(..LINE_MAX) {
                // One that came whole is measured by who reads it.
                Some(begun) if line.len() > LINE_MAX => (true, begun.to_vec()),
                _ => (false, line.to_vec()),
            }));
        }
        // How much of it had come is a matter of the pieces.
        Piece::TooLong(begun) => {
            assert!(begun.len() > LINE_MAX);
            lines.push((true, begun[..LINE_MAX].to_vec()));
        }
    };
    for piece in stream.chunks(size.min(stream.len().max(1))) {
        if let Err(too_long) = cutter.push(piece, &mut each) {
            cut.too_long = Some(too_long);
            break;
        }
        assert!(cutter.unfinished().is_none_or(|begun| begun.len() <= LINE_MAX + 1));
    }
    if cut.too_long.is_none() {
        cut.unfinished = cutter.end(&mut each).map(<[u8]>::to_vec);
    }
    cut.lines = lines;
    cut
}
