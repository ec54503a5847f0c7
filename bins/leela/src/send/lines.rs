//! Lines of standard input: each one whole, or not at all.

use common::exit::{Exit, OrExit as _};
use common::metric::{Event, Kind, Metric};
use common::text::{self, Message, Reason, Refused};
use common::time::Time;
use common::value::Value;

use super::databus::Databus;
use crate::spot;

/// The longest line, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;

/// Takes lines and sends what is in them.
#[derive(Debug)]
pub(super) struct Lines {
    databus: Databus,
    number: u64,
}

impl Lines {
    /// Sends to `databus`.
    pub(super) fn new(databus: Databus) -> Lines {
        Lines { databus, number: 0 }
    }

    /// Takes a line. At a wrong one all before it is sent, and nothing of it.
    pub(super) fn take(&mut self, line: &[u8], now: Time) -> anyhow::Result<()> {
        self.number += 1;
        let line = line.trim_ascii();
        let mut refused = None;
        read(line, now, |message| {
            if let Err(error) = message
                && refused.is_none()
            {
                refused = Some((error.reason, offset_in(line, error.text) + error.offset));
            }
        });
        if let Some((reason, offset)) = refused {
            return Err(self.wrong(line, offset, &format!("{reason}: {}", way_out(reason))));
        }
        let mut sent = Ok(());
        read(line, now, |message| {
            if let (Ok(message), Ok(())) = (message, &sent) {
                sent = match message {
                    Message::Metric(metric) => self.databus.metric(&metric),
                    // An event is just a gauge.
                    Message::Event(Event { key, time, value }) => {
                        self.databus.metric(&Metric::new(key, time, Kind::Gauge, Value::F64(value)))
                    }
                    Message::Note(note) => self.databus.note(&note),
                };
            }
        });
        sent.map_err(|error| self.unsent(error))
    }

    /// Sends what is left.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        self.databus.flush().map_err(|error| self.unsent(error))
    }

    /// The error of a line that does not end.
    pub(super) fn too_long(&mut self) -> anyhow::Error {
        self.number += 1;
        self.wrong(b"", 1, "a line has at most 1 MiB")
    }

    fn wrong(&mut self, line: &[u8], offset: usize, what: &str) -> anyhow::Error {
        if let Err(error) = self.flush() {
            return error;
        }
        let shown = spot::show(line, offset);
        let number = self.number;
        let shown = if line.is_empty() { String::new() } else { format!("\n{shown}") };
        Exit::Data.error(format_args!("line {number}: {what}{shown}\n{}", self.before()))
    }

    fn unsent(&self, error: anyhow::Error) -> anyhow::Error {
        let status = Exit::of(&error);
        let text = format!("{error:#}\n{}", self.before());
        Err::<(), _>(anyhow::Error::msg(text)).exit(status).expect_err("it is an error")
    }

    fn before(&self) -> String {
        match self.databus.sent() {
            1 => "1 metric before it was sent".to_owned(),
            sent => format!("{sent} metrics before it were sent"),
        }
    }
}

/// Reads a line: messages, or the older form.
pub(crate) fn read(line: &[u8], now: Time, mut each: impl FnMut(Result<Message<'_>, Refused<'_>>)) {
    if !begins(line) {
        return text::lines(line, now, |metric| each(metric.map(Message::Metric)));
    }
    text::messages(line, now, |message| {
        each(match message {
            // The timeline takes finite values alone, and there nobody would see which line it was.
            Ok(Message::Event(event)) if !event.value.is_finite() => {
                Err(Refused { reason: Reason::NotFinite, offset: 0, text: line })
            }
            other => other,
        });
    });
}

/// True when a line begins as a message does: a word of Leela's text, a blank, and a length. What begins with
/// one of the four old words is no older form either.
fn begins(line: &[u8]) -> bool {
    let Some(blank) = line.iter().position(u8::is_ascii_whitespace) else { return false };
    let rest = &line[blank + 1..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match &line[..blank] {
        b"gauge" | b"counter" | b"derive" | b"absolute" => true,
        word => word.iter().all(u8::is_ascii_lowercase) && digits > 0 && rest.get(digits) == Some(&b'|'),
    }
}

/// Where in `line` the piece `text` of it begins.
pub(crate) fn offset_in(line: &[u8], text: &[u8]) -> usize {
    text.as_ptr().addr().saturating_sub(line.as_ptr().addr())
}

fn way_out(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownKind => "a line is Leela's text, `gauge 3|foo 0.5;`, or the older form, `foo: 0.5`",
        reason => reason.way_out(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(9);

    fn found(line: &str) -> Vec<String> {
        let mut found = Vec::new();
        read(line.as_bytes(), NOW, |message| {
            let mut out = Vec::new();
            match message {
                Ok(Message::Metric(metric)) => text::write_metric(&mut out, &metric),
                Ok(Message::Event(event)) => text::write_event(&mut out, &event),
                Ok(Message::Note(note)) => text::write_note(&mut out, &note),
                Err(refused) => {
                    let at = offset_in(line.as_bytes(), refused.text) + refused.offset;
                    out.extend_from_slice(format!("{} at {at}", refused.reason).as_bytes());
                }
            }
            found.push(String::from_utf8(out).unwrap());
        });
        found
    }

    #[test]
    fn a_line_is_leela_s_text_or_the_older_form() {
        for (line, want) in [
            ("", &[][..]),
            ("gauge 1|a 1;", &["gauge 1|a 1 9.0;"]),
            ("gauge 1|a 1 2.5;adjust 1|b -1;", &["gauge 1|a 1 2.5;", "adjust 1|b -1 9.0;"]),
            ("count 1|a 1 @2;sample 1|b 2;", &["count 1|a 1 @2 9.0;", "sample 1|b 2 9.0;"]),
            ("member 1|a 3|bob;", &["member 1|a 3|bob 9.0;"]),
            ("event 1|a 1 2.0;", &["event 1|a 1 2.0;"]),
            ("event 1|a NaN 2.0;", &["not_finite at 0"]),
            ("data 1|a 2|{} 2.0;", &["data 1|a 2|{} 2.0;"]),
            ("room.Temp: 21.5", &["gauge 9|room.temp 21.5 9.0;"]),
            ("data in: 5", &["gauge 7|data in 5 9.0;"]),
            ("gauge a: 5", &["length at 6"]),
            ("gauge 1|a 1;gauge 1|b x;", &["gauge 1|a 1 9.0;", "value at 22"]),
            ("a: x", &["value at 3"]),
            ("nonsense", &["unknown_kind at 0"]),
        ] {
            assert_eq!(found(line), want, "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line: Vec<u8>) {
            read(&line, NOW, |message| {
                if let Err(refused) = message {
                    assert!(offset_in(&line, refused.text) + refused.offset <= line.len());
                }
            });
        }
    }
}
