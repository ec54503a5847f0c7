//! Where the processes of one instance meet: the runtime directory, and each process's state directory.
//!
//! `timeline.databus timeline.multicast dmproc.databus dmproc.proc storage.databus storage.query` are
//! sockets; `books/<process>`, `rings/<process>` and `rings/<process>.hand` shared-mapped files; foreign
//! consumers bind in `peers/`.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::exit::Exit;

/// A socket's path has 107 bytes; this leaves 27 for the names below.
pub const PATH_BYTES_MAX: usize = 80;

/// An ordinary user's instance, as `leela up` makes it, under the working directory.
const LOCAL: &str = ".leela";
const SYSTEM_RUN: &str = "/run/leela";
const SYSTEM_STATE: &str = "/var/lib/leela";

/// The runtime directory of an instance: an absolute path of at most [`PATH_BYTES_MAX`] bytes, links
/// resolved.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RuntimeDir(PathBuf);

impl RuntimeDir {
    /// The first of: `flag` (`--runtime-dir`), `$LEELA_RUNTIME_DIR`, `./.leela/run` if it is there,
    /// `/run/leela`. Opens and makes nothing. A path that is too long exits 64.
    pub fn choose(flag: Option<&Path>) -> anyhow::Result<RuntimeDir> {
        let env = env::var_os("LEELA_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let local = Path::new(LOCAL).join("run");
        let chosen = flag
            .map(Path::to_owned)
            .or_else(|| env.map(PathBuf::from))
            .or_else(|| local.is_dir().then_some(local))
            .unwrap_or_else(|| PathBuf::from(SYSTEM_RUN));
        RuntimeDir::at(&chosen)
    }

    /// The runtime directory at `path`, which need not be there yet.
    pub fn at(path: &Path) -> anyhow::Result<RuntimeDir> {
        // `./.leela/run` is a link to a tmpfs. Resolved it is short, and the same in every working directory;
        // a peer's address is compared byte by byte.
        let path = resolve(path).map_err(|error| {
            Exit::Usage.error(format_args!("runtime directory {}: {error}", path.display()))
        })?;
        let bytes = path.as_os_str().len();
        if bytes > PATH_BYTES_MAX {
            return Err(Exit::Usage.error(format_args!(
                "runtime directory {}: its path has {bytes} bytes, a socket's leaves room for {PATH_BYTES_MAX}; \
                 choose a shorter one with --runtime-dir",
                path.display()
            )));
        }
        Ok(RuntimeDir(path))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Metrics for the timeline.
    pub fn timeline_databus(&self) -> PathBuf {
        self.0.join("timeline.databus")
    }

    /// Registrations of consumers with the timeline.
    pub fn timeline_multicast(&self) -> PathBuf {
        self.0.join("timeline.multicast")
    }

    /// Events for dmproc.
    pub fn dmproc_databus(&self) -> PathBuf {
        self.0.join("dmproc.databus")
    }

    /// Questions to dmproc.
    pub fn dmproc_proc(&self) -> PathBuf {
        self.0.join("dmproc.proc")
    }

    /// Events for storage.
    pub fn storage_databus(&self) -> PathBuf {
        self.0.join("storage.databus")
    }

    /// Questions to storage.
    pub fn storage_query(&self) -> PathBuf {
        self.0.join("storage.query")
    }

    /// Where foreign consumers bind.
    pub fn peers(&self) -> PathBuf {
        self.0.join("peers")
    }

    /// Where the books of all processes lie.
    pub fn books_dir(&self) -> PathBuf {
        self.0.join("books")
    }

    /// The books of a process (`udp`).
    pub fn books(&self, process: &str) -> PathBuf {
        self.books_dir().join(process)
    }

    /// Where new series come from, as the timeline tells ([`crate::growth`]).
    pub fn growth(&self) -> PathBuf {
        self.books_dir().join(crate::growth::FILE)
    }

    /// The queries that run, as dmproc tells ([`crate::queries`]).
    pub fn queries(&self) -> PathBuf {
        self.books_dir().join(crate::queries::FILE)
    }

    /// Where the rings of all senders lie.
    pub fn rings_dir(&self) -> PathBuf {
        self.0.join("rings")
    }

    /// The sender's ring of a process.
    pub fn ring(&self, process: &str) -> PathBuf {
        self.rings_dir().join(process)
    }

    /// What a process has in hand, for its successor.
    pub fn hand(&self, process: &str) -> PathBuf {
        self.rings_dir().join(format!("{process}.hand"))
    }

    /// Held by the `leela up` that runs this instance.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Makes what is missing: the directory itself (0750), `books/`, `rings/` (0750) and `peers/` (3770).
    /// What tmpfiles.d or another process made stays as it is. Without permission it exits 77 and says the
    /// way out.
    pub fn prepare(&self) -> anyhow::Result<()> {
        let dirs = [
            (self.0.clone(), 0o750),
            (self.books_dir(), 0o750),
            (self.rings_dir(), 0o750),
            (self.peers(), 0o3770),
        ];
        for (dir, mode) in dirs {
            make_dir(&dir, mode).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Exit::NoPerm.error(format_args!(
                    "runtime directory {self}: making {}: {error}; join the group leela, or choose another with \
                     --runtime-dir",
                    dir.display()
                )),
                io::ErrorKind::NotFound => Exit::Unavailable.error(format_args!(
                    "runtime directory {self}: {error}; start leela.target or `leela up`, or choose another with \
                     --runtime-dir"
                )),
                _ => Exit::IoErr.error(format_args!("runtime directory {self}: making {}: {error}", dir.display())),
            })?;
        }
        Ok(())
    }
}

/// The path, as every error names the instance.
impl fmt::Display for RuntimeDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Where a process keeps what has to outlive it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The first of: `flag` (`--state-dir`), `$STATE_DIRECTORY` (systemd's), `./.leela/state/<process>` if
    /// `./.leela` is there, `/var/lib/leela/<process>`. Makes nothing.
    pub fn choose(flag: Option<&Path>, process: &str) -> StateDir {
        StateDir::choose_from(flag, env::var_os("STATE_DIRECTORY"), Path::new(LOCAL), process)
    }

    fn choose_from(flag: Option<&Path>, env: Option<OsString>, local: &Path, process: &str) -> StateDir {
        // systemd lists several with colons; the first is the process's own.
        let first =
            |dirs: &OsStr| dirs.as_encoded_bytes().split(|&byte| byte == b':').next().map(<[u8]>::to_vec);
        let given = env.as_deref().and_then(first).filter(|dir| !dir.is_empty());
        StateDir(match (flag, given) {
            (Some(flag), _) => flag.to_owned(),
            (None, Some(given)) => {
                PathBuf::from(<OsString as std::os::unix::ffi::OsStringExt>::from_vec(given))
            }
            // Its state is all the data there is.
            (None, None) if local.is_dir() && process == "storage" => local.join("store"),
            (None, None) if local.is_dir() => local.join("state").join(process),
            (None, None) => Path::new(SYSTEM_STATE).join(process),
        })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes it and what is above it (0750) where they are missing. Without permission it exits 77.
    pub fn prepare(&self) -> anyhow::Result<()> {
        DirBuilder::new().recursive(true).mode(0o750).create(&self.0).map_err(|error| {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Exit::NoPerm,
                _ => Exit::IoErr,
            };
            exit.error(format_args!("state directory {self}: {error}; choose another with --state-dir"))
        })
    }
}

impl fmt::Display for StateDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Links resolved, also above a directory that is yet to be made: who makes it, and who comes later, have to agree.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path).or_else(|_| {
        let path = std::path::absolute(path)?;
        Ok(match (path.parent().map(fs::canonicalize), path.file_name()) {
            (Some(Ok(parent)), Some(name)) => parent.join(name),
            _ => path,
        })
    })
}

fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode & 0o777).create(dir) {
        // The umask took bits away, and mkdir knows no set-group-id.
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(mode)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_the_agreed_ones() {
        let dir = RuntimeDir::at(Path::new("/run/nonexistent-leela")).unwrap();
        for (path, want) in [
            (dir.timeline_databus(), "timeline.databus"),
            (dir.timeline_multicast(), "timeline.multicast"),
            (dir.dmproc_databus(), "dmproc.databus"),
            (dir.dmproc_proc(), "dmproc.proc"),
            (dir.storage_databus(), "storage.databus"),
            (dir.storage_query(), "storage.query"),
            (dir.peers(), "peers"),
            (dir.books("udp"), "books/udp"),
            (dir.growth(), "books/timeline.growth"),
            (dir.queries(), "books/dmproc.queries"),
            (dir.ring("udp"), "rings/udp"),
            (dir.hand("udp"), "rings/udp.hand"),
            (dir.lock(), "lock"),
        ] {
            assert_eq!(path, Path::new("/run/nonexistent-leela").join(want), "{want}");
        }
    }

    #[test]
    fn a_runtime_directory_has_at_most_80_bytes() {
        for (bytes, want) in [(80, true), (81, false)] {
            let path = format!("/{}", "x".repeat(bytes - 1));
            let chosen = RuntimeDir::choose(Some(Path::new(&path)));
            assert_eq!(chosen.is_ok(), want, "{bytes}");
            if let Err(error) = chosen {
                assert_eq!(Exit::of(&error), Exit::Usage);
                let want = "its path has 81 bytes, a socket's leaves room for 80; choose a shorter one with --runtime-dir";
                assert_eq!(error.to_string(), format!("runtime directory {path}: {want}"));
            }
        }
    }

    #[test]
    fn a_link_to_the_runtime_directory_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap().join("real");
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, dir.path().join("run")).unwrap();
        assert_eq!(RuntimeDir::at(&dir.path().join("run")).unwrap().path(), real);
        let inner = RuntimeDir::at(&dir.path().join("run/yet-to-be-made")).unwrap();
        assert_eq!(inner.path(), real.join("yet-to-be-made"));
    }

    #[test]
    fn preparing_makes_what_is_missing_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(&dir.path().join("run")).unwrap();
        fs::create_dir(run.path()).unwrap();
        fs::create_dir(run.books_dir()).unwrap();
        fs::set_permissions(run.books_dir(), Permissions::from_mode(0o755)).unwrap();
        for label in ["first", "again"] {
            run.prepare().unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode(&run.books_dir()), 0o755, "{label}");
            assert_eq!(mode(&run.rings_dir()), 0o750, "{label}");
            assert_eq!(mode(&run.peers()), 0o3770, "{label}");
        }
    }

    #[test]
    fn a_runtime_directory_nobody_made_is_told_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(dir.path()).unwrap().join("a/b");
        let error = RuntimeDir::at(&path).unwrap().prepare().unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Unavailable);
        let want = "No such file or directory (os error 2); start leela.target or `leela up`, or choose another with \
                    --runtime-dir";
        assert_eq!(error.to_string(), format!("runtime directory {}: {want}", path.display()));
    }

    #[test]
    fn the_state_directory_is_the_first_that_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = Path::new("/nonexistent");
        let flag = Some(Path::new("/flag"));
        for (label, flag, env, local, want) in [
            ("flag", flag, Some("/env"), dir.path(), PathBuf::from("/flag")),
            ("systemd", None, Some("/env:/other"), dir.path(), PathBuf::from("/env")),
            ("local", None, None, dir.path(), dir.path().join("state/udp")),
            ("empty", None, Some(""), dir.path(), dir.path().join("state/udp")),
            ("system", None, None, nowhere, PathBuf::from("/var/lib/leela/udp")),
        ] {
            let chosen = StateDir::choose_from(flag, env.map(OsString::from), local, "udp");
            assert_eq!(chosen.path(), want, "{label}");
        }
        for (local, want) in
            [(dir.path(), dir.path().join("store")), (nowhere, "/var/lib/leela/storage".into())]
        {
            assert_eq!(StateDir::choose_from(None, None, local, "storage").path(), want);
        }
    }
}
