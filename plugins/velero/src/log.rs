//! Logs as Velero reads them: one JSON object a line on standard error, with `@level` and `@message`.
//!
//! Velero counts lines of level error that come while an item is processed and calls the backup partially failed for them. An action that
//! fails returns an error; its log lines stay at warn or below.

use std::fmt::Debug;
use std::io::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Longest value of one field, in bytes: Velero takes a line above 64 KiB for debug output.
const VALUE_BYTES_MAX: usize = 8 << 10;

/// Sends everything that is logged, from `level` up, to Velero. Only the first call counts.
pub fn begin(level: Level) {
    // Libraries have nothing to say to a Velero user below a warning.
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("longshore_velero_plugin", LevelFilter::from_level(level));
    let _already_set = tracing_subscriber::registry().with(Lines.with_filter(filter)).try_init();
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = line(event).to_string();
        text.push('\n');
        // If Velero does not listen there is nobody left to tell.
        let _written = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

fn line(event: &Event<'_>) -> Value {
    let mut fields = Fields(Map::new());
    event.record(&mut fields);
    let mut map = fields.0;
    let message = map.remove("message").unwrap_or_default();
    map.insert("@message".into(), message);
    map.insert("@level".into(), event.metadata().level().as_str().to_lowercase().into());
    map.insert("@timestamp".into(), format!("{:.6}", jiff::Timestamp::now()).into());
    Value::Object(map)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, mut text: String) {
        if text.len() > VALUE_BYTES_MAX {
            let end = (0..=VALUE_BYTES_MAX).rev().find(|index| text.is_char_boundary(*index)).unwrap_or(0);
            text.truncate(end);
        }
        self.0.insert(field.name().to_owned(), text.into());
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Kept(Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(line(event));
        }
    }

    #[test]
    fn a_line_is_what_go_plugin_reads() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(lines.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                pvc = "shop/data",
                bytes = 7,
                text = "ä".repeat(VALUE_BYTES_MAX),
                "a \"quoted\"\nmessage"
            );
        });
        let line = lines.lock().unwrap().remove(0);
        assert_eq!(line["@level"], "warn");
        assert_eq!(line["@message"], "a \"quoted\"\nmessage");
        assert_eq!(line["pvc"], "shop/data");
        assert_eq!(line["bytes"], "7");
        assert!(!line.to_string().contains('\n'));
        assert!(line.to_string().len() < 60_000);
        assert!(line["@timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
