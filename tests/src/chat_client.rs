//! A person's chat client, on tokio-xmpp: a thread has its stream, and keeps all that comes.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_xmpp::Stanza;
use tokio_xmpp::stanzastream::{Event, StanzaStream, StreamEvent};
use tokio_xmpp::xmlstream::Timeouts;
use xmpp_parsers::delay::Delay;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Lang, Message, MessageType};
use xmpp_parsers::minidom::Element;
use xmpp_parsers::presence::{Presence, Type};

use crate::chat_server::{ChatServer, DOMAIN, PASSWORD, STRANGE};
use crate::chat_stream::Reach;
use crate::wait::{DEADLINE, wait_for};

/// The namespace of a JSON container.
///
/// Source: XEP-0335.
const JSON: &str = "urn:xmpp:json:0";
/// Stanzas that may wait, each way.
const QUEUE: usize = 4096;
/// How long the server is waited for by a client that is dropped: it may be gone, and then it does not answer.
const PARTING: Duration = Duration::from_secs(2);

/// A message that came.
#[derive(Clone, Debug)]
pub struct Said {
    /// The full JID it came from.
    pub from: String,
    /// Whom it is to, as it says.
    pub to: String,
    /// Its type.
    pub kind: MessageType,
    /// Its text.
    pub body: String,
    /// The JSON beside the text.
    pub json: Option<serde_json::Value>,
    /// It waited at the server.
    pub delayed: bool,
    /// When it was here.
    pub at: Instant,
}

/// What has come until now.
#[derive(Clone, Debug, Default)]
struct Come {
    bound: Option<Jid>,
    said: Vec<Said>,
    presences: Vec<(String, Type)>,
    answers: Vec<Iq>,
}

/// A client that has logged in. It does not outlive its server: once a session is gone, tokio-xmpp 6.0 tries in vain to
/// resume it.
#[derive(Debug)]
pub struct ChatClient {
    jid: String,
    come: Arc<Mutex<Come>>,
    /// What it is to send; none logs it out.
    to: Option<UnboundedSender<Option<Stanza>>>,
    thread: Option<JoinHandle<bool>>,
    asked: AtomicU64,
}

impl ChatServer {
    /// A client of this account, which is present.
    pub fn login(&self, user: &str) -> ChatClient {
        self.login_as(user, "desk")
    }

    /// A client of this account at a resource of its own, which is present.
    pub fn login_as(&self, user: &str, resource: &str) -> ChatClient {
        let client = self.login_absent(user, resource);
        // As a client does that shows a roster: without, it is not told of changes.
        client.request(client.bare(), false, "<query xmlns='jabber:iq:roster'/>");
        client.send(Presence::available());
        client
    }

    /// A client that has not said that it is present.
    pub fn login_absent(&self, user: &str, resource: &str) -> ChatClient {
        let domain = if user == "mallory" { STRANGE } else { DOMAIN };
        let jid = format!("{user}@{domain}/{resource}");
        let reach = Reach::new(self.address(), &self.authority());
        ChatClient::begin(&jid, reach)
    }
}

impl ChatClient {
    fn begin(jid: &str, reach: Reach) -> ChatClient {
        let come = Arc::<Mutex<Come>>::default();
        let (to, from) = unbounded_channel();
        let full = Jid::from_str(jid).expect("tests know JIDs");
        let into = come.clone();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("threads are left").block_on(serve(full, reach, from, &into))
        });
        let client = ChatClient {
            jid: jid.to_owned(),
            come,
            to: Some(to),
            thread: Some(thread),
            asked: AtomicU64::new(0),
        };
        wait_for(&format!("{jid} logs in"), || lock(&client.come).bound.clone());
        client
    }

    /// Its full JID.
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Its bare JID.
    pub fn bare(&self) -> &str {
        self.jid.split('/').next().expect("there is a first part")
    }

    /// Sends a stanza.
    pub fn send(&self, stanza: impl Into<Stanza>) {
        self.wish(Some(stanza.into()));
    }

    fn wish(&self, wish: Option<Stanza>) {
        self.to.as_ref().expect("it is open").send(wish).expect("its thread runs");
    }

    /// Says something to somebody.
    pub fn say(&self, to: &str, text: &str) {
        let to = Jid::from_str(to).expect("tests know JIDs");
        self.send(Message::chat(to).with_body(Lang::default(), text.to_owned()));
    }

    /// Says something to somebody, and gives what they say next.
    #[track_caller]
    pub fn ask(&self, to: &str, text: &str) -> Said {
        let before = self.heard().len();
        self.say(to, text);
        self.wait_said(&format!("an answer to {text:?}"), before, |said| is_of(&said.from, to))
    }

    /// What others have said until now.
    pub fn heard(&self) -> Vec<Said> {
        lock(&self.come).said.clone()
    }

    /// One look at what others have said, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&[Said]) -> T) -> T {
        look(&lock(&self.come).said)
    }

    /// Waits for a message like this, after the first `skip`.
    #[track_caller]
    pub fn wait_said(&self, what: &str, skip: usize, like: impl Fn(&Said) -> bool) -> Said {
        wait_for(&format!("{}: {what}", self.jid), || {
            self.look(|said| said.iter().skip(skip).find(|said| like(said)).cloned())
        })
    }

    /// Waits for a presence of this type from somebody.
    #[track_caller]
    pub fn wait_presence(&self, from: &str, kind: Type) {
        wait_for(&format!("{}: {kind:?} of {from}", self.jid), || {
            let come = lock(&self.come);
            come.presences.iter().any(|(of, is)| is_of(of, from) && *is == kind).then_some(())
        });
    }

    /// The presences that came, with whom they are from.
    pub fn presences(&self) -> Vec<(String, Type)> {
        lock(&self.come).presences.clone()
    }

    /// Asks for (`set` is false) or sets something, and gives the answer.
    #[track_caller]
    pub fn request(&self, to: &str, set: bool, payload: &str) -> Iq {
        let id = format!("asked-{}", self.asked.fetch_add(1, Relaxed));
        let payload = Element::from_str(payload).expect("tests know XML");
        let to = Some(Jid::from_str(to).expect("tests know JIDs"));
        self.send(match set {
            true => Iq::Set { from: None, to, id: id.clone(), payload },
            false => Iq::Get { from: None, to, id: id.clone(), payload },
        });
        wait_for(&format!("{}: an answer to {id}", self.jid), || {
            lock(&self.come).answers.iter().find(|iq| iq.id() == id).cloned()
        })
    }

    /// The payload of the answer to a request.
    ///
    /// # Panics
    /// When it is an error, or has none.
    #[track_caller]
    pub fn result(&self, to: &str, set: bool, payload: &str) -> Element {
        match self.request(to, set, payload) {
            Iq::Result { payload: Some(payload), .. } => payload,
            other => panic!("{payload}: {other:?}"),
        }
    }

    /// Logs out, and waits until the server knows, which has to be there.
    #[track_caller]
    pub fn logout(mut self) {
        // A server that is slow to close the stream is cut off by tokio-xmpp, and keeps the session for a while: by then
        // it knows that nobody is present there.
        self.send(Presence::unavailable());
        let (_, domain) = self.bare().split_once('@').expect("it is an account");
        self.request(domain, false, "<ping xmlns='urn:xmpp:ping'/>");
        self.wish(None);
        assert!(self.end(), "{} does not log out", self.jid);
    }

    /// Waits for its thread; whether the stream was closed in time.
    fn end(&mut self) -> bool {
        self.to = None;
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

impl Drop for ChatClient {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("--- {} was told:", self.jid);
            let said = self.heard();
            for said in &said[said.len().saturating_sub(20)..] {
                eprintln!("    {} {:?}: {}", said.from, said.kind, said.body.escape_debug());
            }
        }
    }
}

/// Whether a full JID is `whom`, or belongs to it.
fn is_of(full: &str, whom: &str) -> bool {
    full == whom || full.strip_prefix(whom).is_some_and(|rest| rest.starts_with('/'))
}

/// One stream, until nobody wants it any more; whether it was closed in time.
async fn serve(
    jid: Jid,
    reach: Reach,
    mut from: UnboundedReceiver<Option<Stanza>>,
    come: &Mutex<Come>,
) -> bool {
    let mut stream = StanzaStream::new_c2s(reach, jid, PASSWORD.to_owned(), Timeouts::default(), QUEUE);
    let patience = loop {
        tokio::select! {
            wish = from.recv() => match wish {
                Some(Some(stanza)) => drop(stream.send(Box::new(stanza)).await),
                Some(None) => break DEADLINE,
                None => break PARTING,
            },
            event = stream.next() => match event {
                Some(Event::Stream(StreamEvent::Reset { bound_jid, .. })) => {
                    lock(come).bound = Some(bound_jid);
                }
                Some(Event::Stream(_)) => {}
                Some(Event::Stanza(stanza)) => {
                    if let Some(answer) = take(stanza, come) {
                        stream.send(Box::new(answer)).await;
                    }
                }
                None => return false,
            },
        }
    };
    timeout(patience, stream.close()).await.is_ok()
}

/// Keeps what came; gives what a client answers by itself.
fn take(stanza: Stanza, come: &Mutex<Come>) -> Option<Stanza> {
    let mut come = lock(come);
    match stanza {
        Stanza::Message(message) => come.said.extend(said(&message)),
        Stanza::Presence(presence) => {
            let from = presence.from.clone()?;
            let asks = presence.type_ == Type::Subscribe;
            come.presences.push((from.to_string(), presence.type_));
            if asks {
                return Some(Presence::subscribed().with_to(from).into());
            }
        }
        Stanza::Iq(iq) => match iq {
            Iq::Get { id, from, .. } | Iq::Set { id, from, .. } => {
                // A push of the roster, or a ping.
                return Some(Iq::Result { from: None, to: from, id, payload: None }.into());
            }
            answer => come.answers.push(answer),
        },
    }
    None
}

fn said(message: &Message) -> Option<Said> {
    let jid = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string).unwrap_or_default();
    // A server may stamp its language on it.
    let (_, body) = message.get_best_body_cloned(vec!["", "en"])?;
    let json = message.payloads.iter().find(|payload| payload.is("json", JSON));
    let json = json.map(|json| serde_json::from_str(&json.text()).expect("a JSON container holds JSON"));
    let delayed = message.payloads.iter().any(|payload| Delay::try_from(payload.clone()).is_ok());
    let (from, to) = (jid(&message.from), jid(&message.to));
    Some(Said { from, to, kind: message.type_.clone(), body, json, delayed, at: Instant::now() })
}

fn lock(come: &Mutex<Come>) -> MutexGuard<'_, Come> {
    come.lock().unwrap_or_else(PoisonError::into_inner)
}
