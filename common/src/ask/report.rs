//! What a store says of itself, as JSON objects. Fields are only ever added.

use serde::{Deserialize, Serialize};

/// The most damages a report names; the rest is counted.
pub const DAMAGES_MAX: usize = 100;

/// The answer of `stats`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Series that have a point.
    pub series: u64,
    /// Records of all kinds; one written twice may be counted twice until files are merged.
    pub points: u64,
    /// Records that are in memory and in the log only.
    pub points_in_memory: u64,
    /// The first time there is a point of, in seconds since 1970.
    pub first: Option<f64>,
    /// The last one.
    pub last: Option<f64>,
    /// Sealed files.
    pub files: u64,
    /// Bytes of sealed files.
    pub file_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of memory for records.
    pub memory_bytes: u64,
    /// Bytes of sealed files and index by sealed records.
    pub bytes_a_point: Option<f64>,
    /// Bytes that sealed files grew by a day, of late.
    pub bytes_a_day: Option<f64>,
    /// Bytes that may still be used, down to `min_free` or up to `disk_max`.
    pub room_bytes: u64,
    /// Seconds until the room is used up, as things go.
    pub full_in: Option<f64>,
    /// The limit that is reached, while nothing is written: `min_free`, `disk_max`, `head_max`.
    pub full: Option<String>,
    /// What sealing or merging failed with last.
    pub failing: Option<String>,
    /// Damages found since the start.
    pub damages: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
    /// Deletes whose space is not given back yet.
    pub deletes_open: u64,
    /// Times the index was made anew since the start.
    pub index_rebuilt: u64,
    /// The machine went down while the store ran, before its last start: records of the last second may be missing.
    pub power_cut: Option<PowerCut>,
}

/// What was durable when the machine went down.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerCut {
    /// The number of the last event that was durable, in the timeline's stream.
    pub last_number: u64,
    /// Its time, in seconds since 1970.
    pub last_time: f64,
}

/// A place that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Damage {
    /// The file's name.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// The series it holds points of, when that is known.
    pub series: Option<String>,
    /// What is wrong.
    pub what: String,
}

/// The answer of `verify`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// Files that were read.
    pub files: u64,
    /// Blocks whose checksums were compared.
    pub blocks: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Places that are wrong.
    pub damages: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
}

/// The answer of `delete`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deleted {
    /// Series.
    pub series: u64,
    /// Records of all kinds.
    pub points: u64,
    /// Nothing was taken away yet.
    pub is_dry: bool,
}

/// The answer of `snapshot`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// Where it lies.
    pub directory: String,
    /// Its files.
    pub files: u64,
    /// Their bytes; those that are linked take no room of their own.
    pub bytes: u64,
}
