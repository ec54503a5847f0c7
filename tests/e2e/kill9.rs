//! A process that is killed costs what it had in hand, and no more; and the books say how much that was.
//!
//! What was sent and what came out are the test's own counts: every gauge has a number as its value, is one
//! datagram by itself, and is seen at most once.

use common::wire::DATAGRAM_BYTES_MAX;
use tests::{Load, Process, Recorder, Running, Sandbox, alone, wait_until};

const RATE: u64 = 50_000;
const RECORDS: u64 = 400_000;
const KILLS: u64 = 12;

/// Datagrams that leela-udp has in hand at most.
const HAND: u64 = 32;
/// Datagrams that leela-timeline applies before it commits, and what one of them holds of these gauges at most.
const APPLIED: u64 = 16;
const RECORDS_A_DATAGRAM: u64 = (DATAGRAM_BYTES_MAX / (2 + 17 + 13)) as u64;

/// What became of a load, by the books.
struct Account {
    sent: u64,
    kernel_drops: u64,
    lost_in_udp: u64,
    lost_in_timeline: u64,
    dropped: u64,
}

/// Waits until all that was sent is accounted for, and gives the account.
fn settled(sandbox: &Sandbox, recorder: &Recorder, sent: u64) -> Account {
    let account = || {
        let (udp, timeline) = (sandbox.books("udp"), sandbox.books("timeline"));
        let (kernel_drops, lost_in_udp) = (udp.counter("kernel_drops"), udp.counter("lost_in_crash"));
        assert_eq!((udp.total("refused"), timeline.total("refused")), (0, 0));
        let (peer, waiting) = sandbox.peer("one").expect("the recorder is a peer");
        let (input, waiting_in_udp) = sandbox.peers("udp").remove(0);
        let at_rest = waiting + waiting_in_udp == 0
            && udp.counter("datagrams") + kernel_drops + lost_in_udp == sent
            && timeline.counter("received") + timeline.counter("missing") == udp.counter("passed")
            && recorder.look(|tally| tally.events + tally.gaps) == peer.sent + peer.dropped;
        let lost_in_timeline = timeline.counter("missing") - input.dropped;
        let dropped = input.dropped + peer.dropped + timeline.counter("no_peer");
        at_rest.then_some(Account { sent, kernel_drops, lost_in_udp, lost_in_timeline, dropped })
    };
    let mut found = None;
    let shown = || {
        let (udp, timeline) = (sandbox.books("udp"), sandbox.books("timeline"));
        eprintln!("sent {sent}; udp {:?}; timeline {:?}", udp.counters, timeline.counters);
        eprintln!(
            "peer {:?}; recorder {:?}",
            sandbox.peer("one"),
            recorder.look(|t| (t.events, t.gaps, t.repeated))
        );
    };
    let shown = OnFailure(shown);
    wait_until("everything that was sent is accounted for", || {
        found = account();
        found.is_some()
    });
    std::mem::forget(shown);
    found.expect("just found")
}

/// Calls its function when the test fails meanwhile.
struct OnFailure<F: Fn()>(F);

impl<F: Fn()> Drop for OnFailure<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.0)();
        }
    }
}

fn seen(recorder: &Recorder) -> u64 {
    recorder.look(|tally| tally.numbered)
}

/// Kills and starts `process` again, [`KILLS`] times, while the load runs; gives the load's end.
fn kill_often(
    sandbox: &mut Sandbox,
    recorder: &Recorder,
    load: Running,
    mut process: Process,
    start: fn(&mut Sandbox, &str) -> Process,
) -> (u64, Process) {
    for _ in 0..KILLS {
        let before = seen(recorder);
        wait_until("events flow", || seen(recorder) > before + RECORDS / (2 * KILLS));
        process.kill9();
        process = start(sandbox, "");
    }
    let before = seen(recorder);
    wait_until("events flow again", || seen(recorder) > before);
    (load.finish(), process)
}

fn check(account: &Account, recorder: &Recorder) {
    let tally = recorder.tally();
    let Account { sent, kernel_drops, lost_in_udp, lost_in_timeline, dropped } = *account;
    eprintln!(
        "sent {sent}, out {}, kernel_drops {kernel_drops}, lost in udp {lost_in_udp}, lost in timeline \
         {lost_in_timeline}, dropped {dropped}, repeated {} and gaps {} at the recorder",
        tally.numbered, tally.repeated, tally.gaps
    );
    assert_eq!(tally.twice, 0, "no gauge comes out twice");
    assert_eq!(tally.numbered, tally.events);
    assert_eq!(
        tally.numbered + kernel_drops + lost_in_udp + lost_in_timeline + dropped,
        sent,
        "out + losses = in"
    );
    assert_eq!(dropped, 0, "the rings have room for all of this");
}

#[test]
fn udp_loses_the_datagrams_in_hand() {
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let mut timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    let recorder = sandbox.recorder("one");
    let load = Load { rate: RATE, records: RECORDS, packed: 1 }.start(sandbox.listen());
    let (sent, mut udp) = kill_often(&mut sandbox, &recorder, load, udp, Sandbox::start_udp);
    let account = settled(&sandbox, &recorder, sent);
    check(&account, &recorder);
    assert!(account.lost_in_udp <= KILLS * HAND, "{}", account.lost_in_udp);
    assert_eq!(account.lost_in_timeline, 0, "the timeline was not killed");
    assert!(timeline.is_alive() && udp.is_alive());
}

#[test]
fn timeline_loses_the_datagrams_in_hand() {
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let mut udp = sandbox.start_udp("");
    let recorder = sandbox.recorder("one");
    let load = Load { rate: RATE, records: RECORDS, packed: 1 }.start(sandbox.listen());
    let (sent, mut timeline) = kill_often(&mut sandbox, &recorder, load, timeline, Sandbox::start_timeline);
    let account = settled(&sandbox, &recorder, sent);
    check(&account, &recorder);
    assert_eq!(account.lost_in_udp, 0, "leela-udp was not killed");
    assert!(account.lost_in_timeline <= KILLS * APPLIED * RECORDS_A_DATAGRAM, "{}", account.lost_in_timeline);
    assert!(timeline.is_alive() && udp.is_alive());
}

#[test]
fn open_windows_of_the_timeline_are_booked_as_lost() {
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let _udp = sandbox.start_udp("");
    let client = sandbox.client(sandbox.listen());
    client.send(b"absolute 1|a 1;absolute 1|a 2;absolute 1|b 3;").unwrap();
    wait_until("the windows are open", || sandbox.books("timeline").counter("absolute_open") == 3);
    timeline.kill9();
    let _timeline = sandbox.start_timeline("");
    wait_until("they are booked as lost", || sandbox.books("timeline").counter("absolute_lost") == 3);
    let books = sandbox.books("timeline");
    assert_eq!((books.counter("absolute_open"), books.counter("absolute_applied")), (0, 3));
}

#[test]
fn books_are_readable_of_the_dead_and_the_stopped() {
    use common::books::State;
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_timeline("");
    let udp = sandbox.start_udp("");
    sandbox.client(sandbox.listen()).send(b"gauge 3|foo 1;").unwrap();
    wait_until("it came through", || sandbox.books("timeline").counter("received") == 1);
    timeline.stop();
    assert_eq!(sandbox.books("timeline").state, State::Stopped);
    timeline.cont();
    wait_until("it runs again", || sandbox.books("timeline").state == State::Running);
    udp.kill9();
    let books = sandbox.books("udp");
    assert_eq!((books.state, books.counter("passed")), (State::Dead, 1));
}
