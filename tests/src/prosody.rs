//! Prosody.

use std::fs;

use crate::binary::workspace;
use crate::chat_server::{ACCOUNTS, ChatServer, PASSWORD};
use crate::process::Process;
use crate::sandbox::Sandbox;

/// Writes its configuration and its accounts.
pub(crate) fn prepare(server: &ChatServer, stanza_bytes: usize) {
    let template = fs::read_to_string(workspace().join("tests/services/prosody.cfg.lua.in"));
    let text = server.filled_in(&template.expect("it is committed"), stanza_bytes);
    fs::write(server.dir().join("prosody.cfg.lua"), text).expect("the directory is ours");
    for (user, domain) in ACCOUNTS {
        // As its internal storage has it: a dot is %2e. A password in the clear is hashed when it is used first.
        let accounts = server.dir().join("data").join(domain.replace('.', "%2e")).join("accounts");
        fs::create_dir_all(&accounts).expect("the directory is ours");
        let account = format!("return {{ [\"password\"] = \"{PASSWORD}\"; }};\n");
        fs::write(accounts.join(format!("{user}.dat")), account).expect("the directory is ours");
    }
}

/// Starts it in the foreground.
pub(crate) fn begin(server: &ChatServer, sandbox: &Sandbox) -> Process {
    let config = server.dir().join("prosody.cfg.lua");
    sandbox.begin("prosody", server.program(), &["--config", config.to_str().expect("it is text"), "-F"])
}
