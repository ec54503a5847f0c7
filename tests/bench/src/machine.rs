//! What the figures were taken on.

use crate::child::read_proc;

/// Processor, cores and kernel, as far as the system says.
pub(crate) fn machine() -> String {
    let of = |path: &str, word: &str| {
        let text = read_proc(path).unwrap_or_default();
        let found =
            text.lines().find_map(|line| line.strip_prefix(word)?.split_once(':').map(|(_, value)| value));
        found.unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read_proc("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = of("/proc/meminfo", "MemTotal");
    let queue = read_proc("/proc/sys/net/unix/max_dgram_qlen").unwrap_or_default();
    format!(
        "{} with {cores} cores, {memory} of memory, Linux {}, net.unix.max_dgram_qlen {}",
        of("/proc/cpuinfo", "model name"),
        kernel.trim(),
        queue.trim()
    )
}

/// How many processes waited for a core over the last minute; above the number of cores figures are noise.
pub(crate) fn load_average() -> f64 {
    let text = read_proc("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}
