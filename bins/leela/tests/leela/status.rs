//! `leela status`: from files alone, of processes in any state.

use common::books::Refusal;
use common::time::Time;
use serde_json::{Value, json};

use crate::planted::{Receiver, Sender, Sleeper, apply, books, dead};
use crate::sandbox::{Said, Sandbox};

fn status(sandbox: &Sandbox) -> (Said, Value) {
    let said = sandbox.run(&["status", "-o", "json"]);
    let report = serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said, report)
}

fn hop(report: &Value) -> Value {
    assert_eq!(report["hops"].as_array().unwrap().len(), 1, "{report:#}");
    report["hops"][0].clone()
}

/// A hop from udp in its six numbers: sent, received, dropped, waiting, in flight, lost.
fn udp_to(to: &str, numbers: [Option<u64>; 6]) -> Value {
    let [sent, received, dropped, waiting, in_flight, lost] = numbers;
    json!({
        "from": "udp", "to": to, "sent": sent, "received": received, "dropped": dropped, "waiting": waiting,
        "in_flight": in_flight, "lost_in_crash": lost,
    })
}

fn to_timeline(numbers: [u64; 6]) -> Value {
    udp_to("timeline", numbers.map(Some))
}

fn findings(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding.as_str().unwrap()).collect()
}

#[test]
fn books_that_balance_exit_0() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    let mut timeline = books::<Receiver>(&sandbox, "timeline");
    udp.commit(40);
    udp.commit(2);
    udp.next(true);
    udp.next(true);
    apply(&mut timeline, udp.books.source(), 0, 40);
    apply(&mut timeline, udp.books.source(), 40, 2);
    let (said, report) = status(&sandbox);
    assert_eq!((said.status, said.err.as_str()), (0, ""));
    let keys: Vec<&str> = report.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["balanced", "findings", "hops", "instance", "processes"]);
    assert_eq!(report["instance"], sandbox.run.to_string());
    assert_eq!(report["balanced"], true);
    assert_eq!(findings(&report), Vec::<&str>::new());
    assert_eq!(hop(&report), to_timeline([42, 42, 0, 0, 0, 0]));
    let timeline = &report["processes"][0];
    assert_eq!(timeline["name"], "timeline");
    assert_eq!(timeline["state"], "running");
    assert_eq!(timeline["pid"], std::process::id());
    assert!(timeline["since"].as_f64().unwrap() > 1.7e9);
    assert_eq!(timeline["counters"], json!({"received": 42, "accepted": 42, "passed": 42}));
    assert_eq!(report["processes"][1]["counters"]["refused.length"], 0);
}

#[test]
fn the_forms_say_the_same() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    udp.books.counters.kernel_drops = 3;
    udp.commit(2);
    udp.next(true);
    let mut timeline = books::<Receiver>(&sandbox, "timeline");
    apply(&mut timeline, udp.books.source(), 0, 2);
    for (form, wanted) in [
        (
            "text",
            &[
                "balanced yes\n",
                "\nprocess udp running ",
                "\ncounter udp received 2\n",
                "\nhop udp timeline 2 2 0 0 0 0\n",
                "\nfinding the kernel dropped 3 datagrams in front of udp",
            ][..],
        ),
        (
            "csv",
            &[
                "what,of,name,value\n",
                "\nbalanced,,,true\n",
                "\nprocess,udp,state,running\n",
                "\ncounter,udp,received,2\n",
                "\nhop,udp>timeline,in_flight,0\n",
                "\nfinding,,,\"the kernel dropped 3",
            ],
        ),
        (
            "table",
            &[
                "process   state ",
                "\nudp       running  ",
                "\nfrom  to        sent  received  dropped  waiting  in_flight  lost_in_crash\n\
                 udp   timeline     2         2        0        0          0              0\n",
                "\ndatagrams dropped by the kernel: udp 3\n",
                "\nthe books balance\n",
            ],
        ),
    ] {
        let said = sandbox.run(&["status", "-o", form]);
        assert_eq!(said.status, 0);
        for want in wanted {
            assert!(said.out.contains(want), "{form}: {want:?} is not in\n{}", said.out);
        }
    }
    assert!(sandbox.run(&["status"]).out.starts_with("instance "), "text in a pipe");
}

#[test]
fn refused_inputs_are_a_finding() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    for _ in 0..3 {
        udp.refuse(&Refusal { time: Time::from_secs(1), peer: "", reason: "value", text: b"x", offset: 0 });
    }
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    assert_eq!(
        findings(&report),
        ["udp refused 3 inputs (value 3): `leela refused --process udp` shows the last ones"]
    );
}

#[test]
fn what_waits_for_a_stopped_reader_is_waiting() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    let timeline = books::<Receiver>(&sandbox, "timeline");
    let sleeper = Sleeper::stopped();
    sleeper.keeps(&sandbox.run.books("timeline"));
    udp.commit(40);
    udp.commit(2);
    // One in the kernel's queue, one in the ring.
    udp.next(true);
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    assert_eq!(report["processes"][0]["state"], "stopped");
    assert_eq!(hop(&report), to_timeline([42, 0, 0, 42, 0, 0]));
    let found = findings(&report);
    assert!(found[0].starts_with("timeline is stopped by a signal: `kill -CONT "), "{found:?}");
    assert_eq!(found[1], "42 records from udp wait for timeline");
    drop(timeline);
}

#[test]
fn a_dead_process_keeps_its_books() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    let mut timeline = books::<Receiver>(&sandbox, "timeline");
    apply(&mut timeline, udp.books.source(), 0, 40);
    udp.commit(40);
    udp.next(true);
    udp.commit(5);
    dead(&sandbox.run.books("timeline"));
    dead(&sandbox.run.books("udp"));
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    for process in report["processes"].as_array().unwrap() {
        assert_eq!(process["state"], "dead");
    }
    assert_eq!(hop(&report), to_timeline([45, 40, 0, 5, 0, 0]));
    assert!(findings(&report)[0].starts_with("timeline is dead, killed or crashed: `leela up` or "));
}

#[test]
fn what_was_in_the_hand_of_a_killed_one_is_lost_in_crash() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    let source = udp.books.source();
    let mut timeline = books::<Receiver>(&sandbox, "timeline");
    for metrics in [10, 3, 4, 20] {
        udp.commit(metrics);
    }
    udp.next(true);
    udp.next(true); // and its reader is killed with these 3 in hand
    udp.next(false); // these 4 fall off the ring
    udp.next(true);
    apply(&mut timeline, source, 0, 10);
    // The next number shows it; before, they may as well be under way.
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    assert_eq!(hop(&report), to_timeline([37, 10, 4, 0, 23, 0]));
    assert!(findings(&report).iter().any(|finding| finding.contains("still under way")));
    apply(&mut timeline, source, 17, 20);
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    assert_eq!(hop(&report), to_timeline([37, 30, 4, 0, 0, 3]));
    let found = findings(&report);
    assert!(found[0].starts_with("4 records from udp to timeline fell off the ring"), "{found:?}");
    assert!(
        found[1].starts_with("3 records from udp to timeline went when timeline was killed"),
        "{found:?}"
    );
}

#[test]
fn a_foreign_peer_keeps_no_books() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "peers/recorder");
    udp.commit(40);
    udp.commit(2);
    udp.next(true);
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    assert_eq!(hop(&report), udp_to("peers/recorder", [Some(42), None, Some(0), Some(2), None, None]));
    assert!(sandbox.run(&["status"]).out.contains("\nhop udp peers/recorder 42 - 0 2 - -\n"));
    let place = udp.place;
    udp.ring.leave(place);
    let (_, report) = status(&sandbox);
    assert_eq!(hop(&report), udp_to("peers/recorder", [Some(42), None, Some(2), Some(0), None, None]));
    assert_eq!(findings(&report), Vec::<&str>::new(), "who came and went is nobody's concern");
    assert!(!sandbox.run(&["status", "-o", "table"]).out.contains("recorder"));
}

#[test]
fn a_difference_that_stays_exits_1() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    udp.books.counters.received = 10;
    udp.books.counters.accepted = 9;
    udp.books.counters.passed = 9;
    udp.books.commit_carried();
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 1);
    assert!(said.err.contains("the books do not balance"), "{}", said.err);
    assert_eq!(report["balanced"], false);
    assert!(
        findings(&report)[0]
            .starts_with("the books of udp do not balance: received 10 is not accepted 9 + refused 0")
    );
    udp.books.counters.passed = 9;
    udp.books.counters.accepted = 9;
    udp.books.counters.received = 9;
    udp.books.commit_carried();
    assert_eq!(status(&sandbox).0.status, 0);
}

#[test]
fn more_than_a_queue_holds_is_a_difference() {
    let sandbox = Sandbox::new();
    let mut udp = Sender::udp(&sandbox, "timeline.databus");
    let _timeline = books::<Receiver>(&sandbox, "timeline");
    udp.commit(100_000_000);
    udp.next(true);
    let (said, report) = status(&sandbox);
    assert_eq!((said.status, &report["balanced"]), (1, &json!(false)));
    assert!(findings(&report)[0].contains("are nowhere"));
}

#[test]
fn an_instance_without_books_is_not_there() {
    let sandbox = Sandbox::new();
    let said = sandbox.run(&["status"]);
    assert_eq!(said.status, 69);
    assert!(said.err.contains("no process ever ran here") && said.out.is_empty(), "{}", said.err);
}

#[test]
fn damaged_files_are_findings() {
    let sandbox = Sandbox::new();
    let udp = Sender::udp(&sandbox, "timeline.databus");
    std::fs::write(sandbox.run.books("timeline"), b"nonsense").unwrap();
    std::fs::write(sandbox.run.ring("collectd"), vec![7; 100_000]).unwrap();
    // What is on its way to being books, and what a process has in hand.
    std::fs::write(sandbox.run.books("host.new"), b"").unwrap();
    std::fs::write(sandbox.run.hand("udp"), b"").unwrap();
    let (said, report) = status(&sandbox);
    assert_eq!(said.status, 0);
    let found = findings(&report);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].contains("books/timeline holds no books") && found[1].contains("rings/collectd is no ring")
    );
    drop(udp);
}
