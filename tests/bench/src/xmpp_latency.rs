//! xmpp_latency: how long a gauge is under way to a chat client, at each server, beside what one client says to another.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tests::{BOT, Brand, Bridge, ChatClient, wait_for};

use crate::Scale;
use crate::figure::{Figure, Unit, median};

/// From one gauge to the next, unless it takes longer: nothing of the last one is left.
const PERIOD: Duration = Duration::from_millis(8);
/// Values come one by one, however many there are.
const CONFIG: &str = "messages_per_minute = 1000000\n";

/// What the process of one server is told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    server: Server,
    gauges: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Server {
    Prosody,
    Ejabberd,
}

/// What it has seen, in microseconds each; nothing where the server is not installed.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    gauges: Vec<f64>,
    said: Vec<f64>,
}

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let gauges = scale.pick(1_000, 20);
    let at = |server: Server, name: &str| -> anyhow::Result<Figure> {
        let name = format!("xmpp_latency at {name}");
        let Seen { gauges, mut said } = of(server, gauges)?;
        if gauges.is_empty() {
            return Ok(Figure::skipped(name, "the server is not installed"));
        }
        let (mut sorted, baseline) = (gauges, median(&said));
        let p50 = median(&sorted);
        let [p99, said_p99] = [&mut sorted, &mut said].map(|all| {
            all.sort_by(f64::total_cmp);
            all[all.len() * 99 / 100]
        });
        Ok(Figure::new(name, Unit::Microseconds, p50)
            .bounds(5_000.0, 2_000.0)
            .baseline("what one client says to another there", baseline)
            .note(format!("p99 {p99:.0} us, of the baseline {said_p99:.0} us")))
    };
    Ok(vec![at(Server::Prosody, "Prosody")?, at(Server::Ejabberd, "ejabberd")?])
}

/// A process for each: what the tests stand on panics where something does not come.
fn of(server: Server, gauges: u32) -> anyhow::Result<Seen> {
    let program = std::env::current_exe().context("finding this program")?;
    let name = server.to_possible_value().context("each server has a name")?;
    let mut command = Command::new(program);
    command.arg("chat").arg(name.get_name()).arg(gauges.to_string()).stdin(Stdio::null());
    let output = command.stderr(Stdio::inherit()).output().context("starting a client")?;
    ensure!(output.status.success(), "the clients at {} ended with {}", name.get_name(), output.status);
    serde_json::from_slice(&output.stdout).context("understanding the clients")
}

/// One server, the whole chain to it, and two clients at it; values and messages in turns.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let brand = match options.server {
        Server::Prosody => Brand::Prosody,
        Server::Ejabberd => Brand::Ejabberd,
    };
    let mut seen = Seen::default();
    if let Some(bridge) = Bridge::start(brand, CONFIG) {
        let (alice, bob) = (bridge.server.login("alice"), bridge.server.login("bob"));
        let answer = alice.ask(BOT, "SELECT id FROM ^bench$;");
        ensure!(answer.body.starts_with("#1 "), "the subscription is answered {:?}", answer.body);
        for number in 0..options.gauges {
            let due = Instant::now() + PERIOD;
            let gauge = format!("gauge 5|bench {number} {number}.0;");
            seen.gauges.push(us(&alice, &format!("#1 bench {number} at "), || bridge.send(&gauge)));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let (due, text) = (Instant::now() + PERIOD, format!("message {number} of bob's"));
            seen.said.push(us(&alice, &text, || bob.say("alice@localhost", &text)));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let came = alice.look(<[_]>::len);
        let want = 1 + 2 * options.gauges as usize;
        ensure!(came == want, "{want} messages were to come, {came} came");
    }
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

/// Microseconds from before `send` until the message was there that begins so, and is the next one.
fn us(client: &ChatClient, text: &str, send: impl FnOnce()) -> f64 {
    let before = client.look(<[_]>::len);
    let begun = Instant::now();
    send();
    let said = wait_for("the next message", || client.look(|said| said.get(before).cloned()));
    assert!(said.body.starts_with(text), "{text:?} was to come, {:?} came", said.body);
    said.at.saturating_duration_since(begun).as_secs_f64() * 1e6
}
