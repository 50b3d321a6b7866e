//! From a Repository's retention to the mover's rules. Pure.

use kube::ResourceExt;
use longshore_api::Repository;
use longshore_job::{Retention, parse_span};

use crate::reason::{OperatorReason, Trouble};

/// What the next maintenance forgets; `None` for nothing.
///
/// # Errors
/// `RetentionInvalid` when the rules keep nothing or cannot be read: the schema forbids most of that, but an older one may be installed.
pub fn retention(repository: &Repository, cluster_uid: &str) -> Result<Option<Retention>, Trouble> {
    let Some(rules) = &repository.spec.retention else { return Ok(None) };
    let invalid =
        |message: String| Trouble::new(OperatorReason::RetentionInvalid, format!("spec.retention.{message}"));
    let count = |name: &str, value: Option<i32>| {
        u32::try_from(value.unwrap_or(0)).map_err(|_| invalid(format!("{name} is below zero")))
    };
    let within = rules.keep_within.as_deref().filter(|text| !text.is_empty()).unwrap_or("0s");
    let created = repository.creation_timestamp().filter(|_| rules.adopt != Some(true));
    let retention = Retention {
        cluster_uid: cluster_uid.to_owned(),
        not_before: created.map(|time| time.0.to_string()).unwrap_or_default(),
        keep_last: count("keepLast", rules.keep_last)?,
        keep_hourly: count("keepHourly", rules.keep_hourly)?,
        keep_daily: count("keepDaily", rules.keep_daily)?,
        keep_weekly: count("keepWeekly", rules.keep_weekly)?,
        keep_monthly: count("keepMonthly", rules.keep_monthly)?,
        keep_yearly: count("keepYearly", rules.keep_yearly)?,
        keep_within_seconds: parse_span(within)
            .ok_or_else(|| invalid(format!("keepWithin is {within:?}, not a number and a unit")))?,
    };
    let nothing = Retention {
        cluster_uid: retention.cluster_uid.clone(),
        not_before: retention.not_before.clone(),
        ..Retention::default()
    };
    if retention == nothing {
        return Err(invalid("*: no rule keeps anything".to_owned()));
    }
    Ok(Some(retention))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_api::RetentionPolicy;

    use super::*;

    fn of(rules: RetentionPolicy) -> Result<Option<Retention>, String> {
        let mut repository = Repository::default();
        repository.metadata.creation_timestamp = Some(Time("2026-11-26T10:00:00Z".parse().unwrap()));
        repository.spec.retention = Some(rules);
        retention(&repository, "c").map_err(|trouble| trouble.text())
    }

    #[test]
    fn rules_are_those_of_the_specification_and_older_points_wait_for_adoption() {
        let rules = RetentionPolicy {
            keep_daily: Some(7),
            keep_last: Some(0),
            keep_within: Some("2w".into()),
            ..Default::default()
        };
        let told = of(rules.clone()).unwrap().unwrap();
        assert_eq!((told.cluster_uid.as_str(), told.not_before.as_str()), ("c", "2026-11-26T10:00:00Z"));
        assert_eq!((told.keep_daily, told.keep_last, told.keep_within_seconds), (7, 0, 1_209_600));
        assert_eq!(of(RetentionPolicy { adopt: Some(true), ..rules }).unwrap().unwrap().not_before, "");
        assert_eq!(retention(&Repository::default(), "c"), Ok(None));
    }

    #[test]
    fn rules_that_keep_nothing_or_are_none_forget_nothing() {
        for rules in [
            RetentionPolicy::default(),
            RetentionPolicy { keep_last: Some(0), adopt: Some(true), ..Default::default() },
            RetentionPolicy { keep_within: Some("0d".into()), ..Default::default() },
            RetentionPolicy { keep_within: Some("soon".into()), ..Default::default() },
            RetentionPolicy { keep_last: Some(1), keep_yearly: Some(-1), ..Default::default() },
        ] {
            assert!(of(rules.clone()).unwrap_err().contains("spec.retention"), "{rules:?}");
        }
    }
}
