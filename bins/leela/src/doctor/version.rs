//! Versions: those that run together, and those that were replaced on the disk since.

use std::fs;

use super::finding::{Check, Finding, Severity};
use super::member::Member;

/// What the kernel adds to the path of a program whose file is gone or was replaced.
const DELETED: &str = " (deleted)";

pub(super) fn findings(members: &[Member]) -> Vec<Finding> {
    let own = env!("CARGO_PKG_VERSION");
    let mut findings = Vec::new();
    for member in members.iter().filter(|member| member.runs()) {
        let (name, release) = (member.name(), &member.books.release);
        let restart =
            format!("`systemctl restart leela-{name}`, or end and start `leela up`; nothing is lost by it");
        if release != own {
            let text = format!("leela-{name} {release} runs beside leela {own}");
            findings.push(Finding::new(Severity::Warning, Check::Version, name, text, restart));
            continue;
        }
        let program = fs::read_link(format!("/proc/{}/exe", member.books.pid)).unwrap_or_default();
        let program = program.to_string_lossy();
        if let Some(path) = program.strip_suffix(DELETED) {
            let text = format!(
                "{path} was replaced or removed since {} started: the former one runs",
                member.title()
            );
            findings.push(Finding::new(Severity::Warning, Check::Version, name, text, restart));
        }
    }
    if findings.is_empty() {
        let running = members.iter().filter(|member| member.runs()).count();
        findings.push(Finding::ok(
            Check::Version,
            "all",
            format!("{running} processes run {own}, as installed"),
        ));
    }
    findings
}
