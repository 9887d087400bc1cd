//! An answer as columns for people, or as JSON or YAML for programs.

use anyhow::Context as _;
use serde::Serialize;

use crate::args::Format;
use crate::args::OutputArgs;

/// Prints `answer` in the format asked for; `people` prints it as columns.
pub(crate) fn print<T: Serialize>(
    args: OutputArgs,
    answer: &T,
    people: impl FnOnce(&T),
) -> anyhow::Result<()> {
    match args.output {
        Format::Table => people(answer),
        Format::Json => {
            println!("{}", serde_json::to_string_pretty(answer).context("cannot print as JSON")?);
        }
        Format::Yaml => {
            print!("{}", serde_saphyr::to_string(answer).context("cannot print as YAML")?);
        }
    }
    Ok(())
}
