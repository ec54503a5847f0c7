use std::collections::HashMap;

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use proptest::prelude::*;

use super::*;
use crate::series::State;

fn locate(table: &mut Table, keys: &[Vec<u8>]) -> Vec<u32> {
    let mut found = Vec::new();
    for batch in keys.chunks(BATCH) {
        let records: Vec<Metric<'_>> = batch
            .iter()
            .map(|key| Metric::new(key, Time::from_secs(0), Kind::Gauge, Value::U64(0)))
            .collect();
        let mut ids = [NONE; BATCH];
        table.locate(&records, &mut ids);
        found.extend_from_slice(&ids[..batch.len()]);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Waves of series come and go; at any time the table knows just what a plain map knows.
    #[test]
    fn a_table_is_a_map(
        waves in prop::collection::vec((0..3000_u32, 1..3000_u32, any::<bool>(), 0..40_usize), 1..12),
    ) {
        let mut table = Table::new();
        let mut model: HashMap<Vec<u8>, u32> = HashMap::new();
        let key = |n: u32, pad: usize| format!("k{n}{}", "x".repeat(pad * (n as usize % 5))).into_bytes();
        for (first, many, enter, pad) in waves {
            for n in first..first + many {
                let key = key(n, pad);
                match (enter, model.get(&key)) {
                    (true, None) => {
                        let emitted = [&key, &b";t=1"[..n as usize % 2 * 4]].concat();
                        let series = Series { state: State::new(Kind::Gauge), part: n, ..Series::default() };
                        let id = table.insert(&key, &emitted, true, series);
                        model.insert(key, id);
                    }
                    (false, Some(&id)) => {
                        prop_assert_eq!(table.remove(id).part, n);
                        model.remove(&key);
                    }
                    _ => {}
                }
            }
            let mut keys: Vec<Vec<u8>> = model.keys().cloned().collect();
            keys.extend((0..100).map(|n| key(n, 3)));
            let mut not_located = 0;
            for (key, id) in keys.iter().zip(locate(&mut table, &keys)) {
                let want = model.get(key).copied();
                prop_assert_eq!(table.find(Class::Plain, key), want);
                // Of two hashes that are alike in what the index keeps of them, one takes a search.
                prop_assert!(id == NONE || Some(id) == want, "{} is not {:?}", id, want);
                not_located += u32::from(id == NONE && want.is_some());
                if let Some(series) = want.and_then(|id| table.series.get(id)) {
                    let emitted = table.emitted(series.text).to_vec();
                    prop_assert_eq!(table.find(Class::Plain, &emitted), want);
                }
            }
            prop_assert!(not_located <= 2, "{} are not located", not_located);
        }
    }
}

#[test]
fn records_in_the_order_of_their_series_are_followed() {
    let mut table = Table::new();
    let key = |n: u32| format!("k{n:03}").into_bytes();
    let enter = |table: &mut Table, key: &[u8], kind: Kind| {
        table.insert(key, key, true, Series { state: State::new(kind), ..Series::default() })
    };
    let ids: Vec<u32> = (0..100).map(|n| enter(&mut table, &key(n), Kind::Gauge)).collect();
    let all: Vec<Vec<u8>> = (0..100).map(key).collect();
    let followed = |table: &Table, keys: &[Vec<u8>]| {
        let gauge = |key| Metric::new(key, Time::from_secs(0), Kind::Gauge, Value::U64(0));
        let records: Vec<Metric<'_>> = keys.iter().map(|key| gauge(key.as_slice())).collect();
        table.follow(&records, &mut [NONE; BATCH])
    };
    // In one order, in another one, and one by one.
    assert_eq!((locate(&mut table, &all), table.next, table.in_order), (ids.clone(), 100, true));
    assert_eq!(locate(&mut table, &[&all[5..9], &all[3..4]].concat()), [&ids[5..9], &ids[3..4]].concat());
    assert_eq!((table.next, table.in_order), (4, false));
    assert_eq!((locate(&mut table, &all[4..5]), table.next, table.in_order), (ids[4..5].to_vec(), 5, true));
    for (keys, want) in [
        (&all[10..40], 30),
        (&[&all[10..20], &all[21..30]].concat()[..], 10),
        (&all[11..20], 0),
        (&[b"k0100".to_vec()], 0),
        // Nobody's key.
        (&[Vec::new()], 0),
    ] {
        assert_eq!(locate(&mut table, &all[9..10]), [ids[9]]);
        assert_eq!(followed(&table, keys), want, "{keys:?}");
    }
    // A place whose series went, and one that another class has now.
    table.remove(ids[12]);
    locate(&mut table, &all[8..10]);
    assert_eq!(followed(&table, &all[10..20]), 2);
    assert_eq!(followed(&table, &[all[10].clone(), all[11].clone(), Vec::new()]), 2);
    assert_eq!(enter(&mut table, &all[12], Kind::Sample), ids[12]);
    assert_eq!(followed(&table, &all[10..20]), 2);
    let want: Vec<u32> = (10..20).map(|n| if n == 12 { NONE } else { ids[n] }).collect();
    assert!(table.in_order);
    assert_eq!(locate(&mut table, &all[10..20]), want);
    // Behind the last one there is nothing.
    locate(&mut table, &all[98..100]);
    assert_eq!((table.in_order, followed(&table, &all[..BATCH])), (true, 0));
}
