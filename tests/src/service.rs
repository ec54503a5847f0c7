//! The real programs of others that tests start: `tests/services/install.sh` installs them.

use std::env;
use std::path::{Path, PathBuf};

/// A real service: the package that brings it, and where its program is.
const SERVICES: [(&str, &str, &str); 8] = [
    ("collectd", "collectd-core", "/usr/sbin/collectd"),
    ("chromium", "chromium", "/usr/bin/chromium"),
    ("curl", "curl", "/usr/bin/curl"),
    ("ejabberd", "ejabberd", "/usr/sbin/ejabberdctl"),
    ("promtool", "prometheus", "/usr/bin/promtool"),
    ("prosody", "prosody lua-unbound lua-sec", "/usr/bin/prosody"),
    ("redis", "redis-server", "/usr/bin/redis-server"),
    ("slixmpp", "python3-slixmpp", "/usr/lib/python3/dist-packages/slixmpp/__init__.py"),
];

/// The program of a service. Where it is not installed, the test has nothing to say: none, told on standard error.
///
/// # Panics
/// When it is not installed and `CI` is set: what is to be proven there is not skipped.
pub fn service(name: &str) -> Option<PathBuf> {
    let known = SERVICES.iter().find(|(known, ..)| *known == name);
    let (_, package, program) = known.unwrap_or_else(|| panic!("no service {name}"));
    let program = Path::new(program);
    if program.is_file() {
        return Some(program.to_owned());
    }
    absent(&format!(
        "{} is not there; as root: apt-get install --no-install-recommends {package}",
        program.display()
    ));
    None
}

/// Says that a test proves nothing here, and why.
pub(crate) fn absent(missing: &str) {
    let ci = env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!ci, "{missing}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Past the capture of the test harness: who reads the run sees what it did not prove.
    let line = format!("skipped: {test}: {missing}\n");
    let told = std::fs::OpenOptions::new().append(true).open("/dev/stderr");
    let told = told.and_then(|mut err| std::io::Write::write_all(&mut err, line.as_bytes()));
    if told.is_err() {
        eprint!("{line}");
    }
}
