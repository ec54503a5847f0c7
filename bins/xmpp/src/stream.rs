//! The connection to the server: logged in again and again, with what waits for it, bounded.

mod connector;
mod login;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream as _, future::poll_fn};
use tokio::sync::mpsc;
use tokio_xmpp::stanzastream::{Event as StreamEvent, StanzaStage, StanzaState, StanzaStream, StanzaToken};
use tokio_xmpp::{Stanza, stanzastream};
use xmpp_parsers::jid::Jid;

use login::{AGAIN, AGAIN_MAX, Trouble};

pub(crate) use login::{Account, Refusal, is_configured, secret};

/// Stanzas that the library may hold, in each direction.
const QUEUE: usize = 64;
/// Stanzas that may be under way without the server's acknowledgement: fewer than the library holds, so that handing one
/// over never waits.
const WINDOW: usize = 48;
/// Stanzas that wait behind them.
const WAITING_MAX: usize = 1_024;
/// Troubles that wait to be heard.
const TROUBLES: usize = 16;

/// What happens on the connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// It is logged in anew: rosters, rooms and presences begin again. So many messages are in doubt.
    Online { me: Jid, in_doubt: u64 },
    /// The cut connection is taken up again, and nothing is lost.
    Resumed,
    /// The connection is cut.
    Cut,
    /// A stanza came.
    Stanza(Box<Stanza>),
    /// The server has so many messages more.
    Delivered(u64),
    /// So many messages may have come through or not: the connection was lost for good.
    InDoubt(u64),
    /// The login is refused for good.
    Refused(Refusal),
    /// The server could not be reached, and why.
    Unreachable(String),
    /// There will be no more.
    Over,
}

/// A stanza under way.
struct Sent {
    token: StanzaToken,
    is_message: bool,
}

/// The connection.
pub(crate) struct Stream {
    account: Account,
    inner: StanzaStream,
    told: mpsc::Sender<Trouble>,
    troubles: mpsc::Receiver<Trouble>,
    /// A login went well and has not come to anything yet.
    begun: Arc<AtomicBool>,
    /// How long to wait before the next beginning.
    again: Duration,
    waiting: VecDeque<Box<Stanza>>,
    sent: VecDeque<Sent>,
    is_online: bool,
    /// The server acknowledges; one that does not has what was written.
    acknowledges: bool,
}

impl Stream {
    /// Begins to log in.
    pub(crate) fn open(account: Account) -> Stream {
        let (told, troubles) = mpsc::channel(TROUBLES);
        let begun = Arc::<AtomicBool>::default();
        let reconnector = login::reconnector(account.clone(), told.clone(), begun.clone(), Duration::ZERO);
        Stream {
            account,
            inner: StanzaStream::new(reconnector, QUEUE),
            told,
            troubles,
            begun,
            again: AGAIN,
            waiting: VecDeque::new(),
            sent: VecDeque::new(),
            is_online: false,
            acknowledges: true,
        }
    }

    /// Begins anew, without the session that the server does not know any more.
    fn reopen(&mut self) {
        self.begun = Arc::default();
        let reconnector =
            login::reconnector(self.account.clone(), self.told.clone(), self.begun.clone(), self.again);
        self.again = (self.again * 2).min(AGAIN_MAX);
        self.inner = StanzaStream::new(reconnector, QUEUE);
        self.is_online = false;
    }

    /// The connection has come to something.
    fn begin(&mut self) {
        self.begun.store(false, Relaxed);
        self.again = AGAIN;
        self.is_online = true;
    }

    /// Whether it is logged in.
    pub(crate) fn is_online(&self) -> bool {
        self.is_online
    }

    /// Takes a stanza; false when too many wait.
    #[must_use = "what does not go out has to be counted"]
    pub(crate) fn push(&mut self, stanza: Stanza) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push_back(Box::new(stanza));
        true
    }

    /// Messages that the server has not acknowledged.
    pub(crate) fn messages_waiting(&self) -> u64 {
        let waiting = self.waiting.iter().filter(|stanza| matches!(***stanza, Stanza::Message(_))).count();
        (waiting + self.sent.iter().filter(|sent| sent.is_message).count()) as u64
    }

    /// True when nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty()
    }

    /// Whether a message that could be left to a digest goes out soon.
    pub(crate) fn has_room(&self) -> bool {
        self.is_online && self.waiting.len() < WAITING_MAX / 2
    }

    /// Hands over what may go.
    pub(crate) async fn send(&mut self) {
        while self.is_online && self.sent.len() < WINDOW {
            let Some(stanza) = self.waiting.pop_front() else { return };
            let is_message = matches!(*stanza, Stanza::Message(_));
            let token = self.inner.send(stanza).await;
            self.sent.push_back(Sent { token, is_message });
        }
    }

    /// Waits for what happens next; it may be given up at any time.
    pub(crate) async fn next(&mut self) -> Event {
        let Stream { inner, troubles, sent, acknowledges, .. } = self;
        let stage = if *acknowledges { StanzaStage::Acked } else { StanzaStage::Sent };
        let front = async {
            match sent.front_mut() {
                Some(front) => front.token.wait_for(stage).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            event = poll_fn(|context| poll_inner(inner, context)) => match event {
                None => return Event::Over,
                Some(StreamEvent::Stanza(stanza)) => return Event::Stanza(Box::new(stanza)),
                Some(StreamEvent::Stream(event)) => event,
            },
            Some(trouble) = troubles.recv() => {
                if let Trouble::Stuck = trouble {
                    self.reopen();
                }
                return trouble.into();
            }
            state = front => {
                return match state {
                    Some(StanzaState::Acked { .. } | StanzaState::Sent { .. }) => {
                        Event::Delivered(self.pass_delivered(stage))
                    }
                    _ => Event::InDoubt(self.pass_failed()),
                };
            }
        };
        match event {
            stanzastream::StreamEvent::Reset { bound_jid, features } => {
                self.acknowledges = features.stream_management.is_some();
                let in_doubt = self.pass_doubtful();
                self.begin();
                Event::Online { me: bound_jid, in_doubt }
            }
            stanzastream::StreamEvent::Resumed => {
                self.begin();
                Event::Resumed
            }
            stanzastream::StreamEvent::Suspended => {
                self.is_online = false;
                Event::Cut
            }
        }
    }

    /// Takes out what the server has; gives the messages among it.
    fn pass_delivered(&mut self, stage: StanzaStage) -> u64 {
        let mut messages = 0;
        while let Some(front) = self.sent.front() {
            let state = StanzaStage::from(&front.token.state());
            if state != stage && state != StanzaStage::Acked {
                break;
            }
            messages += u64::from(front.is_message);
            self.sent.pop_front();
        }
        messages
    }

    /// Takes out what the library gave up; gives the messages among it.
    fn pass_failed(&mut self) -> u64 {
        self.sent.pop_front().map_or(0, |sent| u64::from(sent.is_message))
    }

    /// Takes out what was sent on a connection that is lost for good; gives the messages among it. What the library
    /// had not written yet goes out on the new one.
    fn pass_doubtful(&mut self) -> u64 {
        let before = self.sent.len();
        let mut in_doubt = 0;
        for _ in 0..before {
            let Some(sent) = self.sent.pop_front() else { break };
            match StanzaStage::from(&sent.token.state()) {
                StanzaStage::Queued => self.sent.push_back(sent),
                _ => in_doubt += u64::from(sent.is_message),
            }
        }
        in_doubt
    }

    /// Says goodbye.
    pub(crate) async fn close(self) {
        self.inner.close().await;
    }
}

fn poll_inner(inner: &mut StanzaStream, context: &mut Context<'_>) -> Poll<Option<StreamEvent>> {
    Pin::new(inner).poll_next(context)
}
