//! Points of a request on their way: handed to the thread that owns the ring, within the time a body may take.

use axum::http::StatusCode;
use common::time::Time;

use crate::app::App;
use crate::gate::Peer;
use crate::points::Intake;
use crate::refusal::Refusal;
use crate::writer::Written;

/// Has `fill` read points, and returns when they are in the ring and in the books.
pub(crate) async fn write_all(
    app: &App,
    peer: &Peer,
    now: Time,
    heavy: bool,
    fill: impl FnOnce(&mut Intake) + Send + 'static,
) -> Result<Told, Refusal> {
    let written = app.writer.write(now, peer.address.to_string(), heavy, fill).await;
    let (written, intake) =
        written.map_err(|_| Refusal::busy("stopping", "this server stops: send it again"))?;
    let told = Told { accepted: intake.accepted, refused: intake.refused(), faults: intake.faults.clone() };
    app.writer.give_back(intake);
    match written {
        Written::Done => Ok(told),
        Written::Full => Err(Refusal::busy(
            "ring_full",
            "leela-timeline is behind or away, and half of what may wait for it waits: nothing was taken, send it again",
        )),
        Written::TooLarge => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_long",
            "the points of one body take more than a quarter of the ring: nothing was taken, send less at a time",
        )),
    }
}

/// What became of a body's points.
#[derive(Debug)]
pub(crate) struct Told {
    /// In the ring.
    pub(crate) accepted: u64,
    /// Not understood.
    pub(crate) refused: u64,
    /// The first of those.
    pub(crate) faults: Vec<crate::points::Refused>,
}
