//! `leela doctor`: every finding, provoked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod host;
mod self_test;
mod units;

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;

use common::books::Snapshot;
use serde_json::Value;
use tests::{Sandbox, binary, wait_until};

/// What it found, and its exit status.
struct Examined {
    status: Option<i32>,
    json: Value,
}

fn examine(sandbox: &Sandbox) -> Examined {
    // It asks each process for its configuration.
    for process in ["udp", "timeline", "dmproc", "storage"] {
        binary(&format!("leela-{process}"));
    }
    let output = sandbox.leela(&["doctor", "-o", "json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    Examined { status: output.status.code(), json }
}

impl Examined {
    /// The finding of a check about something whose text has this in it.
    #[track_caller]
    fn finding(&self, check: &str, about: &str, text: &str) -> &Value {
        let found = self.findings().find(|finding| {
            finding["check"] == check
                && finding["about"].as_str().unwrap().ends_with(about)
                && finding["text"].as_str().unwrap().contains(text)
        });
        found.unwrap_or_else(|| panic!("no {check} of {about} with {text:?}: {:#}", self.json))
    }

    /// As [`Examined::finding`], with its severity; what is not in order has a way out.
    #[track_caller]
    fn says(&self, severity: &str, check: &str, about: &str, text: &str) {
        let finding = self.finding(check, about, text);
        assert_eq!(finding["severity"], severity, "{finding:#}");
        if severity == "error" {
            assert_ne!(finding["way_out"], "", "{finding:#}");
            assert_eq!(self.status, Some(1));
        }
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.json["findings"].as_array().unwrap().iter()
    }
}

/// Stores words at a place of a process's books, which are in the host's byte order.
fn plant(sandbox: &Sandbox, process: &str, word: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(sandbox.run().books(process)).unwrap();
    file.write_all_at(bytes, word * 8).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_instance_in_order_has_no_error() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _others = ["dmproc", "storage"].map(|process| sandbox.start_held(process, ""));
    let _udp = sandbox.start_udp("");
    // As tmpfiles.d and `leela up` make it.
    set_mode(sandbox.run().path(), 0o750);
    let examined = examine(&sandbox);
    assert_eq!(examined.status, Some(0), "{:#}", examined.json);
    for (check, about, text) in [
        ("process", "udp", "runs"),
        ("configuration", "udp", "can be read"),
        ("port", "udp", &format!("{} (UDP) is held by leela-udp, pid ", sandbox.listen())),
        ("clock", "jumps", "not set"),
        ("disk", "storage", "too young for a forecast"),
        ("peer", "all", "none of"),
        ("version", "all", "4 processes run"),
        ("socket", "run", "fit their processes"),
    ] {
        examined.says("ok", check, about, text);
    }
    // The other forms say the same.
    let text = sandbox.leela(&["doctor"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), examined.findings().count(), "{text}");
    assert!(text.lines().any(|line| line.starts_with("ok process udp leela-udp, pid ")), "{text}");
    let csv = String::from_utf8(sandbox.leela(&["doctor", "-o", "csv"]).stdout).unwrap();
    assert!(csv.starts_with("severity,check,about,text,way_out\n"), "{csv}");
    let table = String::from_utf8(sandbox.leela(&["doctor", "-o", "table"]).stdout).unwrap();
    assert!(table.contains("\nok  ") || table.contains("\nok       process"), "{table}");
}

#[test]
fn nobody_ever_ran_here() {
    let sandbox = Sandbox::new();
    let output = sandbox.leela(&["doctor"]);
    assert_eq!(output.status.code(), Some(69));
}

#[test]
fn dead_stopped_and_ended_processes_and_wrong_configurations_are_found() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    let dmproc = sandbox.start_held("dmproc", "");
    timeline.kill9();
    udp.stop();
    assert!(dmproc.terminate().success());
    fs::write(sandbox.path().join("etc/udp.toml"), "listne = []\n").unwrap();
    fs::write(sandbox.run().books("junk"), [1; 5000]).unwrap();
    let examined = examine(&sandbox);
    examined.says("error", "process", "timeline", "is dead");
    examined.says("error", "process", "udp", "stopped by a signal");
    examined.says("warning", "process", "dmproc", "has ended");
    examined.says("error", "configuration", "udp", "listne");
    examined.says("error", "books", "runtime directory", "junk");
    let way_out = examined.finding("process", "udp", "stopped")["way_out"].as_str().unwrap();
    assert!(way_out.contains(&format!("kill -CONT {}", udp.pid())), "{way_out}");
    let text = String::from_utf8(sandbox.leela(&["doctor"]).stdout).unwrap();
    assert!(text.starts_with("error "), "the worst come first: {text}");
}

#[test]
fn modes_and_owners_of_sockets_are_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _storage = sandbox.start_held("storage", "");
    let run = sandbox.run().clone();
    // Everybody can get there.
    set_mode(sandbox.path(), 0o755);
    set_mode(run.path(), 0o755);
    set_mode(&run.peers(), 0o770);
    fs::remove_file(run.timeline_multicast()).unwrap();
    fs::remove_file(run.storage_query()).unwrap();
    fs::write(run.storage_query(), "not a socket").unwrap();
    let examined = examine(&sandbox);
    examined.says("error", "socket", "run", "everybody on this host");
    examined.says("warning", "socket", "peers", "can take away");
    examined.says("error", "socket", "timeline.multicast", "it is gone");
    examined.says("error", "socket", "storage.query", "it is no socket");
    // It runs, and cannot be asked.
    examined.says("error", "disk", "storage", "does not say how it is");
}

#[test]
fn a_clock_that_was_set_is_found() {
    const SINCE: u64 = 4;
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let since = sandbox.books("timeline").since.ns();
    for (moved, text) in [(-3650, "set forward by 36"), (7250, "set back by 72")] {
        plant(&sandbox, "timeline", SINCE, &(since + moved * 1_000_000_000).to_ne_bytes());
        examine(&sandbox).says("warning", "clock", "timeline", text);
    }
}

#[test]
fn a_full_disk_is_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _storage = sandbox.start_held("storage", "min_free = \"1000TiB\"\n");
    wait_until("storage says that it is full", || {
        let stats = sandbox.leela(&["store", "stats", "-o", "json"]).stdout;
        serde_json::from_slice::<Value>(&stats).is_ok_and(|stats| stats["full"] == "min_free")
    });
    examine(&sandbox).says("error", "disk", "storage", "the store is full (min_free)");
}

#[test]
fn a_peer_that_is_behind_is_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("ring = \"1MiB\"\n");
    let storage = sandbox.start_held("storage", "");
    sandbox.wait_peer(&sandbox.run().storage_databus());
    storage.stop();
    let gauges: String = (0..60_000).map(|number| format!("gauge 9|room.temp {number};\n")).collect();
    let file = sandbox.path().join("gauges");
    fs::write(&file, gauges).unwrap();
    let sent = std::process::Command::new(binary("leela"))
        .args(["--runtime-dir", sandbox.run().path().to_str().unwrap(), "send", "-"])
        .stdin(fs::File::open(&file).unwrap())
        .status();
    assert!(sent.unwrap().success());
    wait_until("the timeline has made events of all", || {
        sandbox.books("timeline").counter("passed") == 60_000
    });
    let examined = examine(&sandbox);
    examined.says("warning", "peer", "storage.databus", "% of the ring");
    examined.says("warning", "peer", "storage", "fell off the ring");
}

#[test]
fn versions_that_do_not_fit_are_found() {
    const RELEASE: u64 = 16;
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    plant(&sandbox, "timeline", RELEASE, b"0.0.9\0\0\0");
    let copy = sandbox.path().join("leela-dmproc");
    // By another process: a file that is open to write cannot be run, and what this one has open is open in whatever
    // another test starts just then.
    let copied = std::process::Command::new("cp").arg(binary("leela-dmproc")).arg(&copy).status();
    assert!(copied.unwrap().success());
    let run = sandbox.run().path().to_str().unwrap().to_owned();
    let _dmproc = sandbox.begin("dmproc", &copy, &["--runtime-dir", &run]);
    // The file is there before there is anything in it.
    wait_until("dmproc has its books", || Snapshot::read(&sandbox.run().books("dmproc")).is_ok());
    fs::remove_file(&copy).unwrap();
    let examined = examine(&sandbox);
    examined.says("warning", "version", "timeline", "leela-timeline 0.0.9 runs beside leela ");
    examined.says("warning", "version", "dmproc", "was replaced or removed");
}
