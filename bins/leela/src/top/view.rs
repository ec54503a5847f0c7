//! The screen: a title, the page, a line of help; what is typed turns it.

use std::io;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::time::Time;
use common::utc::Utc;
use mio::unix::SourceFd;
use mio::{Interest, Token};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::keys::Key;
use super::screen::{Screen, Size, Style};
use super::sheet::{Order, Sheet};
use super::{Look, Page};
use crate::wait::{SOURCE, Wait, Woke};

const KEYBOARD: Token = Token(SOURCE.0 + 1);
const RESIZED: Token = Token(SOURCE.0 + 2);

/// Lines that are no rows: title, summary, header, help.
const FRAME: usize = 4;
/// From the longest to the shortest; the first that fits is shown.
const HELP: [&str; 3] = [
    "q quit  1 processes  2 series  3 queries  4 growth  ←→ sort by  r reverse  ↑↓ scroll",
    "q quit  1-4 page  ←→ sort by  r reverse  ↑↓ scroll",
    "q quit  1-4  ←→ r ↑↓",
];

/// What the screen shows.
#[derive(Debug)]
struct View {
    page: Page,
    orders: [Order; 4],
    first: usize,
    sheet: Result<Sheet, String>,
}

/// Shows pages until `q`, Ctrl-C or SIGTERM.
pub(super) fn run(mut look: Look<'_>, page: Page, order: Order, every: Duration) -> anyhow::Result<()> {
    let mut wait = Wait::new(None)?;
    // It is told by what is on the screen.
    wait.over();
    let mut resized = SigSet::empty();
    resized.add(Signal::SIGWINCH);
    resized.thread_block().context("blocking SIGWINCH")?;
    let resized = SignalFd::with_flags(&resized, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .context("opening a descriptor for signals")?;
    let registry = wait.registry();
    registry.register(&mut SourceFd(&resized.as_raw_fd()), RESIZED, Interest::READABLE)?;
    registry.register(&mut SourceFd(&io::stdin().as_raw_fd()), KEYBOARD, Interest::READABLE)?;
    let mut view = View { page, orders: Page::ALL.map(Page::order), first: 0, sheet: Err("looking".into()) };
    view.orders[page as usize] = order;
    // Before the screen is taken: an instance that is not there is an error of the command.
    look.turn_to(page, &wait)?;
    view.look(look.sheet(page));
    if let Err(error) = &view.sheet {
        let error = error.clone();
        look.sheet(page).map(|_| ()).context(error)?;
    }
    let screen = Screen::take()?;
    let mut next = Instant::now() + every.min(Duration::from_secs(1));
    loop {
        view.draw(&screen)?;
        let more = look.read()?;
        let until = if more { Instant::now() } else { next.min(look.due().unwrap_or(next)) };
        if wait.wait(Some(until), "keys")? != Woke::Due {
            return Ok(());
        }
        while resized.read_signal().is_ok_and(|signal| signal.is_some()) {}
        while is_readable(&io::stdin()) {
            let Some(keys) = screen.keys() else { return Ok(()) };
            for key in keys {
                if matches!(key, Key::Char('q') | Key::Interrupt) {
                    return Ok(());
                }
                if view.key(key, screen.size()) {
                    let turned = look.turn_to(view.page, &wait).and_then(|()| look.sheet(view.page));
                    view.look(turned);
                }
            }
        }
        let now = Instant::now();
        if now >= next {
            view.look(look.sheet(view.page));
            next = now + every;
        }
    }
}

/// Whether reading would not wait.
fn is_readable(input: &impl std::os::fd::AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut polled = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

impl View {
    fn look(&mut self, sheet: anyhow::Result<Sheet>) {
        self.sheet = sheet.map_err(|error| format!("{error:#}"));
        self.sort();
    }

    fn sort(&mut self) {
        let order = self.orders[self.page as usize];
        if let Ok(sheet) = &mut self.sheet {
            sheet.sort(order);
        }
    }

    /// Does what a key says; true when another page is to be looked at.
    fn key(&mut self, key: Key, size: Size) -> bool {
        let columns = self.page.columns().len();
        let room = size.rows.saturating_sub(FRAME).max(1);
        let at = self.page as usize;
        let order = &mut self.orders[at];
        match key {
            Key::Char('r') => order.reverse = !order.reverse,
            Key::Right | Key::Char('>') => {
                *order = Order { column: (order.column + 1) % columns, reverse: false }
            }
            Key::Left | Key::Char('<') => {
                *order = Order { column: (order.column + columns - 1) % columns, reverse: false };
            }
            Key::Down | Key::Char('j') => self.first += 1,
            Key::Up | Key::Char('k') => self.first = self.first.saturating_sub(1),
            Key::PageDown => self.first += room,
            Key::PageUp => self.first = self.first.saturating_sub(room),
            Key::Home => self.first = 0,
            Key::End => self.first = usize::MAX,
            Key::Tab => return self.turn((at + 1) % Page::ALL.len()),
            Key::BackTab => return self.turn((at + Page::ALL.len() - 1) % Page::ALL.len()),
            Key::Char(digit @ '1'..='4') => return self.turn(digit as usize - '1' as usize),
            Key::Char(_) | Key::Interrupt => {}
        }
        let rows = self.sheet.as_ref().map_or(0, |sheet| sheet.rows.len());
        self.first = self.first.min(rows.saturating_sub(room));
        self.sort();
        false
    }

    fn turn(&mut self, page: usize) -> bool {
        (self.page, self.first) = (Page::ALL[page], 0);
        true
    }

    fn draw(&mut self, screen: &Screen) -> anyhow::Result<()> {
        let size = screen.size();
        let lines = self.lines(size);
        screen.draw(&lines, size).context("drawing")
    }

    fn lines(&mut self, size: Size) -> Vec<(Style, String)> {
        let time = Utc(Time::now()).to_string();
        // The time of the day is enough.
        let clock = time.get(11..19).unwrap_or_default();
        let mut lines = vec![(Style::Bold, format!("leela top  {}  {clock}Z", self.page.word()))];
        let room = size.rows.saturating_sub(FRAME);
        match &self.sheet {
            Ok(sheet) => {
                self.first = self.first.min(sheet.rows.len().saturating_sub(room.max(1)));
                lines.push((Style::Plain, sheet.summary.clone()));
                let order = self.orders[self.page as usize];
                let table = sheet.lines(order, self.first, room, size.columns);
                let styles = std::iter::once(Style::Bar).chain(std::iter::repeat(Style::Plain));
                lines.extend(styles.zip(table));
            }
            // An error may say more than a line holds.
            Err(error) => {
                let letters: Vec<char> = error.chars().collect();
                let pieces = letters.chunks(size.columns.max(1)).map(String::from_iter);
                lines.extend(pieces.map(|piece| (Style::Bad, piece)));
            }
        }
        lines.truncate(size.rows.saturating_sub(1));
        while lines.len() + 1 < size.rows {
            lines.push((Style::Plain, String::new()));
        }
        let fits = |help: &&&str| help.chars().count() <= size.columns;
        let help = HELP.iter().find(fits).unwrap_or(&HELP[HELP.len() - 1]);
        lines.push((Style::Bar, (*help).to_owned()));
        lines
    }
}
