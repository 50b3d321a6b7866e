//! Errors of AWS's client, in our closed set.

use crate::{Class, Operation, StoreError, classify};
use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error as StdError;

/// The code that S3 gave, if it answered.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// An error as our own. Its text has the store's code and message, and no header of the request.
pub(super) fn failed<E>(operation: Operation, name: &str, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let Some(status) = status else {
        let text = chain(&error);
        return StoreError::new(classify::of_words(&text), operation, name).caused_by(text);
    };
    let code = code(&error).unwrap_or_default();
    let message = error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or_default();
    // AWS says AccessDenied of what is locked, MinIO has its own words.
    let class = if message.contains("WORM protected") { Class::AccessDenied } else { class_of(status, code) };
    StoreError::new(class, operation, name)
        .caused_by(format!("the store answered {status} {code}: {message}"))
}

fn class_of(status: u16, code: &str) -> Class {
    match (status, code) {
        (_, "NoSuchBucket") => Class::BucketMissing,
        (404, _) => Class::NotFound,
        (412, _) => Class::AlreadyExists,
        (409 | 429 | 500 | 502 | 503 | 504, _) => Class::Transient,
        (_, code) => match classify::of_words(code) {
            Class::Permanent if status == 403 => Class::AccessDenied,
            class => class,
        },
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
