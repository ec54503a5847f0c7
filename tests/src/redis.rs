//! A real Redis of one test, and a look into what it holds.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::chat_server::own_address;
use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::service::service;
use crate::wait::wait_until;

/// The original's directory of subscriptions.
pub const DIRECTORY: &str = "leela.xmpp";

/// A Redis that keeps everything in memory alone.
#[derive(Debug)]
pub struct Redis {
    address: SocketAddr,
    dir: PathBuf,
    program: PathBuf,
    process: Option<Process>,
}

impl Sandbox {
    /// A Redis that is ready and empty; none where it is not installed (see [`service`]).
    pub fn redis(&self) -> Option<Redis> {
        let program = service("redis")?;
        let dir = self.path().join("redis");
        fs::create_dir(&dir).expect("a sandbox has one Redis");
        let mut redis = Redis { address: own_address(), dir, program, process: None };
        redis.start(self);
        Some(redis)
    }
}

impl Redis {
    /// Where it listens, which stays when it is started anew.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The part of a bridge's configuration that names it.
    pub fn config(&self) -> String {
        format!("[redis]\nhost = \"{}\"\nport = {}\n", self.address.ip(), self.address.port())
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// Starts it anew after [`Redis::kill9`], empty; returns when it answers.
    pub fn start(&mut self, sandbox: &Sandbox) {
        self.start_that(sandbox, &[]);
    }

    /// As [`Redis::start`], with further arguments.
    pub fn start_that(&mut self, sandbox: &Sandbox, more: &[&str]) {
        let (ip, port) = (self.address.ip().to_string(), self.address.port().to_string());
        let dir = self.dir.to_str().expect("temporary paths are text");
        let mut arguments = vec!["--port", &port, "--bind", &ip, "--dir", dir];
        arguments.extend(["--save", "", "--appendonly", "no"]);
        arguments.extend(more);
        let mut process = sandbox.begin("redis", &self.program, &arguments);
        wait_until("Redis answers", || {
            assert!(process.is_alive(), "redis has ended");
            TcpStream::connect(self.address).is_ok()
                && self.try_run(&redis::cmd("PING")).is_ok_and(|pong: String| pong == "PONG")
        });
        self.process = Some(process);
    }

    /// Kills it: what it held is gone.
    pub fn kill9(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill9();
        }
    }

    /// The fields of a hash, with their values.
    pub fn hash(&self, key: &str) -> BTreeMap<String, String> {
        self.run(redis::cmd("HGETALL").arg(key))
    }

    /// Writes one field of a hash.
    pub fn set_field(&self, key: &str, field: &str, value: &str) {
        let _: i64 = self.run(redis::cmd("HSET").arg(key).arg(field).arg(value));
    }

    /// Removes one field of a hash.
    pub fn remove_field(&self, key: &str, field: &str) {
        let _: i64 = self.run(redis::cmd("HDEL").arg(key).arg(field));
    }

    /// Changes one word of its configuration.
    pub fn configure(&self, word: &str, value: &str) {
        let _: String = self.run(redis::cmd("CONFIG").arg("SET").arg(word).arg(value));
    }

    /// Cuts off everybody, and lets nobody in while `meanwhile` does something with it by commands.
    pub fn while_shut(&self, meanwhile: impl FnOnce(&mut dyn FnMut(&[&str]))) {
        let ours = redis::Client::open(format!("redis://{}/", self.address));
        let mut ours = ours.and_then(|client| client.get_connection()).expect("it answers");
        let mut run = |words: &[&str]| {
            let done = redis::cmd(words[0]).arg(&words[1..]).query::<redis::Value>(&mut ours);
            done.unwrap_or_else(|error| panic!("Redis: {words:?}: {error}"));
        };
        run(&["CONFIG", "SET", "requirepass", "nobody knows"]);
        run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        meanwhile(&mut run);
        run(&["CONFIG", "SET", "requirepass", ""]);
    }

    /// Has it answer nobody for so long.
    pub fn pause(&self, span: Duration) {
        let _: String = self.run(redis::cmd("CLIENT").arg("PAUSE").arg(span.as_millis() as u64));
    }

    /// A part of what it says about itself.
    pub fn info(&self, part: &str) -> String {
        self.run(redis::cmd("INFO").arg(part))
    }

    /// The keys that match a pattern of Redis's, sorted.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.run(redis::cmd("KEYS").arg(pattern));
        keys.sort();
        keys
    }

    /// The text at a key.
    pub fn text(&self, key: &str) -> Option<String> {
        self.run(redis::cmd("GET").arg(key))
    }

    fn run<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        self.try_run(command).unwrap_or_else(|error| panic!("Redis: {error}"))
    }

    fn try_run<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://{}/", self.address))?;
        command.query(&mut client.get_connection()?)
    }
}
