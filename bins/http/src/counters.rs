//! What leela-http counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

use crate::points::Reason;

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed`, in metrics and notes.
    pub struct Counters {
        /// Metrics and notes that were found in bodies.
        received: u64,
        /// Metrics and notes that were understood.
        accepted: u64,
        /// Metrics and notes that were put into the ring, on their way to the timeline.
        passed: u64,
        /// What was not understood, by reason.
        refused: Family<Reason>,
        /// Points and notes that were read from leela-storage and given to clients.
        points_read: u64,
        /// Events that were given to clients of live streams.
        events_live: u64,
        /// Events that live streams lost, as leela-dmproc said.
        events_lost: u64,
        /// Requests that were answered, by outcome and route.
        requests: Requests,
        /// Bytes of bodies of requests, as they were sent.
        body_bytes: u64,
        /// Connections, as of now.
        connections: u64,
        /// Connections that were taken.
        connected: u64,
        /// Connections that were not served, by reason.
        turned_away: Family<TurnedAway>,
        /// Live streams, as of now.
        streams: u64,
    }
}

counters! {
    /// Requests by outcome: every one is in one of these, when its answer is over.
    pub struct Requests {
        /// Answered as asked.
        ok: Family<Route>,
        /// The client's fault: 4xx.
        wrong: Family<Route>,
        /// Not the client's fault: 5xx.
        failed: Family<Route>,
        /// The answer ended in the middle: storage or dmproc failed, or the client went away.
        cut: Family<Route>,
    }
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As asked.
    Ok,
    /// 4xx.
    Wrong,
    /// 5xx.
    Failed,
    /// In the middle of its answer.
    Cut,
}

impl Outcome {
    /// Every outcome; `outcome as usize` is its index.
    pub const ALL: [Outcome; 4] = [Outcome::Ok, Outcome::Wrong, Outcome::Failed, Outcome::Cut];
}

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl $name {
            /// Every one, in the order of the enum.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
        }

        impl Label for $name {
            const NAMES: &'static [&'static str] = &[$($word),*];

            fn slot(self) -> usize {
                self as usize
            }
        }
    };
}

labels!(
    /// What was asked for.
    Route {
        /// `GET /v1/version`.
        V1Version = "v1_version",
        /// `GET /v1/...`, points.
        V1Read = "v1_read",
        /// `GET /v1/data/...`, notes.
        V1DataRead = "v1_data_read",
        /// `POST /v1/:key`.
        V1Write = "v1_write",
        /// `POST /v1/data/:key`.
        V1DataWrite = "v1_data_write",
        /// `POST /v2/write`.
        Write = "write",
        /// `GET /v2/range`.
        Range = "range",
        /// `GET /v2/series`.
        Series = "series",
        /// `GET /v2/tags`, `GET /v2/tags/:tag`.
        Tags = "tags",
        /// `GET /v2/live`.
        Live = "live",
        /// `GET /v2/status`.
        Status = "status",
        /// `GET /health`, `GET /ready`.
        Health = "health",
        /// `GET /metrics`.
        Metrics = "metrics",
        /// `GET /openapi.json`.
        OpenApi = "openapi",
        /// The page and what belongs to it.
        Page = "page",
        /// All else.
        Other = "other",
    }
);

labels!(
    /// Why a connection was not served.
    TurnedAway {
        /// There were too many.
        Connections = "connections",
        /// The system had no descriptor or memory for it.
        Accept = "accept",
        /// Its TLS handshake failed.
        Tls = "tls",
        /// Its request line or headers were too long, wrong, or came too slowly.
        Head = "head",
    }
);
