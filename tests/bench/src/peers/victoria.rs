//! VictoriaMetrics.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Peer;
use super::server::Server;

pub(super) const PEER: Peer = Peer {
    program: "victoria-metrics",
    arguments,
    ready: "/health",
    write: "/api/v1/write",
    settle,
    count,
    settled: "data and index after /internal/force_merge",
};

fn arguments(address: &str, dir: &Path) -> Vec<String> {
    let dir = dir.display();
    vec![
        format!("-httpListenAddr={address}"),
        format!("-storageDataPath={dir}"),
        "-retentionPeriod=100y".to_owned(),
        "-search.maxUniqueTimeseries=1000000".to_owned(),
        // The points of the last 30 s are asked for as well.
        "-search.latencyOffset=0s".to_owned(),
    ]
}

fn settle(server: &mut Server, dir: &Path) -> anyhow::Result<PathBuf> {
    server.ask("GET", "/internal/force_flush")?;
    server.ask("GET", "/internal/force_merge")?;
    // It begins to merge after its answer.
    server.wait_still()?;
    server.wait("its merges end", |server| {
        Ok(server.metric("vm_active_force_merges")?.unwrap_or(0.0) == 0.0)
    })?;
    Ok(dir.to_owned())
}

fn count(server: &mut Server, _: &Path) -> anyhow::Result<u64> {
    let found = server.query("sum(count_over_time({__name__=~\".*nginx.*\"}[2d]))")?;
    let value = found[0]["value"][1].as_str().with_context(|| format!("no count: {found}"))?;
    Ok(value.parse::<f64>()? as u64)
}
