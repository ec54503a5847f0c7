use std::collections::HashMap;

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use proptest::prelude::*;

use super::*;
use crate::series::State;

fn locate(table: &Table, keys: &[Vec<u8>]) -> Vec<u32> {
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
            for (key, id) in keys.iter().zip(locate(&table, &keys)) {
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
