//! What time does to metrics, through the real processes.

use common::metric::Kind;
use common::time::{SECOND_NS, Time};
use tests::{Kept, Packet, Process, Recorder, Sandbox, wait_until};

/// udp, timeline and a recorder; each metric is sent when the last one is booked or its event was seen.
struct Pipeline {
    recorder: Recorder,
    client: std::net::UdpSocket,
    events: usize,
    sent: u64,
    _processes: [Process; 2],
    sandbox: Sandbox,
}

impl Pipeline {
    fn new() -> Pipeline {
        let mut sandbox = Sandbox::new();
        let timeline = sandbox.start_timeline("");
        let udp = sandbox.start_udp("");
        let recorder = sandbox.recorder("one");
        let client = sandbox.client(sandbox.listen());
        Pipeline { recorder, client, events: 0, sent: 0, _processes: [timeline, udp], sandbox }
    }

    /// Sends a metric, and waits until the timeline has done with it; gives its event, when there is one.
    fn send(&mut self, text: &str) -> Option<Kept> {
        self.client.send(text.as_bytes()).expect("loopback");
        self.applied(text)
    }

    /// Waits until one more metric is applied.
    fn applied(&mut self, text: &str) -> Option<Kept> {
        self.sent += 1;
        wait_until(&format!("{text} is applied"), || self.counter("received") == self.sent);
        let events = (self.counter("passed") + self.counter("timer_events")) as usize;
        let kept = self.recorder.wait_kept(events);
        assert!(events <= self.events + 1, "{text}: more than one event");
        let event = (events > self.events).then(|| kept[self.events].clone());
        self.events = events;
        event
    }

    fn counter(&self, name: &str) -> u64 {
        self.sandbox.books("timeline").counter(name)
    }
}

/// `ns` after `from`, in the text of a metric.
fn stamp(from: Time, ns: i64) -> Time {
    from.plus_ns(ns)
}

#[test]
fn a_derive_with_jitter_loses_no_rate() {
    rates_of_360_samples(|pipeline, _, value, time| {
        pipeline.send(&format!("derive 26|web01.load.derive-requests {value} {time};"))
    });
}

#[test]
fn a_derive_that_comes_by_two_ways_loses_no_rate() {
    let mut collectd = None;
    rates_of_360_samples(move |pipeline, sample, value, time| {
        if sample % 2 == 0 {
            return pipeline.send(&format!("derive 26|web01.load.derive-requests {value} {time};"));
        }
        let (_process, client) = collectd.get_or_insert_with(|| {
            let process = pipeline.sandbox.start_held("collectd", "");
            (process, pipeline.sandbox.client(pipeline.sandbox.listens("collectd")[0]))
        });
        let packet = Packet::of(["web01", "load", "derive", "requests"], Kind::Derive, value, time);
        client.send(packet.bytes()).expect("loopback");
        pipeline.applied(&format!("{value} by collectd"))
    });
}

/// A derive every 10 s and up to 5 ms more or less, 360 samples, each sent by `send` once the last one's event was
/// seen: 359 rates.
fn rates_of_360_samples(mut send: impl FnMut(&mut Pipeline, i64, u64, Time) -> Option<Kept>) {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-4000 * SECOND_NS);
    let mut last = (start, 0_u64);
    let (mut rates, mut random) = (0, 1_u32);
    for sample in 0..360_i64 {
        // 10 s, and up to 5 ms more or less.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let jitter_ns = i64::from(random >> 8) % 10_000_001 - 5_000_000;
        // collectd's clock ticks 2^30 times a second; whole multiples of 2^-9 s are the same in both.
        let time = binary(stamp(start, sample * 10 * SECOND_NS + jitter_ns));
        let value = last.1 + u64::from(random % 100_000);
        let event = send(&mut pipeline, sample, value, time);
        if sample > 0 {
            let event = event.unwrap_or_else(|| panic!("sample {sample} gives no rate"));
            let want = (value - last.1) as f64 / (time.since_ns(last.0) as f64 / 1e9);
            assert_eq!((event.time, event.value), (time, want), "sample {sample}");
            rates += 1;
        } else {
            assert_eq!(event, None, "the first sample is the base");
        }
        last = (time, value);
    }
    assert_eq!(rates, 359);
    assert_eq!((pipeline.counter("merged"), pipeline.counter("passed")), (1, 359));
}

/// The last multiple of 2^-9 s that is not after `time`.
fn binary(time: Time) -> Time {
    const TICK_NS: i64 = SECOND_NS >> 9;
    Time::from_ns(time.ns() / TICK_NS * TICK_NS)
}

#[test]
fn a_counter_that_starts_anew_is_no_spike() {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    let values = [999_000_u64, 999_500, 1_000_000, 5, 505];
    let rates: Vec<Option<f64>> = (0..)
        .zip(values)
        .map(|(n, value)| {
            let time = stamp(start, n * 10 * SECOND_NS);
            pipeline.send(&format!("counter 1|c {value} {time};")).map(|event| event.value)
        })
        .collect();
    assert_eq!(rates, [None, Some(50.0), Some(50.0), None, Some(50.0)]);
    assert_eq!((pipeline.counter("reset"), pipeline.counter("wrapped")), (1, 0));
}

#[test]
fn a_counter_that_goes_back_first_thing_is_a_reset() {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    for (n, value, want) in [(0, 1_000_000_u64, None), (1, 5, None), (2, 15, Some(1.0))] {
        let time = stamp(start, n * 10 * SECOND_NS);
        let event = pipeline.send(&format!("counter 1|c {value} {time};"));
        assert_eq!(event.map(|event| event.value), want, "{value}");
    }
    assert_eq!(pipeline.counter("reset"), 1);
}

#[test]
fn a_true_wrap_gives_the_right_rate() {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    // 1,000 a second, over the ends of 32 and of 64 bits.
    for (key, end) in [("narrow", 1_u128 << 32), ("wide00", 1_u128 << 64)] {
        for n in 0..6_i64 {
            let time = stamp(start, n * 10 * SECOND_NS);
            let value = (end - 25_000 + 10_000 * n as u128) % end;
            let event = pipeline.send(&format!("counter 6|{key} {value} {time};"));
            let want = (n > 0).then_some(1000.0);
            assert_eq!(event.map(|event| event.value), want, "{key} {value}");
        }
    }
    assert_eq!((pipeline.counter("reset"), pipeline.counter("wrapped")), (0, 2));
}

#[test]
fn a_time_in_the_year_2100_is_refused_and_the_next_point_passes() {
    let mut pipeline = Pipeline::new();
    let now = Time::now();
    assert!(pipeline.send(&format!("gauge 1|g 1 {now};")).is_some());
    assert_eq!(pipeline.send("gauge 1|g 2 4102444800;"), None);
    assert_eq!(pipeline.send(&format!("gauge 1|g 3 {now};")).map(|event| event.value), Some(3.0));
    assert_eq!((pipeline.counter("refused.future"), pipeline.counter("passed")), (1, 2));
    let refusals = pipeline.sandbox.books("timeline").refusals();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].text, b"gauge 1|g 2 4102444800.0;");
}

#[test]
fn integers_beyond_2_53_are_exact() {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    let base = (1_u64 << 53) + 1;
    for (n, value) in [base, base + 3, base + 10].into_iter().enumerate() {
        let time = stamp(start, n as i64 * 10 * SECOND_NS);
        let want = [None, Some(0.3), Some(0.7)][n];
        let event = pipeline.send(&format!("derive 1|d {value} {time};"));
        assert_eq!(event.map(|event| event.value), want, "{value}");
    }
}

#[test]
fn an_absolute_is_a_rate_over_its_own_gap() {
    let mut pipeline = Pipeline::new();
    let start = Time::now().plus_ns(-600 * SECOND_NS);
    for (value, seconds, want) in
        [(20, 0, None), (50, 15, Some(20.0 / 15.0)), (50, 30, Some(50.0 / 15.0)), (70, 65, Some(50.0 / 35.0))]
    {
        let time = stamp(start, seconds * SECOND_NS);
        let event = pipeline.send(&format!("absolute 4|hits {value} {time};"));
        assert_eq!(
            event.map(|event| (event.value, event.time)),
            want.map(|rate| (rate, time)),
            "{seconds} s"
        );
    }
    let applied = pipeline.counter("absolute_emitted") + pipeline.counter("absolute_open");
    assert_eq!((pipeline.counter("absolute_applied"), applied), (4, 4));
}

#[test]
fn gauges_fill_the_past_and_rates_do_not() {
    let mut pipeline = Pipeline::new();
    let now = Time::now();
    let ago = |seconds: i64| stamp(now, -seconds * SECOND_NS);
    for (text, want) in [
        (format!("gauge 1|g 1 {};", ago(0)), Some(1.0)),
        (format!("gauge 1|g 2 {};", ago(86_400)), Some(2.0)),
        (format!("adjust 1|g 3 {};", ago(86_400)), Some(4.0)),
        (format!("gauge 1|g 5 {};", ago(500 * 86_400)), None),
        (format!("derive 1|d 5 {};", ago(10)), None),
        (format!("derive 1|d 5 {};", ago(20)), None),
        // The name is a gauge's.
        (format!("derive 1|g 5 {};", ago(0)), None),
    ] {
        assert_eq!(pipeline.send(&text).map(|event| event.value), want, "{text}");
    }
    for reason in ["too_old", "stale", "kind_conflict"] {
        assert_eq!(pipeline.counter(&format!("refused.{reason}")), 1, "{reason}");
    }
}
