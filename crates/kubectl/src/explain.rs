//! What the words of the closed list of reasons mean.

use longshore_api::OperatorReason;
use serde::Serialize;

/// What a reason means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The word.
    pub reason: String,
    /// What happened and why; movers say it in their own message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// What to do about it.
    pub what_to_do: String,
}

/// The meaning of a word that stands for a trouble; `None` for one that only says what a run is doing.
pub fn explain(reason: &str) -> Option<Explanation> {
    if let Some(known) = OperatorReason::ALL.iter().find(|known| known.as_str() == reason) {
        return Some(Explanation {
            reason: reason.to_owned(),
            meaning: Some(format!("{} {}", known.what(), known.why())),
            what_to_do: known.advice().to_owned(),
        });
    }
    let known = longshore_job::Reason::ALL.iter().find(|known| known.as_str() == reason)?;
    Some(Explanation { reason: reason.to_owned(), meaning: None, what_to_do: known.advice().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_operator_and_mover_is_explained_and_no_other() {
        let operator = OperatorReason::ALL.iter().map(|reason| reason.as_str());
        let mover = longshore_job::Reason::ALL.iter().map(|reason| reason.as_str());
        for word in operator.chain(mover) {
            assert!(explain(word).is_some_and(|meaning| !meaning.what_to_do.is_empty()), "{word}");
        }
        for word in ["", "Completed", "Queued", "Transferring"] {
            assert_eq!(explain(word), None, "{word}");
        }
    }
}
