//! Why a part of a packet is refused: one closed list, whose names are the counters `refused.<name>`.

use std::fmt;

use common::books::Label;

macro_rules! reasons {
    ($($(#[$doc:meta])* $reason:ident = $name:literal,)*) => {
        /// Why something in a packet yields nothing.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum Reason {
            $($(#[$doc])* $reason,)*
        }

        impl Reason {
            /// Every reason, in the order of its number: `Reason::ALL[reason as usize] == reason`.
            pub const ALL: &'static [Reason] = &[$(Reason::$reason,)*];

            /// The word in books, logs and the man page; it never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$reason => $name,)*
                }
            }
        }

        impl Label for Reason {
            const NAMES: &'static [&'static str] = &[$($name,)*];

            fn slot(self) -> usize {
                self as usize
            }
        }
    };
}

reasons! {
    /// The datagram holds no value and no notification.
    Empty = "empty",
    /// A part says it is shorter than its own header, or than its type needs. In a header this ends the packet.
    PartLength = "part_length",
    /// A part says it is longer than what is left of the packet.
    Truncated = "truncated",
    /// A text part without its final NUL.
    String = "string",
    /// A values part whose length is not that of its count.
    ValuesLength = "values_length",
    /// A values part with a kind other than counter, gauge, derive and absolute.
    ValueKind = "value_kind",
    /// A gauge that is NaN: collectd's word for "no reading". No fault.
    Unknown = "unknown",
    /// A gauge that is infinite.
    NotFinite = "not_finite",
    /// Control characters or bytes that are no UTF-8 in a part of the key, or a key over 1,024 bytes.
    BadKey = "bad_key",
    /// Values without a host, or with an empty one.
    NoHost = "no_host",
    /// Values without a plugin, or with an empty one.
    NoPlugin = "no_plugin",
    /// Values without a type, or with an empty one.
    NoType = "no_type",
    /// A time past the year 2262.
    Time = "time",
    /// A notification without a severity, or with an unknown one.
    Severity = "severity",
    /// A notification with an empty message.
    Message = "message",
    /// Values or a notification that are not signed, where that is required.
    Unsigned = "unsigned",
    /// Values or a notification that are not encrypted, where that is required.
    Unencrypted = "unencrypted",
    /// Signed or encrypted by a user whom the AuthFile does not have.
    User = "user",
    /// The signature is not this user's over this packet: a wrong password, or a packet changed on its way.
    Mac = "mac",
    /// What came out of the decryption is not what went in: a wrong password, or a packet changed on its way.
    Checksum = "checksum",
    /// A signed or encrypted part within a signed or encrypted one.
    Nested = "nested",
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = Reason::ALL.len();

    /// False where the sender did nothing wrong, so that nobody need hear of it.
    pub const fn is_fault(self) -> bool {
        !matches!(self, Reason::Unknown)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why.
    pub reason: Reason,
    /// Where the part that is refused begins, in bytes from the start of the packet. Inside an encrypted part it is
    /// the place of the ciphertext.
    pub offset: usize,
    /// How many values were lost by it; 1 for a notification, and where nobody can know.
    pub values: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_number_and_has_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for (number, &reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(reason as usize, number);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{reason}");
            assert!(names.insert(reason.name()), "{reason} twice");
        }
        assert_eq!(names.len(), Reason::COUNT);
    }
}
