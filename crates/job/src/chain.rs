//! How an error is told where there is one line for it: conditions, results, logs.

/// An error and its causes in one line. A cause that the text before it tells already is left out: foreign libraries repeat theirs.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = one_line(&error.to_string());
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = one_line(&inner.to_string());
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = inner.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Said>>);

    #[test]
    fn a_chain_is_one_line_and_repeats_nothing() {
        let inner = Said("no such\n  bucket", None);
        let middle = Said("request failed: no such bucket", Some(Box::new(inner)));
        let outer = Said("cannot open", Some(Box::new(middle)));
        assert_eq!(chain(&outer), "cannot open: request failed: no such bucket");
    }
}
