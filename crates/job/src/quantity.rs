//! Kubernetes quantities of bytes, and spans of time as users write them.

/// Reads a quantity such as `10Gi`, `1500M`, `1e9` or `1.5Ti` as bytes, rounded up. `None` when it is no positive quantity.
pub fn parse_bytes(text: &str) -> Option<i64> {
    const SUFFIXES: &[(&str, f64)] = &[
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    if let (Ok(number), true) = (number.parse::<i64>(), factor >= 1.0) {
        // Whole numbers exactly: a float holds only 53 bits.
        return (number > 0).then(|| number.checked_mul(factor as i64)).flatten();
    }
    if !number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return None;
    }
    let bytes = (number.parse::<f64>().ok()? * factor).ceil();
    (1.0..9.2e18).contains(&bytes).then_some(bytes as i64)
}

/// Reads a whole number with a unit, one of s, m, h, d, w and y (366 days), as seconds. `None` when it is none.
pub fn parse_span(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 366 * 86_400,
        _ => return None,
    };
    let count: u32 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    Some(u64::from(count) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_number_and_one_unit() {
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("36h", 129_600), ("14d", 1_209_600), ("1y", 31_622_400)]
        {
            assert_eq!(parse_span(text), Some(seconds), "{text}");
        }
        for text in ["", "d", "14", "-1d", "1.5d", "1d12h", "14 d", "4294967296d", "7ä"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("10Gi", Some(10 << 30)),
            ("1500M", Some(1_500_000_000)),
            ("1.5Ti", Some(1_649_267_441_664)),
            ("1e3", Some(1000)),
            ("0.1", Some(1)),
            (".5Ki", Some(512)),
            ("1Zi", None),
            ("1e999", None),
            ("1500m", Some(2)),
            ("9007199254740993", Some(9_007_199_254_740_993)),
            ("0", None),
            ("-1Gi", None),
            ("", None),
            ("Gi", None),
            ("inf", None),
            ("99999999Ei", None),
        ] {
            assert_eq!(parse_bytes(text), bytes, "{text}");
        }
    }
}
