//! The AuthFile: who may sign and encrypt, a line `user: password` each, as collectd's own server reads it.
//!
//! Blanks around the user and in front of the password do not count; empty lines and lines that begin with `#`
//! are skipped; of a user given twice the first line stays. Only the keys made of passwords are kept.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use aes::Aes256;
use common::time::{SECOND_NS, Time};
use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::file::{BadLine, read_limited};

/// The longest AuthFile, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a line of the AuthFile says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UserError {
    /// No colon.
    #[error("a line is USER: PASSWORD")]
    Colon,
    /// Nothing before the colon.
    #[error("the user is empty")]
    User,
    /// Nothing behind the colon.
    #[error("the password is empty")]
    Password,
    /// The user has a line further up.
    #[error("the user is there twice, the first line stays")]
    Twice,
}

/// What a user's password is good for.
#[derive(Clone)]
pub(crate) struct UserKeys {
    pub(crate) mac: Hmac<Sha256>,
    pub(crate) cipher: Aes256,
}

impl UserKeys {
    fn new(password: &[u8]) -> UserKeys {
        UserKeys {
            mac: <Hmac<Sha256> as KeyInit>::new_from_slice(password).expect("HMAC takes a key of any length"),
            cipher: Aes256::new(&Sha256::digest(password)),
        }
    }
}

/// The users of an AuthFile.
#[derive(Clone, Default)]
pub struct Users {
    keys: HashMap<Box<[u8]>, UserKeys>,
}

impl Users {
    /// The users of an AuthFile's text, and the lines that say nothing.
    pub fn parse(text: &[u8]) -> (Users, Vec<BadLine<UserError>>) {
        let mut users = Users::default();
        let mut bad = Vec::new();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if let Err(error) = users.take_line(line) {
                bad.push(BadLine { line: number + 1, error });
            }
        }
        (users, bad)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn get(&self, user: &[u8]) -> Option<&UserKeys> {
        self.keys.get(user)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), UserError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.starts_with(b"#") {
            return Ok(());
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or(UserError::Colon)?;
        let (user, password) = (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii_start());
        if user.is_empty() {
            return Err(UserError::User);
        }
        if password.is_empty() {
            return Err(UserError::Password);
        }
        if self.keys.contains_key(user) {
            return Err(UserError::Twice);
        }
        self.keys.insert(user.into(), UserKeys::new(password));
        Ok(())
    }
}

/// Says how many, never who or what.
impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.len())
    }
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    mtime: (i64, i64),
    size: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Stamp> {
        let file = fs::metadata(path)?;
        Ok(Stamp { mtime: (file.mtime(), file.mtime_nsec()), size: file.size(), inode: file.ino() })
    }
}

/// What [`AuthFile::refresh`] found.
#[derive(Debug)]
#[must_use = "bad lines and a file that cannot be read have to be said"]
pub enum Refresh {
    /// Nothing new.
    Unchanged,
    /// The file was read again; these of its lines say nothing.
    Read(Vec<BadLine<UserError>>),
    /// The file cannot be read; the users stay as they were. Said once, until it can be read again.
    Failed(io::Error),
}

/// An AuthFile that is read again when it has changed.
#[derive(Debug)]
pub struct AuthFile {
    path: PathBuf,
    users: Users,
    stamp: Option<Stamp>,
    checked: Time,
    failing: bool,
}

impl AuthFile {
    /// Reads the file, and says which of its lines say nothing.
    pub fn open(path: &Path, now: Time) -> io::Result<(AuthFile, Vec<BadLine<UserError>>)> {
        // The stamp first: what is written between it and the reading is seen as a change at the next look.
        let stamp = Stamp::of(path)?;
        let (users, bad) = Users::parse(&read_limited(path, FILE_BYTES_MAX)?);
        Ok((AuthFile { path: path.to_owned(), users, stamp: Some(stamp), checked: now, failing: false }, bad))
    }

    /// The users of the last reading.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// Looks, at most once a second, whether the file has another time, size or inode, and then reads it.
    pub fn refresh(&mut self, now: Time) -> Refresh {
        // A clock that goes back must not put the next look off.
        if (0..SECOND_NS).contains(&now.since_ns(self.checked)) {
            return Refresh::Unchanged;
        }
        self.checked = now;
        match self.read_again() {
            Ok(None) => {
                self.failing = false;
                Refresh::Unchanged
            }
            Ok(Some(bad)) => {
                self.failing = false;
                Refresh::Read(bad)
            }
            Err(_) if self.failing => Refresh::Unchanged,
            Err(error) => {
                self.failing = true;
                // So that the end of it is told as well, be the file what it was.
                self.stamp = None;
                Refresh::Failed(error)
            }
        }
    }

    fn read_again(&mut self) -> io::Result<Option<Vec<BadLine<UserError>>>> {
        let stamp = Stamp::of(&self.path)?;
        if self.stamp == Some(stamp) {
            return Ok(None);
        }
        let (users, bad) = Users::parse(&read_limited(&self.path, FILE_BYTES_MAX)?);
        self.users = users;
        self.stamp = Some(stamp);
        Ok(Some(bad))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_collectd_reads_them() {
        let text =
            b"# who: what\n\nalice: secret\nbob:a:b \r\n  carol :\tx\nnobody\n: x\ndave:  \nalice: other";
        let (users, bad) = Users::parse(text);
        let bad: Vec<_> = bad.iter().map(|bad| (bad.line, bad.error)).collect();
        assert_eq!(
            bad,
            [(6, UserError::Colon), (7, UserError::User), (8, UserError::Password), (9, UserError::Twice)]
        );
        assert_eq!(users.len(), 3);
        for (user, password) in [("alice", "secret"), ("bob", "a:b "), ("carol", "x")] {
            use hmac::Mac;
            let mac = |keys: &UserKeys| keys.mac.clone().chain_update(b"m").finalize().into_bytes();
            let have = mac(users.get(user.as_bytes()).unwrap());
            assert_eq!(have, mac(&UserKeys::new(password.as_bytes())), "{user}");
        }
        assert_eq!(format!("{users:?}"), "Users(3)");
    }

    #[test]
    fn a_changed_file_is_read_again_within_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let write = |text: &str| {
            // Another inode each time, as editors do it.
            fs::write(dir.path().join("new"), text).unwrap();
            fs::rename(dir.path().join("new"), &path).unwrap();
        };
        write("alice: secret");
        let start = Time::from_secs(1_000);
        let (mut file, bad) = AuthFile::open(&path, start).unwrap();
        assert_eq!((file.users().len(), bad.len()), (1, 0));

        write("alice: secret\nbob: secret\nx");
        assert!(matches!(file.refresh(start.plus_ns(SECOND_NS - 1)), Refresh::Unchanged));
        assert_eq!(file.users().len(), 1);
        let Refresh::Read(bad) = file.refresh(start.plus_ns(SECOND_NS)) else { panic!("not read") };
        assert_eq!((file.users().len(), bad.len(), bad[0].line), (2, 1, 3));
        assert!(matches!(file.refresh(Time::from_secs(1_002)), Refresh::Unchanged));

        // Taken away it is said once, and the users stay; that it is back is said though nothing in it is new.
        fs::hard_link(&path, dir.path().join("kept")).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(matches!(file.refresh(Time::from_secs(1_003)), Refresh::Failed(_)));
        assert!(matches!(file.refresh(Time::from_secs(1_004)), Refresh::Unchanged));
        assert_eq!(file.users().len(), 2);
        fs::hard_link(dir.path().join("kept"), &path).unwrap();
        assert!(matches!(file.refresh(Time::from_secs(1_004)), Refresh::Unchanged));
        assert!(matches!(file.refresh(Time::from_secs(1_005)), Refresh::Read(_)));
        write("carol: secret");
        assert!(matches!(file.refresh(Time::from_secs(1_006)), Refresh::Read(_)));
        assert!(file.users().get(b"alice").is_none() && file.users().get(b"carol").is_some());

        // The clock goes back an hour.
        write("");
        assert!(matches!(file.refresh(Time::from_secs(-2_600)), Refresh::Read(_)));
        assert!(file.users().is_empty());
    }
}
