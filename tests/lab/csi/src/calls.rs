//! Every call goes through [`Calls::run`]: faults, a thread for the blocking work, one line in the log.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use tonic::{Code, Request, Response, Status};

use crate::driver::Driver;
use crate::error::DriverError;
use crate::faults::{Action, Fault, Faults, When, code_name};

/// Runs calls. Cloned into each service.
#[derive(Debug, Clone)]
pub struct Calls {
    driver: Arc<Driver>,
    faults: Arc<Faults>,
    log: Arc<CallLog>,
}

impl Calls {
    /// Calls of `driver`.
    pub fn new(driver: Driver, faults: Faults, log: CallLog) -> Self {
        Self { driver: Arc::new(driver), faults: Arc::new(faults), log: Arc::new(log) }
    }

    /// The driver.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Runs `work` to its end even if the caller goes away, and logs it.
    pub async fn run<Q, S, W>(
        &self,
        method: &'static str,
        request: Request<Q>,
        work: W,
    ) -> Result<Response<S>, Status>
    where
        Q: Serialize + Send + 'static,
        S: Serialize + Send + 'static,
        W: FnOnce(&Driver, Q) -> Result<S, DriverError> + Send + 'static,
    {
        let calls = self.clone();
        let call = tokio::spawn(async move { calls.run_logged(method, request.into_inner(), work).await });
        let result = call.await.unwrap_or_else(|source| Err(DriverError::WorkerDied { source }));
        result.map(Response::new).map_err(Status::from)
    }

    async fn run_logged<Q, S, W>(&self, method: &'static str, request: Q, work: W) -> Result<S, DriverError>
    where
        Q: Serialize + Send + 'static,
        S: Serialize + Send + 'static,
        W: FnOnce(&Driver, Q) -> Result<S, DriverError> + Send + 'static,
    {
        let mut line = Line { method, request: value(&request), started: Instant::now(), faults: Vec::new() };
        let result = self.attempt(&mut line, request, work).await;
        let outcome = match &result {
            Ok(response) => json!({ "response": value(response) }),
            Err(error) => failure(error.class(), &error.chain()),
        };
        self.write(&line, outcome);
        result
    }

    async fn attempt<Q, S, W>(&self, line: &mut Line, request: Q, work: W) -> Result<S, DriverError>
    where
        Q: Send + 'static,
        S: Send + 'static,
        W: FnOnce(&Driver, Q) -> Result<S, DriverError> + Send + 'static,
    {
        let faults = self.faults.take(line.method, &line.request.to_string())?;
        self.suffer(line, &faults, When::Before).await?;
        let driver = Arc::clone(&self.driver);
        let response = tokio::task::spawn_blocking(move || work(&driver, request))
            .await
            .unwrap_or_else(|source| Err(DriverError::WorkerDied { source }))?;
        self.suffer(line, &faults, When::After).await?;
        Ok(response)
    }

    /// Lets the faults happen that are due at this point of the call.
    async fn suffer(&self, line: &mut Line, faults: &[Fault], when: When) -> Result<(), DriverError> {
        for fault in faults.iter().filter(|fault| fault.when == when) {
            line.faults.push(format!("{:?}", fault.action).to_lowercase());
            match fault.action {
                Action::Delay => tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await,
                Action::Error => {
                    let code = fault.code.unwrap_or(Code::Internal);
                    return Err(DriverError::Injected { method: line.method, code });
                }
                Action::Crash => {
                    self.write(line, failure(Code::Unavailable, "the driver kills itself"));
                    let own = rustix::process::getpid();
                    rustix::process::kill_process(own, rustix::process::Signal::KILL)
                        .map_err(DriverError::io("kill", "the driver"))?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, line: &Line, outcome: Value) {
        let settings = &self.driver.settings;
        let mut entry = json!({
            "time": jiff::Timestamp::now().to_string(),
            "driver": settings.driver_name,
            "node": settings.node_id,
            "method": line.method,
            "request": line.request,
            "milliseconds": u64::try_from(line.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if let (Some(entry), Value::Object(outcome)) = (entry.as_object_mut(), outcome) {
            entry.extend(outcome);
            if !line.faults.is_empty() {
                entry.insert("faults".to_owned(), json!(line.faults));
            }
        }
        self.log.write(&entry);
    }
}

/// The work of a method that the driver does not offer.
pub fn refuse<Q, S>(
    method: &'static str,
) -> impl FnOnce(&Driver, Q) -> Result<S, DriverError> + Send + 'static {
    move |_, _| Err(DriverError::NotOffered { capability: method })
}

/// What is known of a call while it runs.
struct Line {
    method: &'static str,
    request: Value,
    started: Instant,
    faults: Vec<String>,
}

fn failure(code: Code, message: &str) -> Value {
    json!({ "code": code_name(code), "message": message })
}

/// A message as it appears in the log. Messages are plain data; if one could not be written, its type is still known.
fn value<T: Serialize>(message: &T) -> Value {
    serde_json::to_value(message).unwrap_or_else(|_| json!(std::any::type_name::<T>()))
}

/// Where lines go: a file that several drivers may share, or standard error.
#[derive(Debug)]
pub struct CallLog {
    file: Option<File>,
}

impl CallLog {
    /// Appends to `file`; without one, writes to standard error.
    pub fn open(file: Option<&Path>) -> Result<Self, DriverError> {
        let open = |path: &Path| {
            let opened = File::options().create(true).append(true).open(path);
            opened.map_err(DriverError::io("open", path))
        };
        Ok(Self { file: file.map(open).transpose()? })
    }

    /// One write per line, so that lines of several drivers never mix. A full disk must not fail the call that is logged.
    fn write(&self, entry: &Value) {
        let line = format!("{entry}\n");
        let written = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
        if let Err(error) = written {
            eprintln!("cannot write the call log: {error}");
        }
    }
}
