//! Datagrams that a client imports: each is answered once it is in the log.

use std::ops::ControlFlow;

use common::ask::Status;
use common::books::Label;
use common::wire::Header;

use super::client::{Inlet, refuse};
use super::outlet::Outlet;
use super::{Desk, Imported, Request};
use crate::counters::AskRefusal;
use crate::service::is_kept;

/// Takes datagrams until an empty frame.
pub(super) fn serve(desk: &Desk, inlet: &mut Inlet<'_>, outlet: &mut Outlet<'_>) -> ControlFlow<()> {
    let mut records = 0;
    loop {
        let datagram = match inlet.next(desk.idle_timeout, desk.client_timeout) {
            Ok(Some(payload)) => payload,
            Ok(None) => return ControlFlow::Break(()),
            Err(refusal) => {
                desk.refused(refusal);
                return ControlFlow::Break(());
            }
        };
        if datagram.is_empty() {
            desk.answered(0);
            outlet.status(Status::Done { warning: None })?;
            return outlet.end();
        }
        let wrong = match Header::read(&datagram) {
            Ok((header, _)) if is_kept(header.content) => None,
            Ok((header, _)) => Some(format!("{} cannot be imported", header.content.word())),
            Err(error) => Some(error.to_string()),
        };
        if let Some(wrong) = wrong {
            desk.refused(AskRefusal::Wrong);
            let _ = refuse(outlet, Status::Refused(&wrong));
            // What comes behind it is of the import still.
            return ControlFlow::Break(());
        }
        match desk.request(|reply| Request::Import { datagram, reply }) {
            Some(Imported::Written(written)) => {
                records += written.stored;
                let refused = written.bad_key + written.unreadable + written.deleted;
                outlet.status(Status::Accepted { accepted: written.stored, refused })?;
                outlet.flush()?;
            }
            Some(Imported::Failed(lost)) => {
                desk.refused(AskRefusal::Failed);
                let why = format!(
                    "nothing is written now ({}), {records} records are imported; try again",
                    lost.name()
                );
                let _ = refuse(outlet, Status::Failed(&why));
                return ControlFlow::Break(());
            }
            None => {
                desk.refused(AskRefusal::Stopped);
                let _ = refuse(outlet, Status::Failed("leela-storage is stopping"));
                return ControlFlow::Break(());
            }
        }
    }
}
