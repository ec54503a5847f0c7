use proptest::prelude::*;

use super::*;

/// Numbers that are the same in every run.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The block's bytes, after they were seen to come back.
fn through(times: &[i64], values: &[f64]) -> Vec<u8> {
    let mut block = Vec::new();
    encode(times, values, &mut block);
    let (mut got_times, mut got_values) = (vec![7], vec![7.0]);
    decode(&block, &mut got_times, &mut got_values)
        .unwrap_or_else(|err| panic!("{err}: {times:?} {values:?}"));
    assert_eq!(got_times[1..], *times, "{values:?}");
    assert_eq!(bits(&got_values[1..]), bits(values), "{values:?}");
    block
}

/// Every 10 s, a millisecond early or late.
fn times(count: usize) -> Vec<i64> {
    let mut random = random(3);
    (0..count as i64).map(|at| 1_700_000_000_000 + at * 10_000 + (random() % 3) as i64 - 1).collect()
}

#[test]
fn ordinary_series_take_few_bytes() {
    let count = 100;
    let mut random = random(1);
    let mut draw = |below: u64| (random() % below) as i64;
    let mut level = 4_000;
    let mut wander = || {
        level += (0..44).map(|_| draw(2)).sum::<i64>() - 22;
        level as f64 / 100.0
    };
    let wandering: Vec<f64> = (0..count).map(|_| wander()).collect();
    let exact: Vec<i64> = (0..count as i64).map(|at| 1_700_000_000_000 + at * 10_000).collect();
    let jitter = times(count);
    let of = |value: &mut dyn FnMut(usize) -> f64| (0..count).map(value).collect::<Vec<f64>>();
    for (name, times, values, most) in [
        ("constant", &exact, vec![42.5; count], 24),
        ("constant, jitter", &jitter, vec![42.5; count], 42),
        ("wandering, normal steps of 3.3 hundredths", &jitter, wandering, 92),
        ("anything from 40.00 to 60.00", &jitter, of(&mut |_| (4_000 + draw(2_001)) as f64 / 100.0), 182),
        ("a counter", &exact, of(&mut |at| at as f64 * 4096.0 + 1e9), 30),
        ("pages of memory", &exact, of(&mut |_| (1 << 30) as f64 + draw(200) as f64 * 4096.0), 126),
        ("mostly zero", &exact, of(&mut |at| if at % 23 == 5 { 17.0 } else { 0.0 }), 50),
        ("0 and 1", &exact, of(&mut |_| draw(2) as f64), 40),
        ("gaps among decimals", &exact, of(&mut |at| if at == 50 { f64::NAN } else { at as f64 / 4.0 }), 44),
        ("any fraction from 0 to 1", &exact, of(&mut |_| draw(1 << 53) as f64 / (1_u64 << 53) as f64), 730),
        ("rates of a counter", &jitter, of(&mut |_| (1000 + draw(50)) as f64 / 10.001), 700),
    ] {
        let block = through(times, &values);
        println!("{name}: {} bytes", block.len());
        assert!(block.len() <= most, "{name}: {} bytes", block.len());
    }
}

#[test]
fn values_of_every_kind_come_back_bit_for_bit() {
    let kinds = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        0.1 + 0.2,
        1e15,
        1e16,
        2_251_799_813_685_247.0,
        2_251_799_813_685_248.0,
        9_007_199_254_740_993.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::from_bits(0xffff_ffff_ffff_ffff),
        f64::EPSILON,
        std::f64::consts::PI,
    ];
    let line = |count: usize| (0..count as i64).collect::<Vec<i64>>();
    for one in kinds {
        through(&[5], &[one]);
        for other in kinds {
            through(&[5, 5], &[one, other]);
            // Alone among decimals, and decimals alone among it.
            let mut values = vec![12.25; 40];
            values[17] = one;
            values[39] = other;
            through(&line(40), &values);
            let mut values = vec![one; 30];
            values[7] = other;
            through(&line(30), &values);
        }
    }
    through(&line(kinds.len()), &kinds);
}

#[test]
fn values_without_a_scale_in_common_come_back() {
    for (large, small) in
        [(2e12, 0.0001), (1e15, 0.5), (123_456_789_012.0, 1e-6), (2_251_799_813_685_247.0, 0.1)]
    {
        for places in [1, 3, 9] {
            let values: Vec<f64> = (0..40).map(|at| if at % places == 0 { large } else { small }).collect();
            through(&(0..40).collect::<Vec<i64>>(), &values);
            through(&(0..40).collect::<Vec<i64>>(), &values.iter().rev().copied().collect::<Vec<f64>>());
        }
        for place in [7, 38, 39] {
            let alone: Vec<f64> = (0..40).map(|at| if at == place { small } else { large }).collect();
            through(&(0..40).collect::<Vec<i64>>(), &alone);
        }
    }
}

#[test]
fn times_of_every_kind_come_back() {
    for times in [
        vec![i64::MIN, i64::MAX],
        vec![i64::MIN, -1, 0, i64::MAX],
        vec![0, 0, 0, 1],
        vec![-5, -4, -3, -2, 1_000_000_000_000],
        (0..1000).map(|at| at * at * at).collect(),
        (0..100).map(|at| if at < 50 { at } else { at + 1_000_000 }).collect(),
    ] {
        through(&times, &vec![1.5; times.len()]);
    }
}

#[test]
fn the_largest_block_comes_back() {
    let times = times(POINTS_MAX);
    let mut random = random(9);
    let values: Vec<f64> = times.iter().map(|_| f64::from_bits(random())).collect();
    let block = through(&times, &values);
    assert!(block.len() < POINTS_MAX * 9);
    through(&times, &vec![-7.25; POINTS_MAX]);
}

/// Of each coding and forecast a block.
fn examples() -> Vec<Vec<u8>> {
    let mut random = random(5);
    let mut draw = |below: u64| (random() % below) as i64;
    let values: [Vec<f64>; 8] = [
        vec![3.0],
        vec![42.5; 40],
        (0..40).map(|_| draw(1000) as f64 / 100.0).collect(),
        (0..60)
            .map(|_| ((0..20).map(|_| draw(2)).sum::<i64>() + if draw(30) == 0 { 5000 } else { 0 }) as f64)
            .collect(),
        (0..30).map(|at| (at * at) as f64 * 4096.0).collect(),
        (0..20).map(|_| draw(1 << 53) as f64 / (1_u64 << 53) as f64).collect(),
        (0..33).map(|at| if at % 16 == 7 { f64::NAN } else { draw(100_000_000) as f64 }).collect(),
        (0..50).map(|at| if at % 20 == 7 { 1e9 } else { 0.0 }).collect(),
    ];
    values.iter().map(|values| through(&times(values.len()), values)).collect()
}

#[test]
fn a_block_that_is_cut_or_flipped_anywhere_is_an_error_or_has_other_points() {
    for block in examples() {
        for cut in 0..block.len() {
            let (mut times, mut values) = (vec![1, 2], vec![1.0]);
            match decode(&block[..cut], &mut times, &mut values) {
                Err(_) => assert_eq!((times.len(), values.len()), (2, 1)),
                // What is left of the symbols may be symbols: the checksum is the sealed file's.
                Ok(()) => assert_eq!(times.len(), values.len() + 1),
            }
        }
        for at in 0..block.len() {
            for flip in 1..=255 {
                let mut bytes = block.clone();
                bytes[at] ^= flip;
                let (mut times, mut values) = (Vec::new(), Vec::new());
                if decode(&bytes, &mut times, &mut values).is_ok() {
                    assert!(times.len() == values.len() && times.len() <= POINTS_MAX);
                } else {
                    assert!(times.is_empty() && values.is_empty());
                }
            }
        }
    }
}

#[test]
fn records_come_back_and_none_that_is_cut_does() {
    let mut block = Vec::new();
    let times = [5, 5, 1000, 1_700_000_000_000];
    let records = [&b"{}"[..], b"", &[0xff; 300], b"last"];
    encode_records(&times, &records, &mut block);
    let (mut got_times, mut got) = (Vec::new(), Vec::new());
    decode_records(&block, &mut got_times, &mut got).unwrap();
    assert_eq!((&got_times[..], &got[..]), (&times[..], &records[..]));
    for cut in 0..block.len() {
        assert!(decode_records(&block[..cut], &mut got_times, &mut got).is_err(), "{cut}");
        assert_eq!((got_times.len(), got.len()), (4, 4));
    }
    block.push(0);
    assert_eq!(decode_records(&block, &mut Vec::new(), &mut Vec::new()), Err(BlockError::Damaged("end")));
}

/// Values as they are read somewhere, and any.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        (-100_000_i64..100_000, 0_i32..4).prop_map(|(integer, scale)| integer as f64 / 10_f64.powi(scale)),
        (-50_i64..50).prop_map(|integer| integer as f64),
        // Large ones and small fractions have no scale in common.
        (any::<i32>(), 0_i32..16).prop_map(|(integer, scale)| f64::from(integer) / 10_f64.powi(scale)),
        (0_u32..64, any::<u32>()).prop_map(|(shift, integer)| f64::from(integer) * 2_f64.powi(shift as i32)),
        any::<u64>().prop_map(f64::from_bits),
        any::<f64>(),
        Just(0.0),
        Just(f64::NAN),
    ]
}

proptest! {
    #[test]
    fn decode_undoes_encode(
        first in any::<i64>(),
        gaps in proptest::collection::vec(prop_oneof![Just(10_000_u64), 9_998_u64..10_003, any::<u64>()], 0..80),
        pool in proptest::collection::vec(value(), 1..12),
        picks in proptest::collection::vec(any::<usize>(), 80),
    ) {
        let mut times = vec![first];
        for gap in gaps {
            let last = times[times.len() - 1];
            times.push(last.saturating_add_unsigned(gap));
        }
        // Of few kinds of values, so that several often agree.
        let values: Vec<f64> = times.iter().zip(picks).map(|(_, pick)| pool[pick % pool.len()]).collect();
        through(&times, &values);
    }

    #[test]
    fn decode_takes_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes, &mut Vec::new(), &mut Vec::new());
        let _ = decode_records(&bytes, &mut Vec::new(), &mut Vec::new());
        // Behind a sound head more is reached.
        let mut behind = 5_i64.to_le_bytes().to_vec();
        behind.extend_from_slice(&[(bytes.len() as u8).max(1), 0]);
        behind.extend_from_slice(&bytes);
        let _ = decode(&behind, &mut Vec::new(), &mut Vec::new());
        let _ = decode_records(&behind, &mut Vec::new(), &mut Vec::new());
    }
}
