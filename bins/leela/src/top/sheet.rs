//! A page as rows and columns: sorted by any of them, and as wide as there is room.

use std::cmp::Ordering;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What a column's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unit {
    /// Text, which stands at the left.
    Text,
    /// A number of things, or of things a second or a minute.
    Count,
    /// Bytes.
    Bytes,
    /// A value of a series: as exact as it is.
    Value,
}

/// One column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Column {
    /// One word, as in the man page; also the key of JSON.
    pub(super) name: &'static str,
    pub(super) unit: Unit,
}

/// What stands in a column.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Cell {
    Text(String),
    Number(f64),
    /// It is not known, or does not apply.
    None,
}

impl From<Option<f64>> for Cell {
    fn from(number: Option<f64>) -> Cell {
        number.map_or(Cell::None, Cell::Number)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

/// A page of a moment.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sheet {
    /// What is to be known of the whole, in a sentence.
    pub(super) summary: String,
    /// The last one is of texts, and takes what room is left.
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) column: usize,
    /// Not as it comes first: the largest number, or the first letter of the alphabet.
    pub(super) reverse: bool,
}

impl Sheet {
    /// Sorts the rows; those of which it is not known come last, whichever way. Equal ones stand by their last column, the
    /// name: they would change places each time.
    pub(super) fn sort(&mut self, order: Order) {
        let place = |row: &Vec<Cell>| row.get(order.column).cloned().unwrap_or(Cell::None);
        let name = |row: &Vec<Cell>| match row.last() {
            Some(Cell::Text(name)) => name.clone(),
            _ => String::new(),
        };
        self.rows.sort_by(|one, other| {
            let natural = match (&place(one), &place(other)) {
                (Cell::Number(one), Cell::Number(other)) => other.total_cmp(one),
                (Cell::Text(one), Cell::Text(other)) => one.cmp(other),
                (Cell::None, Cell::None) => return name(one).cmp(&name(other)),
                (Cell::None, _) => return Ordering::Greater,
                (_, Cell::None) => return Ordering::Less,
                (Cell::Number(_), Cell::Text(_)) => Ordering::Less,
                (Cell::Text(_), Cell::Number(_)) => Ordering::Greater,
            };
            let natural = if order.reverse { natural.reverse() } else { natural };
            natural.then_with(|| name(one).cmp(&name(other)))
        });
    }

    /// The header and the rows from `first` on, each as wide as `width` at most. Where there is no room for all
    /// columns, those in front of the last one are left out, the last of them first, but not the one that is sorted by.
    pub(super) fn lines(&self, order: Order, first: usize, rows: usize, width: usize) -> Vec<String> {
        let shown = self.rows.iter().skip(first).take(rows);
        let cells: Vec<Vec<String>> = shown.map(|row| self.texts(row)).collect();
        let heads: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| match (at == order.column, order.reverse) {
                (false, _) => column.name.to_owned(),
                (true, false) => format!("{}↓", column.name),
                (true, true) => format!("{}↑", column.name),
            })
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| cells.iter().chain([&heads]).map(|row| row[at].width()).max().unwrap_or(0))
            .collect();
        let kept = self.kept(&widths, order, width);
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for (nth, &at) in kept.iter().enumerate() {
                let is_last = nth + 1 == kept.len();
                let gap = " ".repeat(widths[at].saturating_sub(row[at].width()));
                match self.columns[at].unit {
                    Unit::Text if is_last => line.push_str(&row[at]),
                    Unit::Text => line.extend([row[at].as_str(), gap.as_str(), "  "]),
                    _ => line.extend([gap.as_str(), &row[at], if is_last { "" } else { "  " }]),
                }
            }
            cut(&line, width)
        };
        std::iter::once(&heads).chain(&cells).map(line).collect()
    }

    /// The columns there is room for.
    fn kept(&self, widths: &[usize], order: Order, width: usize) -> Vec<usize> {
        const LAST_MIN: usize = 12;
        let last = self.columns.len() - 1;
        let mut kept: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let numbers: usize = kept.iter().filter(|at| **at != last).map(|at| widths[*at] + 2).sum();
            let wanted = widths[last].min(LAST_MIN);
            let spare = kept.iter().rposition(|at| *at != last && *at != order.column);
            match spare {
                Some(spare) if numbers + wanted > width => kept.remove(spare),
                _ => return kept,
            };
        }
    }

    fn texts(&self, row: &[Cell]) -> Vec<String> {
        self.columns.iter().zip(row).map(|(column, cell)| text(cell, column.unit)).collect()
    }
}

/// A cell for people.
fn text(cell: &Cell, unit: Unit) -> String {
    match (cell, unit) {
        (Cell::Text(text), _) => crate::spot::plain(text.as_bytes()).to_string(),
        (Cell::None, _) => "-".to_owned(),
        (Cell::Number(number), Unit::Bytes) => short(*number, 1024.0, &["B", "K", "M", "G", "T"]),
        (Cell::Number(number), Unit::Value) => number.to_string(),
        (Cell::Number(number), _) => short(*number, 1000.0, &["", "k", "M", "G", "T"]),
    }
}

/// Three or four digits and a unit: `0`, `0.25`, `7.5`, `123`, `12.3k`.
pub(super) fn short(number: f64, step: f64, units: &[&str]) -> String {
    let (mut scaled, mut unit) = (number, 0);
    while scaled.abs() >= step.min(1000.0) && unit + 1 < units.len() {
        (scaled, unit) = (scaled / step, unit + 1);
    }
    let digits = match scaled.abs() {
        whole if whole >= 100.0 || whole == whole.trunc() => 0,
        tens if tens >= 1.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{}", units[unit])
}

/// As much of a line as fits.
pub(super) fn cut(line: &str, width: usize) -> String {
    let mut used = 0;
    let fits = |char: &char| {
        used += char.width().unwrap_or(0);
        used <= width
    };
    line.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column { name: "in", unit: Unit::Count },
        Column { name: "pss", unit: Unit::Bytes },
        Column { name: "name", unit: Unit::Text },
    ];

    fn sheet() -> Sheet {
        let row =
            |count: Option<f64>, bytes: f64, name: &str| vec![count.into(), Cell::Number(bytes), name.into()];
        Sheet {
            summary: String::new(),
            columns: COLUMNS,
            rows: vec![row(Some(5.0), 2048.0, "b"), row(None, 0.0, "größe"), row(Some(12_345.0), 1.5e6, "a")],
        }
    }

    fn order(column: usize, reverse: bool) -> Order {
        Order { column, reverse }
    }

    #[test]
    fn any_column_sorts_both_ways() {
        for (column, reverse, want) in [
            (0, false, ["a", "b", "größe"]),
            (0, true, ["b", "a", "größe"]),
            (1, false, ["a", "b", "größe"]),
            (2, false, ["a", "b", "größe"]),
            (2, true, ["größe", "b", "a"]),
            (9, false, ["a", "b", "größe"]),
        ] {
            let mut sheet = sheet();
            sheet.sort(order(column, reverse));
            let names: Vec<Cell> = sheet.rows.iter().map(|row| row[2].clone()).collect();
            assert_eq!(names, want.map(Cell::from), "{column} {reverse}");
        }
    }

    #[test]
    fn lines_fit_the_width_there_is() {
        let mut sheet = sheet();
        sheet.sort(order(0, false));
        assert_eq!(
            sheet.lines(order(0, false), 0, 9, 40),
            ["  in↓   pss  name", "12.3k  1.4M  a", "    5    2K  b", "    -    0B  größe"]
        );
        assert_eq!(sheet.lines(order(0, true), 1, 1, 40), ["in↑  pss  name", "  5   2K  b"]);
        // The second column goes, then nothing more: what is sorted by stays.
        assert_eq!(sheet.lines(order(0, false), 0, 9, 14)[1], "12.3k  a");
        assert_eq!(sheet.lines(order(1, false), 0, 9, 12)[1], "1.4M  a");
        assert_eq!(sheet.lines(order(0, false), 0, 9, 3)[1], "12.");
    }

    #[test]
    fn numbers_are_short() {
        for (number, want) in [
            (0.0, "0"),
            (0.254, "0.25"),
            (7.55, "7.5"),
            (42.0, "42"),
            (999.6, "1000"),
            (1000.0, "1k"),
            (12_345.0, "12.3k"),
            (9_950_000.0, "9.9M"),
            (123_456_789.0, "123M"),
        ] {
            assert_eq!(short(number, 1000.0, &["", "k", "M", "G"]), want, "{number}");
        }
        assert_eq!(short(1023.0, 1024.0, &["B", "K"]), "1.00K");
        assert_eq!(cut("漢字", 3), "漢");
    }
}
