//! What is emitted of counts, samples and members, and under which names.

use std::fmt;
use std::str::FromStr;

use common::metric::Kind;
use common::query::error::QueryError;
use common::query::selector::Selector;
use common::sketch::Quantile;
use common::value::Shortest;
use thiserror::Error;

/// Behind a count's name: what was counted in the window.
pub(crate) const TOTAL: &str = "total";
/// Behind a member's name: how many different ones there were.
pub(crate) const UNIQUE: &str = "unique";
/// Behind a sample's name: how many were at most `le`.
pub(crate) const BUCKET: &str = "bucket";
/// The tag of a bucket's bound.
pub(crate) const BOUND: &str = "le";

/// A number that samples have, as it is written behind their name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// How many there were, by weight.
    Count,
    /// Their weighted sum.
    Sum,
    /// The least one.
    Min,
    /// The greatest one.
    Max,
    /// Their weighted mean.
    Mean,
    /// Their standard deviation.
    Stddev,
    /// Their harmonic mean.
    Hmean,
    /// A quantile of theirs.
    Quantile(Quantile),
}

const WORDS: [(&str, Part); 7] = [
    ("count", Part::Count),
    ("sum", Part::Sum),
    ("min", Part::Min),
    ("max", Part::Max),
    ("mean", Part::Mean),
    ("stddev", Part::Stddev),
    ("hmean", Part::Hmean),
];

/// A word is none that samples have.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0} is none of count, sum, min, max, mean, stddev, hmean, and a quantile such as p50 or p99_9")]
pub struct NoPart(pub String);

impl FromStr for Part {
    type Err = NoPart;

    fn from_str(text: &str) -> Result<Part, NoPart> {
        let word = WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, part)| part);
        word.or_else(|| text.parse().ok().map(Part::Quantile)).ok_or_else(|| NoPart(text.to_owned()))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Quantile(quantile) => quantile.fmt(f),
            part => {
                let word = WORDS.into_iter().find(|(_, other)| other == part).map_or("", |(word, _)| word);
                f.write_str(word)
            }
        }
    }
}

/// What is emitted of samples.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Profile {
    parts: Vec<(String, Part)>,
    quantiles: Vec<Quantile>,
    /// Bounds of the histogram, ascending, and as they are written.
    bounds: Vec<f64>,
    bound_texts: Vec<String>,
}

impl Profile {
    /// Numbers in the order in which they are emitted, and the bounds of a histogram. None where a bound is no number,
    /// or they do not ascend.
    pub fn new(parts: &[Part], bounds: &[f64]) -> Option<Profile> {
        let sound = bounds.iter().all(|bound| bound.is_finite()) && bounds.is_sorted_by(|a, b| a < b);
        let quantile = |part: &Part| if let Part::Quantile(quantile) = part { Some(*quantile) } else { None };
        sound.then(|| Profile {
            parts: parts.iter().map(|part| (part.to_string(), *part)).collect(),
            quantiles: parts.iter().filter_map(quantile).collect(),
            bounds: bounds.to_vec(),
            bound_texts: bounds.iter().map(|bound| Shortest(*bound).to_string()).collect(),
        })
    }

    /// The numbers with their words.
    pub(crate) fn parts(&self) -> &[(String, Part)] {
        &self.parts
    }

    /// The quantiles among them, in their order.
    pub(crate) fn quantiles(&self) -> &[Quantile] {
        &self.quantiles
    }

    /// The bounds of the histogram.
    pub(crate) fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// The bounds as they are written.
    pub(crate) fn bound_texts(&self) -> &[String] {
        &self.bound_texts
    }
}

/// A regex that selects names, known by its text.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    selector: Selector,
}

impl Pattern {
    /// Reads a regex.
    pub fn parse(text: &str) -> Result<Pattern, QueryError> {
        Ok(Pattern { selector: Selector::parse(text)?, text: text.to_owned() })
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

/// What is emitted of which names.
#[derive(Clone, PartialEq, Debug)]
pub struct Emitted {
    /// The first that selects a name holds.
    pub samples: Vec<(Pattern, Profile)>,
    /// Of the other samples.
    pub sample: Profile,
    /// Gauges that are emitted again at the end of every window in which they were not set.
    pub keep_gauges: Vec<Pattern>,
}

impl Default for Emitted {
    fn default() -> Emitted {
        let parts: Vec<Part> = DEFAULT.iter().filter_map(|word| word.parse().ok()).collect();
        Emitted {
            samples: Vec::new(),
            sample: Profile::new(&parts, &[]).unwrap_or_default(),
            keep_gauges: Vec::new(),
        }
    }
}

/// What is emitted of samples by default.
pub const DEFAULT: [&str; 8] = ["count", "sum", "min", "max", "mean", "p50", "p90", "p99"];

/// Profiles there may be beside the default.
pub const PROFILES_MAX: usize = 255;

impl Emitted {
    /// The number of the profile of samples with this key.
    pub(crate) fn profile_of(&self, key: &[u8]) -> u8 {
        let place = self.samples.iter().position(|(pattern, _)| pattern.selector.matches(key));
        place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
    }

    /// The profile of a number.
    pub(crate) fn profile(&self, number: u8) -> &Profile {
        self.samples.get(usize::from(number)).map_or(&self.sample, |(_, profile)| profile)
    }

    /// True when the gauge of this key is emitted again.
    pub(crate) fn keeps(&self, key: &[u8]) -> bool {
        self.keep_gauges.iter().any(|pattern| pattern.selector.matches(key))
    }

    /// The word behind the name of the keys that a series emits beside its own, by its place; None behind the last.
    pub(crate) fn suffix(&self, kind: Kind, key: &str, place: usize) -> Option<Suffix<'_>> {
        let one = |word| (place == 0).then_some(Suffix { word, more: 0 });
        match kind {
            Kind::Count => one(TOTAL),
            Kind::Member => one(UNIQUE),
            Kind::Sample => {
                let profile = self.profile(self.profile_of(key.as_bytes()));
                match profile.parts().get(place) {
                    Some((word, _)) => Some(Suffix { word, more: 0 }),
                    None if place == profile.parts().len() => {
                        let longest = profile.bound_texts().iter().map(String::len).max()?;
                        Some(Suffix { word: BUCKET, more: ";le=".len() + longest })
                    }
                    None => None,
                }
            }
            _ => None,
        }
    }

    /// False of a key whose name ends in no word that another series may emit behind its own: most do.
    pub(crate) fn may_have_origin(&self, key: &[u8]) -> bool {
        let has = |profile: &Profile, word| profile.parts().iter().any(|(part, _)| part.as_bytes() == word);
        last_word(key).is_some_and(|(dot, end)| {
            let word = &key[dot + 1..end];
            [TOTAL, UNIQUE, BUCKET].iter().any(|other| other.as_bytes() == word)
                || has(&self.sample, word)
                || self.samples.iter().any(|(_, profile)| has(profile, word))
        })
    }

    /// Of which kinds the key can be a name that another series emits, and the key of that series.
    pub(crate) fn origin(&self, key: &str) -> Option<(Kind, String)> {
        if !self.may_have_origin(key.as_bytes()) {
            return None;
        }
        let (dot, end) = last_word(key.as_bytes())?;
        let (base, word, tags) = (&key[..dot], &key[dot + 1..end], &key[end..]);
        let origin = || format!("{base}{tags}");
        match word {
            TOTAL => Some((Kind::Count, origin())),
            UNIQUE => Some((Kind::Member, origin())),
            BUCKET => {
                let without = |tag: &&str| *tag != BOUND && !tag.starts_with("le=");
                let kept: Vec<&str> = tags.split(';').filter(without).collect();
                Some((Kind::Sample, format!("{base}{}", kept.join(";"))))
            }
            _ => {
                let origin = origin();
                let profile = self.profile(self.profile_of(origin.as_bytes()));
                profile.parts().iter().any(|(part, _)| part == word).then_some((Kind::Sample, origin))
            }
        }
    }
}

/// Where a name's last word stands: between a `.` with something in front of it, and the tags.
fn last_word(key: &[u8]) -> Option<(usize, usize)> {
    let (mut dot, mut end) = (0, key.len());
    for (at, byte) in key.iter().enumerate() {
        match byte {
            b'.' => dot = at,
            b';' => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    (dot > 0).then_some((dot, end))
}

/// A word behind the name of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Suffix<'a> {
    pub(crate) word: &'a str,
    /// Bytes of a tag that the key also gets.
    pub(crate) more: usize,
}

/// A key with a word behind its name: `lat.p99;dc=ams` of `lat;dc=ams`.
pub(crate) fn with_suffix(out: &mut Vec<u8>, key: &[u8], suffix: &str) {
    let name = key.iter().position(|&byte| byte == b';').unwrap_or(key.len());
    out.clear();
    out.extend_from_slice(&key[..name]);
    out.push(b'.');
    out.extend_from_slice(suffix.as_bytes());
    out.extend_from_slice(&key[name..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted() -> Emitted {
        let parts = ["count".parse().unwrap(), "p99_9".parse().unwrap()];
        let web = (Pattern::parse("^web").unwrap(), Profile::new(&parts, &[0.1, 1.0]).unwrap());
        Emitted { samples: vec![web], ..Emitted::default() }
    }

    #[test]
    fn a_suffix_stands_before_the_tags() {
        let mut out = Vec::new();
        with_suffix(&mut out, b"lat;dc=ams", "p99");
        assert_eq!(out, b"lat.p99;dc=ams");
        with_suffix(&mut out, b"lat", "p99");
        assert_eq!(out, b"lat.p99");
    }

    #[test]
    fn every_name_that_is_emitted_is_known_to_be() {
        let emitted = emitted();
        for (kind, key, want) in [
            (Kind::Gauge, "a.b", &[][..]),
            (Kind::Count, "a.b;x=1", &["a.b.total;x=1"]),
            (Kind::Member, "a", &["a.unique"]),
            (Kind::Sample, "web;z=1", &["web.count;z=1", "web.p99_9;z=1", "web.bucket;z=1"]),
            (Kind::Sample, "a", &["a.count", "a.sum", "a.min", "a.max", "a.mean", "a.p50", "a.p90", "a.p99"]),
        ] {
            let mut got = Vec::new();
            while let Some(suffix) = emitted.suffix(kind, key, got.len()) {
                let mut out = Vec::new();
                with_suffix(&mut out, key.as_bytes(), suffix.word);
                assert_eq!(suffix.more, if suffix.word == BUCKET { ";le=0.1".len() } else { 0 });
                got.push(String::from_utf8(out).unwrap());
            }
            assert_eq!(got, want, "{kind:?} {key}");
            for derived in &got {
                assert_eq!(emitted.origin(derived), Some((kind, key.to_owned())), "{derived}");
            }
        }
        assert_eq!(emitted.origin("web.bucket;dc=a;le=0.1"), Some((Kind::Sample, "web;dc=a".to_owned())));
        for key in ["web.p99", "a.p99_9", "a", "total", ".total", "a.total.b"] {
            assert_eq!(emitted.origin(key), None, "{key}");
        }
    }

    #[test]
    fn a_profile_has_ascending_bounds() {
        assert_eq!(Profile::new(&[], &[2.0, 1.0]), None);
        assert_eq!(Profile::new(&[], &[1.0, 1.0]), None);
        assert_eq!(Profile::new(&[], &[f64::NAN]), None);
        assert_eq!(Profile::new(&[], &[0.5, 10.0]).unwrap().bound_texts(), ["0.5", "10"]);
        assert_eq!("p200".parse::<Part>(), Err(NoPart("p200".to_owned())));
    }
}
