//! What the kernel is given of an object file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget};

/// What the kernel is given of an object file: everything but the lines of the sources.
#[derive(Debug, PartialEq, Eq)]
pub struct Contents {
    /// Instructions and maps' definitions, by section.
    pub sections: BTreeMap<String, Vec<u8>>,
    /// Offset and symbol of every relocation, by section.
    pub relocations: BTreeMap<String, Vec<(u64, String)>>,
    /// The types, each as text.
    pub types: Vec<String>,
}

pub fn of(path: &Path) -> Contents {
    let data = fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut found =
        Contents { sections: BTreeMap::new(), relocations: BTreeMap::new(), types: Vec::new() };
    for section in file.sections() {
        let (name, bytes) = (section.name().unwrap().to_owned(), section.data().unwrap());
        if name == ".BTF" {
            found.types = super::btf::types(bytes);
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
