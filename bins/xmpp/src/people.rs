//! Who may ask, who is there, and how much each says.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use xmpp_parsers::jid::{BareJid, Jid};

use crate::config::{Config, any_of};
use crate::rate::Rate;

/// People that are remembered; strangers can make up as many as they like.
const PEOPLE_MAX: usize = 10_000;
/// Of the places where one contact is, so many are remembered.
const RESOURCES_MAX: usize = 64;
/// How long a stranger is remembered to have been told.
const STRANGER: Duration = Duration::from_secs(24 * 3600);

/// Who may ask, and what.
#[derive(Debug)]
pub(crate) struct Rights {
    /// Accounts and domains.
    allow: HashSet<String>,
    rooms: HashSet<String>,
    /// The one regex that a key has to match too.
    see: BTreeMap<String, String>,
}

impl Rights {
    /// Those of the configuration, for the account `me`.
    pub(crate) fn of(config: &Config, me: &Jid) -> Rights {
        let bare = |text: &String| BareJid::new(text).map_or_else(|_| text.clone(), |jid| jid.to_string());
        let mut allow: HashSet<String> = config.allow.iter().map(bare).collect();
        if allow.is_empty() {
            allow.insert(me.domain().to_string());
        }
        let see = config.see.iter().map(|(who, patterns)| (bare(who), any_of(patterns))).collect();
        Rights { allow, rooms: config.rooms.iter().map(bare).collect(), see }
    }

    /// Whether a user, or a room, may ask.
    pub(crate) fn may_ask(&self, who: &BareJid) -> bool {
        self.rooms.contains(who.as_str())
            || self.allow.contains(who.as_str())
            || self.allow.contains(who.domain().as_str())
    }

    /// The regex of the keys that a user may see; none for all.
    pub(crate) fn sees(&self, who: &str) -> Option<&str> {
        let domain = who.split_once('@').map_or(who, |(_, domain)| domain);
        self.see.get(who).or_else(|| self.see.get(domain)).map(String::as_str)
    }

    /// Whether it is a room of the configuration.
    pub(crate) fn is_room(&self, who: &str) -> bool {
        self.rooms.contains(who)
    }
}

/// What is known of whom.
#[derive(Debug)]
pub(crate) struct People {
    contacts: HashMap<String, Contact>,
    requests: HashMap<String, Rate>,
    messages: HashMap<String, Rate>,
    /// Users that were told that they say too much, until they do not.
    told_rate: HashSet<String>,
    /// Strangers that were told, and when.
    strangers: HashMap<String, Instant>,
    requests_per_minute: u32,
    messages_per_minute: u32,
}

/// A contact whose presence is told to us.
#[derive(Debug, Default)]
struct Contact {
    resources: HashSet<String>,
    /// The last thing heard was that nobody is there.
    is_offline: bool,
}

impl People {
    pub(crate) fn new(config: &Config) -> People {
        People {
            contacts: HashMap::new(),
            requests: HashMap::new(),
            messages: HashMap::new(),
            told_rate: HashSet::new(),
            strangers: HashMap::new(),
            requests_per_minute: config.requests_per_minute,
            messages_per_minute: config.messages_per_minute,
        }
    }

    /// Whether a user may say one thing more now, else whether to tell that it is too much.
    pub(crate) fn may_say(&mut self, who: &str, now: Instant) -> Result<(), bool> {
        let per_minute = self.requests_per_minute;
        if !self.requests.contains_key(who) && self.requests.len() >= PEOPLE_MAX {
            return Err(false);
        }
        let rate = self.requests.entry(who.to_owned()).or_insert_with(|| Rate::new(per_minute, now));
        if rate.take(now) {
            self.told_rate.remove(who);
            return Ok(());
        }
        Err(self.told_rate.insert(who.to_owned()))
    }

    /// Whether a user may be told one value more now.
    pub(crate) fn may_hear(&mut self, who: &str, now: Instant) -> bool {
        let per_minute = self.messages_per_minute;
        if !self.messages.contains_key(who) && self.messages.len() >= PEOPLE_MAX {
            return false;
        }
        self.messages.entry(who.to_owned()).or_insert_with(|| Rate::new(per_minute, now)).take(now)
    }

    /// Whether a stranger is to be told that he is one.
    pub(crate) fn is_new_stranger(&mut self, who: &str, now: Instant) -> bool {
        if self.strangers.contains_key(who) || self.strangers.len() >= PEOPLE_MAX {
            return false;
        }
        self.strangers.insert(who.to_owned(), now);
        true
    }

    /// Forgets who was not heard of for long; to be called now and then.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.requests.retain(|_, rate| !rate.is_idle(now));
        self.messages.retain(|_, rate| !rate.is_idle(now));
        self.told_rate.retain(|who| self.requests.contains_key(who));
        self.strangers.retain(|_, told| now.saturating_duration_since(*told) < STRANGER);
    }

    /// A new login: who was there is asked again.
    pub(crate) fn begin(&mut self) {
        self.contacts.values_mut().for_each(|contact| contact.resources.clear());
    }

    /// The server says that this contact's presence is told to us, or is not.
    pub(crate) fn contact(&mut self, who: &str, is_told: bool) {
        if !is_told {
            self.contacts.remove(who);
        } else if self.contacts.len() < PEOPLE_MAX {
            self.contacts.entry(who.to_owned()).or_default();
        }
    }

    /// Whether this contact's presence is told to us.
    pub(crate) fn is_contact(&self, who: &str) -> bool {
        self.contacts.contains_key(who)
    }

    /// A contact is there, or not; true when he was away, and is back.
    pub(crate) fn presence(&mut self, from: &Jid, is_there: bool) -> bool {
        let Some(contact) = self.contacts.get_mut(from.to_bare().as_str()) else { return false };
        let was_offline = contact.is_offline;
        match (from.resource(), is_there) {
            // A server could make up any number of them.
            (Some(_), true) if contact.resources.len() >= RESOURCES_MAX => {}
            (Some(resource), true) => {
                contact.resources.insert(resource.to_string());
            }
            (Some(resource), false) => {
                contact.resources.remove(resource.as_str());
            }
            (None, _) => contact.resources.clear(),
        }
        contact.is_offline = !is_there && contact.resources.is_empty();
        was_offline && is_there
    }

    /// Whether a user is known to be away. Who is unknown is not.
    pub(crate) fn is_offline(&self, who: &str) -> bool {
        self.contacts.get(who).is_some_and(|contact| contact.is_offline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::new(text).unwrap()
    }

    #[test]
    fn who_may_ask_and_what() {
        let mut config = Config::default();
        let me = jid("leela@example.org/x");
        let may = |config: &Config, who: &str| Rights::of(config, &me).may_ask(&jid(who).to_bare());
        for (allow, who, want) in [
            (&[][..], "alice@example.org/phone", true),
            (&[], "alice@elsewhere.org", false),
            (&["bob@elsewhere.org"], "bob@elsewhere.org", true),
            (&["bob@elsewhere.org"], "alice@example.org", false),
            (&["elsewhere.org"], "alice@elsewhere.org", true),
            (&["elsewhere.org"], "alice@not.elsewhere.org", false),
            (&["Elsewhere.org"], "alice@elsewhere.org", true),
        ] {
            config.allow = allow.iter().map(|&who| who.to_owned()).collect();
            assert_eq!(may(&config, who), want, "{allow:?} {who}");
        }
        config.rooms = vec!["ops@rooms.org".to_owned()];
        assert!(may(&config, "ops@rooms.org") && !may(&config, "dev@rooms.org"));
        config.see = [
            ("alice@example.org".to_owned(), vec!["^web".to_owned(), "^db".to_owned()]),
            ("example.org".to_owned(), vec!["^cpu".to_owned()]),
        ]
        .into();
        let rights = Rights::of(&config, &me);
        for (who, want) in [
            ("alice@example.org", Some("(?:^web)|(?:^db)")),
            ("bob@example.org", Some("(?:^cpu)")),
            ("ops@rooms.org", None),
        ] {
            assert_eq!(rights.sees(who), want, "{who}");
        }
    }

    #[test]
    fn a_stranger_is_told_once() {
        let now = Instant::now();
        let mut people = People::new(&Config::default());
        assert!(people.is_new_stranger("m@x", now));
        assert!(!people.is_new_stranger("m@x", now + Duration::from_secs(3600)));
        people.sweep(now + Duration::from_secs(25 * 3600));
        assert!(people.is_new_stranger("m@x", now + Duration::from_secs(25 * 3600)));
    }

    #[test]
    fn who_says_too_much_is_told_once() {
        let now = Instant::now();
        let mut people = People::new(&Config { requests_per_minute: 3, ..Config::default() });
        let said: Vec<_> = (0..5).map(|_| people.may_say("a@x", now)).collect();
        assert_eq!(said, [Ok(()), Ok(()), Ok(()), Err(true), Err(false)]);
        assert_eq!(people.may_say("a@x", now + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn unknown_is_not_offline() {
        let mut people = People::new(&Config::default());
        let phone = jid("a@x/phone");
        people.presence(&phone, false);
        assert!(!people.is_offline("a@x"), "no contact");
        people.contact("a@x", true);
        assert!(!people.is_offline("a@x"), "unknown");
        people.presence(&phone, true);
        people.presence(&jid("a@x/desk"), true);
        people.presence(&phone, false);
        assert!(!people.is_offline("a@x"), "one is there");
        people.presence(&jid("a@x/desk"), false);
        assert!(people.is_offline("a@x"));
        people.begin();
        assert!(people.is_offline("a@x"), "until something else is heard");
        assert!(people.presence(&phone, true), "he is back");
        assert!(!people.presence(&phone, true) && !people.is_offline("a@x"));
        people.presence(&jid("a@x"), false);
        assert!(people.is_offline("a@x"));
    }
}
