//! What a figure was taken on.

use std::fs;

/// Processor, cores, memory and kernel, as far as the system says.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let of = |path: &str, word: &str| {
        let text = read(path);
        let found =
            text.lines().find_map(|line| line.strip_prefix(word)?.split_once(':').map(|(_, value)| value));
        found.unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} with {cores} cores, {} of memory, Linux {}, net.unix.max_dgram_qlen {}",
        of("/proc/cpuinfo", "model name"),
        of("/proc/meminfo", "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        read("/proc/sys/net/unix/max_dgram_qlen").trim()
    )
}

/// How many processes waited for a core over the last minute; above the number of cores figures are noise.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}
