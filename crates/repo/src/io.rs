//! The one place where blocking code meets the asynchronous store.

use crate::RepoError;
use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{ObjectInfo, Store, StoreError};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, mpsc},
    task::{Context, Poll, Waker},
};
use tokio::runtime::{Builder, Runtime};

/// Threads that drive requests: they only move bytes, all computing happens on the callers' threads.
const IO_THREADS: usize = 2;
/// Runtimes whose repository was closed, for the next one: threads need not be started again.
static IDLE: Mutex<Vec<Runtime>> = Mutex::new(Vec::new());
const IDLE_MAX: usize = 4;

/// The store with a small runtime of its own, so that callers need none and may not be inside one.
#[derive(Debug)]
pub(crate) struct Io {
    store: Arc<dyn Store>,
    /// Present until dropped.
    runtime: Option<Runtime>,
}

impl Io {
    pub(crate) fn new(store: Arc<dyn Store>) -> Result<Self, RepoError> {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let runtime = match idle {
            Some(runtime) => runtime,
            None => Builder::new_multi_thread()
                .worker_threads(IO_THREADS)
                .thread_name("longshore-io")
                .enable_all()
                .build()
                .map_err(|source| RepoError::Runtime { source })?,
        };
        Ok(Self { store, runtime: Some(runtime) })
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Starts a task in the background.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    /// Starts a task on this thread; what must wait for the store goes on in the background. For tasks of little work.
    pub(crate) fn start<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut task = Box::pin(task);
        if self.poll_once(&mut task).is_none() {
            self.spawn(task);
        }
    }

    /// The result of a task that needs not wait.
    fn poll_once<T>(&self, task: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        let _context = self.runtime.as_ref()?.enter();
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    /// Runs a task and waits for it. What the store answers at once is taken on this thread; else a plain channel carries the
    /// result, so this works on any thread.
    pub(crate) fn wait<T, F>(&self, task: F) -> Result<T, RepoError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let mut task = Box::pin(task);
        if let Some(result) = self.poll_once(&mut task) {
            return Ok(result?);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.spawn(async move {
            // The receiver waits below; it is gone only if its thread died.
            let _ = sender.send(task.await);
        });
        let result =
            receiver.recv().map_err(|source| RepoError::Runtime { source: io::Error::other(source) })?;
        Ok(result?)
    }

    pub(crate) fn create(&self, name: &str, body: impl Into<Bytes>) -> Result<(), RepoError> {
        let (store, name, body) = (self.store.clone(), name.to_owned(), body.into());
        self.wait(async move { store.create(&name, body).await })
    }

    pub(crate) fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, RepoError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        self.wait(async move { store.get(&name, limit_bytes).await })
    }

    pub(crate) fn get_range(
        &self,
        name: &str,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Result<Bytes, RepoError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        self.wait(async move { store.get_range(&name, offset_bytes, length_bytes).await })
    }

    pub(crate) fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, RepoError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        self.wait(async move { store.get_tail(&name, length_bytes).await })
    }

    /// Deletes an object; one that is not there is success.
    pub(crate) fn delete(&self, name: &str) -> Result<(), RepoError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        self.wait(async move { store.delete(&name).await })
    }

    /// Length and time of an object.
    pub(crate) fn info(&self, name: &str) -> Result<ObjectInfo, RepoError> {
        let (store, name) = (self.store.clone(), name.to_owned());
        self.wait(async move { store.info(&name).await })
    }

    /// All objects under a prefix, sorted by name.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, RepoError> {
        let (store, prefix) = (self.store.clone(), prefix.to_owned());
        let mut all = self.wait(async move { store.list(&prefix).try_collect::<Vec<_>>().await })?;
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        // What is under way belongs to nobody any more, and ends with its runtime.
        if idle.len() < IDLE_MAX && runtime.metrics().num_alive_tasks() == 0 {
            idle.push(runtime);
        } else {
            // Waiting for the threads here would panic if the last owner is dropped inside another runtime.
            runtime.shutdown_background();
        }
    }
}
