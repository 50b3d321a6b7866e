//! Telling the kubelet about the driver: the plugin registration service on a socket in `plugins_registry`.
//!
//! The kubelet (1.34) dials that socket with its path as HTTP/2 authority, `%2Fvar%2Flib%2F...`. RFC 3986 allows no such authority, so
//! the h2 crate, and with it tonic, ends the stream with PROTOCOL_ERROR before any code of ours sees it. The exchange is two unary
//! calls on one connection, so it is served here by hand: frames are read, header blocks are skipped unread, and the two calls are told
//! apart by their message, which is empty for GetInfo and never empty for NotifyRegistrationStatus.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Result};

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::proto::plugin_registration::{PluginInfo, RegistrationStatus, RegistrationStatusResponse};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LARGEST_FRAME: usize = 1 << 14;
const LARGEST_MESSAGE: usize = 1 << 16;

/// Types of HTTP/2 frames (RFC 9113, section 6) that matter here.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Flags. END_STREAM is also ACK, depending on the frame.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// `:status: 200`, then `content-type: application/grpc`, both by the names of HPACK's static table.
const RESPONSE_HEAD: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

/// What the kubelet is told.
#[derive(Debug, Clone)]
pub struct RegistrationService {
    /// Name of the driver.
    pub driver_name: String,
    /// Path of the driver's own socket.
    pub endpoint: String,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl RegistrationService {
    /// Serves one connection until the kubelet closes it.
    ///
    /// # Errors
    /// When the connection breaks, or the peer does not speak HTTP/2.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut connection: S) -> Result<()> {
        let mut preface = vec![0; PREFACE.len()];
        connection.read_exact(&mut preface).await?;
        if preface != PREFACE {
            return Err(Error::new(ErrorKind::InvalidData, "no HTTP/2 preface"));
        }
        write_frame(&mut connection, SETTINGS, 0, 0, &[]).await?;
        let mut messages: HashMap<u32, Vec<u8>> = HashMap::new();
        while let Some(frame) = read_frame(&mut connection).await? {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    write_frame(&mut connection, SETTINGS, ACK, 0, &[]).await?
                }
                PING if frame.flags & ACK == 0 => {
                    write_frame(&mut connection, PING, ACK, 0, &frame.payload).await?;
                }
                DATA => {
                    let message = messages.entry(frame.stream).or_default();
                    message.extend_from_slice(&frame.payload);
                    if message.len() > LARGEST_MESSAGE || frame.flags & PADDED != 0 {
                        return Err(Error::new(ErrorKind::InvalidData, "unexpected data"));
                    }
                    if frame.flags & END_STREAM != 0 {
                        let message = messages.remove(&frame.stream).unwrap_or_default();
                        let answer = self.answer(message.get(5..).unwrap_or_default());
                        respond(&mut connection, frame.stream, &answer).await?;
                    }
                }
                // Header blocks say nothing that is needed; window updates, resets and farewells need no answer here.
                _ => {}
            }
        }
        Ok(())
    }

    fn answer(&self, message: &[u8]) -> Vec<u8> {
        if message.is_empty() {
            return PluginInfo {
                r#type: "CSIPlugin".to_owned(),
                name: self.driver_name.clone(),
                endpoint: self.endpoint.clone(),
                supported_versions: vec!["1.0.0".to_owned()],
            }
            .encode_to_vec();
        }
        // The kubelet tries again by itself; the reason is for whoever reads the driver's log.
        match RegistrationStatus::decode(message) {
            Ok(status) if status.plugin_registered => {
                eprintln!("the kubelet registered {}", self.driver_name)
            }
            Ok(status) => eprintln!("the kubelet refused {}: {}", self.driver_name, status.error),
            Err(error) => eprintln!("the kubelet's answer is not understood: {error}"),
        }
        RegistrationStatusResponse {}.encode_to_vec()
    }
}

async fn respond<S: AsyncWrite + Unpin>(connection: &mut S, stream: u32, message: &[u8]) -> Result<()> {
    let length = u32::try_from(message.len()).map_err(Error::other)?;
    let data = [&[0], length.to_be_bytes().as_slice(), message].concat();
    write_frame(connection, HEADERS, END_HEADERS, stream, RESPONSE_HEAD).await?;
    write_frame(connection, DATA, 0, stream, &data).await?;
    write_frame(connection, HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS).await
}

/// The next frame, or nothing when the peer has closed the connection.
async fn read_frame<S: AsyncRead + Unpin>(connection: &mut S) -> Result<Option<Frame>> {
    let mut head = [0; 9];
    match connection.read_exact(&mut head).await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map(drop)?,
    }
    let [a, b, c, kind, flags, stream @ ..] = head;
    let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    if length > LARGEST_FRAME {
        return Err(Error::new(ErrorKind::InvalidData, "frame too large"));
    }
    let mut payload = vec![0; length];
    connection.read_exact(&mut payload).await?;
    let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
    Ok(Some(Frame { kind, flags, stream, payload }))
}

async fn write_frame<S: AsyncWrite + Unpin>(
    connection: &mut S,
    kind: u8,
    flags: u8,
    stream: u32,
    payload: &[u8],
) -> Result<()> {
    let length = u32::try_from(payload.len()).map_err(Error::other)?.to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    connection.write_all(&head).await?;
    connection.write_all(payload).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kubelet sends, its authority included.
    fn call(stream: u32, message: &[u8]) -> Vec<u8> {
        let authority = b"\x01\x13%2Fvar%2Flib%2Fsock";
        let data = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat();
        let mut bytes = Vec::new();
        for (kind, flags, payload) in
            [(HEADERS, END_HEADERS, authority.as_slice()), (DATA, END_STREAM, &data)]
        {
            bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
            bytes.extend_from_slice(&[kind, flags]);
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    async fn exchange(input: &[u8]) -> (Result<()>, Vec<u8>) {
        let service = RegistrationService { driver_name: "a.b".into(), endpoint: "/csi.sock".into() };
        let (mut client, server) = tokio::io::duplex(1 << 16);
        client.write_all(input).await.unwrap();
        client.shutdown().await.unwrap();
        let result = service.serve(server).await;
        let mut output = Vec::new();
        client.read_to_end(&mut output).await.unwrap();
        (result, output)
    }

    #[tokio::test]
    async fn the_kubelets_two_calls_are_answered_in_spite_of_its_authority() {
        let status = RegistrationStatus { plugin_registered: true, error: String::new() }.encode_to_vec();
        let (result, output) = exchange(&[PREFACE, &call(1, &[]), &call(3, &status)].concat()).await;
        result.unwrap();
        let mut connection = output.as_slice();
        let mut messages = Vec::new();
        while let Some(frame) = read_frame(&mut connection).await.unwrap() {
            if frame.kind == DATA {
                messages.push((frame.stream, frame.payload[5..].to_vec()));
            }
        }
        let info = PluginInfo::decode(messages[0].1.as_slice()).unwrap();
        assert_eq!((info.name.as_str(), info.endpoint.as_str()), ("a.b", "/csi.sock"));
        assert_eq!(messages[1], (3, Vec::new()));
    }

    #[tokio::test]
    async fn nonsense_is_refused() {
        let (result, _) = exchange(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
