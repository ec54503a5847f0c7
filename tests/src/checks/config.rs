//! Configuration files.

use std::path::PathBuf;

use common::config::{Source, load};
use common::process::Process;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::in_file;

/// TOML as a process loads it: an error names the file, and what is in force is TOML that loads as the same. The first byte
/// says which process.
pub fn config(bytes: &[u8]) {
    let Some((process, text)) = bytes.split_first() else { return };
    let loads = match process % 9 {
        0 => loads::<leela_udp::Config>,
        1 => loads::<leela_collectd::Config>,
        2 => loads::<leela_statsd::Config>,
        3 => loads::<leela_timeline::config::Config>,
        4 => loads::<leela_dmproc::config::Config>,
        5 => loads::<leela_storage::config::Config>,
        6 => loads::<leela_http::Config>,
        7 => loads::<leela_host::Config>,
        _ => loads::<leela_xmpp::Config>,
    };
    in_file(text, |path| loads(path.to_owned()));
}

fn loads<C: Process + Serialize + DeserializeOwned + Default>(path: PathBuf) {
    let loaded = match load::<C>(C::NAME, &Source::File(path.clone())) {
        Ok(loaded) => loaded,
        Err(error) => {
            let told = format!("{error:#}");
            assert!(told.contains(&*path.to_string_lossy()), "{told}");
            return;
        }
    };
    if let Err(wrong) = loaded.config.check() {
        assert!(!loaded.wrong(&wrong).to_string().is_empty());
    }
    let in_force = loaded.in_force().expect("a configuration is TOML");
    let again: C = toml::from_str(&in_force).expect("what is in force loads");
    let text = |config: &C| toml::to_string(config).expect("a configuration is TOML");
    assert_eq!(text(&again), text(&loaded.config), "{in_force}");
}
