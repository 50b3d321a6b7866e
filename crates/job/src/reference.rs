//! The name of a restore point, as it stands in `status.resticrepository` and in backups of other tools.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::VolumeMode;

/// Names one restore point: whose volume, which run, and how it must be attached. With bucket and key it is all a restore needs; it holds
/// no secret and no address, so that a replicated or moved bucket works.
///
/// Text form: `longshore://<cluster uid>/<namespace>/<pvc>/<run>?mode=Filesystem|Block`. `<run>` is the UID of the run, or `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RestorePointReference {
    /// UID of the source cluster's `kube-system` namespace.
    pub cluster_uid: String,
    /// Namespace of the source PVC.
    pub namespace: String,
    /// Name of the source PVC.
    pub pvc_name: String,
    /// UID of the run that made the point, or [`RestorePointReference::LATEST`].
    pub run: String,
    /// Volume mode that the point was made in and must be restored to.
    pub volume_mode: VolumeMode,
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// A repository of restic, as OADP 1.1 and 1.2 made them with VolSync.
    #[error("this is a restic repository of an older data mover, not a Longshore restore point")]
    ResticRepository,
    /// Anything else.
    #[error(
        "not a restore point reference; expected longshore://<cluster uid>/<namespace>/<pvc>/<run>?mode=Filesystem|Block"
    )]
    Malformed,
}

const SCHEME: &str = "longshore://";
/// Longest piece accepted: Kubernetes names and UIDs stay below 254 bytes.
const PIECE_BYTES_MAX: usize = 253;

impl RestorePointReference {
    /// The run that stands for the newest point of the source.
    pub const LATEST: &str = "latest";

    /// Whether exactly one run is named, so that what is done to the point cannot meet another one. Runs are named by the UIDs of resources.
    pub fn names_one_run(&self) -> bool {
        let groups: Vec<&str> = self.run.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        lengths == [8, 4, 4, 4, 12]
            && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

impl fmt::Display for RestorePointReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster_uid, namespace, pvc_name, run, volume_mode } = self;
        write!(f, "{SCHEME}{cluster_uid}/{namespace}/{pvc_name}/{run}?mode={}", volume_mode.as_str())
    }
}

fn is_piece(piece: &str) -> bool {
    !piece.is_empty()
        && piece.len() <= PIECE_BYTES_MAX
        && piece.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        && piece.bytes().any(|byte| byte != b'.')
}

impl FromStr for RestorePointReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            let is_restic = ["s3:", "azure:", "gs:"].iter().any(|scheme| text.starts_with(scheme));
            return Err(if is_restic { ReferenceError::ResticRepository } else { ReferenceError::Malformed });
        };
        let (path, query) = rest.split_once('?').ok_or(ReferenceError::Malformed)?;
        let volume_mode = match query {
            "mode=Filesystem" => VolumeMode::Filesystem,
            "mode=Block" => VolumeMode::Block,
            _ => return Err(ReferenceError::Malformed),
        };
        let pieces: Vec<&str> = path.split('/').collect();
        let [cluster_uid, namespace, pvc_name, run] = pieces[..] else {
            return Err(ReferenceError::Malformed);
        };
        if ![cluster_uid, namespace, pvc_name, run].into_iter().all(is_piece) {
            return Err(ReferenceError::Malformed);
        }
        Ok(Self {
            cluster_uid: cluster_uid.to_owned(),
            namespace: namespace.to_owned(),
            pvc_name: pvc_name.to_owned(),
            run: run.to_owned(),
            volume_mode,
        })
    }
}

impl TryFrom<String> for RestorePointReference {
    type Error = ReferenceError;

    fn try_from(text: String) -> Result<Self, ReferenceError> {
        text.parse()
    }
}

impl From<RestorePointReference> for String {
    fn from(reference: RestorePointReference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn text_and_reference_are_the_same_thing(
            cluster_uid in "[a-f0-9-]{1,36}", namespace in "[a-z0-9]{1,63}", pvc_name in "[a-z0-9][a-z0-9.-]{0,60}", run in "[a-f0-9-]{1,36}", block: bool,
        ) {
            let volume_mode = if block { VolumeMode::Block } else { VolumeMode::Filesystem };
            let reference = RestorePointReference { cluster_uid, namespace, pvc_name, run, volume_mode };
            prop_assert_eq!(reference.to_string().parse::<RestorePointReference>(), Ok(reference));
        }

        #[test]
        fn any_text_is_answered_without_panic(text in ".{0,200}") {
            if let Ok(reference) = text.parse::<RestorePointReference>() {
                prop_assert_eq!(reference.to_string(), text);
            }
        }
    }

    #[test]
    fn only_the_uid_of_a_run_names_one_run() {
        let names_one = |run: &str| {
            format!("longshore://c/n/p/{run}?mode=Block")
                .parse::<RestorePointReference>()
                .unwrap()
                .names_one_run()
        };
        assert!(names_one("5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c11"));
        for run in [
            "latest",
            "5f0e5b52",
            "5f0e5b526cd94a639a4e0a5b1b1f3c11",
            "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c1g",
            "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c1",
        ] {
            assert!(!names_one(run), "{run}");
        }
    }

    #[test]
    fn old_restic_repositories_are_told_apart_from_nonsense() {
        let parse = |text: &str| text.parse::<RestorePointReference>().unwrap_err();
        assert_eq!(
            parse("s3:s3.amazonaws.com/bucket/openshift-adp/vsc-pvc"),
            ReferenceError::ResticRepository
        );
        for text in [
            "",
            "longshore://a/b/c?mode=Block",
            "longshore://a/b/c/d",
            "longshore://a/b/c/d?mode=Bloc",
            "longshore://a/../c/d?mode=Block",
        ] {
            assert_eq!(parse(text), ReferenceError::Malformed, "{text}");
        }
    }
}
