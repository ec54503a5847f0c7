use std::fs;

use nix::errno::Errno;

use super::*;
use crate::files::Files;

/// The files of a directory with their contents.
fn contents(directory: &Path) -> Vec<(String, String)> {
    let names = Disk.list(directory).unwrap();
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(directory.join(name)).unwrap())).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn after_a_power_cut_only_what_was_synced_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy) = (directory.path().join("live"), directory.path().join("copy"));
    fs::create_dir(&live).unwrap();
    fs::write(live.join("before"), "durable").unwrap();
    let files = TestFiles::default();
    let after_cut = || {
        let _ = fs::remove_dir_all(&copy);
        files.power_cut(&live, &copy, Loss::All).unwrap();
        contents(&copy)
    };
    let file = files.create(&live.join("a.new")).unwrap();
    file.write_at(0, b"one").unwrap();
    assert_eq!(after_cut(), pairs(&[("before", "durable")]));
    file.sync().unwrap();
    assert_eq!(after_cut(), pairs(&[("before", "durable")]), "the name was not synced");
    files.sync_dir(&live).unwrap();
    file.write_at(3, b"two").unwrap();
    assert_eq!(after_cut(), pairs(&[("a.new", "one"), ("before", "durable")]));
    files.rename(&live.join("a.new"), &live.join("a")).unwrap();
    files.remove(&live.join("before")).unwrap();
    assert_eq!(after_cut(), pairs(&[("a.new", "one"), ("before", "durable")]));
    files.sync_dir(&live).unwrap();
    assert_eq!(after_cut(), pairs(&[("a", "one")]));
    file.sync().unwrap();
    file.set_len(1).unwrap();
    assert_eq!(after_cut(), pairs(&[("a", "onetwo")]));
    assert_eq!(contents(&live), pairs(&[("a", "o")]), "the process sees what it did");
    files.link(&live.join("a"), &live.join("b")).unwrap();
    files.sync_dir(&live).unwrap();
    assert_eq!(after_cut(), pairs(&[("a", "onetwo"), ("b", "onetwo")]));
}

#[test]
fn some_of_what_was_not_synced_may_be_left_torn_anywhere() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy) = (directory.path().join("live"), directory.path().join("copy"));
    fs::create_dir(&live).unwrap();
    let files = TestFiles::default();
    let file = files.create(&live.join("a")).unwrap();
    file.write_at(0, b"sure").unwrap();
    file.sync().unwrap();
    files.sync_dir(&live).unwrap();
    file.write_at(4, b"abc").unwrap();
    file.write_at(7, b"def").unwrap();
    files.create(&live.join("b")).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..400 {
        files.power_cut(&live, &copy, Loss::Some(seed)).unwrap();
        seen.insert(format!("{:?}", contents(&copy)));
        fs::remove_dir_all(&copy).unwrap();
    }
    let has = |pairs_of: &[(&str, &str)]| seen.contains(&format!("{:?}", pairs(pairs_of)));
    assert!(has(&[("a", "sure")]) && has(&[("a", "sureabcdef"), ("b", "")]) && has(&[("a", "sureabcd")]));
    assert!(
        has(&[("a", "sure\0\0\0def")])
            && has(&[("a", "sureab\0\0\0\0")])
            && has(&[("a", "surea"), ("b", "")])
    );
}

#[test]
fn a_fault_hits_the_call_that_it_is_for() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy) = (directory.path().join("live"), directory.path().join("copy"));
    fs::create_dir(&live).unwrap();
    let files = TestFiles::default();
    let file = files.create(&live.join("a")).unwrap();
    files.fail(Fault { ops: Op::OF_FULL_DISK, skip: 1, times: 1, errno: Errno::ENOSPC });
    file.write_at(0, b"1234").unwrap();
    let full = file.write_at(4, b"5678").unwrap_err();
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs::read(live.join("a")).unwrap(), b"123456", "what fits is written");
    file.write_at(4, b"5678").unwrap();
    files.fail(Fault { ops: &[Op::Sync], skip: 0, times: 1, errno: Errno::EIO });
    assert!(file.sync().is_err() && file.sync().is_ok());
    files.sync_dir(&live).unwrap();
    files.power_cut(&live, &copy, Loss::All).unwrap();
    assert_eq!(fs::read(copy.join("a")).unwrap(), [0; 8], "a failed sync loses what it was for");
    files.fail(Fault { ops: &[], skip: 0, times: u64::MAX, errno: Errno::EROFS });
    assert!(files.list(&live).is_err() && file.read_at(0, &mut [0]).is_err());
    assert!(files.free_bytes(&live).is_err());
    files.heal();
    files.set_free_bytes(Some(7));
    assert_eq!(files.free_bytes(&live).unwrap(), 7);
    let boot = files.boot_id();
    files.boot();
    assert_ne!(files.boot_id(), boot);
}

#[test]
fn a_log_is_synced_when_its_newest_segment_is_and_has_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let files = TestFiles::default();
    let count = || files.log_syncs().into_iter().flatten().count();
    let create = |name: &str| files.create(&directory.path().join(name)).unwrap();
    let (old, newest, other) = (create("1.log"), create("2.log"), create("3.leela"));
    files.sync_dir(directory.path()).unwrap();
    old.sync().unwrap();
    other.sync().unwrap();
    assert_eq!(count(), 0);
    newest.sync().unwrap();
    assert_eq!(count(), 1);
    let nameless = create("4.log");
    newest.sync().unwrap();
    nameless.sync().unwrap();
    assert_eq!(count(), 1);
    files.sync_dir(directory.path()).unwrap();
    assert_eq!(count(), 2);
    let [first, last] = files.log_syncs();
    assert!(first < last);
    nameless.sync().unwrap();
    assert_eq!(files.log_syncs()[0], last);
}
