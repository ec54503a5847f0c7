//! Keys from names and tags: `name;tag=value;tag2=value2`, the tags sorted, of one given twice the last value.
//!
//! A name that has no tags is not copied at all, and tags as nearly all clients send them are written once (plain_tags);
//! what needs more care is written into a buffer that is used again, and written anew where it has to be sorted.

use common::key::KEY_BYTES_MAX;

use crate::dialect::{Fault, Reason, Sections, offset};
use crate::marks::Block;
use crate::plain_tags::PlainTags;
use crate::rules::Rules;

/// How keys are made.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Names are rewritten as etsy's server does.
    pub is_etsy: bool,
    /// `name;a=b` is a name with a tag.
    pub graphite: bool,
    /// `name,a=b` is a name with a tag.
    pub influx: bool,
    /// Which of Datadog's fields on the origin of a metric become tags.
    pub origin: Origin,
    /// What becomes of some of them.
    pub rules: Rules,
}

/// Datadog's fields on where a metric comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Origin {
    /// `c:` becomes the tag `container`.
    pub container: bool,
    /// `e:` becomes the tag `external`.
    pub external: bool,
    /// `card:` becomes the tag `cardinality`.
    pub cardinality: bool,
}

/// What was done to names and tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Touched {
    /// Something in it became a `_`, or went.
    pub rewritten: bool,
    /// Veneur's scope tags that were taken away.
    pub scope_tags: u32,
}

/// A key, or none because a rule drops it.
pub type Made<'a> = Option<&'a [u8]>;

/// Where a tag stands in the buffer: `;name=value`, and `;name` where it has no value.
#[derive(Clone, Copy, Debug)]
struct Tag {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Tag {
    fn name(self, key: &[u8]) -> &[u8] {
        &key[self.start + 1..self.name_end]
    }

    fn value(self, key: &[u8]) -> &[u8] {
        key.get(self.name_end + 1..self.end).unwrap_or_default()
    }

    fn whole(self, key: &[u8]) -> &[u8] {
        &key[self.start..self.end]
    }
}

/// Tags as they stand in a key, to be written where it is.
#[derive(Clone, Copy, Debug)]
pub struct Tags<'a> {
    line: &'a [u8],
    /// Where in it the tags begin; they are the rest of it.
    start: usize,
    plain: &'a PlainTags,
}

impl Tags<'_> {
    /// How many bytes they have: a `;` in front of them, and none more.
    #[inline]
    pub fn bytes(&self) -> usize {
        1 + self.line.len() - self.start
    }

    /// Writes them into so many bytes.
    #[inline]
    pub fn write(&self, room: &mut [u8]) {
        self.plain.write(self.line, room);
    }
}

/// Makes keys, one after another.
#[derive(Debug, Default)]
pub struct Keys {
    key: Vec<u8>,
    tags: Vec<Tag>,
    sorted: Vec<u8>,
    /// Each tag came behind those before it.
    in_order: bool,
    touched: Touched,
    plain: PlainTags,
}

impl Keys {
    /// The key of a name with the tags of its sections, all of them parts of `line`.
    #[inline]
    pub fn make<'a>(
        &'a mut self,
        line: &[u8],
        name: &'a [u8],
        sections: &Sections<'_>,
        style: &Style,
        touched: &mut Touched,
    ) -> Result<Made<'a>, Fault> {
        let plain = is_plain(name) && !name.is_empty() && name.len() <= KEY_BYTES_MAX;
        if plain && style.is_bare(sections) && (!style.influx || !has(name, b',')) {
            let Some(tags) = sections.tags else { return Ok(Some(name)) };
            if self.write_plain(name, tags) {
                return Ok(Some(&self.key));
            }
        }
        self.make_tagged(line, name, sections, style, touched)
    }

    /// What stands behind a plain name of so many bytes in its key: the tags that a line has from `start` on, which is in
    /// this block or at its end, where they are plain too and nothing is to be done to them.
    #[inline]
    pub(crate) fn plain<'a>(
        &'a mut self,
        name_bytes: usize,
        block: Block<'a>,
        start: usize,
    ) -> Option<Tags<'a>> {
        // A `;` in front of the tags, and no byte more. What no key can hold is not read.
        let key_bytes = name_bytes + 1 + block.line.len() - start;
        let is_plain = key_bytes <= KEY_BYTES_MAX && self.plain.read(block, start, is_scope);
        is_plain.then_some(Tags { line: block.line, start, plain: &self.plain })
    }

    fn write_plain(&mut self, name: &[u8], text: &[u8]) -> bool {
        let Some(bytes) = self.plain(name.len(), Block::first(text), 0).map(|tags| tags.bytes()) else {
            return false;
        };
        self.key.clear();
        self.key.extend_from_slice(name);
        self.key.resize(name.len() + bytes, 0);
        self.plain.write(text, &mut self.key[name.len()..]);
        true
    }

    fn make_tagged(
        &mut self,
        line: &[u8],
        name: &[u8],
        sections: &Sections<'_>,
        style: &Style,
        touched: &mut Touched,
    ) -> Result<Made<'_>, Fault> {
        self.key.clear();
        self.tags.clear();
        self.in_order = true;
        self.touched = Touched::default();
        let (bare, name_tags) = split(name, style);
        self.name(line, bare, style)?;
        let name_end = self.key.len();
        if let Some((separator, mut rest)) = name_tags {
            check_text(line, rest)?;
            loop {
                let (tag, more) = match memchr::memchr(separator, rest) {
                    Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                    None => (rest, None),
                };
                self.tag(line, tag, b'=')?;
                let Some(more) = more else { break };
                rest = more;
            }
        }
        if let Some(mut rest) = sections.tags {
            check_text(line, rest)?;
            while !rest.is_empty() {
                let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
                self.tag(line, &rest[..end], b':')?;
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        for (wanted, name, text) in [
            (style.origin.container, &b"container"[..], sections.container),
            (style.origin.external, b"external", sections.external),
            (style.origin.cardinality, b"cardinality", sections.cardinality),
        ] {
            if let (true, Some(text)) = (wanted, text.filter(|text| !text.is_empty())) {
                check_text(line, text)?;
                self.put(name, text);
            }
        }
        touched.rewritten |= self.touched.rewritten;
        touched.scope_tags += self.touched.scope_tags;
        let mut name_end = name_end;
        if !style.rules.is_empty() {
            match self.apply(name_end, &style.rules) {
                // A name of which nothing is left is none.
                Some(0) => return Err(Fault { reason: Reason::BadKey, offset: offset(line, name) }),
                Some(end) => name_end = end,
                None => return Ok(None),
            }
        }
        let key = if self.in_order { &self.key } else { self.sort(name_end) };
        match key.len() <= KEY_BYTES_MAX {
            true => Ok(Some(key)),
            false => Err(Fault { reason: Reason::BadKey, offset: offset(line, name) }),
        }
    }

    /// Writes the name at the front of the key.
    fn name(&mut self, line: &[u8], name: &[u8], style: &Style) -> Result<(), Fault> {
        if style.is_etsy {
            self.touched.rewritten |= etsy(name, &mut self.key);
        } else {
            check_text(line, name)?;
            self.push(name, false);
        }
        match self.key.is_empty() {
            true => Err(Fault { reason: Reason::BadKey, offset: offset(line, name) }),
            false => Ok(()),
        }
    }

    /// Adds a tag as it came: `name`, `name:` or `name:value`, split at the first `mark`.
    #[inline]
    fn tag(&mut self, line: &[u8], tag: &[u8], mark: u8) -> Result<(), Fault> {
        match tag {
            // As much as to say nothing.
            [] => return Ok(()),
            _ if is_scope(tag) => {
                self.touched.scope_tags += 1;
                return Ok(());
            }
            _ => {}
        }
        let split = tag.iter().position(|byte| *byte == mark).unwrap_or(tag.len());
        if split == 0 {
            return Err(Fault { reason: Reason::BadKey, offset: offset(line, tag) });
        }
        self.put(&tag[..split], tag.get(split + 1..).unwrap_or_default());
        Ok(())
    }

    fn put(&mut self, name: &[u8], value: &[u8]) {
        let start = self.key.len();
        self.key.push(b';');
        self.push(name, true);
        let name_end = self.key.len();
        if !value.is_empty() {
            self.key.push(b'=');
            self.push(value, false);
        }
        let tag = Tag { start, name_end, end: self.key.len() };
        if let Some(last) = self.tags.last() {
            self.in_order &= last.name(&self.key) < tag.name(&self.key);
        }
        self.tags.push(tag);
    }

    /// Adds text in which a `;`, and in a tag's name a `=`, becomes a `_`.
    #[inline]
    fn push(&mut self, text: &[u8], is_tag_name: bool) {
        let start = self.key.len();
        self.key.extend_from_slice(text);
        if has(text, b';') || is_tag_name && has(text, b'=') {
            self.touched.rewritten = true;
            for byte in &mut self.key[start..] {
                if *byte == b';' || is_tag_name && *byte == b'=' {
                    *byte = b'_';
                }
            }
        }
    }

    /// Does what the first rule that matches says; gives the length of the name, or none when the key is dropped.
    fn apply(&mut self, name_end: usize, rules: &Rules) -> Option<usize> {
        let Keys { key, tags, .. } = self;
        let Some(rule) = rules.find(&key[..name_end], tags.iter().map(|tag| (tag.name(key), tag.value(key))))
        else {
            return Some(name_end);
        };
        if rule.drop {
            return None;
        }
        let mut name_end = name_end;
        if let Some(keep) = &rule.keep {
            self.tags.retain(|tag| keep.iter().any(|keep| keep.as_bytes() == tag.name(&self.key)));
            self.in_order = false;
        }
        for (name, value) in &rule.add {
            self.put(name.as_bytes(), value.as_bytes());
        }
        if let Some(name) = rule.renamed(&self.key[..name_end]) {
            // The tags keep their places behind it: all is written anew, in order.
            let old = self.key.split_off(name_end);
            self.key.clear();
            self.key.extend_from_slice(name.as_bytes());
            let moved = |at: usize| at - name_end + name.len();
            for tag in &mut self.tags {
                *tag = Tag { start: moved(tag.start), name_end: moved(tag.name_end), end: moved(tag.end) };
            }
            self.key.extend_from_slice(&old);
            name_end = name.len();
        }
        Some(name_end)
    }

    /// The key with its tags in order, each once.
    fn sort(&mut self, name_end: usize) -> &[u8] {
        let Keys { key, tags, sorted, .. } = self;
        // Few tags, and stable: of those of one name the last stays.
        tags.sort_by(|a, b| a.name(key).cmp(b.name(key)));
        sorted.clear();
        sorted.extend_from_slice(&key[..name_end]);
        for (place, tag) in tags.iter().enumerate() {
            let is_given_again = tags.get(place + 1).is_some_and(|next| next.name(key) == tag.name(key));
            if !is_given_again {
                sorted.extend_from_slice(tag.whole(key));
            }
        }
        sorted
    }
}

impl Style {
    /// A name without tags is a key as it is.
    #[inline]
    pub fn is_verbatim(&self) -> bool {
        !(self.is_etsy || self.influx) && self.rules.is_empty()
    }

    /// Nothing is to be done to a name without tags.
    #[inline]
    fn is_bare(&self, sections: &Sections<'_>) -> bool {
        let Origin { container, external, cardinality } = self.origin;
        let is_tagged = container && sections.container.is_some()
            || external && sections.external.is_some()
            || cardinality && sections.cardinality.is_some();
        !(self.is_etsy || is_tagged) && self.rules.is_empty()
    }
}

/// `key` with `suffix` behind its name, in front of its tags.
pub fn with_suffix(key: &[u8], suffix: &[u8], into: &mut Vec<u8>) {
    let name_end = memchr::memchr(b';', key).unwrap_or(key.len());
    into.clear();
    into.extend_from_slice(&key[..name_end]);
    into.extend_from_slice(suffix);
    into.extend_from_slice(&key[name_end..]);
}

/// True where a text can stand in a key as it is: ASCII without control characters and without `;`.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte) & (*byte != b';'))
}

#[inline]
fn has(text: &[u8], byte: u8) -> bool {
    text.iter().fold(false, |has, have| has | (*have == byte))
}

/// True for the tags by which Veneur says where something is to be merged.
fn is_scope(tag: &[u8]) -> bool {
    matches!(tag, b"veneurlocalonly" | b"veneurglobalonly")
}

/// Refuses what no key may have in it, at the spot.
fn check_text(line: &[u8], text: &[u8]) -> Result<(), Fault> {
    if text.iter().fold(true, |plain, byte| plain & (0x20..0x7f).contains(byte)) {
        return Ok(());
    }
    let fault = |at: usize| Err(Fault { reason: Reason::BadKey, offset: offset(line, text) + at });
    let (valid, broken) = match std::str::from_utf8(text) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = &text[..error.valid_up_to()];
            (std::str::from_utf8(valid).unwrap_or_default(), Some(error.valid_up_to()))
        }
    };
    match valid.char_indices().find(|(_, char)| char.is_control()) {
        Some((at, _)) => fault(at),
        None => broken.map_or(Ok(()), fault),
    }
}

/// A name and the tags in it, with what parts them.
fn split<'n>(name: &'n [u8], style: &Style) -> (&'n [u8], Option<(u8, &'n [u8])>) {
    let at = name.iter().position(|byte| *byte == b';' && style.graphite || *byte == b',' && style.influx);
    match at {
        // Without a name in front of it, it is no tag.
        Some(at) => (&name[..at], Some((name[at], &name[at + 1..]))),
        None => (name, None),
    }
}

/// Writes a name as etsy's server does: a run of blanks is `_`, `/` is `-`, and all but letters, digits, `_`, `-`
/// and `.` goes. True when that changed it.
///
/// Source: `sanitizeKeyName` of <https://github.com/statsd/statsd/blob/master/stats.js>.
fn etsy(name: &[u8], into: &mut Vec<u8>) -> bool {
    let start = into.len();
    let mut was_blank = false;
    for &byte in name {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c);
        match byte {
            _ if is_blank && was_blank => {}
            _ if is_blank => into.push(b'_'),
            b'/' => into.push(b'-'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => into.push(byte),
            _ => {}
        }
        was_blank = is_blank;
    }
    into[start..] != *name
}
