//! What is wrong with a configuration or a place is said once, with the way out, and the status tells which.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Output;

use tests::Sandbox;

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_wrong_configuration_exits_78_and_says_what_to_write() {
    let sandbox = Sandbox::new();
    for (process, config, want) in [
        ("udp", "lisen = []", "udp.toml:1: unknown key lisen, did you mean listen?"),
        ("udp", "# what\nreaders = 0", "udp.toml:2: readers: 1 to 64"),
        ("udp", "listen = []", "listen: at least one address"),
        ("udp", "listen = [\"localhost\"]", "udp.toml:1: listen"),
        ("udp", "ring = 5", "udp.toml:1: ring"),
        ("udp", "ring = \"5KiB\"", "ring: at least 1MiB"),
        ("udp", "ring = ", "udp.toml:1"),
        ("http", "lisen = []", "did you mean listen?"),
        ("http", "listen = [\"0.0.0.0:4080\"]", "http.toml:1: listen: other hosts reach 0.0.0.0:4080"),
        ("http", "\nbody_max = \"1KiB\"", "http.toml:2: body_max: at least 16KiB"),
        ("http", "header_max = \"2MiB\"", "header_max: 8KiB to 1MiB"),
        ("http", "auth = \"nobody\"", "http.toml:1: auth"),
        ("http", "idle_timeout = \"0s\"", "idle_timeout: 100ms to 24h"),
        ("timeline", "resolutoin = \"10s\"", "did you mean resolution?"),
        ("timeline", "resolution = \"10 parsecs\"", "timeline.toml:1: resolution"),
        ("timeline", "series_max = 5", "series_reserve"),
        ("timeline", "[tags]\n\"a;b\" = \"c\"", "tags"),
        ("storage", "retension = \"1d\"", "did you mean retention?"),
        ("storage", "retention = \"5m\"", "storage.toml:1: retention: at least 1h"),
        ("storage", "min_free = 5", "storage.toml:1: min_free"),
        ("storage", "[[keep]]\nmatch = \"a(\"\nage = \"7d\"", "unclosed group"),
        ("storage", "[[keep]]\nmatsch = \"a\"\nage = \"7d\"", "matsch"),
    ] {
        for arguments in [&[][..], &["--check"]] {
            let output = sandbox.run_to_end(process, config, arguments);
            let said = text(&output);
            assert_eq!(output.status.code(), Some(78), "{process}: {config:?}: {said}");
            assert!(said.contains(want), "{process}: {config:?}: {said}");
            assert_eq!(said.lines().count(), 1, "it is said once: {said}");
        }
    }
}

#[test]
fn check_prints_what_is_in_force_and_from_where() {
    let sandbox = Sandbox::new();
    let output = sandbox.run_to_end("udp", "\nreaders = 3", &["--check"]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let file = sandbox.path().join("etc/udp.toml");
    for want in [
        format!("readers = 3  # {}:2", file.display()),
        "listen = [\"127.0.0.1:6968\"]  # default".to_owned(),
        "ring = \"64MiB\"  # default".to_owned(),
    ] {
        assert!(said.lines().any(|line| line == want), "{want}: {said}");
    }
    assert!(!sandbox.run().books("udp").exists(), "--check opens nothing");
    // What it prints is a configuration again.
    let again = sandbox.run_to_end("udp", &String::from_utf8(output.stdout).unwrap(), &["--check"]);
    assert!(again.status.success(), "{}", text(&again));
}

#[test]
fn sockets_that_do_not_fit_the_configuration_exit_78_with_the_drop_in() {
    let mut sandbox = Sandbox::new();
    sandbox.hold_udp("udp", &[(Ipv4Addr::LOCALHOST, 0).into()], 1);
    let address = sandbox.listen();
    let listen = format!("ListenDatagram={address}");
    for (config, want) in [
        ("listen = [\"127.0.0.1:1\"]".to_owned(), vec!["ListenDatagram=127.0.0.1:1".to_owned()]),
        (
            format!("listen = [\"{address}\"]\nreaders = 2"),
            [&listen, &listen, "ReusePort=yes"].map(str::to_owned).to_vec(),
        ),
        (
            format!("listen = [\"{address}\", \"[::1]:1\"]"),
            [&listen, "ListenDatagram=[::1]:1"].map(str::to_owned).to_vec(),
        ),
    ] {
        let output = sandbox.run_to_end("udp", &config, &[]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(78), "{config}: {said}");
        assert!(said.contains("/etc/systemd/system/leela-udp.socket.d/listen.conf"), "{config}: {said}");
        let drop_in: Vec<&str> = said
            .lines()
            .filter_map(|line| line.strip_prefix("error leela-udp: "))
            .skip_while(|line| *line != "[Socket]")
            .collect();
        let want: Vec<&str> =
            ["[Socket]", "ListenDatagram="].into_iter().chain(want.iter().map(String::as_str)).collect();
        assert_eq!(drop_in, want, "{config}: {said}");
    }
}

#[test]
fn a_tcp_socket_that_does_not_fit_exits_78_with_the_drop_in() {
    let mut sandbox = Sandbox::new();
    sandbox.hold_tcp("http", &[(Ipv4Addr::LOCALHOST, 0).into()]);
    let output = sandbox.run_to_end("http", "listen = [\"127.0.0.1:1\"]", &[]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("/etc/systemd/system/leela-http.socket.d/listen.conf"), "{said}");
    for line in ["[Socket]", "ListenStream=", "ListenStream=127.0.0.1:1"] {
        assert!(said.lines().any(|said| said.ends_with(line)), "{line}: {said}");
    }
}

#[test]
fn a_socket_of_no_use_exits_78() {
    let mut sandbox = Sandbox::new();
    sandbox.hold("timeline");
    sandbox.hand_to("udp", "timeline");
    let output = sandbox.run_to_end("udp", "listen = [\"127.0.0.1:0\"]", &[]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn what_is_taken_exits_75_and_names_it() {
    let mut sandbox = Sandbox::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let output = sandbox.run_to_end("udp", &format!("listen = [\"{port}\"]"), &[]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains(&port.to_string()), "{}", text(&output));
    // With several readers the port is not shared with another process either.
    let output = sandbox.run_to_end("udp", &format!("listen = [\"{port}\"]\nreaders = 2"), &[]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));

    // A second instance in the same runtime directory.
    let udp = sandbox.start_udp("");
    sandbox.release("udp");
    let output = sandbox.run_to_end("udp", "listen = [\"127.0.0.1:0\"]", &[]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains(&format!("process {}", udp.pid())), "{}", text(&output));

    let _timeline = sandbox.start("timeline", "");
    let output = sandbox.run_to_end("timeline", "", &[]);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains("timeline.databus"), "{}", text(&output));
}

#[test]
fn a_wrong_command_line_exits_64() {
    let sandbox = Sandbox::new();
    let long = format!("/tmp/{}", "x".repeat(80));
    for arguments in [&["--chek"][..], &["stray"], &["--config-dir", "/etc"], &["--config"]] {
        let output = sandbox.run_to_end("udp", "", arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output));
    }
    let output = sandbox.run_plainly("udp", &["--runtime-dir", &long]);
    assert_eq!(output.status.code(), Some(64), "{}", text(&output));
    assert!(text(&output).contains("--runtime-dir"), "{}", text(&output));
    let output = sandbox.run_plainly("udp", &["--config", "/nowhere/udp.toml"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn an_empty_directory_of_configuration_is_all_defaults() {
    let sandbox = Sandbox::new();
    let etc = sandbox.path().join("etc");
    let dir = etc.to_str().unwrap();
    let output = sandbox.run_plainly("udp", &["--config-dir", dir, "--check"]);
    assert!(output.status.success(), "{}", text(&output));
    // Drop-ins come behind the file, in the order of their names.
    std::fs::write(etc.join("udp.toml"), "readers = 2\ndrain_timeout = \"1s\"\n").unwrap();
    std::fs::create_dir(etc.join("udp.d")).unwrap();
    std::fs::write(etc.join("udp.d/20.toml"), "readers = 4\n").unwrap();
    std::fs::write(etc.join("udp.d/10.toml"), "readers = 3\n").unwrap();
    let output = sandbox.run_plainly("udp", &["--config-dir", dir, "--check"]);
    let said = text(&output);
    for want in [
        format!("readers = 4  # {dir}/udp.d/20.toml:1"),
        format!("drain_timeout = \"1s\"  # {dir}/udp.toml:2"),
    ] {
        assert!(said.lines().any(|line| line == want), "{want}: {said}");
    }
}
