//! Secrets: never printed, read from files, which may be credentials of systemd's.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

/// A password or token. It is shown as `***`, in the log and by `--check` as well.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text of a `*_file`, which may be a [`credential`], without its trailing newline.
    ///
    /// Errors name no part of the text; the caller adds the key and the path.
    pub fn from_file(path: &Path) -> io::Result<Secret> {
        let mut text = fs::read_to_string(credential(path))?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
        Ok(Secret(text))
    }

    /// The text itself, to be handed to whoever asks for it and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a file lies that may be a credential: a relative path means one where systemd gives any
/// (`$CREDENTIALS_DIRECTORY`), else a file in the working directory. An empty path stays empty.
pub fn credential(path: &Path) -> PathBuf {
    locate(path, env::var_os("CREDENTIALS_DIRECTORY").as_deref())
}

fn locate(path: &Path, credentials: Option<&OsStr>) -> PathBuf {
    match credentials {
        // Joining an absolute path replaces the directory.
        Some(dir) if !path.as_os_str().is_empty() => Path::new(dir).join(path),
        _ => path.to_owned(),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // That there is none is not secret, and a default has to be shown as it is.
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(toml::Value::try_from(&secret).unwrap().to_string(), "\"***\"");
        assert_eq!(toml::Value::try_from(Secret::default()).unwrap().to_string(), "\"\"");
    }

    #[test]
    fn a_secret_file_loses_its_newline_only() {
        let dir = tempfile::tempdir().unwrap();
        for (text, want) in [("hunter2\n", "hunter2"), (" a b \r\n", " a b "), ("", "")] {
            fs::write(dir.path().join("secret"), text).unwrap();
            assert_eq!(Secret::from_file(&dir.path().join("secret")).unwrap().expose(), want, "{text:?}");
        }
    }

    #[test]
    fn a_relative_secret_file_is_a_credential() {
        for (path, credentials, want) in [
            ("token", Some("/run/credentials/x"), "/run/credentials/x/token"),
            ("token", None, "token"),
            ("", Some("/run/credentials/x"), ""),
            ("/etc/token", Some("/run/credentials/x"), "/etc/token"),
        ] {
            assert_eq!(locate(Path::new(path), credentials.map(OsStr::new)), Path::new(want), "{path}");
        }
    }
}
