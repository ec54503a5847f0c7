use super::*;
use crate::round::tests::round_of;

const STAT: &str = "\
cpu  100 0 50 1000 10 0 5 1 0 0
cpu0 50 0 25 500 5 0 5 1 0 0
cpu1 50 0 25 500 5 0 0 0 0 0
intr 5 1 2 3
ctxt 123456
btime 1700000000
processes 4242
procs_running 2
procs_blocked 1
softirq 9 1 2 3
";

const MEMINFO: &str = "\
MemTotal:       1000 kB
MemFree:         300 kB
MemAvailable:    700 kB
Buffers:          10 kB
Cached:          390 kB
SwapCached:        0 kB
Active:          100 kB
Inactive:        100 kB
SwapTotal:       200 kB
SwapFree:        150 kB
Dirty:             1 kB
Writeback:         0 kB
Mapped:           50 kB
Slab:             20 kB
Committed_AS:    500 kB
VmallocTotal: 34359738367 kB
VmallocUsed:       5 kB
VmallocChunk:      0 kB
";

const NET_DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  298607    2143    0    0    0     0          0         0   298607    2143    0    0    0     0       0          0
  eth0: 18446744073709551615 7308 1 2    0     0          0         0   619513    4876    3    4    0     0       0          0
vethab:       1       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0
";

const DISKSTATS: &str = "   7       0 loop0 9 0 9 0 9 0 9 0 0 9 0 0 0 0 0 0 0
 254       0 vda 118251 11589 11979170 2523801 17152 38339 9975968 118750 8 120528 2661048 12538 54 2653584 18462 705 33
 254       1 vda1 118251 11589 11979170 2523801 17152 38339 9975968 118750 8 120528 2661048
nonsense
 104       0 cciss/c0d0 1 0 2 0 3 0 4 0 0 5 0
";

/// A directory with these files, as /proc and /sys.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn machine(dir: &tempfile::TempDir) -> Machine {
    Machine::new(&dir.path().join("proc"), &dir.path().join("sys"), &Config::default())
}

#[test]
fn the_files_of_the_kernel_become_metrics() {
    let dir = tree(&[
        ("proc/stat", STAT),
        ("proc/loadavg", "2.16 0.88 1.23 4/125 4676\n"),
        ("proc/meminfo", MEMINFO),
        ("proc/uptime", "2578790.61 1999230.98\n"),
        ("proc/self/mountinfo", ""),
        ("proc/diskstats", DISKSTATS),
        ("proc/net/dev", NET_DEV),
        ("sys/block/vda/size", ""),
        ("sys/block/loop0/size", ""),
        ("sys/block/cciss!c0d0/size", ""),
    ]);
    let mut machine = machine(&dir);
    let (metrics, counters) = round_of(|round| machine.read(round));
    assert_eq!(
        metrics,
        [
            "gauge host.cpu.cores 2",
            "counter host.context_switches 123456",
            "counter host.processes.started 4242",
            "gauge host.processes.running 2",
            "gauge host.processes.blocked 1",
            "gauge host.load.1m 2.16",
            "gauge host.load.5m 0.88",
            "gauge host.load.15m 1.23",
            "gauge host.threads 125",
            "gauge host.memory.total 1024000",
            "gauge host.memory.used 307200",
            "gauge host.memory.available 716800",
            "gauge host.memory.free 307200",
            "gauge host.memory.buffers 10240",
            "gauge host.memory.cached 399360",
            "gauge host.swap.total 204800",
            "gauge host.swap.used 51200",
            "gauge host.swap.free 153600",
            "gauge host.uptime 2578790.61",
            "counter host.disk.reads;device=vda 118251",
            "counter host.disk.read_bytes;device=vda 6133335040",
            "counter host.disk.writes;device=vda 17152",
            "counter host.disk.write_bytes;device=vda 5107695616",
            "counter host.disk.busy_ms;device=vda 120528",
            "counter host.disk.reads;device=cciss/c0d0 1",
            "counter host.disk.read_bytes;device=cciss/c0d0 1024",
            "counter host.disk.writes;device=cciss/c0d0 3",
            "counter host.disk.write_bytes;device=cciss/c0d0 2048",
            "counter host.disk.busy_ms;device=cciss/c0d0 5",
            "counter host.network.rx_bytes;interface=eth0 18446744073709551615",
            "counter host.network.rx_packets;interface=eth0 7308",
            "counter host.network.rx_errors;interface=eth0 1",
            "counter host.network.rx_drops;interface=eth0 2",
            "counter host.network.tx_bytes;interface=eth0 619513",
            "counter host.network.tx_packets;interface=eth0 4876",
            "counter host.network.tx_errors;interface=eth0 3",
            "counter host.network.tx_drops;interface=eth0 4",
        ]
    );
    assert_eq!((counters.unread.total(), counters.unread.get(Area::Device)), (1, 1));

    fs::write(dir.path().join("proc/stat"), STAT.replace("cpu  100 0 50 1000", "cpu  101 0 51 1002"))
        .unwrap();
    let (metrics, _) = round_of(|round| machine.read(round));
    assert_eq!(
        metrics[..8],
        [
            "gauge host.cpu.user 0.25",
            "gauge host.cpu.nice 0",
            "gauge host.cpu.system 0.25",
            "gauge host.cpu.idle 0.5",
            "gauge host.cpu.iowait 0",
            "gauge host.cpu.irq 0",
            "gauge host.cpu.softirq 0",
            "gauge host.cpu.steal 0",
        ]
    );
}

#[test]
fn what_is_not_there_is_left_out_and_counted() {
    let dir = tree(&[("proc/loadavg", "1.00 1.00 1.00 1/2 3\n"), ("proc/stat", "cpu what\n")]);
    let (metrics, counters) = round_of(|round| machine(&dir).read(round));
    assert_eq!(metrics.len(), 4);
    for area in [Area::Cpu, Area::Memory, Area::Uptime, Area::Mount, Area::Device, Area::Network] {
        assert_eq!(counters.unread.get(area), 1, "{area:?}");
    }
}

#[test]
fn a_mounted_directory_has_its_space_and_a_mounted_file_has_none() {
    let dir = tree(&[("data/keep", "")]);
    let (data, file) = (dir.path().join("data"), dir.path().join("data/keep"));
    let mountinfo = format!(
        "1 0 8:1 / {} rw - ext4 /dev/sda1 rw\n2 0 8:2 /x {} rw - ext4 /dev/sda2 rw\n\
         3 0 8:3 / /gone/for/good rw - ext4 /dev/sda3 rw\n",
        data.display(),
        file.display()
    );
    fs::create_dir_all(dir.path().join("proc/self")).unwrap();
    fs::write(dir.path().join("proc/self/mountinfo"), mountinfo).unwrap();
    let mut machine = machine(&dir);
    let (metrics, counters) = round_of(|round| machine.mounts(round));
    let value = |name: &str| -> u64 {
        let start = format!("gauge host.disk.{name};mount={} ", data.display());
        metrics.iter().find_map(|metric| metric.strip_prefix(&start)).unwrap().parse().unwrap()
    };
    assert_eq!(value("used") + value("free"), value("total"));
    assert!(value("available") <= value("free"));
    assert!(metrics.iter().all(|metric| !metric.contains("keep")), "{metrics:?}");
    assert_eq!(counters.unread.get(Area::Mount), 1);

    machine.skip_mounts = vec![format!("{}*", dir.path().display()), "/gone/for/good".to_owned()];
    assert_eq!(round_of(|round| machine.mounts(round)).0, Vec::<String>::new());
}
