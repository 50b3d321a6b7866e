//! What every pass has at hand.

use std::sync::Arc;

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use longshore_api::DataDownload;
use longshore_telemetry::metrics::Metrics;

use crate::followers::Followers;
use crate::lanes::Lanes;
use crate::names::{LANE, RUN_UID, label};
use crate::options::Options;
use crate::slots::{Admissions, Queued, entries, is_waiting, is_working};
use crate::watches::Stores;
use longshore_job::chain;

/// What every pass needs.
pub struct Context {
    /// Client of the cluster.
    pub client: Client,
    /// Flags.
    pub options: Options,
    /// What the watches delivered.
    pub stores: Stores,
    /// UID of the `kube-system` namespace: the cluster's identity.
    pub cluster_uid: String,
    /// Counters.
    pub metrics: Metrics,
    /// Who was given a slot.
    pub admissions: Admissions,
    /// Which movers may share a node.
    pub lanes: Lanes,
    /// What Velero was last asked.
    pub velero: crate::velero::Memory,
    /// Tasks that copy a mover's progress.
    pub followers: Followers,
    recorder: Recorder,
}

impl Context {
    /// Puts the parts together.
    pub fn new(
        client: Client,
        options: Options,
        stores: Stores,
        cluster_uid: String,
        metrics: Metrics,
    ) -> Arc<Self> {
        let reporter = Reporter {
            controller: "longshore-operator".to_owned(),
            instance: std::env::var("POD_NAME").ok(),
        };
        let recorder = Recorder::new(client.clone(), reporter);
        Arc::new(Self {
            client,
            options,
            stores,
            cluster_uid,
            metrics,
            admissions: Admissions::default(),
            lanes: Lanes::default(),
            velero: crate::velero::Memory::default(),
            followers: Followers::default(),
            recorder,
        })
    }

    /// Whether a run may work now. Cheap for runs that do not wait.
    pub fn has_slot<K: Queued>(&self, run: &K) -> bool {
        if !is_waiting(run) {
            return is_working(run);
        }
        let stores = &self.stores;
        // Another mover's downloads take none of our slots.
        let is_ours = |run: &DataDownload| self.options.is_ours(run.spec.data_mover.as_deref());
        let all = [
            entries(&stores.backups.state()),
            entries(&stores.restores.state()),
            entries(&stores.velero.downloads.state_filter(is_ours)),
            entries(&stores.forgets.state()),
        ];
        self.admissions.admit(&run.uid().unwrap_or_default(), all.concat(), &self.options.slots())
    }

    /// The lane for a run's mover, if movers per node are limited.
    pub fn lane(&self, uid: &str) -> Option<u32> {
        let lanes = self.options.concurrent_per_node?;
        let jobs = self.stores.protected.values().flat_map(|protected| protected.jobs.state());
        let taken = jobs
            .filter_map(|job| {
                let lane = label(&job.metadata, LANE)?.parse().ok()?;
                Some((label(&job.metadata, RUN_UID)?.to_owned(), lane))
            })
            .collect();
        Some(self.lanes.choose(uid, &taken, lanes))
    }

    /// Tells the users of an object what happened. An event that cannot be written is no reason to stop.
    pub async fn tell<K>(&self, object: &K, warning: bool, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let mut note = note.to_owned();
        crate::reason::truncate(&mut note, 1000);
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::warn!(reason, error = %chain(&error), "an event could not be written");
        }
    }
}
