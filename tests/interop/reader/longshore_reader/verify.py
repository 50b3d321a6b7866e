"""Every byte of a repository, read and proven."""

from blake3 import blake3

from . import FormatError, index, node
from .repository import DATA, META


def everything(repository):
    """Returns how many of each kind of object were proven; the first that is wrong is an error."""
    store = repository.store
    counts = {"packs": 0, "frames": 0, "segments": 0, "records": 0}
    trailers = {}
    for kind, prefix in ((DATA, "data/"), (META, "meta/")):
        for name in store.list(prefix):
            pack = _named(store, name)
            trailers[pack] = _pack(repository, kind, pack, name)
            counts["packs"] += 1
            counts["frames"] += len(trailers[pack])
    for name in store.list("idx/"):
        _named(store, name)
        _segment(repository, name, trailers)
        counts["segments"] += 1
    for prefix in ("config/", "snap/", "forget/", "gc/", "sess/"):
        for name in store.list(prefix):
            if "/clock/" not in name:
                _record(repository, name)
                counts["records"] += 1
    return counts


def _named(store, name):
    digest = blake3(store.get(name)).hexdigest()
    if not name.endswith("/" + digest):
        raise FormatError(f"{name} is not the hash of its content")
    return bytes.fromhex(digest)


def _pack(repository, kind, id, name):
    pack = repository.pack(kind, id)
    frames = repository.trailer(kind, id, pack)
    data, offset = repository.store.get(name), 0
    for slot, (frame_id, length) in enumerate(frames):
        plain = repository.open_frame(kind, pack, frame_id, slot, data[offset : offset + length], name)
        if kind == DATA:
            proven = repository.keys.chunk_id(plain) == frame_id
        else:
            node.decode(plain, id)
            proven = repository.keys.node_id(node.split(plain)[0]) == frame_id
        if not proven:
            raise FormatError(f"frame {slot} of {name} is not what its id says")
        offset += length
    return frames


def _segment(repository, name, trailers):
    segment = index.read(repository, name)
    fingerprints = []
    for number, (_kind, pack, frames) in enumerate(segment.packs):
        # A pack that was condemned may be gone.
        if trailers.get(pack, frames) != frames:
            raise FormatError(f"{name} lists other frames of a pack than the pack itself")
        fingerprints += [(int.from_bytes(id[8:16], "little"), number) for id, _ in frames]
    if [entry for page in segment.pages for entry in page] != sorted(fingerprints):
        raise FormatError(f"the fingerprints of {name} are not those of its frames")


def _record(repository, name):
    kinds = {
        "config": ["config"], "snap": ["snapshot", "fence"], "forget": ["forget"], "gc": ["plan", "result"],
        "sess": ["session"],
    }
    repository.record(name, kinds[name.split("/")[0]])
