//! Reads the cluster into [`Facts`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Secret, ServiceAccount};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use longshore_api::labels::{RUN, RUN_UID, Role, has_role, label};
use longshore_api::{DataDownload, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use serde::de::DeserializeOwned;

use super::facts::{
    ChildFact, Facts, Known, NamedSecret, NamespaceState, ProtectedNamespace, Right, SnapshotClassFact,
};
use super::rights::{of_operator, of_user};
use crate::cluster::{Session, get, list};
use crate::entry::Entry;
use crate::failure::{Class, Failure};
use crate::found::{self, DATA_MOVER};
use crate::kind::Kind;
use crate::place::{Operator, find_operators};

/// Questions to the API server at once.
const AT_ONCE: usize = 8;

const SERVED: &[(&str, &str, &[&str])] = &[
    ("datamover.oadp.openshift.io", "v1alpha1", &["volumesnapshotbackups", "volumesnapshotrestores"]),
    ("longshore.dev", "v1alpha1", &["repositories", "forgetrequests"]),
    (
        "snapshot.storage.k8s.io",
        "v1",
        &["volumesnapshots", "volumesnapshotcontents", "volumesnapshotclasses"],
    ),
];

/// Looks at everything. A cluster that does not answer at all is a failure; what the user may not see is a fact.
pub async fn gather(session: &Session) -> Result<Facts, Failure> {
    let served = served(session).await?;
    let operators = known(find_operators(session).await);
    // Children first: a run that is made meanwhile then has its children unseen rather than itself.
    let (children, mut unknown) = children(session).await;
    let found = found::gather(session, None, DATA_MOVER).await?;
    unknown.extend(found.unknown);
    let mut run_uids: Vec<String> = found.entries.iter().map(|entry| entry.uid.clone()).collect();
    match uids::<DataDownload>(&session.everywhere()).await {
        Ok(uids) => run_uids.extend(uids),
        Err(failure) if failure.class() == Class::NotFound => {}
        Err(failure) => unknown.push(failure.to_string()),
    }
    let all: &[Operator] = operators.value().map(Vec::as_slice).unwrap_or_default();
    let accounts: BTreeMap<&str, &str> = all
        .iter()
        .flat_map(|one| {
            one.protected_namespaces.iter().map(|name| (name.as_str(), one.mover_account.as_str()))
        })
        .collect();
    let protected: Vec<String> = accounts.keys().map(|name| (*name).to_owned()).collect();
    let namespaces =
        stream::iter(&accounts).map(|(name, account)| namespace(session, name, account)).buffered(AT_ONCE);
    let classes = list(&session.everywhere::<VolumeSnapshotClass>(), "").await;
    Ok(Facts {
        now: Timestamp::now(),
        namespaces: namespaces.collect().await,
        secrets: secrets(session, &found.entries).await,
        storage_classes: known(list(&session.everywhere::<StorageClass>(), "").await)
            .map(|classes| classes.into_iter().map(|class| (class.name_any(), class.provisioner)).collect()),
        snapshot_classes: known(classes).map(|classes| classes.iter().map(snapshot_class).collect()),
        drivers: known(list(&session.everywhere::<CSIDriver>(), "").await)
            .map(|drivers| drivers.iter().map(ResourceExt::name_any).collect()),
        own_rights: own_rights(session, &protected).await,
        operator_rights: operator_rights(session, all).await,
        served,
        operators,
        entries: found.entries,
        run_uids,
        children,
        unknown,
    })
}

impl<T> Known<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Known<U> {
        match self {
            Self::Is(value) => Known::Is(change(value)),
            Self::Unknown(why) => Known::Unknown(why),
        }
    }
}

fn known<T>(answer: Result<T, Failure>) -> Known<T> {
    match answer {
        Ok(value) => Known::Is(value),
        Err(failure) => Known::Unknown(failure.to_string()),
    }
}

fn snapshot_class(class: &VolumeSnapshotClass) -> SnapshotClassFact {
    SnapshotClassFact {
        name: class.metadata.name.clone().unwrap_or_default(),
        driver: class.driver.clone(),
        default: class.is_default(),
    }
}

/// Asks what is served, which everybody may know.
async fn served(session: &Session) -> Result<Vec<(&'static str, &'static str, Known<bool>)>, Failure> {
    let mut found = Vec::new();
    for (group, version, resources) in SERVED {
        let answer = session.client.list_api_group_resources(&format!("{group}/{version}")).await;
        let names: Known<Vec<String>> = match answer {
            Ok(answer) => Known::Is(answer.resources.into_iter().map(|one| one.name).collect()),
            Err(kube::Error::Api(status)) if status.code == 404 => Known::Is(Vec::new()),
            Err(kube::Error::Api(status)) => Known::Unknown(status.message.clone()),
            Err(source) => return Err(Failure::api("ask what the cluster serves", source)),
        };
        for resource in *resources {
            let is_served = names.clone().map(|names| names.iter().any(|name| name == resource));
            found.push((*resource, *group, is_served));
        }
    }
    Ok(found)
}

async fn namespace(session: &Session, name: &str, account: &str) -> ProtectedNamespace {
    let state = get(&session.everywhere::<Namespace>(), name).await;
    let present = known(get(&session.within::<ServiceAccount>(name), account).await);
    ProtectedNamespace {
        name: name.to_owned(),
        state: known(state).map(|found| {
            found.map(|namespace| NamespaceState {
                terminating: namespace.metadata.deletion_timestamp.is_some(),
                pod_security: label(&namespace.metadata, "pod-security.kubernetes.io/enforce")
                    .map(str::to_owned),
            })
        }),
        account: (account.to_owned(), present.map(|found| found.is_some())),
    }
}

/// The Secrets that Repositories and runs at work name. Only their metadata is asked for, so that no value leaves the API server.
async fn secrets(session: &Session, entries: &[Entry]) -> Vec<NamedSecret> {
    let mut named: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| !entry.over && !entry.ending) {
        let Some(namespace) = &entry.protected_namespace else { continue };
        for secret in &entry.secrets {
            let user = format!("{} {}/{}", entry.kind, entry.namespace, entry.name);
            named.entry((namespace, secret)).or_default().push(user);
        }
    }
    let look = |((namespace, name), users): ((&str, &str), Vec<String>)| {
        let api: Api<Secret> = session.within(namespace);
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        async move {
            let answer = api.get_metadata_opt(&name).await;
            let answer =
                answer.map_err(|source| Failure::api(format!("see whether Secret {name} exists"), source));
            NamedSecret { namespace, name, users, present: known(answer).map(|found| found.is_some()) }
        }
    };
    stream::iter(named).map(look).buffered(AT_ONCE).collect().await
}

fn attributes(right: &Right) -> ResourceAttributes {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    ResourceAttributes {
        group: Some(right.group.clone()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(right.verb.clone()),
        namespace: right.namespace.clone(),
        ..ResourceAttributes::default()
    }
}

async fn own_rights(session: &Session, protected: &[String]) -> Vec<(Right, &'static str, Known<bool>)> {
    let ask = |(right, needed_for): (Right, &'static str)| {
        let api: Api<SelfSubjectAccessReview> = session.everywhere();
        async move {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes(&right)),
                    non_resource_attributes: None,
                },
                ..Default::default()
            };
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|source| Failure::api("ask for your rights", source));
            let allowed = known(answer).map(|review| review.status.is_some_and(|status| status.allowed));
            (right, needed_for, allowed)
        }
    };
    let rights = of_user(&session.namespace, protected);
    stream::iter(rights).map(ask).buffered(AT_ONCE).collect().await
}

async fn operator_rights(session: &Session, operators: &[Operator]) -> Vec<(String, Right, Known<bool>)> {
    let ask = |(namespace, account, right): (String, String, Right)| {
        let api: Api<SubjectAccessReview> = session.everywhere();
        let groups = ["system:serviceaccounts", "system:authenticated"].map(str::to_owned).into_iter();
        let groups = groups.chain([format!("system:serviceaccounts:{namespace}")]).collect();
        async move {
            let review = SubjectAccessReview {
                spec: SubjectAccessReviewSpec {
                    resource_attributes: Some(attributes(&right)),
                    user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                    groups: Some(groups),
                    ..Default::default()
                },
                ..Default::default()
            };
            let answer = api.create(&PostParams::default(), &review).await;
            let answer = answer.map_err(|source| Failure::api("ask for the operator's rights", source));
            let allowed = known(answer).map(|review| review.status.is_some_and(|status| status.allowed));
            (format!("ServiceAccount {namespace}/{account}"), right, allowed)
        }
    };
    let questions: Vec<(String, String, Right)> = operators
        .iter()
        .flat_map(|one| {
            let rights = of_operator(&one.namespace, &one.protected_namespaces);
            rights.into_iter().map(|right| (one.namespace.clone(), one.service_account.clone(), right))
        })
        .collect();
    stream::iter(questions).map(ask).buffered(AT_ONCE).collect().await
}

/// Every child of every run, and what could not be listed. Pods go with their Jobs.
async fn children(session: &Session) -> (Vec<ChildFact>, Vec<String>) {
    let mut found = Vec::new();
    let mut unknown = BTreeSet::new();
    children_of::<Job>(session, &mut found, &mut unknown).await;
    children_of::<PersistentVolumeClaim>(session, &mut found, &mut unknown).await;
    children_of::<VolumeSnapshot>(session, &mut found, &mut unknown).await;
    children_of::<VolumeSnapshotContent>(session, &mut found, &mut unknown).await;
    (found, unknown.into_iter().collect())
}

async fn children_of<K>(session: &Session, found: &mut Vec<ChildFact>, unknown: &mut BTreeSet<String>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = session.everywhere();
    let answer = api.list_metadata(&ListParams::default().labels(RUN_UID)).await;
    match answer.map_err(|source| Failure::api(format!("list {}", K::plural(&())), source)) {
        Ok(objects) => found.extend(objects.items.iter().filter_map(|object| {
            let metadata = &object.metadata;
            let namespace =
                metadata.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
            let run = metadata.annotations.as_ref().and_then(|all| all.get(RUN).cloned());
            Some(ChildFact {
                title: format!(
                    "{} {namespace}{}",
                    K::kind(&()),
                    metadata.name.as_deref().unwrap_or_default()
                ),
                run_uid: label(metadata, RUN_UID)?.to_owned(),
                run: run.unwrap_or_else(|| "a run".to_owned()),
                temporary: has_role(metadata, Role::Temporary),
                created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            })
        })),
        Err(failure) if failure.class() == Class::NotFound => {}
        Err(failure) => {
            unknown.insert(failure.to_string());
        }
    }
}

async fn uids<K>(api: &Api<K>) -> Result<Vec<String>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let answer = api.list_metadata(&ListParams::default()).await;
    let objects = answer.map_err(|source| Failure::api(format!("list {}", Kind::DataDownload), source))?;
    Ok(objects.items.into_iter().filter_map(|object| object.metadata.uid).collect())
}
