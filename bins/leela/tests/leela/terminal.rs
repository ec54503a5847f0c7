//! What a person at a terminal sees.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use nix::pty::openpty;

use crate::planted::Sender;
use crate::sandbox::Sandbox;

/// Lets the command's output and errors go to a terminal; what comes out of it is in the file.
fn at_terminal(command: &mut Command) -> File {
    let pty = openpty(None, None).unwrap();
    command.stdin(Stdio::null()).stdout(pty.slave.try_clone().unwrap()).stderr(pty.slave);
    File::from(pty.master)
}

/// All that a terminal showed until its last writer went.
fn shown(mut terminal: File) -> String {
    let mut bytes = Vec::new();
    // Its end is an error.
    let _ = terminal.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_terminal_gets_a_table_coloured_unless_no_color_is_set() {
    let sandbox = Sandbox::new();
    let _udp = Sender::udp(&sandbox, "timeline.databus");
    for (no_color, want) in
        [(None, "\x1b[32mrunning\x1b[0m"), (Some(""), "\x1b[32mrunning"), (Some("1"), "  running")]
    {
        let mut command = sandbox.command(&["status"]);
        let terminal = at_terminal(&mut command);
        let mut child = command.envs(no_color.map(|value| ("NO_COLOR", value))).spawn().unwrap();
        drop(command);
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let shown = shown(terminal);
        assert!(shown.contains("process  state") && shown.contains(want), "{no_color:?}: {shown:?}");
        assert_eq!(shown.contains('\x1b'), want.contains('\x1b'));
    }
}

#[test]
fn what_is_waited_for_is_told_at_a_terminal_after_a_while() {
    let sandbox = Sandbox::new();
    let _multicast = UnixDatagram::bind(sandbox.run.timeline_multicast()).unwrap();
    let mut command = sandbox.command(&["tail", "--timeout", "60s"]);
    let terminal = at_terminal(&mut command);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut terminal = BufReader::new(terminal);
    let mut line = String::new();
    terminal.read_line(&mut line).unwrap();
    assert_eq!(line, "leela: waiting for events (Ctrl-C ends)\r\n");
    child.kill().unwrap();
    child.wait().unwrap();
}
