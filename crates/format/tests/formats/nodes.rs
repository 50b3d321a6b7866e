use crate::golden;
use longshore_format::{
    ChunkId, ChunkRef, Location, NodeId, NodeRef, PackId, Place, Run,
    hint::HintPlace,
    map::{Profile, VolumeChild, VolumeInterior, VolumeLeaf, height, span_count, span_length_bytes},
    node::{Node, NodeParts},
    tree::{
        Directory, DirectoryIndex, DirectoryPart, Entry, EntryContent, EntryKind, FileIndex, FilePart,
        FileRuns, Time, Xattr,
    },
};

const OWN: PackId = PackId([9; 32]);

fn place(number: u8) -> Place {
    Place {
        pack: PackId([number % 3; 32]),
        slot: number.into(),
        offset_bytes: 1000 * u32::from(number),
        length_bytes: 77,
    }
}

fn chunk(number: u8, length_bytes: u32) -> Run {
    let location = Location::Stored(place(number));
    Run::Chunk(ChunkRef { id: ChunkId([number; 32]), length_bytes, location })
}

fn node(number: u8) -> NodeRef {
    NodeRef { id: NodeId([number; 32]), location: Location::Stored(place(number)) }
}

fn entry(name: &[u8], kind: EntryKind, content: EntryContent) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: 0o4755,
        uid: 1000,
        gid: 100,
        size_bytes: 5,
        modified: Time { seconds: -5, nanoseconds: 999_999_999 },
        changed: Time { seconds: 1 << 40, nanoseconds: 1 },
        accessed: (kind == EntryKind::File).then_some(Time::default()),
        inode: 7,
        device: 8,
        links: 2,
        device_node: 0x0801,
        hard_link_group: 3,
        xattrs: vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }],
        content,
    }
}

/// One node of each kind, with every kind of entry.
pub fn nodes() -> Vec<(&'static str, Node)> {
    let entries =
        vec![entry(b"\xff\xfe not utf-8", EntryKind::File, EntryContent::Inline(b"hello".to_vec()))];
    let mut all = vec![
        entry(
            b"a-file",
            EntryKind::File,
            EntryContent::Runs(vec![chunk(1, 5), Run::Hole { length_bytes: 1 << 40 }, chunk(2, 6)]),
        ),
        entry(b"b-dir", EntryKind::Directory, EntryContent::Directory(node(3))),
        entry(b"c-link", EntryKind::Symlink, EntryContent::Symlink(b"../x".to_vec())),
        entry(b"d-block", EntryKind::BlockDevice, EntryContent::None),
        entry(b"e-char", EntryKind::CharacterDevice, EntryContent::None),
        entry(b"f-fifo", EntryKind::Fifo, EntryContent::None),
        entry(b"g-socket", EntryKind::Socket, EntryContent::None),
        entry(b"h-large", EntryKind::File, EntryContent::File(node(4))),
        entry(b"i-empty", EntryKind::File, EntryContent::None),
    ];
    all.extend(entries);
    vec![
        (
            "volume-leaf",
            Node::VolumeLeaf(VolumeLeaf {
                profile: Profile::A4k,
                runs: vec![
                    chunk(1, 32 << 10),
                    Run::Hole { length_bytes: 64 << 10 },
                    chunk(2, 128 << 10),
                    chunk(1, 32 << 10),
                ],
            }),
        ),
        (
            "volume-interior",
            Node::VolumeInterior(VolumeInterior {
                level: 1,
                children: vec![
                    VolumeChild { slot: 0, data_bytes: 5, node: node(1) },
                    VolumeChild { slot: 255, data_bytes: u64::MAX, node: node(2) },
                ],
            }),
        ),
        ("directory", Node::Directory(Directory { entries: all })),
        ("directory-empty", Node::Directory(Directory::default())),
        (
            "directory-index",
            Node::DirectoryIndex(DirectoryIndex {
                parts: vec![
                    DirectoryPart { first_name: b"a".to_vec(), node: node(5) },
                    DirectoryPart { first_name: b"b".to_vec(), node: node(6) },
                ],
            }),
        ),
        (
            "file-runs",
            Node::FileRuns(FileRuns {
                runs: vec![chunk(1, 1), Run::Hole { length_bytes: 3 }, chunk(2, 16 << 20)],
            }),
        ),
        (
            "file-index",
            Node::FileIndex(FileIndex {
                parts: vec![
                    FilePart { length_bytes: 9, node: node(7) },
                    FilePart { length_bytes: 10, node: node(8) },
                ],
            }),
        ),
    ]
}

pub fn encode(node: &Node) -> Vec<u8> {
    let hint = |(_, location): ([u8; 32], Location)| match location {
        Location::Stored(place) => HintPlace::Stored(place),
        _ => HintPlace::Unknown,
    };
    let hints: Vec<_> = node.references().into_iter().map(hint).collect();
    NodeParts::join(&node.canonical(), &hints)
}

#[test]
fn nodes_come_back_from_bytes_that_never_move() {
    for (name, node) in nodes() {
        let golden = golden::check(&format!("node-{name}.bin"), &encode(&node));
        let parts = NodeParts::split(&golden).unwrap();
        assert_eq!(Node::decode(&parts, Some(OWN)).unwrap(), node, "{name}");
    }
}

#[test]
fn hints_do_not_touch_what_the_id_covers() {
    for (_, node) in nodes() {
        let canonical = node.canonical();
        let count = node.references().len();
        let unknown = NodeParts::join(&canonical, &vec![HintPlace::Unknown; count]);
        let same = HintPlace::SamePack { slot: 1, offset_bytes: 2, length_bytes: 3 };
        let same = NodeParts::join(&canonical, &vec![same; count]);
        for (bytes, expected) in [
            (unknown, Location::Unknown),
            (same, Location::Stored(Place { pack: OWN, slot: 1, offset_bytes: 2, length_bytes: 3 })),
        ] {
            let parts = NodeParts::split(&bytes).unwrap();
            assert_eq!(parts.canonical, canonical);
            let read = Node::decode(&parts, Some(OWN)).unwrap();
            assert!(read.references().iter().all(|(_, location)| *location == expected));
        }
    }
}

#[test]
fn too_few_or_too_many_hints_are_refused() {
    for (name, node) in nodes() {
        let count = node.references().len();
        for wrong in [count + 1, count.saturating_sub(1)] {
            if wrong != count {
                let bytes = NodeParts::join(&node.canonical(), &vec![HintPlace::Unknown; wrong]);
                assert!(Node::decode(&NodeParts::split(&bytes).unwrap(), None).is_err(), "{name}");
            }
        }
    }
}

#[test]
fn names_that_could_leave_their_directory_are_refused() {
    for name in [&b"."[..], b"..", b"a/b", b"/", b"a\0b"] {
        let node =
            Node::Directory(Directory { entries: vec![entry(name, EntryKind::Fifo, EntryContent::None)] });
        let bytes = encode(&node);
        assert!(Node::decode(&NodeParts::split(&bytes).unwrap(), None).is_err(), "{name:?}");
    }
}

#[test]
fn entries_out_of_order_or_twice_are_refused() {
    for names in [[b"b", b"a"], [b"a", b"a"]] {
        let entries = names.iter().map(|name| entry(*name, EntryKind::Fifo, EntryContent::None)).collect();
        let bytes = encode(&Node::Directory(Directory { entries }));
        assert!(Node::decode(&NodeParts::split(&bytes).unwrap(), None).is_err());
    }
}

#[test]
fn maps_have_the_height_that_their_size_needs() {
    const SPAN: u64 = 64 << 20;
    let cases = [
        (0, 0, 0),
        (1, 1, 0),
        (SPAN, 1, 0),
        (SPAN + 1, 2, 1),
        (256 * SPAN, 256, 1),
        (256 * SPAN + 1, 257, 2),
    ];
    for (size, spans, levels) in cases {
        assert_eq!((span_count(size), height(size)), (spans, levels), "{size}");
    }
    assert_eq!(height(10 << 40), 3);
    assert_eq!(height(u64::MAX), 5);
    assert_eq!(span_length_bytes(SPAN + 1, 0), SPAN);
    assert_eq!(span_length_bytes(SPAN + 1, 1), 4096);
    assert_eq!(span_length_bytes(SPAN + 1, 2), 0);
    assert_eq!(span_length_bytes(u64::MAX, u64::MAX), 0);
}
