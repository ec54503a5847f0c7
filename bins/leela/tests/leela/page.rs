//! leela(1) and the binary say the same.

use std::collections::BTreeSet;

use clap::CommandFactory as _;
use common::exit::Exit;
use leela::cli::Cli;

use crate::sandbox::{leela, said};

const PAGE: &str = include_str!("../../leela.1.rst");

fn commands() -> Vec<clap::Command> {
    let mut command = Cli::command();
    command.build();
    command.get_subcommands().cloned().collect()
}

/// The part of the page below a heading of the given underline.
fn section(name: &str, underline: char) -> &'static str {
    let line = underline.to_string().repeat(name.len());
    let heading = format!("\n{name}\n{line}\n");
    let start =
        PAGE.find(&heading).unwrap_or_else(|| panic!("the page has no section {name}")) + heading.len();
    let rest = &PAGE[start..];
    let underlines =
        |line: &str| line.len() > 1 && (line.chars().all(|c| c == '-') || line.chars().all(|c| c == '='));
    let end = rest.lines().scan(0, |at, line| {
        let here = *at;
        *at += line.len() + 1;
        Some((here, line))
    });
    let end = end.filter(|(_, line)| underlines(line)).map(|(at, _)| at).next().unwrap_or(rest.len());
    &rest[..end]
}

/// Long options that begin a line of the text.
fn options(text: &str) -> BTreeSet<String> {
    let entries = text.lines().filter(|line| line.starts_with('-'));
    let words = entries.flat_map(|line| line.split([' ', ',']));
    words.filter_map(|word| word.strip_prefix("--")).map(str::to_owned).collect()
}

#[test]
fn every_command_and_option_is_in_the_page_and_the_other_way_round() {
    let everywhere = options(section("OPTIONS OF EVERY COMMAND", '='));
    assert_eq!(everywhere, ["help", "runtime-dir", "version"].map(str::to_owned).into());
    let shared = options(section("OUTPUT", '='));
    for command in commands() {
        let name = command.get_name();
        assert!(section("SYNOPSIS", '=').contains(&format!("| leela {name}")), "{name}");
        let mut documented = options(section(name, '-'));
        // Those of its verbs stand in the same section.
        let has: BTreeSet<String> = std::iter::once(&command)
            .chain(command.get_subcommands())
            .flat_map(clap::Command::get_arguments)
            .filter(|argument| !argument.is_hide_set())
            .filter_map(|argument| argument.get_long())
            .map(str::to_owned)
            .collect();
        let prints_events = ["tail", "query"].contains(&name);
        documented.extend(everywhere.iter().filter(|option| *option != "version").cloned());
        documented.extend(
            shared
                .iter()
                .filter(|option| prints_events || (*option == "output" && has.contains("output")))
                .cloned(),
        );
        assert_eq!(has, documented, "leela {name}");
        // "tail, query, ... and check take:"
        let takers = section("OUTPUT", '=').trim_start().lines().next().unwrap_or_default().replace(',', "");
        assert_eq!(has.contains("output"), takers.split(' ').any(|taker| taker == name), "{name}");
    }
    let listed = section("SYNOPSIS", '=').lines().filter_map(|line| line.strip_prefix("| leela "));
    let listed: BTreeSet<&str> = listed.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(listed, commands().iter().map(|command| command.get_name()).collect());
}

#[test]
fn the_page_has_every_exit_status() {
    let text = section("EXIT STATUS", '=');
    let listed: Vec<u8> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let all = [
        Exit::Ok,
        Exit::No,
        Exit::Usage,
        Exit::Data,
        Exit::Unavailable,
        Exit::Software,
        Exit::IoErr,
        Exit::TempFail,
        Exit::NoPerm,
        Exit::Config,
    ];
    assert_eq!(listed, all.map(Exit::status));
}

#[test]
fn every_command_s_help_has_examples() {
    let names: Vec<String> = commands().iter().map(|command| command.get_name().to_owned()).collect();
    let mut words: Vec<Vec<String>> = vec![Vec::new()];
    words.extend(names.into_iter().map(|name| vec![name]));
    for command in commands() {
        let verbs = command.get_subcommands();
        words.extend(verbs.map(|verb| vec![command.get_name().to_owned(), verb.get_name().to_owned()]));
    }
    for words in words {
        for flag in ["-h", "--help"] {
            let said = said(leela().args(&words).arg(flag).spawn().unwrap(), b"");
            assert_eq!(said.status, 0, "{words:?} {flag}");
            assert!(said.out.contains("Examples:\n  leela "), "{words:?} {flag}: {}", said.out);
        }
    }
    Cli::command().debug_assert();
}

#[test]
fn leela_help_is_help() {
    for (asked, same) in [(&["help"][..], &["--help"][..]), (&["help", "send"], &["send", "--help"])] {
        let [asked, same] =
            [asked, same].map(|arguments| said(leela().args(arguments).spawn().unwrap(), b""));
        assert_eq!((asked.status, asked.out), (0, same.out));
    }
}

#[test]
fn a_statement_without_quotes_is_answered_with_quotes() {
    let said = said(leela().args(["query", "SELECT", "id", "FROM", "^room"]).spawn().unwrap(), b"");
    assert_eq!(said.status, 64);
    assert!(said.err.contains("leela query 'SELECT id FROM ^room'"), "{}", said.err);
}

#[test]
fn a_wrong_usage_exits_64() {
    for arguments in [
        &[][..],
        &["sned"],
        &["status", "--chek"],
        &["tail", "-o", "xml"],
        &["tail", "--count", "0"],
        &["tail", "--timeout", "10"],
        &["send", "gauge", "a"],
        &["send", "-", "--time", "1"],
        &["send", "gauge", "a", "1", "--time", "yesterday"],
        &["query"],
        &["query", "a", "b", "c"],
        &["help", "sned"],
        &["completion", "csh"],
        &[
            "--runtime-dir",
            "/a/path/of/more/than/eighty/bytes/leaves/no/room/for/the/name/of/a/socket/below/it/at/all",
            "status",
        ],
    ] {
        let said = said(leela().args(arguments).spawn().unwrap(), b"");
        assert_eq!(said.status, 64, "{arguments:?}: {}", said.err);
        assert!(said.out.is_empty() && !said.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn every_error_names_the_instance() {
    for (arguments, status) in [
        (&["send", "gauge", "a", "1"][..], 69),
        (&["send", "-"], 69),
        (&["send", "gauge", "a", "x"], 65),
        (&["tail"], 69),
        (&["tail", "("], 65),
        (&["query", "id", "a"], 69),
        (&["query", "SELECT meen FROM a"], 65),
        (&["status"], 69),
        (&["refused"], 69),
    ] {
        let mut by_flag = leela();
        by_flag.args(["--runtime-dir", "/nonexistent/leela"]).args(arguments);
        let mut by_environment = leela();
        by_environment.env("LEELA_RUNTIME_DIR", "/nonexistent/leela").args(arguments);
        for mut command in [by_flag, by_environment] {
            let said = said(command.spawn().unwrap(), b"");
            assert_eq!(said.status, status, "{arguments:?}: {}", said.err);
            assert!(
                said.err.starts_with("leela: instance /nonexistent/leela: "),
                "{arguments:?}: {}",
                said.err
            );
            if status == 69 {
                assert!(said.err.contains("`leela up`") && said.err.contains("leela.target"), "{}", said.err);
            }
        }
    }
}

#[test]
fn the_instance_of_this_directory_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join(".leela/run")).unwrap();
    let said = said(leela().arg("status").current_dir(dir.path()).spawn().unwrap(), b"");
    let want = dir.path().canonicalize().unwrap().join(".leela/run");
    assert!(said.err.starts_with(&format!("leela: instance {}: ", want.display())), "{}", said.err);
}

#[test]
fn completion_is_for_three_shells() {
    for (shell, want) in
        [("bash", "complete -F _leela"), ("zsh", "#compdef leela"), ("fish", "complete -c leela")]
    {
        let said = said(leela().args(["completion", shell]).spawn().unwrap(), b"");
        assert_eq!(said.status, 0);
        assert!(said.out.contains(want) && said.out.contains("refused"), "{shell}");
        assert!(!said.out.contains("--parent"), "{shell}: what is no user's is not offered");
    }
}

#[test]
fn the_page_s_lines_fit_a_terminal() {
    for (place, line) in PAGE.lines().enumerate() {
        assert!(line.chars().count() <= 120, "line {}", place + 1);
    }
}
