//! The journal's native protocol: a datagram a message, `NAME=value` lines.
//!
//! Source: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::io;
use std::os::unix::net::UnixDatagram;

use tracing::Level;

use super::line::Line;

const SOCKET: &str = "/run/systemd/journal/socket";

/// A way to the journal that never waits.
pub(super) struct Journal(UnixDatagram);

impl Journal {
    pub(super) fn connect() -> io::Result<Journal> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(SOCKET)?;
        Ok(Journal(socket))
    }

    pub(super) fn send(&self, name: &str, line: &Line) -> io::Result<()> {
        self.0.send(datagram(name, line).as_bytes()).map(drop)
    }
}

/// Values have no newline (a [`Line`]'s are escaped), so the form with a length is not needed.
fn datagram(name: &str, line: &Line) -> String {
    let mut datagram =
        format!("MESSAGE={}\nPRIORITY={}\nSYSLOG_IDENTIFIER={name}\n", line.text(), priority(line.level));
    for (name, value) in &line.fields {
        datagram.push_str("LEELA_");
        // The journal takes capitals, digits and _, at most 64 of them.
        let capital = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' };
        datagram.extend(name.bytes().take(58).map(|byte| char::from(capital(byte))));
        datagram.push('=');
        datagram.push_str(value);
        datagram.push('\n');
    }
    datagram
}

/// syslog's number of a level.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_gets_the_line_and_its_fields() {
        let mut line = Line { level: Level::WARN, message: "no peer".into(), fields: Vec::new() };
        line.add("dropped.events", 12);
        line.add("text", "a\nPRIORITY=0");
        assert_eq!(
            datagram("leela-udp", &line),
            "MESSAGE=no peer dropped.events=12 text=\"a\\nPRIORITY=0\"\nPRIORITY=4\nSYSLOG_IDENTIFIER=leela-udp\n\
             LEELA_DROPPED_EVENTS=12\nLEELA_TEXT=a\\nPRIORITY=0\n"
        );
    }
}
