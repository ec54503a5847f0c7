//! What an operator counts on under systemd: tried with the units, in a systemd that the test boots.

mod operating;
mod package;
mod restart;
mod strangers;
mod unstartable;

use tests::Booted;

#[test]
fn several_systemds_are_apart() {
    let (Some(one), Some(two)) = (Booted::start(), Booted::start()) else { return };
    for booted in [&one, &two] {
        booted.ok("systemd-run --unit=same --quiet sleep 1000");
    }
    one.ok("systemctl stop same");
    assert_eq!(two.ok("systemctl is-active same"), "active\n");
    assert!(!one.run("systemctl is-active same").status.success());
}
