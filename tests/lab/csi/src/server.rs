//! Serving the driver on its sockets until a signal comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::calls::Calls;
use crate::controller::ControllerService;
use crate::error::DriverError;
use crate::identity::IdentityService;
use crate::node::NodeService;
use crate::proto::csi_v1::controller_server::ControllerServer;
use crate::proto::csi_v1::identity_server::IdentityServer;
use crate::proto::csi_v1::node_server::NodeServer;
use crate::registration::RegistrationService;

/// How long calls in progress, and callers that keep their connection, may hold up the end.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Serves `calls` at the socket `endpoint`, and at `registration` tells the kubelet so. Returns after SIGTERM or SIGINT,
/// when the calls in progress are done, or [`PATIENCE`] is over, and the sockets are gone.
pub async fn serve(calls: Calls, endpoint: &Path, registration: Option<&Path>) -> Result<(), DriverError> {
    let interrupted = signals()?;
    let driver_name = calls.driver().settings.driver_name.clone();
    let own = Server::builder()
        .add_service(IdentityServer::new(IdentityService(calls.clone())))
        .add_service(ControllerServer::new(ControllerService(calls.clone())))
        .add_service(NodeServer::new(NodeService(calls)))
        .serve_with_incoming_shutdown(listen(endpoint)?, wait(interrupted.clone()));
    let own = async { own.await.map_err(served(endpoint)) };
    // The kubelet connects to the driver as soon as it sees the registration, so that comes second.
    let late = late(interrupted.clone());
    let serving = async {
        let Some(path) = registration else { return own.await };
        let service = RegistrationService { driver_name, endpoint: endpoint.display().to_string() };
        let listener = listen(path)?;
        tokio::select! {
            result = own => result,
            result = register(service, listener) => result.map_err(DriverError::io("listen at", path)),
        }
    };
    let result = tokio::select! {
        result = serving => result,
        () = late => Ok(()),
    };
    for socket in [Some(endpoint), registration].into_iter().flatten() {
        remove_socket(socket)?;
    }
    result
}

/// Answers the kubelet until dropped. It comes once for a socket, and again whenever the kubelet or the driver starts anew.
async fn register(service: RegistrationService, mut listener: UnixListenerStream) -> std::io::Result<()> {
    while let Some(connection) = listener.next().await {
        let (service, connection) = (service.clone(), connection?);
        tokio::spawn(async move {
            if let Err(error) = service.serve(connection).await {
                eprintln!("a connection for registration ended: {error}");
            }
        });
    }
    Ok(())
}

/// Becomes true when the process is asked to end.
fn signals() -> Result<tokio::sync::watch::Receiver<bool>, DriverError> {
    let install = |kind| signal(kind).map_err(DriverError::io("listen for signals in", "the driver"));
    let (mut terminate, mut interrupt) =
        (install(SignalKind::terminate())?, install(SignalKind::interrupt())?);
    let (sender, receiver) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        sender.send_replace(true);
    });
    Ok(receiver)
}

async fn wait(mut interrupted: tokio::sync::watch::Receiver<bool>) {
    // An error means that the sender is gone, which it only is after sending.
    let _ = interrupted.wait_for(|asked| *asked).await;
}

async fn late(interrupted: tokio::sync::watch::Receiver<bool>) {
    wait(interrupted).await;
    tokio::time::sleep(PATIENCE).await;
}

/// Listens at `socket`; one that a killed driver left there is replaced.
fn listen(socket: &Path) -> Result<UnixListenerStream, DriverError> {
    if let Some(folder) = socket.parent() {
        std::fs::create_dir_all(folder).map_err(DriverError::io("create", folder))?;
    }
    remove_socket(socket)?;
    UnixListener::bind(socket).map(UnixListenerStream::new).map_err(DriverError::io("listen at", socket))
}

fn remove_socket(socket: &Path) -> Result<(), DriverError> {
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DriverError::io("remove", socket)(error))
        }
        _ => Ok(()),
    }
}

fn served(socket: &Path) -> impl FnOnce(tonic::transport::Error) -> DriverError {
    let path = PathBuf::from(socket);
    move |source| DriverError::Io { operation: "serve at", path, source: std::io::Error::other(source) }
}
