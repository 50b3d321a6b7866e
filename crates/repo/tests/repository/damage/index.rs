//! Damage of the index, and what it must not hold up.

use super::{
    SOURCES, Scene, check, comes_back, delete, flip, prune_all, repair_packs, replace, scene, snapshot, with,
};
use crate::support::{back_up, class, objects, open, run_id, store_of};
use longshore_repo::store::Store;
use std::sync::Arc;

/// Bytes of a segment's footer.
const FOOTER_BYTES: usize = longshore_format::index::FOOTER_BYTES;

fn segments(store: &Arc<dyn Store>) -> Vec<String> {
    objects(store).into_keys().filter(|name| name.starts_with("idx/")).collect()
}

/// The scene's store after its first snapshot was forgotten and pruned away.
fn pruned(scene: &Scene) -> Arc<dyn Store> {
    let store = store_of(&scene.objects);
    let repository = open(&store).unwrap();
    repository.forget(&snapshot(&repository, 1), "test", jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(prune_all(&store).plan, 1);
    store
}

/// A version that is not known is damage like any other bit, for whoever asks the index.
#[test]
fn a_segment_whose_footer_is_damaged_anywhere_holds_nothing_up() {
    let scene = scene();
    let name = scene.of_first("idx/").remove(0);
    let body = &scene.objects[&name];
    for at in 0..FOOTER_BYTES {
        let store = with(&scene.objects, &name, Some(flip(body, body.len() - 1 - at)));
        assert!(comes_back(&store, 1, &scene.volumes[0]), "byte {at}");
        let repository = open(&store).unwrap();
        back_up(&repository, SOURCES[0], run_id(3), &scene.volumes[0], None).unwrap();
        let report = open(&store).unwrap().rebuild_index().unwrap();
        assert_eq!(report.damaged_segments.len(), 1, "byte {at}");
        assert!(!objects(&store).contains_key(&name), "what is listed anew needs it no more");
        assert_eq!(check(&store, true).problems, [], "byte {at}");
    }
}

/// What is written under an older plan counts no more.
#[test]
fn an_index_that_is_rebuilt_after_a_prune_counts() {
    let scene = scene();
    let store = pruned(&scene);
    segments(&store).iter().for_each(|name| delete(&store, name));
    let report = open(&store).unwrap().rebuild_index().unwrap();
    assert!(report.added_packs > 0, "{report:?}");
    assert_eq!(open(&store).unwrap().rebuild_index().unwrap().added_packs, 0, "they are listed now");
    let repository = open(&store).unwrap();
    let again = back_up(&repository, "again", run_id(3), &scene.volumes[1], None).unwrap();
    assert_eq!(again.snapshot().record.stats.new_chunks, 0);
}

#[test]
fn prune_replaces_segments_that_its_last_result_names_and_that_are_lost() {
    let scene = scene();
    let store = pruned(&scene);
    let lost = segments(&store).into_iter().find(|name| name.starts_with("idx/1/")).unwrap();
    delete(&store, &lost);
    open(&store).unwrap().rebuild_index().unwrap();
    assert_eq!(check(&store, true).problems.len(), 1, "the result names it");
    prune_all(&store);
    assert_eq!(check(&store, true).problems, []);
    assert!(comes_back(&store, 2, &scene.volumes[1]));
}

/// The same pack may be damaged too: then only the damaged segment still says what it held.
#[test]
fn a_damaged_segment_still_says_what_a_pack_held_whose_trailer_is_lost() {
    let scene = scene();
    let name = scene.of_first("idx/").remove(0);
    let pack = scene.of_first("data/").remove(0);
    let store = store_of(&scene.objects);
    let (segment, body) = (&scene.objects[&name], &scene.objects[&pack]);
    // In the last page of fingerprints: the sections before it can be read.
    let head_bytes = FOOTER_BYTES + 200;
    replace(&store, &name, flip(segment, segment.len() - head_bytes));
    let trailer = longshore_format::pack::PackFooter::decode(body).unwrap().trailer_offset_bytes as usize;
    replace(&store, &pack, flip(body, trailer + 5));
    let report = open(&store).unwrap().rebuild_index().unwrap();
    assert_eq!((report.damaged_segments.len(), report.unreadable_packs.len()), (1, 1));
    let repair = repair_packs(&store);
    assert!(repair.damaged[0].frames > 0 && repair.saved_bytes > 0, "{repair:?}");
    assert!(comes_back(&store, 1, &scene.volumes[0]));
}

/// Prune asks the index for what stands in packs that it does not list.
#[test]
fn prune_goes_on_or_asks_for_a_rebuild_when_a_segment_is_damaged() {
    let scene = scene();
    for name in segments(&store_of(&scene.objects)) {
        let store = with(&scene.objects, &name, Some(flip(&scene.objects[&name], 20)));
        let prune = open(&store).unwrap().prune(&longshore_repo::PruneOptions::default(), &mut |_| {});
        assert_eq!(class(prune), longshore_repo::Class::Corrupt, "most of the index is lost");
        open(&store).unwrap().rebuild_index().unwrap();
        prune_all(&store);
        assert_eq!(check(&store, true).problems, []);
    }
}
