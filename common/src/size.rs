//! Sizes as people write them: `64MiB`, `32KiB`, `8MB`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes. The same text in files and on the command line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Size(u64);

/// Where two are equally short, the first is printed.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is no size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SizeError {
    /// Nothing there.
    #[error("an empty size, write it like 64MiB")]
    Empty,
    /// A number alone.
    #[error("{0} has no unit, write {0}B, {0}KiB or {0}MiB")]
    NoUnit(String),
    /// No number first, a sign, a blank.
    #[error("{0:?} is not a size, write it like 64MiB")]
    Malformed(String),
    /// A decimal fraction.
    #[error("{0:?} has a fraction, use a smaller unit: 1536KiB for 1.5MiB")]
    Fraction(String),
    /// A unit that does not exist.
    #[error(
        "unknown unit {unit:?} in {text:?}, the units are B, KiB MiB GiB TiB (of 1024), kB MB GB TB (of 1000)"
    )]
    Unit {
        /// The unknown unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than 2^64 - 1 bytes.
    #[error("{0:?} is more than 2^64 bytes")]
    TooLarge(String),
}

impl Size {
    /// A size in bytes.
    pub const fn from_bytes(bytes: u64) -> Size {
        Size(bytes)
    }

    /// A size in units of 1,024 bytes; saturates.
    pub const fn from_kib(kib: u64) -> Size {
        Size(kib.saturating_mul(1 << 10))
    }

    /// A size in units of 1,048,576 bytes; saturates.
    pub const fn from_mib(mib: u64) -> Size {
        Size(mib.saturating_mul(1 << 20))
    }

    /// Bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Bytes as a length in memory; saturates where that is smaller than 64 bits.
    pub const fn len(self) -> usize {
        if self.0 > usize::MAX as u64 { usize::MAX } else { self.0 as usize }
    }

    /// Whether it is no byte at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The shortest exact form: `64MiB`, `8MB`, `1500B`, `0B`.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0B");
        }
        let shortest = UNITS
            .iter()
            .filter(|(_, bytes)| self.0.is_multiple_of(*bytes))
            .map(|(unit, bytes)| format!("{}{unit}", self.0 / bytes))
            .min_by_key(String::len)
            .expect("every number is a multiple of one byte");
        f.pad(&shortest)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Size, SizeError> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if text.is_empty() {
            return Err(SizeError::Empty);
        }
        if number.is_empty() || unit.starts_with(char::is_whitespace) {
            return Err(SizeError::Malformed(text.into()));
        }
        if unit.is_empty() {
            return Err(SizeError::NoUnit(number.into()));
        }
        if unit.starts_with(['.', ',']) {
            return Err(SizeError::Fraction(text.into()));
        }
        // KB is common for kB and cannot mean anything else.
        let known = if unit == "KB" { "kB" } else { unit };
        let Some(&(_, bytes)) = UNITS.iter().find(|(name, _)| *name == known) else {
            return Err(SizeError::Unit { unit: unit.into(), text: text.into() });
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(bytes))
            .map(Size)
            .ok_or_else(|| SizeError::TooLarge(text.into()))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in quotes, like \"64MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
                Err(E::custom(format_args!("{number} has no unit, write it like \"{number}B\", in quotes")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_size_reads_as_people_write_it() {
        for (text, want) in [
            ("64MiB", Ok(Size::from_mib(64))),
            ("32KiB", Ok(Size::from_kib(32))),
            ("8MB", Ok(Size::from_bytes(8_000_000))),
            ("1kB", Ok(Size::from_bytes(1_000))),
            ("1KB", Ok(Size::from_bytes(1_000))),
            ("0B", Ok(Size::from_bytes(0))),
            ("18446744073709551615B", Ok(Size::from_bytes(u64::MAX))),
            ("", Err("an empty size, write it like 64MiB")),
            ("64", Err("64 has no unit, write 64B, 64KiB or 64MiB")),
            ("MiB", Err("\"MiB\" is not a size, write it like 64MiB")),
            ("64 MiB", Err("\"64 MiB\" is not a size, write it like 64MiB")),
            ("1.5MiB", Err("\"1.5MiB\" has a fraction, use a smaller unit: 1536KiB for 1.5MiB")),
            (
                "64M",
                Err(
                    "unknown unit \"M\" in \"64M\", the units are B, KiB MiB GiB TiB (of 1024), kB MB GB TB (of 1000)",
                ),
            ),
            ("16777216TiB", Err("\"16777216TiB\" is more than 2^64 bytes")),
        ] {
            assert_eq!(text.parse::<Size>().map_err(|error| error.to_string()), want.map_err(str::to_owned));
        }
    }

    #[test]
    fn a_size_prints_its_shortest_exact_form() {
        for (bytes, want) in [
            (0, "0B"),
            (1, "1B"),
            (1_500, "1500B"),
            (1_000, "1kB"),
            (1_024, "1KiB"),
            (32_768, "32KiB"),
            (8_000_000, "8MB"),
            (67_108_864, "64MiB"),
        ] {
            assert_eq!(Size::from_bytes(bytes).to_string(), want);
        }
    }

    proptest! {
        #[test]
        fn reading_undoes_printing(number in 0..10_000_u64, unit in 0..UNITS.len(), bytes in any::<u64>()) {
            for size in [Size::from_bytes(number * UNITS[unit].1), Size::from_bytes(bytes)] {
                prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
            }
        }

        #[test]
        fn reading_takes_any_text(text in ".{0,12}|[0-9]{0,22}[a-zA-Z.]{0,3}") {
            if let Ok(size) = text.parse::<Size>() {
                prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
            }
        }
    }
}
