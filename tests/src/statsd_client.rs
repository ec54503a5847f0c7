//! Programs that call the client libraries of StatsD: `tests/services/statsd_clients/install.sh` fetches those.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::binary::{target_folder, workspace};
use crate::sandbox::Sandbox;
use crate::service::absent;

impl Sandbox {
    /// The program that calls a library (`datadog`, `statsd`, `hot-shots`, `datadog-go`), ready for its arguments. Where
    /// the library is not there, the test has nothing to say: none, told on standard error.
    ///
    /// # Panics
    /// When it is not there and `CI` is set.
    pub fn statsd_client(&self, library: &str) -> Option<Command> {
        let dir = target_folder().join("clients");
        if !dir.join(format!("{library}.version")).is_file() {
            absent(&format!("{library} is not there: tests/services/statsd_clients/install.sh fetches it"));
            return None;
        }
        let program = |file: &str| workspace().join("tests/services/statsd_clients").join(file);
        let mut command = match library {
            "datadog-go" => self.alone(&dir.join("dogstatsd-client")),
            "hot-shots" => {
                let mut node = self.alone(Path::new("node"));
                node.env("NODE_PATH", dir.join("node_modules")).arg(program("hot_shots.js"));
                node
            }
            python => {
                let mut command = self.alone(Path::new("python3"));
                command.env("PYTHONPATH", dir.join(python)).env("PYTHONDONTWRITEBYTECODE", "1");
                command.arg(program(&format!("{python}_client.py")));
                command
            }
        };
        // What Datadog's libraries add by themselves where they are told of a cluster.
        command.env("DD_EXTERNAL_ENV", "it-false,cn-web,pu-1").env("DD_CARDINALITY", "low");
        command.stdin(Stdio::null());
        Some(command)
    }
}
