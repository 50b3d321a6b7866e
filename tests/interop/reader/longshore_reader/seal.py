"""Deriving keys, opening seals, naming content (section 4)."""

import hashlib
import hmac
import struct

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import FormatError

HEAD_ORDINAL = TRAILER_ORDINAL = 2**32 - 1


def hkdf(secret, salt, info):
    """HKDF-SHA256 (RFC 5869) with 32 bytes out: one block."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def open_sealed(key, ordinal, associated, sealed, what):
    """AES-256-GCM; the nonce is the ordinal and eight zero bytes."""
    nonce = struct.pack("<I", ordinal) + bytes(8)
    try:
        return AESGCM(key).decrypt(nonce, bytes(sealed), associated)
    except InvalidTag:
        raise FormatError(f"{what} does not open: it is damaged or stands where it does not belong") from None


def verify(public, signature, message, what):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise FormatError(f"the signature of {what} is not valid") from None


class Keys:
    """All that the secrets of a repository are for."""

    def __init__(self, repository, root, epochs, authorities):
        self.repository = repository
        self.epochs = epochs
        self.authorities = authorities
        sub = lambda purpose: hkdf(root, repository, b"longshore/1/" + purpose)
        self._chunk_id, self._node_id, self._name = sub(b"chunk id"), sub(b"node id"), sub(b"name")
        self._objects = {}

    def chunk_id(self, plain):
        return blake3(plain, key=self._chunk_id).digest()

    def node_id(self, canonical):
        return blake3(canonical, key=self._node_id).digest()

    def source_id(self, parts):
        data = b"".join(struct.pack("<Q", len(part)) + part for part in parts)
        return blake3(data, key=self._name).digest()[:16]

    def object_key(self, purpose, epoch, salt, commitment, what):
        """The key of a sealed object; its commitment is compared before anything is opened."""
        if epoch not in self.epochs:
            raise FormatError(f"{what} was sealed in epoch {epoch}, which the keyset does not have")
        secret = hkdf(self.epochs[epoch], self.repository, b"longshore/1/seal/" + purpose)
        if not hmac.compare_digest(hkdf(secret, salt, b"commitment"), commitment):
            raise FormatError(f"the commitment of {what} is another key's")
        return hkdf(secret, salt, b"key")

    def authority(self, epoch):
        """Whose signature counts for what was sealed in an epoch: the last whose first epoch is not above it."""
        found = [public for first, public in self.authorities if first <= epoch]
        if not found:
            raise FormatError(f"epoch {epoch} has no authority")
        return found[-1]
