//! Every program keeps to its page: options, configuration and counters.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::{Sandbox, wait_for, workspace};

/// Every process; `leela` itself is not one.
const PROCESSES: [&str; 9] =
    ["collectd", "dmproc", "host", "http", "statsd", "storage", "timeline", "udp", "xmpp"];

fn page(process: &str) -> (PathBuf, String) {
    let path = workspace().join(format!("bins/{process}/leela-{process}.8.rst"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, text)
}

/// What a process does not start without: leela-xmpp wants an account. Whether there is such a server it asks later.
fn least_config(sandbox: &Sandbox, process: &str) -> String {
    if process != "xmpp" {
        return String::new();
    }
    let password = sandbox.path().join("xmpp.password");
    fs::write(&password, "of an account that there is not").expect("the directory is ours");
    format!("jid = \"leela@localhost\"\nserver = \"127.0.0.1:1\"\npassword_file = {password:?}\n")
}

/// The lines of a section.
fn section<'p>(page: &'p str, title: &str) -> &'p str {
    let rule = "=".repeat(title.len());
    let head = format!("\n{title}\n{rule}\n");
    let start = page.find(&head).unwrap_or_else(|| panic!("there is no section {title}")) + head.len();
    let end = page[start..].find("\n===").map_or(page.len(), |rule| start + rule);
    &page[start..end]
}

/// The words of a text that begin with `--`.
fn options(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| c.is_whitespace() || "[]|`,.()".contains(c))
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .filter(|word| word[2..].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'))
        .collect()
}

#[test]
fn every_process_is_tested_here() {
    let bins = fs::read_dir(workspace().join("bins")).unwrap();
    let names = bins.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut processes: Vec<String> = names.filter(|name| name != "leela").collect();
    processes.sort();
    assert_eq!(processes, PROCESSES);
}

#[test]
fn every_section_is_there() {
    for process in PROCESSES {
        let (path, page) = page(process);
        for title in [
            "SYNOPSIS",
            "DESCRIPTION",
            "SOCKETS",
            "CONFIGURATION",
            "SIGNALS",
            "EXIT STATUS",
            "DIAGNOSTICS",
            "BUGS",
            "SEE ALSO",
        ] {
            assert!(!section(&page, title).trim().is_empty(), "{}: {title}", path.display());
        }
    }
}

#[test]
fn options_are_those_of_the_page() {
    let sandbox = Sandbox::new();
    for process in PROCESSES {
        let output = sandbox.run_plainly(process, &["--help"]);
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        // Up to the examples, which have the options of others in them.
        let help = help.split("Examples:").next().unwrap_or_default();
        let mut of_program = options(help);
        of_program.retain(|option| !["--help", "--version"].contains(option));
        let (path, page) = page(process);
        assert_eq!(options(section(&page, "SYNOPSIS")), of_program, "{}", path.display());
    }
}

#[test]
fn keys_are_those_of_check() {
    let sandbox = Sandbox::new();
    for process in PROCESSES {
        let output = sandbox.run_to_end(process, "", &["--check"]);
        let said = String::from_utf8(output.stdout).unwrap();
        let keys: Vec<&str> = said.lines().filter_map(|line| line.split(" = ").next()).collect();
        let (path, page) = page(process);
        let entries = common::config::manual(&page);
        let shown: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(shown, keys, "{}", path.display());
    }
}

#[test]
fn counters_are_those_of_the_books() {
    for process in PROCESSES {
        let mut sandbox = Sandbox::new();
        let config = least_config(&sandbox, process);
        let _process = sandbox.start_held(process, &config);
        let books = sandbox.books(process);
        let counters: BTreeSet<&str> = books.counters.iter().map(|(name, _)| name.as_str()).collect();
        let (path, page) = page(process);
        // An entry is a line in the first column, of one counter or several; its text is indented.
        let shown: BTreeSet<&str> = section(&page, "DIAGNOSTICS")
            .lines()
            .zip(section(&page, "DIAGNOSTICS").lines().skip(1))
            .filter(|(entry, text)| !entry.starts_with(' ') && !entry.is_empty() && text.starts_with("    "))
            .flat_map(|(entry, _)| entry.split(", "))
            .collect();
        assert_eq!(shown, counters, "{}", path.display());
    }
}

#[test]
fn the_version_is_that_of_the_workspace() {
    let sandbox = Sandbox::new();
    for process in PROCESSES {
        let output = sandbox.run_plainly(process, &["--version"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), format!("leela-{process} {}", env!("CARGO_PKG_VERSION")));
    }
}

/// python3-docutils brings the program; `make test` installs it.
#[test]
fn pages_render_without_a_warning() {
    let Some(program) = ["rst2man", "rst2man.py"].into_iter().find(|program| runs(program)) else {
        eprintln!("rst2man is not installed");
        return;
    };
    for process in PROCESSES {
        let (path, _) = page(process);
        let output =
            Command::new(program).args(["--report=info", "--halt=warning"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", path.display());
        assert!(String::from_utf8_lossy(&output.stdout).contains(".TH"), "{}", path.display());
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A process that is ready has said so in its log, which names what it serves.
#[test]
fn every_process_logs_that_it_is_ready() {
    for process in PROCESSES {
        let mut sandbox = Sandbox::new();
        let config = least_config(&sandbox, process);
        let started = sandbox.start_held(process, &config);
        let line = wait_for("it says so", || started.log().lines().next().map(str::to_owned));
        assert!(line.contains(&format!("leela-{process}: ready")), "{line}");
    }
}
