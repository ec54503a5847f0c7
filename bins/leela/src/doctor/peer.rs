//! Peers that are behind: what waits for them in their sender's ring, and what fell off it.

use hop::account::{Hop, Reading, Report};
use sockets::peer::Standing;
use sockets::ring::RingFile;

use super::finding::{Check, Finding, Severity};

/// A ring so full drops soon, or is worth a look.
const WARNING: f64 = 0.5;
const NOTE: f64 = 0.1;

pub(super) fn findings(reading: &Reading, report: &Report) -> Vec<Finding> {
    let mut findings: Vec<Finding> = report.hops.iter().filter_map(dropped).collect();
    for (process, ring) in &reading.rings {
        let Some(books) = reading.books.iter().find(|books| books.process == *process) else { continue };
        if books.source != ring.source {
            continue;
        }
        for peer in ring.peers.iter().filter(|peer| peer.standing == Standing::Active) {
            let filling = RingFile::behind(&books.carried, peer) as f64 / ring.bytes as f64;
            let severity = match filling {
                filling if filling >= WARNING => Severity::Warning,
                filling if filling >= NOTE => Severity::Note,
                _ => continue,
            };
            let name = peer.path.file_name().unwrap_or(peer.path.as_os_str()).to_string_lossy().into_owned();
            let waiting = peer.waiting(&RingFile::numbers(&books.carried));
            let text = format!(
                "{waiting} records of leela-{process} wait for it, {:.0} % of the ring: past that the oldest go",
                filling * 100.0
            );
            let way_out =
                format!("see that it runs and is not busy; a larger `ring` in {process}.toml holds more");
            findings.push(Finding::new(severity, Check::Peer, name, text, way_out));
        }
    }
    if findings.is_empty() {
        let peers = report.hops.iter().filter(|hop| !hop.left).count();
        findings.push(Finding::ok(Check::Peer, "all", format!("none of {peers} is behind")));
    }
    findings
}

fn dropped(hop: &Hop) -> Option<Finding> {
    let Hop { from, to, dropped, left, received, .. } = hop;
    // Who came and went, such as `leela tail`, is nobody's concern any more.
    if *dropped == 0 || (*left && received.is_none()) {
        return None;
    }
    let text = format!("{dropped} records from leela-{from} to it fell off the ring: it was away or behind");
    let way_out = format!("a larger `ring` in {from}.toml holds more; `leela status` has the whole account");
    Some(Finding::new(Severity::Warning, Check::Peer, to.as_str(), text, way_out))
}
