//! Which part of all values lies below: `p50`, `p99`, `p99_9`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A quantile as it is written: `p` and a percentage, whose point is a `_`. 0 to 100, to four decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Quantile {
    /// Millionths.
    parts: u32,
}

const ALL: u32 = 1_000_000;

/// A text is no quantile.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a quantile is p and a percentage from 0 to 100, like p50 or p99_9")]
pub struct NoQuantile;

impl Quantile {
    /// True when so much of `all` reaches it: the first value for which it is true is the weighted nearest rank.
    #[inline]
    pub(super) fn is_reached(self, below: u128, all: u128) -> bool {
        below * u128::from(ALL) >= all * u128::from(self.parts)
    }
}

impl FromStr for Quantile {
    type Err = NoQuantile;

    fn from_str(text: &str) -> Result<Quantile, NoQuantile> {
        let (whole, fraction) = match text.strip_prefix('p').ok_or(NoQuantile)?.split_once('_') {
            Some((whole, fraction)) if (1..=4).contains(&fraction.len()) => (whole, fraction),
            Some(_) => return Err(NoQuantile),
            None => (text.get(1..).unwrap_or_default(), ""),
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !(1..=3).contains(&whole.len()) || !digits(whole) || !digits(fraction) {
            return Err(NoQuantile);
        }
        let parts: u32 = format!("{whole}{fraction:0<4}").parse().map_err(|_| NoQuantile)?;
        if parts > ALL { Err(NoQuantile) } else { Ok(Quantile { parts }) }
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction) = (self.parts / 10_000, self.parts % 10_000);
        write!(f, "p{whole}")?;
        if fraction == 0 {
            return Ok(());
        }
        let mut width = 4;
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, "_{fraction:0width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_percentage() {
        for (text, want) in [
            ("p50", Some("p50")),
            ("p0", Some("p0")),
            ("p100", Some("p100")),
            ("p99_9", Some("p99_9")),
            ("p99_90", Some("p99_9")),
            ("p0_0001", Some("p0_0001")),
            ("p05", Some("p5")),
            ("p101", None),
            ("p100_1", None),
            ("p", None),
            ("p_5", None),
            ("p50_", None),
            ("p99_99999", None),
            ("p1e1", None),
            ("p+5", None),
            ("50", None),
            ("p5ö", None),
            ("", None),
        ] {
            let got = text.parse::<Quantile>().ok().map(|quantile| quantile.to_string());
            assert_eq!(got.as_deref(), want, "{text:?}");
        }
    }
}
