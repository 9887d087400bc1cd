use super::*;
use crate::repository::TextFile;
use crate::rust;

fn parsed(files: &[(&str, &str)]) -> Vec<RustFile> {
    let parse = |(path, text): &(&str, &str)| {
        rust::source(&TextFile { path: (*path).into(), text: (*text).into() }).unwrap()
    };
    files.iter().map(parse).collect()
}

#[test]
fn two_types_of_one_name_are_found_with_both_files() {
    for (first, second) in [
        ("pub struct A;", "pub enum A {}"),
        ("pub(crate) trait A {}", "pub(super) type A = u8;"),
        ("pub(in crate::x) union A { b: u8 }", "name!(/** A. */ Ab); pub struct A;"),
        ("pub mod x { pub struct A; } pub struct A;", ""),
        ("name!(Ab);", "pub struct Ab;"),
    ] {
        let found = twice(&parsed(&[("src/a/src/x.rs", first), ("tests/b/src/y.rs", second)]), &[]);
        assert_eq!(found.len(), 1, "{first} {second}: {found:?}");
        let other = if second.is_empty() { "(mod x)" } else { "tests/b/src/y.rs" };
        assert!(found[0].contains("src/a/src/x.rs") && found[0].contains(other), "{found:?}");
    }
}

#[test]
fn types_that_nobody_else_sees_and_other_items_may_share_a_name() {
    for (first, second) in [
        ("pub struct A;", "struct A;"),
        ("pub struct A;", "pub(self) struct A;"),
        ("pub struct A;", "pub fn A() {} pub const A: u8 = 0;"),
        ("pub struct A;", "impl B for C { type A = u8; } fn f() { struct A; }"),
        ("#[cfg(unix)] pub struct A; #[cfg(not(unix))] pub struct A;", ""),
        ("pub struct A;", "#[cfg(test)] pub struct A;"),
    ] {
        let files = parsed(&[("src/a/src/x.rs", first), ("src/b/src/y.rs", second)]);
        assert_eq!(twice(&files, &[]), Vec::<String>::new(), "{first} {second}");
    }
}

#[test]
fn an_exception_is_for_crates_that_each_have_one() {
    let (a, b, c) = (
        ("src/a/src/x.rs", "pub struct A;"),
        ("src/ab/src/x.rs", "pub struct A;"),
        ("src/c/src/x.rs", "pub struct A;"),
    );
    let allowed: [Twice<'_>; 1] = [(&["src/a", "src/ab"], &["A"], "why")];
    assert_eq!(twice(&parsed(&[a, b]), &allowed), Vec::<String>::new());
    assert_eq!(twice(&parsed(&[a, b, c]), &allowed).len(), 1, "a third has none");
    for files in [&[a, c] as &[_], &[a], &[]] {
        let found = twice(&parsed(files), &allowed);
        assert!(found.iter().any(|found| found.contains("the name from TWICE")), "{found:?}");
    }
}

fn back(path: &str, text: &str, allowed: &[(&str, &str, &str)]) -> Vec<String> {
    let old = ["Fabric", "KeptFile"].map(|old| OldName { old: old.into(), new: "New".into() });
    come_back(&parsed(&[(path, text)]), &old, allowed)
}

#[test]
fn an_old_name_is_found_as_a_type_or_a_module_of_any_reach() {
    for text in [
        "struct Fabric;",
        "pub trait Fabric {}",
        "type FABRIC = u8;",
        "mod fabric;",
        "mod outer { mod fabric {} }",
        "mod kept_file;",
        "enum KeptFile {}",
    ] {
        let found = back("src/a/src/x.rs", text, &[]);
        assert!(found.len() == 1 && found[0].contains("write `New`"), "{text}: {found:?}");
    }
    for text in [
        "struct FabricId; mod fabrics; fn fabric() {} const FABRIC: u8 = 0; struct Kept;",
        "#[cfg(test)] mod tests { struct Fabric; }",
        "fn f(fabric: u8) {}",
    ] {
        assert_eq!(back("src/a/src/x.rs", text, &[]), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn an_old_name_may_stand_where_an_exception_says_so() {
    let allowed = [("Fabric", "src/a/src/x.rs", "why")];
    assert_eq!(back("src/a/src/x.rs", "enum Fabric {}", &allowed), Vec::<String>::new());
    assert_eq!(back("src/a/src/y.rs", "enum Fabric {}", &allowed).len(), 2);
    let found = back("src/a/src/x.rs", "enum Other {}", &allowed);
    assert!(found.len() == 1 && found[0].contains("remove it from OLD"), "{found:?}");
}

#[test]
fn the_page_is_read_up_to_the_end_of_its_table() {
    let page = "# Glossary\n| Old name | New name | What it is |\n|---|---|---|\n| A | B | not it |\n\
                \n## Old names\n\nWhy.\n\n| Old name | New name | What it is |\n|---|---|---|\n\
                | `Fabric` | `Cloud` | who delivers |\n| sky | `Clouds` | all |\n\n| C | D | no |\n\
                ## More\n| E | F | no |\n";
    let rows = [("Fabric", "Cloud"), ("sky", "Clouds")];
    let rows = rows.map(|(old, new)| OldName { old: old.into(), new: new.into() });
    assert_eq!(old_names(page), Ok(rows.to_vec()));
}

#[test]
fn a_page_without_the_table_or_with_a_strange_row_is_refused() {
    let page = |heading: &str, header: &str, row: &str| {
        old_names(&format!("{heading}\n\n{header}\n|---|---|---|\n{row}\n"))
    };
    assert!(page(HEADING, HEADER, "| `A` | B | c |").is_ok());
    for (heading, header, row) in [
        ("## Names", HEADER, "| `A` | B | c |"),
        (HEADING, "| Old | New | What |", "| `A` | B | c |"),
        (HEADING, HEADER, ""),
        (HEADING, HEADER, "| `A` | B |"),
        (HEADING, HEADER, "| `A`, `B` | C | d |"),
        (HEADING, HEADER, "| | B | c |"),
    ] {
        assert!(page(heading, header, row).is_err(), "{heading} {header} {row}");
    }
}
