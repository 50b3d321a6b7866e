//! `longshore-velero-plugin`: started by a Velero server, or as `longshore-velero-plugin install DIR` by an init container.

use std::process::ExitCode;

use longshore_velero_plugin::arguments::Arguments;
use longshore_velero_plugin::{install, log, process};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, command, folder] = words.as_slice()
        && command == "install"
    {
        return match install::install(folder.as_ref()) {
            Ok(place) => {
                println!("installed {}", place.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        };
    }
    let arguments = Arguments::parse(&words);
    log::begin(arguments.log_level);
    match process::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{}", longshore_job::chain(error));
    ExitCode::FAILURE
}
