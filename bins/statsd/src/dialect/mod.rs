//! The dialect: what StatsD's and DogStatsD's clients send, a line each.
//!
//! ```text
//! line    = metric / event / check / ""                      a line feed, or a carriage return and one, ends it
//! metric  = name ":" value *(":" value) "|" type *("|" section)        of a set the whole between : and | is one
//! type    = "c" / "g" / "ms" / "h" / "d" / "s"
//! section = "@" rate / "#" tags / "T" time / "c:" container / "e:" external / "card:" level / ""
//! tags    = tag *("," tag)          tag = name [":" value]   a tag splits at its first :
//! event   = "_e{" bytes "," bytes "}:" title "|" text *("|" (section / d: / h: / k: / p: / s: / t:))
//! check   = "_sc|" name "|" ("0" / "1" / "2" / "3") *("|" (section / d: / h:)) ["|m:" message]
//! ```
//!
//! Sections stand in any order, each once. One that is `word:...` and unknown is an extension of a later version: it is
//! skipped and counted. Here a line is taken apart while it is borrowed from; [`crate::reader`] makes metrics of it.
//!
//! Source: <https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/>,
//! <https://github.com/statsd/statsd/blob/master/docs/metric_types.md>.

mod check;
mod event;
mod metric;
mod reason;
mod section;

pub use check::Check;
pub use event::Event;
pub use metric::{Metric, Plain, Type, Values, value};
pub(crate) use reason::offset;
pub use reason::{Fault, Reason};
pub use section::Sections;

/// A line, taken apart.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Line<'a> {
    /// Nothing.
    Empty,
    /// Values of a series.
    Metric(Metric<'a>),
    /// An event.
    Event(Event<'a>),
    /// A service check.
    Check(Check<'a>),
}

/// Takes a line apart; `line` has no line feed.
#[inline]
pub fn parse(line: &[u8]) -> Result<Line<'_>, Fault> {
    match line {
        [] => Ok(Line::Empty),
        [b'_', b'e', b'{', ..] => Event::parse(line).map(Line::Event),
        [b'_', b's', b'c', b'|', ..] => Check::parse(line).map(Line::Check),
        _ => Metric::parse(line).map(Line::Metric),
    }
}

/// The lines of a datagram or a frame, without what ends them. A line feed at the end begins no other line.
#[inline]
pub fn lines(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut ends, mut start) = (memchr::memchr_iter(b'\n', datagram), 0);
    std::iter::from_fn(move || {
        let end = match ends.next() {
            Some(end) => end,
            None if start < datagram.len() => datagram.len(),
            None => return None,
        };
        let line = &datagram[start..end];
        start = end + 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_falls_into_lines() {
        for (datagram, want) in [
            (&b""[..], &[][..]),
            (b"\n", &[&b""[..]]),
            (b"a", &[b"a"]),
            (b"a\n", &[b"a"]),
            (b"a\nb", &[b"a", b"b"]),
            (b"a\r\nb\r\n", &[b"a", b"b"]),
            (b"a\n\n\r\nb", &[b"a", b"", b"", b"b"]),
        ] {
            assert_eq!(
                lines(datagram).collect::<Vec<_>>(),
                want,
                "{:?}",
                datagram.escape_ascii().to_string()
            );
        }
    }
}
