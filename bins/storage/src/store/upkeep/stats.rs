//! Stats: how the store is, and how long its disk lasts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::time::Time;

use crate::store::embedded::Embedded;
use crate::store::index::Index;
use crate::store::volume::Volume;
use crate::store::{Stats, Store, lock};

impl Embedded {
    pub(in crate::store) fn stats_of(&self, now: Time) -> Stats {
        let view = self.view();
        let mut stats = Stats { damage: self.shelf.damage(), ..Stats::default() };
        let mut reach_ms = (i64::MAX, i64::MIN);
        for volume in view.volumes.iter() {
            let summary = volume.summary;
            stats.files += 1;
            stats.file_bytes += summary.bytes;
            stats.points += summary.points;
            if summary.blocks > 0 {
                reach_ms = (reach_ms.0.min(summary.first_ms), reach_ms.1.max(summary.last_ms));
            }
        }
        stats.index_bytes = view.index.bytes();
        if stats.points > 0 {
            stats.bytes_a_point = Some((stats.file_bytes + stats.index_bytes) as f64 / stats.points as f64);
        }
        for generation in &view.generations {
            let data = generation.lock();
            stats.points_in_memory += data.count;
            stats.memory_bytes += data.bytes();
            if data.count > 0 {
                reach_ms = (reach_ms.0.min(data.reach_ms.0), reach_ms.1.max(data.reach_ms.1));
            }
        }
        stats.memory_bytes += lock(&self.head).table.bytes();
        stats.points += stats.points_in_memory;
        let time = |ms: i64| Time::from_ns(ms.saturating_mul(1_000_000));
        stats.reach = (reach_ms.0 <= reach_ms.1).then(|| (time(reach_ms.0), time(reach_ms.1)));
        stats.series = view.index.series().unwrap_or(0) + self.unknown(&view.fresh, &view.index);
        stats.full = self.full();
        stats.failing = lock(&self.failing).clone();
        stats.deletes_open = view.tombstones.len() as u64;
        stats.index_rebuilt = self.index_rebuilt.load(Ordering::Relaxed);
        self.forecast(&mut stats, &view.volumes, now);
        stats
    }

    /// How many of the fresh series the index does not name yet.
    fn unknown(&self, fresh: &[u32], index: &Index) -> u64 {
        if fresh.is_empty() || index.series().is_ok_and(|series| series == 0) {
            return fresh.len() as u64;
        }
        index.unknown(&self.keys_of(fresh)).unwrap_or(0)
    }

    /// What is left of the disk, and for how long.
    fn forecast(&self, stats: &mut Stats, volumes: &[Arc<Volume>], now: Time) {
        const DAY_MS: i64 = 86_400_000;
        let free = self.shelf.files.free_bytes(&self.shelf.directory).unwrap_or(0);
        stats.room_bytes = free.saturating_sub(self.options.min_free);
        let used = stats.file_bytes + stats.index_bytes;
        if let Some(max) = self.options.disk_max {
            stats.room_bytes = stats.room_bytes.min(max.saturating_sub(used));
        }
        // What the last week takes, by the times of the records in it.
        let now_ms = now.ns().div_euclid(1_000_000);
        let of_late = volumes.iter().filter(|volume| {
            volume.summary.last_ms > now_ms - 7 * DAY_MS && volume.summary.first_ms <= now_ms
        });
        let (mut first_ms, mut last_ms, mut bytes) = (i64::MAX, i64::MIN, 0);
        for volume in of_late {
            first_ms = first_ms.min(volume.summary.first_ms);
            last_ms = last_ms.max(volume.summary.last_ms);
            bytes += volume.summary.bytes;
        }
        // A rate over less than ten minutes is none.
        if last_ms.saturating_sub(first_ms) < 600_000 {
            return;
        }
        let a_day = bytes as f64 * DAY_MS as f64 / (last_ms - first_ms) as f64;
        stats.bytes_a_day = Some(a_day);
        let most_ms = now_ms.saturating_sub(self.last_horizon_ms(now));
        let is_bounded = a_day * most_ms as f64 / DAY_MS as f64 <= (used + stats.room_bytes) as f64;
        if a_day > 0.0 && !is_bounded {
            stats.full_in = Duration::try_from_secs_f64(stats.room_bytes as f64 / a_day * 86_400.0).ok();
        }
    }
}
