//! Why a run waits or failed: the words of operator ([`OperatorReason`]) and mover ([`longshore_job::Reason`]) together.

use std::fmt;

pub use longshore_api::OperatorReason;

/// Why a run waits or failed, whoever found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Found by the operator.
    Operator(OperatorReason),
    /// Reported by the mover.
    Mover(longshore_job::Reason),
}

impl Reason {
    /// The CamelCase word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator(reason) => reason.as_str(),
            Self::Mover(reason) => reason.as_str(),
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Operator(reason) => reason.advice(),
            Self::Mover(reason) => reason.advice(),
        }
    }
}

impl From<OperatorReason> for Reason {
    fn from(reason: OperatorReason) -> Self {
        Self::Operator(reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A cause with what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The cause.
    pub reason: Reason,
    /// What happened, in the words of whoever noticed it.
    pub message: String,
}

impl Trouble {
    /// A cause with its message.
    pub fn new(reason: impl Into<Reason>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }

    /// Cause, message and advice in one text of at most [`MESSAGE_BYTES_MAX`] bytes.
    pub fn text(&self) -> String {
        let Self { reason, message } = self;
        let mut message = message.trim().trim_end_matches('.').to_owned();
        let advice = reason.advice();
        // A mover's message may hold the advice already.
        let tail = if message.contains(advice.trim_end_matches('.')) {
            String::new()
        } else {
            format!(". {advice}")
        };
        truncate(&mut message, MESSAGE_BYTES_MAX.saturating_sub(tail.len()));
        message.push_str(&tail);
        message
    }
}

/// Longest message of a condition, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1024;

/// Cuts `text` to at most `limit` bytes, at a character.
pub fn truncate(text: &mut String, limit: usize) {
    const ELLIPSIS: &str = "…";
    if text.len() > limit {
        let mut end = limit.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_of_any_length_fits_and_keeps_the_advice(message in ".{0,3000}") {
            let text = Trouble::new(OperatorReason::QuotaExceeded, message).text();
            prop_assert!(text.len() <= MESSAGE_BYTES_MAX);
            prop_assert!(text.contains("Raise the quota"));
        }
    }
}
