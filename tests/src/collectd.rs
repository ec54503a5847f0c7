//! Packets as collectd's network plugin sends them.
//!
//! Source: collectd's binary protocol, <https://collectd.org/wiki/index.php/Binary_protocol>: parts of a type, a
//! length that counts its own four bytes, and what follows; big-endian, but for gauges.

use common::metric::Kind;
use common::time::{SECOND_NS, Time};

const HOST: u16 = 0;
const PLUGIN: u16 = 2;
const TYPE: u16 = 4;
const TYPE_INSTANCE: u16 = 5;
const VALUES: u16 = 6;
const TIME_HIRES: u16 = 8;

/// A packet in the making.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    bytes: Vec<u8>,
}

impl Packet {
    /// A packet with one value of `host.plugin.type-instance`, in its bits: of a gauge those of an f64. A time is
    /// kept in units of 2^-30 s.
    pub fn of(path: [&str; 4], kind: Kind, bits: u64, time: Time) -> Packet {
        let mut packet = Packet::default();
        let [host, plugin, of_type, instance] = path;
        packet.text(HOST, host);
        packet.part(TIME_HIRES, &Packet::time(time).to_be_bytes());
        packet.text(PLUGIN, plugin);
        packet.text(TYPE, of_type);
        packet.text(TYPE_INSTANCE, instance);
        let (code, value) = match kind {
            Kind::Counter => (0, bits.to_be_bytes()),
            Kind::Gauge => (1, bits.to_le_bytes()),
            Kind::Derive => (2, bits.to_be_bytes()),
            Kind::Absolute => (3, bits.to_be_bytes()),
            Kind::Adjust | Kind::Count | Kind::Sample | Kind::Member => panic!("collectd has no {kind:?}"),
        };
        packet.part(VALUES, &[&[0, 1, code], &value[..]].concat());
        packet
    }

    /// The nearest time that a packet can hold, in its units.
    fn time(time: Time) -> u64 {
        ((i128::from(time.ns()) << 30) / i128::from(SECOND_NS)) as u64
    }

    /// What to send.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn text(&mut self, part: u16, text: &str) {
        self.part(part, &[text.as_bytes(), &[0]].concat());
    }

    fn part(&mut self, part: u16, body: &[u8]) {
        let length = u16::try_from(body.len() + 4).expect("parts of tests are short");
        self.bytes.extend_from_slice(&part.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(body);
    }
}
