//! Every word in CamelCase that the code spells out: kinds, conditions, reasons of events and
//! conditions, columns. Other programs read most of them, so that no renaming may change one
//! unnoticed. `golden/spelling.txt` has them; where one comes or goes on purpose:
//! `EGRET_UPDATE=1 cargo test -p egret-arch --test spelling`, and read the diff.

use std::collections::BTreeSet;

use egret_arch::repository::{TextFile, files, root};

/// Of the code that is no test, without its comments.
fn words(file: &TextFile) -> BTreeSet<&str> {
    let code = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut words = BTreeSet::new();
    for line in lines {
        // Between two quotes is either a literal or what is between two of them, never a word.
        let parts: Vec<&str> = line.split('"').collect();
        let inner = parts.iter().enumerate().skip(1).take(parts.len().saturating_sub(2));
        words.extend(
            inner
                .filter(|(at, part)| {
                    // The name of a type, for Debug.
                    is_word(part) && !parts[at - 1].ends_with("debug_struct(")
                })
                .map(|(_, part)| *part),
        );
    }
    words
}

fn is_word(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && letters.next().is_some_and(|second| second.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_alphabetic())
}

/// The daemons' and commands' own sources. A provider's words are those of its cloud.
fn is_code(file: &TextFile) -> bool {
    let path = file.path.as_str();
    let test = ["/tests/", "/tests.rs", "/testing", "/contract"];
    let own = path.strip_prefix("src/").and_then(|path| path.split_once('/'));
    own.is_some_and(|(_, path)| path.starts_with("src/"))
        && path.ends_with(".rs")
        && !test.iter().any(|part| path.contains(part))
}

#[test]
fn words_are_spelled_as_they_were() {
    let files = files();
    let words: BTreeSet<&str> = files.iter().filter(|file| is_code(file)).flat_map(words).collect();
    let fresh: String = words.iter().map(|word| format!("{word}\n")).collect();
    let path = root().join("tests/arch/tests/golden/spelling.txt");
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(fresh, golden, "EGRET_UPDATE=1 cargo test -p egret-arch --test spelling");
}
