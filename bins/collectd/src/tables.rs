//! What packets are read with: types.db and the AuthFile, opened at the start, and what is wrong with them said.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::config::credential;
use common::exit::{Exit, OrExit};
use common::time::Time;

use crate::config::{Config, TYPES_DB};
use crate::file::BadLine;
use crate::packet::{Rules, Sources};
use crate::types_db::TypesDb;
use crate::users::{AuthFile, Refresh};

/// How many bad lines of a file are told one by one.
const BAD_LINES_TOLD: usize = 5;

/// The names of data sources, and who may sign and encrypt.
#[derive(Debug)]
pub struct Tables {
    types: TypesDb,
    auth: Option<AuthFile>,
    auth_path: PathBuf,
}

impl Tables {
    /// Reads the files that the configuration names. One that is missing exits 78, but for collectd's own
    /// types.db: there need be no collectd on this host.
    pub fn open(config: &Config, now: Time) -> anyhow::Result<Tables> {
        let mut types = TypesDb::default();
        if config.sources == Sources::Names {
            for path in &config.types_db {
                read_types(&mut types, path)?;
            }
        }
        let auth_path = credential(&config.auth_file);
        let auth = match auth_path.as_os_str().is_empty() {
            true => None,
            false => {
                let opened = AuthFile::open(&auth_path, now);
                let (auth, bad) = readable(opened, &auth_path)?;
                tell_users("AuthFile read", &auth, &auth_path, &bad);
                Some(auth)
            }
        };
        Ok(Tables { types, auth, auth_path })
    }

    /// Looks whether the AuthFile has changed, and reads it again; to be called once a second.
    pub fn refresh(&mut self, now: Time) {
        let Some(auth) = &mut self.auth else { return };
        match auth.refresh(now) {
            Refresh::Unchanged => {}
            Refresh::Read(bad) => tell_users("AuthFile changed and read again", auth, &self.auth_path, &bad),
            Refresh::Failed(error) => tracing::error!(
                path = %self.auth_path.display(),
                %error,
                users = auth.users().len(),
                "the AuthFile cannot be read again, its users stay as they were"
            ),
        }
    }

    /// How packets are read by these tables.
    pub fn rules(&self, config: &Config) -> Rules<'_> {
        Rules {
            required: config.security_level,
            users: self.auth.as_ref().map(AuthFile::users),
            user_prefix: config.user_prefix,
            sources: config.sources,
            types: &self.types,
        }
    }
}

fn read_types(types: &mut TypesDb, path: &Path) -> anyhow::Result<()> {
    match types.read_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && path == Path::new(TYPES_DB) => {
            tracing::warn!(
                path = TYPES_DB,
                "no types.db here: values get numbers for their sources' names, `.0` for `.rx`; set types_db to \
                 a copy of collectd's, or sources to index"
            );
            Ok(())
        }
        read => {
            tell_bad_lines(path, &readable(read, path)?);
            Ok(())
        }
    }
}

/// Gives a file that cannot be read the exit status of its configuration.
fn readable<T>(read: io::Result<T>, path: &Path) -> anyhow::Result<T> {
    let exit = match &read {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Exit::NoPerm,
        _ => Exit::Config,
    };
    read.with_context(|| format!("reading {}", path.display())).exit(exit)
}

fn tell_users<E: Display>(what: &str, auth: &AuthFile, path: &Path, bad: &[BadLine<E>]) {
    let users = auth.users().len();
    tracing::info!(path = %path.display(), users, "{what}");
    if users == 0 {
        tracing::warn!(path = %path.display(), "no user in the AuthFile: what is signed or encrypted is refused");
    }
    tell_bad_lines(path, bad);
}

fn tell_bad_lines<E: Display>(path: &Path, bad: &[BadLine<E>]) {
    let path = path.display();
    for BadLine { line, error } in bad.iter().take(BAD_LINES_TOLD) {
        tracing::warn!(%path, line, %error, "a line says nothing");
    }
    if let Some(more) = bad.len().checked_sub(BAD_LINES_TOLD).filter(|more| *more > 0) {
        tracing::warn!(%path, lines = more, "more lines say nothing");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_that_are_named_have_to_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let (types, users) = (dir.path().join("types.db"), dir.path().join("users"));
        let config = Config { types_db: vec![types.clone()], auth_file: users.clone(), ..Config::default() };
        for missing in [&types, &users] {
            let error = Tables::open(&config, Time::from_secs(1)).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Config);
            let text = format!("{error:#}");
            assert!(text.starts_with(&format!("reading {}: No such file", missing.display())), "{text}");
            fs::write(missing, "load a:GAUGE:0:U, b:GAUGE:0:U\nalice: secret").unwrap();
        }
        let tables = Tables::open(&config, Time::from_secs(1)).unwrap();
        let rules = tables.rules(&config);
        assert_eq!(rules.types.sources(b"load").unwrap().join(" "), "a b");
        assert_eq!(rules.users.unwrap().len(), 2, "a line of types.db has colons too");
    }

    #[test]
    fn nothing_is_read_that_is_not_used() {
        let config =
            Config { types_db: vec!["/nonexistent".into()], sources: Sources::Index, ..Config::default() };
        let tables = Tables::open(&config, Time::from_secs(1)).unwrap();
        assert!(tables.rules(&config).types.is_empty() && tables.rules(&config).users.is_none());
    }

    #[test]
    fn a_changed_auth_file_is_in_force_at_the_next_look() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            Config { auth_file: dir.path().join("users"), types_db: Vec::new(), ..Config::default() };
        fs::write(&config.auth_file, "alice: secret\n").unwrap();
        let mut tables = Tables::open(&config, Time::from_secs(1)).unwrap();
        fs::write(&config.auth_file, "alice: secret\nbob: secret\n").unwrap();
        tables.refresh(Time::from_secs(2));
        assert_eq!(tables.rules(&config).users.unwrap().len(), 2);
        fs::remove_file(&config.auth_file).unwrap();
        tables.refresh(Time::from_secs(3));
        assert_eq!(tables.rules(&config).users.unwrap().len(), 2);
    }
}
