"""Nodes of volume maps and trees (sections 9 and 10)."""

from dataclasses import dataclass, field

from .parse import Parser

UNKNOWN, SAME_PACK = 65535, 65534
BLOCK = 4096
SPAN = 64 << 20


@dataclass
class Place:
    """Where a frame lies."""

    pack: bytes
    slot: int
    offset: int
    length: int


@dataclass
class Ref:
    """A chunk or node, and where it was last seen."""

    id: bytes
    place: Place | None


@dataclass
class Run:
    """A hole, if there is no chunk."""

    length: int
    chunk: Ref | None


@dataclass
class Entry:
    name: bytes
    kind: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    ctime: int
    atime: int | None
    inode: int
    device: int
    links: int
    device_node: int
    group: int
    xattrs: list = field(default_factory=list)
    content: tuple = ("none",)


@dataclass
class Node:
    kind: str
    runs: list = field(default_factory=list)
    children: list = field(default_factory=list)
    entries: list = field(default_factory=list)
    level: int = 0


FILE, DIRECTORY, SYMLINK, BLOCK_DEVICE, CHARACTER_DEVICE, FIFO, SOCKET = range(1, 8)


class Hints:
    def __init__(self, data, own_pack):
        parser = Parser("hints", data)
        count = parser.u16()
        parser.require(count <= 4096, "too many packs")
        packs = [parser.take(32) for _ in range(count)]
        self.places = []
        for _ in range(parser.u32()):
            number, slot = parser.u16(), parser.u16()
            offset, length = parser.u32(), parser.u32()
            if number == UNKNOWN:
                self.places.append(None)
                continue
            if number != SAME_PACK:
                parser.require(number < len(packs), "a hint names no pack")
            pack = own_pack if number == SAME_PACK else packs[number]
            self.places.append(Place(pack, slot, offset, length))
        parser.finish()
        self.places.reverse()

    def ref(self, id):
        if not self.places:
            raise ValueError("fewer hints than references")
        return Ref(id, self.places.pop())


def split(plain):
    """The canonical part and the hints of an opened frame."""
    parser = Parser("node", plain)
    canonical = parser.take(parser.u32())
    return canonical, parser.rest()


def decode(plain, own_pack):
    canonical, rest = split(plain)
    hints = Hints(rest, own_pack)
    parser = Parser("node", canonical)
    parser.require(parser.u8() == 1, "unknown version")
    kind = parser.u8()
    decoders = {1: _leaf, 2: _interior, 3: _directory, 4: _directory_index, 5: _file_runs, 6: _file_index}
    parser.require(kind in decoders, "unknown kind")
    node = decoders[kind](parser, hints)
    parser.finish()
    parser.require(not hints.places, "more hints than references")
    return node


def _leaf(parser, hints):
    parser.require(parser.u8() == 1, "unknown profile")
    parser.zeros(1)
    shapes = [(parser.u16(), parser.u8()) for _ in range(parser.u32())]
    runs = []
    for blocks, is_chunk in shapes:
        parser.require(blocks > 0 and is_chunk in (0, 1), "a run of a leaf")
        chunk = hints.ref(parser.take(32)) if is_chunk else None
        parser.require(chunk or not runs or runs[-1].chunk, "two holes touch")
        runs.append(Run(blocks * BLOCK, chunk))
    return Node("leaf", runs=runs)


def _interior(parser, hints):
    level = parser.u8()
    parser.require(1 <= level <= 5, "level")
    children, last = [], -1
    count = parser.u32()
    parser.require(count <= 256, "too many children")
    for _ in range(count):
        slot, _data_bytes = parser.u8(), parser.u64()
        parser.require(slot > last, "children out of order")
        last = slot
        children.append((slot, hints.ref(parser.take(32))))
    return Node("interior", children=children, level=level)


def _directory(parser, hints):
    entries = [_entry(parser, hints) for _ in range(parser.u32())]
    names = [entry.name for entry in entries]
    parser.require(all(a < b for a, b in zip(names, names[1:])), "names out of order")
    return Node("directory", entries=entries)


def _directory_index(parser, hints):
    children = [(parser.take(parser.u16()), hints.ref(parser.take(32))) for _ in range(parser.u32())]
    return Node("directory index", children=children)


def _file_runs(parser, hints):
    return Node("file runs", runs=_runs(parser, hints, 4096))


def _file_index(parser, hints):
    count = parser.u32()
    parser.require(count <= 4096, "too many parts")
    children = [(parser.u64(), hints.ref(parser.take(32))) for _ in range(count)]
    return Node("file index", children=children)


def _runs(parser, hints, limit):
    count = parser.u32()
    parser.require(count <= limit, "too many runs")
    runs = []
    for _ in range(count):
        kind = parser.u8()
        parser.require(kind in (0, 1), "unknown kind of run")
        if kind == 0:
            runs.append(Run(parser.u64(), None))
        else:
            length = parser.u32()
            runs.append(Run(length, hints.ref(parser.take(32))))
    return runs


def _time(parser):
    seconds, nanoseconds = parser.i64(), parser.u32()
    parser.require(nanoseconds < 10**9, "nanoseconds")
    return seconds * 10**9 + nanoseconds


def _entry(parser, hints):
    name = parser.take(parser.u16())
    parser.require(name not in (b".", b"..") and b"/" not in name and b"\0" not in name, "a name that is no name")
    kind, mode, uid, gid = parser.u8(), parser.u32(), parser.u32(), parser.u32()
    parser.require(FILE <= kind <= SOCKET, "unknown kind of entry")
    size = parser.u64()
    mtime, ctime = _time(parser), _time(parser)
    atime = _time(parser) if parser.u8() else None
    inode, device, links = parser.u64(), parser.u64(), parser.u64()
    device_node, group = parser.u64(), parser.u64()
    xattrs = [(parser.take(parser.u16()), parser.take(parser.u32())) for _ in range(parser.u16())]
    return Entry(
        name, kind, mode, uid, gid, size, mtime, ctime, atime, inode, device, links, device_node, group, xattrs,
        _content(parser, hints),
    )


def _content(parser, hints):
    code = parser.u8()
    if code == 0:
        return ("none",)
    if code == 1:
        length = parser.u16()
        parser.require(length <= 512, "a small file that is large")
        return ("inline", parser.take(length))
    if code == 2:
        return ("runs", _runs(parser, hints, 64))
    if code == 3:
        return ("file", hints.ref(parser.take(32)))
    if code == 4:
        return ("directory", hints.ref(parser.take(32)))
    parser.require(code == 5, "unknown kind of content")
    return ("symlink", parser.take(parser.u16()))
