//! The instance a command speaks to: one runtime directory, named in every error.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

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
}

/// `instance /run/leela`, as errors begin.
impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {}", self.runtime_dir)
    }
}
