use std::ops::ControlFlow;

use common::ask::TagTest;

use super::*;
use crate::files::Disk;

fn names(index: &Index, prefix: &str, tests: &[TagTest]) -> Vec<String> {
    let mut found = Vec::new();
    index
        .names(prefix.as_bytes(), b"", tests, &mut |name| {
            found.push(String::from_utf8(name.to_vec()).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn test(text: &str) -> TagTest {
    let (tag, value) = text.split_once('=').unwrap();
    let is_not = tag.ends_with('!');
    TagTest { tag: tag.trim_end_matches('!').to_owned(), value: value.to_owned(), is_not }
}

#[test]
fn names_are_found_by_prefix_and_tag_however_they_came() {
    let index = Index::in_memory(&[1; 16]).unwrap();
    let key = |number: u32| {
        format!(
            "web{:03}.cpu;dc={};host=h{}",
            number * 7919 % 1000,
            ["ams", "fra", "par"][number as usize % 3],
            number % 50
        )
    };
    let mut all: Vec<String> = (0..3000).map(key).collect();
    for part in all.chunks(170) {
        let mut part = part.to_vec();
        part.sort();
        index.enter(&part, &[], &[]).unwrap();
        index.enter(&part, &[], &[]).unwrap();
    }
    all.sort();
    all.dedup();
    assert_eq!(index.series().unwrap(), all.len() as u64);
    for (prefix, tests) in [
        ("", vec![]),
        ("web01", vec![]),
        ("web010.cpu;", vec![]),
        ("x", vec![]),
        ("", vec!["dc=ams"]),
        ("web9", vec!["dc=ams"]),
        ("", vec!["dc!=ams"]),
        ("", vec!["dc=ams", "host=h7"]),
        ("web", vec!["host=h7", "dc=fra", "dc!=par"]),
        ("", vec!["dc=none", "host=h7"]),
        ("", vec!["none=ams"]),
    ] {
        let tests: Vec<TagTest> = tests.into_iter().map(test).collect();
        let is =
            |key: &String| key.starts_with(prefix) && tests.iter().all(|test| test.holds(key.as_bytes()));
        let want: Vec<String> = all.iter().filter(|key| is(key)).cloned().collect();
        assert_eq!(names(&index, prefix, &tests), want, "{prefix} {tests:?}");
    }
    let mut rest = Vec::new();
    let after = all[1234].clone();
    index
        .names(b"web", after.as_bytes(), &[test("dc=ams")], &mut |name| {
            rest.push(String::from_utf8(name.to_vec()).unwrap());
            if rest.len() < 50 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .unwrap();
    let want: Vec<String> =
        all.iter().skip(1235).filter(|key| key.contains("dc=ams")).take(50).cloned().collect();
    assert_eq!(rest, want);
    let mut some: Vec<String> = all.iter().step_by(3).cloned().collect();
    some.extend(["a", "web500.cpu;", "web500.cpu;z", "x"].map(str::to_owned));
    some.sort();
    assert_eq!(index.unknown(&some).unwrap(), 4);
    assert_eq!(Index::in_memory(&[1; 16]).unwrap().unknown(&some).unwrap(), some.len() as u64);
    let words = index.words(Some(b"dc")).unwrap();
    let of = |word: &str| all.iter().filter(|key| key.contains(&format!("dc={word};"))).count() as u64;
    assert_eq!(words, ["ams", "fra", "par"].map(|word| (word.as_bytes().to_vec(), of(word))).into());
    let tags = index.words(None).unwrap();
    let count = all.len() as u64;
    assert_eq!(tags, [(b"dc".to_vec(), count), (b"host".to_vec(), count)].into());
}

#[test]
fn an_index_is_that_of_one_store_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (files, at) = (Disk::shared(), directory.path());
    assert!(Index::open(&files, at, &[1; 16]).is_err());
    let index = Index::create(&files, at, &[1; 16]).unwrap();
    index.enter(&["a;b=c", "b"], &["1.sealed".to_owned(), "2.sealed".to_owned()], &[]).unwrap();
    index.enter::<&str>(&[], &[], &["1.sealed".to_owned()]).unwrap();
    index.publish(&files, at).unwrap();
    index.compact().unwrap();
    drop(index);
    assert!(Index::open(&files, at, &[2; 16]).is_err());
    for _ in 0..2 {
        let index = Index::open(&files, at, &[1; 16]).unwrap();
        assert_eq!(names(&index, "", &[]), ["a;b=c", "b"]);
        assert_eq!(index.files().unwrap(), ["2.sealed".to_owned()].into());
    }
}

#[test]
fn a_flipped_byte_is_found_when_it_is_opened_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (files, at) = (Disk::shared(), directory.path());
    let index = Index::create(&files, at, &[1; 16]).unwrap();
    let all: Vec<String> = (0..2000).map(|number| format!("web{number:04};dc=a{}", number % 7)).collect();
    index.enter(&all, &["1.sealed".to_owned()], &[]).unwrap();
    index.publish(&files, at).unwrap();
    drop(index);
    let path = at.join(FILE);
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for place in (0..200).chain((200..sound.len()).step_by(sound.len() / 300)) {
        let mut bytes = sound.clone();
        bytes[place] ^= 1 << (place % 8);
        std::fs::write(&path, bytes).unwrap();
        match Index::open(&files, at, &[1; 16]) {
            Ok(index) => {
                assert_eq!(names(&index, "", &[]), all, "{place}");
                assert_eq!(names(&index, "", &[test("dc=a3")]).len(), 286, "{place}");
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20, "{refused}");
}
