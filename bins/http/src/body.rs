//! Bodies of requests: read within bounds of length, time and memory, and unpacked.

use std::convert::Infallible;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use ruzstd::decoding::StreamingDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::{App, PERMIT_BYTES};
use crate::refusal::Refusal;
use crate::tally::Tally;

/// A packed body up to here is unpacked where it was read.
const LIGHT_BYTES_MAX: usize = 64 * 1024;
/// Room that an unpacked body gets at a time.
const GROWTH_BYTES: usize = 64 * 1024;

/// A body, and its share of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its bytes, unpacked.
    pub(crate) bytes: Vec<u8>,
    pub(crate) share: Share,
}

/// A share of the memory for bodies.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
    /// Of a body, unpacked.
    body: usize,
    /// Of what was made of it beside.
    made: usize,
}

impl Share {
    pub(crate) fn new(of: Arc<Semaphore>) -> Share {
        Share { of, held: None, bytes: 0, body: 0, made: 0 }
    }

    /// `item` bytes more were made of the body, and its answer has `answer` bytes by now.
    pub(crate) fn more(&mut self, item: usize, answer: usize) -> Result<(), Refusal> {
        self.made += item;
        self.grow_to(self.body + self.made + answer)
    }

    fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let permits = u32::try_from((bytes - self.bytes).div_ceil(PERMIT_BYTES)).unwrap_or(u32::MAX);
        let more = self.of.clone().try_acquire_many_owned(permits).map_err(|_| {
            Refusal::busy("bodies", "too many bodies are read just now (bodies_max): send it again later")
        })?;
        self.bytes += permits as usize * PERMIT_BYTES;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

/// An answer whose memory is counted as a body's until it is sent.
#[derive(Debug)]
pub(crate) struct Held {
    body: Full<Bytes>,
    _share: Share,
}

impl Held {
    pub(crate) fn new(bytes: Vec<u8>, share: Share) -> Held {
        Held { body: Full::new(bytes.into()), _share: share }
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How a body is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) fn unpack(self, packed: Vec<u8>, max: usize, share: &mut Share) -> Result<Vec<u8>, Refusal> {
        match self {
            Packing::Plain => Ok(packed),
            Packing::Gzip => gunzip(&packed, max, share),
            Packing::Zstd => unzstd(&packed, max, share),
        }
    }

    fn of(headers: &HeaderMap) -> Result<Packing, Refusal> {
        let mut codings = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(|coding| coding.trim().to_ascii_lowercase())
            .filter(|coding| !coding.is_empty() && coding != "identity");
        match (codings.next().as_deref(), codings.next()) {
            (None, _) => Ok(Packing::Plain),
            (Some("gzip" | "x-gzip"), None) => Ok(Packing::Gzip),
            (Some("zstd"), None) => Ok(Packing::Zstd),
            _ => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "encoding",
                "a body is plain, gzip or zstd, and packed once",
            )
            .with(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))),
        }
    }
}

/// Reads the body of a request.
pub(crate) async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Content, Refusal> {
    let packing = Packing::of(headers)?;
    let (max, inflated_max) = (app.config.body_max.len(), app.config.inflated_max.len());
    let mut share = Share::new(app.bodies.clone());
    let told = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|told| told > max) {
        return Err(too_long(app));
    }
    share.grow_to(told.unwrap_or(0))?;
    let reading = collect(app, body, told.unwrap_or(0), &mut share);
    let packed = tokio::time::timeout(app.body_timeout(), reading).await.map_err(|_| {
        Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow", "the body did not come in time (body_timeout)")
    })??;
    Tally::add(&app.tally.body_bytes, packed.len() as u64);
    let unpack = move || {
        let bytes = packing.unpack(packed, inflated_max, &mut share)?;
        share.body = bytes.len();
        Ok(Content { bytes, share })
    };
    if packing == Packing::Plain || told.is_some_and(|told| told <= LIGHT_BYTES_MAX) {
        return unpack();
    }
    let unpacked = tokio::task::spawn_blocking(unpack).await;
    unpacked
        .map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", "unpacking the body failed"))?
}

async fn collect(app: &App, mut body: Body, told: usize, share: &mut Share) -> Result<Vec<u8>, Refusal> {
    let max = app.config.body_max.len();
    let mut bytes = Vec::with_capacity(told);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::wrong("body", "the body ended in the middle"))?;
        let Ok(mut data) = frame.into_data() else { continue };
        if bytes.len() + data.remaining() > max {
            return Err(too_long(app));
        }
        share.grow_to(bytes.len() + data.remaining())?;
        while data.has_remaining() {
            let length = data.chunk().len();
            bytes.extend_from_slice(data.chunk());
            data.advance(length);
        }
    }
    Ok(bytes)
}

fn too_long(app: &App) -> Refusal {
    let detail = format!("a body has at most {} (body_max)", app.config.body_max);
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", detail)
}

fn inflated_too_long(max: usize) -> Refusal {
    let detail = format!("a body has at most {max} bytes when it is unpacked (inflated_max)");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_long", detail)
}

fn gunzip(packed: &[u8], max: usize, share: &mut Share) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    inflate(MultiGzDecoder::new(packed), "gzip", max, share, &mut out)?;
    Ok(out)
}

fn unzstd(packed: &[u8], max: usize, share: &mut Share) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let mut rest = packed;
    while !rest.is_empty() {
        let frame = ZstdFrame::of(rest).ok_or_else(|| broken("zstd"))?;
        match frame {
            ZstdFrame::Skipped(length) => rest = rest.get(length..).ok_or_else(|| broken("zstd"))?,
            // A window is memory that is taken before anything is unpacked.
            ZstdFrame::Data { window } if window > max as u64 => return Err(inflated_too_long(max)),
            ZstdFrame::Data { window } => {
                share.grow_to(out.len() + window as usize)?;
                let decoder = StreamingDecoder::new(&mut rest).map_err(|_| broken("zstd"))?;
                inflate(decoder, "zstd", max, share, &mut out)?;
            }
        }
    }
    Ok(out)
}

/// What a frame of zstd says of itself. Source: RFC 8878, 3.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ZstdFrame {
    /// So many bytes that mean nothing.
    Skipped(usize),
    /// Data, whose unpacking needs so many bytes to look back.
    Data { window: u64 },
}

impl ZstdFrame {
    fn of(bytes: &[u8]) -> Option<ZstdFrame> {
        let magic = u32::from_le_bytes(*bytes.first_chunk()?);
        let rest = &bytes[4..];
        if magic & 0xffff_fff0 == 0x184d_2a50 {
            let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
            return Some(ZstdFrame::Skipped(length.checked_add(8)?));
        }
        if magic != 0xfd2f_b528 {
            return None;
        }
        let descriptor = *rest.first()?;
        if descriptor & 0x20 == 0 {
            let window = *rest.get(1)?;
            let base = 1_u64 << (10 + (window >> 3));
            return Some(ZstdFrame::Data { window: base + base / 8 * u64::from(window & 7) });
        }
        // One segment: the window is the whole content.
        let at = 1 + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size = rest.get(at..)?;
        let window = match descriptor >> 6 {
            0 => u64::from(*size.first()?),
            1 => u64::from(u16::from_le_bytes(*size.first_chunk()?)) + 256,
            2 => u64::from(u32::from_le_bytes(*size.first_chunk()?)),
            _ => u64::from_le_bytes(*size.first_chunk()?),
        };
        Some(ZstdFrame::Data { window })
    }
}

/// Unpacks all that `from` gives, behind what `out` holds.
fn inflate(
    mut from: impl Read,
    name: &'static str,
    max: usize,
    share: &mut Share,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    loop {
        let start = out.len();
        // One byte more than there may be tells that there are too many.
        let room = (start + GROWTH_BYTES).min(max + 1);
        share.grow_to(room)?;
        out.resize(room, 0);
        let mut filled = start;
        let end = loop {
            match from.read(&mut out[filled..]) {
                Ok(0) => break true,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(broken(name)),
            }
            if filled == out.len() {
                break false;
            }
        };
        out.truncate(filled);
        if filled > max {
            return Err(inflated_too_long(max));
        }
        if end {
            return Ok(());
        }
    }
}

fn broken(name: &str) -> Refusal {
    Refusal::wrong("encoding", format!("the body is not {name}, or ended in the middle"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use std::io::Write as _;

    fn share(bytes: usize) -> Share {
        Share::new(Arc::new(Semaphore::new(bytes / PERMIT_BYTES)))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn what_was_packed_is_unpacked_within_bounds() {
        let zstd = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        let text = b"gauge 3|foo 1 1;".repeat(20_000);
        let (a, b) = text.split_at(1000);
        let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        let many = 1 << 30;
        for (label, got) in [
            ("gzip", gunzip(&gzip(&text), text.len(), &mut share(many))),
            ("gzip, two members", gunzip(&[gzip(a), gzip(b)].concat(), text.len(), &mut share(many))),
            ("zstd", unzstd(&zstd(&text), text.len() * 64, &mut share(many))),
            (
                "zstd, frames",
                unzstd(&[zstd(a), skipped, zstd(b)].concat(), text.len() * 64, &mut share(many)),
            ),
        ] {
            assert!(got.unwrap() == text, "{label}");
        }
        for (label, got, status, code) in [
            ("long", gunzip(&gzip(&text), text.len() - 1, &mut share(many)), 413, "body_too_long"),
            ("long", unzstd(&zstd(&text), 1000, &mut share(many)), 413, "body_too_long"),
            ("memory", gunzip(&gzip(&text), many, &mut share(1 << 16)), 503, "bodies"),
            ("memory", unzstd(&zstd(&text), many, &mut share(1 << 16)), 503, "bodies"),
            ("none", gunzip(b"gauge", many, &mut share(many)), 400, "encoding"),
            ("none", unzstd(b"gauge", many, &mut share(many)), 400, "encoding"),
            ("half", gunzip(&gzip(&text)[..100], many, &mut share(many)), 400, "encoding"),
            ("half", unzstd(&zstd(&text)[..20], many, &mut share(many)), 400, "encoding"),
        ] {
            let refusal = got.unwrap_err();
            assert_eq!(
                (refusal.status.as_u16(), refusal.code),
                (status, code),
                "{label}: {}",
                refusal.detail
            );
        }
    }

    #[test]
    fn a_window_is_known_before_it_is_taken() {
        // A window of 3.75 TiB, with no content at all.
        let bomb = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff];
        assert_eq!(ZstdFrame::of(&bomb), Some(ZstdFrame::Data { window: 15 << 38 }));
        assert_eq!(unzstd(&bomb, 1 << 25, &mut share(1 << 30)).unwrap_err().status, 413);
        let single = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(ZstdFrame::of(&single), Some(ZstdFrame::Data { window: 1 << 56 }));
        for length in 0..bomb.len() {
            assert_eq!(ZstdFrame::of(&bomb[..length]), None);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes: Vec<u8>) {
            let zstd = [&[0x28, 0xb5, 0x2f, 0xfd][..], &bytes].concat();
            let gzip = [&[0x1f, 0x8b, 8][..], &bytes].concat();
            let _ = unzstd(&zstd, 1 << 20, &mut share(1 << 24));
            let _ = gunzip(&gzip, 1 << 20, &mut share(1 << 24));
        }
    }
}
