//! When maintenance is due: a cron expression of five fields, in UTC. Pure.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Once a day, at a minute at which little else begins.
pub const DAILY: &str = "17 3 * * *";

/// A schedule that can be asked for its next time.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

/// Why a text is no schedule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Not a cron expression of five fields.
    #[error("{text:?} is no cron expression of five fields")]
    Malformed {
        /// What was written.
        text: String,
        /// What is wrong with it.
        #[source]
        source: croner::errors::CronError,
    },
    /// Well formed, but of a day that no calendar has.
    #[error("{text:?} never comes")]
    Never {
        /// What was written.
        text: String,
    },
}

/// Longest text that is looked at; an expression is far shorter.
const TEXT_BYTES_MAX: usize = 256;

impl Schedule {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`ScheduleError`] when it is none, or names a time that never comes.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cut: String = text.chars().take(TEXT_BYTES_MAX).collect();
        let cron =
            parser.parse(&cut).map_err(|source| ScheduleError::Malformed { text: cut.clone(), source })?;
        let schedule = Self(cron);
        match schedule.next_after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never { text: cut }),
        }
    }

    /// The first time after `time`; none beyond the calendar's end.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let civil = TimeZone::UTC.to_datetime(time);
        let next = self.0.find_next_occurrence(&civil, false).ok()?;
        TimeZone::UTC.to_timestamp(next).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn next(schedule: &str, time: &str) -> String {
        Schedule::parse(schedule).unwrap().next_after(time.parse().unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_next_time_is_strictly_later_and_in_utc() {
        assert_eq!(next(DAILY, "2026-11-26T03:16:59Z"), "2026-11-26T03:17:00Z");
        assert_eq!(next(DAILY, "2026-11-26T03:17:00Z"), "2026-11-27T03:17:00Z");
        assert_eq!(next("*/15 * * * *", "2026-12-31T23:50:00Z"), "2027-01-01T00:00:00Z");
        assert_eq!(next("0 4 * * SUN", "2026-11-26T00:00:00Z"), "2026-11-29T04:00:00Z");
        assert_eq!(next("0 0 29 2 *", "2026-11-26T00:00:00Z"), "2028-02-29T00:00:00Z");
    }

    #[test]
    fn what_is_no_schedule_or_never_comes_is_refused() {
        for text in ["", "daily", "* * * *", "61 * * * *", "0 0 0 * * *", "0 0 30 2 *", &"*".repeat(9000)] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_time_goes_on(text in "[0-9*/, A-Z?L#W-]{0,24}", second in 0_i64..4_000_000_000) {
            let time = Timestamp::from_second(second).unwrap();
            if let Some(next) = Schedule::parse(&text).ok().and_then(|schedule| schedule.next_after(time)) {
                prop_assert!(next > time);
            }
        }
    }
}
