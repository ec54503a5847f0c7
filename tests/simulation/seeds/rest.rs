//! The end of a seed: all goes well, all comes to rest, and then all has to add up.

use std::time::Duration;

use common::wire::Content;
use hop::account::{Reading, Report};
use sockets::peer::Standing;
use sockets::ring::RingFile;

use crate::world::World;

/// Steps after which all has come to rest. The first are short, those behind a second each: a clock that was set back
/// by less than ten minutes is waited for.
const SHORT_STEPS: u64 = 400;
const STEPS: u64 = SHORT_STEPS + 1500;

impl World {
    /// Lets all come to rest, and checks it.
    pub(crate) fn rest(&mut self) -> Result<(), String> {
        self.tell(|| "all is well from now on".to_owned());
        self.network.flaky(0, 1);
        self.storage.disk.files.heal();
        self.storage.disk.files.set_free_bytes(None);
        for peer in &mut self.peers {
            (peer.is_stopped, peer.pace) = (false, u64::MAX);
        }
        for step in 0.. {
            if step > STEPS {
                return Err(format!("after {STEPS} steps it is not at rest: {:?}", self.is_at_rest()?.err()));
            }
            self.pass(Duration::from_millis(if step < SHORT_STEPS { 100 } else { 1000 }))?;
            // A whole interval and a second: no window is open that has anything in it.
            if step > 130 && self.is_at_rest()?.is_ok() {
                let report = self.report()?;
                if report.at_rest() || !report.balanced {
                    break;
                }
                // What a process that was killed had in its hand is known to be missing when more comes behind it.
                self.records_of_each_content()?;
            }
        }
        self.check()
    }

    /// What is not at rest.
    fn is_at_rest(&self) -> Result<Result<(), String>, String> {
        let is_live = self.inputs.iter().all(|input| input.process.live.is_some())
            && self.peers.iter().all(|peer| peer.process.live.is_some())
            && self.timeline.live.is_some()
            && self.storage.process.live.is_some();
        if !is_live {
            return Ok(Err("a process is away".to_owned()));
        }
        let books = self.timeline_books()?;
        let open = books.counter("aggregated_open") + books.counter("absolute_open");
        if open > 0 {
            return Ok(Err(format!("{open} records in open windows")));
        }
        let paths = self.peers.iter().map(|peer| &peer.path).chain([&self.storage.path]);
        for path in paths.cloned().chain([self.run.timeline_databus()]) {
            let waiting = self.network.waiting(&path);
            if waiting > 0 {
                return Ok(Err(format!("{waiting} datagrams wait at {}", path.display())));
            }
        }
        for hop in &self.report()?.hops {
            if hop.waiting > 0 {
                return Ok(Err(format!("{} has {} records for {}", hop.from, hop.waiting, hop.to)));
            }
        }
        Ok(Ok(()))
    }

    fn report(&self) -> Result<Report, String> {
        let reading = Reading::of(&self.run).map_err(|err| err.to_string())?;
        Ok(Report::of(&self.run, &reading))
    }

    fn check(&mut self) -> Result<(), String> {
        let report = self.report()?;
        if !report.balanced || !report.at_rest() {
            return Err(format!("the books do not balance: {:?} {:?}", report.findings, report.hops));
        }
        self.check_timeline()?;
        self.check_hops()?;
        self.check_peers()?;
        self.storage.check(self.wall)
    }

    /// In = out + what has a name.
    fn check_timeline(&self) -> Result<(), String> {
        let books = self.timeline_books()?;
        let (ledger, out) = (&self.ledger, &self.ledger.out);
        for (what, want, got) in [
            ("records received by the timeline", ledger.received, books.counter("received")),
            ("records refused", ledger.refused, books.total("refused")),
            ("records applied to windows", ledger.gathered, books.counter("aggregated_applied")),
            ("series that expired", 0, books.counter("expired")),
        ] {
            // A counter or a derive may be late, which is the timeline's to say.
            let stale = books.counter("refused.stale") + books.counter("refused.too_old");
            let got = if what == "records refused" { got - stale } else { got };
            if want != got {
                return Err(format!("{what}: {got} by the books, {want} in truth"));
            }
        }
        let lost = books.counter("aggregated_lost");
        if out.gathered + lost as f64 != ledger.gathered as f64 {
            return Err(format!(
                "{} records went into windows, {} came out, {lost} are said to be lost",
                ledger.gathered, out.gathered
            ));
        }
        let first_other =
            |want: &[u64], got: &[u64]| want.iter().zip(got).position(|(want, got)| want != got);
        for (what, want, got) in
            [("gauges", &ledger.gauges, &out.gauges), ("notes", &ledger.notes, &out.notes)]
        {
            if want != got {
                return Err(format!(
                    "{} {what} went in, {} came out, the first other one is {:?}",
                    want.len(),
                    got.len(),
                    first_other(want, got)
                ));
            }
        }
        Ok(())
    }

    fn check_hops(&self) -> Result<(), String> {
        for input in &self.inputs {
            let ring = RingFile::read(&self.run.ring(input.name)).map_err(|err| err.to_string())?;
            let ring = ring.ok_or("an input has no ring")?;
            let numbers = [Content::Metrics, Content::Notes];
            let mut ends = [0; 8];
            for (content, stream) in numbers.into_iter().zip(&input.streams) {
                ends[content as usize] = stream.len() as u64;
            }
            let peer = ring.peers.iter().find(|peer| peer.standing == Standing::Active);
            let peer = peer.ok_or("an input has no peer")?;
            self.hop.check(input.name, peer, &ends, input.source)?;
        }
        Ok(())
    }

    fn check_peers(&self) -> Result<(), String> {
        let events = &self.ledger.out.events;
        let storage = ("storage", &self.storage.path, &self.storage.hop, &self.storage.got);
        let peers = self.peers.iter().map(|peer| (peer.name, &peer.path, &peer.hop, &peer.got));
        let books = self.timeline_books()?;
        let ring = RingFile::read(&self.run.ring("timeline")).map_err(|err| err.to_string())?;
        let ring = ring.ok_or("the timeline has no ring")?;
        let numbers = RingFile::numbers(&books.carried);
        for (name, path, hop, got) in peers.chain([storage]) {
            for (number, print) in got {
                let Some((key, time, value)) = events.get(number) else {
                    return Err(format!("{name} got event {number}, which did not come out"));
                };
                if *print != crate::peer::print(key, time.ns(), *value) {
                    return Err(format!("{name} got another event {number} than came out"));
                }
            }
            if let Some((one, other)) =
                got.iter().zip(&got[1.min(got.len())..]).find(|(one, other)| one.0 >= other.0)
            {
                return Err(format!("{name} got event {} behind {}", other.0, one.0));
            }
            let Some(peer) = ring.peers.iter().find(|peer| peer.path == *path) else { continue };
            hop.check(name, peer, &numbers, ring.source)?;
        }
        Ok(())
    }
}
