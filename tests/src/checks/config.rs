//! Configuration files.

use std::path::PathBuf;

use common::config::{Source, load};
use common::process::Process;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::in_file;

/// TOML as each process loads it: an error names the file, and what is in force is TOML that loads as the same.
pub fn config(text: &[u8]) {
    in_file(text, |path| {
        loads::<leela_udp::Config>(path.to_owned());
        loads::<leela_collectd::Config>(path.to_owned());
        loads::<leela_statsd::Config>(path.to_owned());
        loads::<leela_timeline::config::Config>(path.to_owned());
        loads::<leela_dmproc::config::Config>(path.to_owned());
        loads::<leela_storage::config::Config>(path.to_owned());
        loads::<leela_http::Config>(path.to_owned());
        loads::<leela_host::Config>(path.to_owned());
        loads::<leela_xmpp::Config>(path.to_owned());
    });
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
