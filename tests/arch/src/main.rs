//! `egret-arch`: what ties a crate's files together, for a person who unties them.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use egret_arch::circles::{circles, edges, line, lines};
use egret_arch::repository::{crates, files};
use egret_arch::rust::sources;

/// What a crate's files use of each other.
#[derive(Debug, Parser)]
#[command(name = "egret-arch")]
enum Command {
    /// The circles of a crate, with the names that close them.
    Circles {
        /// Its name, such as egret-core.
        package: String,
    },
    /// What one file uses of others, and they of it.
    Edges {
        /// The crate's name.
        package: String,
        /// The file's path from the crate's src, such as lease/machine.rs.
        file: String,
    },
}

fn main() -> ExitCode {
    match run(&Command::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<String, String> {
    let (Command::Circles { package } | Command::Edges { package, .. }) = command;
    let crates = crates();
    let folder = crates.iter().find(|(name, _)| name == package);
    let (_, folder) = folder.ok_or(format!("no crate {package}: name one of the workspace"))?;
    let files: Vec<_> = files().into_iter().filter(|file| file.path.starts_with(folder)).collect();
    let edges = edges(&sources(&files)?, folder);
    let found = match command {
        Command::Circles { .. } => {
            let circles = circles(&edges);
            let text = circles.iter().map(|circle| {
                format!("a circle of {} files:\n{}", circle.len(), lines(&edges, circle))
            });
            text.collect::<Vec<_>>()
        }
        Command::Edges { file, .. } => {
            let all = edges.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
            let of_file = all.filter(|(from, (to, _))| *from == file || *to == file);
            of_file.map(|(from, (to, names))| line(from, to, names)).collect()
        }
    };
    Ok(if found.is_empty() { "none".to_owned() } else { found.join("\n") })
}
