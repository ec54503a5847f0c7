//! The directory of a single host: a file, written anew with each change, and put in its place whole.
//!
//! ```json
//! {"leela.xmpp": {"<field>": {"request": ..., "sender": "..."}}, "leela.xmpp:prefs": {"<bare JID>": {...}}}
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Content, Entry, Made, Order, Prefs, Report};

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

/// Keeps the directory until the orders end: a thread of its own, for a disk may be slow. Changes that came while it wrote
/// are written at once.
pub(crate) fn keep(
    file: &DirectoryFile,
    mut content: Content,
    mut orders: mpsc::Receiver<Order>,
    reports: &mpsc::Sender<Report>,
) {
    while let Some(first) = orders.blocking_recv() {
        let (asked, before) = (Instant::now(), content.clone());
        let (mut changes, mut is_end) = (Vec::new(), false);
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Change(number, change) => {
                    content.apply(&change);
                    changes.push((number, change.sender));
                }
                Order::Leave(_) => is_end = true,
                // A file is never another one.
                Order::Restore(..) => {}
            }
            next = if is_end { None } else { orders.try_recv().ok() };
        }
        let written = if changes.is_empty() { Ok(()) } else { file.write(&content) };
        if written.is_err() {
            content = before;
        }
        for (number, sender) in changes {
            let made = match &written {
                Ok(()) => {
                    let prefs = content.prefs.get(&sender).cloned().unwrap_or_default();
                    Ok(Made { asked, prefs, is_ours: true })
                }
                Err(error) => Err(format!("the directory cannot be written: {error}")),
            };
            if reports.blocking_send(Report::Changed(number, made)).is_err() {
                return;
            }
        }
        if is_end {
            let _ = reports.blocking_send(Report::Left);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Format;
    use crate::directory::{Change, Edit};
    use crate::statement::Select;

    fn entry(regex: &str) -> Entry {
        let select = Select { proc: "id".to_owned(), regex: regex.to_owned() };
        Entry { sender: "a@b".to_owned(), select }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("directory");
        let (file, mut content) = DirectoryFile::open(path.clone()).unwrap();
        assert_eq!(content, Content::default());
        content.apply(&Change::enter(entry("^größe \"x\"")));
        file.write(&content).unwrap();
        assert_eq!(DirectoryFile::open(path.clone()).unwrap().1, content);
        fs::write(&path, "{").unwrap();
        let error = format!("{:#}", DirectoryFile::open(path.clone()).unwrap_err());
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    /// Gives the keeper all orders at once, and takes what it says until it ends.
    fn keep_all(dir: &Path, orders: Vec<Order>) -> Vec<Report> {
        let (file, content) = DirectoryFile::open(dir.join("directory")).unwrap();
        let (to, taken) = mpsc::channel(64);
        let (told, mut reports) = mpsc::channel(64);
        orders.into_iter().for_each(|order| to.try_send(order).unwrap());
        drop(to);
        keep(&file, content, taken, &told);
        std::iter::from_fn(|| reports.try_recv().ok()).collect()
    }

    #[test]
    fn all_that_was_asked_is_kept_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let format = Change::edit("a@b".to_owned(), vec![Edit::Format(Format::Json)]);
        let orders = vec![
            Order::Change(1, Box::new(Change::enter(entry("^a")))),
            Order::Change(2, Box::new(format)),
            Order::Leave(Vec::new()),
        ];
        let reports = keep_all(dir.path(), orders);
        let [Report::Changed(1, Ok(made)), Report::Changed(2, Ok(_)), Report::Left] = &reports[..] else {
            panic!("{reports:?}")
        };
        assert_eq!(made.prefs.number(&entry("^a").field()), Some(1));
        let (_, content) = DirectoryFile::open(dir.path().join("directory")).unwrap();
        assert_eq!(content.entries.len(), 1);
        assert_eq!(content.prefs["a@b"].format, Some(Format::Json));
    }

    #[test]
    fn what_cannot_be_written_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        // The file is written beside its place first.
        fs::create_dir(dir.path().join("directory.new")).unwrap();
        let order = Order::Change(1, Box::new(Change::enter(entry("^a"))));
        let reports = keep_all(dir.path(), vec![order]);
        let [Report::Changed(1, Err(why))] = &reports[..] else { panic!("{reports:?}") };
        assert!(why.starts_with("the directory cannot be written: "), "{why}");
    }
}
