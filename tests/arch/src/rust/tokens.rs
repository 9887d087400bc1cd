//! Paths in tokens that nobody parsed: macros' arguments and attributes.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path, as far as tokens show it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: Vec<String>,
    /// Follows a dot, or a path that ended.
    pub(super) of_value: bool,
    /// Brackets or `!` follow.
    pub(super) called: bool,
}

/// Keys of attributes whose value is a path in quotes.
const QUOTED: [&str; 9] = [
    "default",
    "deserialize_with",
    "from",
    "into",
    "remote",
    "schema_with",
    "serialize_with",
    "skip_serializing_if",
    "try_from",
];

/// What may stand before a name that is defined there, and what is no name.
const DEFINING: [&str; 9] =
    ["fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod"];
const KEYWORDS: [&str; 24] = [
    "as", "async", "await", "break", "continue", "dyn", "else", "false", "for", "if", "impl", "in",
    "let", "loop", "match", "move", "mut", "pub", "ref", "return", "true", "use", "where", "while",
];

/// The paths of a macro's arguments.
pub(super) fn in_macro(tokens: &TokenStream) -> Vec<Found> {
    let mut found = Vec::new();
    scan(tokens, false, &mut found);
    found
}

/// The paths of an attribute's arguments.
pub(super) fn in_attribute(tokens: &TokenStream) -> Vec<Found> {
    let mut found = Vec::new();
    scan(tokens, true, &mut found);
    found
}

fn scan(tokens: &TokenStream, attribute: bool, found: &mut Vec<Found>) {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => scan(&group.stream(), attribute, found),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                match attribute {
                    true => found.extend(quoted(&tokens[..at], &text)),
                    false => found.extend(captured(&text)),
                }
            }
            TokenTree::Ident(_) => {
                let path = path(&tokens[at..]);
                let end = at + 3 * path.len() - 2;
                found.extend(mention(&tokens, at, end, path));
                at = end;
                continue;
            }
            TokenTree::Punct(_) => {}
        }
        at += 1;
    }
}

/// The names at the start of `tokens`, as far as `::` joins them.
fn path(tokens: &[TokenTree]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        names.push(name.to_string());
        if !(is_punct(tokens.get(at + 1), ':') && is_punct(tokens.get(at + 2), ':')) {
            break;
        }
        at += 3;
    }
    names
}

/// The path that stands from `at` to before `end`, where it is the use of something.
fn mention(tokens: &[TokenTree], at: usize, end: usize, path: Vec<String>) -> Option<Found> {
    let before = |back: usize| at.checked_sub(back).and_then(|at| tokens.get(at));
    let after = |on: usize| tokens.get(end - 1 + on);
    let parenthesis = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    let called = parenthesis(after(1)) || is_punct(after(1), '!');
    // A lifetime; a macro's variable but `$crate`; a variable's kind (`$name:ident`).
    let variable = is_punct(before(1), '$') && path[0] != "crate";
    let of_variable = is_punct(before(1), ':') && is_punct(before(3), '$');
    if is_punct(before(1), '\'') || variable || of_variable {
        return None;
    }
    let after_dot = is_punct(before(1), '.') && !is_punct(before(2), '.');
    let after_path = is_punct(before(1), ':') && is_punct(before(2), ':');
    if after_dot && !called && !is_punct(after(1), ':') {
        return None;
    }
    if path.len() == 1 {
        let name = path[0].as_str();
        let defined = matches!(before(1), Some(TokenTree::Ident(word))
            if DEFINING.contains(&word.to_string().as_str()));
        // `name: value` and `name = value`, but neither `name == value` nor `name => value`.
        let no_key = [':', '=', '>'].iter().any(|letter| is_punct(after(2), *letter));
        let is_key = !no_key && (is_punct(after(1), ':') || is_punct(after(1), '='));
        let keyword = DEFINING.contains(&name) || KEYWORDS.contains(&name);
        if defined || is_key || keyword {
            return None;
        }
    }
    Some(Found { path, of_value: after_dot || after_path, called })
}

fn is_punct(token: Option<&TokenTree>, letter: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == letter)
}

/// `with = "path"` of an attribute.
fn quoted(before: &[TokenTree], literal: &str) -> Option<Found> {
    let [.., TokenTree::Ident(key), TokenTree::Punct(equals)] = before else { return None };
    let key = key.to_string();
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    let mut path: Vec<String> = text.split("::").map(str::to_owned).collect();
    if equals.as_char() != '=' || !path.iter().all(|name| is_name(name)) {
        return None;
    }
    if key == "with" {
        // A module, of which both functions are meant.
        path.push("serialize".to_owned());
    }
    (key == "with" || QUOTED.contains(&key.as_str())).then_some(Found {
        path,
        of_value: false,
        called: true,
    })
}

/// The constants that a format captures: `{NAME}`.
fn captured(literal: &str) -> Vec<Found> {
    let pieces = literal.split('{').skip(1);
    let names = pieces.map(|piece| {
        piece.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap_or("")
    });
    let names = names.filter(|name| name.starts_with(char::is_uppercase));
    names
        .map(|name| Found { path: vec![name.to_owned()], of_value: false, called: false })
        .collect()
}
