//! The terminal as a screen: taken, drawn on, and given back as it was, however this program ends.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::panic;
use std::sync::Mutex;

use anyhow::Context as _;
use nix::errno::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::keys::{self, Key};
use super::sheet::cut;
use crate::output;

/// The other screen, the cursor hidden, no wrapping at the right edge; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// What is between them a terminal shows at once, however many pieces it comes in; one that does not know them takes no
/// notice. <https://contour-terminal.org/vt-extensions/synchronized-output/>
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";
/// A terminal that does not say how large it is.
const SIZE: Size = Size { columns: 80, rows: 24 };

/// The terminal as it was, while this program has it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Columns and rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How a line is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Style {
    Plain,
    /// A title.
    Bold,
    /// A header or a help line: reversed, over the whole width.
    Bar,
    /// Somebody has to act: in the colour of an error, where there are colours.
    Bad,
}

/// The terminal of standard input and output, until it is dropped.
#[derive(Debug)]
pub(super) struct Screen {
    colour: bool,
}

impl Screen {
    /// Takes it.
    pub(super) fn take() -> anyhow::Result<Screen> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd()).context("asking the terminal how it is")?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(before);
        // A panic of a release ends the process at once: nothing is dropped, but this is called.
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            former(info);
        }));
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &raw).context("taking the terminal")?;
        let screen = Screen { colour: output::colour() };
        write(ENTER.as_bytes())?;
        Ok(screen)
    }

    /// How large it is now.
    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout().as_fd()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) }
            }
            _ => SIZE,
        }
    }

    /// Shows these lines and nothing else; all at once, so that nothing flickers.
    pub(super) fn draw(&self, lines: &[(Style, String)], size: Size) -> io::Result<()> {
        let mut out = [BEGIN, "\x1b[H"].concat();
        for (at, (style, line)) in lines.iter().take(size.rows).enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            let text = cut(line, size.columns);
            match style {
                Style::Plain => out.push_str(&text),
                Style::Bold => out.extend(["\x1b[1m", &text, "\x1b[0m"]),
                Style::Bar => {
                    let gap =
                        size.columns.saturating_sub(unicode_width::UnicodeWidthStr::width(text.as_str()));
                    out.extend(["\x1b[7m", &text, &" ".repeat(gap), "\x1b[0m"]);
                }
                Style::Bad if self.colour => out.extend(["\x1b[31m", &text, "\x1b[0m"]),
                Style::Bad => out.push_str(&text),
            }
            out.push_str("\x1b[K");
        }
        out.extend(["\x1b[J", END]);
        write(out.as_bytes())
    }

    /// What was typed; none when the terminal has gone.
    pub(super) fn keys(&self) -> Option<Vec<Key>> {
        let mut buffer = [0; 256];
        // Not through the buffer of `Stdin`: what it holds no poll tells of.
        match nix::unistd::read(io::stdin(), &mut buffer) {
            Ok(0) => None,
            Ok(length) => Some(keys::keys(&buffer[..length])),
            Err(Errno::EINTR | Errno::EAGAIN) => Some(Vec::new()),
            Err(_) => None,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(before) = before {
        // There is nobody to tell that it cannot be given back.
        let _ = write(LEAVE.as_bytes());
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &before);
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
