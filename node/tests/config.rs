//! The configuration file: its fields, and the error for each mistake.

use leasehold_client::probe::{Pubkey, SigningKey};
use leasehold_node::receipts::ProxySettings;
use leasehold_node::receipts::settings::{DEFAULT_LISTEN, DEFAULT_MAX_TOKENS, Secret, read_leases};
use leasehold_node::{ConfigError, Serving, load, load_config};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::Path;

const TOP: &str = "program = \"11111111111111111111111111111112\"\n\
    market = \"11111111111111111111111111111113\"\n\
    board = \"11111111111111111111111111111114\"\n";
const SEED: &str = "seed = \"0909090909090909090909090909090909090909090909090909090909090909\"\n";

fn load_text(text: &str) -> Result<Serving, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    load(&path)
}

fn refusal(text: &str) -> String {
    load_text(text).unwrap_err().to_string()
}

#[test]
fn the_committed_example_is_valid() {
    let serving = load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("example.toml")).unwrap();
    assert_eq!(serving.machines.len(), 1);
    assert_eq!(serving.machines[0].round_secs, Some(600));
    assert!(serving.keepers.is_none());
}

#[test]
fn the_examples_section_on_receipts_is_valid() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("example.toml")).unwrap();
    let (_, receipts) = text.split_once("# [receipts]\n").unwrap();
    let lines = receipts.lines().filter_map(|line| line.strip_prefix("# "));
    let is_setting = |line: &&str| line.starts_with("[[") || line.contains(" = ");
    let settings: Vec<_> = lines.take_while(|line| *line != "[chain]").filter(is_setting).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("llama-3.1-8b.json"), "{}").unwrap();
    std::fs::write(folder.path().join("upstream.key"), "sk-123\n").unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, format!("[receipts]\n{}\n", settings.join("\n"))).unwrap();
    let settings = load_config(&path, None).unwrap().receipts.unwrap();
    let model = &settings.models["llama-3.1-8b"];
    assert_eq!(model.id, <[u8; 32]>::from(Sha256::digest("{}")));
    assert_eq!((model.price_in, model.price_out), (150_000, 600_000));
    assert_eq!(settings.database, folder.path().join("receipts.db"));
    assert_eq!(settings.listen, DEFAULT_LISTEN);
    let proxy = settings.proxy.unwrap();
    assert_eq!((proxy.gpus, proxy.max_tokens), (8, DEFAULT_MAX_TOKENS));
    let key = Some(Secret::new("sk-123".into()));
    assert_eq!((&proxy.upstream_key, proxy.media_tokens.map(|each| each.get())), (&key, Some(1_000)));
    // The others are the defaults, which the example names.
    let default = ProxySettings::new(proxy.upstream.clone());
    assert_eq!(proxy.patience, default.patience);
    let limits =
        |of: &ProxySettings| (of.request_bytes, of.answer_bytes, of.memory, of.requests, of.template_tokens);
    assert_eq!(limits(&proxy), limits(&default));
    assert_eq!(proxy.unknown_fields, default.unknown_fields);
    // The key is in no log.
    assert!(!format!("{proxy:?}").contains("sk-123"));
    for key in ["", "\n", "two words", "\u{e9}"] {
        std::fs::write(folder.path().join("upstream.key"), key).unwrap();
        let refused = load_config(&path, None).unwrap_err().to_string();
        assert!(refused.contains("upstream.key has no API key in its first line"), "{refused}");
    }
    std::fs::write(folder.path().join("upstream.key"), "sk-123").unwrap();
    // The flag overrides the file.
    let settings = load_config(&path, Some("http://127.0.0.1:9")).unwrap().receipts.unwrap();
    assert_eq!(settings.proxy.unwrap().upstream.as_str(), "http://127.0.0.1:9/");
}

#[test]
fn a_machine_takes_fields_that_it_lacks_from_the_top() {
    let serving = load_text(&format!(
        "{TOP}round_secs = 600\nkeepers = [\"11111111111111111111111111111115\"]\n\
         [[machine]]\nslot = 7\ngeneration = 2\n{SEED}\
         [[machine]]\nslot = 8\ngeneration = 1\nround_secs = 10\nboard = \"11111111111111111111111111111116\"\n{SEED}"
    ))
    .unwrap();
    let key = |text: &str| text.parse::<Pubkey>().unwrap();
    let [first, second] = &serving.machines[..] else { panic!("two machines") };
    assert_eq!((first.slot, first.generation, first.round_secs), (7, 2, Some(600)));
    assert_eq!(first.program, key("11111111111111111111111111111112"));
    assert_eq!(first.market, key("11111111111111111111111111111113"));
    assert_eq!(first.board, key("11111111111111111111111111111114"));
    assert_eq!(first.key, SigningKey::from_bytes(&[9; 32]));
    assert_eq!((second.slot, second.round_secs), (8, Some(10)));
    assert_eq!(second.board, key("11111111111111111111111111111116"));
    assert_eq!(serving.keepers, Some(vec![key("11111111111111111111111111111115")]));
}

#[test]
fn a_key_file_is_found_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::from_bytes(&[4; 32]);
    let bytes = serde_json::to_string(&key.to_keypair_bytes().to_vec()).unwrap();
    std::fs::write(folder.path().join("machine.json"), bytes).unwrap();
    let path = folder.path().join("node.toml");
    let machine = "[[machine]]\nslot = 0\ngeneration = 1\nkeypair = \"machine.json\"\n";
    std::fs::write(&path, format!("{TOP}{machine}")).unwrap();
    assert_eq!(load(&path).unwrap().machines[0].key, key);

    let mut wrong = key.to_keypair_bytes();
    wrong[63] ^= 1;
    for bytes in [serde_json::to_string(&wrong.to_vec()).unwrap(), "[1,2,3]".into(), "key".into()] {
        std::fs::write(folder.path().join("machine.json"), bytes).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("is not a keypair: "));
    }
    std::fs::remove_file(folder.path().join("machine.json")).unwrap();
    assert!(load(&path).unwrap_err().to_string().contains("machine.json"));
}

#[test]
fn every_mistake_is_named() {
    let machine = "[[machine]]\nslot = 3\ngeneration = 1\n";
    assert!(load(Path::new("/does/not/exist")).unwrap_err().to_string().contains("check the path"));
    assert!(refusal(&format!("{machine}{SEED}")).contains("the machine in slot 3 has no program"));
    assert!(refusal(&format!("{TOP}{machine}")).contains("needs either `keypair`"));
    assert!(refusal(&format!("{TOP}{machine}{SEED}keypair = \"k\"")).contains("needs either `keypair`"));
    assert!(refusal(&format!("{TOP}{machine}seed = \"09\"")).contains("64 hexadecimal digits"));
    assert!(
        refusal(&format!("{TOP}round_secs = 0\n{machine}{SEED}")).contains("round_secs must be at least 1")
    );
    assert!(refusal("program = \"not an address\"").contains("`not an address` is not an address in base58"));
    assert!(refusal("keepers = [\"0\"]").contains("`0` is not an address in base58"));
    assert!(refusal("borad = \"x\"").contains("unknown field `borad`"));
    assert!(refusal("[[machine]]\nslot = -1\ngeneration = 1").contains("invalid value"));
}

/// Text of a section with a proxy.
fn proxied(more: &str) -> String {
    let receipts = "[receipts]\ndatabase = \"receipts.db\"\nsource = \"https://node.example\"\n";
    let model = "[[receipts.model]]\nname = \"tiny\"\nmanifest = \"tiny.json\"\n";
    let upstream = if more.contains("upstream") { "" } else { "upstream = \"http://127.0.0.1:8000\"\n" };
    format!("{TOP}[[machine]]\nslot = 3\ngeneration = 1\n{SEED}{receipts}{upstream}{more}\n{model}")
}

fn receipts(text: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(folder.path().join("tiny.json"), "{}").unwrap();
    std::fs::write(&path, text).unwrap();
    load_config(&path, None).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn settings_that_would_refuse_every_request_are_refused_at_the_start() {
    for right in ["", "slot = 3", "request_mib = 80\nmemory_mib = 160", "max_tokens = 2147483647"] {
        assert_eq!(receipts(&proxied(right)), Ok(()), "{right}");
    }
    for (wrong, sentences) in [
        (
            "upstream = \"http://127.0.0.1:8000/v1\"",
            ["`upstream` is \"http://127.0.0.1:8000/v1\"", "leave out /v1"],
        ),
        ("upstream = \"http://127.0.0.1:8000/v1/\"", ["`upstream`", "leave out /v1"]),
        ("upstream = \"http://127.0.0.1:8000/#v1\"", ["`upstream` is", "query or fragment"]),
        ("gpus = 0", ["`gpus` is 0", "nonzero"]),
        ("max_tokens = 3000000000", ["`max_tokens` is 3000000000", "at most 2147483647"]),
        ("request_mib = 81\nmemory_mib = 900", ["`request_mib` is 81", "80 MiB"]),
        ("memory_mib = 100", ["`memory_mib` is 100", "`answer_mib` is 64"]),
        ("answer_mib = 1\nmemory_mib = 63", ["`memory_mib` is 63", "`request_mib` is 32"]),
        ("slot = 5", ["is in slot 5", "no such machine"]),
        ("board = \"11111111111111111111111111111115\"", ["on board 1111", "no such machine"]),
    ] {
        let refused = receipts(&proxied(wrong)).unwrap_err();
        assert!(sentences.iter().all(|sentence| refused.contains(sentence)), "{refused}");
    }
    let two = proxied("")
        .replace("[receipts]", &format!("[[machine]]\nslot = 4\ngeneration = 1\n{SEED}[receipts]"));
    let refused = receipts(&two).unwrap_err();
    assert!(refused.contains("not named") && refused.contains("several such machines"), "{refused}");
    let refused = receipts(&proxied("").replace("https://node", "https://me:secret@node")).unwrap_err();
    assert!(refused.contains("`source`") && !refused.contains("secret"), "{refused}");
    let refused = refusal(&format!("{TOP}[[machine]]\nslot = 6144\ngeneration = 1\n{SEED}"));
    assert!(refused.contains("slot 6144 is out of range (0 to 6143)"), "{refused}");
}

/// The parser's own errors repeat the line, which may be a machine's key.
#[test]
fn a_mistake_is_one_line_with_field_and_value_and_no_secret() {
    let machine = "[[machine]]\nslot = 3\ngeneration = 1\n";
    let secret = "0909090909090909";
    for seed in [
        format!("seed = \"{secret}"),
        format!("seed = {secret}"),
        format!("seed = 9{secret}"),
        format!("seed = [\"{secret}\"]"),
    ] {
        let refused = refusal(&format!("{TOP}{machine}{seed}\n"));
        assert!(refused.contains("line 7") && !refused.contains("0909"), "{refused}");
    }
    let refused = receipts(&proxied("exposure_limit = -5")).unwrap_err();
    assert!(refused.contains("line 12: `exposure_limit` is -5: invalid value"), "{refused}");
    let refused = receipts(&proxied("listen = \"localhost:1\"")).unwrap_err();
    assert!(refused.contains("`listen` is \"localhost:1\": invalid socket address"), "{refused}");
    assert!(!refused.contains('\n'), "{refused}");
}

#[test]
fn a_list_of_leases_has_each_slot_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.json");
    let entry = "{\"board\": \"11111111111111111111111111111114\", \"slot\": 3, \"lease\": null}";
    std::fs::write(&path, format!("[{entry}]")).unwrap();
    assert_eq!(read_leases(&path).unwrap().machines.len(), 1);
    std::fs::write(&path, format!("[{entry}, {entry}]")).unwrap();
    assert!(read_leases(&path).unwrap_err().to_string().contains("slot 3 of a board twice"));
}

#[test]
fn a_lease_of_a_list_that_never_runs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leases.json");
    let key = "11111111111111111111111111111114";
    let refusal = |begins: u32, from: u32, until: u32, round_secs: u32| {
        let lease = json!({
            "serial": 5, "address": key, "buyer": key, "owner": key, "supplier": key, "mint": key,
            "cluster": "c1c1c1c1c1c1c1c1", "class": 4, "begins": begins, "from": from, "until": until,
            "round_secs": round_secs, "generation": 2, "meter": null
        });
        std::fs::write(&path, json!([{ "board": key, "slot": 3, "lease": lease }]).to_string()).unwrap();
        read_leases(&path).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refusal(7, 7, 9, 600), Ok(()));
    for (begins, from, until, round_secs, told) in [
        (7, 7, 9, 0, "`round_secs` is 0"),
        (7, 6, 9, 600, "`from` is 6, before `begins` (7)"),
        (7, 7, 7, 600, "`until` is 7, not after `from` (7)"),
    ] {
        let refused = refusal(begins, from, until, round_secs).unwrap_err();
        assert!(refused.contains("slot 3") && refused.contains(told), "{refused}");
    }
}
