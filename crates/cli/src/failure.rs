//! How a command fails: one reason, one exit code, one way of saying it.

use longshore_job::Reason;
pub use longshore_job::chain;
use longshore_mover::MoverError;
use longshore_repo::{Class, RepoError};
use serde::Serialize;

use crate::OutputForm;
use crate::output::DOCUMENT_VERSION;

/// Exit code of a backup that is committed but misses unreadable files.
pub const EXIT_INCOMPLETE: u8 = 3;
/// Exit code of a wrong command line.
pub const EXIT_USAGE: u8 = 2;
/// Exit code after Ctrl-C.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// Word for programs.
    pub reason: String,
    /// What happened, for people; with its causes.
    pub message: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
    /// Exit code of the process.
    pub exit_code: u8,
    /// The reason from the closed list of movers that comes nearest.
    pub cause: Reason,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    version: u32,
    kind: &'static str,
    reason: &'a str,
    message: &'a str,
    advice: Option<&'static str>,
    exit_code: u8,
}

impl Failure {
    /// A wrong command line or setting.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            reason: "Usage".into(),
            message: message.into(),
            advice: None,
            exit_code: EXIT_USAGE,
            cause: Reason::InvalidJob,
        }
    }

    /// Something that was named is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self {
            reason: "NotFound".into(),
            message: message.into(),
            advice: None,
            exit_code: 4,
            cause: Reason::RestorePointNotFound,
        }
    }

    /// Anything else that went wrong.
    pub fn internal(error: &anyhow::Error) -> Self {
        Self::of(Reason::Internal, format!("{error:#}"))
    }

    /// A failure with a reason of the closed list. Reasons that another attempt may mend end a command with 1: nobody retries
    /// it but the person who reads the message.
    pub fn of(reason: Reason, message: String) -> Self {
        let exit_code = if reason.is_transient() { 1 } else { reason.exit_code() };
        Self { reason: reason.as_str().into(), message, advice: advice(reason), exit_code, cause: reason }
    }

    /// Says it on stderr.
    pub fn print(&self, form: OutputForm) {
        match form {
            OutputForm::Text => {
                eprintln!("longshore: {}", self.message);
                if let Some(advice) = self.advice {
                    eprintln!("  {advice}");
                }
            }
            OutputForm::Json => {
                let document = Document {
                    version: DOCUMENT_VERSION,
                    kind: "Error",
                    reason: &self.reason,
                    message: &self.message,
                    advice: self.advice,
                    exit_code: self.exit_code,
                };
                eprintln!("{}", serde_json::to_string(&document).unwrap_or_default());
            }
        }
    }
}

impl From<MoverError> for Failure {
    fn from(error: MoverError) -> Self {
        if matches!(error, MoverError::Cancelled) {
            return Self {
                reason: "Interrupted".into(),
                message: "interrupted; what was stored already is reused by the next run".into(),
                advice: None,
                exit_code: EXIT_INTERRUPTED,
                cause: Reason::Interrupted,
            };
        }
        Self::of(error.reason(), chain(&error))
    }
}

impl From<RepoError> for Failure {
    fn from(error: RepoError) -> Self {
        match (&error, error.class()) {
            (RepoError::KeyNotFound { .. }, _) => Self::not_found(chain(&error)),
            // Only people change keys, so movers have no reason for it.
            (_, class @ Class::KeySlot) => {
                Self { reason: class.as_str().into(), ..Self::of(Reason::Internal, chain(&error)) }
            }
            _ => MoverError::from(error).into(),
        }
    }
}

/// What to do, for somebody at a terminal; the words of [`Reason::advice`] are for clusters.
fn advice(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::RepositoryNotFound => Some("Check the address, or make a repository with `longshore init`."),
        Reason::BucketNotFound => Some("Create the bucket, or mend its name."),
        Reason::CredentialsInvalid => Some("Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their like."),
        Reason::TLSUntrusted => Some("Name the file of the store's CA certificate in AWS_CA_BUNDLE."),
        Reason::EndpointUnreachable => Some("Check the store's address and the way there."),
        Reason::VolumeTooSmall => Some("Choose a target of at least the size that the message names."),
        Reason::AccessDenied
        | Reason::StoreFull
        | Reason::StoreUnsuitable
        | Reason::RepositoryForeign
        | Reason::WrongKey
        | Reason::NoAuthority
        | Reason::RestorePointNotFound
        | Reason::RepositoryRolledBack
        | Reason::RepositoryDamaged => Some(reason.advice()),
        _ => None,
    }
}
