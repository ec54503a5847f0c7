//! The baseline of rows over HTTP: a server that reads as many requests of the same size, unread, and gives an answer
//! that was made before. A thread a connection, blocking calls, nothing parsed but the length of the body.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::clock::cpu_of_self;
use crate::receiver::{Report, say};

/// What it serves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of each answer's body.
    #[arg(long)]
    answer_bytes: usize,
}

/// Says its address; serves until its standard input ends, and then says what it cost.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    say("ready")?;
    say(&listener.local_addr()?.to_string())?;
    let cpu = cpu_of_self();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", options.answer_bytes).into_bytes();
    answer.resize(answer.len() + options.answer_bytes, b'x');
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A client that hangs up ends its thread, and nothing else.
            std::thread::spawn(move || drop(answer_each(stream, &answer)));
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let report = Report { cpu_ns: (cpu_of_self() - cpu).as_nanos() as u64, ..Report::default() };
    say(&serde_json::to_string(&report)?)
}

fn answer_each(stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut output = stream.try_clone()?;
    let mut input = BufReader::with_capacity(64 * 1024, stream);
    let (mut line, mut body) = (Vec::new(), Vec::new());
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii_end();
            if text.is_empty() {
                break;
            }
            if let Some(value) = text.strip_prefix(b"Content-Length: ") {
                length = value.iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
            }
        }
        body.resize(length, 0);
        input.read_exact(&mut body)?;
        output.write_all(answer)?;
    }
}
