//! Which requests pass, and to which URL.

use super::Kind;
use crate::receipts::refusal::Refusal;
use axum::http::{Method, StatusCode, Uri};
use reqwest::Url;

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the inference server; its answer gets a receipt.
    Counted(Kind),
    /// The node answers by itself.
    Models,
    /// To the inference server at that URL, uncounted: a lease by the hour has paid for all that its machine does.
    Uncounted(Url),
}

/// Counted requests: each is a POST to exactly this path.
const COUNTED: [(&str, Kind); 4] = [
    ("/v1/chat/completions", Kind::Chat),
    ("/v1/completions", Kind::Completion),
    ("/v1/embeddings", Kind::Embeddings),
    ("/v1/responses", Kind::Responses),
];
const MODELS: &str = "/v1/models";
/// Methods that pass uncounted under a lease by the hour.
const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// Where a request goes, under a metered lease or one by the hour. Method and path are compared byte by byte: another
/// spelling is another path.
pub(super) fn find(method: &Method, uri: &Uri, metered: bool, upstream: &Url) -> Result<Route, Refusal> {
    let path = uri.path();
    if let Some((_, kind)) = COUNTED.iter().find(|(counted, _)| *counted == path) {
        return if method == Method::POST { Ok(Route::Counted(*kind)) } else { Err(wrong_method("POST")) };
    }
    if path == MODELS {
        return if method == Method::GET { Ok(Route::Models) } else { Err(wrong_method("GET")) };
    }
    if metered {
        return Err(Refusal::NotFound(
            "a metered lease serves POST /v1/chat/completions, /v1/completions, /v1/embeddings and /v1/responses, and \
             GET /v1/models",
        ));
    }
    if !METHODS.contains(method) {
        return Err(wrong_method("GET, HEAD, POST, PUT, PATCH or DELETE"));
    }
    below(upstream, uri).map(Route::Uncounted)
}

fn wrong_method(right: &str) -> Refusal {
    Refusal::Request(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {right}"))
}

/// URL of a counted request. Nothing of it comes from the caller.
pub(super) fn counted(upstream: &Url, kind: Kind) -> Result<Url, Refusal> {
    let path = COUNTED.iter().find(|(_, counted)| *counted == kind).map_or("", |(path, _)| *path);
    join(upstream, path)
}

/// The URL of a path and query below the inference server's. Refuses paths that servers read in several ways.
fn below(upstream: &Url, uri: &Uri) -> Result<Url, Refusal> {
    let refused =
        || Refusal::malformed("the path must have no dot segments, backslashes or escaped separators");
    let path = uri.path();
    if !path.starts_with('/') || !is_plain(path) {
        return Err(refused());
    }
    let url = join(upstream, uri.path_and_query().map_or("/", |path| path.as_str()))?;
    // The parser changes a path that it reads in another way.
    let whole = [upstream.path().trim_end_matches('/'), path].concat();
    if url.path() == whole && url.host() == upstream.host() { Ok(url) } else { Err(refused()) }
}

fn join(upstream: &Url, path: &str) -> Result<Url, Refusal> {
    let url = [upstream.as_str().trim_end_matches('/'), path].concat();
    url.parse().map_err(|_| Refusal::malformed("the path is not valid in a URL"))
}

/// True if every server splits the path into the same segments, and none of them leads up.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    // Escapes of control characters, of dot, slash, semicolon, percent and backslash.
    let escapes = ["%0", "%1", "%25", "%2e", "%2f", "%3b", "%5c", "%7f", "\\", ";"];
    let is_dots = |segment: &str| matches!(segment, "." | "..");
    !escapes.iter().any(|escape| lower.contains(escape)) && !path.split('/').any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> Url {
        "http://127.0.0.1:8000/base/".parse().unwrap()
    }

    fn route(method: &Method, path: &str, metered: bool) -> Result<Route, u16> {
        let found = find(method, &path.parse().unwrap(), metered, &upstream());
        found.map_err(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn only_listed_methods_and_paths_pass_a_metered_lease() {
        for (path, kind) in COUNTED {
            assert_eq!(route(&Method::POST, path, true), Ok(Route::Counted(kind)));
            let query = [path, "?x=/../y"].concat();
            assert_eq!(route(&Method::POST, &query, true), Ok(Route::Counted(kind)));
            assert_eq!(
                counted(&upstream(), kind).unwrap().as_str(),
                ["http://127.0.0.1:8000/base", path].concat()
            );
            let lower = Method::from_bytes(b"post").unwrap();
            for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::CONNECT, lower] {
                assert_eq!(route(&method, path, true), Err(405), "{method} {path}");
            }
        }
        assert_eq!(route(&Method::GET, MODELS, true), Ok(Route::Models));
        assert_eq!(route(&Method::POST, MODELS, true), Err(405));
        for path in [
            "/",
            "/v1/messages",
            "/completion",
            "/infill",
            "/api/chat",
            "/api/generate",
            "/v1/rerank",
            "/tokenize",
            "/v1/audio/speech",
            "/v1/load_lora_adapter",
            "/sleep",
            "/metrics",
            "/v1/models/x",
            "/chat/completions",
            "/v1/chat/completions/",
            "/v1/chat/%63ompletions",
            "/V1/Chat/Completions",
            "/v1/chat\\completions",
            "/v1/chat/completions/.",
            "/v1/chat/completions;x=1",
            "//v1/embeddings",
            "/v1/../v1/completions",
            "/v1/chat/completions%2Fx%2F..",
            "/v1/chat/completions/x",
        ] {
            for method in [Method::POST, Method::GET] {
                assert_eq!(route(&method, path, true), Err(404), "{method} {path}");
            }
        }
    }

    #[test]
    fn nothing_leaves_the_base_path_under_a_lease_by_the_hour() {
        for path in ["/api/chat", "/v1/rerank?q=..%2f", "/", "//x", "/a%20b", "/v1/files/a.b"] {
            let Ok(Route::Uncounted(url)) = route(&Method::POST, path, false) else { panic!("{path}") };
            assert_eq!(url.as_str(), ["http://127.0.0.1:8000/base", path].concat());
        }
        for path in [
            "/../admin",
            "/v1/..",
            "/./x",
            "/v1/%2e%2E/x",
            "/v1/.%2e",
            "/v1/..%2fx",
            "/v1/%2Fx",
            "/v1\\..\\x",
            "/v1/%5c..%5cx",
            "/v1/%252e%252e/x",
            "/v1/..;/x",
            "/v1/%00",
            "/v1/%0a",
        ] {
            assert_eq!(route(&Method::GET, path, false), Err(400), "{path}");
        }
        assert_eq!(route(&Method::GET, "*", false), Err(400));
        assert_eq!(route(&Method::TRACE, "/x", false), Err(405));
    }
}
