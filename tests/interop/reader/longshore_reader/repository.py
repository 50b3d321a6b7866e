"""An open repository: records, packs, index, chunks and nodes (sections 6 to 8)."""

import json
import struct
from dataclasses import dataclass

import zstandard
from blake3 import blake3

from . import FormatError, index, keys, node
from .node import Place, Ref
from .parse import Parser
from .seal import TRAILER_ORDINAL, open_sealed, verify
from .store import Folder

DATA, META = 1, 2
KINDS = {1: "config", 2: "snapshot", 3: "fence", 4: "session", 5: "plan", 6: "result", 7: "forget", 8: "bad",
         9: "checkpoint"}
SIGNED = ("config", "plan", "result", "forget", "bad", "checkpoint")
FORMAT = 1


@dataclass
class Pack:
    """The plain end of a pack, and the key that it leads to."""

    key: bytes
    footer: bytes
    trailer_offset: int
    trailer_length: int


class Repository:
    def __init__(self, folder, password):
        self.store = Folder(folder)
        self.id = keys.repository_id(self.store.get("repo"))
        self.keys = keys.unlock(self.store, self.id, password)
        self._packs = {}
        self._index = None
        self.config = self._config()

    # Records

    def record(self, name, wanted):
        """The JSON of a record, and the epoch that sealed it."""
        kind, epoch, body = self.open_record(name)
        if kind not in wanted:
            raise FormatError(f"{name} is a {kind}")
        if kind in SIGNED:
            signature, body = body[:64], body[64:]
            code = next(code for code, word in KINDS.items() if word == kind)
            encoded = name.encode()
            message = b"longshore/1/signed record" + self.id + bytes([code])
            message += struct.pack("<I", len(encoded)) + encoded + blake3(body).digest()
            verify(self.keys.authority(epoch), signature, message, name)
        value = json.loads(body)
        if value.get("format", FORMAT) > FORMAT:
            raise FormatError(f"{name} has format {value['format']}")
        return kind, epoch, value

    def open_record(self, name):
        parser = Parser(name, self.store.get(name))
        parser.magic(b"LSRC")
        parser.version()
        code = parser.u8()
        parser.require(code in KINDS, "unknown kind")
        parser.zeros(1)
        epoch, salt, commitment = parser.u32(), parser.take(32), parser.take(32)
        head = parser.data[: parser.at]
        key = self.keys.object_key(KINDS[code].encode(), epoch, salt, commitment, name)
        body = open_sealed(key, 0, self.id + head + name.encode(), parser.rest(), name)
        return KINDS[code], epoch, body

    def _config(self):
        """The highest revision of the newest authority's epochs, or else the highest of all."""
        newest = self.keys.authorities[-1][0]
        fallback = None
        for name in reversed(self.store.list(f"config/{self.id.hex()}/")):
            _, epoch, value = self.record(name, ["config"])
            if epoch >= newest:
                return value
            fallback = fallback or value
        if fallback is None:
            raise FormatError("there is no configuration")
        return fallback

    def snapshots(self):
        """All snapshots that nobody forgot, with their names."""
        found = []
        for name in self.store.list("snap/"):
            _, source, run, attempt = name.split("/")
            kind, _, value = self.record(name, ["snapshot", "fence"])
            if kind == "fence" or self._is_forgotten(source, run):
                continue
            if (value["run"], value["attempt"]) != (run, int(attempt)) or self.source_id(value["source"]).hex() != source:
                raise FormatError(f"{name} holds another snapshot's record")
            found.append(value)
        return sorted(found, key=lambda value: (value["finishedAt"], value["run"]))

    def _is_forgotten(self, source, run):
        name = f"forget/{source}/{run}"
        if not self.store.exists(name):
            return False
        _, _, value = self.record(name, ["forget"])
        return (value["source"], value["run"]) == (source, run)

    def source_id(self, source):
        if source["kind"] == "pvc":
            parts = ["pvc", source["clusterUid"], source["namespace"], source["pvc"]]
        else:
            parts = ["path", source["host"], source["path"]]
        return self.keys.source_id([part.encode() for part in parts])

    def root(self, content):
        """The root node that a record names."""
        root = content["root"]
        place = root.get("place")
        if place:
            place = Place(bytes.fromhex(place["pack"]), place["slot"], place["offsetBytes"], place["lengthBytes"])
        return Ref(bytes.fromhex(root["id"]), place)

    # Packs

    def pack_name(self, kind, pack):
        return f"{'data' if kind == DATA else 'meta'}/{pack.hex()[:2]}/{pack.hex()}"

    def pack(self, kind, pack):
        if pack not in self._packs:
            name = self.pack_name(kind, pack)
            size = self.store.size(name)
            self._packs[pack] = self._footer(kind, name, self.store.get_range(name, size - 128, 128), size)
        return self._packs[pack]

    def _footer(self, kind, name, footer, size):
        parser = Parser(name, footer)
        parser.magic(b"LSPK")
        parser.version()
        parser.require(parser.u8() == kind, "another kind of pack")
        parser.zeros(1)
        epoch, salt, commitment = parser.u32(), parser.take(32), parser.take(32)
        offset, length = parser.u32(), parser.u32()
        parser.zeros(128 - parser.at)
        parser.require(offset + length + 128 == size, "its length")
        purpose = b"data" if kind == DATA else b"meta"
        return Pack(self.keys.object_key(purpose, epoch, salt, commitment, name), footer, offset, length)

    def frame(self, kind, id, place):
        """The plaintext of a frame. Its id is proven by the caller."""
        pack, name = self.pack(kind, place.pack), self.pack_name(kind, place.pack)
        sealed = self.store.get_range(name, place.offset, place.length)
        return self.open_frame(kind, pack, id, place.slot, sealed, name)

    def trailer(self, kind, id, pack):
        """The frames of a pack: ids and lengths; they lie without gaps."""
        name = self.pack_name(kind, id)
        sealed = self.store.get_range(name, pack.trailer_offset, pack.trailer_length)
        associated = self.id + b"trailer" + pack.footer
        parser = Parser(name, open_sealed(pack.key, TRAILER_ORDINAL, associated, sealed, f"the trailer of {name}"))
        parser.take(16)
        count = parser.u32()
        parser.require(count <= 16384, "too many frames")
        frames = [(parser.take(32), parser.u32()) for _ in range(count)]
        parser.finish()
        parser.require(sum(length for _, length in frames) == pack.trailer_offset, "its frames do not fill it")
        return frames

    def open_frame(self, kind, pack, id, slot, sealed, name):
        associated = self.id + bytes([kind]) + id + struct.pack("<I", slot)
        opened = open_sealed(pack.key, slot, associated, sealed, f"a frame of {name}")
        (word,) = struct.unpack_from("<I", opened)
        length, encoding, payload = word & 0xFFFFFF, word >> 24, opened[4:]
        if encoding == 1:
            payload = zstandard.ZstdDecompressor().decompress(payload, max_output_size=length)
        elif encoding != 0:
            raise FormatError(f"a frame of {name} has an unknown encoding")
        if len(payload) != length:
            raise FormatError(f"a frame of {name} has another length than it says")
        return payload

    def _find(self, kind, ref, prove):
        """By hint, and where that is wrong by the index."""
        for place in self._places(kind, ref):
            try:
                plain = self.frame(kind, ref.id, place)
            except (FormatError, FileNotFoundError):
                continue
            if prove(plain):
                return plain, place.pack
        raise FormatError(f"{'chunk' if kind == DATA else 'node'} {ref.id.hex()} is in no pack")

    def _places(self, kind, ref):
        if ref.place:
            yield ref.place
        if self._index is None:
            self._index = index.load(self)
        yield from self._index.get((kind, ref.id), [])

    def chunk(self, ref, length):
        plain, _ = self._find(DATA, ref, lambda plain: self.keys.chunk_id(plain) == ref.id and len(plain) == length)
        return plain

    def node(self, ref):
        plain, pack = self._find(META, ref, lambda plain: self.keys.node_id(node.split(plain)[0]) == ref.id)
        return node.decode(plain, pack)
