//! `leela up` as a program, with scripts in place of the processes; the real ones are in the end-to-end suite.

#![allow(clippy::unwrap_used)]

#[path = "leela/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::program;
use tempfile::TempDir;

/// Directories of a test: one with `leela` and its processes, one to run it in.
struct Sandbox {
    programs: TempDir,
    work: TempDir,
}

impl Sandbox {
    fn new(scripts: &[(&str, &str)]) -> Sandbox {
        let programs = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // Processes are looked for beside the program itself, not beside a link to it.
        fs::hard_link(env!("CARGO_BIN_EXE_leela"), programs.path().join("leela")).unwrap();
        for (name, script) in scripts {
            let path = programs.path().join(format!("leela-{name}"));
            // A busy machine may take long to end it.
            let checked = "[ \"$1\" = --check ] && echo 'drain_timeout = \"60s\"' && exit 0";
            program(&path, &format!("{checked}\n{script}"));
        }
        Sandbox { programs, work: TempDir::new().unwrap() }
    }

    fn run(&self) -> PathBuf {
        fs::canonicalize(self.work.path()).unwrap().join("run")
    }

    fn up(&self) -> Command {
        let mut command = Command::new(self.programs.path().join("leela"));
        command.args(["up", "--runtime-dir"]).arg(self.run()).current_dir(self.work.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

fn process_of(run: &Path) -> i32 {
    fs::read_to_string(run.join("lock")).unwrap().trim().parse().unwrap()
}

#[test]
fn without_any_process_it_says_how_to_build_them() {
    let sandbox = Sandbox::new(&[]);
    let output = sandbox.up().output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cargo build --release"), "{said}");
}

#[test]
fn a_config_dir_that_is_not_there_is_wrong() {
    let sandbox = Sandbox::new(&[("udp", "exit 1")]);
    let output = sandbox.up().args(["--config-dir", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8(output.stderr).unwrap().contains("nowhere"));
}

#[test]
fn it_names_what_does_not_start_tells_a_second_one_its_pid_and_ends_all() {
    let sandbox = Sandbox::new(&[("udp", "exec sleep 600"), ("timeline", "exit 78")]);
    let mut up = sandbox.up().spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("timeline: ended with status 78 (configuration)") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert!(said.contains("dmproc (live queries) is left out"), "{said}");
    assert!(sandbox.run().join("timeline.databus").exists());
    assert_eq!(u32::try_from(process_of(&sandbox.run())), Ok(up.id()));

    let second = sandbox.up().output().unwrap();
    assert_eq!(second.status.code(), Some(75));
    let told = String::from_utf8(second.stderr).unwrap();
    assert!(told.contains(&format!("another leela up runs here, pid {}", up.id())), "{told}");

    kill(Pid::from_raw(process_of(&sandbox.run())), Signal::SIGTERM).unwrap();
    lines.read_to_string(&mut said).unwrap();
    assert!(up.wait().unwrap().success(), "{said}");
    assert!(said.contains("in: nothing; out: nothing; nothing refused; nothing lost\n"), "{said}");
    assert!(!sandbox.run().join("timeline.databus").exists());
}

#[test]
fn who_has_a_longer_drain_timeout_is_given_that_long() {
    let drains = "trap 'sleep 3; echo > drained; exit' TERM; echo > began; while :; do sleep 0.1; done";
    let sandbox = Sandbox::new(&[("udp", drains)]);
    let mut up = sandbox.up().spawn().unwrap();
    let there = |name: &str| sandbox.work.path().join(name).exists();
    let begun = Instant::now();
    while !there("began") {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not begin");
        thread::sleep(Duration::from_millis(5));
    }
    kill(Pid::from_raw(process_of(&sandbox.run())), Signal::SIGTERM).unwrap();
    let mut said = String::new();
    up.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(up.wait().unwrap().success() && there("drained"), "{said}");
}

#[test]
fn who_starts_first_finds_the_sockets_of_all_and_the_log_is_quiet() {
    // Run in the working directory: what the consumer saw is left there.
    let saw =
        "test -S run/timeline.multicast && socket=there; echo \"$socket $LEELA_LOG\" > part; mv part saw";
    let sandbox = Sandbox::new(&[("dmproc", &format!("{saw}; exit 78")), ("timeline", "exit 78")]);
    let mut up = sandbox.up().env_remove("LEELA_LOG").spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("dmproc: ended with status 78") {
        assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert_eq!(fs::read_to_string(sandbox.work.path().join("saw")).unwrap(), "there warn\n");
    kill(Pid::from_raw(process_of(&sandbox.run())), Signal::SIGTERM).unwrap();
    lines.read_to_string(&mut said).unwrap();
    assert!(up.wait().unwrap().success(), "{said}");
}
