//! What one client may cost the others: bodies, headers, connections, time and memory are bounded, who may ask is asked,
//! and an answer that breaks is seen to.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::Read;
use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Sandbox, Web, service, wait_for, wait_until};

use super::http::Api;

/// leela-http alone: nobody else runs.
fn alone(config: &str) -> (Sandbox, tests::Process, std::net::SocketAddr) {
    let mut sandbox = Sandbox::new();
    let http = sandbox.start_held("http", config);
    let address = sandbox.listens("http")[0];
    (sandbox, http, address)
}

#[test]
fn what_is_too_long_is_refused_with_its_status() {
    let (sandbox, _http, address) = alone(
        "body_max = \"16KiB\"\ninflated_max = \"64KiB\"\nbodies_max = \"80KiB\"\nheader_max = \"8KiB\"",
    );
    let long = "x".repeat(20_000);
    let header = format!("X-Long: {}\r\n", "x".repeat(9_000));
    let many = (0..200).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let target = format!("/v1/past24/{}", "x".repeat(9_000));
    for (method, target, extra, body, status) in [
        ("POST", "/v2/write", "", long.as_bytes(), 413),
        ("POST", "/v1/foo", "", long.as_bytes(), 413),
        ("POST", "/v1/data/foo", "", long.as_bytes(), 413),
        ("GET", "/health", &header[..], b"", 431),
        ("GET", "/health", &many, b"", 431),
        ("GET", &target, "", b"", 431),
    ] {
        let reply = Web::ask(address, method, target, extra, body);
        assert_eq!(reply.status, status, "{method} {target:.40} {extra:.20}: {}", reply.text());
    }
    // In pieces whose sum nobody told.
    let mut web = Web::open(address);
    web.send(b"POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..20 {
        web.send(b"400\r\n");
        web.send(&[b'x'; 1024]);
        web.send(b"\r\n");
    }
    assert_eq!(web.reply("POST").status, 413);
    // A little that becomes much.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::copy(&mut std::io::repeat(b' ').take(10 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 16 << 10);
    let reply = Web::ask(address, "POST", "/v2/write", "Content-Encoding: gzip\r\n", &bomb);
    assert_eq!((reply.status, &reply.json()["code"]), (413, &json!("body_too_long")), "{}", reply.text());
    // It still answers, and nothing was taken.
    assert_eq!(Web::ask(address, "GET", "/health", "", b"").status, 200);
    assert_eq!(sandbox.books("http").counter("received"), 0);
}

#[test]
fn what_is_too_slow_is_told_so() {
    let (sandbox, _http, address) = alone("header_timeout = \"200ms\"\nbody_timeout = \"200ms\"");
    let mut head = Web::open(address);
    head.send(b"GET /health HTTP/1.1\r\nHost: 127");
    let reply = head.reply("GET");
    assert_eq!((reply.status, &reply.json()["code"]), (408, &json!("slow")));
    let mut body = Web::open(address);
    body.send(b"POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\ngau");
    let reply = body.reply("POST");
    assert_eq!((reply.status, &reply.json()["code"]), (408, &json!("slow")));
    wait_until("it is counted", || sandbox.books("http").counter("turned_away.head") == 1);
}

#[test]
fn who_has_nothing_to_say_hears_nothing() {
    // So long that a busy machine comes between no two requests.
    let (sandbox, _http, address) = alone("header_timeout = \"3s\"\nidle_timeout = \"3s\"");
    let (mut idle, mut again) = (Web::open(address), Web::open(address));
    for _ in 0..3 {
        again.request("GET", "/health", "", b"");
        assert_eq!(again.reply("GET").status, 200);
    }
    assert!(idle.is_closed() && again.is_closed());
    assert_eq!(sandbox.books("http").counter("turned_away.head"), 0);
}

#[test]
fn one_connection_too_many_is_told_to_come_again() {
    let (sandbox, _http, address) = alone("connections_max = 3\nlive_max = 1");
    let mut held: Vec<Web> = (0..3).map(|_| Web::open(address)).collect();
    for web in &mut held {
        web.request("GET", "/health", "", b"");
        assert_eq!(web.reply("GET").status, 200);
    }
    let mut more = Web::open(address);
    more.request("GET", "/health", "", b"");
    let reply = more.reply("GET");
    assert_eq!((reply.status, reply.header("retry-after"), reply.is_whole), (503, Some("5"), true));
    assert_eq!(reply.json()["code"], "connections");
    drop(held.pop());
    wait_for("there is room again", || {
        (Web::ask(address, "GET", "/health", "", b"").status == 200).then_some(())
    });
    wait_until("it is counted", || sandbox.books("http").counter("turned_away.connections") >= 1);
}

#[test]
fn memory_for_bodies_is_bounded_over_all_requests() {
    let (_sandbox, _http, address) =
        alone("body_max = \"16KiB\"\ninflated_max = \"16KiB\"\nbodies_max = \"32KiB\"");
    let begin = || {
        let mut web = Web::open(address);
        web.send(b"POST /v2/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 15000\r\nExpect: 100-continue\r\n\r\n");
        web
    };
    let mut two: Vec<Web> = (0..2).map(|_| begin()).collect();
    for web in &mut two {
        // It is asked to go on: its share is taken.
        assert_eq!(web.head().status, 100);
    }
    let reply = Web::ask(address, "POST", "/v2/write", "", &[b' '; 15_000]);
    assert_eq!((reply.status, reply.header("retry-after").is_some()), (503, true), "{}", reply.text());
    assert_eq!(reply.json()["code"], "bodies");
    for web in &mut two {
        web.send(&[b' '; 15_000]);
        assert_eq!(web.reply("POST").status, 200);
    }
    assert_eq!(Web::ask(address, "POST", "/v2/write", "", &[b' '; 15_000]).status, 200);
}

#[test]
fn a_ring_that_is_half_full_takes_nothing_more_and_loses_nothing() {
    let (mut sandbox, http, address) = alone("ring = \"1MiB\"");
    let body = "gauge 9|room.temp 21.5 1;".repeat(5_000);
    let mut accepted = 0;
    let reply = loop {
        let reply = Web::ask(address, "POST", "/v2/write", "", body.as_bytes());
        if reply.status != 200 {
            break reply;
        }
        accepted += 5_000;
        assert!(accepted < 100_000, "the ring has no end");
    };
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("ring_full")), "{}", reply.text());
    assert!(reply.header("retry-after").is_some() && accepted > 0);
    let v1 = Web::ask(address, "POST", "/v1/foo", "", br#"{"type":"gauge","value":1}"#);
    assert_eq!((v1.status, v1.header("retry-after").is_some()), (503, true));
    let ready = Web::ask(address, "GET", "/ready", "", b"");
    assert_eq!(ready.status, 503);
    assert!(ready.json()["parts"]["writes"].as_str().unwrap().contains("half full"), "{}", ready.text());
    // A body that would take too much of it.
    let large = Web::ask(address, "POST", "/v2/write", "", body.repeat(3).as_bytes());
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("body_too_long")));
    let books = sandbox.books("http");
    assert_eq!((books.counter("accepted"), books.counter("passed")), (accepted, accepted));
    http.wait_log("the ring is half full");
    let _timeline = sandbox.start_timeline("");
    wait_until("all of it is there", || sandbox.books("timeline").counter("received") == accepted);
    wait_for("writes are taken again", || {
        (Web::ask(address, "POST", "/v2/write", "", b"gauge 1|a 1;").status == 200).then_some(())
    });
    assert_eq!(sandbox.peers("http").iter().map(|(peer, _)| peer.dropped).sum::<u64>(), 0);
}

#[test]
fn what_a_2xx_was_said_of_outlives_a_kill() {
    let (mut sandbox, http, address) = alone("");
    for _ in 0..20 {
        assert_eq!(Web::ask(address, "POST", "/v2/write", "", b"gauge 1|a 1;gauge 1|b 2;").status, 200);
    }
    http.kill9();
    let _http = sandbox.start_held("http", "");
    let _timeline = sandbox.start_timeline("");
    wait_until("all of it is there", || sandbox.books("timeline").counter("received") == 40);
    let status: Value = serde_json::from_slice(&sandbox.leela(&["status", "-o", "json"]).stdout).unwrap();
    assert_eq!(status["balanced"], true, "{status:#}");
}

#[test]
fn an_answer_that_breaks_in_the_middle_is_cut() {
    let mut api = Api::new("");
    let now = common::time::Time::now().ns() / 1_000_000_000;
    // More than any buffer on the way holds, so that storage has not said all when it dies.
    for part in 0..40 {
        // A second each: /v1 gives one point of a second.
        let second = |n: i64| now - 500_000 + part * 10_000 + n;
        let pairs: Vec<String> = (0..10_000).map(|n| format!("[{},{n}.123456789]", second(n))).collect();
        let body = format!("{{\"key\":\"long\",\"points\":[{}]}}", pairs.join(","));
        wait_for("the ring has room", || {
            let reply = api.post("/v2/write", &body);
            assert!([200, 503].contains(&reply.status), "{}", reply.text());
            (reply.status == 200).then_some(())
        });
    }
    wait_for("all is stored", || (api.sandbox.books("storage").counter("passed") >= 400_000).then_some(()));
    wait_for("all is readable", || {
        let series = api.get("/v2/series?key=long").json();
        (series["series"][0]["points"] == 400_000).then_some(())
    });
    let mut begun: Vec<Web> =
        ["/v2/range?key=long&from=-7d", "/v1/pastweek/long", "/v2/range?key=long&from=-7d&format=csv"]
            .into_iter()
            .map(|target| {
                let mut web = Web::open(api.address);
                web.request("GET", target, "", b"");
                web
            })
            .collect();
    for web in &mut begun {
        assert_eq!(web.head().status, 200);
        assert!(!web.chunk().unwrap().is_empty());
    }
    api.take("storage").kill9();
    for web in &mut begun {
        let mut bytes = 0;
        let end = loop {
            match web.chunk() {
                Some(chunk) if chunk.is_empty() => break true,
                Some(chunk) => bytes += chunk.len(),
                None => break false,
            }
        };
        assert!(!end, "it came to its end after {bytes} bytes");
    }
    wait_until("they are counted", || {
        let books = api.sandbox.books("http");
        books.counter("requests.cut.range") == 2 && books.counter("requests.cut.v1_read") == 1
    });
}

#[test]
fn who_may_ask_is_asked() {
    let sandbox = Sandbox::new();
    let token = sandbox.path().join("token");
    fs::write(&token, "s3cret\n").unwrap();
    let (sandbox_http, _http, address) = alone(&format!("token_file = \"{}\"", token.display()));
    for (target, extra, status) in [
        ("/v2/write", "Authorization: Bearer s3cret\r\n", 200),
        ("/v2/write", "", 401),
        ("/v2/write", "Authorization: Bearer s3cre\r\n", 401),
        ("/v1/foo", "", 401),
        ("/v1/foo", "Authorization: Bearer s3cret\r\nHost: any.example\r\n", 400),
    ] {
        let reply = Web::ask(address, "POST", target, extra, b"");
        assert_eq!(reply.status, status, "{target} {extra}: {}", reply.text());
        assert_eq!(reply.header("www-authenticate").is_some(), status == 401);
    }
    for (target, status) in [
        ("/", 200),
        ("/page/page.js", 200),
        ("/health", 200),
        ("/ready", 503),
        ("/metrics", 401),
        ("/v2/status", 401),
        ("/openapi.json", 401),
    ] {
        assert_eq!(Web::ask(address, "GET", target, "", b"").status, status, "{target}");
    }
    wait_until("it is counted", || sandbox_http.books("http").counter("requests.wrong.write") == 2);

    // Nobody is asked: the names are this host's, and pages of others do not write.
    let (_sandbox, _http, address) = alone("hosts = [\"leela.example\"]");
    for (method, target, extra, status) in [
        ("GET", "/health", "Host: localhost:1\r\n", 200),
        ("GET", "/health", "Host: leela.example\r\n", 200),
        ("GET", "/health", "Host: evil.example\r\n", 421),
        ("GET", "/v1/past24/a", "Host: evil.example\r\n", 421),
        ("POST", "/v2/write", "Origin: http://evil.example\r\n", 403),
        ("POST", "/v1/a", "Origin: null\r\n", 403),
        ("OPTIONS", "/v1/past24/a", "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n", 204),
        ("OPTIONS", "/v1/past24/a", "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\n", 405),
        ("OPTIONS", "/v2/range?key=a", "Origin: http://a\r\nAccess-Control-Request-Method: GET\r\n", 405),
    ] {
        let reply = Web::ask(address, method, target, extra, b"");
        assert_eq!(reply.status, status, "{method} {target} {extra}: {}", reply.text());
    }

    // Others reach it, and nobody would be asked.
    for (config, want) in [
        (
            "listen = [\"0.0.0.0:0\"]",
            "other hosts reach 0.0.0.0:0: set token_file or tls_client_ca, or write auth = \"none\"",
        ),
        ("listen = [\"[::]:0\"]\ntls_certificate = \"a\"\ntls_key = \"b\"", "other hosts reach"),
        ("token_file = \"/nowhere/token\"", "token_file: reading /nowhere/token"),
        (
            "tls_certificate = \"/nowhere/cert\"\ntls_key = \"/nowhere/key\"",
            "tls_certificate: reading /nowhere/cert",
        ),
        ("tls_key = \"/nowhere/key\"", "tls_certificate and tls_key go together"),
        ("auth = \"none\"\ntoken_file = \"token\"", "lets everybody in"),
        ("auth = \"nobody\"", "http.toml:1"),
    ] {
        let output = sandbox.run_to_end("http", config, &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{config}: {said}");
        assert!(said.contains(want), "{config}: {said}");
    }
    let mut open = Sandbox::new();
    open.hold_tcp("http", &[(Ipv4Addr::UNSPECIFIED, 0).into()]);
    let _http = open.start_held("http", "auth = \"none\"");
    let port = open.listens("http")[0].port();
    assert_eq!(Web::ask((Ipv4Addr::LOCALHOST, port).into(), "GET", "/health", "", b"").status, 200);
}

#[test]
fn https_asks_for_the_certificates_it_is_told_to() {
    let Some(curl) = service("curl") else { return };
    let sandbox = Sandbox::new();
    let at = |name: &str| sandbox.path().join(name).display().to_string();
    for (name, ca) in [("ca", true), ("other", true), ("server", false), ("client", false)] {
        certificate(&sandbox, name, ca);
    }
    let config = format!(
        "tls_certificate = \"{}\"\ntls_key = \"{}\"\ntls_client_ca = \"{}\"\n",
        at("server.pem"),
        at("server.key"),
        at("ca.pem")
    );
    let ask = |address: std::net::SocketAddr, arguments: &[String]| {
        let output = Command::new(&curl)
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", &at("ca.pem")])
            .args(arguments)
            .arg(format!("https://localhost:{}/v2/write?", address.port()))
            .args(["-d", "gauge 1|a 1;"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let with = |name: &str| {
        [format!("--cert={}", at(&format!("{name}.pem"))), format!("--key={}", at(&format!("{name}.key")))]
            .map(|argument| argument.split_once('=').map(|(a, b)| vec![a.to_owned(), b.to_owned()]).unwrap())
            .concat()
    };
    let (sandbox_http, _http, address) = alone(&config);
    assert_eq!(ask(address, &with("client")), "200");
    assert_eq!(ask(address, &[]), "000");
    assert_eq!(ask(address, &with("other")), "000");
    wait_until("they are counted", || sandbox_http.books("http").counter("turned_away.tls") >= 1);
    // With a token as well, either is enough.
    fs::write(sandbox.path().join("token"), "s3cret").unwrap();
    let (_sandbox, _http, address) = alone(&format!("{config}token_file = \"{}\"\n", at("token")));
    assert_eq!(ask(address, &with("client")), "200");
    assert_eq!(ask(address, &["-H".to_owned(), "Authorization: Bearer s3cret".to_owned()]), "200");
    assert_eq!(ask(address, &[]), "401");
}

/// Makes `NAME.pem` and `NAME.key`: one that signs itself, or one that `ca` signs.
fn certificate(sandbox: &Sandbox, name: &str, is_ca: bool) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(sandbox.path()).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &format!("/CN={name}"),
        "-keyout",
        &format!("{name}.key"),
        "-out",
        &format!("{name}.pem"),
    ]);
    if is_ca {
        openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]);
    } else {
        openssl.args([
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:localhost",
        ]);
    }
    let output = openssl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_books_of_all_processes_are_metrics_that_promtool_takes() {
    let api = Api::new("");
    assert_eq!(api.post("/v2/write", "gauge 1|a 1;gauge 1|b nan;").status, 400);
    wait_until("storage has it", || api.sandbox.books("storage").counter("passed") == 1);
    // An answer is counted once it is over.
    let reply = wait_for("the answer is booked", || {
        let reply = api.get("/metrics");
        reply.text().contains("leela_http_requests_wrong_total{route=\"write\"} 1\n").then_some(reply)
    });
    let text = reply.text();
    for want in [
        "leela_up{process=\"http\"} 1\n",
        "# TYPE leela_http_received_total counter\nleela_http_received_total 2\n",
        "leela_http_refused_total{reason=\"not_finite\"} 1\n",
        "# TYPE leela_http_connections gauge\n",
        "leela_hop_sent_total{from=\"http\",to=\"timeline\"} 1\n",
    ] {
        assert!(text.contains(want), "{want}: {text}");
    }
    let Some(promtool) = service("promtool") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &reply.body).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
