//! The directory as the bridge has it: all of it in memory, and who keeps it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use common::config::Secret;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::directory::file::{self, DirectoryFile};
use crate::directory::lease::Leases;
use crate::directory::redis::{self, Place};
use crate::directory::{Change, Content, Order, Prefs, Report, Round};
use crate::stream;

/// Orders and reports under way.
const QUEUE: usize = 1_024;

/// Who keeps the directory.
#[derive(Debug)]
enum Kept {
    File,
    Redis(Shared),
}

/// What is known of a directory that is shared.
#[derive(Debug, Default)]
struct Shared {
    leases: Leases,
    /// Why it is away.
    away: Option<String>,
    /// A round was heard.
    is_known: bool,
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Keeper {
    /// What is kept.
    pub(crate) content: Content,
    kept: Kept,
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
    /// The number of the last change.
    number: u64,
    /// Changes that are under way.
    pending: BTreeMap<u64, Change>,
}

/// What a report is about.
#[derive(Debug)]
pub(crate) enum Heard {
    /// What there is may be another now. These came from another bridge.
    Round { gained: Vec<String>, is_first: bool, was_away: bool },
    /// A change is kept, or it is not, and why.
    Changed(u64, Result<(), String>),
    /// The directory is away, and why; once.
    Away(String),
    /// The leases are given back.
    Left,
    /// Nothing that matters.
    Nothing,
}

impl Keeper {
    /// Opens the directory: the file of `state`, or Redis, in whose name this bridge is `bridge`.
    pub(crate) fn open(config: &Config, state: &Path, bridge: &str) -> anyhow::Result<Keeper> {
        let (orders, taken) = mpsc::channel(QUEUE);
        let (told, reports) = mpsc::channel(QUEUE);
        let (content, kept) = if config.redis.host.is_empty() {
            let (file, mut content) = DirectoryFile::open(state.join("directory"))?;
            let changes = content.numbering();
            changes.iter().for_each(|change| content.apply(change));
            if !changes.is_empty() {
                file.write(&content).context("writing the directory")?;
            }
            let written = content.clone();
            let keep = move || file::keep(&file, written, taken, &told);
            thread::Builder::new().name("directory".to_owned()).spawn(keep).context("starting a thread")?;
            (content, Kept::File)
        } else {
            let redis = &config.redis;
            let password = match redis.password_file.as_os_str().is_empty() {
                true => Secret::default(),
                false => stream::secret("redis.password_file", &redis.password_file)?,
            };
            let place = Place {
                host: redis.host.clone(),
                port: redis.port,
                db: redis.db,
                password,
                bridge: bridge.to_owned(),
            };
            tokio::spawn(redis::keep(place, taken, told));
            (Content::default(), Kept::Redis(Shared::default()))
        };
        Ok(Keeper { content, kept, orders, reports, number: 0, pending: BTreeMap::new() })
    }

    /// What a user chose, with what is under way.
    pub(crate) fn prefs(&self, user: &str) -> Cow<'_, Prefs> {
        let mut prefs = match self.content.prefs.get(user) {
            Some(prefs) => Cow::Borrowed(prefs),
            None => Cow::Owned(Prefs::default()),
        };
        for change in self.pending.values().filter(|change| change.sender == user) {
            prefs.to_mut().edit(&change.edits);
        }
        prefs
    }

    /// Whether what is in memory is all there is: not before Redis was heard for the first time.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(&self.kept, Kept::Redis(Shared { is_known: false, .. }))
    }

    /// Why nothing can be changed now.
    pub(crate) fn away(&self) -> Option<&str> {
        match &self.kept {
            Kept::Redis(Shared { away: Some(why), .. }) => Some(why),
            Kept::Redis(Shared { is_known: false, .. }) => Some("Redis has not answered yet"),
            _ => None,
        }
    }

    /// Whether this bridge serves a subscription.
    pub(crate) fn serves(&self, field: &str, now: Instant) -> bool {
        match &self.kept {
            Kept::File => true,
            Kept::Redis(shared) => shared.leases.serves(field, now),
        }
    }

    /// Whether this bridge is the one that is asked. While nobody can know, it is: so that somebody answers.
    pub(crate) fn is_front(&self, now: Instant) -> bool {
        match &self.kept {
            Kept::File => true,
            Kept::Redis(shared) if !shared.is_known => shared.away.is_some(),
            Kept::Redis(shared) => shared.leases.is_front(now),
        }
    }

    /// Takes note that everything goes by what this bridge holds `now`.
    pub(crate) fn follow(&mut self, now: Instant) {
        if let Kept::Redis(shared) = &mut self.kept {
            shared.leases.follow(now);
        }
    }

    /// When something ends that this bridge holds.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        match &self.kept {
            Kept::File => None,
            Kept::Redis(shared) => shared.leases.next_end(),
        }
    }

    /// Makes a change, which is told of under the number; or why not.
    pub(crate) fn change(&mut self, change: Change) -> Result<u64, String> {
        if let Kept::Redis(Shared { away: Some(why), .. }) = &self.kept {
            return Err(why.clone());
        }
        let number = self.number + 1;
        match self.orders.try_send(Order::Change(number, Box::new(change.clone()))) {
            Ok(()) => {
                self.number = number;
                self.pending.insert(number, change);
                Ok(number)
            }
            Err(_) => Err("the directory does not keep up".to_owned()),
        }
    }

    /// Waits for what the keeper says; for ever where there is none any more.
    pub(crate) async fn next(&mut self) -> Report {
        match self.reports.recv().await {
            Some(report) => report,
            None => std::future::pending().await,
        }
    }

    /// Takes note of what the keeper said.
    pub(crate) fn hear(&mut self, report: Report) -> Heard {
        match report {
            Report::Round(round) => self.round(*round),
            Report::Changed(number, result) => {
                let Some(change) = self.pending.remove(&number) else { return Heard::Nothing };
                match result {
                    Ok(made) => {
                        self.content.take(&change, made.prefs);
                        if let (Kept::Redis(shared), Some(entry), true) =
                            (&mut self.kept, &change.enter, made.is_ours)
                        {
                            shared.leases.take(&entry.field(), made.asked);
                        }
                        Heard::Changed(number, Ok(()))
                    }
                    Err(why) => Heard::Changed(number, Err(why)),
                }
            }
            Report::Away(why) => {
                let Kept::Redis(shared) = &mut self.kept else { return Heard::Nothing };
                match shared.away.replace(why.clone()) {
                    None => Heard::Away(why),
                    Some(_) => Heard::Nothing,
                }
            }
            Report::Restarted => {
                self.restore();
                Heard::Nothing
            }
            Report::Left => Heard::Left,
        }
    }

    /// Has all that is known written back.
    fn restore(&self) {
        let Kept::Redis(shared) = &self.kept else { return };
        let now = Instant::now();
        let held = self.content.entries.keys().filter(|field| shared.leases.serves(field, now)).cloned();
        let front = shared.leases.is_front(now).then(String::new);
        let order = Order::Restore(Box::new(self.content.clone()), held.chain(front).collect());
        // Where there is no room the task waits for it, and answers meanwhile what is there.
        let orders = self.orders.clone();
        if let Err(mpsc::error::TrySendError::Full(order)) = orders.try_send(order) {
            tokio::spawn(async move { orders.send(order).await });
        }
    }

    /// Gives back all leases, and has written what is under way: [`Heard::Left`] tells of it. False where nothing will be
    /// heard.
    pub(crate) fn leave(&mut self) -> bool {
        let is_away = matches!(&self.kept, Kept::Redis(Shared { away: Some(_), .. }));
        let fields = match &self.kept {
            Kept::File => Vec::new(),
            Kept::Redis(_) => self.content.entries.keys().cloned().collect(),
        };
        !is_away && self.orders.try_send(Order::Leave(fields)).is_ok()
    }

    fn round(&mut self, round: Round) -> Heard {
        let Kept::Redis(shared) = &mut self.kept else { return Heard::Nothing };
        let Round { asked, content, held, front, others } = round;
        // What was there before and was another's.
        let is_gained =
            |field: &&String| self.content.entries.contains_key(*field) && !shared.leases.has(field);
        let mut gained: Vec<String> = held.iter().filter(is_gained).cloned().collect();
        self.content = content;
        shared.leases.round(asked, held.iter().map(String::as_str), front, others);
        let is_first = !std::mem::replace(&mut shared.is_known, true);
        let was_away = shared.away.take().is_some();
        // All see the same, and one of them writes it; where that fails the next round does it again.
        for change in self.content.numbering() {
            self.content.apply(&change);
            if front {
                let _ = self.change(change);
            }
        }
        if is_first {
            gained.clear();
        }
        Heard::Round { gained, is_first, was_away }
    }
}

/// The name of this bridge, drawn once and kept in `state`, with that of the host.
pub(crate) fn name(state: &Path) -> anyhow::Result<String> {
    let path = state.join("id");
    let id = match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
        Ok(_) => draw(&path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => draw(&path)?,
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(format!("{host}.{id}"))
}

fn draw(path: &Path) -> anyhow::Result<String> {
    use std::hash::{BuildHasher as _, Hasher as _};
    // RandomState's keys come from the system's random numbers.
    let id = format!("{:016x}", std::hash::RandomState::new().build_hasher().finish());
    fs::write(path, &id).with_context(|| format!("writing {}", path.display()))?;
    Ok(id)
}
