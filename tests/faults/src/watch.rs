//! What processes hold: memory and descriptors, by /proc.

use std::fs;
use std::time::Instant;

use anyhow::Context;

/// Memory of a process in bytes, by a word of /proc/PID/status: `VmRSS`, or `RssAnon` without what it maps.
pub(crate) fn memory_bytes(pid: u32, word: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    let kib = line.with_context(|| format!("{path} has no {word}"))?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>().with_context(|| format!("{word} of {path}"))? << 10)
}

/// Open descriptors of a process.
pub(crate) fn descriptors(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).with_context(|| path.clone())?.count() as u64)
}

/// A value over time.
pub(crate) struct Trend {
    begun: Instant,
    points: Vec<(f64, f64)>,
}

impl Trend {
    /// Nothing yet.
    pub(crate) fn new(begun: Instant) -> Trend {
        Trend { begun, points: Vec::new() }
    }

    /// Its value now.
    pub(crate) fn note(&mut self, value: u64) {
        self.points.push((self.begun.elapsed().as_secs_f64(), value as f64));
    }

    /// The mean.
    pub(crate) fn mean(&self) -> f64 {
        self.points.iter().map(|(_, value)| value).sum::<f64>() / self.points.len() as f64
    }

    /// [`Trend::rise`] in hundredths of the mean.
    pub(crate) fn rise_percent(&self) -> f64 {
        self.rise() / self.mean() * 100.0
    }

    /// By how much the line of least squares rises from the first point to the last.
    pub(crate) fn rise(&self) -> f64 {
        let n = self.points.len() as f64;
        let mean_x = self.points.iter().map(|(x, _)| x).sum::<f64>() / n;
        let mean_y = self.mean();
        let (mut xy, mut xx) = (0.0, 0.0);
        for (x, y) in &self.points {
            xy += (x - mean_x) * (y - mean_y);
            xx += (x - mean_x) * (x - mean_x);
        }
        let [Some(first), Some(last)] = [self.points.first(), self.points.last()] else { return f64::NAN };
        xy / xx * (last.0 - first.0)
    }

    /// The lowest and the highest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        let values = || self.points.iter().map(|(_, value)| *value);
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_rises_by_its_slope() {
        let trend = |values: &[f64]| Trend {
            begun: Instant::now(),
            points: values.iter().enumerate().map(|(x, y)| (x as f64, *y)).collect(),
        };
        for (values, want) in [
            (vec![100.0; 5], 0.0),
            (vec![99.0, 100.0, 101.0], 2.0),
            (vec![101.0, 100.0, 99.0], -2.0),
            (vec![90.0, 110.0, 90.0, 110.0, 90.0], 0.0),
        ] {
            let got = trend(&values).rise_percent();
            assert!((got - want).abs() < 1e-9, "{values:?}: {got}");
        }
        assert_eq!(trend(&[3.0, 1.0, 2.0]).range(), (1.0, 3.0));
    }
}
