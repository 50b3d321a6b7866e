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

/// S3's codes, and the addresses at which clouds give identities: no key was set, and the machine has none of its own.
const BAD_CREDENTIALS: &[&str] = &[
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "InvalidClientTokenId",
    "AuthenticationFailed",
    "credential",
    "/latest/api/token",
    "/latest/meta-data",
    "169.254.",
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
    let says = |words: &[&str]| words.iter().any(|word| chain.contains(word));
    if says(BUCKET_MISSING) {
        return Class::BucketMissing;
    }
    match error {
        Error::NotFound { .. } => return Class::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => return Class::AlreadyExists,
        Error::Unauthenticated { .. } => return Class::BadCredentials,
        _ if says(BAD_CREDENTIALS) => return Class::BadCredentials,
        Error::PermissionDenied { .. } => return Class::AccessDenied,
        _ => {}
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
