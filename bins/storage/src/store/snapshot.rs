//! A snapshot: the files of one moment, linked into another directory.

use std::path::Path;
use std::sync::Arc;

use super::embedded::Embedded;
use super::state::State;
use super::{StoreError, lock};

impl Embedded {
    pub(super) fn snapshot_into(&self, directory: &Path) -> Result<(), StoreError> {
        let files = &self.shelf.files;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |err| StoreError::io("writing", &path, err)
        };
        files.make_dir(directory).map_err(failed(directory))?;
        if !files.list(directory).map_err(failed(directory))?.is_empty() {
            return Err(StoreError::NotEmpty(directory.display().to_string()));
        }
        // While it is held no file goes, and the state file says what is in those that are there.
        let state = lock(&self.commit);
        let volumes = Arc::clone(&lock(&self.head).volumes);
        for volume in volumes.iter() {
            let to = directory.join(volume.name.text());
            files.link(&self.shelf.path(volume.name), &to).map_err(failed(&to))?;
        }
        State::clone(&state).save(files, directory)?;
        files.sync_dir(directory).map_err(failed(directory))
    }
}
