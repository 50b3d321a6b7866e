"""Index segments (section 8): where a chunk or node is, if a hint does not say it rightly."""

from dataclasses import dataclass

from .node import Place
from .parse import Parser
from .seal import HEAD_ORDINAL, open_sealed

TABLE_ORDINAL, PAGES_ORDINAL = 2**30, 2**31
TAG = 16


@dataclass
class Segment:
    """Packs with their frames, and the fingerprint pages."""

    packs: list
    pages: list


def names(repository):
    """The segments that count: what the newest result lists, and level 0 from its plan on."""
    store = repository.store
    newest, level1 = -1, None
    for name in store.list("gc/"):
        _, number, *rest = name.split("/")
        if rest == ["result"] and int(number) > newest:
            _, _, result = repository.record(name, ["result"])
            newest, level1 = int(number), result["level1"]
    found = [f"idx/1/{segment}" for segment in level1 or []]
    for name in store.list("idx/0/"):
        if int(name.split("/")[2]) >= newest:
            found.append(name)
    return found


def load(repository):
    """All places of all ids. A reader of large repositories would look ids up instead."""
    places = {}
    for name in names(repository):
        for kind, pack, frames in read(repository, name).packs:
            offset = 0
            for slot, (id, length) in enumerate(frames):
                places.setdefault((kind, id), []).append(Place(pack, slot, offset, length))
                offset += length
    return places


def read(repository, name):
    """Opens every part of a segment."""
    data = repository.store.get(name)
    footer = data[-128:]
    parser = Parser(name, footer)
    parser.magic(b"LSIX")
    parser.version()
    level = parser.u8()
    parser.zeros(1)
    epoch, salt, commitment = parser.u32(), parser.take(32), parser.take(32)
    plan, head_offset, head_length = parser.u64(), parser.u32(), parser.u32()
    parser.zeros(128 - parser.at)
    folder = name.split("/")
    parser.require(level == int(folder[1]) and plan == (int(folder[2]) if level == 0 else 0), "its place")
    parser.require(head_offset + head_length + 128 == len(data), "its length")
    key = repository.keys.object_key(b"index", epoch, salt, commitment, name)
    head = open_sealed(key, HEAD_ORDINAL, repository.id + b"index head" + footer, data[head_offset:-128], name)
    parts = _Parts(repository, key, name, data)
    head = Parser(name, head)
    packs, entries = head.u32(), head.u32()
    head.require(1 <= packs <= 8192 and packs <= entries <= 1 << 20, "its counts")
    fences = [head.u64() for _ in range(-(-entries // 4096))]
    head.finish()

    parts.at = 36 * entries + TAG * packs
    table = [_table_page(parts, number, packs) for number in range(-(-packs // 256))]
    table = [entry for page in table for entry in page]
    pages = [_page(parts, number, entries) for number in range(len(fences))]
    head.require(parts.at == head_offset, "its parts do not fill it")
    head.require([page[0][0] for page in pages] == fences == sorted(fences), "its fences are not those of its pages")

    parts.at, before, found = 0, 0, []
    for number, (pack, kind, count, count_before) in enumerate(table):
        head.require(count > 0 and count_before == before, "its packs do not fill it")
        before += count
        section = Parser(name, parts.open(number, 36 * count))
        found.append((kind, pack, [(section.take(32), section.u32()) for _ in range(count)]))
    head.require(before == entries, "its packs do not fill it")
    return Segment(found, pages)


class _Parts:
    def __init__(self, repository, key, name, data):
        self.associated = repository.id + b"index part"
        self.key, self.name, self.data, self.at = key, name, data, 0

    def open(self, ordinal, length):
        sealed = self.data[self.at : self.at + length + TAG]
        self.at += length + TAG
        return open_sealed(self.key, ordinal, self.associated, sealed, f"a part of {self.name}")


def _table_page(parts, number, packs):
    count = min(256, packs - number * 256)
    page = Parser(parts.name, parts.open(TABLE_ORDINAL + number, 40 * count))
    entries = []
    for _ in range(count):
        pack, kind = page.take(32), page.u8()
        page.zeros(1)
        entries.append((pack, kind, page.u16(), page.u32()))
    return entries


def _page(parts, number, entries):
    count = min(4096, entries - number * 4096)
    page = Parser(parts.name, parts.open(PAGES_ORDINAL + number, 10 * count))
    return [(page.u64(), page.u16()) for _ in range(count)]
