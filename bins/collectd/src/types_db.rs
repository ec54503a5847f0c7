//! types.db: the names of a type's data sources.
//!
//! ```text
//! if_octets   rx:DERIVE:0:U, tx:DERIVE:0:U
//! ```
//!
//! Source: types.db(5) of collectd 5.12.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::file::{BadLine, read_limited};

/// The longest file that is read, in bytes; collectd's own has 15,000.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a line of types.db says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum TypeError {
    /// A type alone.
    #[error("a type has at least one source")]
    NoSource,
    /// Not four fields, or an empty or unfit name.
    #[error("a source is NAME:KIND:MIN:MAX")]
    Source,
    /// Not GAUGE, COUNTER, DERIVE or ABSOLUTE.
    #[error("a kind is GAUGE, COUNTER, DERIVE or ABSOLUTE")]
    Kind,
    /// Neither a number nor `U`.
    #[error("a bound is a number or U")]
    Bound,
    /// Two sources of one name: their values would share a key.
    #[error("a source is there twice")]
    SourceTwice,
    /// Not UTF-8.
    #[error("the line is not UTF-8")]
    NotUtf8,
}

/// The data sources of every type known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TypesDb {
    types: HashMap<Box<[u8]>, Box<[Box<str>]>>,
}

impl TypesDb {
    /// The names of a type's sources, in the order of its values.
    pub fn sources(&self, type_: &[u8]) -> Option<&[Box<str>]> {
        self.types.get(type_).map(|sources| &**sources)
    }

    /// How many types are known.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// True when no type is known.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Takes in one more file; of a type given twice the last line stays. Returns the lines that say nothing.
    pub fn read_file(&mut self, path: &Path) -> io::Result<Vec<BadLine<TypeError>>> {
        Ok(self.read(&read_limited(path, FILE_BYTES_MAX)?))
    }

    /// Takes in the text of one more file.
    pub fn read(&mut self, text: &[u8]) -> Vec<BadLine<TypeError>> {
        let mut bad = Vec::new();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            match parse_line(line) {
                Ok(None) => {}
                Ok(Some((type_, sources))) => {
                    self.types.insert(type_.as_bytes().into(), sources);
                }
                Err(error) => bad.push(BadLine { line: number + 1, error }),
            }
        }
        bad
    }
}

type Line<'a> = (&'a str, Box<[Box<str>]>);

fn parse_line(line: &[u8]) -> Result<Option<Line<'_>>, TypeError> {
    let line = std::str::from_utf8(line).map_err(|_| TypeError::NotUtf8)?;
    // collectd splits at blanks only and drops a comma at an end; `a:..,b:..` is meant as two all the same.
    let mut fields =
        line.split(|char: char| char.is_ascii_whitespace() || char == ',').filter(|field| !field.is_empty());
    let Some(type_) = fields.next().filter(|type_| !type_.starts_with('#')) else {
        return Ok(None);
    };
    let sources = fields.map(parse_source).collect::<Result<Box<[_]>, _>>()?;
    if sources.is_empty() {
        return Err(TypeError::NoSource);
    }
    let mut seen = HashSet::new();
    if !sources.iter().all(|source| seen.insert(source)) {
        return Err(TypeError::SourceTwice);
    }
    Ok(Some((type_, sources)))
}

fn parse_source(field: &str) -> Result<Box<str>, TypeError> {
    let mut fields = field.split(':');
    let (Some(name), Some(kind), Some(min), Some(max), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(TypeError::Source);
    };
    if name.is_empty() || name.chars().any(|char| char.is_control() || char == ';') {
        return Err(TypeError::Source);
    }
    if !["GAUGE", "COUNTER", "DERIVE", "ABSOLUTE"].iter().any(|word| word.eq_ignore_ascii_case(kind)) {
        return Err(TypeError::Kind);
    }
    if [min, max].iter().any(|&bound| bound != "U" && bound.parse::<f64>().is_err()) {
        return Err(TypeError::Bound);
    }
    Ok(name.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_sources_of_a_type() {
        for (line, want) in [
            (
                "load  shortterm:GAUGE:0:5000, midterm:GAUGE:0:5000, longterm:GAUGE:0:5000",
                "shortterm midterm longterm",
            ),
            ("x value:GAUGE:U:U", "value"),
            ("x\ta:derive:-1e3:0.5,b:Absolute:0:U,\r", "a b"),
            ("  x a:COUNTER:0:4294967295 b:COUNTER:0:U", "a b"),
        ] {
            let mut types = TypesDb::default();
            assert_eq!(types.read(line.as_bytes()), [], "{line:?}");
            let type_ = line.split_whitespace().next().unwrap();
            assert_eq!(types.sources(type_.as_bytes()).unwrap().join(" "), want, "{line:?}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_costs_only_itself() {
        let mut types = TypesDb::default();
        let text = b"# comment\n\nalone\na a:GAUGE:0:U\nb a:GAUGE:0\nb a:GAUGE:0:U:U\nb a:FLOAT:0:U\n\
            b a:GAUGE:x:U\nb a:GAUGE:0:U, a:GAUGE:0:U\nb a;b:GAUGE:0:U\nb :GAUGE:0:U\nb \xff:GAUGE:0:U\n  # c\nc c:GAUGE:0:U";
        let bad: Vec<_> = types.read(text).iter().map(|bad| (bad.line, bad.error)).collect();
        assert_eq!(
            bad,
            [
                (3, TypeError::NoSource),
                (5, TypeError::Source),
                (6, TypeError::Source),
                (7, TypeError::Kind),
                (8, TypeError::Bound),
                (9, TypeError::SourceTwice),
                (10, TypeError::Source),
                (11, TypeError::Source),
                (12, TypeError::NotUtf8),
            ]
        );
        assert_eq!(types.len(), 2);
        assert!(
            types.sources(b"a").is_some() && types.sources(b"b").is_none() && types.sources(b"c").is_some()
        );
    }

    #[test]
    fn a_later_file_wins() {
        let dir = tempfile::tempdir().unwrap();
        let mut types = TypesDb::default();
        for (file, text) in [("1", "x a:GAUGE:0:U\ny y:GAUGE:0:U"), ("2", "x b:GAUGE:0:U")] {
            std::fs::write(dir.path().join(file), text).unwrap();
            assert_eq!(types.read_file(&dir.path().join(file)).unwrap(), []);
        }
        assert_eq!(types.sources(b"x").unwrap().join(" "), "b");
        assert_eq!(types.sources(b"y").unwrap().join(" "), "y");
        assert_eq!(types.read_file(&dir.path().join("3")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
