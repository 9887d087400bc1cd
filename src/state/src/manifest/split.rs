/// One document of a YAML stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The line on which `text` begins, from 1.
    pub line: usize,
    /// The document, with its `---` line where it has one.
    pub text: &'a str,
}

/// The documents of a stream that hold more than comments, each to be parsed by itself so that a
/// broken one costs only itself.
///
/// `---` and `...` at the start of a line end a document wherever they stand, inside a scalar too
/// (YAML 1.2.2, 9.1.2), so that lines are enough to split by.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let (mut start, mut start_line) = (0, 1);
    let mut offset = 0;
    let mut lines = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let ends = marker(line, "...");
        if ends || marker(line, "---") {
            push(&mut documents, start_line, &text[start..offset]);
            (start, start_line) =
                if ends { (offset + line.len(), index + 2) } else { (offset, index + 1) };
        }
        offset += line.len();
        lines = index + 1;
    }
    push(&mut documents, start_line.min(lines.max(1)), &text[start..]);
    documents
}

fn marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker).is_some_and(|rest| {
        rest.is_empty() || rest.starts_with(|next: char| next.is_ascii_whitespace())
    })
}

fn push<'a>(documents: &mut Vec<Document<'a>>, line: usize, text: &'a str) {
    let empty = text.lines().all(|line| {
        let content = if marker(line, "---") { &line[3..] } else { line };
        let content = content.trim();
        content.is_empty() || content.starts_with('#') || line.starts_with('%')
    });
    if !empty {
        documents.push(Document { line, text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_lines() {
        let text = "# head\n---\na: 1\n---\n# nothing\n---\n\nb: 2\n...\nc: 3";
        let found: Vec<(usize, &str)> =
            documents(text).into_iter().map(|document| (document.line, document.text)).collect();
        assert_eq!(found, [(2, "---\na: 1\n"), (6, "---\n\nb: 2\n"), (10, "c: 3")]);
    }

    #[test]
    fn a_file_of_comments_holds_no_document() {
        assert_eq!(documents("# a\n\n---\n# b\n"), []);
        assert_eq!(documents(""), []);
    }
}
