//! What go-plugin and Velero want of every plugin program: the listing, the end, the output, health.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::PLUGINS;
use crate::proto::generated::plugin_lister_server::PluginLister;
use crate::proto::generated::{Empty, ListPluginsResponse, PluginIdentifier};
use crate::proto::go_plugin::grpc_controller_server::GrpcController;
use crate::proto::go_plugin::grpc_stdio_server::GrpcStdio;
use crate::proto::go_plugin::{Empty as Nothing, StdioData};
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthCheckRequest, HealthCheckResponse};

type Endless<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Says which plugins there are. Cannot fail: a listing that fails ends the Velero server.
pub struct Lister {
    /// The program as Velero started it; it compares.
    pub command: String,
}

#[tonic::async_trait]
impl PluginLister for Lister {
    async fn list_plugins(&self, _request: Request<Empty>) -> Result<Response<ListPluginsResponse>, Status> {
        let plugins = PLUGINS.map(|(kind, name, _)| PluginIdentifier {
            command: self.command.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        });
        Ok(Response::new(ListPluginsResponse { plugins: plugins.into() }))
    }
}

/// Ends the program.
pub struct Controller {
    /// Notified when Velero wants that.
    pub end: Arc<Notify>,
}

#[tonic::async_trait]
impl GrpcController for Controller {
    async fn shutdown(&self, _request: Request<Nothing>) -> Result<Response<Nothing>, Status> {
        self.end.notify_one();
        Ok(Response::new(Nothing {}))
    }
}

/// The program's own output, which is nothing: logs go to standard error.
pub struct Stdio;

#[tonic::async_trait]
impl GrpcStdio for Stdio {
    type StreamStdioStream = Endless<StdioData>;

    async fn stream_stdio(&self, _request: Request<()>) -> Result<Response<Self::StreamStdioStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}

/// Health: who can answer is well.
pub struct Healthy;

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

#[tonic::async_trait]
impl Health for Healthy {
    async fn check(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    type WatchStream = Endless<HealthCheckResponse>;

    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let stream = tokio_stream::once(Ok(serving())).chain(tokio_stream::pending());
        Ok(Response::new(Box::pin(stream)))
    }
}
