use super::*;
use crate::repository::TextFile;

fn parsed(files: &[(&str, &str)]) -> Vec<RustFile> {
    let parse = |(path, text): &(&str, &str)| {
        let path = format!("src/core/src/{path}");
        rust::source(&TextFile { path, text: (*text).into() }).unwrap()
    };
    files.iter().map(parse).collect()
}

/// The edges of a crate, a line each.
fn edges_of(files: &[(&str, &str)]) -> Vec<String> {
    let edges = edges(&parsed(files), "src/core");
    let all = edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    all.map(|(from, (to, names))| line(from, to, names).trim().to_owned()).collect()
}

/// The edges of `a.rs`, which is written so, to `b.rs` and `b/c.rs`.
fn of_a(text: &str) -> Vec<String> {
    let found = edges_of(&[
        ("lib.rs", "mod a; pub mod b; pub use b::B; #[macro_export] macro_rules! up { () => {} }"),
        ("a.rs", text),
        ("b.rs", "mod c; pub use c::{C, c as d}; pub use c::*; pub struct B; pub fn f() {}"),
        ("b/c.rs", "pub enum C { D } pub fn c() {} pub const E: u8 = 0; name!(MadeName);"),
    ]);
    found.into_iter().filter(|line| line.starts_with("a.rs")).collect()
}

#[test]
fn a_use_of_any_form_leads_to_the_defining_file() {
    for (text, to) in [
        ("use crate::b::B;", "b.rs: B"),
        ("use crate::b::{f, B as Other};", "b.rs: B, f"),
        ("use super::b::C;", "b/c.rs: C"),
        ("use crate::B;", "b.rs: B"),
        ("use crate::b::d;", "b/c.rs: c"),
        ("use crate::b::E;", "b/c.rs: E"),
        ("use crate::b::MadeName;", "b/c.rs: MadeName"),
        ("use crate::b::C::*;", "b/c.rs: C"),
        ("fn g() { use super::b::B; }", "b.rs: B"),
        ("pub use crate::b::B;", "b.rs: B"),
        ("use crate::b::C as _;", "b/c.rs: C"),
    ] {
        assert_eq!(of_a(text), [format!("a.rs -> {to}")], "{text}");
    }
}

#[test]
fn a_path_in_any_position_leads_to_the_defining_file() {
    for (text, to) in [
        ("fn g(x: crate::b::B) {}", "b.rs: B"),
        ("fn g() { super::b::f() }", "b.rs: f"),
        ("use super::b; fn g() { b::f() }", "b.rs: f"),
        ("use super::b::{self as x}; fn g() { x::f() }", "b.rs: f"),
        ("fn g() { match x { crate::b::C::D => {} } }", "b/c.rs: C"),
        ("fn g() { println!(\"{}\", crate::b::E) }", "b/c.rs: E"),
        ("use super::b::*; fn g() { f(E) }", "b.rs: f"),
        ("use super::b::*; type X = Vec<C>;", "b/c.rs: C"),
        ("impl super::b::B {}", "b.rs: B"),
        ("mod inner { fn g() { super::super::b::f() } }", "b.rs: f"),
        ("#[arg(value_parser = crate::b::f)] struct X;", "b.rs: f"),
        ("fn g() { crate::up!() }", "lib.rs: up"),
    ] {
        let found = of_a(text);
        assert!(found.contains(&format!("a.rs -> {to}")), "{text}: {found:?}");
    }
}

#[test]
fn what_uses_no_item_of_another_file_leads_nowhere() {
    for text in [
        "use super::b;",
        "use super::b::*;",
        "use std::collections::BTreeMap; fn g() -> BTreeMap<u8, serde::De> { BTreeMap::new() }",
        "use super::b::*; fn g(f: u8) -> u8 { f }",
        "struct C; fn g() { C; self::C; crate::a::C; }",
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "/// See [`crate::b::B`].\nstruct X;",
    ] {
        assert_eq!(of_a(text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn a_parent_that_declares_and_re_exports_leads_nowhere_and_one_that_uses_does() {
    let child = ("a.rs", "pub struct A; pub struct B;");
    let parent = |text| edges_of(&[("lib.rs", text), child]);
    assert_eq!(parent("mod a; pub use a::A; pub(crate) use a::*;"), Vec::<String>::new());
    assert_eq!(parent("mod a; pub use a::*; fn f(_: B) {}"), ["lib.rs -> a.rs: B"]);
    assert_eq!(parent("mod a; use a::A;"), ["lib.rs -> a.rs: A"]);
    assert_eq!(parent("mod a; pub mod b { pub use crate::a::A; }"), ["lib.rs -> a.rs: A"]);
}

#[test]
fn globs_of_each_other_and_macros_are_followed() {
    let globs = edges_of(&[
        ("lib.rs", "mod a; mod b; pub use a::*; pub use b::*; mod c;"),
        ("a.rs", "use super::B; pub struct A;"),
        ("b.rs", "use super::*; pub struct B; fn f(_: Option<u8>) {}"),
        ("c.rs", "use super::{A, B};"),
    ]);
    assert_eq!(globs, ["a.rs -> b.rs: B", "c.rs -> a.rs: A", "c.rs -> b.rs: B"]);
    let macros = edges_of(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "macro_rules! m { () => { crate::b::f() } } pub(super) use m;"),
        ("b.rs", "use super::a::m; pub fn f() { m!() }"),
    ]);
    assert_eq!(macros, ["a.rs -> b.rs: f", "b.rs -> a.rs: m"]);
}

#[test]
fn a_binary_beside_a_library_has_names_of_its_own() {
    let found = edges_of(&[
        ("lib.rs", "pub mod a;"),
        ("a.rs", "pub struct A;"),
        ("main.rs", "mod b; struct Main; use egret_core::a::A;"),
        ("b.rs", "use crate::Main; use crate::a::A;"),
    ]);
    assert_eq!(found, ["b.rs -> main.rs: Main"], "a of the library is not the binary's");
}

const CIRCLE: [(&str, &str); 4] = [
    ("lib.rs", "mod a; mod b; mod c; use a::A;"),
    ("a.rs", "use crate::b::B; pub struct A;"),
    ("b.rs", "use crate::c::C; pub struct B;"),
    ("c.rs", "use crate::a::A; pub struct C;"),
];

fn broken(files: &[(&str, &str)]) -> Vec<String> {
    let crates = [("egret-core".to_owned(), "src/core".to_owned())];
    violations(&parsed(files), &crates)
}

#[test]
fn a_circle_is_found_with_the_names_that_close_it() {
    let found = broken(&CIRCLE);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("egret-core: a circle of 3 files: "), "{found:?}");
    let lines = "    a.rs -> b.rs: B\n    b.rs -> c.rs: C\n    c.rs -> a.rs: A";
    assert!(found[0].ends_with(lines), "{found:?}");
    assert_eq!(broken(&CIRCLE[..3]), Vec::<String>::new(), "without c.rs none is closed");
}
