//! What holds of every state, and how near the numbers are.

use proptest::prelude::*;

use super::*;
use crate::metric::{State, Weight};

fn quantile(text: &str) -> Quantile {
    text.parse().expect("it is one")
}

fn bytes_of(sketch: &Sketch) -> Vec<u8> {
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    assert!(bytes.len() <= State::BYTES_MAX);
    bytes
}

fn samples(values: &[(f64, u64)]) -> Samples {
    let mut samples = Samples::new();
    for &(value, billionths) in values {
        samples
            .add(value, Weight::of_billionths(billionths).expect("it is one"))
            .expect("it is not too much");
    }
    samples
}

fn members(hashes: &[u64]) -> Members {
    let mut members = Members::new();
    hashes.iter().for_each(|&hash| members.add(hash));
    members
}

/// Of sorted values with their weights: the least one that so much of the weight is not above.
fn nearest_rank(sorted: &[(f64, u64)], millionths: u128) -> f64 {
    let all: u128 = sorted.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let mut below = 0;
    let found = sorted.iter().find(|(_, weight)| {
        below += u128::from(*weight);
        below * 1_000_000 >= all * millionths
    });
    found.expect("the last one reaches all").0
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        -1e3..1e3_f64,
        (-20..20_i32).prop_map(f64::from),
        (-300..300_i32, 1.0..10.0_f64).prop_map(|(power, value)| value * 10_f64.powi(power)),
        Just(0.0),
    ]
}

fn any_samples() -> impl Strategy<Value = Vec<(f64, u64)>> {
    let weight = prop_oneof![4 => Just(Weight::UNITS), 1 => Just(3_333_333_333), 1 => 1..1_u64 << 40];
    prop::collection::vec((any_value(), weight), 0..200)
}

/// Some of a few hundred members, so that sets overlap, or more than are kept as they are.
fn any_members() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![3 => prop::collection::vec(0..400_u64, 0..300), 1 => prop::collection::vec(0..4000_u64, 900..1400)]
        .prop_map(|members| members.iter().map(|member| members::hash(&member.to_le_bytes())).collect())
}

fn any_sketches() -> impl Strategy<Value = [Sketch; 3]> {
    prop_oneof![
        any::<[i64; 3]>().prop_map(|sums| sums.map(|sum| Sketch::Sum(Amount::of_billionths(sum.into())))),
        [any_samples(), any_samples(), any_samples()]
            .prop_map(|each| each.map(|values| Sketch::Samples(samples(&values)))),
        [any_members(), any_members(), any_members()]
            .prop_map(|each| each.map(|hashes| Sketch::Members(members(&hashes)))),
    ]
}

fn merged(one: &Sketch, other: &Sketch) -> Sketch {
    let bytes = merge(one.kind(), &bytes_of(one), &bytes_of(other)).expect("they are states");
    Sketch::decode(one.kind(), &bytes).expect("it is a state")
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()) || !(one - other).is_finite()
}

proptest! {
    #[test]
    fn merging_is_commutative_and_associative([a, b, c] in any_sketches()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &Sketch::decode(a.kind(), &nothing(a.kind())).unwrap()), &a);
        let mut mixed = Sketch::Sum(Amount::default());
        let want = if a.kind() == SUM { Ok(()) } else { Err(StateError::Mixed(SUM, a.kind())) };
        prop_assert_eq!(mixed.merge(&a), want);
    }

    #[test]
    fn merged_is_as_if_one_had_seen_all(one in any_samples(), other in any_samples()) {
        let all = samples(&[one.clone(), other.clone()].concat());
        let Sketch::Samples(merged) = merged(&Sketch::Samples(samples(&one)), &Sketch::Samples(samples(&other))) else {
            panic!("samples are samples");
        };
        prop_assert_eq!(&merged, &all);
        prop_assert!(near(merged.count(), all.count()));
    }

    #[test]
    fn decode_undoes_encode([a, ..] in any_sketches()) {
        let bytes = bytes_of(&a);
        let again = Sketch::decode(a.kind(), &bytes).unwrap();
        prop_assert_eq!(&again, &a);
        prop_assert_eq!(bytes_of(&again), bytes);
    }

    #[test]
    fn decode_takes_any_bytes(kind in 0..5_u8, form in 0..4_u8, mut bytes: Vec<u8>, versioned: bool) {
        if versioned && bytes.len() > 1 {
            (bytes[0], bytes[1]) = (VERSION, form);
        }
        if let Ok(sketch) = Sketch::decode(kind, &bytes) {
            prop_assert_eq!(Sketch::decode(kind, &bytes_of(&sketch)), Ok(sketch));
        }
    }

    #[test]
    fn a_damaged_state_is_refused_or_another(
        [a, ..] in any_sketches(), place: prop::sample::Index, bit in 0..8_u32, cut: prop::sample::Index,
    ) {
        let mut bytes = bytes_of(&a);
        let whole = bytes.len();
        prop_assert!(Sketch::decode(a.kind(), &bytes[..cut.index(whole)]).is_err());
        bytes[place.index(whole)] ^= 1 << bit;
        if let Ok(mut sketch) = Sketch::decode(a.kind(), &bytes) {
            if let Sketch::Samples(samples) = &mut sketch {
                let (min, max) = (samples.min(), samples.max());
                let median = samples.quantile(quantile("p50"));
                prop_assert!(median >= min && median <= max);
            }
            prop_assert_eq!(Sketch::decode(a.kind(), &bytes_of(&sketch)), Ok(sketch));
        }
        bytes.push(0);
        prop_assert!(Sketch::decode(a.kind(), &bytes).is_err());
    }

    #[test]
    fn a_quantile_is_the_weighted_nearest_rank(values in any_samples(), millionths in 0..=1_000_000_u32) {
        prop_assume!(!values.is_empty());
        let mut sketch = samples(&values);
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let text = format!("p{}_{:04}", millionths / 10_000, millionths % 10_000);
        let got = sketch.quantile(quantile(&text)).unwrap();
        let want = nearest_rank(&sorted, millionths.into());
        if sketch.is_exact() {
            prop_assert_eq!(got, want + 0.0);
        } else if !sketch.is_collapsed() {
            prop_assert!((got - want).abs() <= 0.01 * want.abs(), "{} {}", got, want);
        }
    }
}

/// The bytes of nothing.
fn nothing(kind: u8) -> Vec<u8> {
    bytes_of(&match kind {
        SUM => Sketch::Sum(Amount::default()),
        SAMPLES => Sketch::Samples(Samples::new()),
        _ => Sketch::Members(Members::new()),
    })
}

#[test]
fn numbers_of_few_samples_are_exact() {
    let mut few = samples(
        &[(1.0, 1), (2.0, 1), (7.0, 1), (8.0, 1), (100.0, 1)].map(|(value, n)| (value, n * 1_000_000_000)),
    );
    for (text, want) in
        [("p0", 1.0), ("p50", 7.0), ("p75", 8.0), ("p90", 100.0), ("p99", 100.0), ("p100", 100.0)]
    {
        assert_eq!(few.quantile(quantile(text)), Some(want), "{text}");
    }
    assert_eq!((few.count(), few.sum(), few.min(), few.max()), (5.0, 118.0, Some(1.0), Some(100.0)));
    assert_eq!(few.mean(), Some(23.6));
    assert!(near(few.hmean().unwrap(), 5.0 / (1.0 + 0.5 + 1.0 / 7.0 + 0.125 + 0.01)));
    assert!(near(few.stddev().unwrap(), 1466.64_f64.sqrt()));
    let mut counts = Vec::new();
    few.up_to(&[0.0, 1.0, 7.5, 100.0, 1e9], |count| counts.push(count));
    assert_eq!(counts, [0.0, 1.0, 3.0, 5.0, 5.0]);

    // Weights: three of one and one of nine.
    let mut weighted = samples(&[(9.0, 1_000_000_000), (1.0, 3_000_000_000)]);
    assert_eq!(
        (weighted.quantile(quantile("p75")), weighted.quantile(quantile("p76"))),
        (Some(1.0), Some(9.0))
    );
    assert_eq!((weighted.count(), weighted.sum(), weighted.mean()), (4.0, 12.0, Some(3.0)));

    // A sum of 0 hides nothing; a value that is not above 0 has no harmonic mean.
    let mut both = samples(&[(-5.0, 1_000_000_000), (5.0, 1_000_000_000)]);
    assert_eq!((both.sum(), both.mean(), both.hmean()), (0.0, Some(0.0), None));
    assert_eq!(both.quantile(quantile("p50")), Some(-5.0));

    let mut none = Samples::new();
    assert_eq!(
        (none.quantile(quantile("p50")), none.mean(), none.min(), none.count()),
        (None, None, None, 0.0)
    );
}

#[test]
fn what_is_too_much_is_refused() {
    let mut samples = Samples::new();
    let most = Weight::of_billionths(i64::MAX as u64).unwrap();
    assert_eq!(
        (samples.add(1.0, most), samples.add(1.0, most), samples.add(1.0, most)),
        (Ok(()), Ok(()), Err(samples::TooMuch))
    );
    // Nor are the sums ever infinite.
    let mut samples = Samples::new();
    for value in [f64::MAX, f64::MAX, f64::MIN, f64::MIN_POSITIVE] {
        samples.add(value, Weight::ONE).unwrap();
    }
    assert_eq!((samples.max(), samples.min()), (Some(f64::MAX), Some(f64::MIN)));
    assert!(samples.sum().is_finite() && samples.stddev().is_some_and(f64::is_finite));
    let mut bytes = Vec::new();
    samples.encode(&mut bytes);
    assert_eq!(Samples::decode(&bytes), Ok(samples));
}

#[test]
fn the_lowest_bins_are_one_where_they_are_too_many() {
    let mut wide = Samples::new();
    for power in -20..20 {
        for step in 0..10 {
            wide.add((1.0 + f64::from(step)) * 10_f64.powi(power), Weight::ONE).unwrap();
        }
    }
    assert!(wide.is_collapsed());
    let mut bytes = Vec::new();
    wide.encode(&mut bytes);
    let mut again = Samples::decode(&bytes).unwrap();
    assert!(again.is_collapsed());
    // Twelve decades down from 2e20 nothing is lost.
    for (text, want) in [("p100", 1e20), ("p95", 1e18), ("p75", 1e10)] {
        let got = again.quantile(quantile(text)).unwrap();
        assert!((got / want - 1.0).abs() <= 0.01, "{text} {got}");
    }
    assert!(again.quantile(quantile("p10")).unwrap() > 1e7);
}

/// What two numbers drawn evenly from 0 to 1 become.
type Distribution = (&'static str, fn(f64, f64) -> f64);

const DISTRIBUTIONS: [Distribution; 10] = [
    ("uniform", |u, _| 1000.0 * u),
    ("constant", |_, _| 42.5),
    ("lognormal", |u, v| {
        (3.0 + 1.5 * (-2.0 * u.max(1e-300).ln()).sqrt() * (std::f64::consts::TAU * v).cos()).exp()
    }),
    ("exponential", |u, _| -(1.0 - u).max(1e-300).ln() * 0.02),
    ("bimodal", |u, v| if v < 0.9 { 1.0 + u } else { 900.0 + 200.0 * u }),
    ("heavy tail", |u, _| (1.0 - u).max(1e-12).powf(-1.0 / 1.2)),
    ("six decades", |u, _| 1e-3 * 10_f64.powf(6.0 * u)),
    ("around zero", |u, v| (u - 0.5) * 10_f64.powf(3.0 * v)),
    ("mostly zero", |u, v| if u < 0.7 { 0.0 } else { v }),
    ("integers", |u, _| (u * 40.0).floor()),
];

/// A number from 0 to 1, and the next seed (splitmix64).
fn drawn(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[test]
fn every_quantile_of_a_million_is_within_one_percent_merged_or_not() {
    const VALUES: usize = 1_000_000;
    // The rates a client may have, mixed or not.
    let rates = [Weight::ONE, Weight::of_rate(0.1).unwrap(), Weight::of_rate(0.3).unwrap()];
    for (place, (name, distribution)) in DISTRIBUTIONS.into_iter().enumerate() {
        let mut seed = 1000 + place as u64;
        let mut whole = Samples::new();
        let mut parts = vec![Samples::new(); 100];
        let mut exact = Vec::with_capacity(VALUES);
        for number in 0..VALUES {
            let value = distribution(drawn(&mut seed), drawn(&mut seed));
            let weight = if place % 2 == 0 { Weight::ONE } else { rates[(drawn(&mut seed) * 3.0) as usize] };
            whole.add(value, weight).unwrap();
            parts[number % 100].add(value, weight).unwrap();
            exact.push((value, weight.billionths()));
        }
        exact.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut merged = Samples::new();
        for part in &parts {
            let mut bytes = Vec::new();
            part.encode(&mut bytes);
            merged.merge(&Samples::decode(&bytes).unwrap());
        }
        assert_eq!(merged, whole, "{name}");
        assert!(!whole.is_collapsed(), "{name}");
        for (text, millionths) in [
            ("p0", 0),
            ("p1", 10_000),
            ("p10", 100_000),
            ("p25", 250_000),
            ("p50", 500_000),
            ("p75", 750_000),
            ("p90", 900_000),
            ("p95", 950_000),
            ("p99", 990_000),
            ("p99_9", 999_000),
            ("p99_99", 999_900),
            ("p100", 1_000_000),
        ] {
            let want = nearest_rank(&exact, millionths);
            for sketch in [&mut whole, &mut merged] {
                let got = sketch.quantile(quantile(text)).unwrap();
                assert!((got - want).abs() <= 0.01 * want.abs(), "{name} {text}: {got}, exactly {want}");
            }
        }
        let sum: f64 = exact.iter().map(|(value, weight)| value * *weight as f64 / 1e9).sum();
        assert!(
            (merged.sum() - sum).abs()
                <= 1e-6 * exact.iter().map(|(value, weight)| value.abs() * *weight as f64 / 1e9).sum::<f64>()
        );
        let mut bytes = Vec::new();
        whole.encode(&mut bytes);
        println!("{name}: {} bytes, {} of memory", bytes.len(), whole.memory());
        let decades = (exact[VALUES - 1].0 / exact[0].0).log10();
        let is_narrow = exact[0].0 > 0.0 && decades <= 6.0;
        assert!(bytes.len() <= if is_narrow { 4096 } else { 12_288 }, "{name}: {} bytes", bytes.len());
    }
}

#[test]
fn six_decades_fit_four_kib_whatever_the_rates() {
    const VALUES: usize = 1_000_000;
    let rates = [1.0, 0.1, 0.3, 0.7, 1.0 / 7.0].map(|rate| Weight::of_rate(rate).unwrap());
    let (least, greatest) = (1e-3_f64, 1e3_f64);
    for (name, values, weights, bytes_max) in [
        ("rates that share no unit", VALUES, &rates[..], 4096),
        ("a rate", VALUES, &rates[2..3], 4096),
        ("no rate", VALUES, &rates[..1], 2048),
        ("as many readings as a bin of 4 KiB holds", VALUES, &[weight(10_000_000_000)], 4096),
        ("all the readings that a window takes", VALUES, &[weight(18_446_744_073_709)], 5632),
    ] {
        let mut seed = 7;
        let mut samples = Samples::new();
        for number in 0..values {
            let value = match number {
                0 => least,
                1 => greatest,
                _ => least * (greatest / least).powf(drawn(&mut seed)),
            };
            let mut billionths = weights[(drawn(&mut seed) * weights.len() as f64) as usize].billionths();
            // Where there is but one large one, they are not all its multiples.
            billionths -= u64::from(weights.len() == 1 && billionths >= 10_000_000_000) * (number as u64 % 3);
            samples.add(value, weight(billionths)).unwrap();
        }
        let mut bytes = Vec::new();
        samples.encode(&mut bytes);
        println!("{name}: {} bytes", bytes.len());
        assert!(bytes.len() <= bytes_max, "{name}: {} bytes", bytes.len());
        assert_eq!(Samples::decode(&bytes).as_ref(), Ok(&samples));
    }
}

fn weight(billionths: u64) -> Weight {
    Weight::of_billionths(billionths).unwrap()
}

#[test]
fn a_thousand_members_are_exact_and_more_are_within_three_percent() {
    // How many members, and of how many seeds.
    let steps = [(1_000_u64, 100), (2_000, 100), (5_000, 100), (10_000, 100), (40_000, 100), (1_000_000, 2)];
    let mut squares = [0.0; 6];
    let mut worst: f64 = 0.0;
    for seed in 0..100_u64 {
        let mut set = Members::new();
        let mut number = 0_u64;
        for (step, (members, seeds)) in steps.into_iter().enumerate() {
            if seed >= seeds {
                break;
            }
            while number < members {
                let mut member = [0; 16];
                member[..8].copy_from_slice(&seed.to_le_bytes());
                member[8..].copy_from_slice(&number.to_le_bytes());
                set.add(members::hash(&member));
                number += 1;
            }
            let error = set.unique() / members as f64 - 1.0;
            squares[step] += error * error / seeds as f64;
            worst = worst.max(error.abs());
            assert!(members > 1_000 || error == 0.0, "seed {seed}: {error} of a thousand");
            assert!(error.abs() <= 0.03, "seed {seed}: {error} of {members}");
        }
    }
    let rms = squares.map(f64::sqrt);
    println!("rms {rms:?}, worst {worst}");
    assert!(rms[..5].iter().all(|rms| *rms <= 0.01), "{rms:?}");
}

#[test]
fn the_hash_of_a_member_never_changes() {
    // Of XXH3's own test vectors.
    assert_eq!(members::hash(b""), 0x2D06_8005_38D3_94C2);
    assert_eq!(members::hash(b"bob"), members::hash(b"bob"));
}
