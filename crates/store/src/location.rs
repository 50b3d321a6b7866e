use std::path::PathBuf;
use thiserror::Error;

/// Where a repository is, as a user writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder: a plain path or `file:///path`.
    Folder(PathBuf),
    /// `s3://bucket/prefix`, or `s3:http://host:port/bucket/prefix` with its own endpoint.
    S3 {
        /// The endpoint that the location names itself.
        endpoint: Option<String>,
        /// The bucket.
        bucket: String,
        /// The prefix in it; may be empty.
        prefix: String,
    },
    /// `gs://bucket/prefix`.
    Google {
        /// The bucket.
        bucket: String,
        /// The prefix in it; may be empty.
        prefix: String,
    },
    /// `az://container/prefix`.
    Azure {
        /// The container.
        container: String,
        /// The prefix in it; may be empty.
        prefix: String,
    },
}

/// Why a text is no location.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LocationError {
    /// It is empty.
    #[error("the repository location is empty")]
    Empty,
    /// No bucket or container in it.
    #[error("the repository location names no bucket")]
    NoBucket,
    /// A scheme that is not known.
    #[error("the repository location has the unknown scheme {scheme:?}; use a path, s3://, gs:// or az://")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
}

impl std::str::FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        if let Some(rest) = text.strip_prefix("s3:").filter(|rest| rest.starts_with("http")) {
            let after_scheme = rest.find("://").map_or(0, |at| at + 3);
            let slash = rest[after_scheme..].find('/').ok_or(LocationError::NoBucket)? + after_scheme;
            let (bucket, prefix) = bucket_and_prefix(&rest[slash + 1..])?;
            return Ok(Self::S3 { endpoint: Some(rest[..slash].to_owned()), bucket, prefix });
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        match scheme {
            "file" => Ok(Self::Folder(PathBuf::from(rest))),
            "s3" => {
                bucket_and_prefix(rest).map(|(bucket, prefix)| Self::S3 { endpoint: None, bucket, prefix })
            }
            "gs" => bucket_and_prefix(rest).map(|(bucket, prefix)| Self::Google { bucket, prefix }),
            "az" => bucket_and_prefix(rest).map(|(container, prefix)| Self::Azure { container, prefix }),
            scheme => Err(LocationError::Scheme { scheme: scheme.to_owned() }),
        }
    }
}

fn bucket_and_prefix(text: &str) -> Result<(String, String), LocationError> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    if bucket.is_empty() {
        return Err(LocationError::NoBucket);
    }
    Ok((bucket.to_owned(), prefix.trim_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(endpoint: Option<&str>, bucket: &str, prefix: &str) -> Location {
        Location::S3 { endpoint: endpoint.map(str::to_owned), bucket: bucket.into(), prefix: prefix.into() }
    }

    #[test]
    fn locations_are_read_as_users_write_them() {
        let read = |text: &str| text.parse::<Location>();
        assert_eq!(read("/srv/backups"), Ok(Location::Folder("/srv/backups".into())));
        assert_eq!(read("file:///srv/backups"), Ok(Location::Folder("/srv/backups".into())));
        assert_eq!(read("s3://bucket/a/b/"), Ok(s3(None, "bucket", "a/b")));
        assert_eq!(read("s3://bucket"), Ok(s3(None, "bucket", "")));
        assert_eq!(
            read("s3:http://10.0.0.1:9000/bucket/a"),
            Ok(s3(Some("http://10.0.0.1:9000"), "bucket", "a"))
        );
        assert_eq!(read("gs://b/p"), Ok(Location::Google { bucket: "b".into(), prefix: "p".into() }));
        assert_eq!(read("az://c"), Ok(Location::Azure { container: "c".into(), prefix: String::new() }));
        assert_eq!(read("s3://"), Err(LocationError::NoBucket));
        assert_eq!(read("s3:http://host"), Err(LocationError::NoBucket));
        assert_eq!(read(""), Err(LocationError::Empty));
        assert_eq!(read("ftp://x/y"), Err(LocationError::Scheme { scheme: "ftp".into() }));
    }
}
