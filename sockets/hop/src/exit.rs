//! With which status a process ends that did not get its sockets.

use std::io;

use common::exit::{Exit, OrExit};
use sockets::inherited::InheritError;

/// Gives the error its exit status: 78 where unit and configuration disagree, 75 where somebody else is there
/// for now, else what the system's error means.
pub fn without_sockets(error: InheritError) -> anyhow::Error {
    let status = match &error {
        InheritError::Mismatch { .. } | InheritError::Unused(_) => Some(Exit::Config),
        InheritError::Busy { .. } => Some(Exit::TempFail),
        InheritError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            Some(Exit::TempFail)
        }
        InheritError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrNotAvailable => {
            Some(Exit::Config)
        }
        InheritError::Bind { .. } => None,
    };
    match status {
        Some(status) => Err::<(), _>(error).exit(status).expect_err("it is an error"),
        None => error.into(),
    }
}
