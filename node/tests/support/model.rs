//! A language model of a few kilobytes in a GGUF file (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>):
//! llama's architecture, two layers, a vocabulary of bytes, and weights that mean nothing. At temperature 0 it says
//! printable characters, one token each, and never ends by itself.

use std::path::Path;

const WIDTH: u64 = 64;
const HIDDEN: u64 = 96;
const HEADS: u32 = 4;
const LAYERS: u32 = 2;
const CONTEXT: u32 = 2_048;
/// `<unk>`, `<s>`, `</s>`, and every byte.
const BYTES_FROM: u64 = 3;
const VOCABULARY: u64 = BYTES_FROM + 256;
const ALIGNMENT: usize = 32;

/// Writes the file.
pub fn write(path: &Path) {
    let mut tensors = vec![("token_embd.weight".to_owned(), vec![WIDTH, VOCABULARY])];
    for layer in 0..LAYERS {
        let mut add =
            |name: &str, shape: &[u64]| tensors.push((format!("blk.{layer}.{name}.weight"), shape.to_vec()));
        add("attn_norm", &[WIDTH]);
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            add(name, &[WIDTH, WIDTH]);
        }
        add("ffn_norm", &[WIDTH]);
        add("ffn_gate", &[WIDTH, HIDDEN]);
        add("ffn_up", &[WIDTH, HIDDEN]);
        add("ffn_down", &[HIDDEN, WIDTH]);
    }
    tensors.push(("output_norm.weight".to_owned(), vec![WIDTH]));
    tensors.push(("output.weight".to_owned(), vec![WIDTH, VOCABULARY]));

    let mut head = b"GGUF".to_vec();
    number(&mut head, 3);
    head.extend((tensors.len() as u64).to_le_bytes());
    let values = values();
    head.extend((values.len() as u64).to_le_bytes());
    for (key, value) in values {
        text(&mut head, key);
        head.extend(value);
    }
    let (mut data, mut random) = (Vec::new(), 1_u64);
    for (name, shape) in tensors {
        text(&mut head, &name);
        number(&mut head, shape.len() as u32);
        shape.iter().for_each(|size| head.extend(size.to_le_bytes()));
        number(&mut head, 0); // 32-bit floats
        head.extend((data.len() as u64).to_le_bytes());
        for index in 0..shape.iter().product() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let weight = match (name.as_str(), shape.len()) {
                (_, 1) => 1.0,
                ("output.weight", _) if !is_said(index / WIDTH) => 0.0,
                _ => (random >> 40) as f32 / (1 << 24) as f32 - 0.5,
            };
            data.extend(weight.to_le_bytes());
        }
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
    std::fs::write(path, [head, data].concat()).unwrap();
}

/// True for the tokens that the model says: the best of them has more than nothing.
fn is_said(token: u64) -> bool {
    token.checked_sub(BYTES_FROM).is_some_and(|byte| (0x20..0x7f).contains(&byte))
}

/// Keys, and values with their types.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    let whole = |value: u32| [4_u32.to_le_bytes(), value.to_le_bytes()].concat();
    let string = |value: &str| {
        let mut bytes = 8_u32.to_le_bytes().to_vec();
        text(&mut bytes, value);
        bytes
    };
    let list = |kind: u32, items: Vec<Vec<u8>>| {
        let mut bytes = [9_u32.to_le_bytes(), kind.to_le_bytes()].concat();
        bytes.extend((items.len() as u64).to_le_bytes());
        bytes.extend(items.concat());
        bytes
    };
    let mut names: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    names.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    let names = names.iter().map(|name| {
        let mut bytes = Vec::new();
        text(&mut bytes, name);
        bytes
    });
    // Unknown, control and byte tokens.
    let kinds = [2_i32, 3, 3].into_iter().chain([6; 256]).map(|kind| kind.to_le_bytes().to_vec());
    let scores = vec![0_f32.to_le_bytes().to_vec(); VOCABULARY as usize];
    vec![
        ("general.architecture", string("llama")),
        ("general.name", string("tiny")),
        ("llama.context_length", whole(CONTEXT)),
        ("llama.embedding_length", whole(WIDTH as u32)),
        ("llama.block_count", whole(LAYERS)),
        ("llama.feed_forward_length", whole(HIDDEN as u32)),
        ("llama.attention.head_count", whole(HEADS)),
        ("llama.rope.dimension_count", whole(WIDTH as u32 / HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", [6_u32.to_le_bytes(), 1e-5_f32.to_le_bytes()].concat()),
        ("tokenizer.ggml.model", string("llama")),
        ("tokenizer.ggml.tokens", list(8, names.collect())),
        ("tokenizer.ggml.scores", list(6, scores)),
        ("tokenizer.ggml.token_type", list(5, kinds.collect())),
        ("tokenizer.ggml.bos_token_id", whole(1)),
        ("tokenizer.ggml.eos_token_id", whole(2)),
        ("tokenizer.ggml.unknown_token_id", whole(0)),
    ]
}

fn number(bytes: &mut Vec<u8>, number: u32) {
    bytes.extend(number.to_le_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}
