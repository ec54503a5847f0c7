//! A restart under load loses nothing, of a service and of the target.

use tests::{Booted, Rates, Traffic, alone};

/// As much as a debug build does on two cores beside other tests.
const RATES: Rates = Rates { packed: 20_000, waiting: 5_000, said: 1_000, singles: 2_000 };
/// Restarts of each.
const TIMES: usize = 2;

#[test]
fn restarts_of_services_and_of_the_target_lose_nothing() {
    let _machine = alone();
    let Some(booted) = Booted::with_services() else { return };
    let traffic = Traffic::start(&booted, RATES);
    traffic.restart_all(TIMES);
    let account = traffic.settle();
    assert!(account.holds(), "{account:#?}");
}
