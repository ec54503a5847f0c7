//! `leela top`: what happens now, page by page: on a terminal a screen that is drawn again and again, in a pipe one
//! snapshot after the other.

mod growth;
mod keys;
mod plain;
mod processes;
mod queries;
mod screen;
mod series;
mod sheet;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::span::Span;
use common::time::Time;
use hop::account::Reading;
use mio::Interest;
use sockets::registration;

use crate::instance::Instance;
use crate::output::Output;
use crate::status::unread;
use crate::wait::{SOURCE, Wait, Woke};
use processes::Processes;
use queries::Queries;
use series::Series;
use sheet::{Column, Order, Sheet};

/// Watch processes, series, queries, and where new series come from.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Top {
    /// processes, series, queries or growth
    #[arg(
        value_name = "PAGE",
        value_enum,
        hide_possible_values = true,
        default_value = "processes",
        hide_default_value = true
    )]
    page: Page,
    /// The page growth: names and tags by new series a minute
    #[arg(long, conflicts_with = "page")]
    growth: bool,
    /// Sort by this column [default: the first]
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// Sort the other way round
    #[arg(long)]
    reverse: bool,
    /// How often to look
    #[arg(long, value_name = "SPAN", default_value = "2s")]
    every: Span,
    /// End after N snapshots
    #[arg(long, value_name = "N", value_parser = crate::cli::count)]
    count: Option<u64>,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela top
  leela top series
  leela top --growth
      who makes new series, while there are too many
  leela top --sort pss
  leela top series -o json --count 1 | jq -r '.rows[:10][] | .series'

Exit status: 0, 1 ended before N snapshots, 69 nobody ever ran here";

/// What is looked at.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    Processes,
    Series,
    Queries,
    Growth,
}

impl Page {
    const ALL: [Page; 4] = [Page::Processes, Page::Series, Page::Queries, Page::Growth];

    const fn word(self) -> &'static str {
        match self {
            Page::Processes => "processes",
            Page::Series => "series",
            Page::Queries => "queries",
            Page::Growth => "growth",
        }
    }

    const fn columns(self) -> &'static [Column] {
        match self {
            Page::Processes => processes::COLUMNS,
            Page::Series => series::COLUMNS,
            Page::Queries => queries::COLUMNS,
            Page::Growth => growth::COLUMNS,
        }
    }

    /// The order in which a page is shown first.
    const fn order(self) -> Order {
        // Processes by name, counters by name: rows stay where they are. What is active comes first.
        let column = match self {
            Page::Processes => self.columns().len() - 1,
            Page::Series | Page::Queries | Page::Growth => 0,
        };
        Order { column, reverse: false }
    }
}

/// Shows a page until it has shown enough, or is told to stop.
pub fn run(top: &Top, instance: &Instance) -> anyhow::Result<()> {
    let page = if top.growth { Page::Growth } else { top.page };
    let order = order(top, page)?;
    let mut look = Look::new(instance);
    let is_screen = !top.output.is_chosen()
        && top.count.is_none()
        && io::stdout().is_terminal()
        && io::stdin().is_terminal();
    let every = top.every.duration().max(EVERY_MIN);
    match is_screen {
        true => view::run(look, page, order, every),
        false => snapshots(top, &mut look, page, order, every),
    }
}

/// More often than this is no use.
const EVERY_MIN: Duration = Duration::from_millis(100);

fn order(top: &Top, page: Page) -> anyhow::Result<Order> {
    let Some(name) = &top.sort else {
        let order = page.order();
        return Ok(Order { reverse: top.reverse, ..order });
    };
    let columns = page.columns();
    match columns.iter().position(|column| column.name == name) {
        Some(column) => Ok(Order { column, reverse: top.reverse }),
        None => {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            let word = page.word();
            Err(Exit::Usage
                .error(format_args!("{word} has no column {name}; there are {}", names.join(", "))))
        }
    }
}

fn snapshots(
    top: &Top,
    look: &mut Look<'_>,
    page: Page,
    order: Order,
    every: Duration,
) -> anyhow::Result<()> {
    let mut wait = Wait::new(None)?;
    look.turn_to(page, &wait)?;
    let mut printed = 0;
    // Rates are of the time between two looks.
    if page != Page::Growth {
        look.sheet(page)?;
    }
    let mut next = Instant::now() + if page == Page::Growth { Duration::ZERO } else { every };
    loop {
        let more = look.read()?;
        let now = Instant::now();
        if now >= next {
            let mut sheet = look.sheet(page)?;
            sheet.sort(order);
            plain::print(&sheet, page, Time::now(), top.output.form())?;
            wait.over();
            printed += 1;
            if top.count.is_some_and(|count| printed >= count) {
                return Ok(());
            }
            next = now + every;
        }
        let until = if more { now } else { next.min(look.due().unwrap_or(next)) };
        if wait.wait(Some(until), "the first snapshot")? != Woke::Due {
            return match top.count {
                Some(count) => {
                    Err(Exit::No.error(format_args!("ended after {printed} of {count} snapshots")))
                }
                None => Ok(()),
            };
        }
    }
}

/// What was seen at the last look, of every page.
#[derive(Debug)]
struct Look<'a> {
    instance: &'a Instance,
    processes: Processes,
    queries: Queries,
    /// While that page is shown: it costs the timeline something.
    series: Option<Series>,
    /// When the subscription is to be renewed.
    renew: Option<Instant>,
}

impl<'a> Look<'a> {
    fn new(instance: &'a Instance) -> Look<'a> {
        Look {
            instance,
            processes: Processes::default(),
            queries: Queries::default(),
            series: None,
            renew: None,
        }
    }

    /// Subscribes to what a page needs, and to nothing else.
    fn turn_to(&mut self, page: Page, wait: &Wait) -> anyhow::Result<()> {
        match (page == Page::Series, self.series.is_some()) {
            (true, false) => {
                let now = Instant::now();
                let mut series = Series::open(self.instance, now)?;
                wait.registry().register(series.consumer.databus(), SOURCE, Interest::READABLE)?;
                (self.series, self.renew) = (Some(series), Some(now + registration::INTERVAL));
            }
            (false, true) => (self.series, self.renew) = (None, None),
            _ => {}
        }
        Ok(())
    }

    /// When there is something to do before the next look.
    fn due(&self) -> Option<Instant> {
        self.renew
    }

    /// Takes what has come; true when there may be more.
    fn read(&mut self) -> anyhow::Result<bool> {
        let Some(series) = &mut self.series else { return Ok(false) };
        let now = Instant::now();
        if self.renew.is_some_and(|renew| renew <= now) {
            // That it went away is to be seen: its rates go to nothing.
            let _ = series.consumer.register();
            self.renew = Some(now + registration::INTERVAL);
        }
        series.read()
    }

    /// A page as it is now.
    fn sheet(&mut self, page: Page) -> anyhow::Result<Sheet> {
        let now = Instant::now();
        let instance = self.instance;
        match page {
            Page::Processes => {
                let reading = Reading::of(&instance.runtime_dir).map_err(|error| unread(error, instance))?;
                Ok(self.processes.sheet(instance, &reading, now))
            }
            Page::Queries => {
                let reading =
                    Reading::of_books(&instance.runtime_dir).map_err(|error| unread(error, instance))?;
                self.queries.sheet(instance, &reading, Time::now())
            }
            Page::Growth => growth::sheet(instance, Time::now()),
            Page::Series => Ok(self.series.as_mut().map_or_else(
                || Sheet { summary: "not subscribed".into(), columns: series::COLUMNS, rows: Vec::new() },
                |series| series.sheet(now),
            )),
        }
    }
}
