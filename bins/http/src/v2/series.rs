//! `GET /v2/series`: which series there are, and how far each reaches.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use common::ask::Ask;
use common::wire::{Content, Header, RecordError, Series};

use super::json;
use super::select::{limit, selection};
use crate::app::App;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::stream::{Render, render};

/// How many are told of where nobody says.
const LIMIT: u64 = 10_000;

pub(super) async fn series(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    query.only(&["key", "match", "where", "limit"])?;
    let limit = limit(&query)?.unwrap_or(LIMIT);
    // One more, to know whether there are more.
    let ask = Ask::Series(selection(&query)?, Some(limit.saturating_add(1)));
    let asking = app.storage.ask(&ask).await?;
    let list = List { left: limit, is_first: true, is_more: false };
    let rendered = render(asking, list, b"{\"series\":[".to_vec(), app.tally.clone()).await?;
    Ok(json(rendered.into_body()))
}

struct List {
    left: u64,
    is_first: bool,
    is_more: bool,
}

impl Render for List {
    fn records(&mut self, header: &Header, records: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError> {
        if header.content == Content::Series {
            for extent in Series::new(records, header.count) {
                let extent = extent?;
                if self.left == 0 {
                    self.is_more = true;
                    break;
                }
                self.left -= 1;
                out.extend_from_slice(if std::mem::take(&mut self.is_first) {
                    b"{\"key\":"
                } else {
                    b",{\"key\":"
                });
                crate::json::text(out, extent.key);
                out.extend_from_slice(b",\"first\":");
                crate::json::time(out, extent.first);
                out.extend_from_slice(b",\"last\":");
                crate::json::time(out, extent.last);
                out.extend_from_slice(b",\"points\":");
                common::text::write_u64(out, extent.points);
                out.push(b'}');
            }
        }
        Ok(0)
    }

    fn end(&mut self, _: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_more { b"],\"more\":true}" } else { b"],\"more\":false}" });
    }
}
