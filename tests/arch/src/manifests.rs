//! Rules of the `Cargo.toml`s: one place for versions and lints.

/// What breaks them in one member's manifest, one sentence each.
#[must_use]
pub fn violations(name: &str, manifest: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !sections(manifest)
        .any(|(section, line)| section == "lints" && squeezed(line) == "workspace=true")
    {
        found.push(format!("{name}: write `[lints]` and `workspace = true` under it"));
    }
    for (section, line) in sections(manifest) {
        if is_dependencies(section) && !inherits(line) {
            found.push(format!(
                "{name}: `{line}` names its own version: write the version under \
                 [workspace.dependencies] and `workspace = true` here"
            ));
        }
        // [dependencies.x] and the like
        if let Some(at) = section.find("dependencies.") {
            found.push(format!(
                "{name}: [{section}]: write `{} = {{ workspace = true, … }}` in one line",
                &section[at + "dependencies.".len()..]
            ));
        }
    }
    found.dedup();
    found
}

/// Every line that says something, with the section that it stands in.
fn sections(manifest: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut section = "";
    let lines = manifest.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(move |line| {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => {
                section = name;
                None
            }
            None => Some((section, line)),
        }
    })
}

fn is_dependencies(section: &str) -> bool {
    section.rsplit('.').next().is_some_and(|last| last.ends_with("dependencies"))
}

fn inherits(line: &str) -> bool {
    let line = squeezed(line);
    line.split('=').next().is_some_and(|key| key.ends_with(".workspace"))
        || line.contains("workspace=true")
}

fn squeezed(line: &str) -> String {
    line.chars().filter(|letter| !letter.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_inherits_everything_passes_and_each_deviation_is_found() {
        let good = "[lints]\nworkspace = true\n[dependencies]\nserde.workspace = true\n\
                    [target.'cfg(unix)'.dependencies]\n\
                    nix = { workspace = true, features = [\"fs\"] }\n";
        assert_eq!(violations("a", good), Vec::<String>::new());
        for bad in [
            good.replace("[lints]", "[badges]"),
            good.replace("serde.workspace = true", "serde = \"1\""),
            good.replace("{ workspace = true,", "{ version = \"1\","),
            format!("{good}[dev-dependencies.rand]\nversion = \"1\"\n"),
        ] {
            assert_eq!(violations("a", &bad).len(), 1, "{bad}\n{:?}", violations("a", &bad));
        }
    }
}
