//! Another chat client, on slixmpp: tests/services/slixmpp_client.py, told what to do by lines of JSON.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use serde_json::{Value, json};

use crate::binary::workspace;
use crate::chat_server::{ChatServer, DOMAIN, PASSWORD};
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::service::service;
use crate::wait::wait_for;

/// A client of this kind that has logged in.
#[derive(Debug)]
pub struct Slixmpp {
    process: Process,
    to: ChildStdin,
}

impl Sandbox {
    /// A client of this account; none where slixmpp is not installed (see [`service`]).
    pub fn slixmpp(&self, server: &ChatServer, user: &str) -> Option<Slixmpp> {
        service("slixmpp")?;
        let program = workspace().join("tests/services/slixmpp_client.py");
        // Debian's, which its package is for.
        let mut command = self.alone(Path::new("/usr/bin/python3"));
        command.arg(program).args([&format!("{user}@{DOMAIN}/slixmpp"), PASSWORD]);
        command.args([server.address().ip().to_string(), server.address().port().to_string()]);
        command.arg(server.authority()).stdin(Stdio::piped());
        let mut process = self.begin_command("slixmpp", command);
        let to = process.take_stdin().expect("it is piped");
        let client = Slixmpp { process, to };
        client.wait("it is online", 0, |line| line["online"].is_string());
        Some(client)
    }
}

impl Slixmpp {
    /// Tells it to do something.
    pub fn tell(&mut self, what: Value) {
        writeln!(self.to, "{what}").expect("it reads");
    }

    /// Lines that it has said until now.
    pub fn lines(&self) -> Vec<Value> {
        let log = self.process.log();
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        // Python's warnings are no JSON.
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line like this, after the first `skip`.
    #[track_caller]
    pub fn wait(&self, what: &str, skip: usize, like: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("slixmpp: {what}"), || {
            let lines = self.lines();
            let failed = lines.iter().skip(skip).find(|line| line["failed"].is_string());
            assert!(failed.is_none(), "slixmpp: {what}: {}", failed.unwrap_or(&Value::Null));
            lines.into_iter().skip(skip).find(|line| like(line))
        })
    }

    /// Tells it to do something, and waits for what comes of it, a line with `word`.
    #[track_caller]
    pub fn ask(&mut self, what: Value, word: &str) -> Value {
        let before = self.lines().len();
        let text = what.to_string();
        self.tell(what);
        self.wait(&text, before, |line| !line[word].is_null())
    }

    /// Says something to somebody, and gives the message that comes next.
    #[track_caller]
    pub fn say(&mut self, to: &str, text: &str) -> Value {
        self.ask(json!({"say": text, "to": to}), "body")
    }
}
