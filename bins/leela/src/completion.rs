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

/// The script, with the names of series where a pattern stands: the generator knows only words that never change.
fn with_series(shell: Kind, script: String) -> String {
    match shell {
        Kind::Bash => format!("{script}{BASH}"),
        Kind::Fish => format!("{script}{FISH}"),
        // The generated end calls `_leela`, or has the shell call it.
        Kind::Zsh => {
            let (functions, _) = script.split_once("if [ \"$funcstack[1]\"").unwrap_or((&script, ""));
            format!("{functions}{ZSH}")
        }
    }
}

const BASH: &str = r#"
_leela_or_series() {
    local name names
    mapfile -t names < <("${COMP_WORDS[0]}" complete-series -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    if [ "${#names[@]}" -gt 0 ]; then
        COMPREPLY=()
        for name in "${names[@]}"; do COMPREPLY+=("$(printf '%q' "$name")"); done
        return 0
    fi
    _leela "$@"
}
complete -F _leela_or_series -o nosort -o bashdefault -o default leela
"#;

const ZSH: &str = r#"_leela_or_series() {
    local -a names
    names=("${(@f)$("${words[1]}" complete-series -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [ -n "${names[1]}" ]; then
        compadd -a names
        return 0
    fi
    _leela "$@"
}
if [ "$funcstack[1]" = "_leela" ]; then
    _leela_or_series "$@"
else
    compdef _leela_or_series leela
fi
"#;

const FISH: &str = r#"
function __leela_series
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete-series -- $words[2..-1] 2>/dev/null
end
complete -c leela -n "__fish_seen_subcommand_from query series tail store" -f -a "(__leela_series)"
"#;

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
    let script = String::from_utf8(script).context("printing the completion")?;
    let script = with_series(completion.shell, script);
    let mut out = output::out();
    out.write_all(script.as_bytes()).and_then(|()| out.flush()).context("printing the completion")
}
