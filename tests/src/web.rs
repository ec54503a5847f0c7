//! A client of HTTP/1.1 that says what it got, also where that is not all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::DEADLINE;

/// An answer, as far as it came.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The status; 0 when the server hung up before it said one.
    pub status: u16,
    /// Headers, their names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, without the marks of chunks.
    pub body: Vec<u8>,
    /// It came to its end as HTTP says it.
    pub is_whole: bool,
}

impl Reply {
    /// The last header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}: {}", self.status, self.headers, self.text()))
    }
}

/// A connection.
#[derive(Debug)]
pub struct Web {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Web {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn open(address: SocketAddr) -> Web {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        stream.set_nodelay(true).expect("a TCP socket");
        Web { stream, read: Vec::new() }
    }

    /// One request on a connection of its own. `extra` are header lines, each with its end.
    pub fn ask(address: SocketAddr, method: &str, target: &str, extra: &str, body: &[u8]) -> Reply {
        let mut web = Web::open(address);
        web.request(method, target, &format!("Connection: close\r\n{extra}"), body);
        web.reply(method)
    }

    /// Sends a request with its body.
    pub fn request(&mut self, method: &str, target: &str, extra: &str, body: &[u8]) {
        let host = self.stream.peer_addr().map_or_else(|_| String::new(), |peer| peer.to_string());
        let host = if extra.contains("Host:") { String::new() } else { format!("Host: {host}\r\n") };
        let length = if body.is_empty() && method != "POST" && method != "PUT" {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        self.send(format!("{method} {target} HTTP/1.1\r\n{host}{length}{extra}\r\n").as_bytes());
        self.send(body);
    }

    /// Sends bytes as they are. A server that hangs up first has said why.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads the next answer, to its end or to the connection's.
    pub fn reply(&mut self, method: &str) -> Reply {
        let mut reply = Reply::default();
        let Some(head) = self.until(b"\r\n\r\n") else { return reply };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        reply.status = status.unwrap_or(0);
        reply.headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if method == "HEAD" || [204, 304].contains(&reply.status) {
            reply.is_whole = true;
        } else if reply.header("transfer-encoding") == Some("chunked") {
            reply.is_whole = self.chunks(&mut reply.body);
        } else if let Some(length) = length {
            reply.is_whole = self.fill(length);
            let length = length.min(self.read.len());
            reply.body = self.read.drain(..length).collect();
        }
        reply
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> bool {
        loop {
            match self.chunk() {
                Some(chunk) if chunk.is_empty() => return self.until(b"\r\n").is_some(),
                Some(chunk) => body.extend(chunk),
                None => return false,
            }
        }
    }

    /// The next chunk of a stream; empty at its end, none when the connection ended first.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n")?;
        let length = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).ok()?;
        if length == 0 {
            return Some(Vec::new());
        }
        if !self.fill(length + 2) {
            return None;
        }
        let mut chunk: Vec<u8> = self.read.drain(..length + 2).collect();
        chunk.truncate(length);
        Some(chunk)
    }

    /// Reads the head of an answer whose body is a stream.
    pub fn head(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n").unwrap_or_default();
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Reply { status, ..Reply::default() }
    }

    /// Whether the server hangs up, having said nothing more.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill(1)
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|bytes| bytes == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            if !self.fill(self.read.len() + 1) {
                return None;
            }
        }
    }

    /// Reads until so many bytes are there; false when the connection ended first.
    fn fill(&mut self, bytes: usize) -> bool {
        let mut buffer = [0; 1 << 16];
        while self.read.len() < bytes {
            match self.stream.read(&mut buffer) {
                Ok(length) if length > 0 => self.read.extend_from_slice(&buffer[..length]),
                Ok(_) => return false,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came in time")
                }
                Err(_) => return false,
            }
        }
        true
    }
}
