//! Prometheus.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

use super::Peer;
use super::server::Server;
use crate::disk::files;

pub(super) const PEER: Peer = Peer {
    program: "prometheus",
    arguments,
    ready: "/-/ready",
    write: "/api/v1/write",
    settle,
    count,
    settled: "the blocks of a snapshot: of what is younger than two hours it else keeps a log of several times the size",
};

fn arguments(address: &str, dir: &Path) -> Vec<String> {
    let dir = dir.display();
    vec![
        "--config.file=/dev/null".to_owned(),
        format!("--storage.tsdb.path={dir}"),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--web.enable-admin-api".to_owned(),
        "--query.max-samples=100000000".to_owned(),
        "--log.level=error".to_owned(),
    ]
}

fn settle(server: &mut Server, dir: &Path) -> anyhow::Result<PathBuf> {
    let body = server.ask("POST", "/api/v1/admin/tsdb/snapshot")?;
    let answer: Value = serde_json::from_slice(&body)?;
    let name = answer["data"]["name"].as_str().with_context(|| format!("no snapshot: {answer}"))?;
    Ok(dir.join("snapshots").join(name))
}

/// As its blocks say. Its language cannot count over all names at once.
fn count(_: &mut Server, snapshot: &Path) -> anyhow::Result<u64> {
    let mut points = 0;
    for file in files(snapshot)?.into_iter().filter(|file| file.ends_with("meta.json")) {
        let meta: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        points += meta["stats"]["numSamples"].as_u64().context("a block says how many points it has")?;
    }
    Ok(points)
}
