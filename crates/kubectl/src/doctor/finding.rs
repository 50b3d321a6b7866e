//! A finding: what, why, and what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// Something may not work, or not for all.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What was looked at; a closed set, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Check {
    /// The kinds that runs need are served.
    Kinds,
    /// An operator is there and ready.
    Operator,
    /// Protected namespaces exist and admit movers.
    ProtectedNamespace,
    /// Secrets that are named exist.
    Secret,
    /// Each driver has its class for snapshots.
    SnapshotClass,
    /// Drivers of StorageClasses are installed.
    Driver,
    /// What the user may do.
    OwnRights,
    /// What the operator may do.
    OperatorRights,
    /// Runs and Repositories that do not get on.
    Run,
    /// Children whose run is gone.
    Leftover,
    /// What could not be looked at.
    NotLooked,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// The object it is about.
    pub subject: String,
    /// What is so.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// What to do.
    pub what_to_do: String,
}

impl Finding {
    /// A finding of a severity.
    pub fn new(
        severity: Severity,
        check: Check,
        subject: impl Into<String>,
        [what, why, what_to_do]: [String; 3],
    ) -> Self {
        Self { severity, check, subject: subject.into(), what, why, what_to_do }
    }

    /// Something that could not be looked at.
    pub fn not_looked(subject: impl Into<String>, why: &str) -> Self {
        Self::new(
            Severity::Info,
            Check::NotLooked,
            subject,
            [
                "It could not be looked at.".to_owned(),
                sentence(why),
                "Let somebody run the doctor who may see it.".to_owned(),
            ],
        )
    }
}

/// The text with a full stop.
pub fn sentence(text: &str) -> String {
    format!("{}.", text.trim().trim_end_matches('.'))
}
