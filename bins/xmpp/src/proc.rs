//! A subscription at leela-dmproc: one connection as long as it lasts, made anew whenever it is lost.

use std::io;
use std::path::Path;
use std::time::Duration;

use common::query::answer::{Answer, Answers};
use common::query::error::Spot;
use common::time::Time;
use sockets::frame::Frames;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Read at a time.
const READ_BYTES: usize = 32 * 1024;
/// From one attempt to connect to the next.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// A value of a series.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Point {
    pub(crate) key: String,
    pub(crate) value: f64,
    pub(crate) time: Time,
}

/// Why leela-dmproc does not run a proc that it did not refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Away {
    /// It is not there.
    Absent,
    /// It has as many clients as it takes.
    Full,
}

/// What leela-dmproc said.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Told {
    /// It does not run the proc now.
    Away(Away),
    /// The proc runs.
    Runs,
    /// The proc does not run, or runs no more; the spot is in the payload that asked.
    Refused(Spot, String),
    /// So much is selected.
    Rate { at_least: bool, series: u64, per_minute: u64 },
    /// Values, in their order.
    Points(Vec<Point>),
    /// So many values were lost for want of reading.
    Lost(u64),
}

/// Asks, and hands on what is told, until nobody listens. `id` is handed on with all of it.
pub(crate) async fn follow(path: &Path, frame: &[u8], id: u64, to: mpsc::Sender<(u64, Told)>) {
    let mut again = AGAIN;
    loop {
        let why = match ask(path, frame, id, &to).await {
            Ended::Refused | Ended::Unheard => return,
            Ended::Cut => {
                again = AGAIN;
                Away::Absent
            }
            Ended::Away(why) => why,
        };
        if to.send((id, Told::Away(why))).await.is_err() {
            return;
        }
        tokio::time::sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

/// How a connection ended.
enum Ended {
    /// There was none, or it was not wanted.
    Away(Away),
    /// It was there.
    Cut,
    /// The proc was refused.
    Refused,
    /// Nobody listens to what is told.
    Unheard,
}

async fn ask(path: &Path, frame: &[u8], id: u64, to: &mpsc::Sender<(u64, Told)>) -> Ended {
    let Ok(mut stream) = connect(path, frame).await else { return Ended::Away(Away::Absent) };
    let (mut frames, mut buffer) = (Frames::default(), vec![0; READ_BYTES]);
    let (mut is_heard, mut why) = (false, Away::Absent);
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return if is_heard { Ended::Cut } else { Ended::Away(why) },
            Ok(length) => frames.push(&buffer[..length]),
        }
        let mut told = Vec::new();
        while let Some(payload) = frames.next_frame() {
            if take(payload, &mut told) {
                why = Away::Full;
            }
        }
        for told in told {
            is_heard = true;
            let is_refused = matches!(told, Told::Refused(..));
            if to.send((id, told)).await.is_err() {
                return Ended::Unheard;
            }
            if is_refused {
                return Ended::Refused;
            }
        }
    }
}

async fn connect(path: &Path, frame: &[u8]) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(frame).await?;
    Ok(stream)
}

/// Understands a payload; true where the proc is not run. The reason follows; there is none where there is no room.
fn take(payload: &[u8], told: &mut Vec<Told>) -> bool {
    let mut is_unwanted = false;
    for answer in Answers::of(payload) {
        match answer {
            Ok(Answer::Event(event)) => {
                let key = String::from_utf8_lossy(event.key).into_owned();
                let point = Point { key, value: event.value, time: event.time };
                match told.last_mut() {
                    Some(Told::Points(points)) => points.push(point),
                    _ => told.push(Told::Points(vec![point])),
                }
            }
            Ok(Answer::Status(true)) => told.push(Told::Runs),
            Ok(Answer::Status(false)) => is_unwanted = true,
            Ok(Answer::Reason { at, text }) => told.push(Told::Refused(at, text.to_owned())),
            Ok(Answer::Rate { at_least, series, per_minute }) => {
                told.push(Told::Rate { at_least, series, per_minute });
            }
            Ok(Answer::Lost(values)) => told.push(Told::Lost(values)),
            Err(error) => {
                tracing::warn!(%error, "leela-dmproc is of another version");
                return is_unwanted;
            }
        }
    }
    is_unwanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_dmproc_that_is_away_is_tried_at_least_every_2_s() {
        let (to, mut told) = mpsc::channel(1);
        let begun = tokio::time::Instant::now();
        let nowhere = tokio::spawn(async move { follow(Path::new("/nowhere/proc"), b"", 7, to).await });
        for want in [0, 100, 300, 700, 1_500, 3_100, 5_100, 7_100] {
            assert_eq!(told.recv().await, Some((7, Told::Away(Away::Absent))));
            let late = begun.elapsed().saturating_sub(Duration::from_millis(want));
            assert!(begun.elapsed() >= Duration::from_millis(want) && late < AGAIN / 2, "{want}: {late:?}");
        }
        drop(told);
        nowhere.await.unwrap();
    }

    #[test]
    fn what_dmproc_says_is_understood() {
        let mut told = Vec::new();
        for payload in [
            "status 0;",
            "rate at least 3 18;",
            "event 1|a 1 0.0;",
            "event 1|b 2.5 1.5;",
            "lost 7;",
            "event 1|a 3 2.0;",
            "status 1;",
            "reason 4 2 9|no; go on;",
        ] {
            assert_eq!(take(payload.as_bytes(), &mut told), payload == "status 1;");
        }
        let point = |key: &str, value, ns| Point { key: key.to_owned(), value, time: Time::from_ns(ns) };
        assert_eq!(
            told,
            [
                Told::Runs,
                Told::Rate { at_least: true, series: 3, per_minute: 18 },
                Told::Points(vec![point("a", 1.0, 0), point("b", 2.5, 1_500_000_000)]),
                Told::Lost(7),
                Told::Points(vec![point("a", 3.0, 2_000_000_000)]),
                Told::Refused(Spot::new(4, 2), "no; go on".to_owned()),
            ]
        );
    }
}
