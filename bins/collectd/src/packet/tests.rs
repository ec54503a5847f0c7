use common::metric::Kind;
use proptest::prelude::*;

use super::*;

const NOW: Time = Time::from_ns(1_700_000_000_000_000_001);
const TYPES: &[u8] = b"if_octets rx:DERIVE:0:U, tx:DERIVE:0:U
if_packets rx:DERIVE:0:U, tx:DERIVE:0:U
if_errors rx:DERIVE:0:U, tx:DERIVE:0:U
if_dropped rx:DERIVE:0:U, tx:DERIVE:0:U
load shortterm:GAUGE:0:5000, midterm:GAUGE:0:5000, longterm:GAUGE:0:5000";

const SIGNED: &str = "02000029dd2343be06e654335dd1cf321e19365e79191f8d15179a24bdf10bd724996d70616c6963650000000a776562\
    3031000008000c145cf94d000000000009000c0000000280000000000200096c6f616400000400096c6f6164000006000f00010100000000\
    0000e03f";
const ENCRYPTED: &str = "021000720005616c696365000102030405060708090a0b0c0d0e0f906091cf3570b3acab7abe65a96adeddd46467\
    df805ac9391c625567c87e872f9002f7915583ea0af2e98bae4070aae2b4a4fc1f1ac25bc1cfb6461ac69dd42231e23be3ce59d6f29cf4ae\
    7311720c01218ccf798db92d";
const LOAD: &str = "gauge alice.web01.load.load 1366549812000000000 0.5";

struct Setup {
    types: TypesDb,
    users: Users,
}

impl Setup {
    fn new() -> Setup {
        let mut types = TypesDb::default();
        assert_eq!(types.read(TYPES), []);
        Setup { types, users: Users::parse(b"alice: secret\nbob: other").0 }
    }

    fn rules(&self, required: Level) -> Rules<'_> {
        let users = Some(&self.users);
        Rules { required, users, user_prefix: true, sources: Sources::Names, types: &self.types }
    }
}

/// What a packet says, a line each: `gauge KEY NS VALUE`, `note KEY NS JSON`, `REASON@OFFSET*VALUES`.
fn lines_and_remarks(packet: &[u8], rules: &Rules<'_>) -> (Vec<String>, Remarks) {
    let mut lines = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let remarks = Reader::default().read(packet, NOW, rules, |output| {
        lines.push(match output {
            Ok(Output::Metric(Metric { key, time, kind, value, .. })) => {
                format!("{} {} {} {value}", kind.word(), text(key), time.ns())
            }
            Ok(Output::Note(Note { key, time, json })) => {
                format!("note {} {} {}", text(key), time.ns(), text(json))
            }
            Err(Refused { reason, offset, values }) => format!("{reason}@{offset}*{values}"),
        });
    });
    (lines, remarks)
}

fn lines(packet: &[u8], rules: &Rules<'_>) -> Vec<String> {
    lines_and_remarks(packet, rules).0
}

fn plain_lines(packet: &[u8]) -> Vec<String> {
    lines(packet, &Setup::new().rules(Level::None))
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn part(code: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 4).unwrap();
    [&code.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

fn text(code: u16, text: &str) -> Vec<u8> {
    part(code, &[text.as_bytes(), b"\0"].concat())
}

fn number(code: u16, number: u64) -> Vec<u8> {
    part(code, &number.to_be_bytes())
}

fn values(values: &[(Kind, Value)]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    body.extend(values.iter().map(|(kind, _)| match kind {
        Kind::Counter => 0,
        Kind::Gauge => 1,
        Kind::Derive => 2,
        _ => 3,
    }));
    for (_, value) in values {
        body.extend(match *value {
            Value::U64(value) => value.to_be_bytes(),
            Value::I64(value) => value.to_be_bytes(),
            Value::F64(value) => value.to_le_bytes(),
        });
    }
    part(6, &body)
}

fn gauges(numbers: &[f64]) -> Vec<u8> {
    values(&numbers.iter().map(|&value| (Kind::Gauge, Value::F64(value))).collect::<Vec<_>>())
}

/// `Web01.PLUGIN-INSTANCE.TYPE-INSTANCE` at 1366549812.5.
fn head(names: [&str; 4]) -> Vec<u8> {
    let hires = number(8, (1_366_549_812 << 30) + (1 << 29));
    let names = (2..).zip(names).flat_map(|(code, name)| text(code, name));
    [text(0, "Web01"), hires].into_iter().flatten().chain(names).collect()
}

fn signed(user: &str, password: &[u8], rest: &[u8]) -> Vec<u8> {
    use hmac::{Hmac, KeyInit, Mac};
    let mac = Hmac::<sha2::Sha256>::new_from_slice(password).unwrap().chain_update(user).chain_update(rest);
    [part(0x200, &[&mac.finalize().into_bytes()[..], user.as_bytes()].concat()), rest.to_vec()].concat()
}

fn encrypted(user: &str, password: &[u8], payload: &[u8]) -> Vec<u8> {
    use ofb::cipher::{InnerIvInit, StreamCipher, StreamCipherCoreWrapper};
    use sha1::Digest;
    let cipher = <aes::Aes256 as hmac::KeyInit>::new(&sha2::Sha256::digest(password));
    let mut text = [&sha1::Sha1::digest(payload)[..], payload].concat();
    let core = ofb::OfbCore::<&aes::Aes256>::inner_iv_init(&cipher, &[7; 16].into());
    StreamCipherCoreWrapper::from_core(core).apply_keystream(&mut text);
    let length = u16::try_from(user.len()).unwrap().to_be_bytes();
    part(0x210, &[&length[..], user.as_bytes(), &[7; 16], &text].concat())
}

#[test]
fn the_vectors_are_read_at_every_level() {
    let setup = Setup::new();
    for (packet, level, want) in [
        (SIGNED, Level::None, LOAD),
        (SIGNED, Level::Sign, LOAD),
        (SIGNED, Level::Encrypt, "unencrypted@93*1"),
        (ENCRYPTED, Level::None, LOAD),
        (ENCRYPTED, Level::Sign, LOAD),
        (ENCRYPTED, Level::Encrypt, LOAD),
    ] {
        assert_eq!(lines(&bytes(packet), &setup.rules(level)), [want], "{level:?} {packet}");
    }
}

#[test]
fn what_the_original_was_seen_to_give_is_given() {
    let setup = Setup::new();
    let packets = [
        [head(["cpu", "0", "cpu", "idle"]), values(&[(Kind::Derive, Value::I64(12345))])].concat(),
        [
            head(["interface", "eth0", "if_octets", ""]),
            values(&[(Kind::Derive, Value::I64(1)), (Kind::Derive, Value::I64(2))]),
        ]
        .concat(),
        [head(["load", "", "load", ""]), gauges(&[0.5, 0.25, f64::NAN])].concat(),
    ]
    .map(|packet| signed("alice", b"secret", &packet));
    for (sources, octets, load) in
        [(Sources::Names, ["rx", "tx"], ["shortterm", "midterm"]), (Sources::Index, ["0", "1"], ["0", "1"])]
    {
        let rules = Rules { sources, ..setup.rules(Level::Sign) };
        let got: Vec<String> = packets.iter().flat_map(|packet| lines(packet, &rules)).collect();
        let at = "1366549812500000000";
        let [rx, tx] = octets;
        let [short, mid] = load;
        let unknown_at = packets[2].len() - 33;
        assert_eq!(
            got,
            [
                format!("derive alice.Web01.cpu-0.cpu-idle {at} 12345"),
                format!("derive alice.Web01.interface-eth0.if_octets.{rx} {at} 1"),
                format!("derive alice.Web01.interface-eth0.if_octets.{tx} {at} 2"),
                format!("gauge alice.Web01.load.load.{short} {at} 0.5"),
                format!("gauge alice.Web01.load.load.{mid} {at} 0.25"),
                format!("unknown@{unknown_at}*1"),
            ],
        );
    }
}

#[test]
fn packets_of_a_real_collectd_say_what_an_independent_decoder_says() {
    let setup = Setup::new();
    macro_rules! captured {
        ($name:literal) => {
            (
                include_bytes!(concat!("../../tests/packets/", $name, ".bin")).as_slice(),
                include_str!(concat!("../../tests/packets/", $name, ".txt")),
            )
        };
    }
    for ((packet, want), level) in [
        (captured!("plain"), Level::None),
        (captured!("plain-notification"), Level::None),
        (captured!("signed"), Level::Sign),
        (captured!("signed-notification"), Level::Sign),
        (captured!("encrypted"), Level::Encrypt),
        (captured!("encrypted-notification"), Level::Encrypt),
    ] {
        let got: Vec<String> = lines(packet, &setup.rules(level))
            .into_iter()
            .map(|line| if line.starts_with("unknown@") { "unknown".to_owned() } else { line })
            .collect();
        assert_eq!(got, want.lines().collect::<Vec<_>>());
    }
}

#[test]
fn a_broken_packet_costs_only_what_is_broken() {
    let head = head(["load", "", "load", ""]);
    let good = gauges(&[0.5]);
    let line = "gauge Web01.load.load 1366549812500000000 0.5".to_owned();
    let at = head.len();
    let unknown_kind = part(6, b"\0\x02\x01\x0412345678abcdefgh");
    for (label, broken, want, goes_on) in [
        ("a part of length 0", b"\x77\x77\0\0".to_vec(), format!("part_length@{at}*1"), false),
        ("a part of length 3", b"\x77\x77\0\x03".to_vec(), format!("part_length@{at}*1"), false),
        ("a part past the end", b"\0\x06\xff\xff".to_vec(), format!("truncated@{at}*1"), false),
        ("an unknown kind", unknown_kind, format!("value_kind@{at}*2"), true),
        ("a count that lies", part(6, b"\0\x02\x0112345678"), format!("values_length@{at}*1"), true),
        ("no values", part(6, b"\0\0"), format!("values_length@{at}*1"), true),
        ("an infinity", gauges(&[f64::INFINITY]), format!("not_finite@{at}*1"), true),
        ("no reading", gauges(&[f64::NAN]), format!("unknown@{at}*1"), true),
        ("a short signature", part(0x200, b"abc"), format!("part_length@{at}*1"), false),
        ("a short encryption", part(0x210, b"\0\x05ali"), format!("part_length@{at}*1"), true),
        ("a message without severity", text(0x100, "m"), format!("severity@{at}*1"), true),
        ("a message without NUL", part(0x100, b"m"), format!("string@{at}*1"), true),
    ] {
        let packet = [&head[..], &broken, &good].concat();
        let want = if goes_on { vec![want, line.clone()] } else { vec![want] };
        assert_eq!(plain_lines(&packet), want, "{label}");
        let packet = [&head[..], &good, &broken].concat();
        assert_eq!(plain_lines(&packet)[0], line, "{label}, behind");
    }
    for (label, packet, want) in [
        ("nothing", &b""[..], "empty@0*1"),
        ("length 0", b"\x77\x77\0\0", "part_length@0*1"),
        ("half a header", b"\0\0\0", "truncated@0*1"),
        ("some other protocol", b"GET / HTTP/1.1\r\n\r\n", "truncated@0*1"),
        ("names alone", &head, "empty@0*1"),
        ("an unknown part alone", b"\x77\x77\0\x04", "empty@0*1"),
        ("values alone", &good, "no_host@0*1"),
    ] {
        assert_eq!(plain_lines(packet), [want], "{label}");
    }
}

#[test]
fn values_never_go_on_under_a_name_or_time_that_was_replaced_by_a_broken_one() {
    let head = head(["load", "", "load", ""]);
    for (label, broken, repaired, reason) in [
        ("host", part(0, b"x"), text(0, "Web01"), "string"),
        ("plugin", part(2, b""), text(2, "load"), "string"),
        ("type instance", text(5, "a\nb"), text(5, ""), "bad_key"),
        ("time", part(8, b"123"), number(8, (1_366_549_812 << 30) + (1 << 29)), "part_length"),
        ("far time", number(8, u64::MAX), number(8, (1_366_549_812 << 30) + (1 << 29)), "time"),
        ("type", text(4, ""), text(4, "load"), "no_type"),
    ] {
        let at = head.len() + broken.len();
        let packet = [&head[..], &broken, &gauges(&[1.0, 2.0]), &repaired, &gauges(&[3.0])].concat();
        let want = [format!("{reason}@{at}*2"), "gauge Web01.load.load 1366549812500000000 3".to_owned()];
        assert_eq!(plain_lines(&packet), want, "{label}");
    }
}

#[test]
fn a_time_in_fractions_wins_and_a_missing_one_is_the_receivers_clock() {
    let names = [text(0, "h"), text(2, "p"), text(4, "t")].concat();
    for (label, times, want) in [
        ("none", vec![], NOW.ns()),
        ("zero", [number(1, 0), number(8, 0)].concat(), NOW.ns()),
        ("seconds", number(1, 5), 5_000_000_000),
        ("fractions", number(8, 3 << 29), 1_500_000_000),
        ("both", [number(8, 3 << 29), number(1, 5)].concat(), 1_500_000_000),
        ("both", [number(1, 5), number(8, 3 << 29)].concat(), 1_500_000_000),
        ("intervals", [number(7, 10), number(9, 10 << 30)].concat(), NOW.ns()),
    ] {
        let packet = [&names[..], &times, &gauges(&[1.0])].concat();
        assert_eq!(plain_lines(&packet), [format!("gauge h.p.t {want} 1")], "{label}");
    }
}

#[test]
fn all_four_kinds_are_exact() {
    let packet = [
        head(["p", "", "t", ""]),
        values(&[
            (Kind::Counter, Value::U64(u64::MAX)),
            (Kind::Gauge, Value::F64(-0.1)),
            (Kind::Derive, Value::I64(i64::MIN)),
            (Kind::Absolute, Value::U64((1 << 53) + 1)),
        ]),
    ]
    .concat();
    let at = "1366549812500000000";
    let (got, remarks) = lines_and_remarks(&packet, &Setup::new().rules(Level::None));
    assert_eq!(
        got,
        [
            format!("counter Web01.p.t.0 {at} 18446744073709551615"),
            format!("gauge Web01.p.t.1 {at} -0.1"),
            format!("derive Web01.p.t.2 {at} -9223372036854775808"),
            format!("absolute Web01.p.t.3 {at} 9007199254740993"),
        ]
    );
    assert_eq!(remarks, Remarks { untyped: 4, ..Remarks::default() }, "t is not in types.db");
}

#[test]
fn a_remark_is_made_of_what_costs_nothing() {
    let setup = Setup::new();
    let plain = [head(["p;x", "", "load", ""]), gauges(&[1.0, 2.0]), part(0x777, b"new")].concat();
    let (got, remarks) = lines_and_remarks(&plain, &setup.rules(Level::None));
    let at = "1366549812500000000";
    assert_eq!(got, [format!("gauge Web01.p_x.load.0 {at} 1"), format!("gauge Web01.p_x.load.1 {at} 2")]);
    assert_eq!(remarks, Remarks { unknown_parts: 1, rewritten: 2, untyped: 2, unverified: 0 });

    let rules = Rules { users: None, ..setup.rules(Level::None) };
    let (got, remarks) = lines_and_remarks(&bytes(SIGNED), &rules);
    assert_eq!(got, ["gauge web01.load.load 1366549812000000000 0.5"], "no user without a proof");
    assert_eq!(remarks, Remarks { unverified: 1, ..Remarks::default() });
}

#[test]
fn a_notification_is_a_note() {
    let names = head(["df", "root", "percent_bytes", "used"]);
    let at = "1366549812500000000";
    for (label, packet, want) in [
        (
            "all names",
            [&names[..], &number(0x101, 1), &text(0x100, "a \"b\"")].concat(),
            format!(
                "note Web01.df-root.percent_bytes-used {at} {{\"severity\":\"failure\",\"message\":\"a \\\"b\\\"\"}}"
            ),
        ),
        (
            "no host",
            [number(0x101, 4), text(0x100, "x")].concat(),
            format!("note collectd.notification {} {{\"severity\":\"okay\",\"message\":\"x\"}}", NOW.ns()),
        ),
        ("unknown severity", [number(0x101, 3), text(0x100, "x")].concat(), "severity@12*1".to_owned()),
        (
            "broken severity",
            [number(0x101, 1), part(0x101, b"1"), text(0x100, "x")].concat(),
            "part_length@17*1".to_owned(),
        ),
        ("no message", [number(0x101, 1), text(0x100, "")].concat(), "message@12*1".to_owned()),
    ] {
        assert_eq!(plain_lines(&packet), [want], "{label}");
    }
}

#[test]
fn nothing_is_trusted_that_no_user_vouches_for() {
    let setup = Setup::new();
    let plain = |host: &str, value| {
        [text(0, host), text(2, "p"), text(4, "t"), number(1, 5), gauges(&[value])].concat()
    };
    let mallory = plain("mallory", 6.0);
    let (good, values_alone) = (plain("h", 1.0), gauges(&[6.0]));
    let values_in = |packet: &[u8]| packet.len() - gauges(&[0.0]).len();
    let sign = |rest: &[u8]| signed("alice", b"secret", rest);
    let encrypt = |payload: &[u8]| encrypted("alice", b"secret", payload);
    let line = "gauge alice.h.p.t 5000000000 1".to_owned();

    let mut changed = sign(&good);
    *changed.last_mut().unwrap() ^= 1;
    let mut changed_text = encrypt(&good);
    *changed_text.last_mut().unwrap() ^= 1;

    for (label, packet, required, want) in [
        ("plain", mallory.clone(), Level::Sign, vec![format!("unsigned@{}*1", values_in(&mallory))]),
        ("plain", mallory.clone(), Level::Encrypt, vec![format!("unencrypted@{}*1", values_in(&mallory))]),
        ("changed", changed.clone(), Level::Sign, vec!["mac@0*1".to_owned()]),
        ("changed, nothing required", changed, Level::None, vec!["mac@0*1".to_owned()]),
        ("a wrong password", signed("alice", b"wrong", &good), Level::Sign, vec!["mac@0*1".to_owned()]),
        ("another's password", signed("alice", b"other", &good), Level::Sign, vec!["mac@0*1".to_owned()]),
        ("unknown", signed("eve", b"secret", &good), Level::Sign, vec!["user@0*1".to_owned()]),
        ("nobody", signed("", b"", &good), Level::Sign, vec!["user@0*1".to_owned()]),
        (
            "plain before the signature",
            [&mallory[..], &sign(&good)].concat(),
            Level::Sign,
            vec![format!("unsigned@{}*1", values_in(&mallory)), line.clone()],
        ),
        (
            "names before the signature",
            [&plain("h", 1.0)[..values_in(&good)], &sign(&values_alone)].concat(),
            Level::Sign,
            vec![format!("no_host@{}*1", values_in(&good) + 41)],
        ),
        (
            "plain behind the signature",
            [sign(&good), mallory.clone()].concat(),
            Level::Sign,
            vec!["mac@0*1".to_owned()],
        ),
        (
            "plain behind the encryption",
            [encrypt(&good), mallory.clone()].concat(),
            Level::Encrypt,
            vec![line.clone(), format!("unencrypted@{}*1", encrypt(&good).len() + values_in(&mallory))],
        ),
        (
            "plain values under encrypted names",
            [encrypt(&good), values_alone.clone()].concat(),
            Level::None,
            vec![line.clone(), format!("no_host@{}*1", encrypt(&good).len())],
        ),
        (
            "encrypted values under plain names",
            [&mallory[..values_in(&mallory)], &encrypt(&values_alone)].concat(),
            Level::None,
            vec![format!("no_host@{}*1", values_in(&mallory) + 47)],
        ),
        ("changed text", changed_text.clone(), Level::Encrypt, vec!["checksum@0*1".to_owned()]),
        (
            "changed text costs only itself",
            [changed_text.clone(), encrypt(&good)].concat(),
            Level::Encrypt,
            vec!["checksum@0*1".to_owned(), line.clone()],
        ),
        ("a wrong key", encrypted("alice", b"wrong", &good), Level::Encrypt, vec!["checksum@0*1".to_owned()]),
        ("an unknown key", encrypted("eve", b"secret", &good), Level::None, vec!["user@0*1".to_owned()]),
        ("signed twice", sign(&sign(&good)), Level::Sign, vec!["nested@41*1".to_owned()]),
        ("signed and encrypted", sign(&encrypt(&good)), Level::None, vec!["nested@41*1".to_owned()]),
        ("encrypted and signed", encrypt(&sign(&good)), Level::None, vec!["nested@47*1".to_owned()]),
        ("encrypted twice", encrypt(&encrypt(&good)), Level::None, vec!["nested@47*1".to_owned()]),
        ("signed nothing", sign(b""), Level::Sign, vec!["empty@0*1".to_owned()]),
    ] {
        assert_eq!(lines(&packet, &setup.rules(required)), want, "{label} {required:?}");
    }

    let without_file = Rules { users: None, ..setup.rules(Level::Sign) };
    assert_eq!(lines(&sign(&good), &without_file), ["user@0*1"]);
    assert_eq!(lines(&encrypt(&good), &without_file), ["user@0*1"]);
    let without_prefix = Rules { user_prefix: false, ..setup.rules(Level::Sign) };
    assert_eq!(lines(&sign(&good), &without_prefix), ["gauge h.p.t 5000000000 1"]);
}

fn any_value() -> impl Strategy<Value = (Kind, Value)> {
    prop_oneof![
        any::<u64>().prop_map(|value| (Kind::Counter, Value::U64(value))),
        any::<u64>().prop_map(|value| (Kind::Gauge, Value::F64(f64::from_bits(value)))),
        Just((Kind::Gauge, Value::F64(f64::NAN))),
        Just((Kind::Gauge, Value::F64(f64::INFINITY))),
        any::<i64>().prop_map(|value| (Kind::Derive, Value::I64(value))),
        any::<u64>().prop_map(|value| (Kind::Absolute, Value::U64(value))),
    ]
}

/// One part, and how many values or notifications are in it.
fn any_part() -> impl Strategy<Value = (Vec<u8>, u64)> {
    prop_oneof![
        2 => (prop::sample::select(vec![0, 2, 3, 4, 5]), "[a;é\n]{0,3}").prop_map(|(code, name)| (text(code, &name), 0)),
        1 => (prop::sample::select(vec![1, 7, 8, 9, 0x101, 0x777]), 0..9_u64).prop_map(|(code, n)| (number(code, n), 0)),
        1 => Just((text(0x100, "message"), 1)),
        2 => prop::collection::vec(any_value(), 1..5).prop_map(|list| (values(&list), list.len() as u64)),
        1 => Just((part(6, b"\0\x03\0\0\x09aaaaaaaabbbbbbbbcccccccc"), 3)),
    ]
}

proptest! {
    #[test]
    fn values_in_are_values_out_or_refused(
        parts in prop::collection::vec(any_part(), 1..20),
        required in prop::sample::select(vec![Level::None, Level::Sign, Level::Encrypt]),
        secured in 0..3,
    ) {
        let setup = Setup::new();
        let sent: u64 = parts.iter().map(|(_, values)| values).sum();
        let plain: Vec<u8> = parts.into_iter().flat_map(|(part, _)| part).collect();
        let packet = match secured {
            0 => plain,
            1 => signed("alice", b"secret", &plain),
            _ => encrypted("alice", b"secret", &plain),
        };
        let (mut out, mut refused) = (0, 0);
        Reader::default().read(&packet, NOW, &setup.rules(required), |output| match output {
            Ok(Output::Metric(Metric { key, value, .. })) => {
                assert_eq!(common::key::parse(key).unwrap().as_bytes(), key);
                assert!(value.is_finite());
                out += 1;
            }
            Ok(Output::Note(note)) => {
                assert_eq!(common::key::parse(note.key).unwrap().as_bytes(), note.key);
                out += 1;
            }
            Err(Refused { reason: Reason::Empty, .. }) => assert_eq!(sent, 0),
            Err(Refused { values, .. }) => refused += values,
        });
        prop_assert_eq!(out + refused, sent);
    }

    #[test]
    fn any_bytes_are_taken(
        packet in prop::collection::vec(any::<u8>(), 0..200),
        start in 0..3_usize,
        cut in 0..120_usize,
        flip in 0..120_usize,
    ) {
        let setup = Setup::new();
        // What is random alone seldom comes past the first header.
        let mut real = [&[][..], &bytes(SIGNED), &bytes(ENCRYPTED)][start].to_vec();
        real.truncate(cut);
        if let Some(byte) = real.get_mut(flip) {
            *byte ^= packet.first().unwrap_or(&0);
        }
        real.extend_from_slice(&packet);
        for required in [Level::None, Level::Sign, Level::Encrypt] {
            for users in [None, Some(&setup.users)] {
                let mut said = 0;
                let rules = Rules { users, ..setup.rules(required) };
                Reader::default().read(&real, NOW, &rules, |output| {
                    if let Err(refused) = output {
                        assert!(refused.offset <= real.len());
                    }
                    said += 1;
                });
                prop_assert!(said > 0);
            }
        }
    }
}
