//! One line of the log: level, message, facts.

use std::fmt::{self, Write};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// A message and its fields, as text without control characters, so that nobody's input can forge a line.
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, String)>,
}

impl Line {
    pub(super) fn new(event: &Event<'_>) -> Line {
        let mut line = Line { level: *event.metadata().level(), message: String::new(), fields: Vec::new() };
        event.record(&mut line);
        line
    }

    /// Adds a field.
    pub(super) fn add(&mut self, name: &'static str, value: impl fmt::Display) {
        self.fields.push((name, escaped(&value)));
    }

    /// `message key=value key="two words"`.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(name);
            text.push('=');
            if value.is_empty() || value.contains([' ', '"', '=']) {
                text.push('"');
                text.push_str(&value.replace('"', "\\\""));
                text.push('"');
            } else {
                text.push_str(value);
            }
        }
        text
    }

    /// `warn leela-udp: message key=value`, with its newline.
    pub(super) fn print(&self, name: &str, colour: bool, into: &mut Vec<u8>) {
        let (level, code) = match self.level {
            Level::ERROR => ("error", "31"),
            Level::WARN => ("warn", "33"),
            Level::INFO => ("info", ""),
            Level::DEBUG => ("debug", "2"),
            Level::TRACE => ("trace", "2"),
        };
        let text = self.text();
        let written = if colour && !code.is_empty() {
            writeln!(into, "\x1b[{code}m{level}\x1b[0m {name}: {text}")
        } else {
            writeln!(into, "{level} {name}: {text}")
        };
        written.expect("a vector takes all bytes");
    }

    fn take(&mut self, field: &Field, value: impl fmt::Display) {
        if field.name() == "message" {
            self.message = escaped(&value);
        } else {
            self.add(field.name(), value);
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            write!(text, ": {error}").expect("a string takes all text");
            cause = error.source();
        }
        self.take(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format_args!("{value:?}"));
    }
}

/// Text with control characters written as `\n`, `\u{1b}`.
fn escaped(value: &impl fmt::Display) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: Level, message: &str, fields: &[(&'static str, &str)]) -> Line {
        let mut line = Line { level, message: escaped(&message), fields: Vec::new() };
        for (name, value) in fields {
            line.add(name, value);
        }
        line
    }

    #[test]
    fn a_line_is_level_program_message_and_facts() {
        for (line, want) in [
            (
                line(Level::INFO, "ready", &[("listen", "127.0.0.1:8125")]),
                "info leela-udp: ready listen=127.0.0.1:8125\n",
            ),
            (
                line(Level::WARN, "no peer", &[("dropped", "12"), ("after", "")]),
                "warn leela-udp: no peer dropped=12 after=\"\"\n",
            ),
            (
                line(Level::ERROR, "", &[("error", "opening \"x\": no")]),
                "error leela-udp: error=\"opening \\\"x\\\": no\"\n",
            ),
            (
                line(Level::DEBUG, "a\nerror leela-udp: b\x1b[0m", &[]),
                "debug leela-udp: a\\nerror leela-udp: b\\u{1b}[0m\n",
            ),
        ] {
            let mut text = Vec::new();
            line.print("leela-udp", false, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), want);
        }
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        let mut text = Vec::new();
        line(Level::WARN, "m", &[]).print("x", true, &mut text);
        assert_eq!(text, b"\x1b[33mwarn\x1b[0m x: m\n");
    }
}
