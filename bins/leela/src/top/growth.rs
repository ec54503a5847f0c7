//! Growth: where new series come from, as the timeline tells.

use std::io;

use common::growth::{Growth, GrowthError, Row};
use common::time::Time;

use super::sheet::{Cell, Column, Sheet, Unit, short};
use crate::instance::{Instance, forbidden};

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "new/min", unit: Unit::Count },
    Column { name: "share%", unit: Unit::Count },
    Column { name: "values", unit: Unit::Count },
    Column { name: "kind", unit: Unit::Text },
    Column { name: "of", unit: Unit::Text },
];

/// The timeline writes every second: what is older is of one that is stopped or gone.
const STALE_SECS: f64 = 5.0;

/// Reads what the timeline told last.
pub(super) fn sheet(instance: &Instance, now: Time) -> anyhow::Result<Sheet> {
    let path = instance.runtime_dir.growth();
    let growth = Growth::read(&path).map_err(|error| match error {
        GrowthError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            instance.absent("no leela-timeline has told where series come from")
        }
        GrowthError::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            forbidden(format_args!("reading {}: {error}", path.display()))
        }
        error => anyhow::Error::new(error).context(format!("reading {}", path.display())),
    })?;
    Ok(of(&growth, now))
}

fn of(growth: &Growth, now: Time) -> Sheet {
    let total = growth.total();
    let share = |count: u64| if total > 0 { count as f64 * 100.0 / total as f64 } else { 0.0 };
    let row = |row: &Row, kind: &str, values: Option<f64>, text: String| {
        vec![
            Cell::Number(growth.a_minute(row.at_least)),
            Cell::Number(share(row.at_least)),
            values.into(),
            kind.into(),
            Cell::Text(text),
        ]
    };
    let names = growth.names.iter().map(|name| row(name, "name", None, shown(&name.text)));
    let tags = growth.tags.iter().map(|tag| row(tag, "tag", Some(tag.values as f64), tag.text.clone()));
    Sheet { summary: summary(growth, now), columns: COLUMNS, rows: names.chain(tags).collect() }
}

/// The front of names has a dot at its end.
fn shown(name: &str) -> String {
    if name.ends_with('.') { format!("{name}*") } else { name.to_owned() }
}

fn summary(growth: &Growth, now: Time) -> String {
    let count = |count: f64| short(count, 1000.0, &["", "k", "M", "G"]);
    let age = now.since_ns(growth.time) as f64 / 1e9;
    if growth.time == Time::default() {
        return "the timeline has told nothing yet".to_owned();
    }
    let mut summary = format!("{} new series a minute", count(growth.a_minute(growth.entered)));
    if growth.turned_away > 0 {
        let away = count(growth.a_minute(growth.turned_away));
        summary.push_str(&format!(", and {away} records of series over a limit"));
    }
    if let Some(name) = growth.culprit() {
        let share = name.at_least as f64 * 100.0 / growth.total() as f64;
        summary.push_str(&format!("; {share:.0} % of {}", shown(&name.text)));
    }
    if let Some(tag) = growth.culprit_tag() {
        summary.push_str(&format!(", by {} values of tag {}", count(tag.values as f64), tag.text));
    }
    if age > STALE_SECS {
        summary.push_str(&format!("; told {age:.0} s ago: leela-timeline does not run"));
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_summary_names_the_culprit() {
        let row =
            |text: &str, at_least, values| Row { text: text.into(), at_least, at_most: at_least, values };
        let calm =
            Growth { time: Time::from_secs(100), window: Duration::from_secs(15), ..Growth::default() };
        let wild = Growth {
            entered: 100_000,
            turned_away: 2_400_000,
            names: vec![row("web.", 2_450_000, 0), row("disk.used", 50_000, 0)],
            tags: vec![row("id", 2_450_000, 2_300_000)],
            ..calm.clone()
        };
        for (growth, now, want) in [
            (Growth::default(), 100, "the timeline has told nothing yet"),
            (calm.clone(), 101, "0 new series a minute"),
            (calm, 130, "0 new series a minute; told 30 s ago: leela-timeline does not run"),
            (
                wild,
                101,
                "400k new series a minute, and 9.6M records of series over a limit; 98 % of web.*, by 2.3M values of tag id",
            ),
        ] {
            assert_eq!(of(&growth, Time::from_secs(now)).summary, want);
        }
    }
}
