//! leela(1): the operator's command.

use std::process::ExitCode;

use common::exit::Exit;

fn main() -> ExitCode {
    match leela::run() {
        Ok(()) => Exit::Ok.into(),
        Err(error) => {
            eprintln!("leela: {error:#}");
            Exit::of(&error).into()
        }
    }
}
