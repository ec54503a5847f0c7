//! The instance a command speaks to: one runtime directory, named in every error.

use std::env;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use common::runtime_dir::RuntimeDir;

/// An instance, and whether somebody chose it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Where its sockets, books and rings are.
    pub runtime_dir: RuntimeDir,
    /// What `--runtime-dir` or `$LEELA_RUNTIME_DIR` said, as it was said; `leela up` without it makes
    /// `./.leela`.
    pub given: Option<PathBuf>,
}

impl Instance {
    /// The first of: `flag` (`--runtime-dir`), `$LEELA_RUNTIME_DIR`, `./.leela`, `/run/leela`. Opens and makes
    /// nothing. A path that is too long exits 64.
    pub fn choose(flag: Option<&Path>) -> anyhow::Result<Instance> {
        let env = env::var_os("LEELA_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let given = flag.map(Path::to_owned).or(env);
        Ok(Instance { runtime_dir: RuntimeDir::choose(flag)?, given })
    }

    /// What an error at one of the instance's sockets means to its user, with the way out.
    pub(crate) fn unreached(&self, socket: &Path, process: &str, error: &io::Error) -> anyhow::Error {
        let name = socket.file_name().unwrap_or(socket.as_os_str()).display();
        match error.kind() {
            _ if is_absent(error) => self.absent(format_args!("leela-{process} does not listen at {name}")),
            io::ErrorKind::WouldBlock => Exit::TempFail.error(format_args!(
                "{name} is full: leela-{process} is behind; try again, or see `leela status`"
            )),
            io::ErrorKind::PermissionDenied => forbidden(format_args!("{name}: {error}")),
            _ => Exit::IoErr.error(format_args!("{name}: {error}")),
        }
    }

    /// Nothing of the instance is there; `what` says what was looked for.
    pub(crate) fn absent(&self, what: impl fmt::Display) -> anyhow::Error {
        Exit::Unavailable.error(format_args!(
            "{what}; start it with `leela up` or `systemctl start leela.target`, or choose another instance with \
             --runtime-dir"
        ))
    }
}

/// It is somebody else's instance.
pub(crate) fn forbidden(what: impl fmt::Display) -> anyhow::Error {
    Exit::NoPerm
        .error(format_args!("{what}; join the group leela, or choose another instance with --runtime-dir"))
}

/// True when the error says that nobody listens at a socket.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
    )
}

/// `instance /run/leela`, as errors begin.
impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {}", self.runtime_dir)
    }
}
