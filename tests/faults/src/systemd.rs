//! The real units in a booted systemd: restarts and upgrades under load, and services that cannot start.

use anyhow::Context;
use tests::{Account, Booted, Fault, Rates, SERVICES, Traffic, binary, built_with};

use crate::Scale;
use crate::row::Row;

const RATES: Rates = Rates { packed: 100_000, waiting: 20_000, said: 1_000, singles: 5_000 };
/// As much as a debug build does beside others.
const SHORT_RATES: Rates = Rates { packed: 20_000, waiting: 5_000, said: 1_000, singles: 2_000 };
/// `leela send` would give up during an outage, as it is told to.
const OUTAGE_RATES: Rates = Rates { packed: 10_000, waiting: 500, said: 0, singles: 500 };
/// Small datagrams that wait for an input, as its unit says.
const WAIT: u64 = 160_000;
const NO_SYSTEMD: &str = "no systemd can be booted here";

/// Each service in turn is restarted again and again, then the target.
pub(crate) fn restarts(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (times, rates) = (scale.pick(20, 1), scale.pick(RATES, SHORT_RATES));
    let booted = Booted::with_services().context(NO_SYSTEMD)?;
    let traffic = Traffic::start(&booted, rates);
    traffic.restart_all(times);
    let seen = format!("{} restarts", (SERVICES.len() + 1) * times);
    Ok(rows("systemd_restarts", rates, &traffic.settle(), &seen))
}

/// All services are upgraded under load, by the release that reads the next version of every form, to one that writes it,
/// and back.
pub(crate) fn upgrades(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (times, rates) = (scale.pick(5, 1), scale.pick(RATES, SHORT_RATES));
    let packages: Vec<String> =
        SERVICES.iter().map(|service| format!("leela-{service}")).chain(["leela".to_owned()]).collect();
    let [reads, writes] = ["next-version-read", "next-version"].map(|feature| built_with(feature, &packages));
    let own: Vec<_> = packages.iter().map(|package| binary(package)).collect();
    let booted = Booted::with_services().context(NO_SYSTEMD)?;
    let traffic = Traffic::start(&booted, rates);
    for _ in 0..times {
        [&reads, &writes, &reads, &own].into_iter().for_each(|programs| traffic.upgrade(programs));
    }
    let seen = format!("{times} times there and back, {} restarts", 4 * times * SERVICES.len());
    Ok(rows("systemd_upgrades", rates, &traffic.settle(), &seen))
}

/// Services cannot start for a minute; inputs get more than waits for them.
pub(crate) fn unstartable(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let seconds = scale.pick(60, 5);
    let booted = Booted::with_services().context(NO_SYSTEMD)?;
    let traffic = Traffic::start(&booted, OUTAGE_RATES);
    let outages = [
        ("timeline", Fault::Configuration),
        ("timeline", Fault::Program),
        ("storage", Fault::Configuration),
        ("dmproc", Fault::Program),
    ];
    for (service, fault) in outages {
        traffic.wait_flow(1_000);
        // By the second: a wait is bounded by a minute.
        booted.outage(service, fault, || (0..seconds).for_each(|_| traffic.wait_sent(OUTAGE_RATES.packed)));
    }
    traffic.wait_flow(1_000);
    let seen = format!("{} outages of {seconds} s", outages.len());
    let mut rows = rows("systemd_unstartable", OUTAGE_RATES, &traffic.settle(), &seen);
    for input in ["udp", "statsd", "collectd"] {
        for (sent, most) in [(WAIT, 0), (2 * WAIT, WAIT)] {
            let flood = booted.flood(input, sent);
            let load = format!("{sent} small datagrams while it cannot start");
            rows.push(
                Row::new(format!("systemd_unstartable, {input}"), load)
                    .sums(sent, flood.read)
                    .counted("kernel_drops", flood.kernel_drops)
                    .must(flood.kernel_drops <= most, format!("under {WAIT} waited")),
            );
        }
    }
    Ok(rows)
}

fn rows(case: &str, rates: Rates, account: &Account, seen: &str) -> Vec<Row> {
    let Rates { packed, waiting, said, singles } = rates;
    let Account {
        gauges,
        gauges_sum,
        gauges_out,
        gauges_sum_out,
        counts,
        counts_out,
        twice,
        losses,
        findings,
    } = account;
    let load = format!("gauges/s: {packed} by udp, {waiting} by a unix sender, {said} by leela send");
    vec![
        Row::new(format!("{case}, gauges"), load)
            .sums(*gauges, *gauges_out)
            .must(gauges_sum == gauges_sum_out, format!("the sum is {gauges_sum_out}, not {gauges_sum}"))
            .must(*twice == 0, format!("{twice} came out twice"))
            .must(losses.is_empty(), format!("{losses:?}"))
            .must(findings.is_empty(), format!("leela status: {findings}"))
            .seen(seen),
        Row::new(format!("{case}, counts"), format!("{singles} counts/s by statsd, one a datagram"))
            .sums(*counts, *counts_out as u64)
            .must(counts_out.fract() == 0.0, format!("the sum is {counts_out}")),
    ]
}
