//! `leela top`: in a real terminal, of which an emulator says what is to be seen; and in a pipe.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::time::Instant;

use nix::sys::signal::Signal;
use rustix::termios::LocalModes;
use serde_json::Value;
use tests::{Process, Sandbox, wait_until};

/// The core, with numbers of the host in it.
fn core(sandbox: &mut Sandbox) -> Vec<Process> {
    let mut processes: Vec<Process> =
        ["timeline", "dmproc"].map(|process| sandbox.start_held(process, "")).into();
    sandbox.wait_peer(&sandbox.run().dmproc_databus());
    processes.extend(
        [("udp", ""), ("host", "interval = \"1s\"\n")]
            .map(|(process, config)| sandbox.start_held(process, config)),
    );
    processes
}

/// The last word of each line between the header and the help.
fn names(lines: &[String]) -> Vec<&str> {
    lines[3..lines.len() - 1].iter().filter_map(|line| line.split_whitespace().last()).collect()
}

#[test]
fn a_screen_of_80_by_24_shows_pages_and_is_given_back() {
    let mut sandbox = Sandbox::new();
    let _core = core(&mut sandbox);
    let mut screen = sandbox.leela_at_terminal(&["top", "--every", "300ms"], (80, 24), &[]);
    let lines = screen.wait("rates are there", |lines| {
        lines[0].starts_with("leela top  processes") && lines.iter().any(|line| line.contains("running  udp"))
    });
    assert_eq!(screen.is_taken(), (true, true));
    assert!(!screen.termios().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO));
    assert_eq!(lines.len(), 24);
    assert!(lines[1].starts_with("4 of 4 run; the books balance"), "{lines:#?}");
    assert!(lines[2].contains("in/s") && lines[2].ends_with("process↓"), "{lines:#?}");
    assert_eq!(names(&lines), ["dmproc", "host", "timeline", "udp"]);
    assert!(lines[23].starts_with("q quit  1-4 page  ←→ sort by"), "{lines:#?}");

    // The other way round; then by the column before, which is the state: all are the same.
    screen.keys("r");
    screen
        .wait("they are the other way round", |lines| names(lines) == ["udp", "timeline", "host", "dmproc"]);
    screen.keys("\x1b[D\x1b[D");
    let lines = screen.wait("they are sorted by memory", |lines| lines[2].contains("pss↓"));
    assert!(lines[3].split_whitespace().any(|word| word.ends_with('M') || word.ends_with('K')), "{lines:#?}");

    screen.keys("2");
    screen.wait("series come in", |lines| {
        lines[0].starts_with("leela top  series") && lines.iter().any(|line| line.contains("host.cpu."))
    });
    screen.keys("\t");
    screen.wait("queries are there", |lines| {
        lines[1].starts_with("0 queries of 0 clients; leela-dmproc is running")
    });
    let _query = sandbox.proc("proc match 4|host id;").expect("it is right");
    screen.wait("a query is told, with what it gets", |lines| {
        let row = lines.iter().find(|line| line.contains("proc match 4|host"));
        let words: Vec<&str> = row.map_or_else(Vec::new, |row| row.split_whitespace().collect());
        let [events, _, _, series, ..] = words[..] else { return false };
        lines[1].starts_with("1 queries of 1 clients")
            && events.parse::<f64>().is_ok_and(|events| events > 0.0)
            && series.parse::<f64>().is_ok_and(|series| series > 10.0)
    });
    screen.keys("4");
    screen.wait("growth is there", |lines| {
        lines[0].starts_with("leela top  growth") && lines.iter().any(|line| line.ends_with("name  host.*"))
    });
    screen.keys("q");
    assert_eq!(screen.status().code(), Some(0));
    wait_until("the screen is given back", || screen.is_taken() == (false, false));
    assert!(screen.termios().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
}

#[test]
fn a_narrow_window_a_large_one_and_scrolling() {
    let mut sandbox = Sandbox::new();
    let _core = core(&mut sandbox);
    let mut screen = sandbox.leela_at_terminal(&["top", "--every", "300ms"], (30, 8), &[]);
    let lines = screen.wait("it is there", |lines| lines.iter().any(|line| line.ends_with("  udp")));
    assert!(lines[2].contains("in/s") && !lines[2].contains("dropped/s"), "{lines:#?}");
    assert!(
        lines.iter().all(|line| line.chars().count() <= 30) && lines[7].starts_with("q quit  1-4"),
        "{lines:#?}"
    );
    screen.resize(120, 40);
    let lines =
        screen.wait("it is large", |lines| lines.len() == 40 && lines[39].starts_with("q quit  1 processes"));
    assert!(lines[2].contains("dropped/s"), "{lines:#?}");
    // By the name of the series, which stays.
    screen.keys("2\x1b[D");
    // The rates of host's counters come with its second round, all at once: later no row is put before these.
    screen.wait("series came", |lines| {
        lines[2].contains("series↓")
            && lines.iter().all(|line| !line.is_empty())
            && names(lines).first() == Some(&"host.context_switches")
    });
    screen.resize(60, 8);
    let top = screen.wait("four rows are left", |lines| lines.len() == 8 && names(lines).len() == 4);
    screen.keys("\x1b[B");
    screen.wait("a row further", |lines| names(lines).first() == names(&top).get(1));
    screen.keys("\x1b[F");
    screen.wait("the end", |lines| names(lines).last() == Some(&"leela.udp.up"));
    screen.keys("\x1b[H");
    screen.wait("the beginning", |lines| names(lines) == names(&top));
    // One line is no room for anything but help.
    screen.resize(20, 1);
    screen.wait("only the help", |lines| lines.len() == 1 && lines[0].starts_with("q quit"));
    screen.keys("\x03");
    assert_eq!(screen.status().code(), Some(0));
}

#[test]
fn a_signal_and_no_color_leave_the_terminal_as_it_was() {
    let mut sandbox = Sandbox::new();
    let _core = core(&mut sandbox);
    for (no_color, has_colour) in [("1", false), ("", true)] {
        let environment = [("NO_COLOR", no_color)];
        let mut screen =
            sandbox.leela_at_terminal(&["top", "growth", "--every", "300ms"], (200, 24), &environment);
        screen.wait("growth is there", |lines| lines[0].starts_with("leela top  growth"));
        // What cannot be read is told, in red where there is colour.
        let kept = fs::read(sandbox.run().growth()).unwrap();
        fs::rename(sandbox.run().growth(), sandbox.path().join("away")).unwrap();
        fs::write(sandbox.run().growth(), "no such thing").unwrap();
        screen.wait("it is told", |lines| lines[1].contains("it is too short"));
        let bytes = String::from_utf8(screen.bytes()).unwrap();
        assert_eq!(bytes.contains("\x1b[31m"), has_colour, "NO_COLOR={no_color:?}");
        fs::write(sandbox.run().growth(), kept).unwrap();
        screen.wait("and it goes on", |lines| lines[1].contains("new series a minute"));
        screen.signal(Signal::SIGTERM);
        assert_eq!(screen.status().code(), Some(0));
        wait_until("the screen is given back", || screen.is_taken() == (false, false));
        assert!(screen.termios().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    }
}

#[test]
fn snapshots_in_a_pipe() {
    let mut sandbox = Sandbox::new();
    let _core = core(&mut sandbox);
    let top = |arguments: &[&str]| {
        let output = sandbox.leela(&[&["top", "--every", "200ms"], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, out) = top(&["-o", "json", "--count", "2", "--sort", "process"]);
    assert_eq!(status, Some(0));
    let snapshots: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(snapshots.len(), 2);
    let rows = snapshots[0]["rows"].as_array().unwrap();
    let named: Vec<&str> = rows.iter().map(|row| row["process"].as_str().unwrap()).collect();
    assert_eq!(named, ["dmproc", "host", "timeline", "udp"]);
    for row in rows {
        assert!(
            row["in/s"].is_f64() && row["cpu%"].is_f64() && row["pss"].as_f64() > Some(100_000.0),
            "{row}"
        );
        assert_eq!(row["state"], "running");
    }
    let (_, out) = top(&["--count", "1"]);
    assert!(
        out.starts_with("summary ") && out.lines().skip(1).all(|line| line.starts_with("processes ")),
        "{out}"
    );
    let (_, out) = top(&["queries", "-o", "csv", "--count", "1"]);
    assert!(out.starts_with("time,page,events/s,lost/s,waiting,series,age_s,client,proc\n"), "{out}");
    let (_, out) = top(&["--growth", "-o", "table", "--count", "1"]);
    assert!(out.contains("new series a minute") && out.contains("new/min↓"), "{out}");
    assert_eq!(top(&["--sort", "nothing", "--count", "1"]).0, Some(64));
    assert_eq!(top(&["--count", "0"]).0, Some(64));
    assert_eq!(Sandbox::new().leela(&["top", "--count", "1"]).status.code(), Some(69));
}

#[test]
fn series_are_those_that_happen() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("");
    let mut top = sandbox.begin_leela(&["top", "series", "-o", "json", "--every", "500ms"]);
    wait_until("top is a peer", || {
        let peers = sandbox.peers("timeline");
        peers.iter().any(|(peer, _)| peer.path.to_string_lossy().contains("leela-top."))
    });
    let seen = |out: &str| {
        let rows = out.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let rows = rows.flat_map(|snapshot| snapshot["rows"].as_array().cloned().unwrap_or_default());
        rows.filter(|row| row["series"] == "room.temp" && row["value"] == 21.5)
            .any(|row| row["events/s"].as_f64().is_some_and(|rate| rate > 0.0))
    };
    wait_until("the series is there", || {
        assert!(sandbox.leela(&["send", "gauge", "room.temp", "21.5"]).status.success());
        seen(&top.out())
    });
    assert_eq!(top.interrupt(), Some(0));
}

/// A tag whose values never end is named within seconds, also past every limit.
#[test]
fn the_culprit_of_an_explosion_is_named() {
    let mut sandbox = Sandbox::new();
    let _timeline = sandbox.start_timeline("series_max = 20000\nseries_reserve = 1000\n");
    let screen = sandbox.leela_at_terminal(&["top", "--growth", "--every", "200ms"], (160, 24), &[]);
    screen.wait("it is calm", |lines| lines[1].contains("0 new series a minute"));
    let begun = Instant::now();
    let mut lines = String::new();
    for number in 0..60_000 {
        let key = format!("shop.cart.items;dc=ams;session={number}");
        lines.push_str(&format!("count {}|{key} 1;\n", key.len()));
        if number % 100 == 0 {
            lines.push_str(&format!("gauge {}|disk.{number}.used 1;\n", format!("disk.{number}.used").len()));
        }
    }
    let file = sandbox.path().join("explosion");
    fs::write(&file, lines).unwrap();
    let sent = std::process::Command::new(tests::binary("leela"))
        .args(["--runtime-dir", sandbox.run().path().to_str().unwrap(), "send", "-"])
        .stdin(fs::File::open(&file).unwrap())
        .status();
    assert!(sent.unwrap().success());
    let lines = screen.wait("the culprit is named", |lines| {
        // Before the limit is reached it is named as well.
        lines[1].contains("records of series over a limit")
            && lines[1].contains("% of shop.cart.items, by ")
            && lines[1].ends_with("values of tag session")
            && lines.iter().any(|line| line.contains("name") && line.ends_with("disk.*"))
    });
    eprintln!("named {:.1} s after the first new series: {}", begun.elapsed().as_secs_f64(), lines[1]);
}
