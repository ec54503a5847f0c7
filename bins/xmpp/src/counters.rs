//! What leela-xmpp counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl Label for $name {
            const NAMES: &'static [&'static str] = &[$($word),*];

            fn slot(self) -> usize {
                self as usize
            }
        }
    };
}

labels!(
    /// Why a statement is refused.
    Reason {
        /// Whoever says it is not on the list.
        Unlisted = "unlisted",
        /// One user said too many in a minute.
        Rate = "rate",
        /// It is too long.
        Length = "length",
        /// It is no statement, or its pipeline or regex is wrong.
        Query = "query",
        /// There are too many subscriptions.
        Limit = "limit",
        /// It is about a subscription that is not there, or not the user's.
        Unknown = "unknown",
        /// The directory is away.
        Directory = "directory",
    }
);

labels!(
    /// Why a value does not reach its user.
    Dropped {
        /// The user muted the subscription.
        Muted = "muted",
        /// It waited too long for its user.
        Expired = "expired",
        /// The subscription ended, or another bridge serves it now.
        Ended = "ended",
        /// The process was told to stop.
        Stopped = "stopped",
    }
);

labels!(
    /// Why a message does not reach the server.
    Unsent {
        /// Too many waited.
        Full = "full",
        /// The process was told to stop, and the server did not take it in time.
        Stopped = "stopped",
    }
);

counters! {
    /// At rest `received = accepted + refused`, in statements.
    pub struct Counters {
        /// Statements that were received.
        received: u64,
        /// Statements that were answered as asked.
        accepted: u64,
        /// Statements that were not, by reason.
        refused: Family<Reason>,
        /// Statements of strangers that were not even told so.
        ignored: u64,
        /// What subscriptions gave.
        values: Values,
        /// What was said to users.
        messages: Messages,
        /// Whether it is logged in, as of now: 1 or 0.
        online: u64,
        /// Times that it logged in.
        logins: u64,
        /// Times that a cut connection was taken up again.
        resumed: u64,
        /// Times that the server could not be reached.
        unreachable: u64,
        /// Whether it is the bridge that is asked, as of now: 1 or 0.
        front: u64,
        /// Subscriptions in the directory, as of now.
        subscriptions: u64,
        /// Subscriptions that it serves, as of now.
        served: u64,
        /// Subscriptions that were taken over from another bridge.
        taken_over: u64,
        /// Subscriptions that leela-dmproc refused.
        failed: u64,
        /// Times that Redis was away.
        directory_lost: u64,
        /// Requests of clients beside messages: ping, version, service discovery, commands.
        inquiries: u64,
    }
}

counters! {
    /// At rest `received = told + digested + dropped + waiting`.
    pub struct Values {
        /// Values that leela-dmproc gave.
        received: u64,
        /// Values that were told, a message each.
        told: u64,
        /// Values that were told in digests.
        digested: u64,
        /// Values that were not told, by reason.
        dropped: Family<Dropped>,
        /// Values that wait in digests, as of now.
        waiting: u64,
        /// Values that leela-dmproc lost because this process read too slowly.
        lost: u64,
    }
}

counters! {
    /// At rest `made = delivered + in_doubt + dropped + waiting`.
    pub struct Messages {
        /// Messages that were made.
        made: u64,
        /// Messages that the server has.
        delivered: u64,
        /// Messages that the server had not acknowledged when its connection was lost for good.
        in_doubt: u64,
        /// Messages that did not go out, by reason.
        dropped: Family<Unsent>,
        /// Messages that wait for the server, as of now.
        waiting: u64,
        /// Of those that the server has, messages that came back: their recipients do not take them.
        bounced: u64,
    }
}
