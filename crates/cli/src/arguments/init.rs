//! Arguments of `longshore init`.

use std::time::Duration;

use clap::Args;
use longshore_repo::{RESERVE_BYTES, RepositorySettings};

use super::{parse_duration, parse_size};

/// The largest reserve: it is made in one request.
const RESERVE_BYTES_MAX: u64 = 1 << 30;

/// `longshore init`
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Prune gives up a backup or restore that gave no sign of life for longer: 90s, 30m
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = parse_silence)]
    pub silence_limit: u32,
    /// How long prune waits before it deletes, for restores whose credentials may not write: 0s, 24h
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_seconds)]
    pub reader_grace: u32,
    /// Size of the object that forget and prune delete first when the store is full; 0 makes none
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = parse_reserve)]
    pub reserve_size: u32,
    /// Size at which packs are closed, 1M to 32M
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_pack)]
    pub pack_size: u32,
}

impl From<&InitArguments> for RepositorySettings {
    fn from(arguments: &InitArguments) -> Self {
        Self {
            pack_bytes: arguments.pack_size,
            silence_limit_seconds: arguments.silence_limit,
            reader_grace_seconds: arguments.reader_grace,
            reserve_bytes: arguments.reserve_size,
            ..Self::default()
        }
    }
}

/// What a repository gets that a backup makes.
pub fn standard_settings() -> RepositorySettings {
    RepositorySettings { reserve_bytes: RESERVE_BYTES, ..RepositorySettings::default() }
}

fn seconds(duration: Duration) -> Result<u32, String> {
    u32::try_from(duration.as_secs()).map_err(|_| "too long".to_owned())
}

fn parse_seconds(text: &str) -> Result<u32, String> {
    seconds(parse_duration(text)?)
}

fn parse_silence(text: &str) -> Result<u32, String> {
    match parse_seconds(text)? {
        0 => Err("every backup is silent for a moment; expected at least 1s".to_owned()),
        seconds => Ok(seconds),
    }
}

fn parse_reserve(text: &str) -> Result<u32, String> {
    match parse_size(text)? {
        size if size <= RESERVE_BYTES_MAX => Ok(size as u32),
        _ => Err("expected at most 1G".to_owned()),
    }
}

fn parse_pack(text: &str) -> Result<u32, String> {
    match parse_size(text)? {
        size if (1 << 20..=32 << 20).contains(&size) => Ok(size as u32),
        _ => Err("expected 1M to 32M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn settings(words: &[&str]) -> Option<RepositorySettings> {
        let all = ["longshore", "init"].into_iter().chain(words.iter().copied());
        match Arguments::try_parse_from(all).ok()?.command {
            Command::Init(arguments) => Some(RepositorySettings::from(&arguments)),
            _ => None,
        }
    }

    #[test]
    fn without_arguments_init_makes_what_a_backup_makes() {
        assert_eq!(settings(&[]).unwrap(), standard_settings());
    }

    #[test]
    fn settings_out_of_bounds_are_refused() {
        let wrong = [
            ["--silence-limit", "0s"],
            ["--reserve-size", "2G"],
            ["--pack-size", "64M"],
            ["--reader-grace", "999y"],
        ];
        for words in wrong {
            assert_eq!(settings(&words), None, "{words:?}");
        }
        assert_eq!(settings(&["--reserve-size", "0"]).unwrap().reserve_bytes, 0);
        assert_eq!(settings(&["--silence-limit", "5s"]).unwrap().silence_limit_seconds, 5);
    }
}
