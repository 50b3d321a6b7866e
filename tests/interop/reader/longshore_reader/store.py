"""A repository in a folder: objects by name."""

import os


class Folder:
    def __init__(self, root):
        self.root = root

    def get(self, name):
        with open(os.path.join(self.root, name), "rb") as file:
            return file.read()

    def get_range(self, name, offset, length):
        with open(os.path.join(self.root, name), "rb") as file:
            file.seek(offset)
            return file.read(length)

    def size(self, name):
        return os.path.getsize(os.path.join(self.root, name))

    def exists(self, name):
        return os.path.isfile(os.path.join(self.root, name))

    def list(self, prefix):
        """All names that begin with a prefix, which is empty or ends with a slash."""
        names = []
        for folder, _, files in os.walk(os.path.join(self.root, prefix)):
            inner = os.path.relpath(folder, self.root)
            names += [file if inner == "." else f"{inner}/{file}" for file in files]
        return sorted(names)
