//! The directory as the bridge has it: all of it in memory, and who keeps it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use common::config::Secret;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::directory::file::DirectoryFile;
use crate::directory::lease::Leases;
use crate::directory::redis::{self, Order, Place, Report, Round};
use crate::directory::{Change, Content};
use crate::stream;

/// Orders and reports under way.
const QUEUE: usize = 1_024;

/// Who keeps the directory.
#[derive(Debug)]
enum Kept {
    File(DirectoryFile),
    Redis(Shared),
}

/// What is known of a directory that is shared.
#[derive(Debug)]
struct Shared {
    orders: mpsc::Sender<Order>,
    reports: mpsc::Receiver<Report>,
    leases: Leases,
    /// Why it is away.
    away: Option<String>,
    /// A round was heard.
    is_known: bool,
    number: u64,
    pending: BTreeMap<u64, Change>,
}

/// The directory.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) content: Content,
    kept: Kept,
}

/// What became of a change.
#[derive(Debug)]
pub(crate) enum Made {
    /// It is kept.
    Now,
    /// It is told later, under this number.
    Later(u64),
    /// It is not, and why.
    Not(String),
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
        if config.redis.host.is_empty() {
            let (file, content) = DirectoryFile::open(state.join("directory"))?;
            let mut keeper = Keeper { content, kept: Kept::File(file) };
            if !keeper.content.number().is_empty() {
                keeper.write().context("writing the directory")?;
            }
            return Ok(keeper);
        }
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
        let (orders, taken) = mpsc::channel(QUEUE);
        let (told, reports) = mpsc::channel(QUEUE);
        tokio::spawn(redis::keep(place, taken, told));
        let shared = Shared {
            orders,
            reports,
            leases: Leases::default(),
            away: None,
            is_known: false,
            number: 0,
            pending: BTreeMap::new(),
        };
        Ok(Keeper { content: Content::default(), kept: Kept::Redis(shared) })
    }

    fn write(&self) -> io::Result<()> {
        match &self.kept {
            Kept::File(file) => file.write(&self.content),
            Kept::Redis(_) => Ok(()),
        }
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
            Kept::File(_) => true,
            Kept::Redis(shared) => shared.leases.serves(field, now),
        }
    }

    /// Whether this bridge is the one that is asked. While nobody can know, it is: so that somebody answers.
    pub(crate) fn is_front(&self, now: Instant) -> bool {
        match &self.kept {
            Kept::File(_) => true,
            Kept::Redis(shared) if !shared.is_known => shared.away.is_some(),
            Kept::Redis(shared) => shared.leases.is_front(now),
        }
    }

    /// When something ends that this bridge holds.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        match &self.kept {
            Kept::File(_) => None,
            Kept::Redis(shared) => shared.leases.next_end(),
        }
    }

    /// Makes a change. A file is written here and now: it is small, and seldom.
    pub(crate) fn change(&mut self, change: Change) -> Made {
        match &mut self.kept {
            Kept::File(file) => {
                let before = self.content.clone();
                self.content.apply(&change);
                match file.write(&self.content) {
                    Ok(()) => Made::Now,
                    Err(error) => {
                        self.content = before;
                        Made::Not(format!("the directory cannot be written: {error}"))
                    }
                }
            }
            Kept::Redis(shared) => {
                if let Some(why) = &shared.away {
                    return Made::Not(why.clone());
                }
                shared.number += 1;
                let number = shared.number;
                match shared.orders.try_send(Order::Change(number, Box::new(change.clone()))) {
                    Ok(()) => {
                        shared.pending.insert(number, change);
                        Made::Later(number)
                    }
                    Err(_) => Made::Not("Redis does not keep up".to_owned()),
                }
            }
        }
    }

    /// Waits for what the keeper says; for ever where it is a file.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        match &mut self.kept {
            Kept::File(_) => std::future::pending().await,
            Kept::Redis(shared) => shared.reports.recv().await,
        }
    }

    /// Takes note of what the keeper said.
    pub(crate) fn hear(&mut self, report: Report) -> Heard {
        let Keeper { content, kept: Kept::Redis(shared) } = self else { return Heard::Nothing };
        match report {
            Report::Round(round) => shared.round(content, *round),
            Report::Changed(number, result) => {
                let Some(change) = shared.pending.remove(&number) else { return Heard::Nothing };
                match result {
                    Ok(asked) => {
                        content.apply(&change);
                        if let Some(entry) = &change.enter {
                            shared.leases.take(&entry.field(), asked);
                        }
                        Heard::Changed(number, Ok(()))
                    }
                    Err(why) => Heard::Changed(number, Err(why)),
                }
            }
            Report::Away(why) => match shared.away.replace(why.clone()) {
                None => Heard::Away(why),
                Some(_) => Heard::Nothing,
            },
            Report::Restarted => {
                tracing::warn!(
                    subscriptions = content.entries.len(),
                    "Redis is another one now, what this bridge knows is written back"
                );
                // The task reads nothing else meanwhile, and there is room for this.
                let now = Instant::now();
                let mut held: HashSet<String> = content
                    .entries
                    .keys()
                    .filter(|field| shared.leases.serves(field, now))
                    .cloned()
                    .collect();
                if shared.leases.is_front(now) {
                    held.insert(String::new());
                }
                let _ = shared.orders.try_send(Order::Restore(Box::new(content.clone()), held));
                Heard::Nothing
            }
            Report::Left => Heard::Left,
        }
    }

    /// Gives back all leases; false where there are none, and nothing will be heard.
    pub(crate) fn leave(&mut self) -> bool {
        match &mut self.kept {
            Kept::File(_) => false,
            Kept::Redis(shared) => {
                let fields = self.content.entries.keys().cloned().collect();
                shared.away.is_none() && shared.orders.try_send(Order::Leave(fields)).is_ok()
            }
        }
    }
}

impl Shared {
    fn round(&mut self, content: &mut Content, round: Round) -> Heard {
        let Round { asked, content: found, held, front, others } = round;
        // What was there before and was another's.
        let is_gained = |field: &&String| content.entries.contains_key(*field) && !self.leases.has(field);
        let mut gained: Vec<String> = held.iter().filter(is_gained).cloned().collect();
        *content = found;
        // A change that is under way is not in the round yet, or is already; it is applied when it is told. What users say
        // meanwhile builds on it.
        for change in self.pending.values() {
            content.prefs.insert(change.sender.clone(), change.prefs.clone());
        }
        self.leases.round(asked, held.iter().map(String::as_str), front, others);
        let is_first = !std::mem::replace(&mut self.is_known, true);
        let numbered = if self.pending.is_empty() { content.number() } else { Vec::new() };
        for sender in numbered {
            let prefs = content.prefs.get(&sender).cloned().unwrap_or_default();
            // Only one bridge does it; where it fails the next round does it again.
            if front {
                self.number += 1;
                let change = Change { sender, enter: None, leave: Vec::new(), prefs };
                let _ = self.orders.try_send(Order::Change(self.number, Box::new(change)));
            }
        }
        let was_away = self.away.take().is_some();
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
