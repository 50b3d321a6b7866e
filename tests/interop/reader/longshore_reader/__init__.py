"""An independent reader of Longshore repositories.

Written from docs/format.md alone, in another language and with other libraries, so that the document is known to be enough.
It reads a repository in a folder, lists its snapshots, proves every byte that it can, and restores volumes and trees.
"""


class FormatError(Exception):
    """The repository is not what docs/format.md says."""


class VersionError(FormatError):
    """It was written by a newer version."""
