//! Their numbers are those of docs/leases.md and docs/design.md, so that these texts pass too.

use super::*;

fn file(path: &str, text: impl Into<String>) -> TextFile {
    TextFile { path: path.into(), text: text.into() }
}

/// The name of a page: written so, this file names none.
fn page(stem: &str) -> String {
    format!("{stem}{ENDING}")
}

/// Whether `line` of the file `path` names a page that is not there.
fn misses(path: &str, line: &str) -> bool {
    let there = [page("docs/leases"), page("README"), page("src/aws/README")];
    let mut files: Vec<TextFile> = there.iter().map(|path| file(path, "")).collect();
    files.push(file(path, line));
    !missing_pages(&files).is_empty()
}

#[test]
fn a_page_that_is_not_there_is_found_with_its_line() {
    let text = format!("//! First.\n//! See {}.\n", page("docs/lease"));
    let found = missing_pages(&[file("src/a.rs", text)]);
    assert!(found.len() == 1 && found[0].starts_with("src/a.rs:2: names docs/lease"), "{found:?}");
    let absent = page("DESIGN");
    for (path, line) in [
        ("src/a.rs", format!("/// As {absent} section 4 says.")),
        ("src/a.rs", format!("fn a() {{}} // {absent}")),
        ("src/a.rs", format!("const PAGE: &str = \"{absent}\";")),
        ("src/a.c", format!(" * of {absent}")),
        ("a.py", format!("\"\"\"{absent} lists them.\"\"\"")),
        ("Makefile", format!("# {absent}: why")),
        ("terraform/a.tf", format!("# ({absent}, no_block)")),
        (&page("docs/a"), format!("[the design]({absent}#leases)")),
        (&page("docs/a"), format!("[{absent}](https://example.com)")),
        (&page("docs/a"), format!("§{absent}")),
    ] {
        assert!(misses(path, &line), "{path}: {line}");
    }
}

#[test]
fn a_page_is_looked_for_from_the_file_and_from_the_root() {
    for (path, name) in [
        ("src/core/a.rs", "docs/leases"),
        ("src/aws/a.rs", "./README"),
        ("src/aws/b/c.rs", "../README"),
        ("src/egret/src/a.rs", "/../../docs/leases"),
        ("README", "docs/leases"),
        ("docs/architecture", "leases"),
    ] {
        assert!(!misses(path, &format!("// see {}", page(name))), "{path}: {name}");
    }
    for (path, name) in [("src/core/a.rs", "leases"), ("docs/a.rs", "../../README")] {
        assert!(misses(path, &format!("// see {}", page(name))), "{path}: {name}");
    }
}

#[test]
fn what_is_no_page_of_the_repository_is_left_alone() {
    let name = page("absent");
    for line in [
        format!("// https://example.com/a/{name}"),
        format!("// <http://example.com:80/a?b={name}>"),
        format!("let a = {name};"),
        format!("let a = self.{name}.len();"),
        format!("let a = {name}(\"x\");"),
        format!("// calls {name}()"),
        format!("// {name}x or {name}_5 or {name}.tmpl or {name}/a"),
        format!("if path.ends_with(\"{ENDING}\") {{}}"),
        format!("// every *{ENDING} and docs/*{ENDING}"),
        format!("format!(\"{{stem}}{ENDING}\")"),
        format!("cat $PAGE{ENDING}"),
    ] {
        assert!(!misses("src/a.rs", &line), "{line}");
    }
}

/// What is found in `text` where a page has rules 1, 9 and 13, and another a decision 4.
fn without_page(path: &str, text: &str) -> Vec<String> {
    let rules = "# Leases\n\n### Rule 1: one\n### Rule 9: no majority\n### Rule 13: silence\n";
    numbers_without_page(&[
        file(&page("docs/leases"), rules),
        file(&page("docs/design"), "## Decision 4: a hop\n"),
        file(path, text),
    ])
}

#[test]
fn a_bare_number_is_found_with_its_line() {
    let found = without_page("src/a.rs", "//! Asks.\n\n/// Pauses (rule 9).\n");
    assert!(found.len() == 1 && found[0].starts_with("src/a.rs:3: rule 9 "), "{found:?}");
    let (leases, design) = (page("docs/leases"), page("docs/design"));
    for (count, text) in [
        (1, "// Rule\n// 9 wants it.".to_owned()),
        (3, "// Rules 1, 9 and 13.".to_owned()),
        (2, "// (rules 1–9)".to_owned()),
        (1, "// decision 4".to_owned()),
        // Of another page, of another number, named too late.
        (1, format!("// {design} rule 9")),
        (1, format!("// {leases} rule 10")),
        (1, format!("// {leases} rules 1 to 14")),
        (1, format!("// rule 9\nfn a() {{}}\n// {leases}")),
    ] {
        let found = without_page("src/a.rs", &text);
        assert_eq!(found.len(), count, "{text}: {found:?}");
    }
}

#[test]
fn a_number_with_its_page_passes() {
    let (leases, design) = (page("docs/leases"), page("docs/design"));
    for text in [
        format!("// {leases} rule 9"),
        format!("// Pauses ({leases},\n// rules 1, 9\n// and 13)."),
        format!("//! {leases} has the rules.\nfn a() {{}}\n/// Rule 9.\n"),
        format!("// Rule 9 of\n// {leases}."),
        format!("// {design} decision 4, {leases} rule 1"),
        "// Add rule 0x9, rule: 9, rulers 9, RFC 8200 section 4.".to_owned(),
    ] {
        assert_eq!(without_page("src/a.rs", &text), Vec::<String>::new(), "{text}");
    }
    assert!(
        without_page(&page("docs/other"), &format!("[x]({})\nrule 9", page("leases"))).is_empty()
    );
}
