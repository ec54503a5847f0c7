//! Events as they are printed, the same by `tail` and `query`.

use std::io::{self, Write};

use common::metric::Event;
use common::text::{write_event, write_f64, write_time};
use common::utc::Utc;

use crate::output::{Form, csv};
use crate::spot;

/// Keys up to this many columns move the values of a table to the right.
const KEY_COLUMNS_MAX: usize = 60;
const KEY_COLUMNS_MIN: usize = 24;

/// Prints events in a form.
#[derive(Debug)]
pub(crate) struct Points<W> {
    form: Form,
    out: W,
    line: Vec<u8>,
    key_columns: usize,
    /// Events that were printed.
    pub(crate) printed: u64,
}

impl<W: Write> Points<W> {
    /// Prints to `out`; in csv the line of names comes at once.
    pub(crate) fn new(form: Form, mut out: W) -> io::Result<Points<W>> {
        if form == Form::Csv {
            out.write_all(b"time,key,value\n")?;
        }
        Ok(Points { form, out, line: Vec::new(), key_columns: KEY_COLUMNS_MIN, printed: 0 })
    }

    /// Prints an event; it is there after [`Points::out`] is flushed.
    pub(crate) fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.line.clear();
        match self.form {
            Form::Text => write_event(&mut self.line, event),
            Form::Table => self.row(event),
            Form::Json => self.object(event)?,
            Form::Csv => {
                write_time(&mut self.line, event.time);
                write!(self.line, ",{},", csv(&String::from_utf8_lossy(event.key)))?;
                write_f64(&mut self.line, event.value);
            }
        }
        self.line.push(b'\n');
        self.printed += 1;
        self.out.write_all(&self.line)
    }

    /// Where it prints.
    pub(crate) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    fn row(&mut self, event: &Event<'_>) {
        let key = spot::plain(event.key);
        let columns = key.chars().count();
        self.key_columns = self.key_columns.max(columns.min(KEY_COLUMNS_MAX));
        let gap = self.key_columns.saturating_sub(columns);
        self.line.extend_from_slice(format!("{}  {key}{:gap$}  ", Utc(event.time), "").as_bytes());
        write_f64(&mut self.line, event.value);
    }

    fn object(&mut self, event: &Event<'_>) -> io::Result<()> {
        self.line.extend_from_slice(b"{\"time\":");
        write_time(&mut self.line, event.time);
        self.line.extend_from_slice(b",\"key\":");
        serde_json::to_writer(&mut self.line, &String::from_utf8_lossy(event.key))?;
        self.line.extend_from_slice(b",\"value\":");
        match event.value.is_finite() {
            true => write_f64(&mut self.line, event.value),
            false => self.line.extend_from_slice(b"null"),
        }
        self.line.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::time::Time;

    #[test]
    fn an_event_has_four_forms() {
        let event = |key: &'static str, value| Event {
            key: key.as_bytes(),
            value,
            time: Time::from_ns(1_350_332_001_500_000_000),
        };
        for (form, want) in [
            (Form::Text, "event 8|room.tem 21.5 1350332001.5;\nevent 5|a,\"\u{1b} NaN 1350332001.5;\n"),
            (
                Form::Table,
                "2012-10-15T20:13:21.500Z  room.tem                  21.5\n\
                 2012-10-15T20:13:21.500Z  a,\"\\u{1b}                 NaN\n",
            ),
            (
                Form::Json,
                "{\"time\":1350332001.5,\"key\":\"room.tem\",\"value\":21.5}\n\
                 {\"time\":1350332001.5,\"key\":\"a,\\\"\\u001b\",\"value\":null}\n",
            ),
            (Form::Csv, "time,key,value\n1350332001.5,room.tem,21.5\n1350332001.5,\"a,\"\"\u{1b}\",NaN\n"),
        ] {
            let mut points = Points::new(form, Vec::new()).unwrap();
            points.event(&event("room.tem", 21.5)).unwrap();
            points.event(&event("a,\"\u{1b}", f64::NAN)).unwrap();
            let want = want.replace("event 5|", "event 4|");
            assert_eq!(String::from_utf8_lossy(points.out()), want, "{form:?}");
            assert_eq!(points.printed, 2);
        }
    }
}
