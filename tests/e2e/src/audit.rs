//! What the API server's audit log tells of the operator.

use anyhow::Result;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::OPERATOR_NAMESPACE;

/// One finished request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `create`, `patch`, ...
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural name, with the subresource after a slash.
    pub resource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Name of the object; of a created one too.
    pub name: String,
    /// HTTP status.
    pub code: u64,
    /// What was sent, if the log keeps it.
    pub sent: Value,
    /// What was answered, if the log keeps it.
    pub answer: Value,
}

/// Name of the operator's identity begins so: `system:serviceaccount:<namespace>:`.
fn identity() -> String {
    format!("system:serviceaccount:{OPERATOR_NAMESPACE}:")
}

/// Requests of the operator's identity, in order, the finished ones only.
///
/// # Errors
/// When the log cannot be read.
pub fn operator_requests(cluster: &Cluster) -> Result<Vec<Request>> {
    requests_of(cluster, &identity())
}

/// Requests of users whose name begins so.
///
/// # Errors
/// When the log cannot be read.
pub fn requests_of(cluster: &Cluster, user: &str) -> Result<Vec<Request>> {
    let events = cluster.lab.audit_events()?;
    let ours = events.iter().filter(|event| {
        event["stage"] == "ResponseComplete"
            && event["user"]["username"].as_str().is_some_and(|name| name.starts_with(user))
    });
    Ok(ours.map(request).collect())
}

fn request(event: &Value) -> Request {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let mut resource = text(&object["resource"]);
    if let Some(subresource) = object["subresource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    let answer = event["responseObject"].clone();
    let name = object["name"].as_str().or_else(|| answer["metadata"]["name"].as_str()).unwrap_or_default();
    Request {
        verb: text(&event["verb"]),
        group: text(&object["apiGroup"]),
        resource,
        namespace: text(&object["namespace"]),
        name: name.to_owned(),
        code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
        sent: event["requestObject"].clone(),
        answer,
    }
}

impl Request {
    /// Whether it is one of a resource's successful creations.
    pub fn created(&self, resource: &str) -> bool {
        self.verb == "create" && self.resource == resource && self.code < 300
    }
}
