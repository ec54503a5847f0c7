//! ejabberd, as one Erlang node without a name: it has no port for other nodes, and needs no epmd.

use std::fs;
use std::path::Path;

use crate::binary::workspace;
use crate::chat_server::{ACCOUNTS, ChatServer, PASSWORD, wait_logged};
use crate::process::Process;
use crate::sandbox::Sandbox;

/// Said once the accounts are there.
const REGISTERED: &str = "accounts are registered";

/// Writes its configuration.
pub(crate) fn prepare(server: &ChatServer, stanza_bytes: usize) {
    let template = fs::read_to_string(workspace().join("tests/services/ejabberd.yml.in"));
    let text = server.filled_in(&template.expect("it is committed"), stanza_bytes);
    fs::write(server.dir().join("ejabberd.yml"), text).expect("the directory is ours");
}

/// Starts it in the foreground, and registers the accounts that are not there yet.
pub(crate) fn begin(server: &ChatServer, sandbox: &Sandbox) -> Process {
    let dir = server.dir().to_str().expect("temporary paths are text");
    let accounts = ACCOUNTS.map(|(user, domain)| format!("{{<<\"{user}\">>, <<\"{domain}\">>}}")).join(", ");
    let register = format!(
        "ejabberd:start_app(ejabberd), \
         [ejabberd_auth:try_register(User, Host, <<\"{PASSWORD}\">>) || {{User, Host}} <- [{accounts}]], \
         io:format(\"{REGISTERED}~n\")."
    );
    // Two busy-waiting schedulers would take the cores of the test.
    let mut arguments = vec!["-noinput", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"];
    let database = format!("\"{dir}/db\"");
    arguments.extend(["-mnesia", "dir", &database, "-s", "ejabberd", "-eval", &register]);
    let environment = [
        ("EJABBERD_CONFIG_PATH", format!("{dir}/ejabberd.yml")),
        ("EJABBERD_LOG_PATH", format!("{dir}/ejabberd.log")),
        ("ERL_CRASH_DUMP_BYTES", "0".to_owned()),
        ("ERL_LIBS", libraries(server.program())),
        ("HOME", dir.to_owned()),
    ];
    let mut process = sandbox.begin_with("ejabberd", Path::new("erl"), &arguments, &environment);
    wait_logged(&mut process, "ejabberd", REGISTERED);
    process
}

/// The directory of Erlang's libraries where Debian puts ejabberd, which depends on the architecture; ejabberdctl has
/// it.
fn libraries(ejabberdctl: &Path) -> String {
    let script = fs::read_to_string(ejabberdctl).expect("it is installed");
    let found = script.lines().find_map(|line| line.strip_prefix("ERL_LIBS="));
    found.expect("ejabberdctl says where its libraries are").trim_matches(['\'', '"']).to_owned()
}
