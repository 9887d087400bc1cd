/// The line of `text`, from 1, on which the field of a path such as `spec.ports.perNode` or
/// `spec.addresses[1]` stands; 1 where it is not found.
///
/// Values are checked after parsing, when positions are gone: so the keys of the path are looked
/// for one after the other. `value` narrows it to the first line after them that has it.
pub fn line_of(text: &str, path: &str, value: Option<&str>) -> usize {
    let keys: Vec<&str> = path
        .split('.')
        .map(|key| key.split('[').next().unwrap_or(key))
        .filter(|key| !key.is_empty() && key.parse::<usize>().is_err())
        .collect();
    let lines: Vec<&str> = text.lines().map(without_comment).collect();
    let mut found = 0;
    let mut from = 0;
    let mut wanted = keys.iter().peekable();
    let mut index = 0;
    while index < lines.len() {
        let Some(key) = wanted.peek() else { break };
        match key_position(&lines[index][from.min(lines[index].len())..], key) {
            Some(position) => {
                found = index;
                from += position + key.len();
                wanted.next();
            }
            None => {
                index += 1;
                from = 0;
            }
        }
    }
    let value_line =
        value.filter(|value| !value.is_empty() && !value.contains('\n')).and_then(|value| {
            lines.iter().enumerate().skip(found).find(|(_, line)| line.contains(value))
        });
    value_line.map_or(found, |(line, _)| line) + 1
}

fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with('#') {
        return "";
    }
    line.find(" #").map_or(line, |start| &line[..start])
}

/// Where `key` stands as a key: followed by a colon and not part of a longer word.
fn key_position(line: &str, key: &str) -> Option<usize> {
    line.match_indices(key).map(|(position, _)| position).find(|position| {
        let before = line[..*position].chars().next_back();
        let after = line[position + key.len()..].trim_start_matches(['"', '\'']);
        let begins = before.is_none_or(|before| !before.is_alphanumeric() && before != '-');
        begins && after.trim_start().starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kind: EgressPool
metadata: {name: ports}
spec:
  # ports: a comment
  gateways:
    nodeSelector: {}
  ports: {perNode: 1000}
  addresses:
  - 203.0.113.16/29
  - 203.0.113.300
";

    #[test]
    fn fields_are_found_in_both_styles() {
        assert_eq!(line_of(TEXT, "spec.ports.perNode", None), 7);
        assert_eq!(line_of(TEXT, "spec.gateways.nodeSelector", None), 6);
        assert_eq!(line_of(TEXT, "metadata.name", None), 2);
        assert_eq!(line_of(TEXT, "spec.addresses[1]", Some("203.0.113.300")), 10);
        assert_eq!(line_of(TEXT, "spec.addresses[1]", None), 8);
        assert_eq!(
            line_of("{\"spec\": {\n\"ports\": {\n\"perNode\": 3}}}", "spec.ports.perNode", None),
            3
        );
    }

    #[test]
    fn what_is_not_there_is_at_its_nearest_parent() {
        assert_eq!(line_of(TEXT, "spec.failover.lease", None), 3);
        assert_eq!(line_of(TEXT, "status", None), 1);
        assert_eq!(line_of("", "spec", None), 1);
    }
}
