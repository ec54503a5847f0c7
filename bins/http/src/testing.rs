//! For tests: what is read of a request, without a server.

use std::sync::Arc;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue, Uri};
use common::ask::Ask;
use common::time::Time;
use tokio::sync::Semaphore;

use crate::app::PERMIT_BYTES;
use crate::body::{Packing, Share};
use crate::{v1, v2, when};

/// A read as it is understood, of a target and the header `Accept`: of `/v1` its key and span, of all else what storage is
/// asked as by `/v2/range`. None where HTTP has no such target.
///
/// # Errors
/// What is said of a request that is refused.
pub fn read(target: &[u8], accept: &[u8], now: Time) -> Result<Option<Read>, String> {
    let Ok(uri) = Uri::try_from(target) else { return Ok(None) };
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_bytes(accept).ok().map(|accept| (ACCEPT, accept)));
    let told = |refusal: crate::refusal::Refusal| refusal.detail.into_owned();
    if uri.path().starts_with("/v1/") {
        let asked = v1::asked(&uri, now).map_err(told)?;
        return Ok(asked.map(|(key, from, to)| Read::V1 { key, from, to }));
    }
    v2::range::asked(&uri, &headers, now).map(|asked| Some(Read::V2(Ask::Range(asked.ask)))).map_err(told)
}

/// What a read asks for.
#[derive(Debug)]
pub enum Read {
    /// The original's: a key, and a span of which both ends belong to it.
    V1 {
        /// As it stands in the path.
        key: String,
        /// Its first moment.
        from: Time,
        /// Its last.
        to: Time,
    },
    /// What leela-storage is asked.
    V2(Ask),
}

/// A moment as requests write it.
pub fn moment(text: &str, now: Time) -> Option<Time> {
    when::moment(text, now)
}

/// How a body is packed.
#[derive(Clone, Copy, Debug)]
pub enum Packed {
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

/// A body, unpacked to at most `max` bytes, within `memory` bytes; else what is said of it.
///
/// # Errors
/// Where it is not packed so, or has more bytes.
pub fn unpacked(packed: Packed, bytes: &[u8], max: usize, memory: usize) -> Result<Vec<u8>, String> {
    let packing = match packed {
        Packed::Gzip => Packing::Gzip,
        Packed::Zstd => Packing::Zstd,
    };
    let mut share = share(memory);
    packing.unpack(bytes.to_vec(), max, &mut share).map_err(|refusal| refusal.detail.into_owned())
}

/// The items of a write of `/v1`: how many they are, and the bytes of what is answered of them.
///
/// # Errors
/// What is said of a body that is refused.
pub fn items(body: &[u8], is_data: bool, now: Time, memory: usize) -> Result<(usize, usize), String> {
    v1::items(body, is_data, now, &mut share(memory)).map_err(|refusal| refusal.detail.into_owned())
}

fn share(bytes: usize) -> Share {
    Share::new(Arc::new(Semaphore::new(bytes / PERMIT_BYTES)))
}
