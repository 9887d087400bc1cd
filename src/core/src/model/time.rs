use std::{fmt, ops};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC: for what people read and for the slow clocks of the
/// controller (quarantine, `releaseAfter`). No lease ever rests on it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of time in whole milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// `seconds` as milliseconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }
}

impl Timestamp {
    /// Time passed since `earlier`; zero where `earlier` is later.
    pub fn since(self, earlier: Self) -> Millis {
        Millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl ops::Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, length: Millis) -> Self {
        Self(self.0.saturating_add(i64::try_from(length.0).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(3_600_000) && self.0 > 0 {
            write!(f, "{}h", self.0 / 3_600_000)
        } else if self.0.is_multiple_of(60_000) && self.0 > 0 {
            write!(f, "{}m", self.0 / 60_000)
        } else if self.0.is_multiple_of(1000) {
            write!(f, "{}s", self.0 / 1000)
        } else {
            write!(f, "{}ms", self.0)
        }
    }
}

/// Not a length of time that a manifest or flag may say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a duration: write whole numbers with units, such as 450ms, 10s or 1h")]
pub struct BadDuration(String);

impl std::str::FromStr for Millis {
    type Err = BadDuration;

    /// Parses a duration as Go writes it, in whole milliseconds, at most a thousand years: `450ms`,
    /// `1h`, `1h30m`, `0s`, `0`. Each unit at most once, the larger first.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BadDuration(text.to_owned());
        if text == "0" {
            return Ok(Self(0));
        }
        if text.is_empty() {
            return Err(wrong());
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut smallest = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let unit = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                _ => return Err(wrong()),
            };
            if unit >= smallest {
                return Err(wrong());
            }
            smallest = unit;
            rest = &rest[letters..];
            let part = number.checked_mul(unit).ok_or_else(wrong)?;
            total = total.checked_add(part).ok_or_else(wrong)?;
        }
        if total > 1000 * 365 * 24 * 3_600_000 { Err(wrong()) } else { Ok(Self(total)) }
    }
}
