//! An API server that answers from a list and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::cluster::Session;

/// What is answered: method, path without query, status, body.
type Answer = (&'static str, &'static str, u16, Value);

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Method and path.
    pub what: String,
    /// What follows the question mark.
    pub query: String,
    /// The body; null if it is none.
    pub body: Value,
    /// The forms of answer that are accepted.
    pub accept: String,
}

/// The server.
#[derive(Clone)]
pub struct Server {
    answers: Arc<Vec<Answer>>,
    /// Answers everything that is not in the list.
    otherwise: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// A server with these answers; all else is answered with the status `otherwise`.
    pub fn new(answers: Vec<Answer>, otherwise: u16) -> Self {
        Self { answers: Arc::new(answers), otherwise, asked: Arc::default() }
    }

    /// A session of namespace `shop`.
    pub fn session(&self) -> Session {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Session { client: Client::new(service, "shop"), namespace: "shop".to_owned() }
    }

    /// Everything that was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests that would change something.
    pub fn changes(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|one| !one.what.starts_with("GET ")).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
        let accept = parts.headers.get("accept").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let accept = accept.to_owned();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked {
            what: format!("{method} {path}"),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: body.clone(),
            accept,
        });
        let known = self.answers.iter().find(|(verb, place, _, _)| *verb == method && *place == path);
        let (code, answer) = match known {
            // What is created or changed is answered with itself.
            Some((_, _, code, Value::Null)) => (*code, body),
            Some((_, _, code, answer)) => (*code, answer.clone()),
            None => (self.otherwise, refusal(self.otherwise)),
        };
        Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap()
    }
}

fn refusal(code: u16) -> Value {
    let reason = if code == 403 { "Forbidden" } else { "NotFound" };
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason,
        "message": format!("the server says {code}"), "metadata": {}})
}

/// A list of objects.
pub fn list(items: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
