//! `leela completion`: what a shell needs to complete commands and options.

use std::io::Write as _;

use anyhow::Context;
use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::output;

/// Print the completion of commands and options for a shell.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Completion {
    /// bash, zsh or fish
    #[arg(value_name = "SHELL", value_enum)]
    shell: Kind,
}

const EXAMPLES: &str = "\
Examples:
  leela completion bash > ~/.local/share/bash-completion/completions/leela
  leela completion zsh > ~/.zfunc/_leela
  leela completion fish > ~/.config/fish/completions/leela.fish";

#[derive(ValueEnum, Clone, Copy, Debug)]
enum Kind {
    Bash,
    Zsh,
    Fish,
}

/// The command without the options that are no user's: the generator would offer them.
fn without_hidden(command: clap::Command) -> clap::Command {
    command.mut_subcommand("up", |up| {
        let shown = up.get_arguments().filter(|argument| !argument.is_hide_set()).cloned();
        clap::Command::new("up").about(up.get_about().cloned().unwrap_or_default()).args(shown)
    })
}

/// Prints the completion of a shell.
pub fn run(completion: &Completion) -> anyhow::Result<()> {
    let shell = match completion.shell {
        Kind::Bash => Shell::Bash,
        Kind::Zsh => Shell::Zsh,
        Kind::Fish => Shell::Fish,
    };
    // Into memory first: the generator does not expect its reader to go away.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut without_hidden(Cli::command()), "leela", &mut script);
    let mut out = output::out();
    out.write_all(&script).and_then(|()| out.flush()).context("printing the completion")
}
