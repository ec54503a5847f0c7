//! What a process is configured to, asked of the process itself, and the drop-in that gives it another port.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::Context;
use common::exit::{Exit, OrExit};
use common::size::Size;
use common::span::Span;
use serde::Deserialize;

/// The drop-in with the ports that were free; it sorts behind all others.
const DROP_IN: &str = "~free-ports.toml";
/// The `drain_timeout` of a process that is not told another.
pub(super) const DRAIN_TIMEOUT: Span = Span::from_millis(500);

/// The keys that decide about sockets of the network, and about the end. A process that has none of the former gets no
/// socket.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) readers: usize,
    pub(super) receive_buffer: Size,
    pub(super) tcp: Vec<SocketAddr>,
    pub(super) tls: Vec<SocketAddr>,
    pub(super) unix_datagram: Vec<PathBuf>,
    pub(super) unix_stream: Vec<PathBuf>,
    /// Octal.
    pub(super) unix_mode: String,
    /// A certificate to serve https with; empty for http.
    pub(super) tls_certificate: PathBuf,
    /// The account of a process that needs one.
    pub(super) jid: String,
    /// How long it hands on what it has when it is told to stop.
    pub(super) drain_timeout: Span,
}

impl Default for Settings {
    fn default() -> Settings {
        let (readers, receive_buffer) = (1, Size::from_mib(64));
        Settings {
            listen: Vec::new(),
            readers,
            receive_buffer,
            tcp: Vec::new(),
            tls: Vec::new(),
            unix_datagram: Vec::new(),
            unix_stream: Vec::new(),
            unix_mode: "0666".to_owned(),
            tls_certificate: PathBuf::new(),
            jid: String::new(),
            drain_timeout: DRAIN_TIMEOUT,
        }
    }
}

impl Settings {
    /// Reads what `--check` printed.
    pub(super) fn parse(in_force: &str) -> anyhow::Result<Settings> {
        toml::from_str(in_force).context("understanding what --check prints")
    }
}

/// What `--check` answered.
#[derive(Debug)]
pub(super) enum Checked {
    /// The configuration in force.
    Settings(Settings),
    /// The process refuses its configuration: its status, and its own words.
    Refused(ExitStatus, String),
}

/// Where the processes of an instance have their configuration from.
#[derive(Debug)]
pub(super) struct Configs {
    /// What the user wrote; none where all are at their defaults.
    user: Option<PathBuf>,
    /// The directory for what `leela up` has to change.
    made: PathBuf,
}

impl Configs {
    /// `--config-dir`, else `.leela/etc` if it is there, else defaults. `/etc/leela` is the system's instance's.
    pub(super) fn choose(flag: Option<&Path>, home: &Path, run: &Path) -> anyhow::Result<Configs> {
        let etc = home.join("etc");
        if let Some(dir) = flag {
            fs::read_dir(dir).with_context(|| format!("reading {}", dir.display())).exit(Exit::Config)?;
        }
        let user = flag.map(Path::to_owned).or_else(|| etc.is_dir().then_some(etc));
        let user = user
            .map(|dir| std::path::absolute(&dir).with_context(|| format!("finding {}", dir.display())))
            .transpose()?;
        let made = run.join("etc");
        match fs::remove_dir_all(&made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("clearing {}", made.display()));
            }
            _ => {}
        }
        fs::create_dir(&made).with_context(|| format!("making {}", made.display()))?;
        Ok(Configs { user, made })
    }

    /// What the user wrote; none where all are at their defaults.
    pub(super) fn user(&self) -> Option<&Path> {
        self.user.as_deref()
    }

    /// The arguments that make the process `name` read its configuration.
    pub(super) fn arguments(&self, name: &str) -> [OsString; 2] {
        let made = self.drop_ins(name).join(DROP_IN).exists();
        let dir = self.user.as_ref().filter(|_| !made).unwrap_or(&self.made);
        ["--config-dir".into(), dir.into()]
    }

    /// The arguments with what the user wrote, whatever was replaced.
    fn user_arguments(&self, name: &str) -> io::Result<[OsString; 2]> {
        self.forget(name)?;
        Ok(self.arguments(name))
    }

    /// Asks the process `program` what is in force.
    pub(super) fn check(&self, name: &str, program: &Path) -> anyhow::Result<Checked> {
        let arguments =
            self.user_arguments(name).with_context(|| format!("clearing {}", self.made.display()))?;
        let output = Command::new(program)
            .arg("--check")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {} --check", program.display()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            return Ok(Checked::Refused(output.status, said));
        }
        Ok(Checked::Settings(Settings::parse(&String::from_utf8_lossy(&output.stdout))?))
    }

    /// Makes the process `name` listen elsewhere: what the user wrote, and a drop-in after it.
    pub(super) fn replace_listen(
        &self,
        name: &str,
        listens: &[(&str, Vec<SocketAddr>)],
    ) -> anyhow::Result<()> {
        self.write(name, listens).with_context(|| format!("writing the free ports of {name}"))
    }

    fn write(&self, name: &str, listens: &[(&str, Vec<SocketAddr>)]) -> io::Result<()> {
        self.forget(name)?;
        let drop_ins = self.drop_ins(name);
        fs::create_dir(&drop_ins)?;
        if let Some(user) = &self.user {
            let main = format!("{name}.toml");
            if user.join(&main).exists() {
                symlink(user.join(&main), self.made.join(&main))?;
            }
            match fs::read_dir(user.join(format!("{name}.d"))) {
                Ok(entries) => {
                    for entry in entries {
                        let entry = entry?;
                        symlink(entry.path(), drop_ins.join(entry.file_name()))?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut text = "# Made by leela up: a port was taken.\n".to_owned();
        for (key, addresses) in listens {
            let addresses: Vec<String> =
                addresses.iter().map(|address| format!("{:?}", address.to_string())).collect();
            text.push_str(&format!("{key} = [{}]\n", addresses.join(", ")));
        }
        fs::write(drop_ins.join(DROP_IN), text)
    }

    fn forget(&self, name: &str) -> io::Result<()> {
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(fs::remove_file(self.made.join(format!("{name}.toml"))))?;
        gone(fs::remove_dir_all(self.drop_ins(name)))
    }

    fn drop_ins(&self, name: &str) -> PathBuf {
        self.made.join(format!("{name}.d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::config::{self, Source};
    use serde::Serialize;

    #[test]
    fn what_check_prints_is_understood() {
        for (text, want) in [
            ("", Settings::default()),
            ("drain_timeout = \"500ms\"  # default\ntags.host = \"a\"  # /x:1\n", Settings::default()),
            (
                "drain_timeout = \"20s\"  # /x:1\n",
                Settings { drain_timeout: Span::from_millis(20_000), ..Settings::default() },
            ),
            (
                "listen = [\"127.0.0.1:6968\", \"[::1]:6968\"]  # default\nreaders = 2  # /etc/leela/udp.toml:3\n\
                 receive_buffer = \"8MiB\"  # default\n",
                Settings {
                    listen: vec!["127.0.0.1:6968".parse().unwrap(), "[::1]:6968".parse().unwrap()],
                    readers: 2,
                    receive_buffer: Size::from_mib(8),
                    ..Settings::default()
                },
            ),
        ] {
            assert_eq!(Settings::parse(text).unwrap(), want, "{text}");
        }
        assert!(Settings::parse("listen = 3").is_err());
    }

    #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        listen: Vec<SocketAddr>,
        readers: usize,
        ring: String,
    }

    impl Default for Config {
        fn default() -> Config {
            Config { listen: Vec::new(), readers: 1, ring: "64MiB".into() }
        }
    }

    fn read(configs: &Configs) -> Config {
        let [flag, dir] = configs.arguments("udp");
        assert_eq!(flag, "--config-dir");
        config::load("udp", &Source::Dir(dir.into())).unwrap().config
    }

    #[test]
    fn a_process_listens_elsewhere_and_keeps_all_else_the_user_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let (home, run) = (dir.path().join("home"), dir.path().join("run"));
        let drop_ins = home.join("etc/udp.d");
        fs::create_dir_all(&drop_ins).unwrap();
        fs::create_dir(&run).unwrap();
        fs::write(home.join("etc/udp.toml"), "listen = [\"127.0.0.1:1\"]\nreaders = 2\n").unwrap();
        fs::write(drop_ins.join("zz.toml"), "listen = [\"127.0.0.1:2\"]\nring = \"1MiB\"\n").unwrap();
        let configs = Configs::choose(None, &home, &run).unwrap();
        let [two, free] = ["127.0.0.1:2", "127.0.0.1:4000"].map(|address| address.parse().unwrap());
        let written = Config { listen: vec![two], readers: 2, ring: "1MiB".into() };
        assert_eq!(read(&configs), written);
        for label in ["first", "again"] {
            configs.replace_listen("udp", &[("listen", vec![free])]).unwrap();
            assert_eq!(read(&configs), Config { listen: vec![free], ..written.clone() }, "{label}");
        }
        configs.forget("udp").unwrap();
        assert_eq!(read(&configs), written);
    }

    #[test]
    fn without_files_all_is_at_its_default_whatever_the_system_has() {
        let dir = tempfile::tempdir().unwrap();
        let configs = Configs::choose(None, &dir.path().join("home"), dir.path()).unwrap();
        assert_eq!(configs.user(), None);
        let error =
            Configs::choose(Some(&dir.path().join("nonexistent")), dir.path(), dir.path()).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Config);
        assert_eq!(configs.arguments("udp")[1], dir.path().join("etc"));
        assert_eq!(read(&configs), Config::default());
        configs.replace_listen("udp", &[("listen", vec!["[::1]:5".parse().unwrap()])]).unwrap();
        assert_eq!(read(&configs).listen, ["[::1]:5".parse().unwrap()]);
    }
}
