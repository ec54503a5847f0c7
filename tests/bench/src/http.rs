//! A client of HTTP/1.1 that keeps its connection: as little as a measurement of the server needs.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Longer than any answer of a row takes.
const ANSWER_MAX: Duration = Duration::from_secs(60);
const READ_BYTES: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read of answers and not taken.
    read: Vec<u8>,
}

/// An answer, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Connection { stream, read: Vec::with_capacity(READ_BYTES) })
    }

    /// Sends what [`request`] made.
    pub(crate) fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).context("sending a request")
    }

    /// Waits for the next answer.
    pub(crate) fn answer(&mut self) -> anyhow::Result<Answer> {
        let head_bytes = self.read_to(b"\r\n\r\n", 0)?;
        let head = std::str::from_utf8(&self.read[..head_bytes]).context("a head is text")?;
        let head = Head::parse(head)?;
        let mut at = head_bytes;
        let mut body = Vec::new();
        match head.length {
            Some(length) => {
                self.fill(at + length)?;
                body.extend_from_slice(&self.read[at..at + length]);
                at += length;
            }
            None => loop {
                let line = self.read_to(b"\r\n", at)?;
                let text = std::str::from_utf8(&self.read[at..line - 2]).context("a chunk has a length")?;
                let length = usize::from_str_radix(text.split(';').next().unwrap_or("").trim(), 16)
                    .with_context(|| format!("a chunk of length {text:?}"))?;
                self.fill(line + length + 2)?;
                body.extend_from_slice(&self.read[line..line + length]);
                at = line + length + 2;
                if length == 0 {
                    break;
                }
            },
        }
        self.read.drain(..at);
        Ok(Answer { status: head.status, body })
    }

    /// A request and its answer, which has to be a good one.
    pub(crate) fn ask(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.send(request)?;
        let answer = self.answer()?;
        ensure!(
            (200..300).contains(&answer.status),
            "status {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        Ok(answer.body)
    }

    /// Reads until `end` is there, at or behind `from`; gives where it ends.
    fn read_to(&mut self, end: &[u8], from: usize) -> anyhow::Result<usize> {
        loop {
            let found = self.read.get(from..).unwrap_or_default().windows(end.len()).position(|at| at == end);
            if let Some(found) = found {
                return Ok(from + found + end.len());
            }
            self.fill(self.read.len() + 1)?;
        }
    }

    /// Reads until there are so many bytes at least.
    fn fill(&mut self, bytes: usize) -> anyhow::Result<()> {
        let mut filled = self.read.len();
        if filled >= bytes {
            return Ok(());
        }
        self.read.resize(bytes.max(filled + READ_BYTES), 0);
        while filled < bytes {
            match self.stream.read(&mut self.read[filled..]).context("reading an answer")? {
                0 => bail!("the server hung up in an answer"),
                more => filled += more,
            }
        }
        self.read.truncate(filled);
        Ok(())
    }
}

/// What an answer says of itself.
#[derive(PartialEq, Eq, Debug)]
struct Head {
    status: u16,
    /// None where the body comes in chunks.
    length: Option<usize>,
}

impl Head {
    fn parse(text: &str) -> anyhow::Result<Head> {
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?;
        let status: u16 = status.parse().with_context(|| format!("status {status:?}"))?;
        let (mut length, mut chunked) = (None, false);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().with_context(|| format!("length {value:?}"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.eq_ignore_ascii_case("chunked");
            }
        }
        if status == 204 {
            length = Some(0);
        }
        ensure!(length.is_some() || chunked, "an answer of unknown length: {text:?}");
        Ok(Head { status, length: length.filter(|_| !chunked) })
    }
}

/// An address of the loopback with a port that was free just now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A request of one piece. `headers` are lines with their ends.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = match method {
        "GET" => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}{length}\r\n");
    [head.as_bytes(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that gives these bytes in pieces of `piece`, to a client that takes `answers` answers.
    fn answers(bytes: &'static [u8], piece: usize, answers: usize) -> Vec<(u16, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            bytes.chunks(piece).for_each(|piece| stream.write_all(piece).unwrap());
        });
        let mut connection = Connection::open(address).unwrap();
        let got =
            (0..answers).map(|_| connection.answer().unwrap()).map(|answer| (answer.status, answer.body));
        let got = got.collect();
        server.join().unwrap();
        got
    }

    #[test]
    fn answers_are_taken_whole_from_any_pieces() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello\
                      HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nb;x=y\r\ndefghijklmn\r\n0\r\n\r\n\
                      HTTP/1.1 204 No Content\r\n\r\n\
                      HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        for piece in [1, 2, 7, bytes.len()] {
            let want: [(u16, &[u8]); 4] = [(200, b"hello"), (200, b"abcdefghijklmn"), (204, b""), (503, b"")];
            assert_eq!(
                answers(bytes, piece, 4),
                want.map(|(status, body)| (status, body.to_vec())),
                "{piece}"
            );
        }
    }

    #[test]
    fn an_answer_without_a_length_is_an_error() {
        assert!(Head::parse("HTTP/1.1 200 OK\r\nServer: x\r\n\r\n").is_err());
    }
}
