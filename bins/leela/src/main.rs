//! leela(1): the operator's command.

use std::process::ExitCode;

fn main() -> ExitCode {
    leela::main()
}
