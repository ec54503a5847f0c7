//! What a store says of itself, as it is sent.

use std::sync::atomic::Ordering::Relaxed;

use common::ask::report::{self, DAMAGES_MAX};

use super::Desk;
use crate::store::{Damage, Stats, Verified};

pub(super) fn stats(stats: Stats, desk: &Desk) -> report::Stats {
    report::Stats {
        series: stats.series,
        points: stats.points,
        points_in_memory: stats.points_in_memory,
        first: stats.reach.map(|(first, _)| first.as_secs_f64()),
        last: stats.reach.map(|(_, last)| last.as_secs_f64()),
        files: stats.files,
        file_bytes: stats.file_bytes,
        index_bytes: stats.index_bytes,
        log_bytes: desk.log_bytes.load(Relaxed),
        memory_bytes: stats.memory_bytes,
        bytes_a_point: stats.bytes_a_point,
        bytes_a_day: stats.bytes_a_day,
        room_bytes: stats.room_bytes,
        full_in: stats.full_in.map(|full_in| full_in.as_secs_f64()),
        full: stats.full.map(|full| full.word().to_owned()),
        failing: stats.failing.map(|(what, since)| format!("{what} (since {since})")),
        damages: stats.damage.len() as u64,
        damage: damage(&stats.damage),
        deletes_open: stats.deletes_open,
        index_rebuilt: stats.index_rebuilt,
        power_cut: desk.power_cut,
    }
}

pub(super) fn verified(verified: Verified) -> report::Verified {
    report::Verified {
        files: verified.files,
        blocks: verified.blocks,
        bytes: verified.bytes,
        damages: verified.damage.len() as u64,
        damage: damage(&verified.damage),
    }
}

/// The first ones: an object has to fit into a frame.
fn damage(all: &[Damage]) -> Vec<report::Damage> {
    let mut room = 48 * 1024_usize;
    let told = all.iter().take(DAMAGES_MAX).map(|damage| report::Damage {
        file: damage.file.clone(),
        offset: damage.offset,
        series: damage.series.as_ref().map(|series| String::from_utf8_lossy(series).into_owned()),
        what: damage.what.clone(),
    });
    told.take_while(|damage| {
        // Escaped, a byte takes up to six.
        let bytes =
            100 + damage.file.len() + (damage.series.as_ref().map_or(0, String::len) + damage.what.len()) * 6;
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    })
    .collect()
}
