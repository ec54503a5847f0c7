//! `leela store` and `leela series`, on a real storage.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests::{binary, wait_for, wait_until};

use super::{Kept, points};

/// What the command says; its status has to be `status`.
#[track_caller]
fn leela(kept: &Kept, status: i32, arguments: &[&str]) -> String {
    let output = kept.sandbox.leela(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}{err}");
    if status == 0 { said } else { said + &err }
}

fn filled() -> Kept {
    let kept = Kept::new(super::FOR_EVER);
    let text = "event 10|web;dc=ams 1.5 1700000000.25;\nevent 10|web;dc=ams 2 1700000010.0;\nevent 10|web;dc=fra 3 1700000000.0;\n\
                event 2|db NaN 1700000000.0;\ndata 6|deploy 9|{\"v\":1.2} 1700000000.0;\n";
    let path = kept.sandbox.path().join("in.txt");
    fs::write(&path, text).unwrap();
    let said = kept.sandbox.leela(&["store", "import", path.to_str().unwrap()]);
    assert!(said.status.success(), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("imported 5 records"), "{said:?}");
    assert!(!kept.sandbox.path().join("in.txt.imported").exists(), "its place is taken away in the end");
    kept
}

#[test]
fn what_is_exported_is_what_was_imported() {
    let kept = filled();
    let text = leela(&kept, 0, &["store", "export"]);
    assert_eq!(
        text,
        "event 2|db NaN 1700000000.0;\nevent 10|web;dc=ams 1.5 1700000000.25;\nevent 10|web;dc=ams 2 1700000010.0;\n\
         event 10|web;dc=fra 3 1700000000.0;\ndata 6|deploy 9|{\"v\":1.2} 1700000000.0;\n"
    );
    let json = leela(&kept, 0, &["store", "export", "-o", "json", "--where", "dc=ams"]);
    assert_eq!(
        json,
        "{\"time\":1700000000.25,\"key\":\"web;dc=ams\",\"value\":1.5}\n\
         {\"time\":1700000010.0,\"key\":\"web;dc=ams\",\"value\":2}\n"
    );
    assert_eq!(
        leela(&kept, 0, &["store", "export", "--from", "1700000005", "^web"]),
        "event 10|web;dc=ams 2 1700000010.0;\n"
    );
    // Into another one, and again: nothing is there twice.
    let other = Kept::new(super::FOR_EVER);
    let file = kept.sandbox.path().join("all.ndjson");
    let file = file.to_str().unwrap();
    leela(&kept, 0, &["store", "export", "-o", "json", "--file", file]);
    for _ in 0..2 {
        leela(&other, 0, &["store", "import", file]);
    }
    assert_eq!(leela(&other, 0, &["store", "export"]), text);
    assert_eq!(other.sandbox.books("storage").counter("imported"), 10);
    for (arguments, status, want) in [
        (&["store", "export", "("][..], 65, "unclosed group"),
        (&["store", "export", "--kind", "states"], 64, "-o json"),
        (&["store", "export", "--file", file], 64, "is there already"),
        (&["store", "import", "/nonexistent"], 65, "/nonexistent"),
    ] {
        let said = leela(&kept, status, arguments);
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
}

#[test]
fn an_export_and_an_import_go_on_where_they_stopped() {
    let kept = filled();
    let path = kept.sandbox.path().join("part.txt");
    let file = path.to_str().unwrap();
    let whole = leela(&kept, 0, &["store", "export"]);
    // Stopped at any byte, it goes on to the same end.
    for cut in 0..whole.len() {
        fs::write(&path, &whole.as_bytes()[..cut]).unwrap();
        leela(&kept, 0, &["store", "export", "--file", file, "--resume"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), whole, "cut at {cut}");
    }
    fs::write(&path, "nonsense\n").unwrap();
    assert!(leela(&kept, 65, &["store", "export", "--file", file, "--resume"]).contains("no record"));
    // A wrong line stops an import; mended, it goes on there.
    let path = kept.sandbox.path().join("lines.txt");
    let file = path.to_str().unwrap();
    let lines: String =
        (0..3000).map(|number| format!("event 4|line {number} {}.0;\n", 1_700_000_000 + number)).collect();
    fs::write(&path, format!("{lines}event 4|line x 1.0;\nevent 4|line 7 1.0;\n")).unwrap();
    let said = leela(&kept, 65, &["store", "import", file]);
    assert!(said.contains("line 3001") && said.contains("3000 records of the first 3000 lines"), "{said}");
    assert_eq!(points(&kept.sandbox, "line").len(), 3000);
    fs::write(&path, format!("{lines}event 4|line 8 1.0;\nevent 4|line 7 2.0;\n")).unwrap();
    let before = kept.sandbox.books("storage").counter("imported");
    leela(&kept, 0, &["store", "import", file, "--resume"]);
    assert_eq!(kept.sandbox.books("storage").counter("imported"), before + 2, "only what was left");
    assert_eq!(points(&kept.sandbox, "line")[..2], [(1000, 8.0), (2000, 7.0)]);
}

#[test]
fn series_are_listed_by_name_tag_and_age() {
    let kept = filled();
    kept.send("gauge 5|fresh 1;");
    kept.wait_passed(6);
    let keys = |arguments: &[&str]| {
        let said = leela(&kept, 0, &[&["series"], arguments].concat());
        said.lines().map(|line| line.splitn(4, ' ').last().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(&["^web"]), ["web;dc=ams", "web;dc=fra"]);
    assert_eq!(keys(&["--where", "dc!=ams", "^web"]), ["web;dc=fra"]);
    assert_eq!(keys(&["--stale", "1h"]).len(), 4, "deploy among them");
    assert_eq!(keys(&["--new", "1h"]), ["fresh"]);
    assert_eq!(keys(&["--count", "1"]), ["db"]);
    assert!(
        leela(&kept, 0, &["series", "^web;dc=ams"]).starts_with("1700000000.25 1700000010.0 2 web;dc=ams")
    );
    let json = leela(&kept, 0, &["series", "^db$", "-o", "json"]);
    assert_eq!(json, "{\"key\":\"db\",\"first\":1700000000.0,\"last\":1700000000.0,\"points\":1}\n");
    assert_eq!(leela(&kept, 0, &["series", "--tags"]), "2 dc\n");
    assert_eq!(leela(&kept, 0, &["series", "--tags=dc"]), "1 ams\n1 fra\n");
    assert_eq!(leela(&kept, 0, &["series", "--tags=dc", "--where", "dc!=ams"]), "1 fra\n");
    assert!(leela(&kept, 1, &["series", "^nothing"]).contains("no such series"));
}

#[test]
fn a_snapshot_is_a_store_and_what_is_deleted_is_gone() {
    let mut kept = filled();
    let dir = kept.sandbox.path().join("snapshot");
    let dir = dir.to_str().unwrap().to_owned();
    assert!(leela(&kept, 0, &["store", "snapshot", &dir]).starts_with(&format!("snapshot {dir}: ")));
    assert!(leela(&kept, 75, &["store", "snapshot", &dir]).contains("not empty"));
    let whole = leela(&kept, 0, &["store", "export"]);
    let would = leela(&kept, 0, &["store", "delete", "^web", "--dry-run"]);
    assert_eq!(would, "would delete 2 series, 3 records\n");
    assert_eq!(leela(&kept, 0, &["store", "delete", "^web"]), "deleted 2 series, 3 records\n");
    assert!(leela(&kept, 1, &["store", "delete", "^web"]).contains("no series"));
    let rest = leela(&kept, 0, &["store", "export"]);
    assert!(!rest.contains("web") && rest.contains("deploy"), "{rest}");
    kept.again(tests::Process::kill9);
    assert_eq!(leela(&kept, 0, &["store", "export"]), rest, "over a restart too");
    for arguments in [&["store", "stats"][..], &["store", "verify"]] {
        let table = leela(&kept, 0, &[arguments, &["-o", "table"]].concat());
        assert!(!table.is_empty(), "{arguments:?}");
    }
    // The snapshot has what was there when it was made.
    assert!(kept.storage.take().unwrap().terminate().success());
    let state = kept.sandbox.path().join("state/storage");
    fs::remove_dir_all(&state).unwrap();
    fs::rename(&dir, &state).unwrap();
    kept.storage = Some(kept.sandbox.start_held("storage", super::FOR_EVER));
    assert_eq!(leela(&kept, 0, &["store", "export"]), whole);
}

#[test]
fn without_a_storage_it_says_so() {
    let sandbox = tests::Sandbox::new();
    for arguments in [&["store", "stats"][..], &["series"], &["store", "delete", "x"]] {
        let said = sandbox.leela(arguments);
        assert_eq!(said.status.code(), Some(69), "{arguments:?}: {said:?}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("leela-storage does not listen"), "{said:?}");
    }
}

#[test]
fn a_shell_completes_names() {
    let mut kept = filled();
    let names = |kept: &Kept, words: &[&str]| {
        let mut all =
            vec!["complete-series", "--", "--runtime-dir", kept.sandbox.run().path().to_str().unwrap()];
        all.extend(words);
        let output = Command::new(binary("leela")).args(all).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Within 100 ms or not at all: a machine that is busy gives none, and is asked again.
    let offered = |words: &[&str]| {
        wait_for("names are offered", || Some(names(&kept, words)).filter(|names| !names.is_empty()))
    };
    assert_eq!(offered(&["series", "^we"]), "^web\n");
    assert_eq!(offered(&["query", "mean", "d"]), "db\ndeploy\n");
    assert_eq!(names(&kept, &["store", "delete", "x"]), "");
    assert_eq!(names(&kept, &["send", "gauge", "d"]), "");
    // In a real shell.
    if Command::new("bash")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
    {
        let script = "source <(\"$0\" completion bash); COMP_WORDS=(\"$0\" --runtime-dir \"$1\" series d); COMP_CWORD=4; \
                      _leela_or_series; printf '%s\\n' \"${COMPREPLY[@]}\"";
        wait_until("a shell offers names", || {
            let output = Command::new("bash")
                .args(["-c", script])
                .arg(binary("leela"))
                .arg(kept.sandbox.run().path())
                .output()
                .unwrap();
            output.stdout == b"db\ndeploy\n"
        });
    }
    // Nobody answers: there is nothing, and soon.
    let storage = kept.storage.take().unwrap();
    storage.stop();
    wait_until("it gives up soon", || {
        let begun = Instant::now();
        assert_eq!(names(&kept, &["series", "^we"]), "");
        begun.elapsed() < Duration::from_secs(2)
    });
    storage.cont();
    kept.storage = Some(storage);
}
