//! The page at `/`: what lies in `bins/http/page`, embedded, with a gzip form of each file that is made once.
//!
//! It uses nothing from elsewhere, and its policy lets a browser take nothing from elsewhere; nor may any script make
//! elements of text ([`POLICY`]), so that a series' name that holds HTML stays a name. The files hold nothing secret, so
//! they are served to everybody; what the page then asks for is not.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What a browser may do with the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; trusted-types 'none'; \
                      require-trusted-types-for 'script'";

/// The same for all files.
const HEADERS: [(HeaderName, &str); 6] = [
    // It is asked for every time, and answered with 304: a new version is there at once.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::VARY, "accept-encoding"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// One file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    plain: &'static str,
}

macro_rules! file {
    ($path:literal, $name:literal, $kind:literal) => {
        File { path: $path, kind: $kind, plain: include_str!(concat!("../page/", $name)) }
    };
}

/// All of them.
const FILES: [File; 14] = [
    file!("/", "index.html", "text/html; charset=utf-8"),
    file!("/page/style.css", "style.css", "text/css; charset=utf-8"),
    file!("/page/icon.svg", "icon.svg", "image/svg+xml"),
    file!("/page/page.js", "page.js", "text/javascript; charset=utf-8"),
    file!("/page/api.js", "api.js", "text/javascript; charset=utf-8"),
    file!("/page/chart.js", "chart.js", "text/javascript; charset=utf-8"),
    file!("/page/dom.js", "dom.js", "text/javascript; charset=utf-8"),
    file!("/page/finder.js", "finder.js", "text/javascript; charset=utf-8"),
    file!("/page/format.js", "format.js", "text/javascript; charset=utf-8"),
    file!("/page/legend.js", "legend.js", "text/javascript; charset=utf-8"),
    file!("/page/loop.js", "loop.js", "text/javascript; charset=utf-8"),
    file!("/page/processes.js", "processes.js", "text/javascript; charset=utf-8"),
    file!("/page/series.js", "series.js", "text/javascript; charset=utf-8"),
    file!("/page/troubles.js", "troubles.js", "text/javascript; charset=utf-8"),
];

/// A file as it is sent.
struct Ready {
    kind: &'static str,
    plain: &'static str,
    gzip: Vec<u8>,
    /// Weak: it stands for both forms.
    tag: String,
}

static READY: LazyLock<Vec<Ready>> = LazyLock::new(|| FILES.iter().map(Ready::of).collect());

/// The routes of the page, GET and HEAD.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.iter().enumerate().fold(Router::new(), |routes, (place, file)| {
        routes.route(file.path, get(async move |headers: HeaderMap| READY[place].answer(&headers)))
    })
}

impl Ready {
    fn of(file: &File) -> Ready {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(file.plain.as_bytes()).expect("a Vec takes all");
        let gzip = gzip.finish().expect("a Vec takes all");
        let tag = format!("W/\"{:016x}\"", fingerprint(file.plain.as_bytes()));
        Ready { kind: file.kind, plain: file.plain, gzip, tag }
    }

    fn answer(&'static self, asked: &HeaderMap) -> Response<Body> {
        let unchanged = values(asked, &header::IF_NONE_MATCH).any(|tag| tag == self.tag || tag == "*");
        let (status, body) = match (unchanged, takes_gzip(asked)) {
            (true, _) => (StatusCode::NOT_MODIFIED, Body::empty()),
            (false, true) => (StatusCode::OK, Body::from(&self.gzip[..])),
            (false, false) => (StatusCode::OK, Body::from(self.plain)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.insert(header::ETAG, HeaderValue::from_str(&self.tag).expect("hexadecimal digits"));
        if !unchanged {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
            if takes_gzip(asked) {
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        response
    }
}

/// The members of a header that is a list.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',').map(str::trim))
}

/// Whether `Accept-Encoding` has gzip, and not with a weight of 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    values(headers, &header::ACCEPT_ENCODING).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let weight =
            |part: &str| part.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"))
            && parts.all(|part| weight(part) != Some(0.0))
    })
}

/// FNV-1a, of 64 bits: it only tells versions of a file apart.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_file_is_sent_once_and_then_said_to_be_unchanged() {
        for file in &*READY {
            let first = file.answer(&HeaderMap::new());
            assert_eq!(first.status(), StatusCode::OK);
            assert_eq!(first.headers()[header::CONTENT_TYPE], file.kind);
            assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            assert!(!first.headers().contains_key(header::CONTENT_ENCODING));
            let mut again = HeaderMap::new();
            again.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
            let again = file.answer(&again);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(again.headers()[header::ETAG], first.headers()[header::ETAG]);
        }
        let other = READY[0].answer(&asked(&[(header::IF_NONE_MATCH, "W/\"0\", \"1\"")]));
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[test]
    fn gzip_goes_to_who_takes_it() {
        for (accepts, want) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("x-gzip", false),
            ("identity", false),
            ("", false),
        ] {
            let answer = READY[0].answer(&asked(&[(header::ACCEPT_ENCODING, accepts)]));
            assert_eq!(answer.headers().contains_key(header::CONTENT_ENCODING), want, "{accepts:?}");
        }
        let mut plain = String::new();
        let mut gzip = flate2::read::GzDecoder::new(&READY[0].gzip[..]);
        std::io::Read::read_to_string(&mut gzip, &mut plain).unwrap();
        assert_eq!(plain, READY[0].plain);
    }

    /// What a file names in quotes after one of these.
    fn named<'a>(file: &'a File, before: &[&str]) -> Vec<&'a str> {
        let after = |text: &&str| file.plain.split(*text).skip(1).collect::<Vec<_>>();
        before.iter().flat_map(after).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn the_page_stands_alone() {
        let served = |path: &str| FILES.iter().any(|file| file.path == path);
        for file in &FILES {
            for name in named(file, &["href=\"", "src=\"", " from \""]) {
                let path = name.strip_prefix("./").map_or(name.to_owned(), |name| format!("/page/{name}"));
                assert!(
                    path.starts_with('#') || served(&path),
                    "{} names {name}, which is not served",
                    file.path
                );
            }
            let text = file.plain.replace("http://www.w3.org/2000/svg", "");
            for outside in ["http://", "https://", "//cdn", "@import", "url("] {
                assert!(!text.contains(outside), "{} has {outside}", file.path);
            }
            // The policy would stop them; they are not to be written at all.
            for raw in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=\""]
            {
                assert!(!text.contains(raw), "{} has {raw}", file.path);
            }
        }
    }
}
