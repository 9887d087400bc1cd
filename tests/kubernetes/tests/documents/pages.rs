//! The commands of the pages.

use egret_kubernetes::repository;

/// Where a command can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Over a store: the binary's commands for people.
    Store,
    /// On an API server.
    Cluster,
    /// On a host: daemons, and what looks at its kernel.
    Host,
    /// Goals of `make`.
    Make,
    /// Nowhere here.
    Elsewhere,
}

/// One command of one page.
#[derive(Debug)]
pub struct Command {
    pub page: String,
    /// The number of its fenced block on all pages; `None` between sentences.
    pub block: Option<usize>,
    pub line: String,
    pub place: Place,
}

/// Programs whose names begin a command.
const PROGRAMS: [&str; 9] =
    ["egret", "kubectl", "helm", "make", "cargo", "git", "terraform", "docker", "ctr"];
/// On these hosts a person types the binary's commands as on any other.
const OF_A_HOST: [&str; 6] = [
    "egret init",
    "egret standalone",
    "egret explain --live",
    "egret teardown",
    "egret agent",
    "egret controller",
];

/// All of them, in order.
pub fn commands() -> Vec<Command> {
    let mut paths = vec![repository().join("README.md")];
    let docs = std::fs::read_dir(repository().join("docs")).unwrap();
    paths.extend(docs.map(|entry| entry.unwrap().path()));
    paths.retain(|path| path.extension().is_some_and(|end| end == "md"));
    paths.sort();
    let (mut all, mut blocks) = (Vec::new(), 0);
    for path in paths {
        let page = path.strip_prefix(repository()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        // A block between tags of HTML is what a program prints.
        let (mut fenced, mut printed) = (false, false);
        for line in text.lines() {
            printed = (printed || line.starts_with("<details>")) && !line.starts_with("</details>");
            if line.starts_with("```") {
                (fenced, blocks) = (!fenced, blocks + usize::from(!fenced));
            } else if fenced && !printed {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let line = line.split("  #").next().unwrap().trim_end();
                all.extend(command(&page, Some(blocks), line));
            } else if !printed {
                let spans = line.split('`').skip(1).step_by(2);
                // A name of a subcommand alone is no command, but has to be one's.
                all.extend(
                    spans.filter_map(|span| command(&page, None, &span.replace("\\|", "|"))),
                );
            }
        }
    }
    assert!(all.len() > 60, "{all:#?}");
    all
}

fn command(page: &str, block: Option<usize>, line: &str) -> Option<Command> {
    let mut words = line.split(' ');
    let program = words.by_ref().find(|word| !word.starts_with("EGRET_"))?;
    let known = program.ends_with(".sh") || PROGRAMS.contains(&program);
    // "kubectl get" is a name; so is what a diagram has beside a crate, and some sentence begins with make.
    let after = words.clone().count();
    let whole = match program {
        "kubectl" | "helm" => after > 1 || line.starts_with("kubectl egret "),
        "make" => after == 1,
        script if script.ends_with(".sh") => true,
        _ => after > 0,
    };
    if !known || !whole || line.contains(['→', '…']) || line.starts_with("egret status:") {
        return None;
    }
    let plain =
        line.strip_prefix("kubectl ").filter(|rest| rest.starts_with("egret ")).unwrap_or(line);
    let place = match program {
        _ if OF_A_HOST
            .iter()
            .any(|begin| plain.starts_with(begin) && !plain.contains("--node NODE")) =>
        {
            Place::Host
        }
        _ if plain.starts_with("egret ") && !plain.contains("--live") => Place::Store,
        "kubectl" | "helm" => Place::Cluster,
        "make" => Place::Make,
        _ => Place::Elsewhere,
    };
    Some(Command { page: page.to_owned(), block, line: line.to_owned(), place })
}
