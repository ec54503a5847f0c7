//! Network interfaces: what they received and sent.

use procfs_core::net::{DeviceStatus, InterfaceDeviceStatus};
use procfs_core::{FromBufRead, ProcResult};

use crate::round::Round;

/// The interfaces of /proc/net/dev, by name.
pub(super) fn parse(text: &[u8]) -> ProcResult<Vec<DeviceStatus>> {
    let mut devices: Vec<_> = InterfaceDeviceStatus::from_buf_read(text)?.0.into_values().collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(devices)
}

/// What an interface received and sent since it was made.
pub(super) fn traffic(device: &DeviceStatus, round: &mut Round<'_>) {
    let tag = Some(("interface", device.name.as_str()));
    for (name, value) in [
        ("host.network.rx_bytes", device.recv_bytes),
        ("host.network.rx_packets", device.recv_packets),
        ("host.network.rx_errors", device.recv_errs),
        ("host.network.rx_drops", device.recv_drop),
        ("host.network.tx_bytes", device.sent_bytes),
        ("host.network.tx_packets", device.sent_packets),
        ("host.network.tx_errors", device.sent_errs),
        ("host.network.tx_drops", device.sent_drop),
    ] {
        round.count(name, tag, value);
    }
}
