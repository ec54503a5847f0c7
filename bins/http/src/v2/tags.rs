//! `GET /v2/tags` and `/v2/tags/:tag`: the tags there are, the values of one, and how many series have them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use common::ask::Ask;
use common::wire::{Content, Header, RecordError, Words};

use super::json;
use crate::app::App;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::stream::{Render, render};

pub(super) async fn tags(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    Query::of(&uri).only(&[])?;
    words(&app, None, "tag", b"{\"tags\":[".to_vec()).await
}

pub(super) async fn values(
    State(app): State<Arc<App>>,
    uri: Uri,
    Path(tag): Path<String>,
) -> Result<Response, Refusal> {
    Query::of(&uri).only(&[])?;
    let mut out = b"{\"tag\":".to_vec();
    crate::json::text(&mut out, tag.as_bytes());
    out.extend_from_slice(b",\"values\":[");
    words(&app, Some(tag), "value", out).await
}

async fn words(
    app: &Arc<App>,
    tag: Option<String>,
    name: &'static str,
    out: Vec<u8>,
) -> Result<Response, Refusal> {
    let asking = app.storage.ask(&Ask::Tags(tag)).await?;
    let rendered = render(asking, List { name, is_first: true }, out, app.tally.clone()).await?;
    Ok(json(rendered.into_body()))
}

struct List {
    name: &'static str,
    is_first: bool,
}

impl Render for List {
    fn records(&mut self, header: &Header, records: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError> {
        if header.content == Content::Words {
            for word in Words::new(records, header.count) {
                let word = word?;
                out.extend_from_slice(if std::mem::take(&mut self.is_first) { b"{\"" } else { b",{\"" });
                out.extend_from_slice(self.name.as_bytes());
                out.extend_from_slice(b"\":");
                crate::json::text(out, word.word);
                out.extend_from_slice(b",\"series\":");
                common::text::write_u64(out, word.series);
                out.push(b'}');
            }
        }
        Ok(0)
    }

    fn end(&mut self, _: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"]}");
    }
}
