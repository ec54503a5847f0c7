//! `leela check`: what the processes say of their configuration.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::program;
use crate::sandbox::{Said, Sandbox, leela, said};

/// `leela` alone in a directory, so that no other program is beside it.
fn alone() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("leela");
    fs::hard_link(env!("CARGO_BIN_EXE_leela"), &path).unwrap();
    (dir, path)
}

fn check(leela_at: &Path, sandbox: &Sandbox, path: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(leela_at);
    for (key, value) in leela().get_envs() {
        if value.is_none() {
            command.env_remove(key);
        }
    }
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped()).env("PATH", path).current_dir(sandbox.dir());
    said(command.arg("check").args(arguments).spawn().unwrap(), b"")
}

#[test]
fn every_process_is_asked_and_a_wrong_one_exits_78() {
    let sandbox = Sandbox::new();
    let (beside, leela_at) = alone();
    let (path, etc) = (sandbox.dir().join("bin"), sandbox.dir().join("etc"));
    fs::create_dir(&path).unwrap();
    fs::create_dir(&etc).unwrap();
    let arguments = ["--config-dir", etc.to_str().unwrap()];

    let none = check(&leela_at, &sandbox, &path, &arguments);
    assert_eq!(none.status, 69, "{}", none.err);

    let good = format!("[ \"$*\" = '--check --config-dir {}' ] && echo 'readers = 1'", etc.display());
    program(&beside.path().join("leela-udp"), &good);
    program(&path.join("leela-udp"), "exit 70");
    program(&path.join("leela-timeline"), &good);
    let said = check(&leela_at, &sandbox, &path, &arguments);
    assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, "udp ok\ntimeline ok\n", ""));

    program(
        &path.join("leela-timeline"),
        "echo 'error leela-timeline: etc/timeline.toml:2: no such key' >&2; exit 78",
    );
    fs::write(etc.join("udpp.toml"), "").unwrap();
    for (form, want) in [
        (
            "text",
            "udp ok\ntimeline wrong etc/timeline.toml:2: no such key\nudpp wrong ETC/udpp.toml: there is no process leela-udpp\n",
        ),
        (
            "json",
            "{\"processes\":[{\"process\":\"udp\",\"ok\":true,\"message\":\"\"},{\"process\":\"timeline\",\"ok\":false,\
             \"message\":\"etc/timeline.toml:2: no such key\"},{\"process\":\"udpp\",\"ok\":false,\"message\":\
             \"ETC/udpp.toml: there is no process leela-udpp\"}]}\n",
        ),
        (
            "table",
            "udp       ok\ntimeline  wrong\n    etc/timeline.toml:2: no such key\nudpp      wrong\n    \
             ETC/udpp.toml: there is no process leela-udpp\n",
        ),
    ] {
        let said = check(&leela_at, &sandbox, &path, &[&arguments[..], &["-o", form]].concat());
        assert_eq!(said.status, 78);
        assert_eq!(said.out, want.replace("ETC", etc.to_str().unwrap()), "{form}");
        assert!(said.err.ends_with(": the configuration of 2 processes is wrong\n"), "{}", said.err);
    }
}

#[test]
fn the_configuration_of_this_directory_is_found() {
    let sandbox = Sandbox::new();
    let (beside, leela_at) = alone();
    fs::create_dir_all(sandbox.dir().join(".leela/etc")).unwrap();
    program(&beside.path().join("leela-udp"), "[ \"$*\" = '--check --config-dir .leela/etc' ]");
    assert_eq!(check(&leela_at, &sandbox, beside.path(), &[]).status, 0);
}
