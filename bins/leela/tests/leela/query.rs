//! `leela query`: the client of the proc socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use sockets::frame::{self, Frames};

use crate::sandbox::{Sandbox, said, uninterrupted};

/// Stands in for leela-dmproc.
struct Dmproc(UnixListener);

/// One client of it.
struct Client {
    stream: UnixStream,
    frames: Frames,
}

impl Dmproc {
    fn new(sandbox: &Sandbox) -> Dmproc {
        Dmproc(UnixListener::bind(sandbox.run.dmproc_proc()).unwrap())
    }

    fn client(&self) -> Client {
        Client::of(uninterrupted(|| self.0.accept()).unwrap().0)
    }

    /// None where it ends before it comes.
    fn client_of(&self, child: &mut Child) -> Option<Client> {
        self.0.set_nonblocking(true).unwrap();
        loop {
            let has_ended = child.try_wait().unwrap().is_some();
            match self.0.accept() {
                Ok((stream, _)) => return Some(Client::of(stream)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            if has_ended {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Client {
    fn of(stream: UnixStream) -> Client {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream, frames: Frames::default() }
    }

    /// The next payload; none at the end of the stream.
    fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(payload) = self.frames.next_frame() {
                return Some(String::from_utf8(payload.to_vec()).unwrap());
            }
            let mut buffer = [0; 1024];
            match uninterrupted(|| self.stream.read(&mut buffer)).unwrap() {
                0 => return None,
                length => self.frames.push(&buffer[..length]),
            }
        }
    }

    fn say(&mut self, payload: &str) {
        self.try_say(payload).unwrap();
    }

    /// Fails where the client has gone.
    fn try_say(&mut self, payload: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, payload.as_bytes());
        self.stream.write_all(&bytes)
    }
}

#[test]
fn a_query_is_asked_and_its_events_are_printed() {
    for (arguments, asked, want) in [
        (
            &["query", "SELECT window 5 (mean) FROM ^room;", "--count", "2"][..],
            "with reason,lost;proc match 5|^room window 5 (mean);",
            "event 4|room 3 0.5;\nevent 5|rooms NaN 1.0;\n",
        ),
        (
            &["query", "mean | [> 5]", "^ro om$", "--count", "2", "-o", "json"],
            "with reason,lost;proc match 7|^ro om$ mean | [> 5];",
            "{\"time\":0.5,\"key\":\"room\",\"value\":3}\n{\"time\":1.0,\"key\":\"rooms\",\"value\":null}\n",
        ),
    ] {
        let sandbox = Sandbox::new();
        let dmproc = Dmproc::new(&sandbox);
        let child = sandbox.command(arguments).spawn().unwrap();
        let mut client = dmproc.client();
        assert_eq!(client.hear().as_deref(), Some(asked));
        client.say("status 0;");
        client.say("");
        client.say("event 4|room 3 0.5;");
        client.say("event 5|rooms NaN 1.0;event 4|more 9 2.0;");
        assert_eq!(client.hear().as_deref(), Some("close;"));
        let said = said(child, b"");
        assert_eq!((said.status, said.out.as_str(), said.err.as_str()), (0, want, ""), "{arguments:?}");
    }
}

#[test]
fn a_wrong_query_is_told_at_once_also_without_dmproc() {
    let sandbox = Sandbox::new();
    for (arguments, want) in [
        (
            &["query", "SELECT meen FROM ^web"][..],
            "SELECT meen FROM ^web\n       ^^^^\nthere is no function `meen`; did you mean `mean`?\n",
        ),
        (
            &["query", "meen", "^web"],
            "'meen' '^web'\n ^^^^\nthere is no function `meen`; did you mean `mean`?\n",
        ),
        (&["query", "SELECT id FROM ^w WHERE a=b"], "SELECT id FROM ^w WHERE a=b\n                  ^"),
    ] {
        let said = sandbox.run(arguments);
        assert_eq!(said.status, 65, "{arguments:?}");
        assert!(said.err.contains(&format!("the query is wrong\n{want}")), "{}", said.err);
    }
}

#[test]
fn a_refusal_is_shown_in_what_was_typed() {
    for (answers, want) in [
        (
            &["status 1;", "reason 30 4 14|too much; less;"][..],
            ": the query is wrong\nSELECT mean FROM ^web\n       ^^^^\ntoo much; less\n",
        ),
        (&["status 1;reason 0 4 14|too much; less;"], ": leela-dmproc refused the query: too much; less\n"),
        (&["status 1;"], ": leela-dmproc refused the query and did not say why"),
    ] {
        let sandbox = Sandbox::new();
        let dmproc = Dmproc::new(&sandbox);
        let child = sandbox.command(&["query", "SELECT mean FROM ^web"]).spawn().unwrap();
        let mut client = dmproc.client();
        let asked = client.hear().unwrap();
        let place = asked.rfind("mean").unwrap();
        for answer in answers {
            client.say(&answer.replace("reason 30 ", &format!("reason {place} ")));
        }
        drop(client);
        let said = said(child, b"");
        assert_eq!(said.status, 65);
        assert!(said.err.contains(want), "{}", said.err);
    }
}

#[test]
fn losses_are_told() {
    let sandbox = Sandbox::new();
    let dmproc = Dmproc::new(&sandbox);
    let child = sandbox.command(&["query", "id", ".", "--count", "1"]).spawn().unwrap();
    let mut client = dmproc.client();
    client.hear();
    client.say("status 0;lost 17;event 1|a 1 0.0;");
    assert!(said(child, b"").err.contains("leela: 17 events were lost: "));
}

#[test]
fn it_reconnects_when_dmproc_comes_back_and_says_so() {
    let sandbox = Sandbox::new();
    let dmproc = Dmproc::new(&sandbox);
    let mut child = sandbox.command(&["query", "id", ".", "--count", "2"]).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut client = dmproc.client();
    client.hear();
    client.say("status 0;event 1|a 1 0.0;");
    drop((client, dmproc));
    assert_eq!(told.next().unwrap().unwrap(), "leela: leela-dmproc went away; waiting for it");
    std::fs::remove_file(sandbox.run.dmproc_proc()).unwrap();
    let dmproc = Dmproc::new(&sandbox);
    // A connection alone says nothing: the socket is held by others and outlives leela-dmproc.
    drop(dmproc.client());
    let mut client = dmproc.client();
    assert_eq!(client.hear().as_deref(), Some("with reason,lost;proc match 1|. id;"));
    client.say("status 0;event 1|b 2 1.0;");
    assert_eq!(told.next().unwrap().unwrap(), "leela: leela-dmproc is back; windows begin anew");
    let said = said(child, b"");
    assert_eq!((said.status, said.out.as_str()), (0, "event 1|a 1 0.0;\nevent 1|b 2 1.0;\n"));
    assert_eq!(told.count(), 0, "each is told once");
}

#[test]
fn not_in_time_is_1() {
    // The time runs from the start of the program: where a busy machine takes all of it, with more.
    let one_in_time = ["300ms", "3s", "30s"].into_iter().find_map(|timeout| {
        let sandbox = Sandbox::new();
        let dmproc = Dmproc::new(&sandbox);
        let arguments = ["query", "id", ".", "--count", "3", "--timeout", timeout];
        let mut child = sandbox.command(&arguments).spawn().unwrap();
        let mut client = dmproc.client_of(&mut child);
        let is_told = client.as_mut().is_some_and(|client| {
            client.hear().is_some() && client.try_say("status 0;event 1|a 1 0.0;").is_ok()
        });
        let said = said(child, b"");
        (is_told && !said.err.contains("0 of 3 events")).then_some(said)
    });
    let said = one_in_time.expect("one event comes in time");
    assert_eq!((said.status, said.out.as_str()), (1, "event 1|a 1 0.0;\n"));
    assert!(said.err.contains("1 of 3 events came in time"), "{}", said.err);
}

#[test]
fn what_is_no_answer_is_an_error() {
    let sandbox = Sandbox::new();
    let dmproc = Dmproc::new(&sandbox);
    let child = sandbox.command(&["query", "id", "."]).spawn().unwrap();
    let mut client = dmproc.client();
    client.hear();
    client.say("news 1;");
    let said = said(child, b"");
    assert_eq!(said.status, 74, "{}", said.err);
    assert!(said.err.contains("reading dmproc.proc: no answer of a proc socket at byte 0"), "{}", said.err);
}

#[test]
fn it_ends_by_signal_and_by_count_while_events_pour_in() {
    for arguments in [&["query", "id", "."][..], &["query", "id", ".", "--count", "5"]] {
        let sandbox = Sandbox::new();
        let dmproc = Dmproc::new(&sandbox);
        let mut child = sandbox.command(arguments).stdout(Stdio::null()).spawn().unwrap();
        let mut client = dmproc.client();
        client.hear();
        let mut bytes = Vec::new();
        frame::write(&mut bytes, b"status 0;");
        (0..1000).for_each(|_| frame::write(&mut bytes, b"event 1|a 1 0.0;"));
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut pours = 0;
        // Until it hangs up.
        while client.stream.write_all(&bytes).is_ok() {
            bytes.drain(..if pours == 0 { 2 + "status 0;".len() } else { 0 });
            pours += 1;
            if pours == 3 && arguments.len() == 3 {
                kill(pid, Signal::SIGINT).unwrap();
            }
        }
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}
