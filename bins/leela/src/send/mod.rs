//! `leela send`: metrics to the timeline's databus.

mod databus;
pub(crate) mod lines;

use std::io::{self, Read};

use anyhow::Context;
use clap::Args;
use common::exit::Exit;
use common::key;
use common::metric::{Kind, MEMBER_BYTES_MAX, Metric, Weight};
use common::span::Span;
use common::text::{Reason, number};
use common::time::Time;
use common::value::Value;

use crate::instance::Instance;
use crate::spot;
use databus::Databus;
use lines::Lines;

/// How long `send -` waits while the databus is full.
const TIMEOUT: Span = Span::from_secs(5);

/// Send metrics.
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    allow_negative_numbers = true,
    override_usage = "leela send [OPTIONS] KIND KEY VALUE [@WEIGHT]\n       leela send [OPTIONS] -"
)]
pub struct Send {
    /// One metric: gauge, counter, derive, absolute, adjust, count, sample or member; its key; its value, which of a
    /// member is any text; perhaps `@` and how many a count or a sample stands for. Or `-`: lines from standard input
    #[arg(value_names = ["KIND", "KEY", "VALUE", "@WEIGHT"], num_args = 1..=4, required = true)]
    words: Vec<String>,
    /// The metric's time, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS", value_parser = time)]
    time: Option<Time>,
    /// How long to wait while the databus is full [default: 0s; with -: 5s]
    #[arg(long, value_name = "SPAN")]
    timeout: Option<Span>,
}

const EXAMPLES: &str = "\
Examples:
  leela send gauge room.temp 21.5
  leela send counter 'disk.io;host=a' 8192 --time $(date +%s)
  leela send sample web.latency 0.25 @10
  leela send member web.users bob
  printf 'gauge 9|room.temp 21.5;\\nroom.humidity: 40\\n' | leela send -
  leela --runtime-dir /run/a tail | leela --runtime-dir /run/b send -
      copy what happens in one instance into another

Exit status: 0 the kernel has it, 65 a metric is wrong, 69 nobody is there, 75 the databus is full";

fn time(text: &str) -> Result<Time, &'static str> {
    match number::time(text.as_bytes()) {
        Some((time, length)) if length == text.len() => Ok(time),
        _ => Err("a time is in seconds since 1970, like 1350332001.5"),
    }
}

/// Sends what the arguments say, or standard input.
pub fn run(send: &Send, instance: &Instance) -> anyhow::Result<()> {
    match send.words.as_slice() {
        [dash] if dash == "-" => {
            if send.time.is_some() {
                return Err(Exit::Usage.error("--time is for one metric; with - each line has its own"));
            }
            let databus = Databus::open(instance, send.timeout.unwrap_or(TIMEOUT))?;
            input(io::stdin().lock(), Lines::new(databus))
        }
        [kind, key, value, weight @ ..] if weight.len() < 2 => {
            let kind = kind_of(kind, &send.words)?;
            let key_form = key::parse(key.as_bytes()).map_err(|_| refused(Reason::BadKey, &send.words, 1))?;
            let (key, time) = (key_form.as_bytes(), send.time.unwrap_or_else(Time::now));
            let metric = match (kind, weight) {
                (Kind::Member, []) => Metric::of_member(key, time, member_of(value, &send.words)?),
                (_, []) => Metric::new(key, time, kind, value_of(value, &send.words)?),
                (_, [weight, ..]) => {
                    let value = value_of(value, &send.words)?;
                    Metric::new(key, time, kind, value).weighted(weight_of(kind, weight, &send.words)?)
                }
            };
            let mut databus = Databus::open(instance, send.timeout.unwrap_or(Span::ZERO))?;
            databus.metric(&metric)?;
            databus.flush()
        }
        _ => Err(Exit::Usage
            .error("send takes KIND KEY VALUE [@WEIGHT], or - for standard input; see `leela send --help`")),
    }
}

fn kind_of(word: &str, words: &[String]) -> anyhow::Result<Kind> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word);
    kind.ok_or_else(|| refused(Reason::UnknownKind, words, 0))
}

fn value_of(text: &str, words: &[String]) -> anyhow::Result<Value> {
    match number::value(text.as_bytes()) {
        Some((value, length)) if length == text.len() => match value.is_finite() {
            true => Ok(value),
            false => Err(refused(Reason::NotFinite, words, 2)),
        },
        _ => Err(refused(Reason::Value, words, 2)),
    }
}

fn weight_of(kind: Kind, text: &str, words: &[String]) -> anyhow::Result<Weight> {
    let weight = text.strip_prefix('@').filter(|_| kind.is_weighted());
    match weight.and_then(|weight| number::weight(weight.as_bytes())) {
        Some((weight, length)) if length + 1 == text.len() => Ok(weight),
        _ => Err(refused(Reason::Weight, words, 3)),
    }
}

fn member_of<'a>(text: &'a str, words: &[String]) -> anyhow::Result<&'a [u8]> {
    match text.len() {
        1..=MEMBER_BYTES_MAX => Ok(text.as_bytes()),
        _ => Err(refused(Reason::Member, words, 2)),
    }
}

/// The error of a metric on the command line, its `place`th word at fault.
fn refused(reason: Reason, words: &[String], place: usize) -> anyhow::Error {
    let offset = words[..place].iter().map(|word| word.len() + 1).sum();
    let what = match reason {
        // Its own text speaks of Leela's text.
        Reason::UnknownKind => "a kind is gauge, counter, derive, absolute, adjust, count, sample or member",
        Reason::Weight => "a count or a sample may stand for many: @ and a number over 0, like @2.5",
        Reason::Member => "an element of a set has 1 to 1,024 bytes",
        reason => reason.way_out(),
    };
    let shown = spot::show(words.join(" ").as_bytes(), offset);
    Exit::Data.error(format_args!("the metric is wrong\n{shown}\n{what}"))
}

/// Reads whole lines, as many as there are, and sends them before it waits for more.
fn input(mut from: impl Read, mut lines: Lines) -> anyhow::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut have = 0;
    loop {
        if have == buffer.len() {
            if have >= lines::LINE_BYTES_MAX {
                return Err(lines.too_long());
            }
            buffer.resize(have * 2, 0);
        }
        let read = match from.read(&mut buffer[have..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.context("reading standard input")?,
        };
        let now = Time::now();
        if read == 0 {
            return lines.take(&buffer[..have], now).and_then(|()| lines.flush());
        }
        let end = buffer[have..have + read].iter().rposition(|byte| *byte == b'\n').map(|at| have + at + 1);
        have += read;
        let Some(end) = end else { continue };
        for line in buffer[..end].split_inclusive(|byte| *byte == b'\n') {
            lines.take(line, now)?;
        }
        lines.flush()?;
        buffer.copy_within(end..have, 0);
        have -= end;
    }
}
