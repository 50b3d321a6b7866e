//! Liveness and readiness over HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

/// Whether the program can do its work; shared between the program and its `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Not ready yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the program is ready from now on.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    /// Whether the program is ready.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// `/healthz`, which always answers 200 while the program runs, and `/readyz`, which answers 503 until `readiness` says otherwise.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route("/healthz", get(|| async { "ok" })).route(
        "/readyz",
        get(move || async move {
            if readiness.get() {
                (StatusCode::OK, "ok")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready")
            }
        }),
    )
}

/// Reads a bind address; `:8080` means every address of the machine.
///
/// # Errors
/// When it is neither `:PORT` nor `ADDRESS:PORT`.
pub fn bind_address(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    if text.starts_with(':') { format!("[::]{text}").parse() } else { text.parse() }
}

/// Serves `router` at `address` until `shutdown` resolves.
///
/// # Errors
/// When the address cannot be bound, or serving fails.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        // A machine without IPv6 cannot bind `[::]`; every IPv4 address is what was meant.
        Err(_) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED => {
            tokio::net::TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await?
        }
        Err(error) => return Err(error),
    };
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        assert_eq!(bind_address(":8081").unwrap().port(), 8081);
        assert!(bind_address(":8081").unwrap().ip().is_unspecified());
        assert_eq!(bind_address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(bind_address("8081").is_err());
    }

    #[tokio::test]
    async fn ready_is_told_apart_from_alive() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Readiness::new();
        let app = router(readiness.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let ask = |path: &'static str| async move {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(ask("/healthz").await, "200");
        assert_eq!(ask("/readyz").await, "503");
        readiness.set(true);
        assert_eq!(ask("/readyz").await, "200");
        server.abort();
    }
}
