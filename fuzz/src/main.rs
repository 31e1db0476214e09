//! One libFuzzer program for all targets: `ROTUNDA_FUZZ_TARGET` names the target, `list` lists them all. See
//! `fuzz/run`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

type Target = fn(&[u8]);

fn targets() -> impl Iterator<Item = (&'static str, Target)> {
    let all = [
        rotunda_sfu::fuzzing::TARGETS,
        rotunda_proto::fuzzing::TARGETS,
        rotunda_signaling::fuzzing::TARGETS,
        rotunda_listen::fuzzing::TARGETS,
        rotunda_live::fuzzing::TARGETS,
        rotunda_media::fuzzing::TARGETS,
        rotunda_programs::fuzzing::TARGETS,
        rotunda_mcu::fuzzing::TARGETS,
        rotunda_device::fuzzing::TARGETS,
        rotunda_avatar::fuzzing::TARGETS,
    ];
    all.into_iter().flatten().copied()
}

static TARGET: OnceLock<Target> = OnceLock::new();

fn choose() {
    let name = std::env::var("ROTUNDA_FUZZ_TARGET").unwrap_or_default();
    match targets().find(|(known, _)| *known == name) {
        Some((_, target)) => {
            let _first = TARGET.set(target);
        }
        None => {
            for (name, _) in targets() {
                println!("{name}");
            }
            std::process::exit(if name == "list" { 0 } else { 2 });
        }
    }
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(data);
    }
});
