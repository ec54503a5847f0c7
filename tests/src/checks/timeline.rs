//! The timeline: its rules over any records, and its saved state.

use std::time::Duration;

use common::metric::{Event, State};
use common::sketch::Sketch;
use common::time::Time;
use common::wire::{Content, Header, Metrics};
use leela_timeline::rules::Rules;
use leela_timeline::snapshot::{TakenUp, save, take_up, take_up_windows};
use leela_timeline::timeline::{Output, Timeline};

use super::in_file;

const NOW: Time = Time::from_secs(1_780_000_000);

/// The rules: whatever records come, the counts balance, events are finite and have keys, and a restart in
/// between loses none of it. A datagram of metrics; between records the clock goes on by what the first byte says.
pub fn timeline(bytes: &[u8]) {
    let Some((step, datagram)) = bytes.split_first() else { return };
    let Ok((header, records)) = Header::read(datagram) else { return };
    if header.content != Content::Metrics {
        return;
    }
    let mut timeline = Timeline::new(Rules::default());
    let mut mono = Duration::from_secs(5000);
    let mut time = NOW;
    let check = |event: Event<'_>| {
        assert!(event.value.is_finite(), "{event:?}");
        assert_eq!(common::key::parse(event.key).as_deref().map(str::as_bytes), Ok(event.key));
    };
    for metric in Metrics::new(records, header.count).flatten() {
        timeline.apply(&[metric], header.source, time, mono, &mut |event: Event<'_>| check(event));
        assert!(timeline.counters().balanced(), "{:?}", timeline.counters());
        let seconds = u64::from(*step);
        mono += Duration::from_secs(seconds);
        time = time.plus_ns(i64::from(*step) * 1_000_000_000);
        timeline.tick(time, mono, &mut |event: Event<'_>| check(event));
        while timeline.flush(time, &mut Checked(check)) {}
        assert!(timeline.counters().balanced(), "{:?}", timeline.counters());
    }
    let (series, open) = (timeline.counters().series, timeline.counters().aggregated_open);
    in_file(b"", |path| {
        assert_eq!(save(&timeline, path, time, mono, None).expect("state can be saved"), series);
        let mut next = Timeline::new(Rules::default());
        let TakenUp::Restored(report) = take_up(&mut next, path, time, Duration::ZERO, None) else {
            panic!("what was saved is not taken up");
        };
        assert_eq!(report.series + report.expired + report.dropped, series);
        assert_eq!(next.counters().series, report.series);
        assert_eq!((report.aggregated_records, next.counters().aggregated_open), (open, open));
        assert!(next.counters().balanced());
    });
}

/// Takes states as well.
struct Checked<F>(F);

impl<F: FnMut(Event<'_>)> Output for Checked<F> {
    fn event(&mut self, event: Event<'_>) {
        (self.0)(event);
    }

    fn wants_states(&self) -> bool {
        true
    }

    fn state(&mut self, state: State<'_>) {
        assert!(state.bytes.len() <= State::BYTES_MAX, "a state that is too long");
        assert!(Sketch::decode(state.kind, state.bytes).is_ok(), "what is published is no state");
    }
}

/// The saved state: any file is taken up or refused. The first byte says, modulo 4, what the others are: 0 a file; 1 and 2
/// the records of a block of a file of this version, whose sums are made right, or nothing behind them would ever be read.
/// By four it says how many series the file tells of; from 128 on, the file is what a predecessor that was killed left of
/// its windows.
pub fn state(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    let taken = if *how < 128 { taken_up } else { windows_taken_up };
    match how % 4 {
        0 => taken(given),
        version => taken(&file_of(u32::from(version), how % 128 / 4, given)),
    }
}

/// A file of this version with one block.
fn file_of(version: u32, series: u8, block: &[u8]) -> Vec<u8> {
    let mut file = b"LEELA TL".to_vec();
    file.extend_from_slice(&version.to_le_bytes());
    file.extend_from_slice(&NOW.ns().to_le_bytes());
    file.extend_from_slice(&u64::from(series).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    file.extend_from_slice(&(block.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    file.extend_from_slice(block);
    file
}

fn windows_taken_up(file: &[u8]) {
    in_file(file, |path| {
        let mut timeline = Timeline::new(Rules::default());
        let _ = take_up_windows(&mut timeline, path, NOW);
        assert_eq!(timeline.counters().series, 0, "windows have no series");
        come_out(&mut timeline);
    });
}

fn taken_up(file: &[u8]) {
    in_file(file, |path| {
        let mut timeline = Timeline::new(Rules::default());
        match take_up(&mut timeline, path, NOW.plus_ns(1_000_000_000), Duration::from_secs(9), None) {
            TakenUp::Restored(report) => assert_eq!(timeline.counters().series, report.series),
            TakenUp::Refused { error, aside: None } if error.is_ahead() => return,
            TakenUp::Refused { aside, .. } => {
                assert_eq!(timeline.counters().series, 0);
                assert!(aside.is_some_and(|aside| aside.exists()), "the damaged file is gone");
            }
            TakenUp::Nothing => panic!("the file is there"),
        }
        assert!(timeline.counters().balanced());
        assert!(!path.exists(), "a state that could be taken up twice");
        come_out(&mut timeline);
    });
}

/// A minute later.
fn come_out(timeline: &mut Timeline) {
    for _ in 0..3 {
        timeline.tick(NOW.plus_ns(61_000_000_000), Duration::from_secs(70), &mut |event: Event<'_>| {
            assert!(event.value.is_finite(), "{event:?}");
        });
        while timeline.flush(NOW.plus_ns(61_000_000_000), &mut Checked(|_: Event<'_>| {})) {}
    }
    assert!(timeline.counters().balanced());
}
