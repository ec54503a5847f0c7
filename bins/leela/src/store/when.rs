//! Moments and stretches of time on the command line.

use clap::Args;
use common::ask::{Range, Selection, TagTest, Which};
use common::exit::Exit;
use common::query::caret;
use common::query::selector::Selector;
use common::span::Span;
use common::text::number;
use common::time::Time;
use common::wire::Content;

/// Which series.
#[derive(Args, Clone, Debug)]
pub(crate) struct Selected {
    /// A regex of the names of series
    #[arg(value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    /// Only series with this tag (dc=ams) or without it (dc!=ams); may be given several times
    #[arg(long = "where", value_name = "TAG=VALUE", value_parser = test)]
    pub(crate) tests: Vec<TagTest>,
}

impl Selected {
    /// As it is asked for.
    pub(crate) fn selection(&self) -> anyhow::Result<Selection> {
        let pattern = self.pattern.as_deref().unwrap_or("");
        let selector = Selector::parse(pattern).map_err(|error| {
            let shown = caret::render(pattern, &error);
            Exit::Data.error(format_args!("the pattern is wrong\n{}", shown.trim_end()))
        })?;
        Ok(Selection { which: Which::Match(Box::new(selector)), tests: self.tests.clone() })
    }

    /// True when it is about all there is.
    pub(crate) fn is_all(&self) -> bool {
        self.pattern.as_deref().unwrap_or("").is_empty() && self.tests.is_empty()
    }
}

/// From when until when.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// From here on: seconds since 1970, or a span before now (1h, 30d)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Time>,
    /// Up to here: seconds since 1970, or a span before now
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Time>,
}

impl Stretch {
    /// Records of it.
    pub(crate) fn range(self, selection: Selection, content: Content) -> Range {
        let from = self.from.unwrap_or(Time::from_ns(i64::MIN));
        let to = self.to.unwrap_or(Time::from_ns(i64::MAX));
        Range { selection, from, to, content, limit: None }
    }
}

fn moment(text: &str) -> Result<Time, String> {
    if let Some((time, length)) = number::time(text.as_bytes())
        && length == text.len()
    {
        return Ok(time);
    }
    let span: Span = text.parse().map_err(|_| {
        "a time is in seconds since 1970, like 1350332001.5, or a span before now, like 1h".to_owned()
    })?;
    Ok(Time::now().plus_ns(-span.signed_ns()))
}

pub(super) fn test(text: &str) -> Result<TagTest, &'static str> {
    const FORM: &str = "a test of a tag is TAG=VALUE or TAG!=VALUE";
    let (tag, value) = text.split_once('=').ok_or(FORM)?;
    let (tag, is_not) = tag.strip_suffix('!').map_or((tag, false), |tag| (tag, true));
    if tag.is_empty() {
        return Err(FORM);
    }
    Ok(TagTest { tag: tag.to_owned(), value: value.to_owned(), is_not })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_a_tag_is_read_as_it_is_written() {
        for (text, want) in [
            ("dc=ams", Ok(("dc", "ams", false))),
            ("dc!=ams", Ok(("dc", "ams", true))),
            ("dc=a=b", Ok(("dc", "a=b", false))),
            ("dc=", Ok(("dc", "", false))),
            ("dc", Err(())),
            ("=ams", Err(())),
            ("!=ams", Err(())),
        ] {
            let got = test(text);
            let got = got.as_ref().map(|test| (&test.tag[..], &test.value[..], test.is_not)).map_err(|_| ());
            assert_eq!(got, want, "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_a_span_before_now() {
        assert_eq!(moment("1350332001.5"), Ok(Time::from_ns(1_350_332_001_500_000_000)));
        assert_eq!(moment("-5"), Ok(Time::from_secs(-5)));
        let (hour, now) = (moment("1h").unwrap(), Time::now());
        let ago = now.since_ns(hour) - 3_600_000_000_000;
        assert!((0..60_000_000_000).contains(&ago), "{ago}");
        assert!(moment("yesterday").is_err());
    }
}
