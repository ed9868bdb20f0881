//! What is billed for whatever an inference server sends or leaves out.

use super::*;
use support::upstream::event;

/// Tokens in, tokens out and how they were counted.
type Bill = (u32, u32, &'static str);

fn chunk(content: &str) -> String {
    event(&json!({"choices": [{"index": 0, "delta": {"content": content}}]}))
}

/// A chat with a limit of 6 tokens.
fn body(stream: bool) -> String {
    asked(stream).to_string()
}

/// Tokens of that chat, by its length.
fn guess(stream: bool) -> u32 {
    body(stream).len().div_ceil(4) as u32
}

/// Tokens of that chat at most: one for each byte, and the marks at its begin and end.
fn most(stream: bool) -> u32 {
    body(stream).len() as u32 + 2
}

#[tokio::test]
async fn an_answer_is_billed_by_its_usage_or_by_a_bounded_guess() {
    let proxied = Proxied::generous(|settings| settings).await;
    let usage =
        |usage: Value| json!({"choices": [{"message": {"content": "Hi you"}}], "usage": usage}).to_string();
    let guessed = (guess(false), 2, "estimate");
    let message = |message: Value| json!({"choices": [{"message": message}]}).to_string();
    let cases: Vec<(String, Option<Bill>)> = vec![
        (usage(json!({"prompt_tokens": 7, "completion_tokens": 3})), Some((7, 3, "usage"))),
        (usage(json!({"prompt_tokens": 7, "total_tokens": 10})), Some((7, 3, "usage"))),
        (usage(json!({"input_tokens": 7, "output_tokens": 3})), Some((7, 3, "usage"))),
        (
            usage(json!({"prompt_tokens": 7, "completion_tokens": 3, "input_tokens": 8})),
            Some((7, 3, "usage")),
        ),
        (usage(json!({"prompt_tokens": 7, "completion_tokens": 6_000})), Some((7, 6, "bounded"))),
        (usage(json!({"prompt_tokens": 70_000, "completion_tokens": 3})), Some((most(false), 3, "bounded"))),
        (usage(json!({"prompt_tokens": 7})), Some((7, 2, "estimate"))),
        (usage(Value::Null), Some(guessed)),
        (usage(json!({})), Some(guessed)),
        (usage(json!([])), Some(guessed)),
        (usage(json!("7")), Some(guessed)),
        (usage(json!({"prompt_tokens": -7, "completion_tokens": -3})), Some(guessed)),
        (usage(json!({"prompt_tokens": 7.5, "completion_tokens": 3.0})), Some(guessed)),
        (usage(json!({"prompt_tokens": "7", "completion_tokens": "3"})), Some(guessed)),
        (usage(json!({"prompt_tokens": true, "completion_tokens": null})), Some(guessed)),
        (usage(json!({"prompt_tokens": u64::MAX, "completion_tokens": 1e300})), Some(guessed)),
        (usage(json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})), Some(guessed)),
        ("{\"choices\": []}".to_owned(), Some((guess(false), 0, "estimate"))),
        ("{}".to_owned(), Some((guess(false), 0, "estimate"))),
        // Eight, and as many in names and arguments of a tool, reasoning, refusals and sounds.
        (message(json!({"content": "12345678"})), Some((guess(false), 2, "estimate"))),
        (
            message(json!({"content": null, "tool_calls": [{"id": "call_123", "type": "function",
                "function": {"name": "1234", "arguments": "1234"}}]})),
            Some((guess(false), 2, "estimate")),
        ),
        (
            message(json!({"content": "", "reasoning_content": "12345678"})),
            Some((guess(false), 2, "estimate")),
        ),
        (message(json!({"refusal": "12345678"})), Some((guess(false), 2, "estimate"))),
        (message(json!({"audio": {"id": "a", "data": "12345678"}})), Some((guess(false), 2, "estimate"))),
        (
            message(json!({"content": [{"type": "text", "text": "12345678"}]})),
            Some((guess(false), 2, "estimate")),
        ),
        (
            json!({"choices": [{"text": "12345678", "logprobs": {"tokens": ["x".repeat(999)]}}]}).to_string(),
            Some((guess(false), 2, "estimate")),
        ),
        (message(json!({"content": "x".repeat(9_999)})), Some((guess(false), 6, "bounded"))),
        ("not JSON".to_owned(), Some((guess(false), 2, "estimate"))),
        ("x".repeat(9_999), Some((guess(false), 6, "bounded"))),
        // Nothing is billed for a failure that is no answer.
        (json!({"error": {"message": "out of memory"}}).to_string(), None),
        (json!({"error": {"message": "out of memory"}, "choices": []}).to_string(), None),
    ];
    for (answer, expected) in cases {
        proxied.upstream.play(Script::json(answer.clone()));
        let response = proxied.chat(&asked(false)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let bill = response.headers().get("leasehold-counted").map(|counted| {
            let receipt = receipt_in(&response).receipt;
            (receipt.tokens_in, receipt.tokens_out, counted.to_str().unwrap().to_owned())
        });
        let expected =
            expected.map(|(tokens_in, tokens_out, counted)| (tokens_in, tokens_out, counted.to_owned()));
        assert_eq!(bill, expected, "{answer:.200}");
        assert_eq!(response.text().await.unwrap(), answer);
    }
}

#[tokio::test]
async fn a_stream_is_billed_by_its_usage_or_by_what_it_said() {
    let proxied = Proxied::generous(|settings| settings).await;
    let done = "data: [DONE]\n\n".to_owned();
    let usage = |tokens_in: u64, tokens_out: u64| {
        event(&json!({"choices": [], "usage": {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}}))
    };
    let with_usage = |tokens_out: u32| {
        event(
            &json!({"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 9, "completion_tokens": tokens_out}}),
        )
    };
    let tool = |arguments: &str| {
        event(
            &json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}}]}),
        )
    };
    let cr = format!("{}{}{}", chunk("a"), usage(9, 1), done).replace('\n', "\r");
    let crlf = format!(": comment\n\n{}{}{}", chunk("a"), usage(9, 1), done).replace('\n', "\r\n");
    let lines =
        format!("event: x\ndata: {{\"choices\":\ndata: [{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\n{done}");
    let guess = guess(true);
    let cases: Vec<(Vec<String>, Bill)> = vec![
        (vec![chunk("a"), usage(9, 1), done.clone()], (9, 1, "usage")),
        // Usage in every chunk, growing; then nothing.
        (vec![with_usage(1), with_usage(2), with_usage(3), done.clone()], (9, 3, "usage")),
        (vec![with_usage(3), usage(0, 0), done.clone()], (9, 3, "usage")),
        (vec![chunk("a"), usage(9, 900), done.clone()], (9, 6, "bounded")),
        (vec![chunk("a"), chunk("b"), done.clone()], (guess, 2, "estimate")),
        // Several tokens in one chunk.
        (vec![chunk("twelve bytes"), done.clone()], (guess, 3, "estimate")),
        (vec![tool("{\"a\""), tool(": 1}"), done.clone()], (guess, 2, "estimate")),
        (
            vec![event(&json!({"choices": [{"delta": {"reasoning_content": "hmm"}}]})), done.clone()],
            (guess, 1, "estimate"),
        ),
        (vec![cr], (9, 1, "usage")),
        (vec![crlf], (9, 1, "usage")),
        (vec![lines], (guess, 1, "estimate")),
        (vec!["data: not JSON\n\n".to_owned(), done.clone()], (guess, 2, "estimate")),
        (vec![chunk("a"), event(&json!({"error": {"message": "out of memory"}}))], (guess, 1, "estimate")),
        (vec![chunk("a"), "data: {\"choices\":".to_owned()], (guess, 3, "estimate")),
    ];
    for (pieces, expected) in cases {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        proxied.upstream.play(Script::stream(&pieces));
        let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
        let (signed, salt, before, rest) = split(&stream);
        let counted = rest.strip_prefix(": leasehold-counted ").unwrap().split('\n').next().unwrap();
        let bill = (signed.receipt.tokens_in, signed.receipt.tokens_out, counted);
        assert_eq!(bill, expected, "{pieces:?}");
        assert_eq!(signed.receipt.response, salted(&salt, before.as_bytes()), "{pieces:?}");
    }
    // A failure at the beginning costs nothing.
    let failure = event(&json!({"error": {"message": "the context is too long"}}));
    proxied.upstream.play(Script::stream(&[&failure, &done]));
    let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
    assert!(
        stream.starts_with(&failure) && stream.contains(": leasehold-error ") && stream.ends_with(&done),
        "{stream}"
    );
    assert!(!stream.contains("leasehold-receipt"));
}

/// Or a caller that takes several answers at once, and leaves before the sum, pays for one of them.
#[tokio::test]
async fn counts_that_come_before_the_end_are_not_those_of_the_whole_answer() {
    let proxied = Proxied::generous(|settings| settings).await;
    let counted = |index: u32, tokens_in: u32, tokens_out: u32| {
        let usage = json!({"prompt_tokens": tokens_in, "completion_tokens": tokens_out});
        event(
            &json!({"choices": [{"index": index, "delta": {"content": "tok"}, "text": ""}], "usage": usage}),
        )
    };
    let sum = event(&json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 12}}));
    let each = |tokens_in: u32| {
        let answers = (1..4).flat_map(|tokens| (0..4).map(move |index| (index, tokens)));
        answers.map(|(index, tokens)| counted(index, tokens_in, tokens)).collect::<String>()
    };
    let bill = async |path: &str, body: &Value, stream: String| {
        proxied.upstream.play(Script::stream(&[&stream]));
        let stream = proxied.post(path).json(body).send().await.unwrap().text().await.unwrap();
        let (signed, _, _, rest) = split(&stream);
        let counted = rest.strip_prefix(": leasehold-counted ").unwrap().split('\n').next().unwrap();
        (signed.receipt.tokens_in, signed.receipt.tokens_out, counted.to_owned())
    };
    let options = json!({"include_usage": true, "continuous_usage_stats": true});
    let mut four = asked(true);
    (four["n"], four["stream_options"]) = (4.into(), options.clone());
    let chat = "/v1/chat/completions";
    assert_eq!(bill(chat, &four, each(7)).await, (7, 12, "estimate".into()));
    assert_eq!(bill(chat, &four, each(7) + &sum).await, (7, 12, "usage".into()));
    // Counted once, in the first event.
    let first = counted(0, 9, 1) + &chunk("a").repeat(4);
    assert_eq!(bill(chat, &asked(true), first).await, (9, 5, "estimate".into()));
    // Each prompt's tokens come with its answer.
    let prompts = vec!["a prompt of some length"; 4];
    let four = json!({"prompt": prompts, "max_tokens": 6, "stream": true, "stream_options": options});
    let guess = four.to_string().len().div_ceil(4) as u32;
    assert_eq!(bill("/v1/completions", &four, each(7)).await, (guess, 12, "estimate".into()));
    assert_eq!(bill("/v1/completions", &four, each(7) + &sum).await, (7, 12, "usage".into()));
}

#[tokio::test]
async fn a_stream_within_its_limit_is_not_cut_however_long_its_tokens_are() {
    let proxied = Proxied::generous(|settings| settings).await;
    let mut asked = asked(true);
    asked["max_tokens"] = 60.into();
    let usage = event(&json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 60}}));
    for token in [
        json!({"content": "कखग"}),
        json!({"content": " ".repeat(20)}),
        // The same under two names, as vLLM sends it.
        json!({"reasoning": "thinking", "reasoning_content": "thinking"}),
    ] {
        let stream = event(&json!({"choices": [{"delta": token}]})).repeat(60);
        let stream = [stream, usage.clone(), "data: [DONE]\n\n".to_owned()].concat();
        proxied.upstream.play(Script::stream(&[&stream]));
        let stream = proxied.chat(&asked).send().await.unwrap().text().await.unwrap();
        let (signed, _, _, rest) = split(&stream);
        assert_eq!(rest, ": leasehold-counted usage\n\ndata: [DONE]\n\n", "{token}");
        assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out), (7, 60), "{token}");
    }
}

/// A few hundred bytes of nested lists become tens of thousands of tokens where a template indents them.
#[tokio::test]
async fn tools_count_as_much_as_a_template_makes_of_them() {
    let proxied = Proxied::generous(|settings| settings).await;
    let usage =
        |tokens_in: u32| json!({"usage": {"prompt_tokens": tokens_in, "completion_tokens": 3}}).to_string();
    let lists = ["[".repeat(300), "]".repeat(300)].concat();
    let with = |tools: &str, tokens_in: u32| {
        let messages = r#""messages":[{"role":"user","content":"Hi"}],"max_tokens":6"#;
        proxied.upstream.play(Script::json(usage(tokens_in)));
        proxied.post("/v1/chat/completions").body(format!("{{{messages},{tools}}}"))
    };
    let function = format!(r#"{{"name":"f","parameters":{{"enum":{lists}}}}}"#);
    let tool = format!(r#""tools":[{{"type":"function","function":{function}}}]"#);
    for tools in [tool, format!(r#""functions":[{function}]"#)] {
        let response = with(&tools, 20_000).send().await.unwrap();
        assert_eq!(response.headers()["leasehold-counted"], "usage");
        assert_eq!(receipt_in(&response).receipt.tokens_in, 20_000);
    }
    // Common tools count for little more than their bytes.
    let tools = r#""tools":[{"type":"function","function":{"name":"weather","description":"What it is like outside","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]"#;
    let response = with(tools, 1_000_000).send().await.unwrap();
    assert_eq!(response.headers()["leasehold-counted"], "bounded");
    let tokens_in = receipt_in(&response).receipt.tokens_in as usize;
    assert!((tools.len()..2 * tools.len() + 100).contains(&tokens_in), "{tokens_in} of {}", tools.len());
}

#[tokio::test]
async fn answers_are_understood_however_their_head_and_begin_are_spelled() {
    let proxied = Proxied::generous(|settings| settings).await;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
    let stream = format!("{}data: {usage}\n\ndata: [DONE]\n\n", chunk("a"));
    for headers in [
        &[("content-type", "text/event-stream"), ("content-encoding", "identity")][..],
        &[("content-type", "Text/Event-Stream ; charset=UTF-8")],
    ] {
        proxied.upstream.play(Script::raw(headers, &[&stream]));
        let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
        let receipt = split(&stream).0.receipt;
        assert_eq!((receipt.tokens_in, receipt.tokens_out), (9, 1), "{headers:?}");
    }
    for (headers, begin) in [
        (&[("content-type", "application/json"), ("content-encoding", "Identity")][..], ""),
        (&[("content-type", "application/json")], "\u{feff}"),
        (&[], "\r\n"),
    ] {
        proxied.upstream.play(Script::raw(headers, &[begin, usage]));
        let response = proxied.chat(&asked(false)).send().await.unwrap();
        assert_eq!(response.headers()["leasehold-counted"], "usage", "{headers:?} {begin:?}");
        assert_eq!(receipt_in(&response).receipt.tokens_in, 9);
    }
}

#[tokio::test]
async fn a_streamed_response_has_its_receipt_before_its_last_event() {
    let proxied = Proxied::generous(|settings| settings).await;
    let delta = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
    let last = json!({"type": "response.completed", "response": {"output": [{"content": [{"text": "Hi"}]}],
        "usage": {"input_tokens": 5, "output_tokens": 1}}});
    let last = format!("event: response.completed\n{}", event(&last));
    let asked = json!({"input": "Hi", "max_output_tokens": 6, "stream": true});
    proxied.upstream.play(Script::stream(&[delta, &last]));
    let stream = proxied.post("/v1/responses").json(&asked).send().await.unwrap().text().await.unwrap();
    let (signed, _, before, rest) = split(&stream);
    assert_eq!((before, rest), (delta, format!(": leasehold-counted usage\n\n{last}").as_str()));
    assert_eq!((signed.receipt.tokens_in, signed.receipt.tokens_out), (5, 1));
    // It has broken off.
    proxied.upstream.play(Script::stream(&[delta, delta]));
    let stream = proxied.post("/v1/responses").json(&asked).send().await.unwrap().text().await.unwrap();
    assert_eq!(
        (split(&stream).0.receipt.tokens_out, split(&stream).3),
        (2, ": leasehold-counted estimate\n\n")
    );
}

#[tokio::test]
async fn what_is_compressed_is_billed_by_its_length_and_passed_as_it_is() {
    let proxied = Proxied::generous(|settings| settings).await;
    for content in ["application/json", "text/event-stream"] {
        for encoding in ["gzip", "br"] {
            let headers = [("content-type", content), ("content-encoding", encoding)];
            proxied.upstream.play(Script::raw(&headers, &["data: 89", "abcdefgh"]));
            let response = proxied.chat(&asked(true)).send().await.unwrap();
            assert_eq!(proxied.upstream.last().2["accept-encoding"], "identity");
            assert_eq!(response.headers()["content-encoding"], encoding);
            assert_eq!(response.text().await.unwrap(), "data: 89abcdefgh");
        }
    }
    let price = proxied.receipts(4).await;
    let each = |stream: bool| u64::from(guess(stream)) + 2 * 4;
    assert_eq!(price, 4 * each(true));
}

#[tokio::test]
async fn an_event_that_is_too_long_passes_and_is_counted() {
    let proxied = Proxied::generous(|settings| settings).await;
    let long = chunk(&"x".repeat(3 << 20));
    let mut asked = asked(true);
    asked["max_tokens"] = 2_000_000.into();
    proxied.upstream.play(Script::stream(&[&long, "data: [DONE]\n\n"]));
    let stream = proxied.chat(&asked).send().await.unwrap().text().await.unwrap();
    let (signed, _, before, _) = split(&stream);
    assert!(before == long);
    let tokens = long.len().div_ceil(4) as u32;
    assert!((tokens - 9..=tokens + 9).contains(&signed.receipt.tokens_out), "{}", signed.receipt.tokens_out);
}

#[tokio::test]
async fn a_stream_far_beyond_its_limit_is_cut() {
    let proxied = Proxied::start(metered(1, 1_000)).await;
    proxied.upstream.play(Script { times: 20, ..Script::default() });
    let response = proxied.chat(&asked(true)).send().await.unwrap();
    let (mut chunks, mut stream, mut broken) = (response.bytes_stream(), Vec::new(), false);
    while let Some(bytes) = chunks.next().await {
        match bytes {
            Ok(bytes) => stream.extend_from_slice(&bytes),
            Err(_) => broken = true,
        }
    }
    let stream = String::from_utf8(stream).unwrap();
    assert!(broken && !stream.contains("[DONE]"), "{stream}");
    // It was cut after twice its six and some, of eighty; six are billed.
    assert_eq!(stream.matches("data: ").count(), 1 + 29);
    assert_eq!(
        (split(&stream).0.receipt.tokens_out, split(&stream).3),
        (6, ": leasehold-counted bounded\n\n")
    );
}

#[tokio::test]
async fn a_server_that_refuses_stream_options_is_asked_again_without_them() {
    let proxied = Proxied::generous(|settings| settings).await;
    proxied.upstream.play(Script { refuses_options: true, ..Script::default() });
    for requests in [2, 3] {
        let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
        assert_eq!(client_text(&stream), WORDS.concat());
        assert_eq!(split(&stream).0.receipt.tokens_out, 4);
        assert_eq!(proxied.upstream.last_body(), body(true));
        assert_eq!(proxied.upstream.count(), requests, "once is enough");
    }
    // A caller that asks for the usage itself is told.
    let mut own = asked(true);
    own["stream_options"] = json!({"include_usage": true});
    let (status, answer) = read(proxied.chat(&own).send().await.unwrap()).await;
    assert!(status == 400 && answer.to_string().contains("stream_options"), "{answer}");
    // A refusal that only names the word, as some repeat a field's value, changes nothing for others.
    let proxied = Proxied::generous(|settings| settings).await;
    proxied.upstream.play(Script::json(r#"{"error":"unknown tool_choice: stream_options"}"#).status(400));
    let mut named = asked(true);
    named["tool_choice"] = "stream_options".into();
    assert_eq!(proxied.chat(&named).send().await.unwrap().status(), 400);
    proxied.upstream.play(Script::default());
    let stream = proxied.chat(&asked(true)).send().await.unwrap().text().await.unwrap();
    assert!(split(&stream).3.starts_with(": leasehold-counted usage\n"), "{stream}");
    // Other refusals are passed on.
    let proxied = Proxied::generous(|settings| settings).await;
    proxied.upstream.play(Script::json(r#"{"error":"temperature"}"#).status(422));
    assert_eq!(
        read(proxied.chat(&asked(true)).send().await.unwrap()).await,
        (422, json!({"error": "temperature"}))
    );
    assert_eq!(proxied.upstream.count(), 1);
}

#[tokio::test]
async fn a_caller_who_leaves_is_billed_for_what_was_served_and_the_server_is_told() {
    let proxied = Proxied::generous(|settings| settings).await;
    let mut owed = 0;
    // Before the head.
    proxied.upstream.play(Script::json("").hangs(Hangs::BeforeHead));
    let request = tokio::spawn(proxied.chat(&asked(false)).send());
    proxied.upstream.until_open(1).await;
    request.abort();
    proxied.upstream.until_open(0).await;
    owed += u64::from(guess(false));
    assert_eq!(proxied.receipts(1).await, owed);
    // In the middle of an answer in one piece.
    proxied.upstream.play(Script::json("12345678").hangs(Hangs::AfterPieces));
    let request = tokio::spawn(proxied.chat(&asked(false)).send());
    proxied.upstream.until_open(1).await;
    request.abort();
    proxied.upstream.until_open(0).await;
    // Whether its piece had arrived by then is open.
    let price = proxied.receipts(2).await;
    assert!([0, 4].contains(&(price - owed - u64::from(guess(false)))), "{price}");
    owed = price;
    // In the middle of a stream.
    proxied.upstream.play(Script::stream(&[&chunk("a"), &chunk("b")]).hangs(Hangs::AfterPieces));
    let mut stream = proxied.chat(&asked(true)).send().await.unwrap().bytes_stream();
    let (first, mut seen) = ([chunk("a"), chunk("b")].concat(), Vec::new());
    while seen.len() < first.len() {
        seen.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    drop(stream);
    proxied.upstream.until_open(0).await;
    owed += u64::from(guess(true)) + 2 * 2;
    assert_eq!(proxied.receipts(3).await, owed);
}
