//! Starting, stopping and restarting one process or all of them does what an operator expects, in whatever order.

use tests::{Booted, wait_until};

use super::package::{CORE, active, installed, units_of_the_core};

/// What reaches a process by its socket, and starts a service that does not run.
const KNOCKS: [(&str, &str); 7] = [
    ("collectd", "printf x >/dev/udp/127.0.0.1/25826"),
    ("dmproc", "leela query 'SELECT id FROM ^none' --timeout 100ms || [ $? = 1 ]"),
    ("http", "printf 'GET / HTTP/1.0\r\n\r\n' >/dev/tcp/127.0.0.1/4080"),
    ("statsd", "printf 'knock:1|c' >/dev/udp/127.0.0.1/8125"),
    ("storage", "leela store stats >/dev/null"),
    ("timeline", "leela send gauge knock 1"),
    ("udp", "printf 'gauge 5|knock 1;' >/dev/udp/127.0.0.1/6968"),
];

/// The ids of the processes that run.
fn services(booted: &Booted) -> String {
    booted.ok("systemctl show --property=MainPID --value 'leela-*.service' | grep -vx -e 0 -e '' | sort")
}

/// The target is stopped before its units are: waits for them, and until nothing is to be started any more.
fn wait_stopped(booted: &Booted) {
    wait_until("all of it has stopped", || booted.ok("systemctl list-jobs --no-legend").is_empty());
    assert_eq!(active(booted), [""; 0]);
}

fn is_active(booted: &Booted, unit: &str) -> bool {
    booted.run(&format!("systemctl is-active --quiet {unit}")).status.success()
}

#[test]
fn what_is_stopped_stays_so_with_its_socket_and_comes_back_without() {
    let Some(booted) = installed() else { return };
    for (process, knock) in KNOCKS {
        let (service, socket) = (format!("leela-{process}.service"), format!("leela-{process}.socket"));
        // The service alone: the next one who asks has it again, and loses nothing by it.
        booted.ok(&format!("systemctl stop {service} && systemctl is-active --quiet {socket}"));
        booted.ok(knock);
        wait_until(&format!("{process} is back"), || is_active(&booted, &service));

        // Together, in either order: nobody is there, and nobody comes.
        for pair in [format!("{service} {socket}"), format!("{socket} {service}")] {
            booted.ok(&format!("systemctl stop {pair}"));
            booted.run(knock);
            let shown = booted.ok(&format!("systemctl show --property=ActiveState,Job --value {pair}"));
            assert!(shown.lines().all(|line| ["", "inactive"].contains(&line)), "{process}, {pair}: {shown}");
            // The service brings its socket; the socket alone brings the service with what comes.
            booted.ok(&format!("systemctl start {service} && systemctl is-active --quiet {socket}"));
        }
        booted.ok(&format!("systemctl stop {service} {socket} && systemctl start {socket}"));
        // The others go on to send to those of the core.
        let waits = ["collectd", "http", "statsd", "udp"].contains(&process);
        assert!(!waits || !is_active(&booted, &service), "{process}");
        booted.ok(knock);
        wait_until(&format!("{process} comes with the first datagram"), || is_active(&booted, &service));
    }
    assert_eq!(active(&booted), units_of_the_core());
    assert_eq!(booted.ok("systemctl list-units --failed --plain --no-legend 'leela*'"), "");
}

#[test]
fn what_does_not_start_says_why_and_how_it_will() {
    let Some(booted) = installed() else { return };
    booted.ok("mkdir /etc/leela/udp.d && echo 'listen = [\"127.0.0.1:6968\", \"127.0.0.1:6969\"]' >/etc/leela/udp.d/more.toml");
    // It exits before anybody could ask who it was.
    assert!(!booted.run("systemctl restart leela-udp.service").status.success());
    let said = || booted.ok("journalctl --unit=leela-udp.service --output=cat --priority=err");
    wait_until("it is said", || said().contains("\nListenDatagram=127.0.0.1:6969\n"));
    let said = said();
    let drop_in: Vec<&str> = said
        .lines()
        .skip_while(|line| *line != "[Socket]")
        .take_while(|line| line.contains(['[', '=']))
        .collect();
    let at = "/etc/systemd/system/leela-udp.socket.d/listen.conf";
    assert!(said.contains(at), "{said}");
    // Done as it says.
    booted.ok(&format!(
        "mkdir {} && echo '{}' >{at}",
        at.trim_end_matches("/listen.conf"),
        drop_in[..4].join("\n")
    ));
    booted.ok("systemctl daemon-reload && systemctl restart leela-udp.socket");
    wait_until("it runs", || is_active(&booted, "leela-udp.service"));
    booted.ok("printf 'gauge 4|more 1;' >/dev/udp/127.0.0.1/6969");
    wait_until("it reads there", || booted.books("udp").counter("accepted") == 1);
}

#[test]
fn one_that_hangs_is_started_again() {
    let Some(booted) = installed() else { return };
    // As the units say, only sooner.
    for process in CORE {
        let drop_in = format!("/run/systemd/system/leela-{process}.service.d");
        booted.ok(&format!(
            "mkdir -p {drop_in}; printf '[Service]\\nWatchdogSec=2s\\n' >{drop_in}/sooner.conf"
        ));
    }
    booted.ok("systemctl daemon-reload && systemctl restart leela.target");
    wait_until("all run", || services(&booted).lines().count() == CORE.len());
    let old = services(&booted);
    // One that got no processor for two seconds hangs as well, and is gone by itself.
    booted.ok(&format!("kill -STOP {} || true", old.replace('\n', " ")));
    let again = || {
        let new = services(&booted);
        new.lines().count() == CORE.len() && new.lines().all(|pid| !old.lines().any(|old| old == pid))
    };
    wait_until("all of them are others", again);
    wait_until("they run", || active(&booted) == units_of_the_core());
}

#[test]
fn the_target_is_all_of_it() {
    let Some(booted) = installed() else { return };
    let sockets = |booted: &Booted| {
        booted.ok(
            "systemctl show --property=Id,InvocationID,ActiveEnterTimestampMonotonic 'leela*.socket' | sort",
        )
    };

    // Restarted: each service is another one, each socket the same.
    let (kept, old) = (sockets(&booted), services(&booted));
    booted.ok("systemctl restart leela.target");
    assert_eq!(active(&booted), units_of_the_core());
    assert_eq!(sockets(&booted), kept);
    let new = services(&booted);
    assert_eq!(new.lines().count(), CORE.len());
    assert!(new.lines().all(|pid| !old.lines().any(|old| old == pid)), "{old} {new}");

    // Stopped under what comes in: nothing is left, nothing comes back; started: all of it.
    let stream = "while :; do for port in 6968 8125 25826; do printf \"gauge 1|a 1;\" >/dev/udp/127.0.0.1/$port; done; done";
    booted.ok(&format!("systemd-run --quiet --unit=stream --property=KillSignal=KILL bash -c '{stream}'"));
    for _ in 0..3 {
        booted.ok("systemctl stop leela.target");
        wait_stopped(&booted);
        booted.ok("systemctl start leela.target");
        assert_eq!(active(&booted), units_of_the_core());
    }
    booted.ok("systemctl stop stream");

    // One that was stopped by hand comes back with the target; those that are disabled do not.
    booted.ok("systemctl stop leela-udp.service leela-udp.socket && systemctl disable --quiet --now \
         leela-host.service leela-collectd.service leela-collectd.socket");
    booted.ok("systemctl stop leela.target");
    wait_stopped(&booted);
    booted.ok("systemctl start leela.target");
    let mut want = units_of_the_core();
    want.retain(|unit| unit != "leela-host.service" && !unit.starts_with("leela-collectd"));
    assert_eq!(active(&booted), want);

    // Disabled and enabled, the target takes all of it along.
    booted.ok("systemctl disable --quiet --now leela.target");
    let enabled = "systemctl list-unit-files --state=enabled --no-legend 'leela*' | wc -l";
    assert_eq!(booted.ok(enabled), "0\n");
    wait_stopped(&booted);
    booted.ok("systemctl enable --quiet --now leela.target");
    assert_eq!(active(&booted), units_of_the_core());
}
