//! What `leela up` says itself: plain lines on stdout, coloured on a terminal.

use std::io::{self, Write};

use crate::output;

/// Says things on stdout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Say {
    colour: bool,
}

impl Say {
    /// Coloured where tables are.
    pub(super) fn new() -> Say {
        Say { colour: output::colour() }
    }

    /// A line. Where stdout is gone there is nobody left to tell, and the instance goes on.
    pub(super) fn line(self, text: &str) {
        let _ = io::stdout().write_all(format!("{text}\n").as_bytes());
    }

    /// A line about a process that is not well.
    pub(super) fn warn(self, text: &str) {
        self.line(&self.coloured("33", text));
    }

    /// A line about a process that is well again.
    pub(super) fn good(self, text: &str) {
        self.line(&self.coloured("32", text));
    }

    /// A text that is to be seen first.
    pub(super) fn strong(self, text: &str) -> String {
        self.coloured("1", text)
    }

    fn coloured(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A count as people read it: `1,203`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 metric`, `1,203 metrics`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, want) in [
            (0, "0 metrics"),
            (1, "1 metric"),
            (999, "999 metrics"),
            (1000, "1,000 metrics"),
            (1234567, "1,234,567 metrics"),
        ] {
            assert_eq!(counted(number, "metric"), want);
        }
    }
}
