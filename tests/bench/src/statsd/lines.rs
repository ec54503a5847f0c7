//! StatsD's lines, in datagrams of one length.

/// Datagrams of lines that go round all series once.
#[derive(Debug)]
pub(crate) struct Lines {
    /// All datagrams, one after the other.
    pub(crate) bytes: Vec<u8>,
    pub(crate) datagram_bytes: usize,
    /// Lines in all, and in a datagram.
    pub(crate) count: usize,
    pub(crate) a_datagram: usize,
    /// What the values add up to in the events whose names end so.
    pub(crate) sum: u64,
    pub(crate) suffix: &'static str,
}

impl Lines {
    /// Counts: 50 lines of 27 bytes a datagram.
    pub(crate) fn counts(series: usize) -> Lines {
        Lines::of(series, 50, ".total", |number| {
            let value = value(number);
            (format!("web{:02}.requests.{number:06}:{value}|c", number % 100), value)
        })
    }

    /// Timers, as many a datagram.
    pub(crate) fn timers(series: usize) -> Lines {
        Lines::of(series, 50, ".sum", |number| {
            let value = value(number);
            (format!("web{:02}.durations.{number:06}:{value}|ms", number % 100), value)
        })
    }

    /// Counts of series whose keys, of 48 bytes, have three tags.
    pub(crate) fn tagged(series: usize) -> Lines {
        Lines::of(series, 25, ".total", |number| (tagged_line(number), 1))
    }

    /// The same lines in an order in which none is behind the one that was before it there.
    pub(crate) fn tagged_mixed(series: usize) -> Lines {
        // A prime that divides no number of series of ours: each comes once.
        Lines::of(series, 25, ".total", |number| (tagged_line(number * 7_919 % series), 1))
    }

    fn of(
        series: usize,
        a_datagram: usize,
        suffix: &'static str,
        line: impl Fn(usize) -> (String, u64),
    ) -> Lines {
        assert!(series.is_multiple_of(a_datagram), "datagrams have one length");
        let (mut bytes, mut sum) = (Vec::new(), 0);
        for number in 0..series {
            let (text, value) = line(number);
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(b'\n');
            sum += value;
        }
        Lines {
            datagram_bytes: bytes.len() / (series / a_datagram),
            bytes,
            count: series,
            a_datagram,
            sum,
            suffix,
        }
    }
}

fn tagged_line(number: usize) -> String {
    let (dc, host) = (number % 10, number % 1000);
    format!("api.requests:1|c|#path:route{number:06},host:web{host:04},dc:d{dc}")
}

/// Three digits that look like none in particular.
fn value(number: usize) -> u64 {
    100 + (number as u64).wrapping_mul(2_654_435_761) % 900
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_length_that_the_rows_say() {
        let text = |lines: &Lines| {
            let datagram = &lines.bytes[..lines.datagram_bytes];
            String::from_utf8(datagram.to_vec()).unwrap().lines().next().unwrap().to_owned()
        };
        let (counts, timers, tagged) = (Lines::counts(100), Lines::timers(100), Lines::tagged(100));
        assert_eq!((text(&counts).as_str(), text(&counts).len()), ("web00.requests.000000:100|c", 27));
        assert_eq!((text(&timers).as_str(), text(&timers).len()), ("web00.durations.000000:100|ms", 29));
        assert_eq!(text(&tagged), "api.requests:1|c|#path:route000000,host:web0000,dc:d0");
        assert_eq!("api.requests;dc=d0;host=web0000;path=route000000".len(), 48);
        let sorted = |lines: &Lines| {
            let mut sorted: Vec<Vec<u8>> =
                lines.bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            sorted.sort();
            sorted
        };
        let mixed = Lines::tagged_mixed(100);
        assert!(mixed.bytes != tagged.bytes && sorted(&mixed) == sorted(&tagged));
        assert!((counts.datagram_bytes, counts.bytes.len()) == (50 * 28, 100 * 28) && tagged.sum == 100);
    }
}
