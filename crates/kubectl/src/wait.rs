//! Waiting for an object to be what is wanted, and saying meanwhile how far it is.

use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use longshore_api::{VolumeSnapshotBackup, VolumeSnapshotRestore};
use serde::de::DeserializeOwned;

use crate::entry::Entry;
use crate::failure::Failure;

/// What can be waited for.
pub trait Watched {
    /// Where it stands, in one line.
    fn describe(&self) -> String;
}

impl Watched for VolumeSnapshotBackup {
    fn describe(&self) -> String {
        Entry::from(self).progress()
    }
}

impl Watched for VolumeSnapshotRestore {
    fn describe(&self) -> String {
        Entry::from(self).progress()
    }
}

/// Lines of progress: each is said once, and never twice the same.
#[derive(Default)]
struct Told(String);

impl Told {
    /// The line, if it is news.
    fn news(&mut self, line: String) -> Option<&str> {
        if line == self.0 {
            return None;
        }
        self.0 = line;
        Some(&self.0)
    }
}

/// Watches an object until `wanted` is true of it. An object that is there and then gone is a failure, and so is the end of `limit`.
pub async fn until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Option<Duration>,
    wanted: impl Fn(&K) -> bool,
) -> Result<K, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Watched + 'static,
{
    let mut told = Told("nothing".to_owned());
    let watching = watch(api, name, &mut told, wanted);
    match limit {
        None => watching.await,
        Some(limit) => match tokio::time::timeout(limit, watching).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(Failure::TimedOut { what: what.to_owned(), seconds: limit.as_secs(), seen: told.0 })
            }
        },
    }
}

async fn watch<K>(
    api: &Api<K>,
    name: &str,
    told: &mut Told,
    wanted: impl Fn(&K) -> bool,
) -> Result<K, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Watched + 'static,
{
    let stream = watcher::watch_object(api.clone(), name).default_backoff();
    futures::pin_mut!(stream);
    let gone = || Failure::NotFound {
        message: format!("{} {name} was deleted while it was waited for", K::kind(&())),
        advice: "Somebody cancelled it. Start again if that was a mistake.".to_owned(),
    };
    while let Some(seen) = stream.next().await {
        match seen {
            Ok(Some(object)) => {
                if let Some(line) = told.news(object.describe()) {
                    eprintln!("{line}");
                }
                if wanted(&object) {
                    return Ok(object);
                }
            }
            Ok(None) => return Err(gone()),
            // Another try cannot help here; after everything else the watcher begins anew by itself.
            Err(error) => {
                if let Some(source) = refusal(error) {
                    return Err(Failure::api(format!("watch {} {name}", K::kind(&())), source));
                }
            }
        }
    }
    Err(gone())
}

/// The API server's refusal, if the error is one.
fn refusal(error: watcher::Error) -> Option<kube::Error> {
    let source = match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => source,
        _ => return None,
    };
    matches!(&source, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404)).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_news_is_told() {
        let mut told = Told::default();
        assert_eq!(told.news("a".into()), Some("a"));
        assert_eq!(told.news("a".into()), None);
        assert_eq!(told.news("b".into()), Some("b"));
    }

    #[test]
    fn a_refusal_ends_the_wait_and_a_hiccup_does_not() {
        let api = |code: u16| {
            let status = kube::core::Status { code, ..kube::core::Status::success() };
            watcher::Error::WatchFailed(kube::Error::Api(Box::new(status)))
        };
        assert!(refusal(api(403)).is_some());
        assert!(refusal(api(500)).is_none());
        assert!(refusal(watcher::Error::NoResourceVersion).is_none());
    }
}
