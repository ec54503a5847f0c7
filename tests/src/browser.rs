//! A real Chromium without a window, told what to do over its debugging pipe.
//!
//! Messages are JSON, each ended by a NUL; Chromium reads them from descriptor 3 and writes them to descriptor 4.
//! Source: <https://chromedevtools.github.io/devtools-protocol/>, and `--remote-debugging-pipe` in Chromium's
//! `content/public/common/content_switches.cc`.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};

use crate::process::Process;
use crate::sandbox::Sandbox;
use crate::service::service;
use crate::wait::{DEADLINE, wait_for};

/// A Chromium with one page.
#[derive(Debug)]
pub struct Browser {
    to: PipeWriter,
    messages: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What the page's scripts threw, or complained of.
    complaints: Vec<String>,
    _process: Process,
}

/// What the page is to look like.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// CSS pixels.
    pub width: u32,
    /// CSS pixels.
    pub height: u32,
    /// Light letters on dark ground are preferred.
    pub dark: bool,
    /// It has a touch screen.
    pub phone: bool,
}

/// A window on a desk.
pub const DESK: Look = Look { width: 1280, height: 900, dark: false, phone: false };
/// A small phone.
pub const PHONE: Look = Look { width: 360, height: 740, dark: false, phone: true };

impl Sandbox {
    /// A browser with an empty page; none where no Chromium is installed (see [`service`]).
    pub fn browser(&self) -> Option<Browser> {
        let program = service("chromium")?;
        let log = self.new_log("chromium");
        let file = File::create(&log).expect("the log's directory is ours");
        let home = self.path().join("chromium");
        fs::create_dir_all(&home).expect("the directory is ours");
        let (child_reads, to) = pipe().expect("descriptors are left");
        let (from, child_writes) = pipe().expect("descriptors are left");
        let mut command = self.alone(&program);
        command.args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu"]);
        // In a container there is neither room in /dev/shm nor, for root, a sandbox; the page is our own.
        command.args(["--disable-dev-shm-usage", "--no-sandbox", "--disable-background-networking"]);
        command.arg(format!("--user-data-dir={}", home.display())).env("HOME", &home).arg("about:blank");
        command.stdout(file.try_clone().expect("a file can be cloned")).stderr(file);
        let mappings = vec![
            FdMapping { parent_fd: child_reads.into(), child_fd: 3 },
            FdMapping { parent_fd: child_writes.into(), child_fd: 4 },
        ];
        command.fd_mappings(mappings).expect("each has a number of its own");
        let process = Process::begin("chromium", command, log, self.home());
        let mut browser = Browser {
            to,
            messages: messages(from),
            calls: 0,
            session: None,
            complaints: Vec::new(),
            _process: process,
        };
        browser.attach();
        Some(browser)
    }
}

/// Reads messages until the pipe ends.
fn messages(from: PipeReader) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for message in BufReader::new(from).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).expect("Chromium writes JSON");
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    receiver
}

impl Browser {
    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            self.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        self.session = Some(attached["sessionId"].as_str().expect("it is attached").to_owned());
        for domain in ["Page", "Runtime"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// One command, and its result.
    ///
    /// # Panics
    /// When the browser refuses it, or does not answer within [`DEADLINE`].
    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap_or_else(|error| panic!("{method} to Chromium: {error}"));
        loop {
            let message = self.messages.recv_timeout(DEADLINE);
            let mut message = message.unwrap_or_else(|error| panic!("{method}: Chromium is silent: {error}"));
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
            self.hear(&message);
        }
    }

    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(parameters["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if parameters["type"] == "error" => {
                self.complaints.push(parameters["args"].to_string());
            }
            _ => {}
        }
    }

    /// What the scripts threw, or complained of, since the browser began.
    pub fn complaints(&mut self) -> &[String] {
        // What was said until now is before this answer.
        self.value("0");
        &self.complaints
    }

    /// Looks at a page.
    #[track_caller]
    pub fn open(&mut self, url: &str, look: Look) {
        self.look(look);
        // From one fragment to another nothing is loaded.
        self.call("Page.navigate", json!({"url": "about:blank"}));
        self.call("Page.navigate", json!({"url": url}));
        self.wait("the page is loaded", "document.readyState === 'complete'");
    }

    /// Has the page look otherwise.
    pub fn look(&mut self, look: Look) {
        let Look { width, height, dark, phone } = look;
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone});
        self.call("Emulation.setDeviceMetricsOverride", size);
        self.call("Emulation.setTouchEmulationEnabled", json!({"enabled": phone}));
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Sets the time zone of the page (`Europe/Berlin`).
    pub fn zone(&mut self, zone: &str) {
        self.call("Emulation.setTimezoneOverride", json!({"timezoneId": zone}));
    }

    /// The value of an expression in the page; promises are waited for.
    ///
    /// # Panics
    /// When it throws.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", asked);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].take()
    }

    /// The value of an expression that is a text.
    #[track_caller]
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.value(expression);
        value.as_str().unwrap_or_else(|| panic!("{expression} is {value}")).to_owned()
    }

    /// Waits until an expression is true in the page; the failure shows the page's text.
    #[track_caller]
    pub fn wait(&mut self, what: &str, expression: &str) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, || (self.value(expression) == true).then_some(()));
        }));
        if let Err(panic) = outcome {
            let text = self.value("document.body?.innerText");
            eprintln!("--- the page:\n{}\n{:?}", text.as_str().unwrap_or_default(), self.complaints);
            std::panic::resume_unwind(panic);
        }
    }

    /// Types text into what has the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key, by its name in `KeyboardEvent.key`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            "End" => 35,
            "Home" => 36,
            _ => 0,
        };
        // What a key types; a form is sent by the one that Enter does.
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", down);
        self.call(
            "Input.dispatchKeyEvent",
            json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}),
        );
    }

    /// Moves the mouse to a place in CSS pixels.
    pub fn point(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", json!({"type": "mouseMoved", "x": x, "y": y}));
    }

    /// Writes a picture of the whole page, as PNG.
    pub fn picture(&mut self, path: &Path) {
        let size = self.value("[innerWidth, Math.max(innerHeight, document.documentElement.scrollHeight)]");
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", asked);
        let text = answer["data"].as_str().expect("a picture is text in base64");
        fs::write(path, base64(text)).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
    }
}

/// The bytes of text in base64.
///
/// Source: RFC 4648, section 4.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = LETTERS.iter().position(|known| *known == letter).expect("Chromium writes base64");
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    bytes
}
