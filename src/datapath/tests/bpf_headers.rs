//! The BPF programs are the same whichever architecture's headers they are compiled with: they
//! read packets and maps, whose layouts the kernel gives alike everywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};

#[path = "bpf_headers/btf.rs"]
mod btf;
#[path = "../build/program.rs"]
mod program;

/// What the kernel is given of an object file: everything but the lines of the sources.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    /// Instructions and maps' definitions, by section.
    sections: BTreeMap<String, Vec<u8>>,
    /// Offset and symbol of every relocation, by section.
    relocations: BTreeMap<String, Vec<(u64, String)>>,
    /// The types, each as text.
    types: Vec<String>,
}

fn contents(path: &Path) -> Contents {
    let data = fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut found =
        Contents { sections: BTreeMap::new(), relocations: BTreeMap::new(), types: Vec::new() };
    for section in file.sections() {
        let (name, bytes) = (section.name().unwrap().to_owned(), section.data().unwrap());
        if name == ".BTF" {
            found.types = btf::types(bytes);
        }
        if !matches!(section.kind(), object::SectionKind::Text | object::SectionKind::Data) {
            continue;
        }
        let relocations = section.relocations().map(|(offset, relocation)| {
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("{name}+{offset}: no symbol")
            };
            (offset, file.symbol_by_index(symbol).unwrap().name().unwrap().to_owned())
        });
        found.relocations.insert(name.clone(), relocations.collect());
        found.sections.insert(name, bytes.to_vec());
    }
    found
}

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
        contents(&object)
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
