use super::*;
use crate::repository::TextFile;
use crate::rust;

/// What is found where `src/a/src/x.rs` holds `text`, and the file `path` holds `other`.
fn found(text: &str, path: &str, other: &str, allowed: &[(&str, &str, &str)]) -> Vec<String> {
    let file = |path: &str, text: &str| TextFile { path: path.into(), text: text.into() };
    let files = [file("src/a/src/x.rs", text), file(path, other)];
    violations(&rust::sources(&files).unwrap(), allowed)
}

fn unused_in(text: &str, other: &str) -> Vec<String> {
    found(text, "providers/b/src/y.rs", other, &[])
}

#[test]
fn an_item_that_nobody_uses_is_found_with_its_file() {
    for (kind, text) in [
        ("fn one", "pub fn one() {}"),
        ("struct One", "pub(crate) struct One;"),
        ("enum One", "pub(super) enum One { Two }"),
        ("trait One", "pub trait One { fn two(&self); }"),
        ("type One", "pub type One = u8;"),
        ("const ONE", "pub const ONE: u8 = 0;"),
        ("static ONE", "pub static ONE: u8 = 0;"),
        ("macro one", "macro_rules! one { () => {} } pub(super) use one;"),
        ("fn One::two", "struct One; impl One { pub fn two(&self) {} }"),
        ("const One::TWO", "struct One; impl One { pub const TWO: u8 = 0; }"),
        ("fn one", "mod inner { pub fn one() {} }"),
    ] {
        let found = unused_in(text, "");
        let start = format!("src/a/src/x.rs: nobody uses {kind}: ");
        assert!(found.len() == 1 && found[0].starts_with(&start), "{text}: {found:?}");
    }
}

#[test]
fn what_is_no_use_does_not_count() {
    for (text, other) in [
        ("pub fn one() { one() }", "use a::one; pub(crate) use a::one as two;"),
        ("pub fn one() {}", "/// Calls [`one`].\nfn two() { /* one() */ }"),
        ("pub fn one() {}", "#[cfg(test)] mod tests { fn two() { one() } }"),
        ("pub fn one() {}", "#[test] fn two() { one() }"),
        ("pub fn one() {}", "fn two(one: u8) -> u8 { one }"),
        ("pub fn one() {}", "struct Two { one: u8 } fn two(x: Two) -> u8 { x.one }"),
        ("pub fn one() {}", "struct Two; impl Three for Two { fn one() {} }"),
        ("pub struct One; impl One { fn new() -> One { One } }", ""),
        ("pub struct One; impl Default for One { fn default() -> Self { One } }", ""),
        ("pub struct One(Option<Box<One>>);", ""),
    ] {
        assert_eq!(unused_in(text, other).len(), 1, "{text} {other}");
    }
    for path in ["src/a/tests/y.rs", "src/a/src/testing.rs", "tests/b/src/y.rs"] {
        assert_eq!(found("pub fn one() {}", path, "fn two() { one() }", &[]).len(), 1, "{path}");
    }
}

#[test]
fn what_is_used_anywhere_else_passes() {
    for (text, other) in [
        ("pub fn one() {}", "fn two() { a::one() }"),
        ("pub fn one() {}", "fn two() { let one = one(); }"),
        ("pub fn one() {}", "fn two(x: Vec<u8>) { x.iter().map(one); }"),
        ("pub fn one() {} fn two() { one() }", ""),
        ("struct One; impl One { pub fn two(&self) {} }", "fn f(x: One) { x.two() }"),
        ("struct One; impl One { pub fn two() {} fn three() { Self::two() } }", ""),
        ("pub struct One;", "fn two() -> Option<One> { None }"),
        ("pub const ONE: u8 = 0;", "fn two() { println!(\"{ONE}\") }"),
        ("pub const ONE: u8 = 0;", "fn two() { match 0 { ONE => {} _ => {} } }"),
        ("pub fn one() {}", "struct Two { #[serde(default = \"one\")] x: u8 }"),
        ("macro_rules! one { () => {} } pub(super) use one;", "fn two() { one!() }"),
        ("pub trait One {}", "impl One for u8 {}"),
        ("fn one() {} struct Two; impl Three for Two { fn four() {} }", ""),
    ] {
        assert_eq!(unused_in(text, other), Vec::<String>::new(), "{text} {other}");
    }
    let build = found("pub fn one() {}", "src/b/build.rs", "fn main() { x::one() }", &[]);
    assert_eq!(build, Vec::<String>::new());
}

#[test]
fn an_exception_is_for_what_is_still_unused() {
    let text = "pub fn one() {} pub struct Two; impl Two { pub fn three() {} }";
    let none: [&str; 0] = [];
    let with = |allowed: &[(&str, &str, &str)]| found(text, "src/b/src/y.rs", "", allowed);
    assert_eq!(with(&[("src/a/", "*", "why")]), none);
    let each = ["one", "Two", "Two::three"].map(|name| ("src/a/src/x.rs", name, "why"));
    assert_eq!(with(&each), none);
    assert_eq!(with(&each[1..]).len(), 1);
    let stale = with(&[("src/a/", "*", "why"), ("src/b/", "four", "why")]);
    assert!(stale.len() == 1 && stale[0].contains("remove it from UNUSED"), "{stale:?}");
}
