//! The operator's Deployment, and what its arguments say.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::cluster::{Session, list};
use crate::failure::Failure;

/// Label of the operator's Deployment that the chart makes.
const CHART_LABEL: &str = "app.kubernetes.io/component=operator";
/// Name of the Deployment in which OADP runs our image.
const OADP_NAME: &str = "volume-snapshot-mover";

/// An operator as its Deployment describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Namespace of the Deployment.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The account that it works as.
    pub service_account: String,
    /// Replicas wanted.
    pub wanted: i32,
    /// Replicas that are ready.
    pub ready: i32,
    /// Namespaces that it allows for movers and Secrets.
    pub protected_namespaces: Vec<String>,
    /// The account of movers in each of them.
    pub mover_account: String,
}

impl Operator {
    /// Reads a Deployment; `None` when it runs another program.
    fn read(deployment: &Deployment) -> Option<Self> {
        let spec = deployment.spec.as_ref()?;
        let pod = spec.template.spec.as_ref()?;
        let namespace = deployment.namespace().unwrap_or_default();
        let container = pod.containers.iter().find(|container| {
            let command = container.command.iter().flatten().next();
            let image = container.image.as_deref().unwrap_or_default();
            command.is_some_and(|program| program.ends_with("longshore-operator"))
                || (command.is_none() && image.contains("longshore"))
        })?;
        let flag = |name: &str| {
            let mut arguments = container.args.iter().flatten();
            arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let variable = |name: &str| {
            let found = container.env.iter().flatten().find(|variable| variable.name == name);
            found.and_then(|variable| variable.value.clone())
        };
        let listed = flag("--protected-namespaces").or_else(|| variable("LONGSHORE_PROTECTED_NAMESPACES"));
        // Without a list the operator serves its own namespace.
        let listed = listed.unwrap_or_else(|| namespace.clone());
        Some(Self {
            name: deployment.name_any(),
            service_account: pod.service_account_name.clone().unwrap_or_else(|| "default".to_owned()),
            wanted: spec.replicas.unwrap_or(1),
            ready: deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default(),
            protected_namespaces: listed
                .split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
            mover_account: flag("--mover-service-account").unwrap_or_else(|| "longshore-mover".to_owned()),
            namespace,
        })
    }
}

/// Every operator of the cluster, installed by the chart or by OADP.
pub async fn find_operators(session: &Session) -> Result<Vec<Operator>, Failure> {
    let api = session.everywhere::<Deployment>();
    let mut found = list(&api, CHART_LABEL).await?;
    let named = ListParams::default().fields(&format!("metadata.name={OADP_NAME}"));
    let of_oadp = api.list(&named).await.map_err(|source| Failure::api("list deployments", source))?;
    found.extend(of_oadp.items);
    Ok(found.iter().filter_map(Operator::read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(container: serde_json::Value) -> Option<Operator> {
        let deployment: Deployment = serde_json::from_value(serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "longshore", "namespace": "longshore"},
            "spec": {"selector": {}, "template": {"spec": {"serviceAccountName": "operator", "containers": [container]}}},
            "status": {"readyReplicas": 1}}))
        .unwrap();
        Operator::read(&deployment)
    }

    #[test]
    fn the_charts_deployment_tells_its_namespaces() {
        let found = operator(serde_json::json!({"name": "operator", "command": ["longshore-operator"],
            "args": ["--protected-namespaces=a,b", "--mover-service-account=mover"]}))
        .unwrap();
        assert_eq!(found.protected_namespaces, ["a", "b"]);
        assert_eq!((found.mover_account.as_str(), found.wanted, found.ready), ("mover", 1, 1));
        let none = operator(serde_json::json!({"name": "operator", "command": ["longshore-operator"],
            "args": ["--protected-namespaces="]}));
        assert!(none.unwrap().protected_namespaces.is_empty());
    }

    #[test]
    fn oadps_deployment_has_our_image_and_no_arguments() {
        let found = operator(serde_json::json!({"name": "data-mover", "image": "r/longshore:1"})).unwrap();
        assert_eq!(found.protected_namespaces, ["longshore"], "its own namespace");
        assert_eq!(operator(serde_json::json!({"name": "x", "image": "quay.io/other/mover"})), None);
        assert_eq!(operator(serde_json::json!({"name": "x", "image": "longshore", "command": ["sh"]})), None);
    }
}
