//! What can be merged, over time, over series and over hosts: a sum, a sketch of samples, a set of members.
//!
//! A sketch is filled by one series in one window, travels as the bytes of a [`crate::metric::State`], and is merged
//! with others of its kind in any order. There is one function for that, [`merge`]. The kinds of a state:
//!
//! - [`SUM`]: an [`Amount`] in billionths, exact.
//! - [`SAMPLES`]: [`Samples`], whose quantiles are exact to 128 values, and within 1 % beyond.
//! - [`MEMBERS`]: [`Members`], whose number is exact to 1,024, and within about 1 % beyond.
//!
//! The bytes of each are drawn in its own module; they begin with a version of their own, [`VERSION`].

pub mod amount;
mod bins;
mod blocks;
pub mod members;
pub mod quantile;
pub mod samples;

use mapped::Versions;
use thiserror::Error;

pub use amount::Amount;
pub use members::Members;
pub use quantile::Quantile;
pub use samples::Samples;

/// The kind of a state that is an [`Amount`].
pub const SUM: u8 = 1;
/// The kind of a state that is [`Samples`].
pub const SAMPLES: u8 = 2;
/// The kind of a state that is [`Members`].
pub const MEMBERS: u8 = 3;

/// The first byte of every state.
pub const VERSION: u8 = VERSIONS.written() as u8;

/// The versions that there are.
pub const VERSIONS: Versions = Versions::new(1, 1, 1);

/// Why the bytes of a state are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum StateError {
    /// A kind that this version does not know.
    #[error("a state of kind {0} is not known")]
    Kind(u8),
    /// Another version wrote it.
    #[error("a state of version {0} is not known")]
    Version(u8),
    /// It ends too soon, or too late.
    #[error("the state is not as long as it says")]
    Length,
    /// What it holds contradicts itself, or is beyond what a state can hold.
    #[error("the state holds what none can hold")]
    Content,
    /// Two states that are of different kinds.
    #[error("states of kinds {0} and {1} do not mix")]
    Mixed(u8, u8),
}

/// A state of any kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Sketch {
    /// [`SUM`].
    Sum(Amount),
    /// [`SAMPLES`].
    Samples(Samples),
    /// [`MEMBERS`].
    Members(Members),
}

impl Sketch {
    /// Reads the bytes of a state.
    pub fn decode(kind: u8, bytes: &[u8]) -> Result<Sketch, StateError> {
        match kind {
            SUM => Amount::decode(bytes).map(Sketch::Sum),
            SAMPLES => Samples::decode(bytes).map(Sketch::Samples),
            MEMBERS => Members::decode(bytes).map(Sketch::Members),
            kind => Err(StateError::Kind(kind)),
        }
    }

    /// Its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Sketch::Sum(_) => SUM,
            Sketch::Samples(_) => SAMPLES,
            Sketch::Members(_) => MEMBERS,
        }
    }

    /// Appends its bytes, at most [`crate::metric::State::BYTES_MAX`] of them.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Sketch::Sum(sum) => sum.encode(out),
            Sketch::Samples(samples) => samples.encode(out),
            Sketch::Members(members) => members.encode(out),
        }
    }

    /// Takes in all that another one of the same kind holds.
    pub fn merge(&mut self, other: &Sketch) -> Result<(), StateError> {
        match (self, other) {
            (Sketch::Sum(sum), Sketch::Sum(other)) => *sum = sum.plus(*other),
            (Sketch::Samples(samples), Sketch::Samples(other)) => samples.merge(other),
            (Sketch::Members(members), Sketch::Members(other)) => members.merge(other),
            (one, other) => return Err(StateError::Mixed(one.kind(), other.kind())),
        }
        Ok(())
    }
}

/// The bytes of what two states of one kind hold together: in whatever order states are merged, it is the same, but for
/// the last digits of the sums of samples, which are floats.
pub fn merge(kind: u8, one: &[u8], other: &[u8]) -> Result<Vec<u8>, StateError> {
    let mut merged = Sketch::decode(kind, one)?;
    merged.merge(&Sketch::decode(kind, other)?)?;
    let mut out = Vec::with_capacity(one.len().max(other.len()));
    merged.encode(&mut out);
    Ok(out)
}

/// What is left of a state's bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// What stands behind the version.
    fn of(bytes: &'a [u8]) -> Result<Fields<'a>, StateError> {
        match bytes.split_first() {
            Some((&version, rest)) if VERSIONS.reads(u32::from(version)) => Ok(Fields(rest)),
            Some((&version, _)) => Err(StateError::Version(version)),
            None => Err(StateError::Length),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(StateError::Length)?;
        self.0 = rest;
        Ok(*field)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(StateError::Length)?;
        self.0 = rest;
        Ok(field)
    }

    fn byte(&mut self) -> Result<u8, StateError> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A float that is finite.
    fn f64(&mut self) -> Result<f64, StateError> {
        let value = self.array().map(f64::from_le_bytes)?;
        if value.is_finite() { Ok(value) } else { Err(StateError::Content) }
    }

    fn end(&self) -> Result<(), StateError> {
        if self.0.is_empty() { Ok(()) } else { Err(StateError::Length) }
    }
}

#[cfg(test)]
mod tests;
