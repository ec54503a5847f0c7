//! Limits of the kernel that bound what waits while a process restarts.

use std::fs;
use std::path::{Path, PathBuf};

use common::size::Size;

use super::finding::{Check, Finding, Severity};
use super::member::Member;

/// What is shipped for /usr/lib/sysctl.d: the one list of what Leela asks for.
const SHIPPED: &str = include_str!("../../../../systemd/leela.sysctl");
/// Largest receive buffer, which processes' configurations are held against.
const RECEIVE: &str = "net.core.rmem_max";

pub(super) fn findings(members: &[Member]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (setting, wanted) in wanted() {
        let Some(have) = value(&setting) else {
            let text = "this kernel does not tell it";
            findings.push(Finding::new(Severity::Note, Check::Kernel, setting, text, ""));
            continue;
        };
        findings.push(match setting.as_str() {
            RECEIVE => receive(members, have),
            setting if have < wanted => {
                let text = format!("{have}, where {wanted} is asked for: {}", costs(setting));
                Finding::new(Severity::Warning, Check::Kernel, setting, text, raise(setting, wanted))
            }
            setting => Finding::ok(Check::Kernel, setting, format!("{have}, of {wanted} that are asked for")),
        });
    }
    findings
}

/// The settings of the shipped file.
fn wanted() -> Vec<(String, u64)> {
    let lines = SHIPPED.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    pairs.filter_map(|(name, value)| Some((name.trim().to_owned(), value.trim().parse().ok()?))).collect()
}

/// A setting's value now.
fn value(setting: &str) -> Option<u64> {
    let path: PathBuf = Path::new("/proc/sys").join(setting.replace('.', "/"));
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn costs(setting: &str) -> &'static str {
    match setting {
        "net.unix.max_dgram_qlen" => {
            "so many datagrams wait in front of a process that is busy; the rest waits with its sender"
        }
        "net.core.wmem_max" => "a sender has fewer datagrams under way to a process that is busy",
        _ => "less waits while a process restarts",
    }
}

fn raise(setting: &str, wanted: u64) -> String {
    format!(
        "`sysctl -w {setting}={wanted}`, and restart; /usr/lib/sysctl.d/60-leela.conf keeps it over the next boot"
    )
}

fn receive(members: &[Member], have: u64) -> Finding {
    let asks =
        members.iter().filter_map(|member| Some((member.settings().size("receive_buffer")?, member.name())));
    match asks.max() {
        Some((most, name)) if most > have => {
            let [have, most_size] = [have, most].map(|bytes| Size::from_bytes(bytes).to_string());
            let text = format!(
                "{have}, where `receive_buffer` of {name} is {most_size}: without CAP_NET_ADMIN less is granted, and what \
                 comes past it while the process is busy is dropped (kernel_drops)"
            );
            Finding::new(Severity::Warning, Check::Kernel, RECEIVE, text, raise(RECEIVE, most))
        }
        Some(_) => Finding::ok(
            Check::Kernel,
            RECEIVE,
            format!("{}, as much as any `receive_buffer` asks for", Size::from_bytes(have)),
        ),
        None => Finding::ok(
            Check::Kernel,
            RECEIVE,
            format!("{}; no process here receives datagrams", Size::from_bytes(have)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_settings_are_read_and_the_kernel_has_them() {
        let names: Vec<String> = wanted().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["net.unix.max_dgram_qlen", "net.core.rmem_max", "net.core.wmem_max"]);
        for name in names {
            assert!(value(&name).is_some_and(|value| value > 0), "{name}");
        }
    }
}
