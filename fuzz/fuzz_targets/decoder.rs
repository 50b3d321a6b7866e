//! Shows made-up bytes to the decoder that `LONGSHORE_FUZZ_TARGET` names. One program for all, so that a new decoder is built with the
//! others.

#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore_fuzz::{Target, find};
use std::sync::OnceLock;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("LONGSHORE_FUZZ_TARGET").expect("LONGSHORE_FUZZ_TARGET names a target");
        find(&name).unwrap_or_else(|| panic!("there is no target {name}"))
    })
}

fuzz_target!(init: { target(); }, |bytes: &[u8]| {
    (target().run)(bytes);
});
