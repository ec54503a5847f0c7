use super::*;

const EVENTS: Wants = Wants { contents: 1 << 2, text: false, durable: false, fixed: false };

fn drain(ring: &mut Ring, place: usize) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    while let Some(entry) = ring.next_entry(place) {
        got.push(ring.datagram(&entry).to_vec());
        ring.sent(place, &entry);
    }
    got
}

#[test]
fn nothing_is_given_out_before_it_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(&dir.path().join("r"), BYTES_MIN, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    ring.append(2, 3, b"one");
    ring.append(1, 1, b"not wanted");
    ring.append(2, 4, b"two");
    assert_eq!(drain(&mut ring, place), Vec::<Vec<u8>>::new());
    ring.seal();
    assert_eq!(drain(&mut ring, place), [b"one", b"two"]);
    assert_eq!((ring.peers()[place].sent, ring.waiting(place), ring.next_number(2)), (7, 0, 7));
}

#[test]
fn the_successor_goes_on_with_cursors_and_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    ring.append(2, 1, b"one");
    ring.append(2, 1, b"two");
    let carried = ring.seal();
    let entry = ring.next_entry(place).unwrap();
    ring.sent(place, &entry);
    ring.append(2, 1, b"never committed");
    drop(ring);
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &carried).unwrap();
    assert_eq!((ring.waiting(place), ring.next_number(2)), (1, 2));
    assert_eq!(drain(&mut ring, place), [b"two"]);
}

#[test]
fn the_oldest_goes_and_is_counted_for_whom_it_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(&dir.path().join("r"), BYTES_MIN, 1, &[0; 16]).unwrap();
    let (slow, fast) =
        (ring.join(Path::new("/a"), EVENTS).unwrap(), ring.join(Path::new("/b"), EVENTS).unwrap());
    let datagram = vec![7; 30_000];
    for _ in 0..1000 {
        ring.append(2, 10, &datagram);
        ring.seal();
        assert_eq!(drain(&mut ring, fast).len(), 1);
    }
    let peer = ring.peers()[slow].clone();
    let kept = ring.waiting(slow);
    assert_eq!(peer.dropped + kept, 10_000);
    assert!((60..=80).contains(&kept), "{kept}");
    assert_eq!(drain(&mut ring, slow).len() as u64 * 10, kept);
    assert_eq!((ring.peers()[fast].sent, ring.peers()[fast].dropped), (10_000, 0));
}

#[test]
fn an_empty_ring_stays_at_its_front() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(&dir.path().join("r"), 64 << 20, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    for round in 0..10_000u32 {
        ring.append(2, 1, &round.to_le_bytes().repeat(100));
        ring.seal();
        assert_eq!(drain(&mut ring, place), [round.to_le_bytes().repeat(100)]);
    }
    let touched = ring.mapping.body().iter().rposition(|byte| *byte != 0).unwrap();
    assert!(touched < 2 * FRONT_BYTES as usize, "{touched}");
}

#[test]
fn a_burst_long_ago_holds_no_room() {
    use std::os::unix::fs::MetadataExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, 16 << 20, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    let taken = || fs::metadata(&path).unwrap().blocks() * 512;
    let datagram = |number: u32| number.to_le_bytes().repeat(2_500);
    for burst in [1000, 500] {
        (0..burst).for_each(|number| ring.append(2, 1, &datagram(number)));
        ring.seal();
        assert!(taken() >= u64::from(burst) * 10_000, "{}", taken());
        let came = drain(&mut ring, place);
        assert!(came.iter().zip(0..burst).all(|(came, number)| *came == datagram(number)));
        assert_eq!(came.len() as u32, burst);
        // As it goes on, it is forgotten; nothing that comes meanwhile is.
        let mut laps = 0;
        while taken() > 2 * KEPT_BYTES {
            for number in 0..30 {
                ring.append(2, 1, &datagram(number));
                ring.seal();
                assert_eq!(drain(&mut ring, place), [datagram(number)]);
            }
            laps += 1;
            assert!(laps < 10 * FORGOTTEN, "{} are taken", taken());
        }
    }
    assert_eq!((ring.peers()[place].dropped, ring.waiting(place)), (0, 0));
}

#[test]
fn a_ring_that_went_back_to_its_front_has_all_its_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, 4 << 20, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    let datagram = vec![7; 30_000];
    let mut carried = [0; CARRIED_WORDS];
    for _ in 0..9 {
        ring.append(2, 1, &datagram);
        carried = ring.seal();
        assert_eq!(drain(&mut ring, place).len(), 1);
    }
    for _ in 0..100 {
        ring.append(2, 1, &datagram);
    }
    assert_eq!((ring.waiting(place), ring.peers()[place].dropped), (100, 0));
    drop(ring); // killed before its commit
    let mut ring = Ring::open(&path, 4 << 20, 1, &carried).unwrap();
    assert_eq!((ring.waiting(place), ring.next_number(2)), (0, 9));
    ring.append(2, 1, b"next");
    ring.seal();
    assert_eq!(drain(&mut ring, place), [b"next"]);
}

#[test]
fn what_a_peer_does_not_want_is_behind_it_also_for_the_successor() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
    let wants = Wants { contents: 1 << 4, ..EVENTS };
    let place = ring.join(Path::new("/a"), wants).unwrap();
    for _ in 0..100 {
        ring.append(2, 1, &[7; 32 * 1024 - 16]); // laps end with an entry
        ring.seal();
        assert!(ring.next_entry(place).is_none());
    }
    ring.append(4, 1, b"note");
    let carried = ring.seal();
    drop(ring); // killed before it was sent
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &carried).unwrap();
    assert_eq!((ring.waiting(place), ring.peers()[place].dropped), (1, 0));
    assert_eq!(drain(&mut ring, place), [b"note"]);
}

#[test]
fn a_ring_that_is_taken_up_keeps_its_places_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
    for n in 0..PEERS_MAX {
        ring.join(Path::new(&format!("/{n}")), EVENTS).unwrap();
    }
    ring.append(2, 1, b"one");
    let carried = ring.seal();
    drop(ring);
    let opening = std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            for _ in 0..200 {
                Ring::open(&path, BYTES_MIN, 1, &carried).unwrap();
            }
        });
        // Whoever reads the file meanwhile sees what a successor of one killed at that moment would find.
        while !opening.is_finished() {
            let seen = RingFile::read(&path).unwrap().unwrap();
            let active = seen.peers.iter().filter(|peer| peer.standing == Standing::Active).count();
            assert_eq!(active, PEERS_MAX);
        }
        opening.join()
    });
    opening.unwrap();
}

#[test]
fn a_lost_ring_file_costs_what_waited_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
    ring.join(Path::new("/a"), EVENTS).unwrap();
    ring.append(2, 5, b"one");
    let carried = ring.seal();
    drop(ring);
    fs::remove_file(&path).unwrap();
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &carried).unwrap();
    assert_eq!(ring.next_number(2), 5);
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    ring.append(2, 1, b"two");
    ring.seal();
    assert_eq!(drain(&mut ring, place), [b"two"]);
}

#[test]
fn a_damaged_ring_costs_what_waited_in_it() {
    // Places of 64-bit words; the first peer's second commit is in bank 0: cursor, sent.
    let first_entry = WORDS;
    let bank = HEADER_WORDS + PLACE_WORDS - 11;
    for (label, word, value, waits) in [
        ("nothing", first_entry + 1, 2, 10),
        ("no ring", 0, 0, 0),
        ("a version that is not read any more", 1, 0, 0),
        ("no length", 2, 0, 0),
        ("a length that is not the file's", 2, BYTES_MIN * 2, 0),
        ("a length past all files", 2, u64::MAX, 0),
        ("another source", 3, 9, 0),
        ("an entry past the end", first_entry, u64::from(u32::MAX - 1), 0),
        ("an entry past the head", first_entry, 64, 0),
        ("an entry that ends between two", first_entry, 8, 0),
        ("the end before the head", first_entry, u64::from(WRAP), 0),
        ("a cursor between two words", bank + 1, 3, 0),
        ("a cursor past the head", bank + 1, u64::MAX, 0),
        ("a count past all counts", bank + 2, u64::MAX, 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
        let place = ring.join(Path::new("/a"), EVENTS).unwrap();
        ring.append(2, 5, &[7; 40]);
        ring.append(2, 5, &[8; 40]);
        let carried = ring.seal();
        drop(ring);
        let mut file = fs::read(&path).unwrap();
        if label != "nothing" {
            file[word * 8..][..8].copy_from_slice(&value.to_ne_bytes());
        }
        fs::write(&path, &file).unwrap();
        let mut ring = Ring::open(&path, BYTES_MIN, 1, &carried).unwrap();
        assert_eq!(ring.waiting(place), waits, "{label}");
        drain(&mut ring, place);
        let other = ring.join(Path::new("/b"), EVENTS).unwrap();
        ring.append(2, 1, b"next");
        ring.seal();
        assert_eq!(drain(&mut ring, other), [b"next"], "{label}");
    }
}

#[test]
fn on_a_full_device_a_ring_is_as_long_as_the_room_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, 64 << 20, 1, &[0; 16]).unwrap();
    ring.room_max = 1 << 20;
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    let mut carried = [0; CARRIED_WORDS];
    for round in 1..=1000u32 {
        ring.append(2, 1, &round.to_le_bytes().repeat(2500));
        carried = ring.seal();
    }
    let waits = ring.waiting(place);
    assert_eq!(waits + ring.peers()[place].dropped, 1000);
    assert!((90..=104).contains(&waits), "{waits}");
    drop(ring);
    let mut ring = Ring::open(&path, 64 << 20, 1, &carried).unwrap();
    let got = drain(&mut ring, place);
    let want: Vec<_> = (1001 - waits as u32..=1000).map(|round| round.to_le_bytes().repeat(2500)).collect();
    assert!(got == want, "{} of {waits}", got.len());
}

#[test]
fn another_size_waits_until_the_ring_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap();
    let place = ring.join(Path::new("/a"), EVENTS).unwrap();
    ring.append(2, 5, b"one");
    let carried = ring.seal();
    drop(ring);
    let mut ring = Ring::open(&path, 2 * BYTES_MIN, 1, &carried).unwrap();
    assert_eq!(ring.bytes, BYTES_MIN);
    assert_eq!(drain(&mut ring, place), [b"one"]);
    drop(ring);
    let ring = Ring::open(&path, 2 * BYTES_MIN, 1, &carried).unwrap();
    assert_eq!((ring.bytes, ring.waiting(place)), (2 * BYTES_MIN, 0));
    assert_eq!((ring.peers()[place].sent, ring.peers()[place].path.as_path()), (5, Path::new("/a")));
}

#[test]
fn places_are_limited() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(&dir.path().join("r"), BYTES_MIN, 1, &[0; 16]).unwrap();
    let durable = Wants { durable: true, ..EVENTS };
    for n in 0..DURABLE_MAX {
        ring.join(Path::new(&format!("/d{n}")), durable).unwrap();
    }
    assert_eq!(ring.join(Path::new("/d"), durable), Err(PeerError::DurableFull));
    for n in DURABLE_MAX..PEERS_MAX {
        ring.join(Path::new(&format!("/{n}")), EVENTS).unwrap();
    }
    assert_eq!(ring.join(Path::new("/x"), EVENTS), Err(PeerError::Full));
    ring.leave(9);
    assert_eq!(ring.join(Path::new("/x"), EVENTS), Ok(9));
}

#[test]
fn those_that_keep_up_get_every_byte_beside_one_that_is_far_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    let mut ring = Ring::open(&path, 4 * FAR_BYTES, 1, &[0; 16]).unwrap();
    let (stopped, other) =
        (ring.join(Path::new("/a"), EVENTS).unwrap(), ring.join(Path::new("/b"), EVENTS).unwrap());
    let datagram = |number: u32| number.to_le_bytes().repeat(1000 + number as usize % 7000);
    let (mut next, mut carried) = (0, [0; CARRIED_WORDS]);
    // Commits of one datagram and of many, over several laps, by far more than the image takes.
    for commit in 0..600 {
        let first = next;
        next += [1, 3, 16, 80][commit % 4];
        (first..next).for_each(|number| ring.append(2, 1, &datagram(number)));
        carried = ring.seal();
        let want: Vec<_> = (first..next).map(datagram).collect();
        assert!(drain(&mut ring, other) == want, "commit {commit}");
    }
    let waits = ring.waiting(stopped);
    assert_eq!(waits + ring.peers()[stopped].dropped, u64::from(next));
    // The successor finds in the file what was written around the caches.
    drop(ring);
    let mut ring = Ring::open(&path, 4 * FAR_BYTES, 1, &carried).unwrap();
    let want: Vec<_> = (next - waits as u32..next).map(datagram).collect();
    assert!(drain(&mut ring, stopped) == want, "{waits} waited");
}

#[test]
fn a_ring_of_a_later_release_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    drop(Ring::open(&path, BYTES_MIN, 1, &[0; 16]).unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, &bytes).unwrap();
    let Err(RingError::Io { source, .. }) = Ring::open(&path, BYTES_MIN, 1, &[0; 16]) else { panic!() };
    assert!(mapped::Ahead::is_why(&source), "{source}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
