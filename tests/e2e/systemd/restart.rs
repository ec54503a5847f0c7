//! A restart under load loses nothing, of a service and of the target.

use tests::{Booted, Rates, SERVICES, Traffic, alone};

/// As much as a debug build does on two cores beside other tests.
const RATES: Rates = Rates { packed: 20_000, waiting: 5_000, said: 1_000, singles: 2_000 };
/// Restarts of each.
const TIMES: usize = 2;

#[test]
fn restarts_of_services_and_of_the_target_lose_nothing() {
    let _machine = alone();
    let Some(booted) = Booted::start() else { return };
    booted.install(&SERVICES);
    // Counts come out every second.
    booted.ok("mkdir -p /etc/leela/timeline.d && echo 'interval = \"1s\"' >/etc/leela/timeline.d/test.toml");
    booted.ok("systemctl enable --quiet --now leela.target");
    let traffic = Traffic::start(&booted, RATES);
    for service in SERVICES.into_iter().chain(["target"]) {
        let unit =
            if service == "target" { "leela.target".into() } else { format!("leela-{service}.service") };
        for _ in 0..TIMES {
            traffic.wait_flow(2_000);
            booted.ok(&format!("systemctl restart {unit}"));
        }
    }
    traffic.wait_flow(2_000);
    let account = traffic.settle();
    assert!(account.holds(), "{account:#?}");
}
