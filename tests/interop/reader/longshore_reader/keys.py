"""From a password to the secrets of a repository (sections 3 and 4): the only module that knows slots and keysets."""

import hmac

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from . import FormatError, VersionError
from .parse import Parser
from .seal import Keys, hkdf, open_sealed, verify

PASSWORD, KEY_FILE, RECOVERY_KEY = 1, 2, 3
MOVER, MAINTENANCE = 1, 2


def repository_id(header):
    """The object `repo`."""
    parser = Parser("repo", header)
    parser.require(len(header) == 64, "it has 64 bytes")
    parser.magic(b"LONGSHOR")
    parser.version()
    parser.zeros(2)
    repository = parser.take(16)
    parser.zeros(4)
    parser.require(parser.take(32) == blake3(header[:32]).digest(), "checksum")
    return repository


def unlock(store, repository, password):
    """The keys of a repository, by a password that opens one of its slots."""
    slot_id, private, anchor = _open_slot(store, repository, password)
    revision = _newest_valid(store, repository, anchor)
    return _open_revision(revision, repository, slot_id, private)


def _open_slot(store, repository, password):
    tried = 0
    for name in store.list(f"keys/{repository.hex()}/"):
        parser = Parser(name, store.get(name))
        parser.require(len(parser.data) == 200, "a slot has 200 bytes")
        parser.magic(b"LSKS")
        parser.version()
        kind = parser.u8()
        parser.zeros(1)
        parser.require(parser.take(16) == repository, "another repository's slot")
        slot_id = parser.take(16)
        parser.require(name.endswith("/" + slot_id.hex()), "it stands at another name than its own")
        memory, passes, lanes = parser.u32(), parser.u32(), parser.u32()
        salt, commitment = parser.take(32), parser.take(32)
        head = parser.data[: parser.at]
        if kind != PASSWORD:
            continue
        parser.require(memory <= 256 << 10 and passes <= 16 and lanes <= 4, "a cost above the limits")
        tried += 1
        derive = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        secret = derive.derive(password)
        if not hmac.compare_digest(hkdf(secret, repository, b"longshore/1/slot/commitment"), commitment):
            continue
        key = hkdf(secret, repository, b"longshore/1/slot/key")
        opened = Parser(name, open_sealed(key, 0, head, parser.rest(), name))
        private = opened.take(32)
        anchor = (opened.u32(), opened.take(32))
        opened.finish()
        return slot_id, private, anchor
    raise FormatError(f"the password opens none of {tried} slots")


class _Revision:
    def __init__(self, name, data, repository):
        self.data = data
        parser = Parser(name, data)
        parser.magic(b"LSKR")
        parser.version()
        parser.zeros(2)
        parser.require(parser.take(16) == repository, "another repository's keyset")
        self.number = parser.u32()
        self.previous, self.authority = parser.take(32), parser.take(32)
        self.head = data[: parser.at]
        self.entries = {}
        count = parser.u32()
        parser.require(count <= 256, "too many entries")
        for _ in range(count):
            slot_id, kind, role = parser.take(16), parser.u8(), parser.u8()
            parser.require(role in (MOVER, MAINTENANCE), "unknown role")
            ephemeral = parser.take(32)
            self.entries[slot_id] = (kind, role, ephemeral, parser.take(48 if role == MOVER else 80))
        length = parser.u32()
        parser.require(length <= 128 << 10, "too long")
        self.members, self.maintenance = parser.take(length), parser.take(48)
        self.signed = data[: parser.at]
        self.signature = parser.take(64)
        parser.finish()


def _newest_valid(store, repository, anchor):
    """Follows the signatures from the anchor to the highest revision that is valid."""
    begin, authority = anchor
    prefix, last = f"keyset/{repository.hex()}/", None
    for name in store.list(prefix):
        digits = name.removeprefix(prefix)
        if len(digits) != 8 or not digits.isdigit() or int(digits) <= begin:
            continue
        try:
            revision = _Revision(name, store.get(name), repository)
            verify(authority, revision.signature, b"longshore/1/signed keyset" + revision.signed, name)
        except VersionError:
            raise
        except FormatError:
            continue
        if revision.number != int(digits) or not _links(revision, last, anchor):
            continue
        last, authority = revision, revision.authority
    if last is None:
        raise FormatError("no keyset revision is valid")
    return last


def _links(revision, last, anchor):
    """Whether it holds the hash of the revision before it, as far as that is known."""
    if last and last.number == revision.number - 1:
        return blake3(last.data).digest() == revision.previous
    if revision.number == 1:
        return revision.previous == bytes(32) and revision.authority == anchor[1]
    return True


def _open_revision(revision, repository, slot_id, private):
    if slot_id not in revision.entries:
        raise FormatError("the key was removed")
    _kind, role, ephemeral, wrapped = revision.entries[slot_id]
    own = X25519PrivateKey.from_private_bytes(private)
    public = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    shared = own.exchange(X25519PublicKey.from_public_bytes(ephemeral))
    number = revision.number.to_bytes(4, "little")
    info = b"longshore/1/keyset/wrap" + repository + number + slot_id + bytes([role])
    key = hkdf(shared, ephemeral + public, info)
    content_key = open_sealed(key, 0, b"", wrapped, "the keys of a slot")[:32]
    plain = open_sealed(content_key, 0, revision.head, revision.members, "the keyset")
    parser = Parser("keyset", plain)
    parser.version()
    root = parser.take(32)
    epochs = _ascending(parser)
    authorities = _ascending(parser)
    parser.require(authorities[-1][1] == revision.authority, "another authority than its head says")
    listed = [_slot(parser) for _ in range(parser.u32())]
    parser.finish()
    parser.require(
        listed == [(id, kind, role) for id, (kind, role, _, _) in revision.entries.items()],
        "its slots are not those that it is sealed to",
    )
    return Keys(repository, root, dict(epochs), authorities)


def _ascending(parser):
    count = parser.u32()
    parser.require(1 <= count <= 1024, "how many epochs")
    found = [(parser.u32(), parser.take(32)) for _ in range(count)]
    parser.require(all(a[0] < b[0] for a, b in zip(found, found[1:])), "epochs out of order")
    return found


def _slot(parser):
    slot_id, kind, role = parser.take(16), parser.u8(), parser.u8()
    parser.u32(), parser.take(32), parser.take(32)
    parser.take(parser.u8()).decode()
    return slot_id, kind, role
