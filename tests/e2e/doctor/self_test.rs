//! `leela doctor --self-test`: a metric through every input, to its reader and to the store.

use std::net::TcpListener;
use std::process::Output;

use serde_json::Value;
use tests::{Process, Sandbox, binary};

/// The core and all inputs of the network.
fn start(sandbox: &mut Sandbox, statsd: &str) -> Vec<Process> {
    let unix = sandbox.path().join("statsd.datagram");
    let tcp =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port is free");
    let statsd = format!("unix_datagram = [\"{}\"]\ntcp = [\"{tcp}\"]\n{statsd}", unix.display());
    let mut processes: Vec<Process> =
        ["timeline", "dmproc", "storage"].map(|process| sandbox.start_held(process, "")).into();
    for peer in [sandbox.run().dmproc_databus(), sandbox.run().storage_databus()] {
        sandbox.wait_peer(&peer);
    }
    processes.push(sandbox.start_held("statsd", &statsd));
    processes.extend(["udp", "collectd", "http"].map(|process| sandbox.start_held(process, "")));
    processes
}

fn self_test(sandbox: &Sandbox, more: &[&str]) -> (Option<i32>, Value) {
    binary("leela");
    let Output { status, stdout, stderr } =
        sandbox.leela(&[&["doctor", "--self-test", "-o", "json"], more].concat());
    let json = serde_json::from_slice(&stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&stderr)));
    (status.code(), json)
}

#[test]
fn every_input_gets_its_metric_through() {
    let mut sandbox = Sandbox::new();
    let mut processes = start(&mut sandbox, "");
    let (status, told) = self_test(&sandbox, &["--timeout", "30s"]);
    assert_eq!(status, Some(0), "{told:#}");
    let inputs = told["inputs"].as_array().unwrap();
    let names: Vec<&str> = inputs.iter().map(|input| input["input"].as_str().unwrap()).collect();
    for name in ["udp", "statsd", "statsd tcp", "statsd unix", "collectd", "http", "databus"] {
        assert!(names.contains(&name), "{name}: {told:#}");
    }
    for input in inputs {
        for time in ["live_ms", "stored_ms"] {
            assert!(input[time].as_f64().is_some_and(|ms| ms > 0.0 && ms < 30_000.0), "{input:#}");
        }
    }
    // What it sent stays, under the name that it tells.
    let name = told["name"].as_str().unwrap();
    assert!(name.starts_with("leela.selftest."), "{name}");
    let series = sandbox.leela(&["series", "^leela\\.selftest\\."]).stdout;
    let series = String::from_utf8(series).unwrap();
    assert_eq!(series.lines().filter(|line| line.contains(name)).count(), inputs.len(), "{series}");

    // Without dmproc nothing is live, and all the same everything is stored.
    processes.remove(1).kill9();
    let (status, told) = self_test(&sandbox, &["--timeout", "30s"]);
    assert_eq!((status, &told["not_running"][0]), (Some(0), &Value::from("dmproc")), "{told:#}");
    assert!(told["inputs"][0]["live_ms"].is_null() && told["inputs"][0]["stored_ms"].is_f64(), "{told:#}");
    let storage = &processes[1];
    storage.stop();
    let (status, _) = self_test(&sandbox, &["--timeout", "200ms"]);
    assert_eq!(status, Some(0), "a storage that is stopped does not run");
    storage.cont();
    let text = sandbox.leela(&["doctor", "--self-test", "--timeout", "30s"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.lines().any(|line| line.starts_with("ok statsd_unix ")), "{text}");
}

#[test]
fn an_input_that_keeps_its_metric_is_named() {
    let mut sandbox = Sandbox::new();
    let _processes = start(&mut sandbox, "[[rules]]\nname = '^leela\\.'\ndrop = true\n");
    let (status, told) = self_test(&sandbox, &["--timeout", "10s"]);
    assert_eq!(status, Some(1));
    for input in told["inputs"].as_array().unwrap() {
        let is_statsd = input["input"].as_str().unwrap().starts_with("statsd");
        assert_eq!(input["ok"], !is_statsd, "{input:#}");
        if is_statsd {
            let problem = input["problem"].as_str().unwrap();
            assert!(problem.starts_with("neither live nor in the store within 10s; "), "{problem}");
        }
    }
}

#[test]
fn without_a_timeline_there_is_nothing_to_test() {
    let mut sandbox = Sandbox::new();
    let _udp = sandbox.start_udp("");
    assert_eq!(sandbox.leela(&["doctor", "--self-test"]).status.code(), Some(69));
}
