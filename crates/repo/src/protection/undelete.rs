//! Taking deletions and overwritings back, with nothing but the bucket: for the day after somebody had the credentials.

use super::hidden::by_name;
use crate::{
    RepoError,
    io::Io,
    parallel::{self, AT_ONCE},
};
use jiff::Timestamp;
use longshore_format::names;
use longshore_store::{Bucket, Class as StoreClass, PROBE_PREFIX, Store, Version};
use std::sync::Arc;

/// What was brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Undeleted {
    /// Objects of the repository that the bucket knows, hidden ones included.
    pub objects: u64,
    /// Objects that were hidden and are seen again.
    pub shown: u64,
    /// Objects that were overwritten and are as they were.
    pub restored: u64,
    /// The bytes of both.
    pub bytes: u64,
}

/// How one object gets back.
enum Way {
    /// These markers hide it.
    Show(Vec<Version>),
    /// Something else stands in its place, for good if it is locked.
    Copy,
}

/// Makes every object of a repository that was there at a time what it was then; what came later stays. Bookkeeping of sessions
/// is left out. Needs no key: a thief may have deleted the key slots too. With `dry_run` it only counts.
///
/// Objects that prune has deleted since come back as well: no snapshot needs them, and the next prune deletes them again.
pub fn undelete(
    store: Arc<dyn Store>,
    bucket: &Bucket,
    as_of: Timestamp,
    dry_run: bool,
) -> Result<Undeleted, RepoError> {
    let io = Io::new(store)?;
    let listed = bucket.clone();
    let versions = io.wait(async move { listed.versions("").await })?;
    let objects: Vec<_> = by_name(versions).filter(|versions| is_kept(&versions[0].name)).collect();
    let back = parallel::map(&objects, AT_ONCE, |versions| {
        let Some((wanted, way)) = way_back(versions, as_of) else { return Ok(Undeleted::default()) };
        if !dry_run {
            bring_back(&io, bucket, wanted, &way)?;
        }
        let shown = u64::from(matches!(way, Way::Show(_)));
        Ok(Undeleted { objects: 0, shown, restored: 1 - shown, bytes: wanted.size_bytes })
    })?;
    let mut sum = Undeleted { objects: objects.len() as u64, ..Undeleted::default() };
    for one in back {
        sum.shown += one.shown;
        sum.restored += one.restored;
        sum.bytes += one.bytes;
    }
    Ok(sum)
}

fn is_kept(name: &str) -> bool {
    !name.starts_with(names::SESSIONS) && !name.starts_with(PROBE_PREFIX) && name != names::RESERVE
}

/// What was seen at the time, and how it gets back; none if there was nothing, or it is what is seen now.
fn way_back(versions: &[Version], as_of: Timestamp) -> Option<(&Version, Way)> {
    let at = versions.iter().position(|version| version.modified_at <= as_of)?;
    let wanted = versions.get(at).filter(|version| !version.is_marker && !version.is_latest)?;
    let later = &versions[..at];
    let way = match later.iter().all(|version| version.is_marker) {
        true => Way::Show(later.to_vec()),
        false => Way::Copy,
    };
    Some((wanted, way))
}

fn bring_back(io: &Io, bucket: &Bucket, wanted: &Version, way: &Way) -> Result<(), RepoError> {
    if let Way::Show(markers) = way {
        let shown = markers.iter().try_for_each(|marker| {
            let (bucket, name, id) = (bucket.clone(), marker.name.clone(), marker.id.clone());
            io.wait(async move { bucket.delete_version(&name, &id).await })
        });
        match shown {
            // Who may not delete versions may still copy one.
            Err(RepoError::Store { source }) if source.class() == StoreClass::AccessDenied => {}
            result => return result,
        }
    }
    let (bucket, name, id) = (bucket.clone(), wanted.name.clone(), wanted.id.clone());
    io.wait(async move { bucket.copy_version(&name, &id).await })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(second: i64, is_marker: bool) -> Version {
        let modified_at = Timestamp::from_second(second).unwrap();
        let id = second.to_string();
        Version { name: "data/x".into(), id, modified_at, size_bytes: 1, is_latest: false, is_marker }
    }

    fn way(seconds: &[(i64, bool)], as_of: i64) -> Option<(String, Option<usize>)> {
        let mut versions: Vec<_> = seconds.iter().map(|(second, marker)| version(*second, *marker)).collect();
        versions[0].is_latest = true;
        let (wanted, way) = way_back(&versions, Timestamp::from_second(as_of).unwrap())?;
        let markers = match way {
            Way::Show(markers) => Some(markers.len()),
            Way::Copy => None,
        };
        Some((wanted.id.clone(), markers))
    }

    #[test]
    fn what_was_seen_at_the_time_is_wanted_and_nothing_else() {
        assert_eq!(way(&[(9, true), (1, false)], 5), Some(("1".into(), Some(1))), "deleted later");
        assert_eq!(way(&[(9, true), (8, true), (1, false)], 5), Some(("1".into(), Some(2))), "twice");
        assert_eq!(way(&[(9, false), (1, false)], 5), Some(("1".into(), None)), "overwritten later");
        assert_eq!(way(&[(9, true), (8, false), (1, false)], 5), Some(("1".into(), None)), "both");
        assert_eq!(way(&[(4, true), (1, false)], 5), None, "deleted before");
        assert_eq!(way(&[(9, true), (8, false)], 5), None, "not there yet");
        assert_eq!(way(&[(1, false)], 5), None, "as it was");
    }
}
