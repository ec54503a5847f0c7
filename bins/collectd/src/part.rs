//! The parts of a packet of collectd's binary network protocol.
//!
//! ┌───────────┬───────────┬─────────────────────────────────────────────────────────────────────────┐
//! │ type      │ length    │ body                                                                    │
//! │ u16, BE   │ u16, BE   │ length - 4 bytes                                                        │
//! └───────────┴───────────┴─────────────────────────────────────────────────────────────────────────┘
//!
//! | type | body |
//! | --- | --- |
//! | 0x0000 host, 0x0002 plugin, 0x0003 plugin instance, 0x0004 type, 0x0005 type instance, 0x0100 message | text and a NUL |
//! | 0x0001 time, 0x0007 interval | u64 BE, seconds |
//! | 0x0008 time, 0x0009 interval | u64 BE, 2^-30 seconds |
//! | 0x0006 values | u16 BE count, a kind of one byte for each, 8 bytes for each |
//! | 0x0101 severity | u64 BE: 1 failure, 2 warning, 4 okay |
//! | 0x0200 signature | HMAC-SHA256 (32 bytes), user name; it covers the user name and all that follows the part |
//! | 0x0210 encryption | u16 BE length of the user name, user name, IV (16 bytes), ciphertext |
//!
//! A value is a counter (0, u64 BE), a gauge (1, f64 LE), a derive (2, i64 BE) or an absolute (3, u64 BE).
//!
//! Source: <https://github.com/collectd/collectd/wiki/Binary-protocol>.

use common::metric::Kind;
use common::time::{SECOND_NS, Time};
use common::value::Value;

use crate::reason::Reason;

const HEADER_BYTES: usize = 4;
const VALUE_BYTES: usize = 8;

/// What a part holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// Text: the host.
    Host,
    /// Text: the plugin.
    Plugin,
    /// Text: the plugin's instance.
    PluginInstance,
    /// Text: the type, a line of types.db.
    Type,
    /// Text: the type's instance.
    TypeInstance,
    /// Seconds since 1970.
    Time,
    /// 2^-30 seconds since 1970.
    TimeHires,
    /// Seconds or 2^-30 seconds between readings; not used.
    Interval,
    /// Readings under the names and the time so far.
    Values,
    /// Text: a notification under the names, the time and the severity so far.
    Message,
    /// A notification's severity.
    Severity,
    /// The signature of all that follows.
    Signature,
    /// An encrypted packet.
    Encryption,
    /// Any other.
    Unknown,
}

impl Code {
    fn of(code: u16) -> Code {
        match code {
            0x0000 => Code::Host,
            0x0001 => Code::Time,
            0x0002 => Code::Plugin,
            0x0003 => Code::PluginInstance,
            0x0004 => Code::Type,
            0x0005 => Code::TypeInstance,
            0x0006 => Code::Values,
            0x0007 | 0x0009 => Code::Interval,
            0x0008 => Code::TimeHires,
            0x0100 => Code::Message,
            0x0101 => Code::Severity,
            0x0200 => Code::Signature,
            0x0210 => Code::Encryption,
            _ => Code::Unknown,
        }
    }
}

/// One part, not yet looked into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// What it holds.
    pub code: Code,
    /// Where its header begins.
    pub offset: usize,
    /// What follows its header.
    pub body: &'a [u8],
    /// What follows it in the packet.
    pub rest: &'a [u8],
}

impl Part<'_> {
    /// Where its body begins.
    pub fn body_offset(&self) -> usize {
        self.offset + HEADER_BYTES
    }

    /// Where the next part begins.
    pub fn end(&self) -> usize {
        self.body_offset() + self.body.len()
    }
}

/// The parts of a packet, up to its end or the first header that lies.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    offset: usize,
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of `packet`, whose first byte is at `offset`.
    pub fn new(packet: &'a [u8], offset: usize) -> Parts<'a> {
        Parts { offset, rest: packet }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, (Reason, usize)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        // A header that lies leaves no way to find the next one: the rest is given up.
        let packet = std::mem::take(&mut self.rest);
        let Some((&[code_high, code_low, length_high, length_low], _)) = packet.split_first_chunk() else {
            return Some(Err((Reason::Truncated, offset)));
        };
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        if length < HEADER_BYTES {
            return Some(Err((Reason::PartLength, offset)));
        }
        let Some((part, rest)) = packet.split_at_checked(length) else {
            return Some(Err((Reason::Truncated, offset)));
        };
        self.rest = rest;
        self.offset += length;
        let code = Code::of(u16::from_be_bytes([code_high, code_low]));
        Some(Ok(Part { code, offset, body: &part[HEADER_BYTES..], rest }))
    }
}

/// The text of a text part.
pub fn text(body: &[u8]) -> Result<&[u8], Reason> {
    match body {
        [text @ .., 0] => Ok(text),
        _ => Err(Reason::String),
    }
}

/// The number of a time or severity part.
pub fn integer(body: &[u8]) -> Result<u64, Reason> {
    Ok(u64::from_be_bytes(body.try_into().map_err(|_| Reason::PartLength)?))
}

/// A time in whole seconds; 0 is none.
pub fn time(seconds: u64) -> Result<Option<Time>, Reason> {
    time_of_ns(u128::from(seconds) * SECOND_NS as u128)
}

/// A time in 2^-30 seconds, rounded to the nearest ns (half a ns up, like collectd's own); 0 is none.
pub fn time_hires(ticks: u64) -> Result<Option<Time>, Reason> {
    time_of_ns((u128::from(ticks) * SECOND_NS as u128 + (1 << 29)) >> 30)
}

fn time_of_ns(ns: u128) -> Result<Option<Time>, Reason> {
    let ns = i64::try_from(ns).map_err(|_| Reason::Time)?;
    Ok((ns != 0).then(|| Time::from_ns(ns)))
}

/// The readings of a values part; every kind is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Values<'a> {
    kinds: &'a [u8],
    values: &'a [[u8; VALUE_BYTES]],
}

impl<'a> Values<'a> {
    /// Looks into a values part. With a refusal comes the number of values it costs.
    pub fn parse(body: &'a [u8]) -> Result<Values<'a>, (Reason, u64)> {
        let Some((count, body)) = body.split_first_chunk() else {
            return Err((Reason::ValuesLength, 1));
        };
        let count = usize::from(u16::from_be_bytes(*count));
        if count == 0 || body.len() != count * (1 + VALUE_BYTES) {
            return Err((Reason::ValuesLength, 1));
        }
        let (kinds, values) = body.split_at(count);
        if kinds.iter().any(|&kind| kind > 3) {
            return Err((Reason::ValueKind, count as u64));
        }
        Ok(Values { kinds, values: values.as_chunks().0 })
    }

    /// How many; at least one.
    pub fn count(&self) -> usize {
        self.kinds.len()
    }

    /// Each with its kind, in the order of its data sources. A gauge may be NaN or infinite.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, Value)> + use<'a> {
        self.kinds.iter().zip(self.values).map(|(kind, &value)| match kind {
            0 => (Kind::Counter, Value::U64(u64::from_be_bytes(value))),
            1 => (Kind::Gauge, Value::F64(f64::from_le_bytes(value))),
            2 => (Kind::Derive, Value::I64(i64::from_be_bytes(value))),
            _ => (Kind::Absolute, Value::U64(u64::from_be_bytes(value))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_lies_ends_the_packet() {
        let host = b"\0\0\0\x06a\0";
        for (tail, want) in [
            (&b""[..], None),
            (b"\x77\x77\0\0", Some(Reason::PartLength)),
            (b"\x77\x77\0\x03aaaa", Some(Reason::PartLength)),
            (b"\0\x01\0\x0c1234567", Some(Reason::Truncated)),
            (b"\0\x01\xff\xff", Some(Reason::Truncated)),
            (b"\0", Some(Reason::Truncated)),
            (b"\0\0\0", Some(Reason::Truncated)),
        ] {
            let packet = [host, tail].concat();
            let mut parts = Parts::new(&packet, 100);
            let first = parts.next().unwrap().unwrap();
            assert_eq!((first.code, first.offset, first.body), (Code::Host, 100, &b"a\0"[..]), "{tail:?}");
            assert_eq!(parts.next(), want.map(|reason| Err((reason, 106))), "{tail:?}");
            assert_eq!(parts.next(), None, "{tail:?}");
        }
    }

    #[test]
    fn a_text_ends_with_one_nul() {
        for (body, want) in [
            (&b"a\0"[..], Ok(&b"a"[..])),
            (b"\0", Ok(b"")),
            (b"a\0b\0", Ok(b"a\0b")),
            (b"", Err(Reason::String)),
            (b"a", Err(Reason::String)),
        ] {
            assert_eq!(text(body), want, "{body:?}");
        }
    }

    #[test]
    fn a_time_is_exact_to_the_nanosecond() {
        let at = |ns| Ok(Some(Time::from_ns(ns)));
        for (ticks, want) in [
            (0, Ok(None)),
            (1 << 30, at(1_000_000_000)),
            (0x145c_f94d << 32, at(1_366_549_812_000_000_000)),
            ((0x145c_f94d << 32) + (1 << 29), at(1_366_549_812_500_000_000)),
            (1, at(1)),                       // 0.93 ns
            (1 << 20, at(976_563)),           // 976562.5 ns
            ((1 << 30) - 1, at(999_999_999)), // 999999999.07 ns
            (u64::MAX, Err(Reason::Time)),
            ((9_223_372_036 << 30) + 917_808_534, at(9_223_372_036_854_775_807)),
            ((9_223_372_036 << 30) + 917_808_535, Err(Reason::Time)),
            (9_223_372_037 << 30, Err(Reason::Time)),
        ] {
            assert_eq!(time_hires(ticks), want, "{ticks}");
        }
        assert_eq!(time(0), Ok(None));
        assert_eq!(time(1_366_549_812), at(1_366_549_812_000_000_000));
        assert_eq!(time(u64::MAX), Err(Reason::Time));
    }

    #[test]
    fn values_keep_their_kind_and_every_bit() {
        let body = b"\0\x04\x00\x01\x02\x03\
            \xff\xff\xff\xff\xff\xff\xff\xff\
            \0\0\0\0\0\0\xe0\x3f\
            \xff\xff\xff\xff\xff\xff\xff\xfe\
            \0\x20\0\0\0\0\0\x01";
        let values: Vec<_> = Values::parse(body).unwrap().iter().collect();
        assert_eq!(
            values,
            [
                (Kind::Counter, Value::U64(u64::MAX)),
                (Kind::Gauge, Value::F64(0.5)),
                (Kind::Derive, Value::I64(-2)),
                (Kind::Absolute, Value::U64((1 << 53) + 1)),
            ]
        );
        for (body, want) in [
            (&b""[..], (Reason::ValuesLength, 1)),
            (b"\0", (Reason::ValuesLength, 1)),
            (b"\0\0", (Reason::ValuesLength, 1)),
            (b"\0\x01\0", (Reason::ValuesLength, 1)),
            (b"\0\x01\x0012345678.", (Reason::ValuesLength, 1)),
            (b"\0\x02\x0012345678", (Reason::ValuesLength, 1)),
            (b"\xff\xff", (Reason::ValuesLength, 1)),
            (b"\0\x02\x00\x041234567812345678", (Reason::ValueKind, 2)),
        ] {
            assert_eq!(Values::parse(body), Err(want), "{body:?}");
        }
    }
}
