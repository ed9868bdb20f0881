//! Who is served, on which paths, and what of a request's head reaches the inference server.

use super::*;

#[tokio::test]
async fn only_the_spender_of_a_metered_lease_is_answered() {
    let lease = metered(1, 1_000);
    let proxied = Proxied::start(lease.clone()).await;
    let good = call_token(&lease);
    let by = |key: &SigningKey, token| SignedCall::sign(key, token).encode();
    let signed = |token| by(&spender(), token);
    refuses(
        &proxied,
        &[
            (String::new(), "call token"),
            ("sk-123".to_owned(), "call token"),
            ("leasehold:!".to_owned(), "is malformed"),
            (signed(CallToken { lease: Pubkey::new_from_array([8; 32]), ..good }), "another lease"),
            (signed(CallToken { from: lease.from - 1, ..good }), "another lease"),
            (signed(CallToken { expiry: now_ms() / 1_000, ..good }), "expired"),
            (by(&owner(), good), "not signed by the lease's spender"),
            (by(&machine(0).key, good), "not signed"),
        ],
    )
    .await;
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn only_the_owner_of_a_lease_by_the_hour_is_answered() {
    // Its machine replaced another one in mid-lease.
    let lease = RunningLease { begins: lease(1).begins - 5, ..lease(1) };
    let proxied = Proxied::start(lease.clone()).await;
    let by = |key: &SigningKey, token| SignedCall::sign(key, token).encode();
    let good = call_token(&lease);
    refuses(
        &proxied,
        &[
            (String::new(), "call token"),
            (by(&owner(), CallToken { from: lease.from, ..good }), "another lease"),
            (by(&owner(), CallToken { expiry: 1, ..good }), "expired"),
            (by(&spender(), good), "not signed by the lease's owner"),
        ],
    )
    .await;
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
}

/// Every request with one of these keys is refused with that sentence, on every path.
async fn refuses(proxied: &Proxied, keys: &[(String, &str)]) {
    for (key, sentence) in keys {
        for path in ["/v1/chat/completions", "/v1/models", "/v1/echo", "/api/chat"] {
            let request = proxied.service.http.post(proxied.service.public(path)).json(&asked(false));
            let request = if key.is_empty() { request } else { request.bearer_auth(key) };
            let response = request.send().await.unwrap();
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let (status, answer) = read(response).await;
            assert_eq!((status, &answer["error"]["code"]), (401, &json!("invalid_api_key")), "{key}");
            assert!(answer["error"]["message"].as_str().unwrap().contains(sentence), "{answer}");
        }
    }
    assert_eq!(proxied.upstream.count(), 0);
}

/// Sends a request as it is written. Returns the status.
async fn raw(proxied: &Proxied, head: &str) -> u16 {
    let mut socket =
        tokio::net::TcpStream::connect(proxied.service.receipts.public_addr().unwrap()).await.unwrap();
    let body = asked(false).to_string();
    let rest = format!(
        "host: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        proxied.api_key,
        body.len()
    );
    socket.write_all(format!("{head} HTTP/1.1\r\n{rest}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn nothing_but_listed_requests_reaches_the_server_of_a_metered_lease() {
    let proxied = Proxied::generous(|settings| settings).await;
    let refused = [
        ("POST /v1/messages", 404),
        ("POST /completion", 404),
        ("POST /completions", 404),
        ("POST /infill", 404),
        ("POST /api/chat", 404),
        ("POST /api/generate", 404),
        ("POST /v1/rerank", 404),
        ("POST /tokenize", 404),
        ("POST /v1/audio/transcriptions", 404),
        ("POST /v1/load_lora_adapter", 404),
        ("POST /sleep", 404),
        ("GET /metrics", 404),
        ("GET /v1/models/tiny", 404),
        ("post /v1/chat/completions", 405),
        ("GET /v1/chat/completions", 405),
        ("OPTIONS /v1/chat/completions", 405),
        ("POST /v1/chat/completions/", 404),
        ("POST /v1/chat\\completions", 404),
        ("POST /v1/chat/%63ompletions", 404),
        ("POST /v1/chat%2Fcompletions", 404),
        ("POST /V1/chat/completions", 404),
        ("POST //v1/chat/completions", 404),
        ("POST /v1/x/../chat/completions", 404),
        ("POST /v1/chat/completions/%2e%2e/completions", 404),
        ("POST /../v1/chat/completions", 404),
    ];
    for (head, status) in refused {
        assert_eq!(raw(&proxied, head).await, status, "{head}");
    }
    assert_eq!(proxied.upstream.count(), 0);
    let (_, answer) = read(proxied.post("/v1/messages").json(&asked(false)).send().await.unwrap()).await;
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["type"]),
        (&json!("not_found"), &json!("invalid_request_error"))
    );
    assert!(answer["error"]["message"].as_str().unwrap().contains("/v1/chat/completions"), "{answer}");
}

#[tokio::test]
async fn the_four_kinds_are_counted_where_the_server_has_them() {
    let proxied = Proxied::generous(|settings| settings).await;
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 3});
    let of_response = json!({"input_tokens": 5, "output_tokens": 3});
    let kinds = [
        ("/v1/chat/completions", asked(false), &usage),
        ("/v1/completions", json!({"prompt": "Hi", "max_tokens": 6}), &usage),
        ("/v1/responses", json!({"input": "Hi", "max_output_tokens": 6, "store": false}), &of_response),
    ];
    for (path, body, usage) in kinds {
        proxied.upstream.play(Script::json(json!({"usage": usage}).to_string()));
        let response = proxied.post(&[path, "?x=1"].concat()).json(&body).send().await.unwrap();
        assert_eq!(response.headers()["leasehold-counted"], "usage", "{path}");
        let receipt = receipt_in(&response).receipt;
        assert_eq!((receipt.tokens_in, receipt.tokens_out), (5, 3), "{path}");
        // The query is the caller's and goes nowhere.
        assert_eq!(proxied.upstream.last().1, path);
        assert_eq!(proxied.upstream.last_body(), body.to_string());
    }
}

#[tokio::test]
async fn the_node_itself_lists_its_models() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let get = proxied.service.http.get(proxied.service.public("/v1/models")).bearer_auth(&proxied.api_key);
    let (status, models) = read(get.send().await.unwrap()).await;
    assert_eq!((status, &models["object"], &models["data"][0]["id"]), (200, &json!("list"), &json!("tiny")));
    assert_eq!(proxied.upstream.count(), 0);
}

#[tokio::test]
async fn the_server_sees_nothing_of_the_callers_head() {
    for (lease, path) in [
        (metered(1, 1_000), "/v1/chat/completions"),
        (lease(1), "/v1/chat/completions"),
        (lease(1), "/v1/echo"),
    ] {
        let key = Some(Secret::new("sk-upstream".into()));
        let proxied =
            Proxied::with(lease, LIMIT, |settings| ProxySettings { upstream_key: key, ..settings }).await;
        let mut request = proxied.post(path).json(&asked(false)).header("cookie", "a=b").header("x-own", "1");
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-real-ip",
            "x-api-key",
            "x-data-parallel-rank",
            "te",
            "upgrade",
        ] {
            request = request.header(name, "trailers");
        }
        // A second key doesn't pass either.
        request = request.header("authorization", "Bearer sk-123");
        request.send().await.unwrap();
        let (_, _, headers, _) = proxied.upstream.last();
        let mut names: Vec<_> =
            headers.keys().map(|name| name.as_str()).filter(|name| *name != "accept-encoding").collect();
        names.retain(|name| !matches!(*name, "content-length" | "transfer-encoding"));
        names.sort();
        assert_eq!(names, ["accept", "authorization", "content-type", "host"], "{path}");
        assert_eq!(headers["authorization"], "Bearer sk-upstream");
        assert_eq!(headers["host"], proxied.upstream.address.to_string());
    }
    // Without a key of its own it gets none.
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.chat(&asked(false)).send().await.unwrap();
    assert!(!proxied.upstream.last().2.contains_key("authorization"));
}

#[tokio::test]
async fn a_lease_by_the_hour_uses_all_of_its_server_and_nothing_beside_it() {
    let lease = lease(1);
    let upstream = |settings: ProxySettings| {
        let base = settings.upstream.join("/base/").unwrap();
        ProxySettings { upstream: base, ..settings }
    };
    let proxied = Proxied::with(lease.clone(), LIMIT, upstream).await;
    proxied.upstream.play(
        Script::raw(&[("x-upstream", "yes"), ("content-language", "eo")], &["any", "thing"]).status(418),
    );
    let put =
        proxied.service.http.put(proxied.service.public("/v1/echo?x=%20y")).bearer_auth(&proxied.api_key);
    let response = put.body("anything").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-language"]),
        (418, &"eo".parse().unwrap())
    );
    assert!(
        !response.headers().contains_key("x-upstream")
            && !response.headers().contains_key("leasehold-receipt")
    );
    assert_eq!(response.text().await.unwrap(), "anything");
    let (method, path, _, body) = proxied.upstream.last();
    assert_eq!(
        (method.as_str(), path.as_str(), body.as_ref()),
        ("PUT", "/base/v1/echo?x=%20y", &b"anything"[..])
    );
    let seen = proxied.upstream.count();
    for path in [
        "/..",
        "/../admin",
        "/%2e%2e/admin",
        "/v1/..%2f..%2fadmin",
        "/v1\\..\\..\\admin",
        "/v1/.%2E/x",
        "/v1/%5c../x",
    ] {
        assert_eq!(raw(&proxied, &["GET ", path].concat()).await, 400, "{path}");
    }
    assert_eq!(raw(&proxied, "TRACE /v1/echo").await, 405);
    assert_eq!(proxied.upstream.count(), seen);
}

#[tokio::test]
async fn a_lease_by_the_hour_pays_nothing_more() {
    let proxied = Proxied::start(lease(1)).await;
    // It names no limit but its own, and fields that nobody knows.
    let mut unlimited = asked(false);
    unlimited.as_object_mut().unwrap().remove("max_tokens");
    unlimited["own"] = json!([1]);
    assert_eq!(proxied.chat(&unlimited).send().await.unwrap().status(), 200);
    assert_eq!(proxied.upstream.last_body(), unlimited.to_string());
    for _ in 0..5 {
        let response = proxied.chat(&asked(false)).send().await.unwrap();
        let signed = receipt_in(&response);
        assert_eq!((signed.receipt.price, signed.receipt.tokens_out), (0, 6));
    }
    // A stream is counted too.
    let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
    assert_eq!(
        (split(&stream).0.receipt.tokens_out, split(&stream).3),
        (6, ": leasehold-counted usage\n\ndata: [DONE]\n\n")
    );
    assert!(!stream.contains("usage\":"), "{stream}");
}

#[tokio::test]
async fn nothing_is_served_without_a_lease() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.service.feed.set_leases(of(&[]));
    for path in ["/v1/chat/completions", "/v1/models", "/v1/echo"] {
        let (status, answer) = read(proxied.post(path).json(&asked(false)).send().await.unwrap()).await;
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("no_lease")), "{path}");
    }
    assert_eq!(proxied.upstream.count(), 0);
}

#[tokio::test]
async fn mistakes_have_the_form_that_clients_know() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    let mut unknown = asked(false);
    unknown["model"] = "huge".into();
    let (status, answer) = read(proxied.chat(&unknown).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let request = proxied.post("/v1/chat/completions").body("{");
    let (status, answer) = read(request.send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["type"]), (400, &json!("invalid_request_error")));
    assert_eq!(proxied.upstream.count(), 0);
    // What the inference server refuses is passed on, and costs nothing.
    proxied.upstream.play(Script::json(r#"{"error": {"message": "wrong key"}}"#).status(401));
    let response = proxied.chat(&asked(false)).send().await.unwrap();
    assert!(!response.headers().contains_key("leasehold-receipt"));
    assert_eq!(read(response).await, (401, json!({"error": {"message": "wrong key"}})));
    assert!(proxied.service.receipts.store().tab(&key(0), 1).await.unwrap().is_none());

    // A port that nobody listens on.
    let folder = tempfile::tempdir().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = Settings { proxy: Some(proxy_settings(nobody)), ..settings(folder.path()) };
    let service = Service::start(settings, &[(0, lease(1))]).await;
    let request = service.http.post(service.url("/v1/chat/completions")).bearer_auth(api_key(&lease(1)));
    let (status, answer) = read(request.json(&asked(false)).send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["type"]), (502, &json!("server_error")));
    assert!(!answer.to_string().contains(&nobody.to_string()), "{answer}");
}

#[tokio::test]
async fn a_paused_tenant_is_refused_until_its_machine_is_up_again() {
    let lease = lease(1);
    let proxied = Proxied::start(lease.clone()).await;
    let paused = RunningLease { paused: true, ..lease.clone() };
    // An answer under way goes on, and gets its receipt.
    proxied.upstream.play(Script { pace: Duration::from_millis(50), ..Script::default() });
    let under_way = proxied.chat(&asked(true)).send().await.unwrap();
    proxied.service.feed.set_leases(of(&[(0, paused)]));

    let seen = proxied.upstream.count();
    for request in
        [proxied.chat(&asked(false)), proxied.service.http.get(proxied.service.public("/v1/models"))]
    {
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status(), 503);
        assert_eq!(refused.headers()["retry-after"], ROUND_SECS.to_string().as_str());
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["error"]["code"], "paused");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("was not up in two rounds in a row"), "{message}");
    }
    assert_eq!(proxied.upstream.count(), seen, "nothing reached the inference server");
    let (status, body) = proxied.service.get(&proxied.service.public("/v1/status")).await;
    assert_eq!((status, &body["machines"][0]["paused"]), (200, &json!(true)));
    assert_eq!(body["machines"][0]["lease"], 1);
    let stream = under_way.text().await.unwrap();
    split(&stream).0.verify().unwrap();
    assert_eq!(client_text(&stream), WORDS.concat());

    proxied.service.feed.set_leases(of(&[(0, lease)]));
    assert_eq!(proxied.chat(&asked(false)).send().await.unwrap().status(), 200);
    let (_, body) = proxied.service.get(&proxied.service.public("/v1/status")).await;
    assert_eq!(body["machines"][0]["paused"], false);
}
