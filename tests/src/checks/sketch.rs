//! States: what they hold, and how they merge.

use common::metric::State;
use common::sketch::{Quantile, Sketch, merge};

/// States: any bytes are one or are refused; what is read is written as the same; two of a kind merge in either order,
/// with nothing, and a third time; and the numbers of samples lie between their ends. The first byte is the kind, the
/// next two say where the second state begins.
pub fn sketch(bytes: &[u8]) {
    let Some(([kind, low, high], rest)) = bytes.split_first_chunk() else { return };
    let (kind, length) = (*kind, usize::from(u16::from_le_bytes([*low, *high])));
    let (one, other) = rest.split_at(length.min(rest.len()));
    let (Some(one), Some(other)) = (read(kind, one), read(kind, other)) else { return };
    let merged = merge(kind, &one, &other).expect("both are states of a kind");
    let again = merge(kind, &other, &one).expect("both are states of a kind");
    let (merged, again) = (Sketch::decode(kind, &merged), Sketch::decode(kind, &again));
    assert_eq!(merged, again, "the order of merging matters");
    let merged = merged.expect("what was merged is a state");
    let mut thrice = merged.clone();
    assert_eq!(thrice.merge(&merged), Ok(()));
    numbers(thrice);
}

/// The bytes of a state as they are written again.
fn read(kind: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    let sketch = Sketch::decode(kind, bytes).ok()?;
    let mut written = Vec::new();
    sketch.encode(&mut written);
    assert!(written.len() <= State::BYTES_MAX, "a state that is too long");
    assert_eq!(Sketch::decode(kind, &written).as_ref(), Ok(&sketch), "it is written as another");
    numbers(sketch);
    Some(written)
}

fn numbers(sketch: Sketch) {
    match sketch {
        Sketch::Sum(sum) => assert!(sum.as_f64().is_finite()),
        Sketch::Members(members) => {
            assert!(members.unique().is_finite());
            assert_eq!(members.is_empty(), members.is_exact() && members.unique() == 0.0);
        }
        Sketch::Samples(mut samples) => {
            let (Some(min), Some(max)) = (samples.min(), samples.max()) else {
                assert_eq!(samples.count(), 0.0);
                return;
            };
            let quantiles = ["p0", "p1", "p50", "p99_9", "p100"].map(|text| text.parse::<Quantile>());
            let quantiles: Vec<Quantile> = quantiles.into_iter().flatten().collect();
            let mut found = Vec::new();
            samples.quantiles(&quantiles, |value| found.push(value));
            assert_eq!(found.len(), quantiles.len());
            assert!(found.iter().all(|value| (min..=max).contains(value)), "{found:?} of {min} to {max}");
            assert!(found.is_sorted(), "{found:?}");
            let means = [samples.mean(), samples.hmean(), samples.stddev()];
            assert!(means.into_iter().flatten().all(f64::is_finite));
            let mut counts = Vec::new();
            samples.up_to(&[-1.0, 0.0, 1.0, f64::MAX], |count| counts.push(count));
            assert!(counts.is_sorted() && counts.iter().all(|count| *count <= samples.count()), "{counts:?}");
        }
    }
}
