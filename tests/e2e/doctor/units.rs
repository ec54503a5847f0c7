//! systemd's units against configuration, against what is shipped, and whether they are enabled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tests::{Sandbox, binary, workspace};

/// The units that are shipped, installed and enabled in a directory of the sandbox.
fn install(sandbox: &Sandbox) -> PathBuf {
    let dir = sandbox.path().join("units");
    let wants = dir.join("leela.target.wants");
    fs::create_dir_all(&wants).unwrap();
    for entry in fs::read_dir(workspace().join("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // Those of the processes that run here.
        let is_wanted = ["leela.target", "leela-udp.service", "leela-udp.socket"].contains(&&*name);
        if is_wanted {
            fs::copy(&path, dir.join(&name)).unwrap();
            symlink(dir.join(&name), wants.join(&name)).unwrap();
        }
    }
    dir
}

/// What doctor prints of units, in text.
#[track_caller]
fn examine(sandbox: &Sandbox, dir: &Path) -> Vec<String> {
    let run = sandbox.run().path().to_str().unwrap().to_owned();
    let path = dir.to_str().unwrap().to_owned();
    let mut doctor = sandbox.begin_with(
        "leela",
        &binary("leela"),
        &["--runtime-dir", &run, "doctor"],
        &[("SYSTEMD_UNIT_PATH", path)],
    );
    doctor.wait();
    let log = doctor.log();
    log.lines().filter(|line| line.split(' ').nth(1) == Some("unit")).map(str::to_owned).collect()
}

#[test]
fn units_that_differ_are_found() {
    let mut sandbox = Sandbox::new();
    let udp = sandbox.start_udp("");
    let listened = sandbox.listen();
    let dir = install(&sandbox);
    let drop_in = |text: &str| {
        fs::create_dir_all(dir.join("leela-udp.socket.d")).unwrap();
        fs::write(dir.join("leela-udp.socket.d/listen.conf"), text).unwrap();
    };
    // As shipped, it listens at its default port, and the process elsewhere.
    let found = examine(&sandbox, &dir);
    let want =
        format!("error unit leela-udp.socket it listens at 127.0.0.1:6968, where udp.toml says {listened}: ");
    assert!(found.len() == 1 && found[0].starts_with(&want), "{found:#?}");
    let want = format!(
        "leela-udp.socket.d/listen.conf, then systemctl daemon-reload and restart it: [Socket] ListenDatagram= ListenDatagram={listened}"
    );
    assert!(found[0].ends_with(&want), "{found:#?}");
    drop_in(&format!("[Socket]\nListenDatagram=\nListenDatagram={listened}\n"));
    let found = examine(&sandbox, &dir);
    assert!(found.len() == 1 && found[0].starts_with("ok unit all 3 are as they are shipped"), "{found:#?}");

    fs::write(sandbox.path().join("etc/udp.toml"), format!("listen = [\"{listened}\"]\nreaders = 2\n"))
        .unwrap();
    let found = examine(&sandbox, &dir);
    assert!(found[0].contains(&format!("where udp.toml says {listened}, {listened}: ")), "{found:#?}");
    drop_in(&format!("[Socket]\nListenDatagram=\nListenDatagram={listened}\nListenDatagram={listened}\n"));
    let found = examine(&sandbox, &dir);
    assert!(found[0].contains("2 readers, and without ReusePort=yes"), "{found:#?}");
    drop(udp);
}

#[test]
fn units_that_were_changed_or_do_not_start_are_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let dir = install(&sandbox);
    let service = dir.join("leela-udp.service");
    let text = fs::read_to_string(&service).unwrap();
    // Where programs are makes no difference.
    fs::write(&service, text.replace("ExecStart=/usr/bin/", "ExecStart=/opt/leela/bin/")).unwrap();
    let found = examine(&sandbox, &dir);
    assert!(!found.iter().any(|line| line.contains("is not the one")), "{found:#?}");
    let want = "error unit leela-udp.service it is enabled, and its process has never run here";
    assert!(found.iter().any(|line| line.starts_with(want)), "{found:#?}");
    fs::write(&service, text.replace("ProtectHome=yes", "ProtectHome=no")).unwrap();
    fs::remove_file(dir.join("leela.target.wants/leela-udp.service")).unwrap();
    let found = examine(&sandbox, &dir);
    for want in [
        "note unit leela-udp.service ",
        "warning unit leela-udp.service it is not enabled",
        "warning unit leela-timeline.service leela-timeline, pid ",
    ] {
        assert!(found.iter().any(|line| line.starts_with(want)), "{want}: {found:#?}");
    }
}
