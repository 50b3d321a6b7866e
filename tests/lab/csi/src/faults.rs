//! Faults on request: the faults file tells which calls are to be late, to fail, or to take the driver down.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tonic::Code;

use crate::error::DriverError;

/// One entry of the faults file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Which calls, as csi.proto names them.
    method: String,
    /// Only calls whose logged request contains this text.
    #[serde(default)]
    request_contains: Option<String>,
    /// What happens.
    pub action: Action,
    /// Code of an error, in the words of gRPC: `UNAVAILABLE`. INTERNAL if absent.
    #[serde(default, deserialize_with = "code")]
    pub code: Option<Code>,
    /// Length of a delay in milliseconds.
    #[serde(default)]
    pub delay_ms: u64,
    /// How often it happens; always, if absent. Counted anew whenever the file is written.
    #[serde(default)]
    count: Option<u64>,
    /// Before the call does its work (the default), or after, before the answer.
    #[serde(default)]
    pub when: When,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The call fails.
    Error,
    /// The call is late.
    Delay,
    /// The driver kills itself with SIGKILL.
    Crash,
}

/// When a fault happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum When {
    /// Nothing has been done yet.
    #[default]
    Before,
    /// The work is done, the answer is not given.
    After,
}

/// Reads the faults file at each call and counts what it spent.
#[derive(Debug)]
pub struct Faults {
    file: Option<PathBuf>,
    spent: Mutex<Spent>,
}

/// How often each entry of one version of the file was used.
#[derive(Debug, Default)]
struct Spent {
    version: Option<Version>,
    uses: HashMap<usize, u64>,
}

/// Inode, modification time in seconds and nanoseconds, size.
type Version = (u64, i64, i64, u64);

impl Faults {
    /// Faults of `file`. No file, or an absent one, means none.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self { file, spent: Mutex::default() }
    }

    /// All faults due for this call, in the order of the file, and spends them. A file that cannot be understood fails the
    /// call: a test must not pass because its faults were misspelt.
    pub fn take(&self, method: &str, request: &str) -> Result<Vec<Fault>, DriverError> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let Some((version, faults)) = read(file)? else { return Ok(Vec::new()) };
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.version != Some(version) {
            *spent = Spent { version: Some(version), uses: HashMap::new() };
        }
        let mut due = Vec::new();
        for (place, fault) in faults.into_iter().enumerate() {
            let wanted = fault.method == method
                && fault.request_contains.as_ref().is_none_or(|text| request.contains(text.as_str()));
            let uses = spent.uses.entry(place).or_default();
            if wanted && fault.count.is_none_or(|count| *uses < count) {
                *uses += 1;
                due.push(fault);
            }
        }
        Ok(due)
    }
}

fn read(file: &Path) -> Result<Option<(Version, Vec<Fault>)>, DriverError> {
    let metadata = match std::fs::metadata(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(DriverError::io("look at", file))?,
    };
    let bytes = std::fs::read(file).map_err(DriverError::io("read", file))?;
    let faults = serde_json::from_slice(&bytes)
        .map_err(|source| DriverError::Parse { path: file.to_owned(), source })?;
    Ok(Some(((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.size()), faults)))
}

fn code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Code>, D::Error> {
    let name = String::deserialize(deserializer)?;
    (1..=16)
        .map(Code::from_i32)
        .find(|code| code_name(*code) == name)
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format!("{name} is no gRPC code")))
}

/// The name of a code as the gRPC specification writes it.
pub fn code_name(code: Code) -> String {
    let name = format!("{code:?}");
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    // The one code that gRPC spells in the British way.
    if code == Code::Cancelled { "CANCELLED".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> (tempfile::TempDir, Faults) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("faults.json");
        std::fs::write(&file, text).unwrap();
        (folder, Faults::new(Some(file)))
    }

    #[test]
    fn a_count_limits_a_fault_until_the_file_is_written_again() {
        let text = r#"[{"method":"CreateSnapshot","action":"error","code":"UNAVAILABLE","count":2},
            {"method":"NodePublishVolume","action":"delay","delayMs":500}]"#;
        let (folder, faults) = faults(text);
        for expected in [1, 1, 0, 0] {
            let due = faults.take("CreateSnapshot", "{}").unwrap();
            assert_eq!(due.len(), expected);
            assert!(due.iter().all(|fault| fault.code == Some(Code::Unavailable)));
        }
        assert_eq!(faults.take("NodePublishVolume", "{}").unwrap()[0].delay_ms, 500);
        assert!(faults.take("CreateVolume", "{}").unwrap().is_empty());
        let fresh = folder.path().join("fresh");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(&fresh, folder.path().join("faults.json")).unwrap();
        assert_eq!(faults.take("CreateSnapshot", "{}").unwrap().len(), 1);
    }

    #[test]
    fn a_fault_can_be_for_one_volume() {
        let (_folder, faults) = faults(
            r#"[{"method":"NodeStageVolume","requestContains":"vol-7","action":"crash","when":"after"}]"#,
        );
        assert!(faults.take("NodeStageVolume", r#"{"volume_id":"vol-8"}"#).unwrap().is_empty());
        let due = faults.take("NodeStageVolume", r#"{"volume_id":"vol-7"}"#).unwrap();
        assert_eq!((due[0].action, due[0].when), (Action::Crash, When::After));
    }

    #[test]
    fn a_file_with_a_mistake_fails_the_call_and_an_absent_one_does_not() {
        for text in [
            "[{",
            r#"[{"method":"Probe","action":"explode"}]"#,
            r#"[{"method":"Probe","action":"error","code":"OOPS"}]"#,
            r#"[{"method":"Probe","action":"error","cout":1}]"#,
        ] {
            let (_folder, faults) = faults(text);
            assert_eq!(faults.take("Probe", "{}").unwrap_err().class(), Code::Internal, "{text}");
        }
        assert!(Faults::new(Some("/nonexistent/faults".into())).take("Probe", "{}").unwrap().is_empty());
    }

    #[test]
    fn codes_have_the_names_of_grpc() {
        for (code, name) in [
            (Code::Unavailable, "UNAVAILABLE"),
            (Code::Cancelled, "CANCELLED"),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (Code::FailedPrecondition, "FAILED_PRECONDITION"),
        ] {
            assert_eq!(code_name(code), name);
        }
    }
}
