use crate::golden;
use longshore_format::{
    Class, NodeId, NodeRef, PackId, Place, RunId,
    config::RepositoryConfig,
    snapshot::{Content, KubernetesVolume, RecordNode, SnapshotRecord, SnapshotStats, SourceIdentity},
};
use std::collections::BTreeMap;

fn record(content: Content, source: SourceIdentity, kubernetes: Option<KubernetesVolume>) -> SnapshotRecord {
    SnapshotRecord {
        format: 1,
        run: RunId(uuid::Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001)),
        attempt: 1,
        source,
        started_at: "2026-11-22T00:00:00Z".parse().unwrap(),
        finished_at: "2026-11-22T00:01:02.5Z".parse().unwrap(),
        data_at: None,
        content,
        parent: Some(RunId(uuid::Uuid::from_u128(5))),
        incomplete: false,
        stats: SnapshotStats { read_bytes: 1, new_bytes: 2, ..SnapshotStats::default() },
        kubernetes,
        labels: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
        software: "longshore 0.1.0".into(),
    }
}

fn root() -> RecordNode {
    let place = Place { pack: PackId([2; 32]), slot: 3, offset_bytes: 4, length_bytes: 5 };
    RecordNode { id: NodeId([1; 32]), place: Some(place) }
}

pub fn volume_record() -> SnapshotRecord {
    let kubernetes = KubernetesVolume {
        cluster_uid: "c".into(),
        namespace: "shop".into(),
        pvc_name: "db".into(),
        requested_bytes: 1 << 30,
        storage_class: Some("fast".into()),
        volume_mode: "Block".into(),
        access_modes: vec!["ReadWriteOnce".into()],
        driver: "lab.csi".into(),
        snapshot_handle: "snap-1".into(),
        ..KubernetesVolume::default()
    };
    let source = SourceIdentity::Pvc { cluster_uid: "c".into(), namespace: "shop".into(), pvc: "db".into() };
    record(Content::Volume { size_bytes: 1 << 30, root: Some(root()) }, source, Some(kubernetes))
}

#[test]
fn records_come_back_from_bytes_that_never_move() {
    let tree = record(
        Content::Tree { size_bytes: 5, root: RecordNode { place: None, ..root() } },
        SourceIdentity::Path { host: "h".into(), path: "/srv".into() },
        None,
    );
    for (name, record) in [("snapshot-volume.json", volume_record()), ("snapshot-tree.json", tree)] {
        let golden = golden::check(name, &record.encode().unwrap());
        assert_eq!(SnapshotRecord::decode(&golden).unwrap(), record);
    }
    let config = RepositoryConfig {
        format: 1,
        pack_bytes: 16 << 20,
        compression_level: 1,
        chunk_bytes: [32 << 10, 128 << 10, 512 << 10],
        silence_limit_seconds: 1800,
        reader_grace_seconds: 0,
        reserve_bytes: 0,
        store: None,
        software: "longshore 0.1.0".into(),
    };
    let golden = golden::check("config.json", &config.encode().unwrap());
    assert_eq!(RepositoryConfig::decode(&golden).unwrap(), config);
    let reserved = RepositoryConfig { reserve_bytes: 64 << 20, ..config.clone() };
    assert_eq!(RepositoryConfig::decode(&reserved.encode().unwrap()).unwrap(), reserved);
    for bad in [[0, 1, 2], [32 << 10, 32 << 10, 64 << 10], [32 << 10, 128 << 10, 1 << 30]] {
        let bytes = RepositoryConfig { chunk_bytes: bad, ..config.clone() }.encode().unwrap();
        assert!(RepositoryConfig::decode(&bytes).is_err(), "{bad:?}");
    }
}

#[test]
fn fields_of_tomorrow_are_ignored_and_formats_of_tomorrow_refused() {
    let text = String::from_utf8(volume_record().encode().unwrap()).unwrap();
    let more = text.replacen('{', "{\"invented\":[1,2],", 1);
    assert_eq!(SnapshotRecord::decode(more.as_bytes()).unwrap(), volume_record());
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert_eq!(SnapshotRecord::decode(newer.as_bytes()).unwrap_err().class(), Class::Unsupported);
}

#[test]
fn a_root_without_a_place_is_asked_of_the_index() {
    let node = NodeRef::from(RecordNode { place: None, ..root() });
    assert_eq!(node.location, longshore_format::Location::Unknown);
}
