//! For tests: files that lose what is not synced, or fail.
