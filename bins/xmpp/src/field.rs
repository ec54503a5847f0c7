//! The name of a subscription in the directory: what the original called it, so that its directories are taken over.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha512};

/// `hex(sha512(bare JID + proc + regex))`, one behind the other: the same query of the same user is one entry.
pub(crate) fn of(sender: &str, proc: &str, regex: &str) -> String {
    let mut hash = Sha512::new();
    for part in [sender, proc, regex] {
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().fold(String::with_capacity(128), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_field_is_the_original_s() {
        let field = super::of("foobar@localhost", "id", "^a$");
        assert_eq!(field.len(), 128);
        assert!(field.starts_with("9a42eab46e89f18d"), "{field}");
    }
}
