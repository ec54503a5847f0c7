//! leela-xmpp(8): statements in by chat, live values out.

use std::process::ExitCode;

use common::process;
use leela_xmpp::Config;

fn main() -> ExitCode {
    process::main(|config: Config, places| leela_xmpp::run(config, &places))
}
