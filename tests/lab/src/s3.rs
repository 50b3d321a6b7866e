//! A small S3 client for tests: enough to make a bucket and to look at, fetch, put and delete objects. It signs requests, speaks plain
//! HTTP and nothing else, and holds whole objects in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::hash::{hmac_sha256, sha256_hex};

/// An object as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its full key.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was put.
    pub modified: jiff::Timestamp,
}

/// Speaks to one server with one identity.
#[derive(Clone)]
pub struct Client {
    host: String,
    access_key: String,
    secret_key: String,
}

struct Response {
    status: u16,
    body: Vec<u8>,
}

const REGION: &str = "us-east-1";

impl Client {
    /// `host` is `address:port`.
    pub fn new(host: &str, access_key: &str, secret_key: &str) -> Self {
        Self { host: host.into(), access_key: access_key.into(), secret_key: secret_key.into() }
    }

    /// Names of all buckets.
    pub fn list_buckets(&self) -> Result<Vec<String>> {
        let text = self.text("GET", "/", &[])?;
        Ok(elements(&text, "Name").into_iter().map(unescape).collect())
    }

    /// Makes a bucket; one that is there already is fine.
    pub fn create_bucket(&self, bucket: &str) -> Result<()> {
        let response = self.send("PUT", &format!("/{bucket}"), &[], &[])?;
        // 409: it is ours already.
        if response.status == 409 { Ok(()) } else { expect(&response, "PUT", bucket) }
    }

    /// All objects whose key begins with `prefix`, in order of key.
    pub fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        let mut token = String::new();
        loop {
            let mut query = vec![("list-type", "2"), ("prefix", prefix)];
            if !token.is_empty() {
                query.push(("continuation-token", &token));
            }
            let text = self.text("GET", &format!("/{bucket}"), &query)?;
            for entry in elements(&text, "Contents") {
                let key =
                    elements(entry, "Key").first().copied().map(unescape).context("an object without key")?;
                let size = elements(entry, "Size").first().context("an object without size")?.parse()?;
                let modified =
                    elements(entry, "LastModified").first().context("an object without time")?.parse()?;
                objects.push(Object { key, size, modified });
            }
            match elements(&text, "NextContinuationToken").first() {
                Some(next) => token = unescape(next),
                None => return Ok(objects),
            }
        }
    }

    /// An object's bytes.
    pub fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>> {
        let path = format!("/{bucket}/{key}");
        let response = self.send("GET", &path, &[], &[])?;
        expect(&response, "GET", &path)?;
        Ok(response.body)
    }

    /// Puts an object, or replaces it.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Result<()> {
        let path = format!("/{bucket}/{key}");
        expect(&self.send("PUT", &path, &[], bytes)?, "PUT", &path)
    }

    /// Deletes an object.
    pub fn delete(&self, bucket: &str, key: &str) -> Result<()> {
        let path = format!("/{bucket}/{key}");
        expect(&self.send("DELETE", &path, &[], &[])?, "DELETE", &path)
    }

    fn text(&self, method: &str, path: &str, query: &[(&str, &str)]) -> Result<String> {
        let response = self.send(method, path, query, &[])?;
        expect(&response, method, path)?;
        Ok(String::from_utf8(response.body)?)
    }

    fn send(&self, method: &str, path: &str, query: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let path = encode(path, true);
        let mut pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
            .collect();
        pairs.sort();
        let query = pairs.join("&");
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let hash = sha256_hex(body);
        let authorization = self.authorization(method, &path, &query, &now, &hash);
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let head = format!(
            "{method} {target} HTTP/1.0\r\nHost: {}\r\nX-Amz-Date: {now}\r\nX-Amz-Content-Sha256: {hash}\r\n\
             Authorization: {authorization}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        let mut stream =
            TcpStream::connect(&self.host).with_context(|| format!("could not reach {}", self.host))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer)
    }

    /// AWS signature, version 4.
    fn authorization(&self, method: &str, path: &str, query: &str, now: &str, hash: &str) -> String {
        let date = &now[..8];
        let signed = "host;x-amz-content-sha256;x-amz-date";
        let request = format!(
            "{method}\n{path}\n{query}\nhost:{}\nx-amz-content-sha256:{hash}\nx-amz-date:{now}\n\n{signed}\n{hash}",
            self.host
        );
        let scope = format!("{date}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{}", sha256_hex(request.as_bytes()));
        let first = hmac_sha256(format!("AWS4{}", self.secret_key).as_bytes(), date);
        let key = [REGION, "s3", "aws4_request"].iter().fold(first, |key, part| hmac_sha256(&key, part));
        let signature = hex::encode(hmac_sha256(&key, &text));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key
        )
    }
}

fn expect(response: &Response, method: &str, path: &str) -> Result<()> {
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    bail!("{method} {path}: status {}\n{}", response.status, String::from_utf8_lossy(&response.body));
}

/// HTTP/1.0: the body ends with the connection.
fn parse(answer: &[u8]) -> Result<Response> {
    let split =
        answer.windows(4).position(|window| window == b"\r\n\r\n").context("the answer has no head")?;
    let head = String::from_utf8_lossy(&answer[..split]);
    let status = head.split(' ').nth(1).context("the answer has no status")?.parse()?;
    Ok(Response { status, body: answer[split + 4..].to_vec() })
}

fn encode(text: &str, keep_slash: bool) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte))
            }
            b'/' if keep_slash => encoded.push('/'),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The texts between `<name>` and `</name>`. S3's answers nest no element in one of the same name that is asked for here.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(&open) {
        rest = &rest[start + open.len()..];
        let Some(end) = rest.find(&close) else { break };
        found.push(&rest[..end]);
        rest = &rest[end + close.len()..];
    }
    found
}

fn unescape(text: &str) -> String {
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_are_read() {
        let text = "<L><Contents><Key>a&amp;b</Key><Size>3</Size></Contents><Contents><Key>c</Key><Size>4</Size></Contents></L>";
        let entries = elements(text, "Contents");
        assert_eq!(entries.len(), 2);
        assert_eq!(unescape(elements(entries[0], "Key")[0]), "a&b");
        assert_eq!(elements(entries[1], "Size"), ["4"]);
    }

    #[test]
    fn answers_are_read() {
        let response = parse(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nbody").unwrap();
        assert_eq!((response.status, response.body.as_slice()), (404, b"body".as_slice()));
        assert!(parse(b"nonsense").is_err());
    }

    #[test]
    fn keys_are_encoded() {
        assert_eq!(encode("/bucket/a b+c", true), "/bucket/a%20b%2Bc");
        assert_eq!(encode("a/b", false), "a%2Fb");
    }
}
