"""Snapshots back onto a disk, byte for byte."""

import os
import socket
import stat

from . import FormatError
from .node import (
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, FILE, SOCKET, SPAN, SYMLINK, Run,
)


def volume(repository, record, target):
    """Writes a volume; holes are left out of the file."""
    size = record["content"]["sizeBytes"]
    with open(target, "wb") as out:
        out.truncate(size)
        for span, leaf in spans(repository, record["content"]):
            at, end = span * SPAN, min((span + 1) * SPAN, size)
            for run in leaf.runs:
                if run.chunk:
                    data = repository.chunk(run.chunk, run.length)
                    out.seek(at)
                    out.write(data[: max(0, size - at)])
                at += run.length
            if at < end or at - end >= 4096:
                raise FormatError(f"span {span} has another length than the volume")


def height(size):
    """The least h with 256^h >= spans."""
    spans_count, h = -(-size // SPAN), 0
    while 256**h < spans_count:
        h += 1
    return h


def spans(repository, content):
    """The leaves of a volume's map, with the numbers of their spans."""
    if content.get("root") is None:
        return
    top = height(content["sizeBytes"])

    def below(ref, level, first):
        node = repository.node(ref)
        if level == 0:
            if node.kind != "leaf":
                raise FormatError("no leaf at the bottom of a map")
            yield first, node
            return
        if node.kind != "interior" or node.level != level:
            raise FormatError("no interior node where one should be")
        for slot, child in node.children:
            yield from below(child, level - 1, first + slot * 256 ** (level - 1))

    yield from below(repository.root(content), top, 0)


def tree(repository, record, target):
    """Makes a tree with everything that a file system keeps."""
    root = repository.node(repository.root(record["content"]))
    if root.kind != "directory" or len(root.entries) != 1 or root.entries[0].name != b"":
        raise FormatError("the root of a tree is one entry without a name")
    os.makedirs(target, exist_ok=True)
    _Tree(repository).directory(root.entries[0], os.fsencode(target))


class _Tree:
    def __init__(self, repository):
        self.repository = repository
        self.groups = {}

    def directory(self, entry, path):
        for child in entries(self.repository, entry.content[1]):
            self.entry(child, os.path.join(path, child.name))
        attributes(entry, path)

    def entry(self, entry, path):
        if entry.group and entry.group in self.groups:
            os.link(self.groups[entry.group], path, follow_symlinks=False)
            return
        if entry.group:
            self.groups[entry.group] = path
        if entry.kind == DIRECTORY:
            os.mkdir(path, 0o700)
            self.directory(entry, path)
            return
        if entry.kind == FILE:
            self.file(entry, path)
        elif entry.kind == SYMLINK:
            os.symlink(entry.content[1], path)
        elif entry.kind == FIFO:
            os.mkfifo(path)
        elif entry.kind == SOCKET:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
        else:
            kind = {BLOCK_DEVICE: stat.S_IFBLK, CHARACTER_DEVICE: stat.S_IFCHR}[entry.kind]
            number = os.makedev(entry.device_node >> 32, entry.device_node & 0xFFFFFFFF)
            os.mknod(path, kind | 0o600, number)
        attributes(entry, path)

    def file(self, entry, path):
        with open(path, "wb") as out:
            out.truncate(entry.size)
            if entry.content[0] == "inline":
                out.write(entry.content[1])
                return
            at = 0
            for run in runs(self.repository, entry.content):
                if run.chunk:
                    out.seek(at)
                    out.write(self.repository.chunk(run.chunk, run.length))
                at += run.length
            if at != entry.size:
                raise FormatError(f"the runs of {path!r} are not its size")


def attributes(entry, path):
    """Owner first: changing it takes special bits of the mode away. Times last: everything else changes them."""
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if entry.kind != SYMLINK:
        os.chmod(path, entry.mode & 0o7777)
    for name, value in entry.xattrs:
        os.setxattr(path, name, value, follow_symlinks=False)
    accessed = entry.mtime if entry.atime is None else entry.atime
    os.utime(path, ns=(accessed, entry.mtime), follow_symlinks=False)


def entries(repository, ref):
    """The entries of a directory in the order of names."""
    node = repository.node(ref)
    if node.kind == "directory":
        yield from node.entries
    elif node.kind == "directory index":
        for _first_name, child in node.children:
            yield from entries(repository, child)
    else:
        raise FormatError(f"a {node.kind} is no directory")


def runs(repository, content) -> list[Run]:
    """The runs of a file in order."""
    if content[0] == "runs":
        yield from content[1]
    elif content[0] == "file":
        node = repository.node(content[1])
        if node.kind == "file runs":
            yield from node.runs
        elif node.kind == "file index":
            for _length, child in node.children:
                yield from runs(repository, ("file", child))
        else:
            raise FormatError(f"a {node.kind} is no file")
