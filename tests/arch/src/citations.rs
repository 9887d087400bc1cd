//! Rules of what files say of each other: a page that is named is there, and a numbered rule or
//! decision says of which page.
//!
//! A page is named by a path ending in `.md`, from the folder of the file that names it or from the
//! repository's root. No page: an address with a scheme, a pattern (`*.md`, `{name}.md`, `$X.md`),
//! and in Rust and C what is neither in a comment nor in quotes and has no folder, since there it
//! may be a field or a method.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::TextFile;

const ENDING: &str = ".md";

/// What is numbered in pages: rule 9 of docs/leases.md stands under a heading `Rule 9: …`.
const NUMBERED: [&str; 2] = ["rule", "decision"];

/// Pages that are named and not there.
#[must_use]
pub fn missing_pages(files: &[TextFile]) -> Vec<String> {
    let there = pages(files);
    let mut found = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for name in named_pages(is_code(&file.path), line) {
                if resolve(&file.path, name).iter().all(|page| !there.contains_key(page.as_str())) {
                    found.push(format!(
                        "{}:{}: names {name}, which is there neither from this file's folder nor \
                         from the root",
                        file.path,
                        number + 1
                    ));
                }
            }
        }
    }
    found
}

/// Numbers of rules and decisions without their page: none of those that the file names above, or
/// in the same comment or paragraph, has a heading of that number.
#[must_use]
pub fn numbers_without_page(files: &[TextFile]) -> Vec<String> {
    let there = pages(files);
    let mut found = Vec::new();
    for file in files {
        let lines: Vec<&str> = file.text.lines().collect();
        for (line, word, number) in numbers(&lines) {
            let above = &lines[..=block_end(&lines, line, is_code(&file.path))];
            let heading = format!("{word} {number}:");
            let has = |page: &str| there.get(page).is_some_and(|text| has_heading(text, &heading));
            let is_page = has(&file.path);
            let named = above.iter().flat_map(|line| named_pages(is_code(&file.path), line));
            let mut named = named.flat_map(|name| resolve(&file.path, name));
            if !is_page && !named.any(|page| has(&page)) {
                found.push(format!(
                    "{}:{}: {word} {number} of which page? None that is named up to here has it",
                    file.path,
                    line + 1
                ));
            }
        }
    }
    found
}

fn pages(files: &[TextFile]) -> BTreeMap<&str, &str> {
    let pages = files.iter().filter(|file| file.path.ends_with(ENDING));
    pages.map(|file| (file.path.as_str(), file.text.as_str())).collect()
}

fn is_code(path: &str) -> bool {
    [".rs", ".c", ".h"].iter().any(|ending| path.ends_with(ending))
}

/// The paths of pages in a line.
fn named_pages(code: bool, line: &str) -> impl Iterator<Item = &str> {
    line.match_indices(ENDING).filter_map(move |(dot, _)| {
        let (before, after) = (&line[..dot], &line[dot + ENDING.len()..]);
        let start = before
            .rfind(|letter| !is_of_path(letter))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let name = &line[start..dot + ENDING.len()];
        let is_page = before.ends_with(|letter: char| letter.is_ascii_alphanumeric())
            && ends_here(after)
            && !before[..start].ends_with(['*', '}', '$', '%', '~'])
            && !is_address(&before[..start], name)
            && (!code || name.contains('/') || is_said(&before[..start]));
        is_page.then_some(name)
    })
}

fn is_of_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.' | '/')
}

/// Whether the name ends with what came before: `.mdx`, `.md()` and `.md.len` are something else.
fn ends_here(after: &str) -> bool {
    let mut letters = after.chars();
    match letters.next() {
        Some('.') => !letters.next().is_some_and(is_of_path),
        Some('(' | '/') => false,
        Some(letter) => !is_of_path(letter),
        None => true,
    }
}

fn is_address(before: &str, name: &str) -> bool {
    let word =
        before.rsplit(|letter: char| letter.is_whitespace() || "\"'`()<>[]".contains(letter));
    let begun = word.map(str::to_owned).next().unwrap_or_default();
    format!("{begun}{name}").contains("://")
}

/// Whether what follows stands in a comment or in quotes.
fn is_said(before: &str) -> bool {
    is_comment(before) || before.contains("//") || before.matches('"').count() % 2 == 1
}

fn is_comment(line: &str) -> bool {
    ["//", "/*", "*", "#"].iter().any(|mark| line.trim_start().starts_with(mark))
}

/// The files that `name` may mean in the file `citing`.
fn resolve(citing: &str, name: &str) -> BTreeSet<String> {
    let folder = citing.rsplit_once('/').map_or("", |(folder, _)| folder);
    // Behind a folder that is put before it elsewhere, such as a crate's own.
    let rooted = name.strip_prefix('/').map(|rest| rest.trim_start_matches("../"));
    let from = |folder| normal(folder, rooted.unwrap_or(name));
    [from(folder), from("")].into_iter().flatten().collect()
}

/// `None` for what leads out of the repository.
fn normal(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Every number of a rule or decision, with the line (from 0) where it stands and its kind.
fn numbers(lines: &[&str]) -> Vec<(usize, &'static str, u32)> {
    let mut words = Vec::new();
    for (line, text) in lines.iter().enumerate() {
        let bare = text.trim_start().trim_start_matches(['/', '!', '#', '*']);
        words.extend(bare.split_whitespace().map(|word| (line, word)));
    }
    let mut found = Vec::new();
    for (at, (_, word)) in words.iter().enumerate() {
        let Some((kind, plural)) = kind(word) else { continue };
        for (line, word) in &words[at + 1..] {
            let (these, more) = listed(word);
            found.extend(these.into_iter().map(|number| (*line, kind, number)));
            if !more || !plural {
                break;
            }
        }
    }
    found
}

/// `rule`, `(Rules`, … and whether several follow.
fn kind(word: &str) -> Option<(&'static str, bool)> {
    let word = word.trim_start_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
    let is = |kind: &&&str| word.strip_prefix(**kind).is_some_and(|rest| ["", "s"].contains(&rest));
    NUMBERED.iter().find(is).map(|kind| (*kind, word.ends_with('s')))
}

/// The numbers of one word of a list (`9`, `9,`, `12–17)`), and whether the list may go on.
fn listed(word: &str) -> (Vec<u32>, bool) {
    if ["and", "or", "to"].contains(&word) {
        return (Vec::new(), true);
    }
    let digits = word.trim_end_matches(|letter: char| !letter.is_alphanumeric());
    let numbers: Option<Vec<u32>> =
        digits.split(['–', '-']).map(|number| number.parse().ok()).collect();
    let numbers = numbers.unwrap_or_default();
    let more = !numbers.is_empty() && matches!(&word[digits.len()..], "" | ",");
    (numbers, more)
}

/// The last line of the comment or paragraph that `line` stands in.
fn block_end(lines: &[&str], line: usize, code: bool) -> usize {
    let goes_on = |line: &&&str| match code {
        true => is_comment(line),
        false => !line.trim().is_empty(),
    };
    line + lines[line + 1..].iter().take_while(goes_on).count()
}

fn has_heading(page: &str, heading: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut titles = headings.map(|line| line.trim_start_matches('#').trim_start().to_lowercase());
    titles.any(|title| title.starts_with(heading))
}

#[cfg(test)]
mod tests;
