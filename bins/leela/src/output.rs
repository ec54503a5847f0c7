//! How answers are printed: the form, and what goes to standard error.

use std::env;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use clap::{Args, ValueEnum};

/// The form of an answer.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// Columns for people.
    Table,
    /// One fact a line, fields parted by blanks.
    Text,
    /// JSON, one object a line.
    Json,
    /// Comma-separated values, the first line names the columns.
    Csv,
}

/// The option that chooses the form.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Output {
    /// table, text, json or csv [default: table on a terminal, text in a pipe]
    #[arg(short, long, value_name = "FORM", value_enum, hide_possible_values = true)]
    output: Option<Form>,
}

impl Output {
    /// True when a form was asked for.
    pub(crate) fn is_chosen(self) -> bool {
        self.output.is_some()
    }

    /// What was chosen; else a table on a terminal and text in a pipe.
    pub(crate) fn form(self) -> Form {
        self.output.unwrap_or_else(|| if io::stdout().is_terminal() { Form::Table } else { Form::Text })
    }
}

/// Standard output, buffered: it is flushed before a command waits or ends.
pub(crate) type Out = BufWriter<StdoutLock<'static>>;

/// Standard output.
pub(crate) fn out() -> Out {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Tells `message` on standard error, after the program's name.
pub(crate) fn say(message: impl Display) {
    // There is nobody left to tell that it cannot be told.
    let _ = writeln!(io::stderr().lock(), "leela: {message}");
}

/// What a word of a table means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tone {
    /// All is well.
    Good,
    /// Worth a look.
    Odd,
    /// Somebody has to act.
    Bad,
}

/// A text in the colour of its tone, where colour is wanted.
pub(crate) struct Toned<'a> {
    pub(crate) text: &'a str,
    pub(crate) tone: Tone,
    pub(crate) colour: bool,
}

impl Display for Toned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.tone {
            _ if !self.colour => return f.write_str(self.text),
            Tone::Good => 32,
            Tone::Odd => 33,
            Tone::Bad => 31,
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// True when standard output may be coloured: it is a terminal that has colours, and `NO_COLOR` is not set.
pub(crate) fn colour() -> bool {
    wants_colour(env::var_os("NO_COLOR"), env::var_os("TERM")) && io::stdout().is_terminal()
}

/// Source: no-color.org, where an empty variable is none.
fn wants_colour(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    no_color.is_none_or(|value| value.is_empty()) && term.is_none_or(|term| term != "dumb")
}

/// A field of a csv line, quoted where it has to be.
pub(crate) fn csv(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Columns of cells, each as wide as its widest cell; those of numbers stand at the right.
pub(crate) fn columns(rows: &[Vec<String>], right: &[bool]) -> Vec<Vec<String>> {
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..right.len()).map(width).collect();
    let pad = |(column, cell): (usize, &String)| {
        let gap = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
        match right[column] {
            true => format!("{gap}{cell}"),
            // Nothing stands behind the last column.
            false if column + 1 == right.len() => cell.clone(),
            false => format!("{cell}{gap}"),
        }
    };
    rows.iter().map(|row| row.iter().enumerate().map(pad).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_and_a_dumb_terminal_are_without_colour() {
        for (no_color, term, want) in [
            (None, None, true),
            (None, Some("xterm"), true),
            (None, Some("dumb"), false),
            (Some("1"), Some("xterm"), false),
            (Some(""), Some("xterm"), true),
        ] {
            let got = wants_colour(no_color.map(OsString::from), term.map(OsString::from));
            assert_eq!(got, want, "{no_color:?} {term:?}");
        }
    }

    #[test]
    fn a_csv_field_is_quoted_where_it_has_to_be() {
        for (field, want) in
            [("a.b", "a.b"), ("a;x=1", "a;x=1"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\"")]
        {
            assert_eq!(csv(field), want);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "1", "x"], ["größe", "100", "yy"]].map(|row| row.map(str::to_owned).to_vec());
        let got: Vec<String> =
            columns(&rows, &[false, true, false]).iter().map(|row| row.join("  ")).collect();
        assert_eq!(got, ["a        1  x", "größe  100  yy"]);
    }
}
