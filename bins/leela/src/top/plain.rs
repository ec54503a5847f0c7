//! A snapshot in a pipe.

use std::io::{self, Write};

use anyhow::Context as _;
use common::time::Time;
use serde_json::{Map, Value, json};

use super::Page;
use super::sheet::{Cell, Sheet};
use crate::output::{self, Form, csv};

/// Prints a snapshot, and flushes it.
pub(super) fn print(sheet: &Sheet, page: Page, time: Time, form: Form) -> anyhow::Result<()> {
    let mut out = output::out();
    write(sheet, page, time, form, &mut out).and_then(|()| out.flush()).context("printing")
}

fn write(sheet: &Sheet, page: Page, time: Time, form: Form, out: &mut impl Write) -> io::Result<()> {
    let names = || sheet.columns.iter().map(|column| column.name);
    match form {
        Form::Json => {
            let rows: Vec<Value> = sheet
                .rows
                .iter()
                .map(|row| {
                    let cells = names().zip(row).map(|(name, cell)| (name.to_owned(), value(cell)));
                    Value::Object(cells.collect::<Map<_, _>>())
                })
                .collect();
            let all = json!({
                "time": time.as_secs_f64(), "page": page.word(), "summary": sheet.summary, "rows": rows,
            });
            serde_json::to_writer(&mut *out, &all)?;
            writeln!(out)
        }
        Form::Csv => {
            writeln!(out, "time,page,{}", names().collect::<Vec<_>>().join(","))?;
            for row in &sheet.rows {
                let cells: Vec<String> = row.iter().map(|cell| csv(&raw(cell, ""))).collect();
                writeln!(out, "{time},{},{}", page.word(), cells.join(","))?;
            }
            Ok(())
        }
        Form::Text => {
            writeln!(out, "summary {time} {}", sheet.summary)?;
            for row in &sheet.rows {
                let cells: Vec<String> = row.iter().map(|cell| raw(cell, "-")).collect();
                writeln!(out, "{} {}", page.word(), cells.join(" "))?;
            }
            Ok(())
        }
        Form::Table => {
            writeln!(out, "{}", sheet.summary)?;
            for line in sheet.lines(page.order(), 0, sheet.rows.len(), usize::MAX) {
                writeln!(out, "{line}")?;
            }
            writeln!(out)
        }
    }
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Number(number) => Value::from(*number),
        Cell::None => Value::Null,
    }
}

fn raw(cell: &Cell, none: &str) -> String {
    match cell {
        Cell::Text(text) => crate::spot::plain(text.as_bytes()).to_string(),
        Cell::Number(number) => number.to_string(),
        Cell::None => none.to_owned(),
    }
}
