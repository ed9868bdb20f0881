//! The proxy in front of llama-cpp-python's server, with a model that the test makes. `cargo xtask test` installs it.

use super::*;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Names the Python that has the server, or is `none` to leave these tests out.
const PYTHON: &str = "LEASEHOLD_TEST_LLAMA";
const KEY: &str = "sk-llama";

/// The Python that has the server; `None` if the tests are to be left out.
fn python() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/inference/bin/python");
    match std::env::var_os(PYTHON) {
        Some(named) if named == "none" => None,
        Some(named) => Some(named.into()),
        None => {
            assert!(
                installed.exists(),
                "there is no inference server: run `cargo xtask inference`, or set {PYTHON}=none"
            );
            Some(installed)
        }
    }
}

/// A running server.
struct Llama {
    child: Child,
    address: std::net::SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Llama {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Llama {
    async fn start(python: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("tiny.gguf");
        support::model::write(&model);
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = Command::new(python)
            .args([
                "-m",
                "llama_cpp.server",
                "--host",
                "127.0.0.1",
                "--n_threads",
                "1",
                "--chat_format",
                "chatml",
            ])
            .args(["--port", &address.port().to_string(), "--api_key", KEY, "--model"])
            .arg(model)
            .args(more)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let http = client();
        for _ in 0..6_000 {
            let asked = http.get(format!("http://{address}/v1/models")).bearer_auth(KEY).send().await;
            if asked.is_ok_and(|answer| answer.status() == 200) {
                return Self { child, address, _folder: folder };
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = child.kill();
        panic!("the inference server does not start: {}", std::fs::read_to_string(log).unwrap());
    }
}

/// A node with its proxy in front of the server.
struct Node {
    service: Service,
    api_key: String,
    _folder: tempfile::TempDir,
}

impl Node {
    async fn start(
        llama: &Llama,
        lease: RunningLease,
        set: impl FnOnce(ProxySettings) -> ProxySettings,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy =
            ProxySettings { upstream_key: Some(Secret::new(KEY.into())), ..proxy_settings(llama.address) };
        let settings = Settings {
            proxy: Some(set(proxy)),
            exposure_limit: 1 << 39,
            exposure_per_spender: 1 << 39,
            ..settings(folder.path())
        };
        let api_key = api_key(&lease);
        Self { service: Service::start(settings, &[(0, lease)]).await, api_key, _folder: folder }
    }

    async fn post(&self, path: &str, body: impl Into<String>) -> reqwest::Response {
        let request = self.service.http.post(self.service.public(path)).bearer_auth(&self.api_key);
        request.header("content-type", "application/json").body(body.into()).send().await.unwrap()
    }
}

/// Server and node start once for all questions: that takes seconds.
static METERED: LazyLock<RunningLease> = LazyLock::new(|| metered(1, 1 << 40));

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_is_counted_bounded_and_told_when_callers_leave() {
    let Some(python) = python() else { return eprintln!("left out: {PYTHON} is none") };
    let llama = Llama::start(&python, &[]).await;
    let node =
        Node::start(&llama, METERED.clone(), |settings| ProxySettings { template_tokens: 256, ..settings })
            .await;
    answers_are_counted_by_its_usage(&node).await;
    no_answer_is_longer_than_the_limit(&node).await;
    its_streams_are_estimated(&node).await;
    completions_are_counted(&node).await;
    what_it_refuses_is_passed_on(&node).await;
    a_caller_who_leaves_frees_it(&node).await;
    nothing_else_of_it_is_reached(&node).await;
}

fn chat(more: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"temperature":0{more}}}"#)
}

const CHAT: &str = "/v1/chat/completions";

async fn answers_are_counted_by_its_usage(node: &Node) {
    let response = node.post(CHAT, chat(r#","max_tokens":5,"seed":1"#)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["leasehold-counted"], "usage");
    let receipt = receipt_in(&response).receipt;
    let answer: Value = response.json().await.unwrap();
    let usage = &answer["usage"];
    assert_eq!(
        (json!(receipt.tokens_in), json!(receipt.tokens_out)),
        (usage["prompt_tokens"].clone(), usage["completion_tokens"].clone())
    );
    assert!(receipt.tokens_out == 5 && receipt.tokens_in > 2, "{answer}");
}

/// This server takes no limit, and no known name of one, for as many tokens as its context has.
async fn no_answer_is_longer_than_the_limit(node: &Node) {
    for more in [
        r#","max_tokens":4"#,
        r#","max_completion_tokens":4"#,
        r#","max_tokens":null,"max_completion_tokens":4"#,
        r#","max_tokens":4,"ignore_eos":true,"logit_bias":{"2":-100}"#,
    ] {
        let response = node.post(CHAT, chat(more)).await;
        assert_eq!(response.status(), 200, "{more}");
        assert_eq!(receipt_in(&response).receipt.tokens_out, 4, "{more}");
    }
    // It would coerce each of these.
    for more in [
        r#","max_tokens":"4""#,
        r#","max_tokens":4.0"#,
        r#","max_tokens":true"#,
        r#","max_tokens":-1"#,
        r#","stream":"true","max_tokens":4"#,
        r#","stream":1,"max_tokens":4"#,
    ] {
        assert_eq!(node.post(CHAT, chat(more)).await.status(), 400, "{more}");
    }
}

async fn its_streams_are_estimated(node: &Node) {
    let response = node.post(CHAT, chat(r#","stream":true,"max_tokens":8"#)).await;
    assert_eq!(
        response.headers()["content-type"].to_str().unwrap().split(';').next(),
        Some("text/event-stream")
    );
    let stream = response.text().await.unwrap();
    let (signed, salt, before, rest) = split(&stream);
    assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()));
    // It does not say the usage of a stream.
    assert!(rest.starts_with(": leasehold-counted estimate\n\n") && rest.contains("[DONE]"), "{stream}");
    // It sends each token by itself.
    assert_eq!(signed.receipt.tokens_out, 8, "{stream}");
}

async fn completions_are_counted(node: &Node) {
    let response = node.post("/v1/completions", r#"{"prompt":"lone \ud800","max_tokens":3}"#).await;
    // The proxy takes it; what the server makes of it is its own affair.
    assert!(response.status() != 400 || !response.text().await.unwrap().contains("malformed"));
    let response = node.post("/v1/completions", r#"{"prompt":"Hi","max_tokens":3,"logprobs":null}"#).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["leasehold-counted"]),
        (200, &"usage".parse().unwrap())
    );
    // A mark, a space of three bytes, and two letters.
    let receipt = receipt_in(&response).receipt;
    assert_eq!((receipt.tokens_in, receipt.tokens_out), (6, 3));
}

async fn what_it_refuses_is_passed_on(node: &Node) {
    let response = node.post(CHAT, r#"{"messages":[{"role":"nobody","content":"Hi"}],"max_tokens":3}"#).await;
    assert!(!response.status().is_success(), "{}", response.status());
    assert!(!response.headers().contains_key("leasehold-receipt"));
    let long = format!(r#"{{"prompt":"{}","max_tokens":3}}"#, "x".repeat(5_000));
    let response = node.post("/v1/completions", long).await;
    assert!(!response.status().is_success() && !response.headers().contains_key("leasehold-receipt"));
}

/// It answers one request at a time.
async fn a_caller_who_leaves_frees_it(node: &Node) {
    let body = chat(r#","stream":true,"max_tokens":1900,"logit_bias":{"2":-100}"#);
    let mut stream = node.post(CHAT, body).await.bytes_stream();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let response = node.post(CHAT, chat(r#","max_tokens":2"#)).await;
    assert_eq!(response.status(), 200);
}

async fn nothing_else_of_it_is_reached(node: &Node) {
    for path in [
        "/v1/engines/copilot-codex/completions",
        "/extras/tokenize",
        "/extras/detokenize",
        "/v1/../extras/tokenize",
        "/docs",
    ] {
        assert_eq!(
            node.post(path, r#"{"prompt":"a","input":"a","tokens":[1]}"#).await.status(),
            404,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_server_embeds_and_is_all_its_tenants_by_the_hour() {
    let Some(python) = python() else { return eprintln!("left out: {PYTHON} is none") };
    let llama = Llama::start(&python, &["--embedding", "true"]).await;
    let node =
        Node::start(&llama, METERED.clone(), |settings| ProxySettings { template_tokens: 256, ..settings })
            .await;
    for (input, texts) in [(r#""Hi""#, 1), (r#"["Hi","you"]"#, 2)] {
        let response = node.post("/v1/embeddings", format!(r#"{{"input":{input}}}"#)).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["leasehold-counted"]),
            (200, &"usage".parse().unwrap())
        );
        let receipt = receipt_in(&response).receipt;
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["data"].as_array().unwrap().len(), texts);
        assert_eq!(
            (json!(receipt.tokens_in), receipt.tokens_out),
            (answer["usage"]["prompt_tokens"].clone(), 0)
        );
    }
    let hourly = Node::start(&llama, lease(1), |settings| settings).await;
    let (status, answer) = read(hourly.post("/extras/tokenize", r#"{"input":"Hi"}"#).await).await;
    assert_eq!((status, answer["tokens"].as_array().map(Vec::len)), (200, Some(6)), "{answer}");
}
