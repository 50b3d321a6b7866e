//! Durable bytes of a repository: names, packs, index, map, manifest
