//! Google Cloud Storage: what is sent and how answers are read, against canned answers. No emulator that could be had honours
//! a conditional create by the XML API, so nothing here proves what Google does; see docs/stores.md.

use bytes::Bytes;
use longshore_store::{Class, Store, StoreSettings, open};
use longshore_testkit::minio::SHORT;
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

/// Gives its answers one after another, and keeps the heads of the requests.
struct Canned {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Canned {
    fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = heads.clone();
        let mut answers: VecDeque<(String, String)> =
            answers.iter().map(|(status, body)| ((*status).to_owned(), (*body).to_owned())).collect();
        // Ends with the last answer.
        std::thread::spawn(move || {
            while let Some((status, body)) = answers.pop_front() {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    assert!(reader.read_line(&mut head).unwrap() > 0);
                }
                let head = head.to_ascii_lowercase();
                let length = head
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                reader.read_exact(&mut vec![0; length]).unwrap();
                kept.lock().unwrap().push(head);
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"1\"\r\nx-goog-generation: 1\r\n\
                     Last-Modified: Wed, 25 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { address, heads }
    }

    fn store(&self) -> Arc<dyn Store> {
        // An account that asks nobody for a token.
        let account = r#"{"private_key":"","private_key_id":"","client_email":"","disable_oauth":true}"#;
        let variables = [
            ("GOOGLE_BASE_URL".to_owned(), format!("http://{}", self.address)),
            ("GOOGLE_SERVICE_ACCOUNT_KEY".to_owned(), account.to_owned()),
        ];
        open("gs://bucket/prefix", &StoreSettings::new(variables.into()).with_retry(SHORT)).unwrap().0
    }
}

#[tokio::test]
async fn vsm_32_on_google_every_create_carries_its_condition_and_412_means_taken() {
    let google = Canned::start(&[
        ("200 OK", ""),
        ("412 Precondition Failed", "<Error><Code>PreconditionFailed</Code></Error>"),
        // What is asked before the name is called taken.
        ("200 OK", ""),
    ]);
    let store = google.store();
    store.create("data/a", Bytes::from_static(b"x")).await.unwrap();
    let taken = store.create("data/a", Bytes::from_static(b"y")).await.unwrap_err();
    assert_eq!(taken.class(), Class::AlreadyExists);
    let heads = google.heads.lock().unwrap().clone();
    for head in &heads[..2] {
        assert!(head.starts_with("put ") && head.contains("x-goog-if-generation-match: 0\r\n"), "{head}");
    }
}

#[tokio::test]
async fn answers_have_their_classes() {
    let google = Canned::start(&[
        // First, because credentials that never worked are not tried again.
        ("401 Unauthorized", ""),
        // These two are.
        ("503 Service Unavailable", "<Error><Code>ServiceUnavailable</Code></Error>"),
        ("429 Too Many Requests", "<Error><Code>SlowDown</Code></Error>"),
        ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        ("404 Not Found", "<Error><Code>NoSuchBucket</Code></Error>"),
        ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"),
        // A delete of what is not there.
        ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
    ]);
    let store = google.store();
    for class in [Class::BadCredentials, Class::NotFound, Class::BucketMissing, Class::AccessDenied] {
        assert_eq!(store.get("a", 1).await.unwrap_err().class(), class);
    }
    store.delete("a").await.unwrap();
    assert_eq!(google.heads.lock().unwrap().len(), 7);
}
