//! Findings: what somebody should look at, in sentences with the way out.

use common::books::State;

use super::hop::Hop;
use super::process::Process;
use super::reading::Reading;

/// All findings, the urgent ones first.
pub(super) fn findings(reading: &Reading, processes: &[Process], hops: &[Hop]) -> Vec<String> {
    let mut found = reading.problems.clone();
    for process in processes {
        let name = &process.name;
        for difference in process.differences() {
            found.push(format!(
                "the books of {name} do not balance: {}; this is a fault of leela-{name}, please report it",
                difference.text
            ));
        }
    }
    for hop in hops {
        let Hop { from, to, .. } = hop;
        let difference = hop.difference(reading.datagrams_max);
        if difference > 0 {
            found.push(format!(
                "{difference} records from {from} to {to} are nowhere: more than the kernel's queue holds; this is a \
                 fault of leela-{from} or leela-{to}, please report it"
            ));
        }
    }
    found.extend(processes.iter().filter_map(state));
    found.extend(hops.iter().flat_map(losses));
    for process in processes {
        found.extend(refused(process));
        found.extend(kernel_drops(process));
    }
    found
}

fn state(process: &Process) -> Option<String> {
    let Process { name, state, pid, .. } = process;
    match state {
        State::Running => None,
        State::Stopped => Some(format!("{name} is stopped by a signal: `kill -CONT {pid}` lets it go on")),
        State::Dead => Some(format!(
            "{name} is dead, killed or crashed: `leela up` or `systemctl start leela-{name}` starts it, `journalctl -u \
             leela-{name}` may say why"
        )),
        State::Ended => {
            Some(format!("{name} has ended: `leela up` or `systemctl start leela-{name}` starts it"))
        }
    }
}

fn losses(hop: &Hop) -> Vec<String> {
    let Hop { from, to, .. } = hop;
    let mut found = Vec::new();
    // Who came and went, such as `leela tail`, is nobody's concern any more.
    let gone = hop.left && hop.received.is_none();
    if hop.dropped > 0 && !gone {
        found.push(format!(
            "{} from {from} to {to} fell off the ring: {to} was away or behind; a larger `ring` in {from}.toml holds \
             more",
            records(hop.dropped)
        ));
    }
    if let Some(lost) = hop.lost_in_crash.filter(|lost| *lost > 0) {
        found.push(format!(
            "{} from {from} to {to} went when {to} was killed, in its hand or in the queue of its socket; sockets of \
             systemd or `leela up` keep the queue",
            records(lost)
        ));
    }
    match hop.receiver {
        Some(State::Running) => {
            if let Some(in_flight) = hop.in_flight.filter(|in_flight| *in_flight > 0) {
                found.push(format!(
                    "{} from {from} to {to} {} still under way: {to} is busy, or was killed with them in its hand, \
                     which the next ones will show",
                    records(in_flight),
                    if in_flight == 1 { "is" } else { "are" },
                ));
            }
        }
        // What waits for a foreign one is in the table: its user knows that it does not read.
        _ if hop.left || hop.received.is_none() => {}
        _ if hop.waiting > 0 => {
            let verb = if hop.waiting == 1 { "waits" } else { "wait" };
            found.push(format!("{} from {from} {verb} for {to}", records(hop.waiting)));
        }
        _ => {}
    }
    found
}

fn refused(process: &Process) -> Option<String> {
    let name = &process.name;
    let refused = process.total("refused").filter(|refused| *refused > 0)?;
    let reasons: Vec<String> =
        process.family("refused").iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let inputs = if refused == 1 { "input" } else { "inputs" };
    Some(format!(
        "{name} refused {refused} {inputs} ({}): `leela refused --process {name}` shows the last ones",
        reasons.join(", ")
    ))
}

fn kernel_drops(process: &Process) -> Option<String> {
    let name = &process.name;
    let drops = process.total("kernel_drops").filter(|drops| *drops > 0)?;
    let datagrams = if drops == 1 { "datagram" } else { "datagrams" };
    Some(format!(
        "the kernel dropped {drops} {datagrams} in front of {name}, its receive buffer was full: raise \
         `receive_buffer` in {name}.toml, and net.core.rmem_max, which bounds it"
    ))
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::process;
    use super::*;

    #[test]
    fn a_finding_says_the_way_out() {
        let calm = Hop {
            from: "udp".into(),
            to: "timeline".into(),
            sent: 100,
            received: Some(100),
            dropped: 0,
            waiting: 0,
            in_flight: Some(0),
            lost_in_crash: Some(0),
            receiver: Some(State::Running),
            left: false,
        };
        let running = |counters: &[(&str, u64)]| process("udp", State::Running, counters);
        let reading = Reading { datagrams_max: 11, ..Reading::default() };
        for (label, process, hop, want) in [
            ("calm", running(&[("kernel_drops", 0), ("refused.value", 0)]), calm.clone(), &[][..]),
            ("stopped", process("udp", State::Stopped, &[]), calm.clone(), &["kill -CONT 7"]),
            ("dead", process("udp", State::Dead, &[]), calm.clone(), &["systemctl start leela-udp"]),
            ("ended", process("udp", State::Ended, &[]), calm.clone(), &["udp has ended"]),
            (
                "refused",
                running(&[("refused.length", 2), ("refused.value", 3), ("refused.time", 0)]),
                calm.clone(),
                &["udp refused 5 inputs (value 3, length 2): `leela refused --process udp`"],
            ),
            (
                "kernel",
                running(&[("kernel_drops", 1)]),
                calm.clone(),
                &["the kernel dropped 1 datagram in front of udp"],
            ),
            ("dropped", running(&[]), Hop { dropped: 9, ..calm.clone() }, &["a larger `ring` in udp.toml"]),
            (
                "killed",
                running(&[]),
                Hop { lost_in_crash: Some(1), ..calm.clone() },
                &["1 record from udp to timeline went"],
            ),
            (
                "flight",
                running(&[]),
                Hop { in_flight: Some(2), ..calm.clone() },
                &["2 records from udp to timeline are still"],
            ),
            (
                "waiting",
                running(&[]),
                Hop { waiting: 2, receiver: Some(State::Stopped), ..calm.clone() },
                &["2 records from udp wait for timeline"],
            ),
            ("fault", running(&[("received", 1), ("accepted", 0)]), calm.clone(), &["please report it"]),
            (
                "nowhere",
                running(&[]),
                Hop { in_flight: Some(1 << 30), ..calm.clone() },
                &["are nowhere", "still under way"],
            ),
            (
                "gone",
                running(&[]),
                Hop {
                    dropped: 9,
                    received: None,
                    in_flight: None,
                    receiver: None,
                    left: true,
                    ..calm.clone()
                },
                &[],
            ),
        ] {
            let found = findings(&reading, &[process], &[hop]);
            assert_eq!(found.len(), want.len(), "{label}: {found:#?}");
            for (finding, want) in found.iter().zip(want) {
                assert!(finding.contains(want), "{label}: {finding}");
            }
        }
    }
}
