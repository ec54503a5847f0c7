//! Modes and owners of what lies in the runtime directory: who may write to sockets, and who may not.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use common::runtime_dir::RuntimeDir;

use super::finding::{Check, Finding, Severity};
use super::member::Member;
use crate::instance::Instance;

type Place = fn(&RuntimeDir) -> PathBuf;

/// The sockets in the runtime directory, and whose they are.
const SOCKETS: [(&str, Place); 6] = [
    ("timeline", RuntimeDir::timeline_databus),
    ("timeline", RuntimeDir::timeline_multicast),
    ("dmproc", RuntimeDir::dmproc_databus),
    ("dmproc", RuntimeDir::dmproc_proc),
    ("storage", RuntimeDir::storage_databus),
    ("storage", RuntimeDir::storage_query),
];

pub(super) fn findings(instance: &Instance, members: &[Member]) -> Vec<Finding> {
    let run = &instance.runtime_dir;
    let Ok(directory) = fs::symlink_metadata(run.path()) else { return Vec::new() };
    let mut findings = Vec::new();
    // In an instance of systemd's the directory is root's, and the group says who may what.
    let is_shared =
        directory.uid() == 0 && members.iter().any(|member| member.runs() && user_of(member) != Some(0));
    closed(run.path(), &directory, &mut findings);
    sticky(run, is_shared, &mut findings);
    for (process, path) in SOCKETS {
        socket(&path(run), process, &directory, is_shared, members, &mut findings);
    }
    peers(run, is_shared, &mut findings);
    if findings.is_empty() {
        findings.push(Finding::ok(
            Check::Socket,
            run.to_string(),
            format!(
                "mode {:o}, owner {}, and the sockets in it fit their processes",
                mode(&directory),
                directory.uid()
            ),
        ));
    }
    findings
}

fn mode(about: &Metadata) -> u32 {
    about.mode() & 0o7777
}

fn user_of(member: &Member) -> Option<u32> {
    fs::metadata(format!("/proc/{}", member.books.pid)).ok().map(|about| about.uid())
}

fn closed(path: &Path, about: &Metadata, findings: &mut Vec<Finding>) {
    // Whoever may not pass a directory above cannot get here.
    let is_reached = path
        .ancestors()
        .skip(1)
        .all(|above| fs::metadata(above).is_ok_and(|about| mode(&about) & 0o001 != 0));
    if is_reached && mode(about) & 0o007 != 0 {
        findings.push(Finding::new(
            Severity::Error,
            Check::Socket,
            path.display().to_string(),
            format!("mode {:o}: everybody on this host can get at its sockets", mode(about)),
            format!("`chmod 0750 {}`", path.display()),
        ));
    }
}

/// Each process has files of its own in these, and may not take away another's.
fn sticky(run: &RuntimeDir, is_shared: bool, findings: &mut Vec<Finding>) {
    let shared = if is_shared { vec![run.books_dir(), run.rings_dir()] } else { Vec::new() };
    for path in std::iter::once(run.peers()).chain(shared) {
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if mode(&about) & 0o1000 == 0 {
            findings.push(Finding::new(
                Severity::Warning,
                Check::Socket,
                path.display().to_string(),
                format!("mode {:o}: a process can take away what is another's there", mode(&about)),
                format!("`chmod 3770 {}`", path.display()),
            ));
        }
    }
}

fn socket(
    path: &Path,
    process: &str,
    directory: &Metadata,
    is_shared: bool,
    members: &[Member],
    findings: &mut Vec<Finding>,
) {
    let about_path = path.display().to_string();
    let mut push = |severity, text: String, way_out: String| {
        findings.push(Finding::new(severity, Check::Socket, about_path.as_str(), text, way_out));
    };
    let owner = members.iter().find(|member| member.name() == process && member.runs());
    let restart = format!("`systemctl restart leela-{process}.socket`, or end and start `leela up`");
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(_) => {
            if let Some(member) = owner {
                let text = format!("it is gone, though {} runs: nobody reaches it", member.title());
                push(Severity::Error, text, restart);
            }
            return;
        }
    };
    if !about.file_type().is_socket() {
        let text = "it is no socket: somebody put something else in its place".to_owned();
        push(Severity::Error, text, format!("remove it, then {restart}"));
        return;
    }
    let known = [Some(0), Some(directory.uid()), owner.and_then(user_of)];
    if !known.contains(&Some(about.uid())) {
        let text = format!("it belongs to user {}, who is neither root nor its process's", about.uid());
        push(Severity::Error, text, format!("find out who made it, remove it, then {restart}"));
    }
    if is_shared && (about.gid() != directory.gid() || mode(&about) & 0o060 != 0o060) {
        let text = format!(
            "mode {:o}, group {}: the other processes, which share group {}, cannot write to it",
            mode(&about),
            about.gid(),
            directory.gid()
        );
        let way_out =
            format!("SocketMode=0660 and SocketGroup=leela in leela-{process}.socket, then {restart}");
        push(Severity::Error, text, way_out);
    }
}

/// Consumers of strangers: the timeline can only send to what its group may write.
fn peers(run: &RuntimeDir, is_shared: bool, findings: &mut Vec<Finding>) {
    let Ok(entries) = fs::read_dir(run.peers()) else { return };
    for entry in entries.flatten() {
        let Ok(about) = entry.metadata() else { continue };
        let path = entry.path().display().to_string();
        if is_shared && about.file_type().is_socket() && mode(&about) & 0o020 == 0 {
            findings.push(Finding::new(
                Severity::Warning,
                Check::Socket,
                path.clone(),
                format!("mode {:o}: leela-timeline cannot write to it (peer_unwritable)", mode(&about)),
                format!("whoever binds it has to `chmod 0660 {path}`"),
            ));
        }
    }
}
