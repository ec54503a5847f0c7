//! Answers to connections that have no request: written as they are.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::refusal::RETRY_SECONDS;

/// How long a client may take for the answer, and to hang up.
const LINGER: Duration = Duration::from_secs(1);

/// 503: there are too many connections.
pub(super) async fn connections(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let detail = "there are too many connections (connections_max): come again later";
    say(
        stream,
        "503 Service Unavailable",
        "connections",
        detail,
        &format!("Retry-After: {RETRY_SECONDS}\r\n"),
    )
    .await;
}

/// 408: half a request line, or half its headers.
pub(super) async fn late(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let detail = "the request line and headers did not come in time (header_timeout)";
    say(stream, "408 Request Timeout", "slow", detail, "").await;
}

async fn say(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: &str,
    code: &str,
    detail: &str,
    headers: &str,
) {
    let (number, title) = status.split_once(' ').unwrap_or((status, status));
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{number},\"code\":\"{code}\",\"detail\":\"{detail}\"}}"
    );
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n{headers}Connection: \
         close\r\n\r\n{body}",
        body.len()
    );
    let linger = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What the client still sends is read: else the system would take the answer back.
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<_, std::io::Error>(())
    };
    // A client that does not wait for its answer does not get it.
    let _ = tokio::time::timeout(LINGER, linger).await;
}
