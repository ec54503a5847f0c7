//! The directory of a single host: a file, written anew with each change, and put in its place whole.
//!
//! ```json
//! {"leela.xmpp": {"<field>": {"request": ..., "sender": "..."}}, "leela.xmpp:prefs": {"<bare JID>": {...}}}
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Content, Entry, Prefs};

/// The file of the directory.
#[derive(Debug)]
pub(crate) struct DirectoryFile {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Form {
    #[serde(rename = "leela.xmpp", default)]
    entries: BTreeMap<String, Value>,
    #[serde(rename = "leela.xmpp:prefs", default)]
    prefs: BTreeMap<String, Prefs>,
}

impl DirectoryFile {
    /// Opens the file `path`, which need not be there, and reads it.
    pub(crate) fn open(path: PathBuf) -> anyhow::Result<(DirectoryFile, Content)> {
        let what = || format!("reading the directory {}", path.display());
        let form = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(what)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Form::default(),
            Err(error) => return Err(error).with_context(what),
        };
        let mut content = Content::default();
        for (field, value) in form.entries {
            let entry = Entry::read(&value.to_string()).with_context(what)?;
            content.entries.insert(field, entry);
        }
        content.prefs.extend(form.prefs);
        Ok((DirectoryFile { path }, content))
    }

    /// Writes all of it; what was there before stays there until this is on the disk.
    pub(crate) fn write(&self, content: &Content) -> io::Result<()> {
        let value = |entry: &Entry| serde_json::from_str(&entry.write()).unwrap_or_default();
        let form = Form {
            entries: content.entries.iter().map(|(field, entry)| (field.clone(), value(entry))).collect(),
            prefs: content.prefs.iter().map(|(sender, prefs)| (sender.clone(), prefs.clone())).collect(),
        };
        let next = self.path.with_extension("new");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec_pretty(&form)?)?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        let dir = self.path.parent().unwrap_or_else(|| Path::new("."));
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Change;
    use crate::statement::Select;

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory");
        let (file, mut content) = DirectoryFile::open(path.clone()).unwrap();
        assert_eq!(content, Content::default());
        let select = Select { proc: "id".to_owned(), regex: "^größe \"x\"".to_owned() };
        let entry = Entry { sender: "a@b".to_owned(), select };
        let mut prefs = Prefs::default();
        prefs.enter(&entry.field());
        content.apply(&Change { sender: "a@b".to_owned(), enter: Some(entry), leave: Vec::new(), prefs });
        file.write(&content).unwrap();
        assert_eq!(DirectoryFile::open(path.clone()).unwrap().1, content);
        fs::write(&path, "{").unwrap();
        let error = format!("{:#}", DirectoryFile::open(path.clone()).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}
