//! The directory in Redis: the one task that speaks to it.
//!
//! | key | what |
//! | --- | --- |
//! | `leela.xmpp` | the original's hash: field, subscription |
//! | `leela.xmpp:prefs` | hash: bare JID, what that user chose, as JSON |
//! | `leela.xmpp:front` | the bridge that is asked, for 8 s |
//! | `leela.xmpp:lease:<field>` | the bridge that serves this subscription, for 8 s |
//! | `leela.xmpp:bridges` | hash: bridge, when it was there last, in ms since 1970 |
//!
//! Each second a round reads all and takes or renews what is free. All commands have a time limit; after a failure the
//! connection is made anew.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use common::config::Secret;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisError,
    Script, cmd, pipe,
};
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, timeout, timeout_at};

use super::lease::LEASE;
use super::{Change, Content, Entry, Made, Order, Prefs, Report, Round};

const HASH: &str = "leela.xmpp";
const PREFS: &str = "leela.xmpp:prefs";
const FRONT: &str = "leela.xmpp:front";
const LEASE_PREFIX: &str = "leela.xmpp:lease:";
const BRIDGES: &str = "leela.xmpp:bridges";

/// From one round to the next.
const ROUND: Duration = Duration::from_secs(1);
/// The most a command may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a change is tried that others were faster with: two bridges that go in step lose ten in a row.
const TRIES: u32 = 100;
/// A bridge that was there so lately may have leases.
const OTHERS_MS: u64 = 60_000;

/// Takes or renews leases: KEYS are their keys, ARGV the bridge and the time in ms. Gives 1 where the bridge has it.
const TAKE: &str = "
local held = {}
for i, key in ipairs(KEYS) do
  local who = redis.call('GET', key)
  if not who or who == ARGV[1] then
    redis.call('SET', key, ARGV[1], 'PX', ARGV[2])
    held[i] = 1
  else
    held[i] = 0
  end
end
return held";

/// Signs on, and gives how many other bridges were there lately: KEYS the hash, ARGV the bridge and the time in ms.
const SIGN: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], now)
local others = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if all[i] ~= ARGV[1] then
    if now - tonumber(all[i + 1]) < tonumber(ARGV[2]) then
      others = others + 1
    else
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
return others";

/// Makes a change, where the sender's prefs are what it was made for: KEYS are the hash, that of the prefs, the leases of
/// what is taken out and then that of what is entered; ARGV the sender, the prefs before and after, the bridge, the time
/// in ms, how many are taken out, their fields, and then field and value of what is entered. Gives -1 where the prefs are
/// others, 1 where the bridge has the lease of what is entered, else 0. A lease of another bridge stays: it serves on until
/// it hears that the subscription is gone.
const CHANGE: &str = "
if (redis.call('HGET', KEYS[2], ARGV[1]) or '') ~= ARGV[2] then
  return -1
end
local gone = tonumber(ARGV[6])
for i = 1, gone do
  redis.call('HDEL', KEYS[1], ARGV[6 + i])
  if redis.call('GET', KEYS[2 + i]) == ARGV[4] then
    redis.call('DEL', KEYS[2 + i])
  end
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
local lease = KEYS[3 + gone]
if not lease then
  return 0
end
redis.call('HSETNX', KEYS[1], ARGV[7 + gone], ARGV[8 + gone])
local who = redis.call('GET', lease)
if not who or who == ARGV[4] then
  redis.call('SET', lease, ARGV[4], 'PX', ARGV[5])
  return 1
end
return 0";

/// Gives leases back: KEYS are their keys, ARGV the bridge.
const RETURN: &str = "
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then
    redis.call('DEL', key)
  end
end
return 0";

/// Where Redis is, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) db: u32,
    pub(crate) password: Secret,
    /// The name of this bridge, which it keeps over restarts.
    pub(crate) bridge: String,
}

/// Why Redis is away.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("no answer within 2 s")]
    Silent,
}

/// Keeps the directory until the orders end.
pub(crate) async fn keep(place: Place, mut orders: mpsc::Receiver<Order>, reports: mpsc::Sender<Report>) {
    let mut run_id: Option<String> = None;
    loop {
        let why = match connect(&place).await {
            Ok((mut connection, id)) => {
                match serve(&place, &mut connection, (&mut run_id, id), &mut orders, &reports).await {
                    Ok(()) => return,
                    Err(trouble) => trouble,
                }
            }
            Err(trouble) => trouble,
        };
        let why = format!("Redis at {}:{} is away: {why}", place.host, place.port);
        if reports.send(Report::Away(why.clone())).await.is_err() {
            return;
        }
        // What is asked meanwhile is answered at once.
        let again = TokioInstant::now() + ROUND;
        while let Ok(order) = timeout_at(again, orders.recv()).await {
            let report = match order {
                None => return,
                Some(Order::Change(number, _)) => Report::Changed(number, Err(why.clone())),
                Some(Order::Restore(..)) => continue,
                Some(Order::Leave(_)) => Report::Left,
            };
            if reports.send(report).await.is_err() {
                return;
            }
        }
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, RedisError>>) -> Result<T, Trouble> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Trouble::Silent),
    }
}

/// Connects, and asks which instance it is.
async fn connect(place: &Place) -> Result<(MultiplexedConnection, String), Trouble> {
    let address = ConnectionAddr::Tcp(place.host.clone(), place.port);
    let mut settings = redis::RedisConnectionInfo::default().set_db(i64::from(place.db));
    if !place.password.is_empty() {
        settings = settings.set_password(place.password.expose());
    }
    let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(settings);
    let client = Client::open(info)?;
    // Its own limits are shorter: half a second for an answer.
    let unlimited = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&unlimited);
    let mut connection = within(connection).await?;
    let info: String = within(cmd("INFO").arg("server").query_async(&mut connection)).await?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
    Ok((connection, id.trim().to_owned()))
}

async fn serve(
    place: &Place,
    connection: &mut MultiplexedConnection,
    (run_id, id): (&mut Option<String>, String),
    orders: &mut mpsc::Receiver<Order>,
    reports: &mpsc::Sender<Report>,
) -> Result<(), Trouble> {
    let mut is_stale = run_id.as_ref().is_some_and(|before| *before != id);
    // Until its leases would have ended, a Redis that has none is asked for those alone that this bridge had: others
    // still serve theirs.
    let mut ours: Option<(TokioInstant, HashSet<String>)> = None;
    if !is_stale {
        *run_id = Some(id.clone());
    }
    if is_stale && reports.send(Report::Restarted).await.is_err() {
        return Ok(());
    }
    let mut due = TokioInstant::now();
    loop {
        let order = match is_stale {
            true => orders.recv().await,
            false => match timeout_at(due, orders.recv()).await {
                Ok(order) => order,
                Err(_) => {
                    due = TokioInstant::now() + ROUND;
                    ours = ours.filter(|(until, _)| TokioInstant::now() < *until);
                    let round = round(place, connection, ours.as_ref().map(|(_, ours)| ours)).await?;
                    if reports.send(Report::Round(Box::new(round))).await.is_err() {
                        return Ok(());
                    }
                    continue;
                }
            },
        };
        match order {
            None => return Ok(()),
            // What is said of an empty one would not be what this bridge knows.
            Some(Order::Change(number, _)) if is_stale => {
                let why = "Redis is another one now, and is being filled again".to_owned();
                if reports.send(Report::Changed(number, Err(why))).await.is_err() {
                    return Ok(());
                }
            }
            Some(Order::Change(number, wanted)) => {
                let result = change(place, connection, &wanted).await;
                let (told, trouble) = match result {
                    Ok(Some(made)) => {
                        if let (Some((_, ours)), Some(entry), true) = (&mut ours, &wanted.enter, made.is_ours)
                        {
                            ours.insert(entry.field());
                        }
                        (Ok(made), None)
                    }
                    Ok(None) => (Err("others change it all the time".to_owned()), None),
                    Err(trouble) => (Err(trouble.to_string()), Some(trouble)),
                };
                if reports.send(Report::Changed(number, told)).await.is_err() {
                    return Ok(());
                }
                if let Some(trouble) = trouble {
                    return Err(trouble);
                }
            }
            Some(Order::Restore(content, held)) => {
                restore(connection, &content).await?;
                tracing::warn!(
                    subscriptions = content.entries.len(),
                    "Redis is another one now, what this bridge knows was written back"
                );
                // Only now: where this fails, it is done again.
                *run_id = Some(id.clone());
                ours = Some((TokioInstant::now() + LEASE, held));
                is_stale = false;
                due = TokioInstant::now();
            }
            Some(Order::Leave(fields)) => {
                let returned = give_back(place, connection, &fields).await;
                // Who leaves cannot do more; the leases end by themselves.
                if let Err(error) = returned {
                    tracing::warn!(%error, "the leases could not be given back");
                }
                let _ = reports.send(Report::Left).await;
                return Ok(());
            }
        }
    }
}

async fn round(
    place: &Place,
    connection: &mut MultiplexedConnection,
    ours: Option<&HashSet<String>>,
) -> Result<Round, Trouble> {
    let asked = Instant::now();
    let mut both = pipe();
    both.atomic();
    both.hgetall(HASH).hgetall(PREFS);
    let (hash, prefs): (HashMap<String, String>, HashMap<String, String>) =
        within(both.query_async(connection)).await?;
    let mut content = Content::default();
    for (field, text) in hash {
        match Entry::read(&text) {
            Some(entry) => {
                content.entries.insert(field, entry);
            }
            None => tracing::debug!(field, "an entry of the directory is none"),
        }
    }
    for (sender, text) in prefs {
        content.prefs.insert(sender, serde_json::from_str::<Prefs>(&text).unwrap_or_default());
    }
    let sign = Script::new(SIGN);
    let others: u64 =
        within(sign.key(BRIDGES).arg(&place.bridge).arg(OTHERS_MS).invoke_async(connection)).await?;
    let is_ours = |field: &str| ours.is_none_or(|ours| ours.contains(field));
    let fields: Vec<&String> = content.entries.keys().filter(|field| is_ours(field)).collect();
    let keys: Vec<String> = is_ours("")
        .then(|| FRONT.to_owned())
        .into_iter()
        .chain(fields.iter().map(|field| format!("{LEASE_PREFIX}{field}")))
        .collect();
    let taken = take(place, connection, &keys).await?;
    let fronts = usize::from(is_ours(""));
    let front = fronts == 1 && taken.first() == Some(&1);
    let held = fields.iter().zip(taken.iter().skip(fronts)).filter(|(_, held)| **held == 1);
    let held = held.map(|(field, _)| (*field).clone()).collect();
    Ok(Round { asked, content, held, front, others: others > 0 })
}

async fn take(
    place: &Place,
    connection: &mut MultiplexedConnection,
    keys: &[String],
) -> Result<Vec<u64>, Trouble> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let script = Script::new(TAKE);
    let mut call = script.prepare_invoke();
    keys.iter().for_each(|key| {
        call.key(key);
    });
    call.arg(&place.bridge).arg(LEASE.as_millis() as u64);
    within(call.invoke_async(connection)).await
}

/// Makes a change; none where others were faster again and again.
async fn change(
    place: &Place,
    connection: &mut MultiplexedConnection,
    change: &Change,
) -> Result<Option<Made>, Trouble> {
    let script = Script::new(CHANGE);
    for _ in 0..TRIES {
        let asked = Instant::now();
        let before: Option<String> =
            within(cmd("HGET").arg(PREFS).arg(&change.sender).query_async(connection)).await?;
        let before = before.unwrap_or_default();
        let mut prefs = serde_json::from_str::<Prefs>(&before).unwrap_or_default();
        prefs.edit(&change.edits);
        let after = match prefs.is_default() {
            true => String::new(),
            false => serde_json::to_string(&prefs).unwrap_or_default(),
        };
        let mut call = script.prepare_invoke();
        call.key(HASH).key(PREFS);
        call.arg(&change.sender).arg(before).arg(after);
        call.arg(&place.bridge).arg(LEASE.as_millis() as u64).arg(change.leave.len());
        for field in &change.leave {
            call.key(format!("{LEASE_PREFIX}{field}")).arg(field);
        }
        if let Some(entry) = &change.enter {
            call.key(format!("{LEASE_PREFIX}{}", entry.field())).arg(entry.field()).arg(entry.write());
        }
        let said: i64 = within(call.invoke_async(connection)).await?;
        if said >= 0 {
            return Ok(Some(Made { asked, prefs, is_ours: said == 1 }));
        }
    }
    Ok(None)
}

/// Writes what is not there: other bridges do the same.
async fn restore(connection: &mut MultiplexedConnection, content: &Content) -> Result<(), Trouble> {
    let mut all = pipe();
    all.atomic();
    for (field, entry) in &content.entries {
        all.hset_nx(HASH, field, entry.write()).ignore();
    }
    for (sender, prefs) in &content.prefs {
        all.hset_nx(PREFS, sender, serde_json::to_string(prefs).unwrap_or_default()).ignore();
    }
    within(all.query_async::<()>(connection)).await
}

async fn give_back(
    place: &Place,
    connection: &mut MultiplexedConnection,
    fields: &[String],
) -> Result<(), Trouble> {
    let script = Script::new(RETURN);
    let mut call = script.prepare_invoke();
    call.key(FRONT);
    fields.iter().for_each(|field| {
        call.key(format!("{LEASE_PREFIX}{field}"));
    });
    call.arg(&place.bridge);
    within(call.invoke_async::<u64>(connection)).await?;
    within(cmd("HDEL").arg(BRIDGES).arg(&place.bridge).query_async::<()>(connection)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_redis_that_is_away_is_tried_each_second() {
        // Nobody can connect to this one: an attempt ends at once, by the system call itself.
        let place = Place {
            host: "255.255.255.255".to_owned(),
            port: 6379,
            db: 0,
            password: Secret::default(),
            bridge: "here".to_owned(),
        };
        let (ask, orders) = mpsc::channel(1);
        let (told, mut reports) = mpsc::channel(1);
        let begun = TokioInstant::now();
        let kept = tokio::spawn(keep(place, orders, told));
        for want in 0..5 {
            let report = reports.recv().await;
            assert!(matches!(report, Some(Report::Away(_))), "{report:?}");
            let late = begun.elapsed().saturating_sub(ROUND * want);
            assert!(begun.elapsed() >= ROUND * want && late < ROUND / 2, "{want}: {late:?}");
        }
        // What is asked meanwhile is answered at once.
        let asked = TokioInstant::now();
        ask.send(Order::Leave(Vec::new())).await.unwrap();
        let report = reports.recv().await;
        assert!(matches!(report, Some(Report::Left)), "{report:?}");
        assert!(asked.elapsed() < ROUND / 2, "{:?}", asked.elapsed());
        drop(ask);
        kept.await.unwrap();
    }
}
