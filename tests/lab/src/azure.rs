//! The one thing that tests need of Azure's blob API beside the store that they test: a container.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::hash::hmac_sha256;

/// Account and key of every emulator of Azure's; public knowledge, no secret.
pub const EMULATOR_ACCOUNT: &str = "devstoreaccount1";
/// See [`EMULATOR_ACCOUNT`].
pub const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container in the emulator at `address`, by the shared key.
///
/// # Errors
/// When the emulator does not answer, or does not answer 201.
pub fn create_container(address: &str, container: &str) -> Result<()> {
    const VERSION: &str = "2021-08-06";
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let path = format!("/{EMULATOR_ACCOUNT}/{container}");
    // Method, eleven standard headers that are empty, those of Azure's own, and the resource.
    let signed = format!(
        "PUT{}x-ms-date:{date}\nx-ms-version:{VERSION}\n/{EMULATOR_ACCOUNT}{path}\nrestype:container",
        "\n".repeat(12)
    );
    let signature = BASE64_STANDARD.encode(hmac_sha256(&BASE64_STANDARD.decode(EMULATOR_KEY)?, &signed));
    let request = format!(
        "PUT {path}?restype=container HTTP/1.1\r\nHost: {address}\r\nx-ms-date: {date}\r\n\
         x-ms-version: {VERSION}\r\nAuthorization: SharedKey {EMULATOR_ACCOUNT}:{signature}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 201"), "the container was not made: {answer}");
    Ok(())
}
