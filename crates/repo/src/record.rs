//! Sealing and opening small records. Their names are bound in, so that none can stand for another.

use crate::{RepoError, io::Io};
use longshore_crypto::{CryptoError, Purpose, RepositoryKeys, random_bytes};
use longshore_format::{
    FormatError,
    sealed::{Authority, EnvelopeHead, RecordKind, SEAL_BYTES_MAX},
};

/// Seals a record, and signs it if its kind is maintenance's. [`crate::Class::NoAuthority`] if a mover's keys are to write one.
pub(crate) fn seal(
    keys: &RepositoryKeys,
    kind: RecordKind,
    name: &str,
    plain: &[u8],
) -> Result<Vec<u8>, RepoError> {
    if plain.len() > kind.bytes_max() {
        let (found, limit) = (plain.len() as u64, kind.bytes_max() as u64);
        return Err(RepoError::format(name)(FormatError::Limit { what: kind.as_str(), found, limit }));
    }
    let (epoch, salt) = (keys.newest_epoch(), random_bytes()?);
    let (key, commitment) = keys.object_key(Purpose::Record(kind), epoch, &salt)?;
    let head = EnvelopeHead { kind, epoch, salt, commitment }.encode();
    let mut out = Vec::with_capacity(head.len() + SEAL_BYTES_MAX + plain.len());
    out.extend_from_slice(&head);
    if kind.authority() == Authority::Maintenance {
        out.extend_from_slice(&keys.sign_record(kind, name, plain)?);
    }
    out.extend_from_slice(plain);
    key.seal(0, &associated(keys, &head, name), &mut out, head.len())?;
    Ok(out)
}

/// Opens a record, and requires maintenance's signature if its kind is maintenance's.
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
    let opened = key
        .open("sealed record", 0, &associated(keys, &head.encode(), name), &mut body)
        .map_err(RepoError::seal(name))?;
    let mut plain = &*opened;
    if kind.authority() == Authority::Maintenance {
        let unsigned = RepoError::seal(name)(CryptoError::NotSigned { what: kind.as_str() });
        let (signature, rest) = opened.split_first_chunk().ok_or(unsigned)?;
        keys.verify_record(kind, name, rest, head.epoch, signature).map_err(RepoError::seal(name))?;
        plain = rest;
    }
    Ok(plain.to_vec())
}

/// Reads and opens a record.
pub(crate) fn read(
    io: &Io,
    keys: &RepositoryKeys,
    kind: RecordKind,
    name: &str,
) -> Result<Vec<u8>, RepoError> {
    open(keys, kind, name, &io.get(name, kind.object_bytes_max() as u64)?)
}

fn associated(keys: &RepositoryKeys, head: &[u8], name: &str) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), head, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;
    use longshore_crypto::Keyset;
    use longshore_format::RepositoryId;

    const NAME: &str = "some/name";

    fn keyset() -> Keyset {
        Keyset::for_tests([2; 32], [3; 32])
    }

    fn keys(repository: u8, keyset: Keyset) -> RepositoryKeys {
        RepositoryKeys::new(RepositoryId([repository; 16]), keyset).unwrap()
    }

    fn class(result: Result<Vec<u8>, RepoError>) -> Class {
        result.unwrap_err().class()
    }

    #[test]
    fn a_record_opens_only_under_its_own_name_kind_and_repository() {
        let (own, other) = (keys(1, keyset()), keys(2, keyset()));
        for kind in RecordKind::ALL {
            let sealed = seal(&own, kind, NAME, b"plain").unwrap();
            assert_eq!(open(&own, kind, NAME, &sealed).unwrap(), b"plain");
            assert_eq!(class(open(&own, kind, "some/other", &sealed)), Class::Corrupt);
            assert_eq!(class(open(&other, kind, NAME, &sealed)), Class::Corrupt);
            for wrong in RecordKind::ALL.into_iter().filter(|wrong| *wrong != kind) {
                assert_eq!(class(open(&own, wrong, NAME, &sealed)), Class::Corrupt, "{kind:?} as {wrong:?}");
                let mut relabelled = sealed.clone();
                relabelled[6] = wrong.code();
                assert_eq!(
                    class(open(&own, wrong, NAME, &relabelled)),
                    Class::Corrupt,
                    "{kind:?} as {wrong:?}"
                );
            }
        }
    }

    #[test]
    fn a_mover_writes_what_members_may_and_nothing_else() {
        let (mover, maintenance) = (keys(1, keyset().to_mover()), keys(1, keyset()));
        for kind in RecordKind::ALL {
            let sealed = seal(&mover, kind, NAME, b"plain");
            match kind.authority() {
                Authority::Member => {
                    assert_eq!(open(&maintenance, kind, NAME, &sealed.unwrap()).unwrap(), b"plain");
                }
                Authority::Maintenance => {
                    assert_eq!(class(sealed), Class::NoAuthority, "{kind:?}");
                    let signed = seal(&maintenance, kind, NAME, b"plain").unwrap();
                    assert_eq!(open(&mover, kind, NAME, &signed).unwrap(), b"plain", "a mover can read it");
                }
            }
        }
    }

    /// A mover can seal whatever he likes by hand; what he cannot do is sign it.
    #[test]
    fn records_that_are_sealed_but_not_signed_are_refused() {
        let (keys, kind) = (keys(1, keyset()), RecordKind::Forget);
        let by_hand = |inside: &[u8]| {
            let (key, commitment) = keys.object_key(Purpose::Record(kind), 1, &[9; 32]).unwrap();
            let head = EnvelopeHead { kind, epoch: 1, salt: [9; 32], commitment }.encode();
            let mut out = [&head, inside].concat();
            key.seal(0, &associated(&keys, &head, NAME), &mut out, head.len()).unwrap();
            out
        };
        let signed = |name, kind, plain: &[u8]| {
            [keys.sign_record(kind, name, plain).unwrap().as_slice(), b"plain"].concat()
        };
        assert_eq!(open(&keys, kind, NAME, &by_hand(&signed(NAME, kind, b"plain"))).unwrap(), b"plain");
        let foreign = RepositoryKeys::new(RepositoryId([2; 16]), keyset()).unwrap();
        let foreign = [foreign.sign_record(kind, NAME, b"plain").unwrap().as_slice(), b"plain"].concat();
        for wrong in [
            b"plain".to_vec(),
            [&[0; 64][..], b"plain"].concat(),
            signed(NAME, kind, b"other"),
            signed("some/other", kind, b"plain"),
            signed(NAME, RecordKind::Plan, b"plain"),
            foreign,
        ] {
            assert_eq!(class(open(&keys, kind, NAME, &by_hand(&wrong))), Class::Corrupt);
        }
    }

    #[test]
    fn records_beyond_their_limit_are_neither_written_nor_read() {
        let keys = keys(1, keyset());
        for kind in [RecordKind::Snapshot, RecordKind::Forget, RecordKind::Plan] {
            let most = vec![b'x'; kind.bytes_max()];
            let sealed = seal(&keys, kind, NAME, &most).unwrap();
            assert!(sealed.len() <= kind.object_bytes_max());
            assert!(open(&keys, kind, NAME, &sealed).unwrap() == most);
            assert!(seal(&keys, kind, NAME, &[most, vec![0]].concat()).is_err());
            assert!(open(&keys, kind, NAME, &[sealed, vec![0; 100]].concat()).is_err());
        }
    }
}
