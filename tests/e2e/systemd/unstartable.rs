//! A service that cannot start keeps its queue, and its socket unit never fails.

use tests::{Booted, Fault, Flood, Rates, Traffic, alone};

/// Gauges a second, and what else comes; `leela send` would give up after a while.
const RATES: Rates = Rates { packed: 10_000, waiting: 500, said: 0, singles: 500 };
/// Seconds of an outage.
const SECONDS: u64 = 5;
/// Small datagrams that wait for an input, as its unit says.
const WAIT: u64 = 160_000;

#[test]
fn what_comes_for_a_service_that_cannot_start_waits_for_it() {
    let _machine = alone();
    let Some(booted) = Booted::with_services() else { return };
    let traffic = Traffic::start(&booted, RATES);
    for (service, fault) in [
        ("timeline", Fault::Configuration),
        ("timeline", Fault::Program),
        ("storage", Fault::Configuration),
        ("dmproc", Fault::Program),
    ] {
        traffic.wait_flow(1_000);
        booted.outage(service, fault, || traffic.wait_sent(RATES.packed * SECONDS));
    }
    traffic.wait_flow(1_000);
    let account = traffic.settle();
    assert!(account.holds(), "{account:#?}");

    for input in ["udp", "statsd", "collectd"] {
        assert_eq!(booted.flood(input, WAIT), Flood { sent: WAIT, read: WAIT, kernel_drops: 0 }, "{input}");
        let Flood { sent, read, kernel_drops } = booted.flood(input, 2 * WAIT);
        assert_eq!(read + kernel_drops, sent, "{input}: what had no room is booked");
        assert!(read >= WAIT, "{input}: {read} waited");
    }
    let status = booted.run("leela status");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}
