//! The points as bodies of Prometheus' remote write, which both peers take.
//!
//! Source: <https://prometheus.io/docs/specs/prw/remote_write_spec/>: Protocol Buffers in Snappy's block form. What is
//! written here is Snappy without a copy in it, which costs its reader least.

use crate::points::{Gauge, INTERVAL_MS};

/// Points of a body; those of usual clients hold 500 to 10,000.
const BODY_POINTS: usize = 10_000;

/// Bodies that go round series, one point of each series a round.
pub(super) struct Writes {
    series: Vec<(String, Vec<u8>, Gauge)>,
    due_ms: i64,
    body: Vec<u8>,
    held: usize,
}

impl Writes {
    /// Of so many series, whose first points are due at `first_ms`.
    pub(super) fn of(prefix: &str, series: usize, first_ms: i64) -> Writes {
        let each = |number| {
            let name = format!("{prefix}{:02}_nginx_requests_{number:06}", number % 100);
            let (mut label, mut labels) = (Vec::new(), Vec::new());
            field(&mut label, 1, b"__name__");
            field(&mut label, 2, name.as_bytes());
            field(&mut labels, 1, &label);
            (name, labels, Gauge::of(number))
        };
        Writes { series: (0..series).map(each).collect(), due_ms: first_ms, body: Vec::new(), held: 0 }
    }

    /// The name of a series.
    pub(super) fn name(&self, series: usize) -> &str {
        &self.series[series].0
    }

    /// Sends the next point of every series, as far as bodies become full.
    pub(super) fn round(&mut self, mut send: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let (mut one, mut sample) = (Vec::new(), Vec::new());
        for (_, labels, gauge) in &mut self.series {
            let point = gauge.next(self.due_ms);
            sample.clear();
            sample.push(1 << 3 | 1);
            sample.extend_from_slice(&point.value().to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, point.time_ms as u64);
            one.clear();
            one.extend_from_slice(labels);
            field(&mut one, 2, &sample);
            field(&mut self.body, 1, &one);
            self.held += 1;
            if self.held == BODY_POINTS {
                send(&snappy(&self.body))?;
                self.body.clear();
                self.held = 0;
            }
        }
        self.due_ms += INTERVAL_MS;
        Ok(())
    }

    /// Sends what is held.
    pub(super) fn finish(&mut self, mut send: impl FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if self.held > 0 {
            send(&snappy(&self.body))?;
            self.body.clear();
            self.held = 0;
        }
        Ok(())
    }
}

/// A field of bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Literals of up to 64 KiB each. Source: <https://github.com/google/snappy/blob/main/format_description.txt>.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 20_000 + 16);
    varint(&mut out, bytes.len() as u64);
    for literal in bytes.chunks(1 << 16) {
        out.push(61 << 2);
        out.extend_from_slice(&((literal.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(literal);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_as_the_formats_say() {
        let mut writes = Writes::of("web", 1, 1_000);
        let mut bodies = Vec::new();
        let mut send = |body: &[u8]| {
            bodies.push(body.to_vec());
            Ok(())
        };
        writes.round(&mut send).unwrap();
        writes.finish(&mut send).unwrap();
        let [body] = &bodies[..] else { panic!("{bodies:?}") };
        // 41 bytes of labels and 14 of the sample, in a series of 55, behind a length, a literal's tag and its length.
        assert_eq!(body[..6], [57, 61 << 2, 56, 0, 1 << 3 | 2, 55]);
        assert_eq!(body[6..8], [1 << 3 | 2, 39]);
        assert_eq!(&body[8..18], b"\x0a\x08__name__");
        assert_eq!(&body[18..47], b"\x12\x1bweb00_nginx_requests_000000");
        let point = Gauge::of(0).next(1_000);
        assert_eq!(body[47..50], [2 << 3 | 2, 12, 1 << 3 | 1]);
        assert_eq!(body[50..58], point.value().to_le_bytes());
        assert_eq!(body[58], 2 << 3);
        assert_eq!(body.len(), 61);
    }
}
