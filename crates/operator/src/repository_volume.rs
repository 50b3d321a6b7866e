//! Repositories on volumes: what a mover mounts, and who must wait for whom.
//!
//! On a network file system prune must be alone (a listing there may be stale). So a Repository on a volume says in its status that it is being
//! maintained before it looks for movers, and movers look at that status just before their Job is made. Both ask the API server, not a watch.

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::ListParams;
use longshore_api::Repository;

use crate::cluster::{Error, classify, list};
use crate::context::Context;
use crate::names::{RUN_UID, belongs_to};
use crate::objects::mounts_repository;
use crate::repositories::claim_of;

/// The Repositories of a namespace; none where the cluster lacks the kind.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn repositories(context: &Context, namespace: &str) -> Result<Vec<Repository>, Error> {
    let api = Api::<Repository>::namespaced(context.client.clone(), namespace);
    match api.list(&ListParams::default()).await {
        Ok(all) => Ok(all.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(source) => Err(classify("list Repositories", source)),
    }
}

/// The PVC that a mover with this Secret mounts, if its repository is on a volume.
///
/// # Errors
/// [`Error::Refused`] when the mover must wait, and whatever else the API server refuses.
pub async fn claim_for(context: &Context, namespace: &str, secret: &str) -> Result<Option<String>, Error> {
    claim_of(&repositories(context, namespace).await?, namespace, secret).map_err(Error::Refused)
}

/// How many other movers of the repository on this PVC are at work.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn others_at_work(
    context: &Context,
    namespace: &str,
    claim: &str,
    own_uid: &str,
) -> Result<usize, Error> {
    let jobs = Api::<Job>::namespaced(context.client.clone(), namespace);
    let all = list(&jobs, RUN_UID).await?;
    Ok(all.iter().filter(|job| !belongs_to(&job.metadata, own_uid) && is_at_work(job, claim)).count())
}

fn is_at_work(job: &Job, claim: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_over = conditions.into_iter().flatten().any(|condition| {
        condition.status == "True" && ["Complete", "Failed"].contains(&condition.type_.as_str())
    });
    mounts_repository(job, claim) && !is_over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mover_is_at_work_until_its_job_is_over() {
        let job = |claim: &str, volume: &str, over: &str| -> Job {
            serde_json::from_value(serde_json::json!({
                "spec": {"template": {"spec": {"containers": [], "volumes": [
                    {"name": "credentials"}, {"name": volume, "persistentVolumeClaim": {"claimName": claim}}]}}},
                "status": {"conditions": [{"type": over, "status": "True"}]},
            }))
            .unwrap()
        };
        assert!(is_at_work(&job("export", "repository", "Suspended"), "export"));
        assert!(is_at_work(&job("export", "repository", "FailureTarget"), "export"), "its pods still end");
        for over in ["Complete", "Failed"] {
            assert!(!is_at_work(&job("export", "repository", over), "export"), "{over}");
        }
        assert!(!is_at_work(&job("other", "repository", ""), "export"));
        assert!(!is_at_work(&job("export", "volume", ""), "export"), "a backup of the PVC itself elsewhere");
    }
}
