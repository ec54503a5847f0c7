//! Ports and the kernel's limits.

use std::fs;
use std::net::UdpSocket;

use socket2::{Domain, Socket, Type};
use tests::Sandbox;

use super::examine;

#[test]
fn a_port_that_somebody_else_holds_is_found_with_its_holder() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    let listened = sandbox.listen();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_at = taken.local_addr().unwrap();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let free_at = free.local_addr().unwrap();
    drop(free);
    // What it is configured to has changed since it started.
    let config = format!("listen = [\"{taken_at}\", \"{free_at}\"]\n");
    fs::write(sandbox.path().join("etc/udp.toml"), config).unwrap();
    let examined = examine(&sandbox);
    let own = std::process::id();
    // A process that another test is just starting holds what this one holds, and is told beside it.
    examined.says("error", "port", "udp", &format!("{taken_at} (UDP) is held by "));
    examined.says("error", "port", "udp", &format!("(pid {own})"));
    examined.says("error", "port", "udp", ", not by leela-udp, pid ");
    examined.says("error", "port", "udp", &format!("nobody listens at {free_at} (UDP), though leela-udp"));
    examined.says("error", "port", "udp", &format!("it listens at {listened}"));
}

#[test]
fn a_port_without_its_process_is_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    let listened = sandbox.listen();
    udp.kill9();
    let etc = sandbox.path().join("etc");
    let output = sandbox.leela(&["doctor", "--config-dir", etc.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    // The sandbox still holds it.
    let want = format!("error port udp {listened} (UDP) is held by ");
    assert!(text.contains(&want) && text.contains("leela-udp cannot start there"), "{text}");
    sandbox.close("udp");
    let output = sandbox.leela(&["doctor", "--config-dir", etc.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("warning port udp nobody listens at {listened} (UDP)")), "{text}");
}

#[test]
fn a_port_that_is_shared_is_found() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    sandbox.hold_udp("udp", &["127.0.0.1:0".parse().unwrap()], 2);
    let _udp = sandbox.start_udp("readers = 2\n");
    let listened = sandbox.listen();
    examine(&sandbox).says("ok", "port", "udp", &format!("{listened} (UDP) is held by leela-udp"));
    let third = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    third.set_reuse_port(true).unwrap();
    third.bind(&listened.into()).unwrap();
    let examined = examine(&sandbox);
    examined.says("error", "port", "udp", &format!("{listened} (UDP) is shared: what comes goes to "));
}

#[test]
fn limits_of_the_kernel_are_held_against_what_is_asked_for() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("receive_buffer = \"1TiB\"\n");
    let examined = examine(&sandbox);
    examined.says("warning", "kernel", "net.core.rmem_max", "where `receive_buffer` of udp is 1TiB");
    for (setting, wanted) in [("net.unix.max_dgram_qlen", 512), ("net.core.wmem_max", 4_194_304)] {
        let path = format!("/proc/sys/{}", setting.replace('.', "/"));
        let have: u64 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        let severity = if have < wanted { "warning" } else { "ok" };
        examined.says(severity, "kernel", setting, &have.to_string());
    }
    let synchronized = common::clock::discipline().unwrap().is_synchronized;
    let (severity, text) =
        if synchronized { ("ok", "kept right") } else { ("warning", "adjtimex: unsynchronized") };
    examined.says(severity, "clock", "synchronization", text);
}
