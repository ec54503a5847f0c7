//! What happens in the world: records, time, and faults.

use std::time::Duration;

use common::metric::Kind;
use common::value::Value;
use leela_storage::testing::{Fault, Loss, Op};
use nix::errno::Errno;

use crate::input::Given;
use crate::ledger::Record;
use crate::world::World;

/// Operations of a seed, at least.
pub(crate) const OPERATIONS: u64 = 1000;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

impl World {
    /// One operation.
    pub(crate) fn operate(&mut self) -> Result<(), String> {
        match self.random.below(1000) {
            0..620 => self.records(),
            620..870 => {
                let time = Duration::from_millis(1 + self.random.below(300));
                self.pass(time)
            }
            870..910 => self.run_on(),
            _ => self.fault(),
        }
    }

    /// Time passes in which nothing else happens.
    fn run_on(&mut self) -> Result<(), String> {
        for _ in 0..10 + self.random.below(120) {
            self.pass(Duration::from_millis(100))?;
        }
        Ok(())
    }

    /// An input is given records.
    fn records(&mut self) -> Result<(), String> {
        let place = self.random.below(self.inputs.len() as u64) as usize;
        if self.inputs[place].process.live.is_none() {
            return self.step_input(place);
        }
        let most = *self.random.pick(&[3, 30, 30, 300]);
        let given: Vec<Given> = (0..1 + self.random.below(most)).map(|_| self.record()).collect();
        self.give(place, &given)?;
        if self.random.percent(50) {
            return self.step();
        }
        Ok(())
    }

    /// Every input is given a record of each content, and each content comes out of the timeline.
    pub(crate) fn records_of_each_content(&mut self) -> Result<(), String> {
        for place in 0..self.inputs.len() {
            self.drawn += 1;
            let (number, time) = (self.drawn, self.wall);
            let given = [
                (Record::Gauge(number, time), Kind::Gauge, "g"),
                (Record::Gathered(time), Kind::Sample, "s"),
                (Record::Note(number), Kind::Gauge, "n"),
            ]
            .map(|(record, kind, name)| {
                let key = format!("{name}.{}{place}", self.pad).into_bytes();
                Given { record, key, kind, time, value: Value::U64(number) }
            });
            self.give(place, &given)?;
        }
        self.step()
    }

    fn give(&mut self, place: usize, given: &[Given]) -> Result<(), String> {
        self.tell(|| format!("{} takes {} records", self.inputs[place].name, given.len()));
        let instant = self.instant();
        if self.inputs[place].take(given, &self.run, instant)? {
            self.input_died(place);
        }
        Ok(())
    }

    fn record(&mut self) -> Given {
        self.drawn += 1;
        let (number, series) = (self.drawn, self.random.below(6));
        // Late, in time, ahead, and too far ahead.
        let ahead = *self.random.pick(&[-400, -30, -11, -1, 0, 0, 0, 0, 0, 0, 1, 12, 40, 700]);
        let time = self.wall.plus_ns(ahead * SECOND + self.random.below(SECOND as u64) as i64);
        let (record, kind, name) = match self.random.below(100) {
            0..25 => (Record::Gauge(number, time), Kind::Gauge, "g"),
            25..50 => (Record::Gathered(time), Kind::Count, "c"),
            50..65 => (Record::Gathered(time), Kind::Sample, "s"),
            65..75 => (Record::Gathered(time), Kind::Member, "m"),
            75..82 => (Record::Rate(time), Kind::Counter, "r"),
            82..87 => (Record::Rate(time), Kind::Derive, "d"),
            87..93 => (Record::Rate(time), Kind::Absolute, "a"),
            93..95 => (Record::Bad, Kind::Gauge, ";"),
            _ => (Record::Note(number), Kind::Gauge, "n"),
        };
        let value = if kind == Kind::Count { 1 } else { number };
        let key = format!("{name}.{}{series}", self.pad).into_bytes();
        Given { record, key, kind, time, value: Value::U64(value) }
    }

    /// Something goes wrong.
    pub(crate) fn fault(&mut self) -> Result<(), String> {
        self.faults += 1;
        match self.random.below(100) {
            0..22 => self.light(),
            22..30 => self.kill(),
            30..42 => self.restart_timeline(),
            42..47 => {
                let wall = self.wall;
                self.tell(|| "storage ends".to_owned());
                self.storage.end(wall)?;
                self.storage.process.die(self.now);
                self.step_storage()
            }
            47..51 => {
                let place = self.random.below(self.inputs.len() as u64) as usize;
                self.tell(|| format!("{} ends", self.inputs[place].name));
                self.inputs[place].end();
                self.inputs[place].process.die(self.now);
                self.step_input(place)
            }
            51..63 => {
                let place = 1 + self.random.below(self.peers.len() as u64 - 1) as usize;
                self.peers[place].is_stopped ^= true;
                self.tell(|| {
                    format!("{} is stopped: {}", self.peers[place].name, self.peers[place].is_stopped)
                });
                Ok(())
            }
            63..68 => {
                let place = 1 + self.random.below(self.peers.len() as u64 - 1) as usize;
                self.tell(|| format!("{} binds its socket anew", self.peers[place].name));
                self.bind_peer(place);
                self.peers[place].process.die(self.now);
                self.step_peer(place)
            }
            68..74 => {
                let hours = *self.random.pick(&[-1, 1]);
                self.tell(|| format!("the clock is set by {hours} h"));
                self.wall = self.wall.plus_ns(hours * HOUR);
                self.step()
            }
            74..84 => self.disk(),
            84..90 => {
                self.tell(|| "the disk is well".to_owned());
                self.storage.disk.files.heal();
                self.storage.disk.files.set_free_bytes(None);
                Ok(())
            }
            90..98 => {
                let percent = *self.random.pick(&[0, 0, 3, 30]);
                self.tell(|| format!("of a hundred calls to the network {percent} fail"));
                let chance = self.random.next();
                self.network.flaky(percent, chance);
                Ok(())
            }
            _ => self.power_cut(),
        }
    }

    /// A process will be killed in one of its next calls.
    fn light(&mut self) -> Result<(), String> {
        let calls = *self.random.pick(&[0, 1, 2, 3, 5, 8, 13, 30, 90]);
        let which = self.random.below(self.inputs.len() as u64 + 6) as usize;
        let fuse = match which.checked_sub(self.inputs.len()) {
            None => &self.inputs[which].process.fuse,
            Some(0..3) => &self.timeline.fuse,
            Some(3..5) => &self.storage.process.fuse,
            Some(_) => &self.peers[1].process.fuse,
        };
        fuse.light(calls);
        self.tell(|| format!("process {which} has {calls} calls left"));
        Ok(())
    }

    /// A process is killed between its calls.
    fn kill(&mut self) -> Result<(), String> {
        let which = self.random.below(4);
        self.tell(|| format!("kill -9 of {which}"));
        match which {
            0 => self.timeline_died(),
            1 => self.storage.process.die(self.now),
            2 => {
                let place = self.random.below(self.inputs.len() as u64) as usize;
                self.input_died(place);
            }
            _ => self.peers[2].process.die(self.now),
        }
        self.step()
    }

    /// The timeline is told to stop, and started again: with the state it saved, with one that is damaged, or with none,
    /// for it could not be saved.
    fn restart_timeline(&mut self) -> Result<(), String> {
        let Some(mut service) = self.timeline.live.take() else { return self.step() };
        let how = self.random.below(10);
        self.tell(|| {
            format!(
                "the timeline ends, {}",
                ["its state is torn", "no room for its state"].get(how as usize).unwrap_or(&"in order")
            )
        });
        let directory = self.state.clone();
        let aside = self.own_directory("aside");
        if how == 1 {
            std::fs::rename(&directory, &aside).map_err(|err| err.to_string())?;
        }
        let (instant, wall) = (self.instant(), self.wall);
        service.save(instant, wall);
        service.end();
        if how == 1 {
            std::fs::rename(&aside, &directory).map_err(|err| err.to_string())?;
        }
        self.account_timeline()?;
        let path = directory.join("timeline.state");
        if how == 0 {
            let mut bytes = std::fs::read(&path).map_err(|err| err.to_string())?;
            let at = self.random.below(bytes.len() as u64) as usize;
            if self.random.percent(50) {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << self.random.below(8);
            }
            std::fs::write(&path, bytes).map_err(|err| err.to_string())?;
        }
        self.may_lose |= how < 2;
        let away = *self.random.pick(&[0, 0, 200, 3000]);
        self.timeline.die(self.now + Duration::from_millis(away));
        self.step_timeline()
    }

    /// The disk fails for a while.
    fn disk(&mut self) -> Result<(), String> {
        if self.random.percent(25) {
            self.tell(|| "the disk has less than min_free".to_owned());
            self.storage.disk.files.set_free_bytes(Some(1000));
            return Ok(());
        }
        let (ops, errno) = *self.random.pick(&[
            (Op::OF_FULL_DISK, Errno::ENOSPC),
            (Op::OF_READ_ONLY, Errno::EROFS),
            (&[Op::Write, Op::Sync][..], Errno::EIO),
            (&[Op::Rename, Op::SyncDir][..], Errno::EIO),
        ]);
        let (skip, times) = (self.random.below(30), *self.random.pick(&[1, 3, u64::MAX]));
        self.tell(|| format!("{errno:?} of the disk, after {skip}, {times} times"));
        self.storage.disk.files.fail(Fault { ops, skip, times, errno });
        Ok(())
    }

    /// The power is gone, and comes back: rings and books were in memory.
    fn power_cut(&mut self) -> Result<(), String> {
        if self.cuts > 0 || !self.random.percent(30) {
            return Ok(());
        }
        self.cuts += 1;
        let loss = if self.random.percent(50) { Loss::All } else { Loss::Some(self.random.next()) };
        self.tell(|| format!("the power is cut: {loss:?}"));
        let to = self.own_directory(&format!("store{}", self.cuts));
        self.storage.power_cut(&to, loss)?;
        self.storage.disk.files.set_free_bytes(None);
        self.storage.process.die(self.now);
        // What was open is not in any books, but what was saved is taken up.
        let state = self.state.join("timeline.state");
        if state.exists() {
            std::fs::remove_file(&state).map_err(|err| err.to_string())?;
        }
        self.boot()?;
        self.may_lose = false;
        let (now, instant) = (self.now, self.instant());
        if !self.storage.start(&self.run, &self.network, now, instant)? {
            return Err("storage does not start after a power cut".to_owned());
        }
        self.storage.check_survived(self.wall)
    }
}
