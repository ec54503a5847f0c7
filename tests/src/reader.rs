//! The test in the place of a process: it reads at that process's socket.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Header, Metrics};

use crate::DEADLINE;

/// A metric that came, owned.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Value,
    /// Its time.
    pub time: Time,
}

impl From<&Metric<'_>> for Record {
    fn from(metric: &Metric<'_>) -> Record {
        let key = String::from_utf8(metric.key.to_vec()).expect("keys are UTF-8");
        Record { kind: metric.kind, key, value: metric.value, time: metric.time }
    }
}

/// A bound databus, read by the test.
#[derive(Debug)]
pub struct Reader {
    socket: UnixDatagram,
}

impl Reader {
    pub(crate) fn bind(path: &Path) -> Reader {
        let socket = UnixDatagram::bind(path).unwrap_or_else(|error| panic!("binding {path:?}: {error}"));
        socket.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        Reader { socket }
    }

    /// The next datagram, whatever it is.
    ///
    /// # Panics
    /// When none comes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
        let length = self.socket.recv(&mut buffer).expect("a datagram comes in time");
        buffer.truncate(length);
        buffer
    }

    /// The header and the metrics of the next datagram.
    ///
    /// # Panics
    /// When none comes, or it is none of Leela's metrics.
    pub fn datagram(&self) -> (Header, Vec<Record>) {
        let datagram = self.bytes();
        let (header, records) = Header::read(&datagram).expect("it is Leela's");
        assert_eq!(header.content, Content::Metrics);
        let records = Metrics::new(records, header.count);
        (header, records.map(|record| Record::from(&record.expect("records are whole"))).collect())
    }

    /// The next `count` metrics, in as many datagrams as they come.
    pub fn metrics(&self, count: usize) -> Vec<Record> {
        let mut metrics = Vec::new();
        while metrics.len() < count {
            metrics.extend(self.datagram().1);
        }
        metrics
    }

    /// Asserts that nothing is queued: call it when what was sent is booked.
    pub fn assert_empty(&self) {
        self.socket.set_read_timeout(Some(Duration::from_millis(1))).expect("it is not zero");
        assert!(self.socket.recv(&mut [0; 64]).is_err(), "nothing more was to come");
        self.socket.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
    }
}
