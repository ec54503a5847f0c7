//! Signed and encrypted parts: who sent a packet, and whether it is as it was sent.
//!
//! ```text
//! signature    MAC = HMAC-SHA256(password, user ∥ rest of the packet) (32 bytes) ∥ user
//! encryption   u16 BE length of user ∥ user ∥ IV (16 bytes) ∥ AES-256-OFB(SHA-256(password), IV)
//!              of SHA-1(payload) (20 bytes) ∥ payload
//! ```
//!
//! The protocol has no sequence number: a packet recorded on its way can be sent again, and is taken again.
//!
//! Source: <https://github.com/collectd/collectd/wiki/Binary-protocol>, and packets of collectd 5.12.

use aes::Aes256;
use hmac::Mac;
use ofb::OfbCore;
use ofb::cipher::{InnerIvInit, StreamCipher, StreamCipherCoreWrapper};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use crate::reason::Reason;
use crate::users::Users;

const MAC_BYTES: usize = 32;
const IV_BYTES: usize = 16;
const SHA1_BYTES: usize = 20;

/// How well a packet is secured, or has to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Anybody can have sent it.
    #[default]
    None,
    /// Signed by a user of the AuthFile.
    Sign,
    /// Encrypted by a user of the AuthFile.
    Encrypt,
}

impl Level {
    /// Why something of this level is refused where `required` is; `None` when it is not.
    pub fn refused_by(self, required: Level) -> Option<Reason> {
        match required {
            _ if self >= required => None,
            Level::Encrypt => Some(Reason::Unencrypted),
            _ => Some(Reason::Unsigned),
        }
    }
}

/// The user who signed `rest`, the whole of the packet behind the signature part with this body.
pub fn verify<'a>(users: &Users, body: &'a [u8], rest: &[u8]) -> Result<&'a [u8], Reason> {
    let Some((mac, user)) = body.split_first_chunk::<MAC_BYTES>() else {
        return Err(Reason::PartLength);
    };
    let keys = users.get(user).ok_or(Reason::User)?;
    let computed = keys.mac.clone().chain_update(user).chain_update(rest);
    // Compared in constant time.
    computed.verify_slice(mac).map_err(|_| Reason::Mac)?;
    Ok(user)
}

/// What an encrypted part held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decrypted<'a, 'b> {
    /// Who encrypted it.
    pub user: &'a [u8],
    /// Where the payload begins, from the start of the part's body.
    pub offset: usize,
    /// The parts that were encrypted.
    pub payload: &'b [u8],
}

/// Decrypts the encryption part with this body into `buffer`, over what it holds.
pub fn decrypt<'a, 'b>(
    users: &Users,
    body: &'a [u8],
    buffer: &'b mut Vec<u8>,
) -> Result<Decrypted<'a, 'b>, Reason> {
    let (length, after) = body.split_first_chunk().ok_or(Reason::PartLength)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (user, after) = after.split_at_checked(length).ok_or(Reason::PartLength)?;
    let (iv, ciphertext) = after.split_first_chunk::<IV_BYTES>().ok_or(Reason::PartLength)?;
    if ciphertext.len() < SHA1_BYTES {
        return Err(Reason::PartLength);
    }
    let keys = users.get(user).ok_or(Reason::User)?;

    buffer.clear();
    buffer.extend_from_slice(ciphertext);
    let core = OfbCore::<&Aes256>::inner_iv_init(&keys.cipher, iv.into());
    StreamCipherCoreWrapper::from_core(core).try_apply_keystream(buffer).map_err(|_| Reason::PartLength)?;

    let (checksum, payload) = buffer.split_at(SHA1_BYTES);
    let computed = Sha1::digest(payload);
    // All of it, whatever differs first: how far a guess went must not be seen in the time it takes.
    let difference = checksum.iter().zip(computed).fold(0, |all, (a, b)| all | (a ^ b));
    if difference != 0 {
        return Err(Reason::Checksum);
    }
    Ok(Decrypted { user, offset: body.len() - payload.len(), payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_what_is_required_is_refused_by_name() {
        use Level::{Encrypt, None as Plain, Sign};
        for (level, required, want) in [
            (Plain, Plain, None),
            (Sign, Plain, None),
            (Encrypt, Plain, None),
            (Plain, Sign, Some(Reason::Unsigned)),
            (Sign, Sign, None),
            (Encrypt, Sign, None),
            (Plain, Encrypt, Some(Reason::Unencrypted)),
            (Sign, Encrypt, Some(Reason::Unencrypted)),
            (Encrypt, Encrypt, None),
        ] {
            assert_eq!(level.refused_by(required), want, "{level:?} {required:?}");
        }
    }

    #[test]
    fn a_short_part_is_refused_before_anything_is_computed() {
        let (users, _) = Users::parse(b"alice: secret");
        assert_eq!(verify(&users, &[0; MAC_BYTES - 1], b""), Err(Reason::PartLength));
        assert_eq!(verify(&users, &[0; MAC_BYTES], b""), Err(Reason::User));
        let mut buffer = Vec::new();
        let whole = [b"\0\x05alice".as_slice(), &[0; IV_BYTES + SHA1_BYTES]].concat();
        for length in 0..whole.len() {
            assert_eq!(decrypt(&users, &whole[..length], &mut buffer), Err(Reason::PartLength), "{length}");
        }
        assert_eq!(decrypt(&users, &whole, &mut buffer), Err(Reason::Checksum));
        assert_eq!(decrypt(&users, &[0; 38], &mut buffer), Err(Reason::User));
    }
}
