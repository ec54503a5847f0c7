//! Who may do what on a host: strangers, operators, and the processes to each other; and what is secret.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tests::{Booted, wait_until};

use super::package::{CORE, installed};

/// Runs a line of shell as somebody; gives what it prints, and its exit status.
fn run_as(booted: &Booted, user: &str, line: &str) -> (String, Option<i32>) {
    let output = booted.run(&format!("runuser -u {user} -- sh -c '{line}' 2>&1"));
    (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
}

/// What is refused to everybody who tries.
#[track_caller]
fn refused(booted: &Booted, user: &str, line: &str) {
    let (said, status) = run_as(booted, user, line);
    assert!(status.is_some_and(|status| status != 0), "{user}: {line}: {said}");
}

#[test]
fn each_process_has_its_own_and_no_more() {
    let Some(booted) = installed() else { return };
    for process in CORE {
        let pid = booted.ok(&format!("systemctl show --property=MainPID --value leela-{process}.service"));
        let pid = pid.trim();
        assert_eq!(booted.ok(&format!("stat -c %U:%G /proc/{pid}")), format!("leela-{process}:leela\n"));
        let status = booted.ok(&format!("cat /proc/{pid}/status"));
        for line in
            ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
        {
            assert!(status.contains(line), "{process}: {line}: {status}");
        }
        assert_eq!(
            booted.ok(&format!("stat -c '%a %U' /run/leela/books/{process}")),
            format!("640 leela-{process}\n")
        );
    }
    for (path, want) in [
        ("/run/leela", "750 root:leela"),
        ("/run/leela/books", "3770 root:leela"),
        ("/run/leela/rings", "3770 root:leela"),
        ("/run/leela/peers", "3770 root:leela"),
        ("/run/leela-statsd", "755 leela-statsd:leela"),
        ("/run/leela/timeline.databus", "660 root:leela"),
        ("/run/leela/timeline.multicast", "660 root:leela"),
        ("/run/leela/dmproc.databus", "660 root:leela"),
        ("/run/leela/dmproc.proc", "660 root:leela"),
        ("/run/leela/storage.databus", "660 root:leela"),
        ("/run/leela/storage.query", "660 root:leela"),
        ("/var/lib/leela/timeline", "700 leela-timeline:leela"),
        ("/var/lib/leela/storage", "700 leela-storage:leela"),
    ] {
        assert_eq!(booted.ok(&format!("stat -c '%a %U:%G' {path}")), format!("{want}\n"), "{path}");
    }

    // A process that is taken over by a stranger, and an operator, may send and ask; what is another's they cannot read,
    // change or take away.
    let timeline = booted.ok("systemctl show --property=MainPID --value leela-timeline.service");
    let timeline = timeline.trim();
    for user in ["leela-udp", "leela-http", "alice"] {
        assert_eq!(run_as(&booted, user, "leela send gauge probe 1").1, Some(0), "{user}");
        for line in [
            "ls /var/lib/leela/timeline",
            "ls /var/lib/leela/storage",
            ": >>/run/leela/books/timeline",
            "rm /run/leela/books/timeline",
            "mv /run/leela/rings/timeline /run/leela/peers/mine",
            ": >>/run/leela/rings/timeline",
            "rm /run/leela/timeline.databus",
            "touch /run/leela/mine",
            "echo >>/etc/leela/timeline.toml",
            &*format!("kill -9 {timeline}"),
            "echo >>/usr/bin/leela-timeline",
        ] {
            refused(&booted, user, line);
        }
    }
}

#[test]
fn a_stranger_is_told_which_group_to_join() {
    let Some(booted) = installed() else { return };
    let commands = [
        "leela send gauge probe 1",
        "leela query id ^host --count 1 --timeout 30s",
        "leela tail --count 1 --timeout 30s",
        "leela series",
        "leela status",
        "leela refused",
        "leela store stats",
    ];
    for command in commands {
        let (said, status) = run_as(&booted, "mallory", command);
        assert_eq!(status, Some(77), "{command}: {said}");
        assert!(said.contains("ermission denied"), "{command}: {said}");
        assert!(said.contains("join the group leela"), "{command}: {said}");
        assert_eq!(said.lines().count(), 1, "{command}: it is said once: {said}");
    }
    refused(&booted, "mallory", "ls /run/leela");
    // What is for everybody.
    assert_eq!(run_as(&booted, "mallory", "ls /run/leela-statsd").1, Some(0));
    // He does as he was told.
    booted.ok("usermod --append --groups leela mallory");
    for command in commands {
        let (said, status) = run_as(&booted, "mallory", command);
        assert_eq!(status, Some(0), "{command}: {said}");
    }
}

const TOKEN: &str = "canary-of-the-token";
const SIGNING: &str = "canary-of-collectd";
const ACCOUNT: &str = "canary-of-the-account";
const REDIS: &str = "canary-of-redis";

/// Gives every process that knows a secret one, as root's files that systemd hands to it.
fn confide(booted: &Booted) -> String {
    let etc = booted.root().join("etc/leela");
    let key = certificate(&etc);
    for (file, text) in [
        ("http.token", TOKEN),
        ("collectd.auth", &format!("alice: {SIGNING}")),
        ("xmpp.password", ACCOUNT),
        ("redis.password", REDIS),
    ] {
        write(&etc.join(file), text, 0o600);
    }
    for (process, credentials, config) in [
        ("http", &["http.token"][..], "token_file = \"http.token\""),
        (
            "statsd",
            &["tls.pem", "tls.key"],
            "tls = [\"127.0.0.1:8126\"]\ntls_certificate = \"tls.pem\"\ntls_key = \"tls.key\"",
        ),
        ("collectd", &["collectd.auth"], "auth_file = \"collectd.auth\"\nsecurity_level = \"sign\""),
        (
            "xmpp",
            &["redis.password"],
            "jid = \"leela@localhost\"\ntls_ca = \"/etc/leela/tls.pem\"\nserver = \"127.0.0.1:1\"\n[redis]\nhost = \"127.0.0.1\"\nport = 1\npassword_file = \"redis.password\"",
        ),
    ] {
        write(&etc.join(format!("{process}.toml")), config, 0o644);
        let load = credentials.iter().map(|name| format!("LoadCredential={name}:/etc/leela/{name}\n"));
        let unit = format!("[Service]\n{}", load.collect::<String>());
        let drop_in = booted.root().join(format!("etc/systemd/system/leela-{process}.service.d"));
        fs::create_dir_all(&drop_in).expect("the tree is ours");
        write(&drop_in.join("secrets.conf"), &unit, 0o644);
    }
    key
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("the tree is ours");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Makes `tls.pem` and `tls.key`; gives a line of the key.
fn certificate(dir: &Path) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl
        .args(["-subj", "/CN=localhost", "-keyout"])
        .arg(dir.join("tls.key"))
        .arg("-out")
        .arg(dir.join("tls.pem"));
    let output = openssl.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = fs::read_to_string(dir.join("tls.key")).expect("it was made");
    key.lines().nth(1).expect("its first line is a title").to_owned()
}

/// One request over HTTP.
fn asked(booted: &Booted, token: &str) -> String {
    let line = format!("GET /v2/series HTTP/1.0\\r\\nAuthorization: Bearer {token}\\r\\n\\r\\n");
    booted.ok(&format!("exec 3<>/dev/tcp/127.0.0.1/4080; printf '{line}' >&3; head -n 1 <&3"))
}

#[test]
fn secrets_are_used_and_shown_nowhere() {
    let Some(booted) = installed() else { return };
    let key = confide(&booted);
    booted.ok(
        "systemctl daemon-reload && systemctl restart leela.target && systemctl start leela-xmpp.service",
    );
    let bridge = "systemctl show --property=ActiveState,SubState --value leela-xmpp.service | paste -sd ' '";
    wait_until("the bridge runs", || booted.ok(bridge) == "active running\n");
    for away in ["Redis at 127.0.0.1:1 is away", "the server cannot be reached"] {
        wait_until(away, || booted.journal().contains(away));
    }

    // They are in use.
    assert!(asked(&booted, TOKEN).contains(" 200 "));
    for wrong in ["canary-of-the-toke", "canary-of-somebody"] {
        assert!(asked(&booted, wrong).contains(" 401 "), "{wrong}");
    }
    booted.ok("printf 'no TLS' >/dev/tcp/127.0.0.1/8126; printf 'no packet' >/dev/udp/127.0.0.1/25826");
    // Root alone can read them: a process has its own from systemd, and none of another's.
    for (user, file) in [
        ("leela-http", "/etc/leela/http.token"),
        ("leela-udp", "/run/credentials/leela-http.service/http.token"),
        ("alice", "/run/credentials/leela-http.service/http.token"),
        ("leela-http", "/run/credentials/leela-statsd.service/tls.key"),
    ] {
        refused(&booted, user, &format!("cat {file}"));
    }

    // Wherever one could look: what --check and the journal say, all files that processes share, what /proc and systemd
    // show of them, what the operator's command and the page's interface tell.
    let places = "
        mkdir /shown /shown/proc && cd /shown
        for process in collectd dmproc host http statsd storage timeline udp xmpp; do
            leela-$process --check >check.$process 2>&1
            leela-$process --check --config-dir /nowhere >check.$process.none 2>&1
        done
        leela check >check 2>&1
        journalctl --output=json --all >journal
        cp --recursive /run/leela/books /run/leela/rings .
        for pid in $(systemctl show --property=MainPID --value 'leela-*.service' | grep -v '^0*$'); do
            for what in cmdline environ status maps mountinfo; do cat /proc/$pid/$what >proc/$pid.$what; done
        done
        systemctl show 'leela*' >units
        leela status --output json >status
        leela refused >refused
        exec 3<>/dev/tcp/127.0.0.1/4080
        printf 'GET /metrics HTTP/1.0\\r\\nAuthorization: Bearer TOKEN\\r\\n\\r\\n' >&3; cat <&3 >metrics";
    booted.run(&places.replace("TOKEN", TOKEN));
    let secrets = [TOKEN, "canary-of-somebody", SIGNING, ACCOUNT, REDIS, &key];
    let find = |place: &str| {
        let patterns: String = secrets.iter().map(|secret| format!(" -e '{secret}'")).collect();
        let found = booted
            .run(&format!("grep --recursive --text --fixed-strings --files-with-matches {patterns} {place}"));
        String::from_utf8_lossy(&found.stdout).into_owned()
    };
    let shown = booted.ok("find /shown -type f -size +0 | wc -l");
    assert!(shown.trim().parse::<u32>().is_ok_and(|files| files > 60), "there is much to look at: {shown}");
    assert_eq!(find("/etc/leela").lines().count(), 5, "what is there is found");
    assert_eq!(find("/shown"), "");
}
