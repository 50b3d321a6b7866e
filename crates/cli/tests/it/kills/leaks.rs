//! What may be left when prune has nothing more to do.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;

use super::scene::Scene;

/// So many checkpoints are kept.
const CHECKPOINTS_MAX: usize = 10;

/// Names of all objects.
pub fn names(scene: &Scene) -> Vec<String> {
    let (store, runtime) = (scene.store(), tokio::runtime::Runtime::new().unwrap());
    let listing = async { store.list("").map_ok(|object| object.name).try_collect::<Vec<_>>().await };
    runtime.block_on(listing).unwrap()
}

/// Every pack holds something that a snapshot needs, and beside packs there is only what the format allows for.
///
/// What snapshots need is found as `longshore stats` finds it: by walking their trees from the records, without asking prune.
pub fn assert_nothing_leaked(scene: &Scene) {
    // Before anything else: who looks is a session, too.
    let names = names(scene);
    let repository = scene.repository();
    let stats = repository.stats(repository.snapshots().unwrap(), &mut |_| {}).unwrap();
    assert_eq!(stats.usage.missing, 0);
    let packs = stats.data_packs.objects + stats.meta_packs.objects;
    assert_eq!(stats.usage.packs, packs, "{:?}: packs that no snapshot needs: {stats:?}", scene.place);
    let plans: BTreeSet<&str> =
        names.iter().filter_map(|name| name.strip_prefix("gc/")?.split('/').next()).collect();
    let newest = plans.last().copied().unwrap_or("00000000");
    let allowed = |name: &&String| {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["repo" | "reserve"]
            | ["keys" | "keyset" | "config" | "forget" | "snap" | "data" | "meta", ..] => true,
            // A segment that stands under an earlier plan counts no more.
            ["idx", "0", plan, _] => *plan >= newest,
            ["idx", "1", _] => true,
            ["gc", plan, "plan" | "result"] => *plan == newest,
            _ => false,
        }
    };
    let (checkpoints, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.starts_with("ckpt/"));
    assert!(checkpoints.len() <= CHECKPOINTS_MAX, "{:?}: {checkpoints:?}", scene.place);
    let leaked: Vec<&String> = others.into_iter().filter(|name| !allowed(name)).collect();
    assert!(leaked.is_empty(), "{:?}: {leaked:?}", scene.place);
    // Records of snapshots that are not listed are fences, or they should be gone.
    let records = names.iter().filter(|name| name.starts_with("snap/")).count();
    let fences = records - stats.snapshots.len();
    println!("{:?}: {packs} packs for {} snapshots, {fences} fences", scene.place, stats.snapshots.len());
}

/// When everything is forgotten, no pack and no segment is left.
pub fn assert_empty(scene: &Scene) {
    let mut left = names(scene);
    left.retain(|name| !["repo", "reserve"].contains(&name.as_str()));
    left.retain(|name| {
        let stays = ["keys/", "keyset/", "config/", "forget/", "gc/", "snap/", "ckpt/"];
        !stays.iter().any(|prefix| name.starts_with(prefix))
    });
    assert!(left.is_empty(), "{:?}: leaked {left:?}", scene.place);
}
