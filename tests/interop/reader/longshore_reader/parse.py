"""Little-endian fields, one after the other."""

import struct

from . import FormatError, VersionError


class Parser:
    def __init__(self, what, data):
        self.what = what
        self.data = data
        self.at = 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise FormatError(f"{self.what} ends early")
        piece = self.data[self.at : self.at + length]
        self.at += length
        return piece

    def _number(self, form):
        (value,) = struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))
        return value

    def u8(self):
        return self._number("B")

    def u16(self):
        return self._number("H")

    def u32(self):
        return self._number("I")

    def u64(self):
        return self._number("Q")

    def i64(self):
        return self._number("q")

    def rest(self):
        return self.take(len(self.data) - self.at)

    def require(self, condition, why):
        if not condition:
            raise FormatError(f"{self.what}: {why}")

    def magic(self, magic):
        self.require(self.take(len(magic)) == magic, "wrong magic")

    def version(self, known=1):
        version = self.u16()
        if version > known:
            raise VersionError(f"{self.what} has version {version}")
        self.require(version > 0, "version 0")

    def zeros(self, length):
        self.require(self.take(length) == bytes(length), "reserved bytes are not zero")

    def finish(self):
        self.require(self.at == len(self.data), "bytes after the end")
