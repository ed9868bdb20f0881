//! What of a request's body reaches the inference server of a metered lease.

use super::*;

/// Asks, and returns the status, the error's message, and what the server got.
async fn ask(proxied: &Proxied, path: &str, body: impl Into<String>) -> (u16, String, Option<String>) {
    let before = proxied.upstream.count();
    let response = proxied.post(path).body(body.into()).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let sent = (proxied.upstream.count() > before).then(|| proxied.upstream.last_body());
    (status, text, sent)
}

const CHAT: &str = "/v1/chat/completions";

/// A chat with more fields, as they are written.
fn chat(more: &str) -> String {
    format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"Hi"}}],{more}}}"#)
}

/// A chat with that content.
fn content(content: &str) -> String {
    format!(r#"{{"model":"tiny","max_tokens":6,"messages":[{{"role":"user","content":{content}}}]}}"#)
}

#[tokio::test]
async fn what_a_request_may_cost_is_not_its_callers_to_choose() {
    let lease = metered(1, 100_000);
    let proxied = Proxied::start(lease.clone()).await;
    for more in [
        r#""max_tokens":60"#,
        r#""max_completion_tokens":60"#,
        r#""max_tokens":6,"n":10"#,
        r#""max_tokens":null"#,
        r#""temperature":1"#,
    ] {
        assert_eq!(ask(&proxied, CHAT, chat(more)).await.0, 402, "{more}");
    }
    let prompts = r#"{"max_tokens":6,"prompt":["a","b","c","d","e","f","g","h"]}"#;
    assert_eq!(ask(&proxied, "/v1/completions", prompts).await.0, 402);
    assert_eq!(
        ask(&proxied, "/v1/completions", r#"{"max_tokens":6,"prompt":"a","best_of":20}"#).await.0,
        402
    );
    assert_eq!(proxied.upstream.count(), 0);
    // A buyer that signs ahead may use more; the inference server gets the limit.
    proxied.pay(&lease, 9_000).await;
    assert_eq!(ask(&proxied, CHAT, chat(r#""max_tokens":null"#)).await.2, Some(chat(r#""max_tokens":1024"#)));
    assert_eq!(ask(&proxied, CHAT, chat(r#""seed":1"#)).await.2, Some(chat(r#""seed":1,"max_tokens":1024"#)));
}

#[tokio::test]
async fn the_limit_has_the_one_name_that_every_server_knows() {
    let proxied = Proxied::generous(|settings| settings).await;
    for more in [
        r#""max_completion_tokens":7"#,
        r#""max_tokens":7,"max_completion_tokens":7"#,
        r#""max_tokens":null,"max_completion_tokens":7"#,
        r#""max_tokens":7,"max_completion_tokens":null"#,
    ] {
        assert_eq!(ask(&proxied, CHAT, chat(more)).await.2, Some(chat(r#""max_tokens":7"#)), "{more}");
    }
    let (status, message, sent) =
        ask(&proxied, CHAT, chat(r#""max_tokens":6,"max_completion_tokens":7"#)).await;
    assert!((status, sent.is_none()) == (400, true) && message.contains("differ"), "{message}");
    let response = |limit: &str| format!(r#"{{"input":"Hi"{limit},"store":false}}"#);
    let sent = ask(&proxied, "/v1/responses", response("")).await.2.unwrap();
    assert_eq!(sent, r#"{"input":"Hi","store":false,"max_output_tokens":1024}"#);
    let sent = ask(&proxied, "/v1/responses", response(r#","max_output_tokens":7"#)).await.2.unwrap();
    assert_eq!(sent, response(r#","max_output_tokens":7"#));
}

#[tokio::test]
async fn values_that_servers_read_in_different_ways_are_refused() {
    let proxied = Proxied::generous(|settings| settings).await;
    let mut cases = Vec::new();
    for value in
        ["0", "-1", "-0", "1.0", "1e2", "\"100\"", "true", "[]", "{}", "2147483648", "99999999999999999999"]
    {
        for name in ["max_tokens", "max_completion_tokens", "n"] {
            cases.push((CHAT, chat(&format!("\"{name}\":{value}"))));
        }
        cases.push(("/v1/responses", format!(r#"{{"input":"a","max_output_tokens":{value}}}"#)));
    }
    for value in ["1", "0", "\"true\"", "1.0", "\"on\"", "[]"] {
        for name in ["stream", "logprobs", "ignore_eos", "parallel_tool_calls"] {
            cases.push((CHAT, chat(&format!("\"{name}\":{value}"))));
        }
    }
    for more in [
        r#""n":129"#,
        r#""top_logprobs":-1"#,
        r#""top_logprobs":21"#,
        r#""max_tokens":5,"min_tokens":6"#,
        r#""store":true"#,
        r#""stream":true,"stream_options":{"include_usage":1}"#,
        r#""stream":true,"stream_options":{"x":true}"#,
        r#""stream":true,"stream_options":"include_usage""#,
        r#""max_tokens":5,"max_tokens":5000"#,
        r#""max_tokens":5,"max_\u0074okens":5000"#,
        r#""tools":[{"type":"web_search"}]"#,
        r#""tools":[{"type":"function","type":"mcp"}]"#,
        r#""tools":[{"function":{}}]"#,
        r#""tools":{}"#,
        r#""chat_template_kwargs":{"chat_template":"{{ 9 }}"}"#,
        r#""model":["tiny"]"#,
    ] {
        cases.push((CHAT, chat(more)));
    }
    for body in [
        r#"{"max_tokens":6}"#,
        r#"{"prompt":null}"#,
        r#"{"prompt":[]}"#,
        r#"{"prompt":["a",1]}"#,
        r#"{"prompt":[1,-1]}"#,
        r#"{"prompt":[[1],["a"]]}"#,
        r#"{"prompt":{"prompt_string":"a","multimodal_data":[""]}}"#,
        r#"{"prompt":"a","echo":true}"#,
        r#"{"prompt":"a","logprobs":100}"#,
        r#"{"prompt":"a","logprobs":true}"#,
        r#"{"prompt":"a","best_of":1000}"#,
    ] {
        cases.push(("/v1/completions", body.to_owned()));
    }
    for more in [
        r#""background":true"#,
        r#""store":true"#,
        r#""previous_response_id":"resp_1""#,
        r#""conversation":{"id":"conv_1"}"#,
        r#""prompt":{"id":"pmpt_1"}"#,
        r#""tools":[{"type":"code_interpreter"}]"#,
        // LiteLLM makes a message of them, whatever they are.
        r#""instructions":[{"type":"image_url","image_url":"https://x"}]"#,
        r#""instructions":{"a":1}"#,
    ] {
        cases.push(("/v1/responses", format!(r#"{{"input":"a",{more}}}"#)));
    }
    for input in [
        r#"[{"type":"item_reference","id":"msg_1"}]"#,
        r#"[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#,
        r#"[{"type":"computer_call_output","output":{}}]"#,
        // llama.cpp's server looks for role and content before it looks at the type.
        r#"[{"type":"function_call","call_id":"1","name":"f","arguments":"{}","role":"user","content":[{"type":"input_image","image_url":"https://x"}]}]"#,
        r#"[{"type":"function_call_output","call_id":"1","output":"5","role":"user","content":"a"}]"#,
        r#"[{"type":"function_call_output","call_id":"1","output":[{"type":"input_image","image_url":"https://x"}]}]"#,
        "7",
    ] {
        cases.push(("/v1/responses", format!(r#"{{"input":{input}}}"#)));
    }
    cases.push(("/v1/embeddings", r#"{"input":"a","dimensions":-1}"#.to_owned()));
    cases.push(("/v1/embeddings", r#"{"content":"a"}"#.to_owned()));
    for body in ["", "[]", "null", "{", "{}x", "\u{feff}{}", "{\"prompt\":\"a\",\"seed\":NaN}"] {
        cases.push(("/v1/completions", body.to_owned()));
    }
    for (path, body) in cases {
        let (status, message, sent) = ask(&proxied, path, body.clone()).await;
        assert_eq!((status, sent), (400, None), "{path} {body} {message}");
        assert!(message.contains(r#""code":"malformed""#), "{message}");
    }
    let (status, _, sent) = ask(&proxied, CHAT, "x".repeat(100)).await;
    assert_eq!((status, sent), (400, None));
}

#[tokio::test]
async fn unknown_fields_are_refused_or_left_out() {
    let refusing = Proxied::generous(|settings| settings).await;
    let dropping =
        Proxied::generous(|settings| ProxySettings { unknown_fields: UnknownFields::Drop, ..settings }).await;
    for name in [
        "n_predict",
        "n_cmpl",
        "num_predict",
        "options",
        "MAX_TOKENS",
        "Max_Tokens",
        "max_new_tokens",
        "best_of",
        "use_beam_search",
        "prompt_logprobs",
        "echo",
        "chat_template",
        "documents",
        "api_base",
        "base_url",
        "fallbacks",
        "mock_response",
        "lora",
        "adapter_id",
        "id_slot",
        "truncate_prompt_tokens",
        "audio",
        "modalities",
        "mm_processor_kwargs",
        "media_io_kwargs",
        "kv_transfer_params",
        "vllm_xargs",
        "web_search_options",
        "prediction",
        "_debug_render_only",
        "priority",
        "request_id",
        "add_generation_prompt",
        "continue_final_message",
        "t_max_predict_ms",
        "samplers",
        "keep_alive",
        "input",
        "prompt",
        "extra_body",
        "max_output_tokens",
        "response_fields",
        "custom_params",
        "session_params",
        "\\ud800",
    ] {
        let body = chat(&format!(r#""max_tokens":6,"{name}":7,"seed":1"#));
        let (status, message, sent) = ask(&refusing, CHAT, body.clone()).await;
        assert_eq!((status, sent), (400, None), "{name}");
        assert!(message.contains("leave it out"), "{message}");
        assert_eq!(ask(&dropping, CHAT, body).await.2, Some(chat(r#""max_tokens":6,"seed":1"#)), "{name}");
    }
    // What is only for the server's accounts goes nowhere.
    let body = chat(r#""user":"me","max_tokens":6,"metadata":{"tags":["x"]},"service_tier":"priority""#);
    assert_eq!(ask(&refusing, CHAT, body).await.2, Some(chat(r#""max_tokens":6"#)));
}

#[tokio::test]
async fn bytes_stay_as_they_came() {
    let proxied = Proxied::generous(|settings| settings).await;
    proxied.upstream.play(Script::json("{}"));
    let deep = ["[".repeat(5_000), "]".repeat(5_000)].concat();
    for body in [
        // The order of a schema's keys changes what a model answers.
        chat(r#""max_tokens":6,"response_format":{"type":"json_schema","json_schema":{"schema":{"properties":{"z":{},"a":{}}}}}"#),
        chat(r#""temperature": 1.0e+00 ,"max_tokens" : 6,"seed":123456789012345678901234567890,"top_p":0.10"#),
        chat(&format!(r#""max_tokens":6,"logit_bias":{deep}"#)),
        content(r#""lone \ud800 and pair \ud83d\ude00 and \u0041\/ é""#),
        format!("\r\n {}\t", content("\"Hi\"")),
        content(r#"[{"type":"text","text":"a"},"b",{"type":"refusal","refusal":"\udfff"}]"#),
        r#"{"model":"tiny","max_tokens":6,"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}],"audio":null},{"role":"tool","tool_call_id":"1","content":"5"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"b":1,"a":2}}}]}"#.to_owned(),
        chat(r#""max_tokens":6,"chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"low""#),
    ] {
        let (status, message, sent) = ask(&proxied, CHAT, body.clone()).await;
        assert_eq!((status, sent), (200, Some(body)), "{message}");
    }
    for body in
        [r#"{"prompt":[1,2,3],"max_tokens":6}"#, r#"{"prompt":[[1],[2]],"suffix":"x","max_tokens":6}"#]
    {
        assert_eq!(ask(&proxied, "/v1/completions", body).await.2, Some(body.to_owned()));
    }
    proxied.upstream.play(Script::json("{}"));
    let body = r#"{"instructions":"Be brief.","input":[{"role":"user","content":"a"},{"type":"function_call","id":"2","call_id":"1","name":"f","arguments":"{}","status":"completed"},{"type":"function_call_output","call_id":"1","output":"5"}],"max_output_tokens":6,"store":false}"#;
    assert_eq!(ask(&proxied, "/v1/responses", body).await.2, Some(body.to_owned()));
    // Under a lease by the hour nothing is changed but the demand for the usage.
    let proxied = Proxied::start(lease(1)).await;
    let body = r#"{ "model":"tiny","own" :[1.50],"stream":true, "stream_options":{"x":1 } }"#;
    let sent = ask(&proxied, CHAT, body).await.2.unwrap();
    assert_eq!(sent, body.replace(r#"{"x":1 }"#, r#"{"x":1,"include_usage":true }"#));
}

#[tokio::test]
async fn media_pass_only_in_the_request_and_only_if_they_are_counted() {
    let picture = r#"[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]"#;
    let flat = r#"[{"type":"image_url","image_url":"data:image/png;base64,AAAA"}]"#;
    let sound = r#"[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]"#;
    let none = Proxied::generous(|settings| settings).await;
    let some = Proxied::generous(|settings| ProxySettings {
        media_tokens: Some(1_000.try_into().unwrap()),
        ..settings
    });
    let some = some.await;
    for parts in [picture, flat, sound] {
        let (status, message, sent) = ask(&none, CHAT, content(parts)).await;
        assert_eq!((status, sent), (400, None), "{parts}");
        assert!(message.contains("no pictures and sounds"), "{message}");
        assert_eq!(ask(&some, CHAT, content(parts)).await.2, Some(content(parts)));
    }
    for parts in [
        r#"[{"type":"image_url","image_url":{"url":"https://x/a.png"}}]"#,
        r#"[{"type":"image_url","image_url":{"url":"http://169.254.169.254/"}}]"#,
        r#"[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]"#,
        r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","url":"https://x"}}]"#,
        r#"[{"type":"image_url","type":"text","image_url":{"url":"https://x"}}]"#,
        r#"[{"type":"text","text":"a","image_url":{"url":"https://x"}}]"#,
        r#"[{"image_url":{"url":"data:image/png;base64,AAAA"}}]"#,
        r#"[{"type":"image","image":"AAAA"}]"#,
        r#"[{"type":"image_embeds","image_embeds":"AAAA"}]"#,
        r#"[{"type":"video_url","video_url":{"url":"data:video/mp4;base64,AAAA"}}]"#,
        r#"[{"type":"file","file":{"file_id":"f"}}]"#,
        r#"[{"type":"input_audio","input_audio":"https://x"}]"#,
        r#"[[{"type":"text","text":"a"}]]"#,
        r#"{"type":"text","text":"a"}"#,
        "7",
    ] {
        let (status, message, sent) = ask(&some, CHAT, content(parts)).await;
        assert_eq!((status, sent), (400, None), "{parts} {message}");
    }
    for more in [r#""images":["AAAA"]"#, r#""Content":[{"type":"image_url"}]"#, r#""file_ids":["f"]"#] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi",{more}}}]}}"#);
        assert_eq!(ask(&some, CHAT, body).await.0, 400, "{more}");
    }
    let input = r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x"}]}]}"#;
    assert_eq!(ask(&some, "/v1/responses", input).await.0, 400);

    // A picture's bytes are no text: it counts for what the node says.
    let large = content(&picture.replace("AAAA", &"A".repeat(1 << 20)));
    some.upstream.play(Script { usage: None, ..Script::default() });
    let response = some.post(CHAT).body(large).send().await.unwrap();
    let signed = receipt_in(&response);
    assert!((1_000..1_100).contains(&signed.receipt.tokens_in), "{}", signed.receipt.tokens_in);
}

/// Or a request of 32 MiB has an answer of many more.
#[tokio::test]
async fn what_is_refused_is_not_repeated_at_length() {
    let proxied = Proxied::generous(|settings| settings).await;
    let long = "\\u0001é".repeat(1 << 18);
    for body in [
        format!(r#"{{"messages":"{long}"}}"#),
        format!(r#"{{"messages":[{{"role":"user","{long}":1}}]}}"#),
        format!(r#"{{"messages":[{{"role":"user","content":[{{"type":"{long}"}}]}}]}}"#),
        format!(r#"{{"{long}":1,"{long}":1}}"#),
        format!(r#"{{"{long}":1}}"#),
    ] {
        let (status, answer, sent) = ask(&proxied, CHAT, body).await;
        assert_eq!((status, sent), (400, None));
        assert!(answer.len() < 4_000, "{} bytes", answer.len());
    }
}
