//! Disks: the space of what is mounted, and the traffic of the devices.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use nix::sys::statvfs::Statvfs;
use procfs_core::DiskStat;
use procfs_core::process::MountInfo;

use crate::round::Round;

/// Kinds that are images: always full, never written.
const IMAGES: [&str; 4] = ["squashfs", "erofs", "iso9660", "cramfs"];

/// Kinds on disks of their own management, whose source is no device.
const POOLS: [&str; 2] = ["zfs", "bcachefs"];

/// /proc/diskstats counts in these, whatever the device's own sectors are.
const SECTOR_BYTES: u64 = 512;

/// The mount points in a mountinfo file whose space is worth knowing, each file system once; and the lines that
/// cannot be read.
pub(super) fn mounts(text: &[u8]) -> (Vec<PathBuf>, Vec<String>) {
    let mut bad = Vec::new();
    // By mount point: the last one hides those below it.
    let mut visible = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line = escape(line);
        match MountInfo::from_line(&line) {
            Ok(mount) => {
                visible.insert(unescape(&mount.mount_point.to_string_lossy()), mount);
            }
            Err(_) => bad.push(line),
        }
    }
    // Of a file system that is mounted more than once: its root, else where it is nearest to the root.
    let mut systems: BTreeMap<String, (bool, usize, Vec<u8>)> = BTreeMap::new();
    for (point, mount) in visible {
        if is_shown(&point, &mount) {
            let candidate = (mount.root != "/", point.len(), point);
            let kept = systems.entry(mount.majmin).or_insert_with(|| candidate.clone());
            if candidate < *kept {
                *kept = candidate;
            }
        }
    }
    let mut points: Vec<_> = systems.into_values().map(|(_, _, point)| point).collect();
    points.sort();
    (points.into_iter().map(|point| PathBuf::from(OsString::from_vec(point))).collect(), bad)
}

/// File systems on devices and in pools, and the root whatever it is (a container's overlay). Network file systems
/// would make the round wait for their server.
fn is_shown(point: &[u8], mount: &MountInfo) -> bool {
    let kind = mount.fs_type.as_str();
    let on_device = mount.mount_source.as_deref().is_some_and(|source| source.starts_with("/dev/"))
        && (kind == "fuseblk" || !kind.starts_with("fuse"))
        && !IMAGES.contains(&kind);
    on_device || POOLS.contains(&kind) || point == b"/"
}

/// As text in which each byte that is not ASCII stands as the kernel writes a blank: `\040`.
fn escape(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for byte in line {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind.get(..3).filter(|_| *first == b'\\');
        let code = octal.and_then(|octal| u8::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

/// In bytes, and in inodes where the file system has a fixed number of them.
pub(super) fn space(mount: &str, space: &Statvfs, round: &mut Round<'_>) {
    let tag = Some(("mount", mount));
    let unit = space.fragment_size();
    let (total, free) = (space.blocks(), space.blocks_free());
    for (name, blocks) in [
        ("host.disk.total", total),
        ("host.disk.used", total.saturating_sub(free)),
        ("host.disk.free", free),
        ("host.disk.available", space.blocks_available()),
    ] {
        round.level(name, tag, blocks.saturating_mul(unit));
    }
    if space.files() > 0 {
        round.level("host.disk.inodes", tag, space.files());
        round.level("host.disk.inodes_free", tag, space.files_free());
    }
}

/// What a device read and wrote since the machine was started.
pub(super) fn traffic(stat: &DiskStat, round: &mut Round<'_>) {
    let tag = Some(("device", stat.name.as_str()));
    for (name, value) in [
        ("host.disk.reads", stat.reads),
        ("host.disk.read_bytes", stat.sectors_read.wrapping_mul(SECTOR_BYTES)),
        ("host.disk.writes", stat.writes),
        ("host.disk.write_bytes", stat.sectors_written.wrapping_mul(SECTOR_BYTES)),
        ("host.disk.busy_ms", stat.time_in_progress),
    ] {
        round.count(name, tag, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_system_on_a_device_is_shown_once() {
        for (label, text, want) in [
            (
                "pseudo and network file systems are not",
                "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                 23 22 0:21 / /proc rw - proc proc rw\n\
                 24 22 0:22 / /run rw - tmpfs tmpfs rw\n\
                 25 22 0:50 / /home rw - nfs4 server:/home rw\n\
                 26 22 0:51 / /mnt/ssh rw - fuse.sshfs /dev/x rw\n\
                 27 22 8:1 / /mnt/win rw - fuseblk /dev/sda1 rw\n\
                 28 22 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro\n\
                 29 22 0:52 / /tank rw - zfs tank rw\n",
                &["/", "/mnt/win", "/tank"][..],
            ),
            (
                "a container: its root, and not the files that are mounted into it",
                "1 0 0:99 / / rw - overlay overlay rw,lowerdir=/var/lib/a:/var/lib/b\n\
                 2 1 8:1 /x/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
                 3 1 8:1 /x/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n",
                &["/", "/etc/hosts"],
            ),
            (
                "bind mounts: the root of the file system wins",
                "1 0 8:1 /home /a rw - ext4 /dev/sda1 rw\n\
                 2 1 8:1 / /data/long rw - ext4 /dev/sda1 rw\n\
                 3 1 8:2 /y /c/long rw - ext4 /dev/sda2 rw\n\
                 4 1 8:2 /x /c rw - ext4 /dev/sda2 rw\n",
                &["/c", "/data/long"],
            ),
            (
                "what is mounted over is hidden",
                "1 0 8:1 / /mnt rw - ext4 /dev/sda1 rw\n2 1 0:30 / /mnt rw - tmpfs tmpfs rw\n",
                &[],
            ),
            (
                "blanks and backslashes",
                "1 0 8:1 / /mnt/my\\040disk\\134040 rw - ext4 /dev/sda1 rw\n",
                &["/mnt/my disk\\040"],
            ),
        ] {
            let (mounts, bad) = mounts(text.as_bytes());
            assert_eq!(mounts, want.iter().map(PathBuf::from).collect::<Vec<_>>(), "{label}");
            assert_eq!(bad, Vec::<String>::new(), "{label}");
        }
    }

    #[test]
    fn a_bad_line_costs_itself_and_a_name_need_not_be_utf8() {
        let (mounts, bad) = mounts(b"nonsense\n1 0 8:1 / /mnt/\xe9t\xe9 rw - ext4 /dev/sda1 rw\n");
        assert_eq!(mounts, [PathBuf::from(OsString::from_vec(b"/mnt/\xe9t\xe9".to_vec()))]);
        assert_eq!(bad, ["nonsense"]);
    }
}
