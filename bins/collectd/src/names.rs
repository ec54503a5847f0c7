//! Keys from collectd's names: `[user.]host.plugin[-instance].type[-instance][.source]`.

use common::key::KEY_BYTES_MAX;

use crate::reason::Reason;

/// The key of a notification that has no host.
pub const NOTE_KEY: &[u8] = b"collectd.notification";

/// One part of a key, looked at once, when it comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Name<'a> {
    text: &'a [u8],
    /// Why no key can be made with it. It stands until the next part of this type: values must not go on
    /// under the name before it.
    fault: Option<Reason>,
    /// There is a `;` in it, which would begin a tag.
    semicolon: bool,
}

impl<'a> Name<'a> {
    /// The name of a text; empty is none.
    pub fn new(text: &'a [u8]) -> Name<'a> {
        let mut plain = true;
        let mut semicolon = false;
        for &byte in text {
            plain &= (0x20..0x7f).contains(&byte);
            semicolon |= byte == b';';
        }
        let valid = plain || std::str::from_utf8(text).is_ok_and(|text| !text.chars().any(char::is_control));
        Name { text, fault: (!valid).then_some(Reason::BadKey), semicolon }
    }

    /// The name of a text part that is none.
    pub fn refused(reason: Reason) -> Name<'a> {
        Name { text: b"", fault: Some(reason), semicolon: false }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text itself.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// The names that a packet has given so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Names<'a> {
    /// The host, dots and all.
    pub host: Name<'a>,
    /// The plugin.
    pub plugin: Name<'a>,
    /// Which one of its kind; may be empty.
    pub plugin_instance: Name<'a>,
    /// The type, a line of types.db.
    pub type_: Name<'a>,
    /// Which one of its kind; may be empty.
    pub type_instance: Name<'a>,
}

impl Names<'_> {
    fn fault(&self) -> Option<Reason> {
        let Names { host, plugin, plugin_instance, type_, type_instance } = self;
        [host, plugin, plugin_instance, type_, type_instance].iter().find_map(|name| name.fault)
    }
}

/// Where keys are put together: one allocation for all of them.
#[derive(Debug, Default)]
pub struct KeyBuffer {
    text: Vec<u8>,
    base: usize,
    rewritten: bool,
}

impl KeyBuffer {
    /// Puts together the key of values; [`KeyBuffer::key`], [`KeyBuffer::with_source`] and
    /// [`KeyBuffer::with_index`] give it out.
    pub fn values(&mut self, user: Option<Name<'_>>, names: &Names<'_>) -> Result<(), Reason> {
        if let Some(fault) = names.fault() {
            return Err(fault);
        }
        for (name, reason) in
            [(names.host, Reason::NoHost), (names.plugin, Reason::NoPlugin), (names.type_, Reason::NoType)]
        {
            if name.is_empty() {
                return Err(reason);
            }
        }
        self.join(user, names)
    }

    /// Puts together the key of a notification, which may lack any of the names; [`KeyBuffer::key`] gives it out.
    pub fn note(&mut self, user: Option<Name<'_>>, names: &Names<'_>) -> Result<(), Reason> {
        if let Some(fault) = names.fault() {
            return Err(fault);
        }
        if names.host.is_empty() {
            self.begin(user)?;
            self.text.extend_from_slice(NOTE_KEY);
            self.end()
        } else {
            self.join(user, names)
        }
    }

    /// Whether a `;` in the key last put together became a `_`.
    pub fn rewritten(&self) -> bool {
        self.rewritten
    }

    /// The key last put together.
    pub fn key(&self) -> &[u8] {
        &self.text[..self.base]
    }

    /// The key with `.source` behind it. The source is text that a key may hold, without `;`.
    pub fn with_source(&mut self, source: &str) -> Result<&[u8], Reason> {
        self.text.truncate(self.base);
        self.text.push(b'.');
        self.text.extend_from_slice(source.as_bytes());
        self.checked()
    }

    /// The key with the number of the source, from 0, behind it.
    pub fn with_index(&mut self, index: usize) -> Result<&[u8], Reason> {
        let (mut digits, mut rest, mut at) = ([0; 20], index, 20);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.text.truncate(self.base);
        self.text.push(b'.');
        self.text.extend_from_slice(&digits[at..]);
        self.checked()
    }

    fn join(&mut self, user: Option<Name<'_>>, names: &Names<'_>) -> Result<(), Reason> {
        self.begin(user)?;
        self.push(names.host);
        for (name, instance) in [(names.plugin, names.plugin_instance), (names.type_, names.type_instance)] {
            // Only a notification may lack one of these; its instance then names nothing.
            if !name.is_empty() {
                self.text.push(b'.');
                self.push(name);
                if !instance.is_empty() {
                    self.text.push(b'-');
                    self.push(instance);
                }
            }
        }
        self.end()
    }

    fn begin(&mut self, user: Option<Name<'_>>) -> Result<(), Reason> {
        self.text.clear();
        self.base = 0;
        self.rewritten = false;
        if let Some(user) = user {
            if let Some(fault) = user.fault {
                return Err(fault);
            }
            self.push(user);
            self.text.push(b'.');
        }
        Ok(())
    }

    fn push(&mut self, name: Name<'_>) {
        if name.semicolon {
            self.rewritten = true;
            self.text.extend(name.text.iter().map(|&byte| if byte == b';' { b'_' } else { byte }));
        } else {
            self.text.extend_from_slice(name.text);
        }
    }

    fn end(&mut self) -> Result<(), Reason> {
        self.base = self.text.len();
        self.checked().map(|_| ())
    }

    fn checked(&self) -> Result<&[u8], Reason> {
        if self.text.len() > KEY_BYTES_MAX { Err(Reason::BadKey) } else { Ok(&self.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: [&[u8]; 5]) -> Names<'_> {
        let [host, plugin, plugin_instance, type_, type_instance] = texts.map(Name::new);
        Names { host, plugin, plugin_instance, type_, type_instance }
    }

    fn values_key(user: Option<&[u8]>, texts: [&[u8]; 5]) -> Result<String, Reason> {
        let mut buffer = KeyBuffer::default();
        buffer.values(user.map(Name::new), &names(texts))?;
        Ok(String::from_utf8(buffer.key().to_vec()).unwrap())
    }

    #[test]
    fn the_key_of_values_joins_the_names() {
        let long = [b'a'; 600];
        for (user, texts, want) in [
            (None, [&b"web01"[..], b"load", b"", b"load", b""], Ok("web01.load.load")),
            (None, [b"web01", b"cpu", b"0", b"cpu", b"idle"], Ok("web01.cpu-0.cpu-idle")),
            (None, [b"w.x.org", b"df", b"", b"df", b"a/b"], Ok("w.x.org.df.df-a/b")),
            (Some(&b"alice"[..]), [b"Web01", b"cpu", b"0", b"cpu", b""], Ok("alice.Web01.cpu-0.cpu")),
            (None, ["größe".as_bytes(), b"a", b"", b"b", b""], Ok("größe.a.b")),
            (None, [b"h", b"a;b=c", b"", b"b", b";"], Ok("h.a_b=c.b-_")),
            (None, [b"", b"a", b"", b"b", b""], Err(Reason::NoHost)),
            (None, [b"h", b"", b"0", b"b", b""], Err(Reason::NoPlugin)),
            (None, [b"h", b"a", b"", b"", b"0"], Err(Reason::NoType)),
            (None, [b"h\n", b"a", b"", b"b", b""], Err(Reason::BadKey)),
            (None, [b"h", b"a\0b", b"", b"b", b""], Err(Reason::BadKey)),
            (None, [b"h", b"a", b"\xff", b"b", b""], Err(Reason::BadKey)),
            (None, [b"h", b"a", b"", "b\u{85}".as_bytes(), b""], Err(Reason::BadKey)),
            (Some(b"a\n"), [b"h", b"a", b"", b"b", b""], Err(Reason::BadKey)),
            (None, [&long, &long, b"", b"b", b""], Err(Reason::BadKey)),
        ] {
            assert_eq!(values_key(user, texts).as_deref(), want.as_ref().map(|key| *key), "{texts:?}");
        }
    }

    #[test]
    fn a_source_takes_the_place_of_the_one_before() {
        let mut buffer = KeyBuffer::default();
        buffer.values(None, &names([b"h", b"a", b"", b"b", b""])).unwrap();
        assert_eq!(buffer.with_source("rx"), Ok(&b"h.a.b.rx"[..]));
        assert_eq!(buffer.with_source("tx"), Ok(&b"h.a.b.tx"[..]));
        assert_eq!(buffer.with_index(0), Ok(&b"h.a.b.0"[..]));
        assert_eq!(buffer.with_index(7281), Ok(&b"h.a.b.7281"[..]));
        assert_eq!(buffer.key(), b"h.a.b");

        let host = [b'a'; 1018];
        buffer.values(None, &names([&host, b"a", b"", b"b", b""])).unwrap();
        assert_eq!(buffer.with_index(0).unwrap().len(), 1024);
        assert_eq!(buffer.with_source("rx"), Err(Reason::BadKey));
        assert_eq!(buffer.with_index(1).unwrap().len(), 1024);
    }

    #[test]
    fn a_notification_may_lack_names() {
        for (user, texts, want) in [
            (None, [&b"web01"[..], b"df", b"root", b"used", b"x"], "web01.df-root.used-x"),
            (None, [b"web01", b"", b"root", b"", b"x"], "web01"),
            (None, [b"web01", b"", b"", b"used", b""], "web01.used"),
            (None, [b"", b"df", b"", b"", b""], "collectd.notification"),
            (Some(&b"alice"[..]), [b"", b"", b"", b"", b""], "alice.collectd.notification"),
        ] {
            let mut buffer = KeyBuffer::default();
            buffer.note(user.map(Name::new), &names(texts)).unwrap();
            assert_eq!(buffer.key(), want.as_bytes(), "{texts:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_in_the_one_form_of_keys(texts in proptest::array::uniform5("[a;= \u{7f}\u{9f}é.]{0,3}")) {
            let texts: [&[u8]; 5] = std::array::from_fn(|i| texts[i].as_bytes());
            if let Ok(key) = values_key(None, texts) {
                let parsed = common::key::parse(key.as_bytes());
                proptest::prop_assert_eq!(parsed.as_deref(), Ok(&*key));
            }
        }
    }
}
