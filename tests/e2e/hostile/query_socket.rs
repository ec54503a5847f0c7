//! leela-storage's query socket: asks of strangers, and imports that are none.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use tests::{Sandbox, wait_until};

use super::{MIB, bounded, regexes};

#[test]
fn whatever_is_asked_costs_only_who_asks() {
    let mut sandbox = Sandbox::new();
    let storage = sandbox.start_held("storage", "connections_max = 60\nclient_timeout = \"2s\"\n");
    let path = sandbox.run().storage_query();
    let honest = || {
        let answered = sandbox.ask("series match 1|.;");
        assert!(answered.is_whole, "{answered:?}");
    };
    bounded(&storage, 96 * MIB, honest, || {
        let mut wrong = sandbox.books("storage").counter("asks_refused.wrong");
        let wheres = |count: usize| format!("series match 1|. where {};", "a=b,".repeat(count));
        let asks = regexes().into_iter().flat_map(|regex| {
            let length = regex.len();
            [
                format!("series match {length}|{regex};"),
                format!("range match {length}|{regex} 0 1;"),
                format!("tags {length}|{regex};"),
            ]
        });
        let odd = [
            wheres(15_000),
            ";".to_owned(),
            "range".to_owned(),
            "range key 1|a 1 0;".to_owned(),
            "range key 1|a -99999999999999999999 99999999999999999999;".to_owned(),
            "range key 1|a 0 1 limit 18446744073709551616;".to_owned(),
            "range key 1|a 0 1 limit -1;".to_owned(),
            "range key 18446744073709551615|a 0 1;".to_owned(),
            "range key 60000|a 0 1;".to_owned(),
            format!("range key 60000|{} 0 1;", "k".repeat(60_000)),
            "delete".to_owned(),
            "stats".to_owned(),
            "\0".repeat(65_000),
            "[".repeat(65_000),
        ];
        for ask in asks.chain(odd).filter(|ask| ask.len() < 65_536) {
            let answered = sandbox.ask(&ask);
            assert!(answered.is_whole, "{ask:.40}: {answered:?}");
            wrong += u64::from(!answered.status.starts_with("status 0"));
        }
        wait_until("each is counted", || sandbox.books("storage").counter("asks_refused.wrong") == wrong);
        // Imports of noise, of datagrams that say more than they have, and of one kind that is not stored.
        let header = |count: u32, content: u8| {
            let mut bytes = common::wire::Batch::new(common::wire::Content::Events).seal(0, 0).to_vec();
            bytes[3] = content;
            bytes[4..8].copy_from_slice(&count.to_le_bytes());
            bytes
        };
        for datagram in [vec![0xff; 30_000], header(u32::MAX, 2), header(1, 99), header(0, 0), vec![1]] {
            let mut store = sandbox.store();
            store.say(b"import;");
            store.say(&datagram);
            let said = store.payload().expect("it says what became of it");
            let said = String::from_utf8_lossy(&said);
            assert!(said.starts_with("status 0 accepted 0 ") || said.starts_with("status 1"), "{said}");
        }
        // Many that begin and say no more.
        let before = sandbox.books("storage").counter("asks_refused.timeout");
        let mut silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
        for (place, stream) in silent.iter_mut().enumerate() {
            stream.write_all([&b"\0"[..], b"\xff\xff", b"\0\x12range k"][place % 3]).unwrap();
        }
        wait_until("they have had their time", || {
            sandbox.books("storage").counter("asks_refused.timeout") == before + 40
        });
    });
    // One more than there may be is told, and the others are served.
    let connections = |count: u64| sandbox.books("storage").counter("connections") == count;
    let mut held: Vec<UnixStream> = Vec::new();
    wait_until("all are taken", || {
        // One from before may hold a place still: who is told so has something to read, and comes again.
        held.retain(|mut stream| stream.read(&mut [0]).is_err());
        while held.len() < 60 {
            let stream = UnixStream::connect(&path).unwrap();
            stream.set_nonblocking(true).unwrap();
            held.push(stream);
        }
        connections(60)
    });
    let refused = sandbox.books("storage").counter("asks_refused.connections");
    let mut said = Vec::new();
    UnixStream::connect(&path).unwrap().read_to_end(&mut said).unwrap();
    assert!(String::from_utf8_lossy(&said).contains("connections_max"));
    wait_until("it is counted", || {
        sandbox.books("storage").counter("asks_refused.connections") == refused + 1
    });
    drop(held);
    wait_until("there is room again", || connections(0));
    honest();
}
