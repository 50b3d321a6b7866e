//! A store that bears few requests at a time.

use crate::support::{COST, Never, back_up, noise, open, password, run_id};
use longshore_repo::{
    Repository, RepositorySettings, Run,
    store::{AdaptiveStore, Concurrency, FolderStore, Store},
};
use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

/// Fetches that are ahead of the workers must not keep the places that the workers' own requests need.
#[test]
fn many_chunks_are_read_though_the_store_bears_one_request_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let one = Concurrency { start: NonZeroUsize::MIN, max: NonZeroUsize::MIN };
    let store = Arc::new(FolderStore::new(folder.path().join("repository")));
    let store: Arc<dyn Store> = Arc::new(AdaptiveStore::new(store, one));
    let limits = RepositorySettings { pack_bytes: 1 << 20, ..RepositorySettings::default() };
    let repository = Repository::init_with(store.clone(), &password(), COST, limits).unwrap();
    let volume = noise(1, 40 << 20);
    back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let repository = open(&store).unwrap();
        let reader = repository.open_volume(&repository.resolve("latest").unwrap()).unwrap();
        let spans = (0..reader.span_count()).filter_map(|span| reader.span(span).unwrap());
        let runs = spans.flatten().filter_map(|run| match run {
            Run::Chunk(chunk) => Some(chunk),
            Run::Hole { .. } => None,
        });
        let chunks: Vec<_> = runs.collect();
        let read = AtomicUsize::new(0);
        let deliver = |_, bytes: &[u8]| -> Result<(), Never> {
            read.fetch_add(bytes.len(), Relaxed);
            Ok(())
        };
        repository.read_chunks(&chunks, &deliver).unwrap();
        sender.send(read.into_inner()).unwrap();
    });
    let read_bytes = receiver.recv_timeout(Duration::from_secs(60)).expect("it waits for itself");
    assert_eq!(read_bytes, volume.len());
}
