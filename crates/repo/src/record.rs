//! Sealing and opening small records. Their names are bound in, so that none can stand for another.

use crate::RepoError;
use longshore_crypto::{Purpose, RepositoryKeys, random_bytes};
use longshore_format::sealed::{EnvelopeHead, RecordKind};

pub(crate) fn seal(
    keys: &RepositoryKeys,
    kind: RecordKind,
    name: &str,
    plain: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let (epoch, salt) = (keys.newest_epoch(), random_bytes()?);
    let (key, commitment) = keys.object_key(Purpose::Record(kind), epoch, &salt)?;
    let head = EnvelopeHead { kind, epoch, salt, commitment }.encode();
    let mut out = head.clone();
    out.extend_from_slice(plain);
    key.seal(0, &associated(keys, &head, name), &mut out, head.len())?;
    Ok(out)
}

pub(crate) fn open(
    keys: &RepositoryKeys,
    kind: RecordKind,
    name: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, RepoError> {
    let (head, body) = EnvelopeHead::split(kind, bytes).map_err(RepoError::format(name))?;
    let key = keys
        .open_object_key("sealed record", Purpose::Record(kind), head.epoch, &head.salt, &head.commitment)
        .map_err(RepoError::seal(name))?;
    let mut body = body.to_vec();
    let plain = key
        .open("sealed record", 0, &associated(keys, &head.encode(), name), &mut body)
        .map_err(RepoError::seal(name))?
        .len();
    body.truncate(plain);
    Ok(body)
}

fn associated(keys: &RepositoryKeys, head: &[u8], name: &str) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), head, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_crypto::Keyset;
    use longshore_format::RepositoryId;

    #[test]
    fn a_record_opens_only_under_its_own_name_kind_and_repository() {
        let keys = |number| {
            RepositoryKeys::new(RepositoryId([number; 16]), Keyset::for_tests([2; 32], [3; 32])).unwrap()
        };
        let (own, other) = (keys(1), keys(2));
        let sealed = seal(&own, RecordKind::Snapshot, "snap/a", b"plain").unwrap();
        assert_eq!(open(&own, RecordKind::Snapshot, "snap/a", &sealed).unwrap(), b"plain");
        assert!(open(&own, RecordKind::Snapshot, "snap/b", &sealed).is_err());
        assert!(open(&own, RecordKind::Config, "snap/a", &sealed).is_err());
        assert!(open(&other, RecordKind::Snapshot, "snap/a", &sealed).is_err());
    }
}
