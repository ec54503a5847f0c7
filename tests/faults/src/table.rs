//! Rows as they are printed.

use crate::row::Row;

const HEADS: [&str; 7] = ["case", "load", "sent", "out", "counted by reason", "lost unseen", "beside it"];

/// Prints rows with aligned columns.
pub(crate) fn print(rows: &[Row]) {
    for line in lines(rows) {
        println!("{line}");
    }
}

fn lines(rows: &[Row]) -> Vec<String> {
    let heads = HEADS.map(str::to_owned);
    let cells: Vec<[String; 7]> = std::iter::once(heads).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |cells: &[String; 7]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// The cells of a row.
fn cells(row: &Row) -> [String; 7] {
    [
        row.case.clone(),
        row.load.clone(),
        row.sent.to_string(),
        row.out.to_string(),
        row.reasons(),
        row.unseen().to_string(),
        row.remarks(),
    ]
}

/// The head of the table in a README.
pub(crate) fn markdown_head() -> String {
    let line = |cells: &[&str]| format!("| {} |", cells.join(" | "));
    let mut heads = HEADS.to_vec();
    heads.push("day");
    format!("{}\n{}", line(&heads), line(&["---"; 8]))
}

/// A row in a README.
pub(crate) fn markdown(row: &Row, day: &str) -> String {
    format!("| {} | {day} |", cells(row).map(|cell| cell.replace('|', "\\|")).join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = Row::new("kill9, udp", "10 k/s").sums(5, 4).counted("kernel_drops", 1);
        let lines = lines(std::slice::from_ref(&row));
        assert_eq!(lines[0].find("load"), lines[1].find("10 k/s"));
        assert_eq!(
            markdown(&row, "2013-07-19"),
            "| kill9, udp | 10 k/s | 5 | 4 | kernel_drops 1 | 0 |  | 2013-07-19 |"
        );
        assert_eq!(markdown_head().lines().count(), 2);
    }
}
