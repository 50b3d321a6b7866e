//! Sorting errors of `object_store` into our closed set.
//!
//! Its own variants do not tell a missing bucket from a missing object, or a bad key from a forbidden action, so the chain
//! of causes is read: S3 names its code in the body, rustls and the resolver speak in their own words. The tests against a
//! real MinIO hold these words to what really arrives.

use crate::Class;
use object_store::Error;
use std::error::Error as StdError;

/// Said whatever the variant: a 404 of the bucket comes as `NotFound` of the object.
const BUCKET_MISSING: &[&str] = &["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"];

/// The addresses at which clouds give identities: no key was set, and the machine has none of its own.
const IDENTITY_ADDRESSES: &[&str] = &["/latest/api/token", "/latest/meta-data", "169.254."];

/// Codes of S3 and Azure, and what `object_store` says.
const BAD_CREDENTIALS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidClientTokenId",
    "AuthenticationFailed",
    // Azure says it whatever the code.
    "failed to authenticate",
    "credential",
];

/// What the rest says, in the order in which it is asked.
const SAYINGS: &[(Class, &[&str])] = &[
    (Class::AccessDenied, &["AccessDenied", "403 Forbidden", "Permission denied"]),
    (
        Class::CertificateUntrusted,
        &[
            "invalid peer certificate",
            "UnknownIssuer",
            "certificate verify failed",
            "NotValidForName",
            "InvalidCertificate",
        ],
    ),
    (
        Class::Full,
        &["No space left", "quota", "Quota", "XMinioStorageFull", "StorageFull", "InsufficientStorage"],
    ),
    (
        Class::Unreachable,
        &[
            "(Connect)",
            "dns error",
            "tcp connect error",
            "Connection refused",
            "No route to host",
            "Network is unreachable",
            "failed to lookup address",
        ],
    ),
    (Class::Transient, &["connection closed", "Connection reset", "broken pipe", "timed out", "timeout"]),
    (
        Class::Transient,
        &[
            "500 Internal",
            "502 Bad",
            "503 Service",
            "504 Gateway",
            "429 Too",
            "SlowDown",
            "ServerNotInitialized",
            "interrupted",
            "incomplete message",
            "error sending request",
            "error decoding response body",
            "409 Conflict",
        ],
    ),
    (Class::Corrupt, &["416 Range", "InvalidRange", "range"]),
];

/// The class of an error.
pub(crate) fn classify(error: &Error) -> Class {
    let chain = chain_text(error);
    let asked_for_identity = IDENTITY_ADDRESSES.iter().any(|address| chain.contains(address));
    let spoken = without_names(&chain);
    let says = |words: &[&str]| words.iter().any(|word| spoken.contains(word));
    if says(BUCKET_MISSING) {
        return Class::BucketMissing;
    }
    match error {
        Error::NotFound { .. } => return Class::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => return Class::AlreadyExists,
        Error::Unauthenticated { .. } => return Class::BadCredentials,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => return Class::Permanent,
        _ if asked_for_identity || says(BAD_CREDENTIALS) => return Class::BadCredentials,
        Error::PermissionDenied { .. } => return Class::AccessDenied,
        _ => {}
    }
    SAYINGS.iter().find(|(_, words)| says(words)).map_or(Class::Permanent, |(class, _)| *class)
}

/// The class that words speak of: a code of S3, or the causes of a request that got no answer.
pub(crate) fn of_words(text: &str) -> Class {
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(BUCKET_MISSING) {
        return Class::BucketMissing;
    }
    if says(BAD_CREDENTIALS) {
        return Class::BadCredentials;
    }
    SAYINGS.iter().find(|(_, words)| says(words)).map_or(Class::Permanent, |(class, _)| *class)
}

fn chain_text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(" | ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Leaves out addresses, and of S3's answers all but code and message: a bucket may be called `quota`, and an object is named
/// in both.
fn without_names(chain: &str) -> String {
    let mut text = String::new();
    for (before, element) in ["Code", "Message"].iter().filter_map(|name| {
        let (before, rest) = chain.split_once(&format!("<{name}>"))?;
        Some((before, rest.split_once("</")?.0))
    }) {
        if text.is_empty() {
            text.push_str(before.split('<').next().unwrap_or(before));
        }
        text.push(' ');
        text.push_str(element);
    }
    let text = if text.is_empty() { chain } else { &text };
    text.split_whitespace().filter(|word| !word.contains("://")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(text: &str) -> Class {
        classify(&Error::Generic { store: "S3", source: text.into() })
    }

    #[test]
    fn the_name_of_a_bucket_says_nothing() {
        for bucket in ["quota", "credentials", "timeouts", "orange", "NoSuchBucket"] {
            let says = |status: &str, body: &str| {
                class(&format!(
                    "Error performing PUT http://10.0.0.1:9000/{bucket}/data/aa in 1.2ms - Server returned non-2xx status \
                     code: {status}: <?xml version=\"1.0\"?>\n<Error><Code>{body}</Code><Message>Please try later</Message>\
                     <Key>data/aa</Key><BucketName>{bucket}</BucketName><Resource>/{bucket}/data/aa</Resource></Error>"
                ))
            };
            assert_eq!(says("503 Service Unavailable", "SlowDown"), Class::Transient, "{bucket}");
            assert_eq!(says("507 Insufficient", "XMinioStorageFull"), Class::Full, "{bucket}");
            assert_eq!(says("400 Bad Request", "ExpiredToken"), Class::BadCredentials, "{bucket}");
            assert_eq!(says("400 Bad Request", "EntityTooLarge"), Class::Permanent, "{bucket}");
        }
    }

    #[test]
    fn statuses_without_a_body_speak_for_themselves() {
        let says = |status: &str| {
            class(&format!(
                "Error performing GET https://s3/b/k in 1s - Server returned non-2xx status code: {status}: "
            ))
        };
        for status in [
            "503 Service Unavailable",
            "429 Too Many Requests",
            "500 Internal Server Error",
            "502 Bad Gateway",
        ] {
            assert_eq!(says(status), Class::Transient, "{status}");
        }
        assert_eq!(says("416 Range Not Satisfiable"), Class::Corrupt);
        assert_eq!(
            class("error getting token from http://169.254.169.254/latest/api/token"),
            Class::BadCredentials
        );
    }
}
