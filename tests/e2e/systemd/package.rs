//! The Debian package: what installing, upgrading, removing and purging it does, to the units and to what lies on the disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use tests::{Booted, binary, wait_until, workspace};

/// All of its processes, in the order of their names.
pub(super) const PROCESSES: [&str; 9] =
    ["collectd", "dmproc", "host", "http", "statsd", "storage", "timeline", "udp", "xmpp"];
/// Those that run once it is installed: a bridge needs an account first.
pub(super) const CORE: [&str; 8] =
    ["collectd", "dmproc", "host", "http", "statsd", "storage", "timeline", "udp"];
/// Those of them that have a socket.
const SOCKETS: [&str; 7] = ["collectd", "dmproc", "http", "statsd", "storage", "timeline", "udp"];
/// The version that comes after.
const NEXT: &str = "999.0-1";
/// An operator, and a stranger.
const PEOPLE: &str = "useradd --create-home --groups leela alice && useradd --create-home mallory";

/// The package of what was built; made once a run.
fn package() -> PathBuf {
    static MADE: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.get_or_insert_with(build).clone()
}

fn build() -> PathBuf {
    let programs: Vec<PathBuf> = PROCESSES
        .iter()
        .map(|process| binary(&format!("leela-{process}")))
        .chain([binary("leela")])
        .collect();
    let folder = programs[0].parent().expect("programs lie in a folder");
    let mut build = Command::new(workspace().join("systemd/debian/build.sh"));
    // It is unpacked at once: time spent on making it small is lost.
    let build = build.arg(folder).arg(folder.join("deb")).env("DPKG_DEB_COMPRESSOR_TYPE", "none");
    let output = build.output().expect("it is a script");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "build.sh: {err}");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim_end())
}

/// A booted systemd with the package and the users `alice`, an operator, and `mallory`, who is none; the core runs.
pub(super) fn installed() -> Option<Booted> {
    let booted = Booted::start()?;
    install(&booted, &package());
    booted.ok(PEOPLE);
    Some(booted)
}

fn install(booted: &Booted, package: &Path) {
    fs::copy(package, booted.root().join("leela.deb")).expect("the tree is ours");
    booted.ok("DEBIAN_FRONTEND=noninteractive dpkg --install /leela.deb && rm /leela.deb");
}

/// What systemd says of a unit: its state, and of which start it is.
fn look(booted: &Booted) -> BTreeMap<String, (String, String)> {
    let units = [units_of_the_core(), vec!["leela-xmpp.service".to_owned()]].concat().join(" ");
    let show = "systemctl show --property=Id,ActiveState,InvocationID,ActiveEnterTimestampMonotonic";
    let shown = booted.ok(&format!("{show} {units}"));
    let units = shown.split("\n\n").map(|unit| {
        let value = |key: &str| {
            let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().to_owned()
        };
        let start = value("InvocationID") + " " + &value("ActiveEnterTimestampMonotonic");
        (value("Id"), (value("ActiveState"), start))
    });
    units.collect()
}

/// The units that are active.
pub(super) fn active(booted: &Booted) -> Vec<String> {
    let units = look(booted).into_iter();
    units.filter(|(_, (state, _))| state == "active").map(|(id, _)| id).collect()
}

/// All units of the core.
pub(super) fn units_of_the_core() -> Vec<String> {
    let services = CORE.iter().map(|process| format!("leela-{process}.service"));
    let sockets = SOCKETS.iter().map(|process| format!("leela-{process}.socket"));
    let mut units: Vec<String> = services.chain(sockets).chain(["leela.target".to_owned()]).collect();
    units.sort();
    units
}

/// The package with a higher version, made of the package.
fn next(booted: &Booted) {
    fs::copy(package(), booted.root().join("leela.deb")).expect("the tree is ours");
    booted.ok(&format!(
        "dpkg-deb --raw-extract /leela.deb /next && sed -i 's/^Version: .*/Version: {NEXT}/' /next/DEBIAN/control
         dpkg-deb --root-owner-group -Znone --build /next /next.deb && rm -r /next /leela.deb"
    ));
}

const UPGRADE: &str = "DEBIAN_FRONTEND=noninteractive dpkg --install /next.deb";

#[test]
fn it_is_installed_upgraded_removed_and_purged() {
    let Some(booted) = installed() else { return };
    assert_eq!(active(&booted), units_of_the_core());
    assert_eq!(booted.run("systemctl is-enabled leela-xmpp.service").stdout, b"disabled\n");
    booted
        .ok("zcat /usr/share/man/man8/leela-udp.8.gz /usr/share/doc/leela/changelog.gz | grep -q leela-udp");

    // What an operator does: a metric in, and read, live and from the store; a note of his own in the configuration.
    let heard = booted.ok(
        "runuser -u alice -- leela query 'SELECT id FROM ^room' --count 1 --timeout 60s >/tmp/heard & query=$!
         while kill -0 $query 2>/dev/null; do printf 'gauge 9|room.temp 21.5;' >/dev/udp/127.0.0.1/6968; sleep 0.1; done
         wait $query; cat /tmp/heard; rm /tmp/heard",
    );
    assert!(heard.contains("event 9|room.temp 21.5 "), "{heard}");
    let kept = || {
        let series = booted.run("runuser -u alice -- leela series '^room'");
        String::from_utf8_lossy(&series.stdout).contains("room.temp")
    };
    wait_until("it is kept", kept);
    booted.ok("echo '# mine' >>/etc/leela/udp.toml; echo secret >/etc/leela/token");

    // Upgraded: every service is another one, every socket the same. What was not to run does not, and what was not to
    // start at boot will not.
    booted.ok("systemctl stop leela-collectd.service leela-collectd.socket
         systemctl disable --quiet leela-host.service && systemctl mask --quiet --now leela-http.service leela-http.socket");
    next(&booted);
    let before = look(&booted);
    booted.ok(UPGRADE);
    let after = look(&booted);
    for (unit, (state, start)) in &after {
        let (state_before, start_before) = &before[unit];
        assert_eq!(state, state_before, "{unit}");
        let restarts = unit.ends_with(".service")
            && !["leela-collectd.service", "leela-http.service", "leela-xmpp.service"].contains(&&**unit);
        assert_eq!(start != start_before, restarts, "{unit}: {start_before}, {start}");
    }
    assert_eq!(before.len(), after.len());
    let enabled =
        "systemctl is-enabled leela-host.service leela-http.service leela-udp.service leela-xmpp.service";
    let enabled = String::from_utf8(booted.run(enabled).stdout).expect("text");
    assert_eq!(enabled, "disabled\nmasked\nenabled\ndisabled\n");
    assert_eq!(booted.ok("tail -n 1 /etc/leela/udp.toml"), "# mine\n");
    assert!(kept());
    booted.ok("systemctl unmask --quiet leela-http.service leela-http.socket && systemctl enable --quiet leela-host.service");

    // Removed: nothing runs, nothing is started by what comes in; data and configuration stay.
    booted.ok("DEBIAN_FRONTEND=noninteractive dpkg --remove leela");
    assert_eq!(active(&booted), [""; 0]);
    booted.ok("printf x >/dev/udp/127.0.0.1/6968; ! grep -q leela /proc/[0-9]*/comm");
    booted.ok("test -e /etc/leela/udp.toml && test -d /var/lib/leela/storage && ! test -e /usr/bin/leela");

    // Installed again: as it was, and it runs.
    booted.ok(UPGRADE);
    assert_eq!(active(&booted), units_of_the_core());
    assert_eq!(booted.ok("tail -n 1 /etc/leela/udp.toml"), "# mine\n");
    assert!(kept());

    // Purged: what is left is the users.
    booted.ok("DEBIAN_FRONTEND=noninteractive dpkg --purge leela");
    assert_eq!(active(&booted), [""; 0]);
    assert_eq!(left(&booted), "");
    assert_eq!(booted.ok("getent passwd | grep -c '^leela-'"), format!("{}\n", PROCESSES.len()));
    booted.ok("getent group leela");
    let failed = booted.ok("systemctl list-units --failed --plain --no-legend 'leela*'");
    assert_eq!(failed, "", "nothing of it is remembered as failed");
}

#[test]
fn it_is_installed_where_no_systemd_runs() {
    let Some(booted) = Booted::start() else { return };
    fs::copy(package(), booted.root().join("leela.deb")).expect("the tree is ours");
    // Where an image is built /run says nothing of a systemd.
    let bare = |command: &str| {
        booted.ok(&format!("unshare --mount sh -ec 'mount -t tmpfs tmpfs /run; {command}'"));
    };
    bare("dpkg --install /leela.deb && dpkg --install /leela.deb && dpkg --remove leela");
    bare("dpkg --install /leela.deb && stat /run/leela/peers");
    assert_eq!(active(&booted), [""; 0]);
    // At the next boot it is there.
    booted.ok("systemctl daemon-reload && systemd-tmpfiles --create && systemctl start multi-user.target");
    assert_eq!(active(&booted), units_of_the_core());
    booted.ok("systemctl stop 'leela*'");
    bare("dpkg --purge leela");
    booted.ok("rm -rf /leela.deb /run/leela*");
    assert_eq!(left(&booted), "");
}

#[test]
fn make_install_keeps_to_its_place_and_to_what_is_there() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let [programs, root] = ["programs", "root"].map(|name| place.path().join(name));
    fs::create_dir(&programs).expect("the directory is new");
    symlink(binary("leela-udp"), programs.join("leela-udp")).expect("the directory is new");
    let install = || {
        let mut install = Command::new(workspace().join("systemd/install.sh"));
        let output = install.arg(&programs).arg(&root).arg("/usr/local").output().expect("it is a script");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    install();
    let read =
        |path: &str| fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let unit = read("usr/local/lib/systemd/system/leela-udp.service");
    assert!(unit.contains("\nExecStart=/usr/local/bin/leela-udp\n"), "{unit}");
    for path in [
        "usr/local/bin/leela-udp",
        "usr/local/share/man/man8/leela-udp.8",
        "usr/local/share/man/man7/leela-systemd.7",
    ] {
        assert!(root.join(path).is_file(), "{path}");
    }
    assert!(read("etc/leela/udp.toml").contains("#listen"));
    fs::write(root.join("etc/leela/udp.toml"), "# mine\n").expect("the tree is ours");
    install();
    assert_eq!(read("etc/leela/udp.toml"), "# mine\n", "what is there stays");
}

/// Files that are called after it.
fn left(booted: &Booted) -> String {
    booted.ok("find / -xdev -name '*leela*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/log/*'
         find /run -name '*leela*' -not -path '/run/systemd/*' -not -path '/run/log/*'")
}
