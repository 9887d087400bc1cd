//! Logging: what, and in which form. To standard error, since standard output is for results.

use std::io::IsTerminal as _;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Arguments of every subcommand that logs.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// What to log: a level (error, warn, info, debug, trace), or levels by module such as
    /// `info,egret_agent=debug`
    #[arg(
        long,
        env = "EGRET_LOG",
        default_value = "info",
        value_name = "FILTER",
        value_parser = parse_filter
    )]
    pub log: String,

    /// Lines for people, or one JSON object a line for a collector
    #[arg(long, env = "EGRET_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is malformed (clap has refused it before, where it parsed the arguments).
    #[error("--log {0:?}: {1}; write a level such as `debug`, or `info,egret_agent=debug`")]
    Filter(String, #[source] tracing_subscriber::filter::ParseError),
    /// It was set up already.
    #[error("logging is set up already: {0}")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Writes the last lines when it is dropped: to be kept until the process ends.
pub type LogGuard = tracing_appender::non_blocking::WorkerGuard;

/// Sets up logging for the process.
///
/// Guarantees: no thread waits for whoever reads the log. A thread of its own writes; where its
/// queue (128,000 lines) is full, lines are lost. A lease must not end because a disk is slow or a
/// pipe is full.
///
/// # Errors
/// See [`LogError`].
pub fn init(args: &LogArgs) -> Result<LogGuard, LogError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter =
        EnvFilter::try_new(&args.log).map_err(|error| LogError::Filter(args.log.clone(), error))?;
    let (writer, guard) = tracing_appender::non_blocking(std::io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal());
    match args.log_format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogError::Twice)?;
    Ok(guard)
}

fn parse_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| {
        format!("{error}; write a level such as `debug`, or `info,egret_agent=debug`")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Command {
        #[command(flatten)]
        log: LogArgs,
    }

    fn parse(args: &[&str]) -> Result<LogArgs, clap::Error> {
        Command::try_parse_from([&["egret"], args].concat()).map(|command| command.log)
    }

    #[test]
    fn arguments_have_defaults_and_say_what_is_wrong() {
        let default = parse(&[]).unwrap();
        assert_eq!((default.log.as_str(), default.log_format), ("info", LogFormat::Text));
        let args = parse(&["--log", "info,egret_agent=debug", "--log-format", "json"]).unwrap();
        assert_eq!(args.log_format, LogFormat::Json);
        for (bad, says) in [(["--log", "egret=loud"], "--log"), (["--log-format", "xml"], "json")] {
            let error = parse(&bad).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn set_up_works_once_and_says_so_the_second_time() {
        let args = LogArgs { log: "off".into(), log_format: LogFormat::Json };
        let _guard = init(&args).unwrap();
        assert!(matches!(init(&args), Err(LogError::Twice(_))));
        let bad = LogArgs { log: "a=b=c".into(), ..args };
        assert!(init(&bad).unwrap_err().to_string().contains("--log \"a=b=c\""));
    }
}
