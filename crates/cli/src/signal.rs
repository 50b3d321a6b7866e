//! Ctrl-C and the kubelet's SIGTERM.

use std::time::Duration;

use longshore_mover::Control;
use tokio::signal::unix::{SignalKind, signal};

/// How long a pipeline may take to stop by itself and to make findable what it has stored; below the 30 seconds that Kubernetes
/// gives a pod. Stopping hard harms nothing: no store is ever left in a state that a later run does not cope with.
const GRACE: Duration = Duration::from_secs(20);

/// On SIGINT or SIGTERM asks `control` to stop; when it has not after a grace, or on a second signal, calls `last_words` and
/// ends the process with `exit_code`.
pub fn stop_on_signal(
    control: &Control,
    exit_code: u8,
    last_words: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let control = control.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (interrupt, terminate) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async move {
            let (mut interrupt, mut terminate) = (interrupt, terminate);
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
            control.cancel();
            tokio::select! {
                _ = interrupt.recv() => {},
                _ = terminate.recv() => {},
                () = tokio::time::sleep(GRACE) => {},
            }
            last_words();
            std::process::exit(i32::from(exit_code));
        });
    });
    Ok(())
}
