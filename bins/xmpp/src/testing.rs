//! For tests: what is read of a directory, from any text, and written again.

use crate::directory::file::DirectoryFile;
use crate::directory::{Entry, Prefs};

/// A subscription as it is kept in Redis: its name, and its value as it is written.
pub fn entry(text: &str) -> Option<(String, String)> {
    Entry::read(text).map(|entry| (entry.field(), entry.write()))
}

/// What a user chose, as it is kept in Redis, and as it is written.
pub fn prefs(text: &str) -> Option<String> {
    let prefs = serde_json::from_str::<Prefs>(text).ok()?;
    serde_json::to_string(&prefs).ok()
}

/// A file of a directory, written again; none where it is refused.
///
/// # Errors
/// Where the file cannot be written.
pub fn directory(path: std::path::PathBuf) -> std::io::Result<Option<Vec<u8>>> {
    let Ok((file, content)) = DirectoryFile::open(path.clone()) else { return Ok(None) };
    // A directory without numbers gets them before it is served.
    let mut content = content;
    let changes = content.numbering();
    changes.iter().for_each(|change| content.apply(change));
    file.write(&content)?;
    std::fs::read(path).map(Some)
}
