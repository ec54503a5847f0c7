//! `faults [CASE...]`: something breaks under load, and the sum has to hold. Each case prints what was sent, what came
//! out, what the books say was lost and why, and what is lost unseen, which has to be nothing. `tests/README.md` says
//! what each case means.

mod clock_jumps;
mod conserve;
mod disk;
mod explosion;
mod kill9;
mod neighbours;
mod soak;
mod systemd;

mod clock;
mod core;
mod load;
mod probe;
mod stored;
mod tmpfs;
mod watch;

mod alone;
mod readme;
mod row;
mod table;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::row::Row;

/// What Leela does when something breaks under load
#[derive(Debug, Parser)]
#[command(name = "faults")]
struct Arguments {
    /// Cases to run; without, all but soak, which takes half an hour
    cases: Vec<Case>,
    /// Seconds where there would be minutes: it shows only that a case works
    #[arg(long)]
    short: bool,
    /// Writes the rows of these cases into tests/README.md
    #[arg(long, conflicts_with = "short")]
    write: bool,
    /// This program is one case of another that waits for its rows
    #[arg(long, hide = true)]
    alone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Case {
    Kill9,
    Neighbours,
    Disk,
    Clock,
    Conserve,
    Explosion,
    SystemdRestarts,
    SystemdUpgrades,
    SystemdUnstartable,
    Soak,
}

impl Case {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, scale: Scale) -> anyhow::Result<Vec<Row>> {
        match self {
            Case::Kill9 => kill9::run(scale),
            Case::Neighbours => neighbours::run(scale),
            Case::Disk => disk::run(scale),
            Case::Clock => clock_jumps::run(scale),
            Case::Conserve => conserve::run(scale),
            Case::Explosion => explosion::run(scale),
            Case::SystemdRestarts => systemd::restarts(scale),
            Case::SystemdUpgrades => systemd::upgrades(scale),
            Case::SystemdUnstartable => systemd::unstartable(scale),
            Case::Soak => soak::run(scale),
        }
    }

    /// The cases that are run when none is named.
    fn usual() -> Vec<Case> {
        Case::value_variants().iter().copied().filter(|case| *case != Case::Soak).collect()
    }
}

/// How long a case takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    /// As long as it takes to be sure.
    Full,
    /// Only to see that it works.
    Short,
}

impl Scale {
    fn pick<T>(self, full: T, short: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Short => short,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scale = if arguments.short { Scale::Short } else { Scale::Full };
    let done = match (arguments.alone, &arguments.cases[..]) {
        (true, [case]) => alone::serve(*case, scale),
        _ => run(&arguments, scale),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, scale: Scale) -> anyhow::Result<()> {
    let cases = if arguments.cases.is_empty() { Case::usual() } else { arguments.cases.clone() };
    println!("{}; load average {:.1}", tests::machine(), tests::load_average());
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for case in &cases {
        match alone::run(*case, scale) {
            Ok(found) => {
                table::print(&found);
                if !found.iter().all(Row::holds) {
                    failed.push(case.name());
                }
                rows.extend(found);
            }
            Err(error) => {
                println!("{} failed: {error:#}", case.name());
                failed.push(case.name());
            }
        }
    }
    if arguments.write {
        let names = |cases: &[Case]| cases.iter().map(|case| case.name()).collect::<Vec<_>>();
        readme::write(&names(Case::value_variants()), &names(&cases), &rows)?;
    }
    anyhow::ensure!(
        failed.is_empty(),
        "{} of {} cases do not hold: {}",
        failed.len(),
        cases.len(),
        failed.join(", ")
    );
    Ok(())
}
