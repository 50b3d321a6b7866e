//! How a command fails: what happened, why, what to do; and which exit code that is.

use serde::Serialize;

/// Exit code of everything that went wrong but a wrong command line.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of a wrong command line.
pub const EXIT_USAGE: u8 = 2;

/// Version of the documents that the plugin prints as JSON. Fields are only ever added within a version.
pub const DOCUMENT_VERSION: u32 = 1;

/// The end of a command that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The command line does not make sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
    },
    /// Nobody knows which cluster is meant, or how to get in.
    #[error("cannot find the cluster: {message}")]
    Configuration {
        /// What the configuration lacks.
        message: String,
    },
    /// The API server did not do what was asked.
    #[error("cannot {action}: {}", said(source))]
    Api {
        /// What was asked.
        action: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// Something that was named, or is needed, is not there.
    #[error("{message}")]
    NotFound {
        /// What is not there.
        message: String,
        /// What to do.
        advice: String,
    },
    /// The cluster's state does not allow what was asked.
    #[error("{message}")]
    Refused {
        /// What stands in the way.
        message: String,
        /// What to do.
        advice: String,
    },
    /// The run ended without its result.
    #[error("{run} ended as {phase}: {reason}: {message}")]
    RunFailed {
        /// Kind and name.
        run: String,
        /// Its last phase.
        phase: String,
        /// Word of the closed list.
        reason: String,
        /// What the run says of it, advice included.
        message: String,
    },
    /// What was waited for did not come in time.
    #[error("waited {seconds} s for {what}; last seen: {seen}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// The last state.
        seen: String,
    },
    /// The doctor found errors, and has told them.
    #[error("the doctor found errors: {errors}")]
    Findings {
        /// How many.
        errors: usize,
    },
    /// Some of several failed, and each was told.
    #[error("{failed} of {all} failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// The terminal, or the process itself.
    #[error("cannot {action}: {source}")]
    Terminal {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// Kinds of failure; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Class {
    /// A wrong command line.
    Usage,
    /// Something is not there.
    NotFound,
    /// The user may not do this.
    Denied,
    /// Another try may help.
    Transient,
    /// The time was over.
    TimedOut,
    /// It cannot be done as things are.
    Refused,
    /// The run or the installation is not well.
    Failed,
}

/// The API server's own words, or the chain of what kept us from it.
fn said(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    longshore_job::chain(error)
}

impl Failure {
    /// A wrong command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into() }
    }

    /// The API server's answer to `action`.
    pub fn api(action: impl Into<String>, source: kube::Error) -> Self {
        Self::Api { action: action.into(), source: Box::new(source) }
    }

    /// The HTTP status of the API server's refusal.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            _ => None,
        }
    }

    /// The kind of this failure.
    pub fn class(&self) -> Class {
        match self {
            Self::Usage { .. } => Class::Usage,
            Self::Configuration { .. } | Self::Refused { .. } => Class::Refused,
            Self::NotFound { .. } => Class::NotFound,
            Self::TimedOut { .. } => Class::TimedOut,
            Self::Api { .. } => match self.code() {
                Some(401 | 403) => Class::Denied,
                Some(404) => Class::NotFound,
                Some(400 | 409 | 422) => Class::Refused,
                _ => Class::Transient,
            },
            Self::RunFailed { .. } | Self::Findings { .. } | Self::Several { .. } | Self::Terminal { .. } => {
                Class::Failed
            }
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        match self {
            Self::Refused { advice, .. } | Self::NotFound { advice, .. } => Some(advice),
            Self::Configuration { .. } => Some("Name a kubeconfig with --kubeconfig or KUBECONFIG."),
            Self::TimedOut { .. } => Some(
                "Nothing was stopped. Look with `kubectl longshore status`, or end it with `kubectl longshore cancel`.",
            ),
            Self::Api { .. } => match self.class() {
                Class::Denied => Some(
                    "Ask an administrator for this right; `kubectl longshore doctor` lists what is missing.",
                ),
                Class::NotFound => Some(
                    "Look with `kubectl longshore doctor` whether Longshore and the snapshot controller are installed.",
                ),
                Class::Transient => Some("Look whether the API server answers, and try again."),
                _ => None,
            },
            _ => None,
        }
    }

    /// Exit code of the process.
    pub fn exit_code(&self) -> u8 {
        if self.class() == Class::Usage { EXIT_USAGE } else { EXIT_FAILED }
    }

    /// Says it on stderr.
    pub fn print(&self, as_json: bool) {
        if as_json {
            let document = Document {
                version: DOCUMENT_VERSION,
                kind: "Error",
                class: self.class(),
                message: self.to_string(),
                advice: self.advice(),
            };
            eprintln!("{}", serde_json::to_string(&document).unwrap_or_default());
            return;
        }
        eprintln!("error: {self}");
        if let Some(advice) = self.advice() {
            eprintln!("  {advice}");
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    kind: &'static str,
    class: Class,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16) -> Failure {
        let status = Status { code, message: "because".to_owned(), ..Status::success() };
        Failure::api("list pods", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn only_a_wrong_command_line_ends_with_2() {
        assert_eq!(Failure::usage("no").exit_code(), 2);
        assert_eq!(Failure::Findings { errors: 1 }.exit_code(), 1);
        for (code, class) in [
            (401, Class::Denied),
            (403, Class::Denied),
            (404, Class::NotFound),
            (409, Class::Refused),
            (422, Class::Refused),
            (429, Class::Transient),
            (500, Class::Transient),
        ] {
            assert_eq!((answer(code).class(), answer(code).exit_code()), (class, 1), "{code}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_asked_why_not_and_what_to_do() {
        let denied = answer(403);
        assert_eq!(denied.to_string(), "cannot list pods: because");
        assert!(denied.advice().is_some_and(|advice| advice.contains("administrator")));
    }
}
