//! A real systemd in a container of its own, booted by a test: what units promise is tried with the units.
//!
//! Each test has its own tree (an overlay over `target/booted/base`, else a copy of it), network, processes and groups of
//! processes, so that several run at once. `tests/services/booted.sh` makes the base.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::books::Snapshot;
use common::runtime_dir::RuntimeDir;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sockets::peer::Peer;
use tempfile::TempDir;

use crate::binary::{binary, target_folder, workspace};
use crate::recorder::Recorder;
use crate::service::absent;
use crate::traffic::SERVICES;
use crate::wait::{wait_for, wait_until};

/// Boots the tree of a test in namespaces that end with it. Arguments: base, place, machine.
const BOOT: &str = r#"
set -eu
base=$1 place=$2 machine=$3
# Two systemds in one group of processes would take each other's units for their own.
group() {
    own=$(sed -n "s/^[0-9]*:$2://p" /proc/self/cgroup)
    mkdir "$1$own/$machine"
    echo $$ >"$1$own/$machine/cgroup.procs"
}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    group /sys/fs/cgroup ''
else
    export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0
    group /sys/fs/cgroup/systemd name=systemd
    [ ! -e /sys/fs/cgroup/unified/cgroup.procs ] || group /sys/fs/cgroup/unified ''
fi
mkdir "$place/root" "$place/upper" "$place/work"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$place/upper,workdir=$place/work" "$place/root" 2>/dev/null ||
    cp -a --reflink=auto "$base/." "$place/root"
exec systemd-nspawn --quiet --directory="$place/root" --machine="$machine" --boot --register=no --keep-unit \
    --private-network --link-journal=no --resolv-conf=off --timezone=off
"#;

/// How long a systemd has to end in order.
const POWEROFF: Duration = Duration::from_secs(30);
/// How long a script may take inside, in seconds.
const SCRIPT_SECONDS: &str = "300";
/// Lines of the journal that a failing test prints.
const LINES_SHOWN: usize = 150;

/// A systemd at work. Dropped, it is powered off; a test that fails prints the end of its journal.
#[derive(Debug)]
pub struct Booted {
    machine: String,
    nspawn: Child,
    /// Its first process, as it is called outside.
    leader: Pid,
    _place: TempDir,
}

impl Booted {
    /// Boots; returns when all that starts at boot has started. None where it cannot be had, told on standard error.
    pub fn start() -> Option<Booted> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let base = base()?;
        let beside = base.parent().expect("it lies in a folder of its own");
        let place = tempfile::Builder::new().prefix("of-a-test-").tempdir_in(beside);
        let place = place.expect("the target folder is ours");
        let number = STARTED.fetch_add(1, Relaxed);
        let machine = format!("leela-{}-{number}", std::process::id());
        let log = fs::File::create(place.path().join("boot.log")).expect("the directory is ours");
        // With the thread that began it goes all of it; what it mounts goes with its namespace.
        let nspawn = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", BOOT, "boot"])
            .args([base.as_os_str(), place.path().as_os_str(), machine.as_ref()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be cloned"))
            .stderr(log)
            .spawn()
            .expect("util-linux is there");
        let mut booted = Booted { machine, nspawn, leader: Pid::from_raw(0), _place: place };
        booted.leader = wait_for("a systemd boots", || {
            let ended = booted.nspawn.try_wait().expect("the child is ours");
            assert!(ended.is_none(), "it ended: {}", booted.boot_log());
            first_process(booted.nspawn.id())
        });
        wait_until("a systemd has booted", || {
            // Asked seldom: it is asked by programs that take of what it boots with.
            thread::sleep(Duration::from_millis(200));
            let state = booted.run("systemctl is-system-running");
            // One with a unit that failed is degraded: this is a container.
            ["running\n", "degraded\n"].contains(&&*String::from_utf8_lossy(&state.stdout))
        });
        Some(booted)
    }

    /// The root of its files, as it is reached from outside: mounts inside are seen.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.leader))
    }

    /// One reading of a process's books. Whether it runs is not to be read outside: processes have other ids there.
    pub fn books(&self, process: &str) -> Snapshot {
        Snapshot::read(&self.run_dir().join("books").join(process)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The peers of a process's ring with what waits for each, by its books.
    pub fn peers(&self, process: &str) -> Vec<(Peer, u64)> {
        crate::sandbox::peers(&self.run_dir(), process)
    }

    // Not a `RuntimeDir`, which would resolve it: to the one of this host.
    fn run_dir(&self) -> PathBuf {
        self.root().join("run/leela")
    }

    /// Installs programs, units and configurations, as `make install` does: the programs of `processes` and `leela`, of
    /// the profile of the test.
    pub fn install(&self, processes: &[&str]) {
        let packages = processes.iter().map(|process| format!("leela-{process}"));
        let programs: Vec<PathBuf> =
            packages.chain(["leela".to_owned()]).map(|package| binary(&package)).collect();
        self.install_built(&programs);
    }

    /// As [`Booted::install`], of programs that lie elsewhere.
    pub fn install_built(&self, programs: &[PathBuf]) {
        let chosen = tempfile::tempdir().expect("a temporary directory");
        for program in programs {
            let name = program.file_name().expect("a program has a name");
            std::os::unix::fs::symlink(program, chosen.path().join(name)).expect("the directory is new");
        }
        let install = workspace().join("systemd/install.sh");
        let status = Command::new(&install).arg(chosen.path()).arg(self.root()).arg("/usr").status();
        assert!(status.expect("it is a script").success(), "{}", install.display());
        self.ok("systemd-sysusers && systemd-tmpfiles --create leela.conf && systemctl daemon-reload");
    }

    /// All services, installed and started, with windows of a second. None where no systemd can be had, told on standard
    /// error.
    pub fn with_services() -> Option<Booted> {
        let booted = Booted::start()?;
        booted.install(&SERVICES);
        booted.ok(
            "mkdir -p /etc/leela/timeline.d && echo 'interval = \"1s\"' >/etc/leela/timeline.d/test.toml",
        );
        booted.ok("systemctl enable --quiet --now leela.target");
        Some(booted)
    }

    /// Runs a shell script inside, as root.
    pub fn run(&self, script: &str) -> Output {
        let mut input = tempfile::tempfile().expect("a temporary file");
        input.write_all(script.as_bytes()).and_then(|()| input.rewind()).expect("it is ours");
        let mut command = Command::new("nsenter");
        command.args(["--all", "--target", &self.leader.to_string(), "env", "-i"]);
        command.args([
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "TERM=dumb",
            "SYSTEMD_COLORS=0",
        ]);
        command.args(["timeout", SCRIPT_SECONDS, "bash", "-s"]);
        command.stdin(input).output().expect("util-linux is there")
    }

    /// Runs a shell script inside, which has to succeed; gives what it prints.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let output = self.run(&format!("set -e\n{script}"));
        let [out, err] =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        assert!(output.status.success(), "{script}\n{}: {out}{err}", output.status);
        out
    }

    /// Runs a closure on a thread that is inside, by its network and files: sockets that it opens, and threads and
    /// processes that it starts, are there as well.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let done = thread::scope(|scope| {
            let enter = || {
                unshare(CloneFlags::CLONE_FS).expect("a thread may have a directory of its own");
                for (name, kind) in [("net", CloneFlags::CLONE_NEWNET), ("mnt", CloneFlags::CLONE_NEWNS)] {
                    let path = format!("/proc/{}/ns/{name}", self.leader);
                    let namespace = fs::File::open(path).expect("it runs");
                    setns(namespace.as_fd(), kind).expect("root may enter");
                }
                work()
            };
            scope.spawn(enter).join()
        });
        done.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// A consumer of the timeline's events that registers with `words`; returns when the timeline has taken it.
    pub fn recorder(&self, name: &str, words: &str) -> Recorder {
        let inside = RuntimeDir::at(Path::new("/run/leela")).expect("the path is short");
        let recorder = self.inside(|| Recorder::at(&inside, name, words));
        let path = inside.peers().join(name);
        wait_until("the recorder is a peer", || {
            self.peers("timeline").iter().any(|(peer, _)| peer.path == path)
        });
        recorder
    }

    /// The end of the journal.
    pub fn journal(&self) -> String {
        let output =
            self.run(&format!("journalctl --no-pager --output=short-monotonic --lines={LINES_SHOWN}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn boot_log(&self) -> String {
        let mut text = String::new();
        let file = fs::File::open(self._place.path().join("boot.log"));
        let _ = file.and_then(|mut file| file.read_to_string(&mut text));
        text
    }

    fn power_off(&mut self) {
        let begun = Instant::now();
        self.run("systemctl poweroff");
        while begun.elapsed() < POWEROFF {
            match self.nspawn.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        eprintln!(
            "{} does not power off within {POWEROFF:?}; its journal:\n{}",
            self.machine,
            self.journal()
        );
        let _ = kill(self.leader, Signal::SIGKILL);
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if self.leader.as_raw() > 0 {
            if thread::panicking() {
                eprintln!("--- the journal of {}:\n{}", self.machine, self.journal());
            }
            self.power_off();
        } else {
            // It did not come so far.
            let _ = self.nspawn.kill();
        }
        let _ = self.nspawn.wait();
        let machine = format!("*/{}", self.machine);
        let below = format!("{machine}/*");
        let mut groups = Command::new("find");
        groups.args([
            "/sys/fs/cgroup",
            "-depth",
            "-type",
            "d",
            "(",
            "-path",
            &machine,
            "-o",
            "-path",
            &below,
            ")",
        ]);
        let _ = groups.args(["-exec", "rmdir", "{}", ";"]).stderr(Stdio::null()).status();
    }
}

/// The tree that is booted.
fn base() -> Option<PathBuf> {
    let base = target_folder().join("booted/base");
    if !geteuid().is_root() {
        absent("a systemd is booted by root alone");
        return None;
    }
    if !Path::new("/usr/bin/systemd-nspawn").exists() || !base.exists() {
        absent(&format!("{} is not there, or no systemd-nspawn: tests/services/install.sh", base.display()));
        return None;
    }
    Some(base)
}

/// The child of nspawn that is process 1 inside.
fn first_process(nspawn: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    children.split_whitespace().find_map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).ok()?;
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let is_first = ids.split_whitespace().nth(1) == Some("1");
        // Before it is systemd it is a part of nspawn, which still arranges what is around it.
        let program = fs::read_link(format!("/proc/{child}/exe")).ok()?;
        (is_first && program.ends_with("lib/systemd/systemd"))
            .then(|| child.parse().ok().map(Pid::from_raw))?
    })
}
