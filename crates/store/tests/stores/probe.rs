//! Places that break one promise each are found out, and nothing is left there.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{TryStreamExt as _, stream::BoxStream};
use jiff::SignedDuration;
use longshore_store::{
    Class, ObjectInfo, Operation, ProbeError, Promise, Store, StoreCapabilities, StoreError, StoreKind,
    memory, probe,
};
use longshore_testkit::{Fault, FaultStore, RightsStore};
use std::sync::Arc;

/// How a store treats "create only if there is nothing".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// It does not look at it.
    Ignored,
    /// It looks first and writes afterwards: two may look at the same time.
    LooksFirst,
    /// It answers as if it had honoured it.
    Pretended,
    /// It says that it knows no such thing.
    Refused,
    /// Nobody ever wins.
    NeverWon,
}

/// A store whose creates or times are not what they should be.
#[derive(Debug)]
struct Odd {
    inner: Arc<dyn Store>,
    condition: Option<Condition>,
    clock_slips: bool,
    deletes_lie: bool,
}

impl Odd {
    fn with(condition: Option<Condition>) -> Self {
        Self { inner: memory(), condition, clock_slips: false, deletes_lie: false }
    }

    async fn overwrite(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.inner.delete(name).await?;
        self.inner.create(name, body).await
    }
}

#[async_trait]
impl Store for Odd {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let taken = self.inner.info(name).await.is_ok();
        let exists = Err(StoreError::new(Class::AlreadyExists, Operation::Create, name));
        match self.condition {
            None => self.inner.create(name, body).await,
            Some(Condition::Ignored) => self.overwrite(name, body).await,
            Some(Condition::LooksFirst) if taken => exists,
            Some(Condition::LooksFirst) => {
                tokio::task::yield_now().await;
                self.overwrite(name, body).await
            }
            Some(Condition::Pretended) => {
                self.overwrite(name, body).await?;
                if taken { exists } else { Ok(()) }
            }
            Some(Condition::Refused) => Err(StoreError::new(Class::Permanent, Operation::Create, name)
                .caused_by("<Code>NotImplemented</Code><Message>A header you provided implies …</Message>")),
            Some(Condition::NeverWon) if name.contains("race") => {
                let _ = self.inner.create(name, body).await;
                exists
            }
            Some(Condition::NeverWon) => self.inner.create(name, body).await,
        }
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get(name, limit_bytes).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get_tail(name, length_bytes).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let mut info = self.inner.info(name).await?;
        if self.clock_slips {
            info.modified_at += SignedDuration::from_secs(3600);
        }
        Ok(info)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        if self.deletes_lie { Ok(()) } else { self.inner.delete(name).await }
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.inner.list(prefix)
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        "odd".to_owned()
    }
}

async fn left(store: &dyn Store) -> Vec<ObjectInfo> {
    store.list("").try_collect().await.unwrap()
}

#[tokio::test]
async fn a_store_without_conditional_create_is_refused_with_what_to_do() {
    for (condition, evidence) in [
        (Condition::Ignored, "took a second create"),
        (Condition::LooksFirst, "racing creates succeeded"),
        (Condition::Pretended, "overwrote"),
        (Condition::Refused, "not implemented"),
        (Condition::NeverWon, "0 of 4"),
    ] {
        let store = Odd::with(Some(condition));
        let error = probe(&store).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ProbeError::NoConditionalCreate { .. }), "{condition:?}: {text}");
        assert!(text.contains(evidence) && text.contains("If-None-Match"), "{condition:?}: {text}");
        assert_eq!(left(&store).await, [], "{condition:?}");
    }
}

#[tokio::test]
async fn other_broken_promises_are_named() {
    let promise = |error: ProbeError| match error {
        ProbeError::Broken { promise, .. } => promise,
        error => panic!("{error:?}"),
    };
    for (operation, nth, fault, expected) in [
        (Operation::Read, 0, Fault::FlipBit(9), Promise::ReadAfterWrite),
        (Operation::Read, 0, Fault::FailBefore(Class::NotFound), Promise::ReadAfterWrite),
        (Operation::Read, 1, Fault::FlipBit(9), Promise::RangedRead),
        (Operation::Read, 2, Fault::FlipBit(9), Promise::RangedRead),
        // The first listing comes before the first object.
        (Operation::List, 1, Fault::StaleList, Promise::ListAfterWrite),
    ] {
        let inner = memory();
        let seen = std::sync::atomic::AtomicU64::new(0);
        let faults = FaultStore::new(inner.clone(), move |_, request| {
            let here = request.operation == operation
                && seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == nth;
            here.then_some(fault)
        });
        assert_eq!(promise(probe(&*faults).await.unwrap_err()), expected, "{operation:?} {nth}");
        assert_eq!(left(&*inner).await, []);
    }
    let slips = Odd { clock_slips: true, ..Odd::with(None) };
    assert_eq!(promise(probe(&slips).await.unwrap_err()), Promise::Times);
    let lies = Odd { deletes_lie: true, ..Odd::with(None) };
    assert_eq!(promise(probe(&lies).await.unwrap_err()), Promise::DeleteIsSeen);
}

#[tokio::test]
async fn rights_are_capabilities_and_not_failures() {
    let mover = RightsStore::new(memory(), |operation, _| operation != Operation::Delete);
    let found = probe(&*mover).await.unwrap();
    assert!(found.conditional_create && !found.deletes);
    // Each object of the probe is still there, and all of them where probes live.
    let names: Vec<String> = left(&*mover).await.into_iter().map(|info| info.name).collect();
    assert!(names.len() == 6 && names.iter().all(|name| name.starts_with("probe/")), "{names:?}");
    let reader = RightsStore::new(memory(), |operation, _| operation != Operation::Create);
    assert_eq!(probe(&*reader).await.unwrap_err().class(), Class::AccessDenied);
}

#[tokio::test]
async fn capabilities_are_written_as_other_documents_are() {
    let found = probe(&*memory()).await.unwrap();
    let text = serde_json::to_string(&found).unwrap();
    assert!(
        text.starts_with(r#"{"kind":"objects","conditionalCreate":true,"deletes":true,"probedAt":""#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<StoreCapabilities>(&text).unwrap(), found);
}
