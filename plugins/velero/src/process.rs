//! The life of the process: handshake, serving, end.
//!
//! Velero starts a plugin for each backup, restore or deletion, reads one line from its standard output, and speaks gRPC over the socket that
//! the line names. It asks it to end with `Shutdown`, and kills it two seconds later.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_stream::wrappers::UnixListenerStream;

use crate::arguments::Arguments;
use crate::services;

/// How long calls in progress may hold up the end.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often it is looked whether Velero is still there.
const PARENT_CHECK: Duration = Duration::from_secs(2);

/// Why the process could not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// Nobody who knows plugins started it.
    #[error(
        "this program is a plugin: a Velero server starts it from its plugin folder (/plugins). \
         To put it there run: longshore-velero-plugin install DIR"
    )]
    NotStartedByVelero,
    /// The server wants to speak TLS, which Velero never does.
    #[error("the server asks for AutoMTLS, which this plugin does not offer")]
    AutoMtls,
    /// No socket, no runtime, no standard output.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The server broke.
    #[error("the server ended")]
    Serve(#[source] tonic::transport::Error),
}

fn io(what: &'static str) -> impl Fn(io::Error) -> ProcessError {
    move |source| ProcessError::Io { what, source }
}

/// Serves until Velero says that it is enough, or is gone.
///
/// # Errors
/// [`ProcessError`].
pub fn run(arguments: Arguments) -> Result<(), ProcessError> {
    if std::env::var_os("VELERO_PLUGIN").is_none_or(|cookie| cookie != "hello") {
        return Err(ProcessError::NotStartedByVelero);
    }
    if std::env::var_os("PLUGIN_CLIENT_CERT").is_some_and(|certificate| !certificate.is_empty()) {
        return Err(ProcessError::AutoMtls);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(io("start the runtime"))?;
    let result = runtime.block_on(serve(arguments));
    // Calls that are still at work are Velero's to repeat; everything that they do can be repeated.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: Arguments) -> Result<(), ProcessError> {
    let socket = Socket::new()?;
    let listener = UnixListener::bind(&socket.path).map_err(io("listen at the socket"))?;
    let end = Arc::new(Notify::new());
    let routes = services::routes(arguments, end.clone());
    let asked = Arc::new(Notify::new());
    let stop = {
        let (end, asked) = (end.clone(), asked.clone());
        async move {
            tokio::select! {
                () = end.notified() => {}
                () = parent_gone() => {}
                () = signalled() => {}
            }
            asked.notify_one();
        }
    };
    handshake(&socket).map_err(io("write the handshake"))?;
    let serving = tonic::transport::Server::builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop);
    let late = async {
        asked.notified().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        result = serving => result.map_err(ProcessError::Serve),
        () = late => Ok(()),
    }
}

/// Core protocol 1, Velero's protocol 2, no certificate.
fn handshake(socket: &Socket) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "1|2|unix|{}|grpc|", socket.path.display())?;
    out.flush()
}

/// A socket in a folder of its own, which only this user may enter; gone when dropped.
struct Socket {
    folder: PathBuf,
    path: PathBuf,
}

impl Socket {
    fn new() -> Result<Self, ProcessError> {
        let base = std::env::var_os("PLUGIN_UNIX_SOCKET_DIR").filter(|folder| !folder.is_empty());
        let base = base.map_or_else(std::env::temp_dir, PathBuf::from);
        let folder = base.join(format!("longshore-{}", uuid::Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&folder).map_err(io("make a folder for the socket"))?;
        Ok(Self { path: folder.join("plugin"), folder })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Left behind, it is an empty folder among temporary files.
        let _gone = std::fs::remove_dir_all(&self.folder);
    }
}

/// Returns when Velero has died without a word. Its child is then somebody else's.
async fn parent_gone() {
    let parent = rustix::process::getppid();
    loop {
        tokio::time::sleep(PARENT_CHECK).await;
        if rustix::process::getppid() != parent {
            return;
        }
    }
}

/// Returns at SIGTERM. SIGINT at a terminal reaches plugins too and is meant for the server, which ends them when it no longer needs them.
async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = interrupt.recv() => {}
        }
    }
}
