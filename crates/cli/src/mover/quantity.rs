//! Kubernetes quantities, as `10Gi`.

/// Bytes that a quantity stands for, rounded up; `None` when it is no quantity of bytes.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits =
        text.find(|character: char| !(character.is_ascii_digit() || character == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit: u128 = match suffix {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "E" => 1000_u128.pow(6),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        exponent => {
            let power: u32 = exponent.strip_prefix(['e', 'E'])?.parse().ok().filter(|power| *power <= 18)?;
            10_u128.pow(power)
        }
    };
    let whole: u128 =
        if whole.is_empty() { 0 } else { whole.parse().ok().filter(|whole| *whole < 1 << 64)? };
    let fraction = fraction.get(..fraction.len().min(18))?;
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_u128.pow(fraction.len() as u32);
    let all = whole.checked_mul(unit)?.checked_add((part.checked_mul(unit)?).div_ceil(scale))?;
    u64::try_from(all).ok()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn quantities_are_bytes() {
        for (text, expected) in [
            ("10Gi", Some(10 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("1G", Some(1_000_000_000)),
            ("1e3", Some(1000)),
            ("123", Some(123)),
            ("0.1", Some(1)),
            (".5Ki", Some(512)),
            ("", None),
            ("Gi", None),
            ("1Zi", None),
            ("99999999999999999999Ei", None),
            ("1e999", None),
            ("-1", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
