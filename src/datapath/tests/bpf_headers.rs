//! The BPF programs are the same whichever architecture's headers they are compiled with: they
//! read packets and maps, whose layouts the kernel gives alike everywhere.

#[cfg(test)]
#[path = "bpf_headers/btf.rs"]
mod btf;
#[cfg(test)]
#[path = "bpf_headers/contents.rs"]
mod contents;
#[path = "../build/program.rs"]
mod program;

#[test]
fn headers_of_two_architectures_give_the_same_programs() {
    let [x86, arm] = ["x86_64", "aarch64"].map(|architecture| {
        let folder = tempfile::tempdir().unwrap();
        let object = program::compile(architecture, folder.path()).unwrap_or_else(|error| {
            panic!(
                "{error}\n(the other architecture's headers: apt-get install \
                 linux-libc-dev-arm64-cross, or linux-libc-dev-amd64-cross on arm64)"
            )
        });
        contents::of(&object)
    });
    for section in ["classifier", ".maps"] {
        assert!(x86.sections.contains_key(section), "{:?}", x86.sections.keys());
    }
    assert!(x86.relocations.values().any(|section| !section.is_empty()));
    assert!(x86.types.iter().any(|text| text.contains("STRUCT address ")), "{:#?}", x86.types);
    assert_eq!(x86, arm);
}

#[test]
fn an_architecture_without_headers_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = program::compile("pdp11", folder.path()).unwrap_err();
    assert!(error.contains("pdp11") && error.contains("linux-libc-dev"), "{error}");
}
