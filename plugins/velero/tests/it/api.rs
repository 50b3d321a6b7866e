//! An API server in memory: enough of it for the plugin's calls. Snapshots get a content with a handle at once, as a fast driver's would.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

struct Json(Value);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([("content-type", "application/json")], self.0.to_string()).into_response()
    }
}

type Objects = Arc<Mutex<BTreeMap<String, Value>>>;

/// The server.
pub struct Api {
    objects: Objects,
    kubeconfig: String,
}

impl Api {
    pub async fn start(folder: &Path) -> Self {
        let objects = Objects::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(objects.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let path = folder.join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}]});
        std::fs::write(&path, config.to_string()).unwrap();
        Self { objects, kubeconfig: format!("--kubeconfig={}", path.display()) }
    }

    pub fn flag(&self) -> &str {
        &self.kubeconfig
    }

    /// Puts an object at `path`, for example `/api/v1/persistentvolumes/pv`.
    pub fn put(&self, path: &str, mut object: Value) -> Value {
        object["metadata"]["name"] = path.rsplit('/').next().into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-of{}", path.replace('/', "-")).into();
        }
        if let Some((_, rest)) = path.split_once("/namespaces/") {
            object["metadata"]["namespace"] = rest.split('/').next().into();
        }
        self.objects.lock().unwrap().insert(path.to_owned(), object.clone());
        object
    }

    /// Paths and objects whose path contains `part`.
    pub fn find(&self, part: &str) -> Vec<(String, Value)> {
        let objects = self.objects.lock().unwrap();
        objects
            .iter()
            .filter(|(path, _)| path.contains(part))
            .map(|(path, one)| (path.clone(), one.clone()))
            .collect()
    }
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code.as_u16()});
    (code, Json(body)).into_response()
}

async fn answer(State(objects): State<Objects>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut objects = objects.lock().unwrap();
    let path = uri.path().to_owned();
    if method == Method::POST {
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let place = format!("{path}/{name}");
        if objects.contains_key(&place) {
            return status(StatusCode::CONFLICT, "AlreadyExists");
        }
        object["metadata"]["uid"] = format!("uid-{name}").into();
        if path.ends_with("/volumesnapshots") {
            let content = format!("content-{name}");
            object["status"] = json!({"boundVolumeSnapshotContentName": content});
            let reference = json!({"name": name, "namespace": object["metadata"]["namespace"], "uid": object["metadata"]["uid"]});
            objects.insert(
                format!("/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents/{content}"),
                json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
                    "metadata": {"name": content, "uid": format!("uid-{content}")},
                    "spec": {"deletionPolicy": "Retain", "driver": "d", "volumeSnapshotRef": reference, "source": {"volumeHandle": "v"}},
                    "status": {"snapshotHandle": "handle", "readyToUse": true}}),
            );
        }
        objects.insert(place, object.clone());
        return (StatusCode::CREATED, Json(object)).into_response();
    }
    if let Some(object) = objects.get_mut(&path) {
        if method == Method::PATCH {
            merge(object, &serde_json::from_slice(&body).unwrap());
        }
        let object = object.clone();
        if method == Method::DELETE {
            objects.remove(&path);
        }
        return Json(object).into_response();
    }
    if method == Method::GET && !is_named(&path) {
        let selector =
            uri.query().unwrap_or_default().split('&').find_map(|one| one.strip_prefix("labelSelector="));
        let selector = selector.map(|one| one.replace("%3D", "=").replace("%2F", "/")).unwrap_or_default();
        let plural = path.rsplit('/').next().unwrap();
        let items: Vec<&Value> = objects
            .iter()
            .filter(|(place, one)| {
                let mut pieces = place.rsplit('/').skip(1);
                let fits = pieces.next() == Some(plural)
                    && (!path.contains("/namespaces/") || place.starts_with(&format!("{path}/")));
                let labelled = selector
                    .split_once('=')
                    .is_none_or(|(key, value)| one["metadata"]["labels"][key] == value);
                fits && labelled
            })
            .map(|(_, one)| one)
            .collect();
        return Json(json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
            .into_response();
    }
    status(StatusCode::NOT_FOUND, "NotFound")
}

/// Whether the path names one object and not all of a kind.
fn is_named(path: &str) -> bool {
    let rest = path.split_once("/namespaces/").map(|(_, rest)| rest.split('/').count());
    let pieces = path.split('/').count();
    rest.map_or(pieces > if path.starts_with("/apis/") { 5 } else { 4 }, |count| count > 2)
}

fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *object = patch.clone();
        return;
    };
    for (key, value) in fields {
        if value.is_null() {
            if let Some(map) = object.as_object_mut() {
                map.remove(key);
            }
        } else {
            merge(&mut object[key], value);
        }
    }
}
