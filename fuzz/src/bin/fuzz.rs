//! The targets under libFuzzer: `LEASEHOLD_FUZZ_TARGET=rules fuzz [OPTIONS] FOLDERS`. `cargo xtask fuzz` calls it.

#![no_main]

use std::sync::OnceLock;

use leasehold_fuzz::{Target, target};
use libfuzzer_sys::fuzz_target;

/// The target that the environment names.
fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("LEASEHOLD_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("LEASEHOLD_FUZZ_TARGET: no target \"{name}\""))
    })
}

fuzz_target!(|data: &[u8]| (chosen().run)(data));
