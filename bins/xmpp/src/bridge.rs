//! The bridge among its ends: the server, leela-dmproc, the directory, the clock. One loop, one task.

mod commands;
mod inquiry;
mod presence;
mod serve;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::books::Books;
use common::exit::Exit;
use common::process::{self, StopSignal};
use common::time::Time;
use futures::FutureExt as _;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout_at};
use xmpp_parsers::jid::Jid;

use crate::answer::Answer;
use crate::chat;
use crate::config::{Config, Format};
use crate::counters::{Counters, Dropped, Unsent};
use crate::directory::Change;
use crate::keeper::{Heard, Keeper};
use crate::people::{People, Rights};
use crate::proc::Told;
use crate::stream::{Event, Stream};
use crate::subscription::Subscription;

/// Pieces of what leela-dmproc says that may wait here; behind them its connections wait, and what they lose it says.
const TOLD: usize = 64;
/// Events of the server that are taken in one turn.
const EVENTS_A_TURN: u32 = 64;
/// Pieces of what leela-dmproc says that are taken behind them.
const TOLD_A_TURN: u32 = 16;
/// Digests, leases, idle people: what is due is looked for so often.
const TICK: Duration = Duration::from_millis(500);

/// Whom to answer, and how.
#[derive(Clone, Debug)]
struct Who {
    /// The user: a bare JID, or a room.
    user: String,
    to: Jid,
    way: Way,
}

/// How somebody asked.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Way {
    Chat,
    Room,
    /// By an ad-hoc command: the request and the command.
    Command {
        id: String,
        node: String,
    },
}

/// What is to be done once the directory has kept a change.
#[derive(Debug)]
enum Then {
    /// The subscription of this name is kept.
    Entered(String),
    /// These are gone, at the wish of somebody or of none.
    Left { fields: Vec<String>, who: Option<Who>, answer: Answer },
    /// Something else is said.
    Said { who: Who, answer: Answer },
}

/// leela-xmpp, opened.
pub(crate) struct Bridge {
    config: Config,
    books: Books<Counters>,
    is_uncommitted: bool,
    /// The socket of leela-dmproc.
    proc: PathBuf,
    stream: Stream,
    /// The full JID, once it is known.
    me: Option<Jid>,
    keeper: Keeper,
    rights: Rights,
    people: People,
    subscriptions: HashMap<String, Subscription>,
    /// The name of the subscription that a task serves.
    ids: HashMap<u64, String>,
    last_id: u64,
    told: mpsc::Receiver<(u64, Told)>,
    teller: mpsc::Sender<(u64, Told)>,
    /// Whom to answer about a new subscription.
    askers: HashMap<String, Vec<Who>>,
    /// What comes once a change is kept.
    thens: HashMap<u64, Then>,
    /// Subscriptions that are to go, as long as the directory has not said so.
    leaving: HashSet<String>,
    is_front: bool,
    /// The server could not be reached, and it was said.
    is_unreachable: bool,
    /// The nick in each room that was entered.
    nicks: HashMap<String, String>,
    last_message: u64,
    /// When this instance began, so that no two messages have one name.
    started: i64,
    /// When rooms are to be entered again that were left.
    enter_at: Instant,
}

/// What the bridge works with.
pub(crate) struct Ends {
    pub(crate) stream: Stream,
    pub(crate) keeper: Keeper,
    pub(crate) proc: PathBuf,
    pub(crate) me: Jid,
}

impl Bridge {
    /// Takes up the directory.
    pub(crate) fn new(config: Config, mut books: Books<Counters>, ends: Ends) -> Bridge {
        let Ends { stream, keeper, proc, me } = ends;
        // What waited for users and for the server went with the last instance.
        let waiting = std::mem::take(&mut books.counters.values.waiting);
        books.counters.values.dropped.add_many(Dropped::Stopped, waiting);
        let waiting = std::mem::take(&mut books.counters.messages.waiting);
        books.counters.messages.in_doubt += waiting;
        books.counters.online = 0;
        let (teller, told) = mpsc::channel(TOLD);
        let (rights, people) = (Rights::of(&config, &me), People::new(&config));
        let mut bridge = Bridge {
            config,
            books,
            is_uncommitted: true,
            proc,
            stream,
            me: None,
            keeper,
            rights,
            people,
            subscriptions: HashMap::new(),
            ids: HashMap::new(),
            last_id: 0,
            told,
            teller,
            askers: HashMap::new(),
            thens: HashMap::new(),
            leaving: HashSet::new(),
            is_front: false,
            is_unreachable: false,
            nicks: HashMap::new(),
            last_message: 0,
            started: Time::now().ns(),
            enter_at: Instant::now(),
        };
        bridge.is_front = bridge.keeper.is_front(Instant::now());
        bridge.reconcile(Instant::now());
        bridge
    }

    /// Serves until it is told to stop.
    pub(crate) async fn serve(mut self, stop: StopSignal) -> anyhow::Result<()> {
        #[expect(
            deprecated,
            reason = "the descriptor of a stop signal never changes, which is all that is asked for"
        )]
        let stop = AsyncFd::new(stop)?;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watchdog = process::watchdog().unwrap_or(Duration::from_secs(3600));
        let mut alive = interval(watchdog);
        loop {
            self.stream.send().await;
            self.commit();
            let end = self.keeper.next_end();
            tokio::select! {
                // What users say comes before values, or a flood of those would shut them out.
                biased;
                ready = stop.readable() => {
                    let mut ready = ready?;
                    if let Some(signal) = ready.get_inner().take()? {
                        tracing::info!(signal, "stopping");
                        break;
                    }
                    ready.clear_ready();
                }
                _ = alive.tick() => process::alive(),
                _ = tick.tick() => self.tick(Instant::now()),
                () = async { sleep_until(end.unwrap_or_else(Instant::now).into()).await }, if end.is_some() => {
                    self.follow_leases(Instant::now());
                }
                report = self.keeper.next() => {
                    let heard = self.keeper.hear(report);
                    self.heard(heard, Instant::now());
                }
                event = self.stream.next() => {
                    // Several at once: a server cuts off who does not keep up with what others send him.
                    let (mut next, mut left) = (Some(event), EVENTS_A_TURN);
                    while let Some(event) = next {
                        if let Err(error) = self.event(event) {
                            self.close();
                            return Err(error);
                        }
                        left -= 1;
                        next = if left > 0 { self.stream.next().now_or_never() } else { None };
                    }
                    // Nor are values shut out by a flood of what is said.
                    for _ in 0..TOLD_A_TURN {
                        let Ok((id, told)) = self.told.try_recv() else { break };
                        self.told(id, told, Instant::now());
                    }
                }
                Some((id, told)) = self.told.recv() => self.told(id, told, Instant::now()),
            }
            self.is_uncommitted = true;
        }
        self.drain().await
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        process::stopping();
        let deadline = tokio::time::Instant::now() + self.config.drain_timeout.duration();
        if self.keeper.leave() {
            let left = async {
                loop {
                    let report = self.keeper.next().await;
                    match self.keeper.hear(report) {
                        Heard::Left => return,
                        // Who waits for an answer gets it.
                        changed @ Heard::Changed(..) => self.heard(changed, Instant::now()),
                        _ => {}
                    }
                }
            };
            if timeout_at(deadline, left).await.is_err() {
                tracing::warn!("the directory does not answer in time: leases end by themselves within 8 s");
            }
        }
        // Digests are told now, for nobody else can.
        let fields: Vec<String> = self.subscriptions.keys().cloned().collect();
        for field in fields {
            self.tell_digest(&field);
        }
        let sent = async {
            while self.stream.is_online() && !self.stream.is_idle() {
                self.stream.send().await;
                match self.stream.next().await {
                    Event::Delivered(messages) => self.books.counters.messages.delivered += messages,
                    Event::InDoubt(messages) => self.books.counters.messages.in_doubt += messages,
                    Event::Over | Event::Cut => return,
                    _ => {}
                }
            }
        };
        let _ = timeout_at(deadline, sent).await;
        let stream = self.close();
        // A server that does not answer is not waited for: the connection is closed with the process.
        let _ = timeout_at(deadline, stream.close()).await;
        Ok(())
    }

    /// Closes the books on what is left.
    fn close(mut self) -> Stream {
        let waiting: u64 = self.subscriptions.values().map(Subscription::waiting).sum();
        let counters = &mut self.books.counters;
        counters.values.dropped.add_many(Dropped::Stopped, waiting);
        counters.messages.dropped.add_many(Unsent::Stopped, self.stream.messages_waiting());
        (counters.values.waiting, counters.messages.waiting) = (0, 0);
        (counters.online, counters.front, counters.served) = (0, 0, 0);
        let carried = self.books.carried();
        self.books.close(carried);
        self.stream
    }

    fn event(&mut self, event: Event) -> anyhow::Result<()> {
        let counters = &mut self.books.counters;
        match event {
            Event::Online { me, in_doubt } => {
                tracing::info!(jid = %me, in_doubt, "logged in");
                counters.logins += 1;
                counters.messages.in_doubt += in_doubt;
                self.is_unreachable = false;
                self.me = Some(me);
                self.begin_session();
                self.tell_what_waited();
            }
            Event::Resumed => {
                tracing::info!("the connection is there again");
                counters.resumed += 1;
                self.is_unreachable = false;
                self.show_presence();
                self.tell_what_waited();
            }
            Event::Cut => tracing::warn!("the connection to the server is lost, it is made anew"),
            Event::Stanza(stanza) => self.stanza(*stanza),
            Event::Delivered(messages) => counters.messages.delivered += messages,
            Event::InDoubt(messages) => counters.messages.in_doubt += messages,
            Event::Refused(refusal) => return Err(Exit::NoPerm.error(refusal)),
            Event::Unreachable(why) => {
                counters.unreachable += 1;
                if !std::mem::replace(&mut self.is_unreachable, true) {
                    tracing::warn!(why, "the server cannot be reached, it is tried again and again");
                }
            }
            Event::Over => return Err(Exit::Software.error("the connection to the server ended for good")),
        }
        Ok(())
    }

    fn heard(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::Round { gained, is_first, was_away } => {
                if was_away {
                    tracing::info!("the directory is there again");
                }
                if is_first {
                    tracing::info!(
                        subscriptions = self.keeper.content.entries.len(),
                        "the directory is read"
                    );
                }
                self.follow_leases(now);
                if !gained.is_empty() {
                    tracing::warn!(subscriptions = gained.len(), "taken over from another bridge");
                    self.tell_taken_over(&gained);
                }
            }
            Heard::Changed(number, result) => {
                if let Some(then) = self.thens.remove(&number) {
                    self.then(then, result, now);
                }
            }
            Heard::Away(why) => {
                self.books.counters.directory_lost += 1;
                tracing::warn!(why, "subscriptions cannot be changed now");
                self.follow_leases(now);
            }
            Heard::Left | Heard::Nothing => {}
        }
    }

    /// Changes the directory; what comes then is done once it is kept.
    fn change(&mut self, change: Change, then: Then) {
        match self.keeper.change(change) {
            Ok(number) => {
                self.thens.insert(number, then);
            }
            Err(why) => self.then(then, Err(why), Instant::now()),
        }
    }

    /// Says something to whoever asked.
    fn say(&mut self, who: &Who, answer: &Answer) {
        let (text, json) = answer.render(self.format(&who.user));
        match &who.way {
            Way::Chat => self.push_message(&who.to, false, &text, json.as_deref()),
            Way::Room => self.push_message(&who.to, true, &text, json.as_deref()),
            Way::Command { id, node } => self.complete(&who.to, id, node, &answer.text),
        }
    }

    /// What the bodies of a user's messages are.
    fn format(&self, user: &str) -> Format {
        self.keeper.prefs(user).format.unwrap_or(self.config.format)
    }

    fn push_message(&mut self, to: &Jid, is_room: bool, text: &str, json: Option<&str>) {
        self.last_message += 1;
        let id = format!("leela-{:x}-{}", self.started, self.last_message);
        let stanza = chat::message(to, is_room, text, json, id);
        let messages = &mut self.books.counters.messages;
        messages.made += 1;
        if !self.stream.push(stanza) {
            messages.dropped.add(Unsent::Full);
        }
    }

    /// What becomes due with time.
    fn tick(&mut self, now: Instant) {
        self.people.sweep(now);
        self.end_openings(now);
        self.tell_digests(now);
        self.enter_again(now);
        self.follow_leases(now);
    }

    /// Serves what this bridge has leases of, and shows whether it is the one that is asked.
    fn follow_leases(&mut self, now: Instant) {
        self.keeper.follow(now);
        self.reconcile(now);
        let is_front = self.keeper.is_front(now);
        if std::mem::replace(&mut self.is_front, is_front) != is_front {
            tracing::info!(is_front, "whether this bridge is asked has changed");
            self.show_presence();
        }
    }

    fn commit(&mut self) {
        if !std::mem::take(&mut self.is_uncommitted) {
            return;
        }
        let counters = &mut self.books.counters;
        counters.online = u64::from(self.stream.is_online());
        counters.front = u64::from(self.is_front);
        counters.subscriptions = self.keeper.content.entries.len() as u64;
        counters.served = self.subscriptions.values().filter(|one| one.failed.is_none()).count() as u64;
        counters.values.waiting = self.subscriptions.values().map(Subscription::waiting).sum();
        counters.messages.waiting = self.stream.messages_waiting();
        self.books.commit_carried();
    }
}
