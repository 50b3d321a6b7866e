//! Rates as people write them: `10M`.

use std::num::NonZeroU64;

/// Reads a number of bytes a second with a unit: `512K`, `10M`, `1.5G`, by powers of 1024, or `800000B`.
///
/// A number without a unit is refused: restic takes it for KiB, others for bytes, and a limit that is a thousand times too low or
/// too high is noticed late.
pub fn bytes_per_second(text: &str) -> Result<NonZeroU64, String> {
    let help = "a rate is a number with a unit, bytes a second by powers of 1024: 512K, 10M, 1.5G, 800000B";
    let digits = text.find(|at: char| !(at.is_ascii_digit() || at == '.')).ok_or(help)?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches("/s") {
        "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(help.to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| help)?;
    // Far below the precision of the number, and `as` does not go beyond the bounds.
    let bytes = (number * f64::from(1u32 << shift)).round() as u64;
    NonZeroU64::new(bytes).ok_or_else(|| "a rate of nothing would wait for ever".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_number_and_a_unit() {
        for (text, expected) in [
            ("10M", 10 << 20),
            ("512K", 512 << 10),
            ("1.5G", 3 << 29),
            ("800000B", 800_000),
            ("1MiB/s", 1 << 20),
            (".5K", 512),
        ] {
            assert_eq!(bytes_per_second(text).map(NonZeroU64::get), Ok(expected), "{text}");
        }
        for text in ["", "10", "M", "10m", "10 M", "-1M", "1e3K", "10MB", "0M", "0.0001B", "1.2.3M", "/s"] {
            assert!(bytes_per_second(text).is_err(), "{text}");
        }
    }
}
