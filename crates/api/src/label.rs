//! Names in labels, as Velero writes them.

use sha2::{Digest, Sha256};

const BYTES_MAX: usize = 63;
const HASH_BYTES: usize = 6;

/// A name as Velero puts it into a label: one that is too long ends in a piece of its hash.
pub fn velero_label_value(name: &str) -> String {
    if name.len() <= BYTES_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().filter(char::is_ascii).take(BYTES_MAX - HASH_BYTES).collect();
    format!("{kept}{}", &hex::encode(Sha256::digest(name.as_bytes()))[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_as_velero_cuts_them() {
        assert_eq!(velero_label_value("short"), "short");
        assert_eq!(velero_label_value(&"a".repeat(63)), "a".repeat(63));
        let cut = velero_label_value(&"a".repeat(70));
        // The first digits of the name's SHA-256.
        assert_eq!(cut, format!("{}6bd5e5", "a".repeat(57)));
    }
}
