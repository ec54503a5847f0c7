//! systemd's units against the configuration of their processes and against what is shipped.

mod file;

use std::net::SocketAddr;
use std::path::Path;

use common::books::State;

use super::finding::{Check, Finding, Severity};
use super::member::{Member, Settings};
use super::port;
use crate::instance::Instance;
use file::{Dirs, Unit};

/// The instance that systemd runs.
const SYSTEM: &str = "/run/leela";
/// As systemd has it: where units are instead of their usual places.
const UNIT_PATH: &str = "SYSTEMD_UNIT_PATH";
/// It wants an account, and many a host has none.
const OPTIONAL: &str = "leela-xmpp.service";

macro_rules! shipped {
    ($($unit:literal),* $(,)?) => {
        /// The units that this version ships.
        const SHIPPED: &[(&str, &str)] = &[$(($unit, include_str!(concat!("../../../../../systemd/", $unit)))),*];
    };
}

shipped![
    "leela.target",
    "leela-collectd.service",
    "leela-collectd.socket",
    "leela-dmproc.service",
    "leela-dmproc.socket",
    "leela-host.service",
    "leela-http.service",
    "leela-http.socket",
    "leela-statsd.service",
    "leela-statsd.socket",
    "leela-storage.service",
    "leela-storage.socket",
    "leela-timeline.service",
    "leela-timeline.socket",
    "leela-udp.service",
    "leela-udp.socket",
    "leela-xmpp.service",
];

/// Units belong to the instance that systemd runs; those of another place are looked at when systemd's own variable
/// says where they are.
pub(super) fn are_asked_for(instance: &Instance) -> bool {
    let is_set = std::env::var_os(UNIT_PATH).is_some_and(|path| !path.is_empty());
    is_set || instance.runtime_dir.path() == Path::new(SYSTEM)
}

pub(super) fn findings(instance: &Instance, members: &[Member]) -> Vec<Finding> {
    if !are_asked_for(instance) {
        return Vec::new();
    }
    let dirs = Dirs::of(std::env::var_os(UNIT_PATH));
    let units: Vec<Unit> = SHIPPED.iter().filter_map(|(name, _)| dirs.read(name)).collect();
    let mut findings = Vec::new();
    for unit in &units {
        findings.extend(differs(unit));
        findings.extend(disabled(&dirs, unit));
        if let Some(process) = process_of(&unit.name, ".socket") {
            let settings = members.iter().find(|member| member.name() == process).map(Member::settings);
            let settings = settings.cloned().unwrap_or_else(|| Settings::of_installed(process));
            findings.extend(listens(unit, process, &settings));
        }
        if let Some(process) = process_of(&unit.name, ".service") {
            let never = members.iter().all(|member| member.name() != process);
            if never && dirs.is_enabled(&unit.name) {
                findings.push(Finding::new(
                    Severity::Error,
                    Check::Unit,
                    unit.name.as_str(),
                    "it is enabled, and its process has never run here",
                    format!("`systemctl start {0}`; `journalctl -u {0}` may say why it did not", unit.name),
                ));
            }
        }
    }
    if findings.is_empty() {
        let text = match units.len() {
            0 => "none of Leela's are installed".to_owned(),
            some => format!("{some} are as they are shipped, enabled, and fit the configuration"),
        };
        findings.push(Finding::ok(Check::Unit, "all", text));
    }
    for member in members.iter().filter(|member| member.books.state == State::Running) {
        findings.extend(unmanaged(member, &units));
    }
    findings
}

fn process_of<'a>(unit: &'a str, ending: &str) -> Option<&'a str> {
    unit.strip_prefix("leela-")?.strip_suffix(ending)
}

/// A unit that somebody changed where it lies.
fn differs(unit: &Unit) -> Option<Finding> {
    let (_, shipped) = SHIPPED.iter().find(|(name, _)| *name == unit.name)?;
    if file::plain(&unit.text) == file::plain(shipped) {
        return None;
    }
    let text =
        format!("{} is not the one that leela {} ships", unit.path.display(), env!("CARGO_PKG_VERSION"));
    let way_out = format!(
        "install the shipped one, and put what is to differ into a drop-in: `systemctl edit {}`",
        unit.name
    );
    Some(Finding::new(Severity::Note, Check::Unit, unit.name.as_str(), text, way_out))
}

fn disabled(dirs: &Dirs, unit: &Unit) -> Option<Finding> {
    if dirs.is_enabled(&unit.name) {
        return None;
    }
    let severity = if unit.name == OPTIONAL { Severity::Note } else { Severity::Warning };
    let text = "it is not enabled: the next boot does not start it";
    let way_out = format!("`systemctl enable {}`", unit.name);
    Some(Finding::new(severity, Check::Unit, unit.name.as_str(), text, way_out))
}

/// Whether a .socket listens where the process is configured to.
fn listens(unit: &Unit, process: &str, settings: &Settings) -> Vec<Finding> {
    // Without a configuration that can be read there is nothing to hold it against.
    let Some(table) = settings.table() else { return Vec::new() };
    let is_udp = table.contains_key("receive_buffer");
    let key = if is_udp { "ListenDatagram" } else { "ListenStream" };
    let mut have: Vec<SocketAddr> =
        unit.list("Socket", key).iter().filter_map(|text| address(text)).collect();
    let mut want = Vec::new();
    let readers = settings.integer("readers").unwrap_or(1).max(1) as usize;
    for (_, address, _) in port::listed(settings).into_iter().filter(|(_, _, key)| *key == "listen") {
        want.extend(std::iter::repeat_n(address, readers));
    }
    have.sort_unstable();
    want.sort_unstable();
    let error = |text: String, way_out: String| {
        Finding::new(Severity::Error, Check::Unit, unit.name.as_str(), text, way_out)
    };
    let drop_in = format!("/etc/systemd/system/{}.d/listen.conf", unit.name);
    if have != want {
        let shown = |addresses: &[SocketAddr]| {
            let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
            if texts.is_empty() { "nowhere".to_owned() } else { texts.join(", ") }
        };
        let mut lines = format!("[Socket]\n{key}=\n");
        want.iter().for_each(|address| lines.push_str(&format!("{key}={address}\n")));
        if readers > 1 {
            lines.push_str("ReusePort=yes\n");
        }
        return vec![error(
            format!(
                "it listens at {}, where {process}.toml says {}: leela-{process} does not start with such sockets",
                shown(&have),
                shown(&want)
            ),
            format!("write {drop_in}, then systemctl daemon-reload and restart it:\n{}", lines.trim_end()),
        )];
    }
    let reuses =
        unit.last("Socket", "ReusePort").is_some_and(|value| ["yes", "true", "on", "1"].contains(&value));
    if readers > 1 && !reuses {
        return vec![error(
            format!(
                "{process}.toml says {readers} readers, and without ReusePort=yes the second cannot be bound"
            ),
            format!("write {drop_in}, then systemctl daemon-reload and restart it:\n[Socket]\nReusePort=yes"),
        )];
    }
    Vec::new()
}

/// `127.0.0.1:6968`; a port alone is all addresses, as in systemd.socket(5).
fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new("::".parse().ok()?, text.parse().ok()?)))
}

/// A process that runs in the system's instance and has no unit: the next boot does not start it.
fn unmanaged(member: &Member, units: &[Unit]) -> Option<Finding> {
    let unit = format!("leela-{}.service", member.name());
    let is_known = units.is_empty() || units.iter().any(|have| have.name == unit);
    (!is_known).then(|| {
        let text = format!("{} runs, and {unit} is not installed", member.title());
        let way_out = "install it with the others, or it is gone after the next boot";
        Finding::new(Severity::Warning, Check::Unit, unit.clone(), text, way_out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_that_is_shipped_is_known() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../systemd");
        let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        let mut units: Vec<String> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| [".service", ".socket", ".target"].iter().any(|ending| name.ends_with(ending)))
            .collect();
        units.sort();
        let mut known: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(units, known);
    }

    #[test]
    fn a_port_alone_is_all_addresses() {
        assert_eq!(address("127.0.0.1:1"), "127.0.0.1:1".parse().ok());
        assert_eq!(address("[::1]:1"), "[::1]:1".parse().ok());
        assert_eq!(address("8125"), "[::]:8125".parse().ok());
        assert_eq!(address("/run/leela/x"), None);
    }
}
