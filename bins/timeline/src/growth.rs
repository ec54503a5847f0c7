//! Where new series come from: names, fronts of names and keys of tags, counted where a series is opened or turned
//! away. A series that is known costs nothing, and the memory is the same whatever comes: about 120 KiB.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use common::growth::{Growth as Told, NAMES_MAX, Row, TAGS_MAX};
use common::heavy::{Entry, Heavy};
use common::time::Time;
#[cfg(not(test))]
use foldhash::quality::RandomState;
// Estimates are off by what the seed makes of them: tests have one that stays.
#[cfg(test)]
use foldhash::quality::FixedState as RandomState;

/// What is told is of the last one to two of these.
const WINDOW: Duration = Duration::from_secs(10);
/// Fronts of a name that are counted, up to its first, second and third dot; and the name itself.
const FRONTS: usize = 3;
const LEVELS: usize = FRONTS + 1;
/// Places of each table.
const PLACES: usize = 64;
/// Tags of one key that are looked at.
const TAGS_LOOKED_AT: usize = 16;
/// Registers for the values of a tag: 6.5 % of error.
const REGISTERS: usize = 256;

/// What came of late.
#[derive(Debug)]
pub(crate) struct Growth {
    hasher: RandomState,
    /// The last one that was counted.
    name: Name,
    now: Window,
    before: Window,
    /// When `now` began, and whether `before` is a whole one.
    begun: Duration,
    has_before: bool,
}

#[derive(Debug)]
struct Window {
    entered: u64,
    turned_away: u64,
    names: [Heavy<()>; LEVELS],
    tags: Heavy<Values>,
}

/// A name, with the hashes and the ends of its fronts and of itself; an end is 0 where there is none.
#[derive(Debug, Default)]
struct Name {
    text: Vec<u8>,
    fronts: [(u64, usize); LEVELS],
}

impl Name {
    fn read(&mut self, text: &[u8], hasher: &RandomState) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.fronts = Default::default();
        let dots = text.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at + 1);
        for (front, end) in self.fronts.iter_mut().zip(dots.take(FRONTS)) {
            *front = (hash(hasher, &text[..end]), end);
        }
        self.fronts[FRONTS] = (hash(hasher, text), text.len());
    }
}

/// About how many different values there were: HyperLogLog.
#[derive(Clone, Debug)]
struct Values([u8; REGISTERS]);

impl Default for Values {
    fn default() -> Values {
        Values([0; REGISTERS])
    }
}

impl Window {
    fn new() -> Window {
        Window {
            entered: 0,
            turned_away: 0,
            names: std::array::from_fn(|_| Heavy::new(PLACES)),
            tags: Heavy::new(TAGS_MAX),
        }
    }

    fn clear(&mut self) {
        (self.entered, self.turned_away) = (0, 0);
        self.names.iter_mut().for_each(Heavy::clear);
        self.tags.clear();
    }
}

impl Growth {
    pub(crate) fn new() -> Growth {
        Growth {
            hasher: RandomState::default(),
            name: Name::default(),
            now: Window::new(),
            before: Window::new(),
            begun: Duration::ZERO,
            has_before: false,
        }
    }

    /// A series of this key was opened.
    pub(crate) fn entered(&mut self, key: &[u8]) {
        self.now.entered += 1;
        self.count(key);
    }

    /// A record of a series that no limit let in.
    pub(crate) fn turned_away(&mut self, key: &[u8]) {
        self.now.turned_away += 1;
        self.count(key);
    }

    fn count(&mut self, key: &[u8]) {
        let name_end = key.iter().position(|byte| *byte == b';').unwrap_or(key.len());
        let (name, mut tags) = key.split_at(name_end);
        // New series mostly come many of a name.
        if self.name.text != name {
            self.name.read(name, &self.hasher);
        }
        for (level, (hash, end)) in self.name.fronts.iter().enumerate() {
            if *end > 0 {
                self.now.names[level].add(*hash, &name[..*end]);
            }
        }
        for _ in 0..TAGS_LOOKED_AT {
            let Some((_, rest)) = tags.split_first() else { break };
            let (mut equals, mut end) = (None, rest.len());
            for (at, byte) in rest.iter().enumerate() {
                match byte {
                    b'=' => equals = equals.or(Some(at)),
                    b';' => {
                        end = at;
                        break;
                    }
                    _ => {}
                }
            }
            let (tag, value) = rest[..end].split_at(equals.unwrap_or(end));
            self.now.tags.add(hash(&self.hasher, tag), tag).see(hash(&self.hasher, value));
            tags = &rest[end..];
        }
    }

    /// What is to be told now; `mono` as in [`crate::timeline::Timeline::apply`].
    pub(crate) fn tell(&mut self, now: Time, mono: Duration) -> Told {
        let elapsed = mono.saturating_sub(self.begun);
        let window = if self.has_before { WINDOW + elapsed } else { elapsed };
        let (this, before) = (&self.now, &self.before);
        let mut names = Vec::new();
        for (this, before) in this.names.iter().zip(&before.names) {
            names.extend(merged(this, before, |_, _| 0));
        }
        let told = Told {
            time: now,
            window,
            entered: this.entered + before.entered,
            turned_away: this.turned_away + before.turned_away,
            names: largest(names, NAMES_MAX),
            tags: largest(merged(&this.tags, &before.tags, Values::joined), TAGS_MAX),
        };
        if elapsed >= WINDOW {
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.clear();
            // One that was not looked at for long is of no window.
            if elapsed >= 2 * WINDOW {
                self.before.clear();
            }
            (self.begun, self.has_before) = (mono, elapsed < 2 * WINDOW);
        }
        told
    }
}

fn hash(hasher: &RandomState, text: &[u8]) -> u64 {
    let mut hasher = hasher.build_hasher();
    hasher.write(text);
    hasher.finish()
}

/// The rows of two tables. `values` is of what was kept with one thing in both; the second is none where it is in one.
fn merged<T: Default>(
    this: &Heavy<T>,
    before: &Heavy<T>,
    values: impl Fn(&T, Option<&T>) -> u64,
) -> Vec<Row> {
    let row = |entry: &Entry<'_, T>, other: Option<&Entry<'_, T>>| {
        let (count, error) = other.map_or((0, 0), |other| (other.count, other.error));
        let at_most = entry.count + count;
        Row {
            text: String::from_utf8_lossy(entry.text).trim_end_matches('\u{fffd}').to_owned(),
            at_least: at_most - entry.error - error,
            at_most,
            values: values(entry.own, other.map(|other| other.own)).min(at_most),
        }
    };
    let old: Vec<Entry<'_, T>> = before.entries().collect();
    let mut rows = Vec::new();
    for entry in this.entries() {
        rows.push(row(&entry, old.iter().find(|other| other.hash == entry.hash)));
    }
    for entry in old {
        if this.entries().all(|other| other.hash != entry.hash) {
            rows.push(row(&entry, None));
        }
    }
    rows
}

fn largest(mut rows: Vec<Row>, count: usize) -> Vec<Row> {
    rows.sort_by(|one, other| {
        let key = |row: &Row| std::cmp::Reverse((row.at_least, row.at_most, row.text.len()));
        key(one).cmp(&key(other))
    });
    rows.truncate(count);
    rows
}

impl Values {
    #[inline]
    fn see(&mut self, hash: u64) {
        let register = &mut self.0[(hash >> 56) as usize];
        // The bits below, with one set so that there is an end.
        let rank = ((hash << 8) | 1 << 7).leading_zeros() as u8 + 1;
        *register = (*register).max(rank);
    }

    fn joined(&self, other: Option<&Values>) -> u64 {
        let none = [0; REGISTERS];
        let other = other.map_or(&none, |other| &other.0);
        let joined = self.0.iter().zip(other).map(|(one, other)| *one.max(other));
        let (mut sum, mut empty) = (0.0, 0);
        for register in joined {
            sum += (-f64::from(register)).exp2();
            empty += u32::from(register == 0);
        }
        // Source: Flajolet et al., "HyperLogLog", 2007: alpha of 256 registers, and counting empty ones while few are
        // taken.
        let registers = REGISTERS as f64;
        let alpha = 0.7213 / (1.0 + 1.079 / registers);
        let estimate = alpha * registers * registers / sum;
        let few = registers * (registers / f64::from(empty.max(1))).ln();
        (if estimate <= 2.5 * registers && empty > 0 { few } else { estimate }).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1000);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_tag_that_explodes_is_named_with_its_name() {
        let mut growth = Growth::new();
        for number in 0..100_000 {
            growth.entered(format!("web.api.hits;dc=ams;id={number}").as_bytes());
            if number % 10 == 0 {
                growth.entered(format!("disk.{number}.used;dc=ams").as_bytes());
            }
        }
        let told = growth.tell(NOW, secs(3));
        assert_eq!((told.entered, told.turned_away, told.window), (110_000, 0, secs(3)));
        assert_eq!(
            told.culprit().map(|row| (row.text.as_str(), row.at_least)),
            Some(("web.api.hits", 100_000))
        );
        let tag = told.culprit_tag().unwrap();
        assert_eq!(tag.text, "id");
        assert!((80_000..=100_000).contains(&tag.values), "{tag:?}");
        let dc = told.tags.iter().find(|row| row.text == "dc").unwrap();
        assert_eq!((dc.values, dc.at_least), (1, 110_000));
    }

    #[test]
    fn names_that_explode_are_named_by_their_front() {
        let mut growth = Growth::new();
        for number in 0..50_000 {
            growth.turned_away(format!("app.user.{number}.clicks").as_bytes());
        }
        let told = growth.tell(NOW, secs(1));
        assert_eq!((told.entered, told.turned_away), (0, 50_000));
        assert_eq!(told.culprit().map(|row| (row.text.as_str(), row.at_least)), Some(("app.user.", 50_000)));
        assert_eq!(told.culprit_tag(), None);
        assert_eq!(told.a_minute(told.total()), 3_000_000.0);
    }

    #[test]
    fn what_is_told_is_of_the_last_windows() {
        let mut growth = Growth::new();
        growth.entered(b"a;x=1");
        assert_eq!(growth.tell(NOW, secs(10)).entered, 1);
        growth.entered(b"b;x=2");
        let told = growth.tell(NOW, secs(15));
        assert_eq!((told.entered, told.window), (2, secs(15)));
        assert_eq!(told.tags[0], Row { text: "x".into(), at_least: 2, at_most: 2, values: 2 });
        growth.tell(NOW, secs(20));
        let told = growth.tell(NOW, secs(25));
        assert_eq!((told.entered, told.names.len()), (1, 1));
        growth.tell(NOW, secs(30));
        assert_eq!(growth.tell(NOW, secs(35)), Told { time: NOW, window: secs(15), ..Told::default() });
        growth.entered(b"c");
        // Nobody looked for a minute.
        assert_eq!(growth.tell(NOW, secs(95)).entered, 1);
        assert_eq!(growth.tell(NOW, secs(96)).entered, 0);
    }

    #[test]
    fn hostile_keys_are_counted_like_others() {
        let mut growth = Growth::new();
        let long = [&b"x."[..], &[b'y'; 1000]].concat();
        let many = (0..300).fold(b"z".to_vec(), |key, tag| [key, format!(";{tag}").into_bytes()].concat());
        let cut = [&[b'a'; 127][..], "ß".as_bytes()].concat();
        for key in [&b""[..], b";", b";=", b".", b"....", &long, &many, &cut] {
            growth.entered(key);
        }
        let told = growth.tell(NOW, secs(1));
        assert_eq!(told.entered, 8);
        assert!(told.names.iter().any(|row| row.text == "a".repeat(127)), "{told:?}");
    }

    #[test]
    fn values_are_estimated_within_their_error() {
        let hasher = RandomState::default();
        for count in [1u64, 10, 200, 1000, 100_000] {
            let mut values = Values::default();
            for value in 0..count {
                values.see(hash(&hasher, &value.to_le_bytes()));
            }
            let estimate = values.joined(None) as f64;
            assert!((estimate / count as f64 - 1.0).abs() < 0.25, "{count}: {estimate}");
        }
    }
}
