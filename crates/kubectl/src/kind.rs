//! The kinds that the plugin knows, by the names that users give them.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A kind that `status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// A backup run.
    VolumeSnapshotBackup,
    /// A restore run.
    VolumeSnapshotRestore,
    /// Velero's request for a backup.
    DataUpload,
    /// Velero's request for a restore.
    DataDownload,
    /// A repository and its maintenance.
    Repository,
    /// The wish that a restore point be deleted.
    ForgetRequest,
}

impl Kind {
    /// Every kind, in the order in which they are shown.
    pub const ALL: &[Self] = &[
        Self::VolumeSnapshotBackup,
        Self::VolumeSnapshotRestore,
        Self::DataUpload,
        Self::DataDownload,
        Self::Repository,
        Self::ForgetRequest,
    ];

    /// Short name, plural and group, as the API server knows them.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::VolumeSnapshotBackup => ("vsb", "volumesnapshotbackups", longshore_api::GROUP),
            Self::VolumeSnapshotRestore => ("vsr", "volumesnapshotrestores", longshore_api::GROUP),
            Self::DataUpload => ("du", "datauploads", "velero.io"),
            Self::DataDownload => ("dd", "datadownloads", "velero.io"),
            Self::Repository => ("lrepo", "repositories", longshore_api::OWN_GROUP),
            Self::ForgetRequest => ("lforget", "forgetrequests", longshore_api::OWN_GROUP),
        }
    }

    /// The short name.
    pub fn short(self) -> &'static str {
        self.names().0
    }

    /// The name in lower case with the group, as `kubectl … -o name` prints it.
    pub fn resource(self) -> String {
        format!("{}.{}", self.to_string().to_lowercase(), self.names().2)
    }

    /// Reads a kind as kubectl does: short, singular or plural, with or without group.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        Self::ALL.iter().copied().find(|kind| {
            let (short, plural, group) = kind.names();
            let singular = kind.to_string().to_lowercase();
            [short, plural, &singular].iter().any(|name| {
                text == **name
                    || text.strip_prefix(name).is_some_and(|rest| rest.strip_prefix('.') == Some(group))
            })
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A run as it is named on the command line: `NAME` or `TYPE/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunName {
    /// Its kind, if given.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: String,
}

impl RunName {
    /// Whether an object of this kind and name is meant.
    pub fn means(&self, kind: Kind, name: &str) -> bool {
        self.name == name && self.kind.is_none_or(|wanted| wanted == kind)
    }
}

impl FromStr for RunName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let known = Kind::parse(kind);
                (
                    Some(known.ok_or_else(|| format!("{kind} is none of vsb, vsr, du, dd, lrepo, lforget"))?),
                    name,
                )
            }
        };
        if name.is_empty() || name.contains('/') {
            return Err("expected NAME or TYPE/NAME".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => write!(f, "{}/{}", kind.short(), self.name),
            None => f.write_str(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_in_all_their_names() {
        for text in [
            "vsb",
            "VSB",
            "volumesnapshotbackup",
            "VolumeSnapshotBackup",
            "volumesnapshotbackups",
            "volumesnapshotbackups.datamover.oadp.openshift.io",
        ] {
            assert_eq!(Kind::parse(text), Some(Kind::VolumeSnapshotBackup), "{text}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.short()), Some(*kind));
            assert_eq!(Kind::parse(&kind.resource()), Some(*kind));
        }
        for text in ["", "pod", "vs", "vsb.velero.io"] {
            assert_eq!(Kind::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_means_every_kind_unless_it_says_which() {
        let read = |text: &str| text.parse::<RunName>().unwrap();
        assert!(read("data").means(Kind::DataUpload, "data"));
        assert!(read("du/data").means(Kind::DataUpload, "data"));
        assert!(!read("du/data").means(Kind::VolumeSnapshotBackup, "data"));
        assert!(!read("data").means(Kind::DataUpload, "other"));
        for wrong in ["", "/", "vsb/", "pod/x", "vsb/a/b"] {
            assert!(wrong.parse::<RunName>().is_err(), "{wrong}");
        }
    }
}
