//! What is read, beside what the map holds.

use std::ops::ControlFlow;

use common::query::selector::Selector;
use common::time::Time;
use leela_storage::store::{Found, Kind, Range, Store, Which};

use super::Case;
use crate::expected::{Chosen, Contents, Place};

impl Case {
    pub(super) fn check_range(&mut self) -> Result<(), String> {
        let chosen = self.choice();
        let kind = *self.random.pick(&[Kind::Events, Kind::Events, Kind::Events, Kind::States, Kind::Notes]);
        let (a, b) = (self.time_ms(), self.time_ms());
        let (from, to) =
            if self.random.percent(30) { (i64::MIN / 1_000_000, a) } else { (a.min(b), a.max(b)) };
        let limit = self.random.percent(20).then(|| self.random.below(30));
        self.compare(&chosen, kind, from, to, limit)
    }

    fn compare(
        &self,
        chosen: &Chosen,
        kind: Kind,
        from: i64,
        to: i64,
        limit: Option<u64>,
    ) -> Result<(), String> {
        let mut want = self.expected.range(chosen, kind, from, to);
        let is_cut = limit.is_some_and(|limit| want.len() as u64 > limit);
        want.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let mut got = Vec::new();
        let asked = chosen.asked();
        let range = Range {
            which: asked.which(),
            kind,
            from: Time::from_ns(from * 1_000_000),
            to: Time::from_ns(to * 1_000_000),
            limit,
        };
        let ended = self.store().range(&range, self.now, &mut |found| {
            take(found, &mut got);
            ControlFlow::Continue(())
        });
        let ended = ended.map_err(|err| err.to_string())?;
        if got != want {
            let wrong = got
                .iter()
                .zip(&want)
                .position(|(got, want)| got != want)
                .unwrap_or(got.len().min(want.len()));
            return Err(format!(
                "{kind:?} of {chosen:?} from {from} to {to}, limit {limit:?}: {} records for {}, at {wrong} {:?} for {:?}",
                got.len(),
                want.len(),
                got.get(wrong),
                want.get(wrong)
            ));
        }
        if !ended.damage.is_empty()
            || ended.records != got.len() as u64
            || (limit.is_some() && ended.is_cut != is_cut)
        {
            return Err(format!("{chosen:?}, limit {limit:?}, cut {is_cut}: {ended:?}"));
        }
        Ok(())
    }

    pub(super) fn check_all(&mut self) -> Result<(), String> {
        let all = Chosen::all();
        for kind in Kind::ALL {
            self.compare(&all, kind, i64::MIN / 1_000_000, i64::MAX / 1_000_000, None)?;
        }
        Ok(())
    }

    pub(super) fn check_series(&mut self) -> Result<(), String> {
        let chosen = self.choice();
        let want = self.expected.series(&chosen);
        let asked = chosen.asked();
        let mut got = Vec::new();
        let ended = self.store().series(asked.which(), None, self.now, &mut |extent| {
            let key = String::from_utf8_lossy(extent.key).into_owned();
            got.push((key, extent.first.ns() / 1_000_000, extent.last.ns() / 1_000_000, extent.points));
            ControlFlow::Continue(())
        });
        let _ = ended.map_err(|err| err.to_string())?;
        let got_keys: Vec<&String> = got.iter().map(|(key, ..)| key).collect();
        let want_keys: Vec<&String> = want.keys().collect();
        if got_keys != want_keys {
            let all = self.contents();
            let extra = got.iter().filter(|(key, ..)| !want.contains_key(key));
            let extra: Vec<_> =
                extra.map(|one| (one, Kind::ALL.map(|kind| all.get(&(kind, one.0.clone()))))).collect();
            println!("{extra:?} now {} horizon", self.now);
            return Err(format!("series of {chosen:?}: {got_keys:?} for {want_keys:?}"));
        }
        for ((key, first, last, points), (_, reach)) in got.iter().zip(&want) {
            // What retention takes out of the midst of a block is still counted.
            if *first > reach.0 || *last != reach.1 || *points == 0 {
                return Err(format!(
                    "{key} reaches from {first} to {last} with {points} points, not {reach:?}"
                ));
            }
        }
        let mut names = Vec::new();
        let ended = self.store().names(asked.which(), None, &mut |name| {
            names.push(String::from_utf8_lossy(name).into_owned());
            ControlFlow::Continue(())
        });
        let _ = ended.map_err(|err| err.to_string())?;
        if !names.is_sorted_by(|a, b| a < b) || !want_keys.iter().all(|key| names.contains(key)) {
            return Err(format!("names of {chosen:?}: {names:?} for {want_keys:?}"));
        }
        Ok(())
    }

    pub(super) fn check_tags(&mut self) -> Result<(), String> {
        let all = self.expected.series(&Chosen::all());
        let words = self.store().tags(Some(b"dc")).map_err(|err| err.to_string())?;
        for value in ["ams", "fra", "par"] {
            let want = all.keys().filter(|key| key.contains(&format!(";dc={value}"))).count() as u64;
            let got = words.iter().find(|word| word.word == value.as_bytes()).map_or(0, |word| word.series);
            // A series that is gone is named until the index is made anew.
            if got < want {
                return Err(format!("{got} series have dc={value}, not {want}"));
            }
        }
        Ok(())
    }

    pub(super) fn verify(&mut self) -> Result<(), String> {
        let verified = self.store().verify(&mut || true).map_err(|err| err.to_string())?;
        if verified.damage.is_empty() { Ok(()) } else { Err(format!("case {}: {verified:?}", self.number)) }
    }

    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for kind in Kind::ALL {
            let all = Selector::parse("").unwrap();
            let range = Range {
                which: Which::Match(&all, &[]),
                kind,
                from: Time::from_ns(i64::MIN),
                to: Time::from_ns(i64::MAX),
                limit: None,
            };
            let mut got = Vec::new();
            let _ = self.store().range(&range, self.now, &mut |found| {
                take(found, &mut got);
                ControlFlow::Continue(())
            });
            for (key, place, bytes) in got {
                contents.entry((kind, key)).or_default().insert(place, bytes);
            }
        }
        contents
    }
}

pub(crate) fn take(found: Found<'_>, got: &mut Vec<(String, Place, Vec<u8>)>) {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    match found {
        Found::Points { key, times_ms, values } => {
            for (time, value) in times_ms.iter().zip(values) {
                got.push((text(key), (*time, Vec::new()), value.to_bits().to_le_bytes().to_vec()));
            }
        }
        Found::Note(note) => {
            got.push((text(note.key), (note.time.ns() / 1_000_000, Vec::new()), note.json.to_vec()));
        }
        Found::State(state) => {
            let under = [&state.window_ns.to_le_bytes()[..], &[state.kind]].concat();
            got.push((text(state.key), (state.time.ns() / 1_000_000, under), state.bytes.to_vec()));
        }
    }
}
