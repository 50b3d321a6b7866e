//! Where a run's mover works and which Secret opens the repository: named, or found.

mod operator;

pub use operator::{Operator, find_operators};

use kube::ResourceExt;
use longshore_api::Repository;

use crate::arguments::RunArguments;
use crate::cluster::{Session, list};
use crate::failure::Failure;

/// What a run needs to know of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Namespace of mover and Secret.
    pub protected_namespace: String,
    /// Secret with the repository's address and key.
    pub secret: String,
}

/// What the user named.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Protected namespace.
    pub namespace: Option<&'a str>,
    /// Secret.
    pub secret: Option<&'a str>,
    /// Repository.
    pub repository: Option<&'a str>,
}

/// What the cluster says.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Namespace, name and movers' Secret of every Repository.
    pub repositories: Vec<(String, String, Option<String>)>,
    /// Namespaces that the operator allows.
    pub namespaces: Vec<String>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
}

/// Chooses, and never guesses: more than one candidate is a question to the user. Pure.
pub fn decide(wanted: Wanted<'_>, known: &Known) -> Result<Place, Failure> {
    let fits = |(namespace, name, _): &&(String, String, Option<String>)| {
        wanted.namespace.is_none_or(|wanted| wanted == namespace)
            && wanted.repository.is_none_or(|wanted| wanted == name)
    };
    let fitting: Vec<_> = known.repositories.iter().filter(fits).collect();
    if let Some(secret) = wanted.secret {
        let mut namespaces: Vec<&str> = match wanted.namespace {
            Some(namespace) => vec![namespace],
            None if known.namespaces.is_empty() => {
                fitting.iter().map(|(namespace, _, _)| namespace.as_str()).collect()
            }
            None => known.namespaces.iter().map(String::as_str).collect(),
        };
        namespaces.sort_unstable();
        namespaces.dedup();
        return match namespaces[..] {
            [only] => Ok(Place { protected_namespace: only.to_owned(), secret: secret.to_owned() }),
            [] => Err(refused("no protected namespace was found".to_owned(), known)),
            _ => Err(refused(
                format!("there are several protected namespaces: {}", namespaces.join(", ")),
                known,
            )),
        };
    }
    match fitting[..] {
        [(namespace, name, secret)] => match secret {
            Some(secret) => Ok(Place { protected_namespace: namespace.clone(), secret: secret.clone() }),
            None => Err(Failure::Refused {
                message: format!("Repository {namespace}/{name} names no Secret"),
                advice: "Name one in its spec.secretRef, or use --secret.".to_owned(),
            }),
        },
        [] => Err(refused(missing(wanted), known)),
        _ => {
            let names: Vec<String> =
                fitting.iter().map(|(namespace, name, _)| format!("{namespace}/{name}")).collect();
            Err(Failure::Refused {
                message: format!("several Repositories could be meant: {}", names.join(", ")),
                advice: "Choose with --repository and --protected-namespace, or name a Secret with --secret."
                    .to_owned(),
            })
        }
    }
}

fn missing(wanted: Wanted<'_>) -> String {
    let place = wanted.namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    match wanted.repository {
        Some(name) => format!("there is no Repository {name}{place}"),
        None => format!("there is no Repository{place} that would name a Secret"),
    }
}

fn refused(message: String, known: &Known) -> Failure {
    let mut advice =
        "Name both with --protected-namespace and --secret; an administrator knows them.".to_owned();
    if !known.unknown.is_empty() {
        advice.push_str(&format!(" What could not be looked at: {}.", known.unknown.join("; ")));
    }
    Failure::Refused { message, advice }
}

/// Finds the place of a run; the cluster is asked only for what the user did not name. `backup` is the place of the backup that is restored.
pub async fn find(
    session: &Session,
    arguments: &RunArguments,
    backup: Option<Place>,
) -> Result<Place, Failure> {
    let wanted = Wanted {
        namespace: arguments.protected_namespace.as_deref(),
        secret: arguments.secret.as_deref(),
        repository: arguments.repository.as_deref(),
    };
    match (wanted, backup) {
        (Wanted { namespace: Some(namespace), secret: Some(secret), .. }, _) => {
            Ok(Place { protected_namespace: namespace.to_owned(), secret: secret.to_owned() })
        }
        (Wanted { repository: None, .. }, Some(place)) => Ok(Place {
            protected_namespace: wanted.namespace.map_or(place.protected_namespace, str::to_owned),
            secret: wanted.secret.map_or(place.secret, str::to_owned),
        }),
        _ => decide(wanted, &look(session, &wanted).await),
    }
}

async fn look(session: &Session, wanted: &Wanted<'_>) -> Known {
    let mut known = Known::default();
    let api = match wanted.namespace {
        Some(namespace) => session.within::<Repository>(namespace),
        None => session.everywhere::<Repository>(),
    };
    match list(&api, "").await {
        Ok(repositories) => {
            let place = |repository: &Repository| {
                let secret = repository.spec.secret_ref.as_ref().and_then(|secret| secret.name.clone());
                let namespace = repository.namespace().unwrap_or_default();
                (namespace, repository.name_any(), secret.filter(|name| !name.is_empty()))
            };
            known.repositories = repositories.iter().map(place).collect();
        }
        Err(failure) => known.unknown.push(failure.to_string()),
    }
    if wanted.namespace.is_none() && wanted.secret.is_some() {
        match find_operators(session).await {
            Ok(operators) => {
                known.namespaces =
                    operators.into_iter().flat_map(|operator| operator.protected_namespaces).collect();
            }
            Err(failure) => known.unknown.push(failure.to_string()),
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(repositories: &[(&str, &str, &str)], namespaces: &[&str]) -> Known {
        let place = |(namespace, name, secret): &(&str, &str, &str)| {
            let secret = Some((*secret).to_owned()).filter(|secret| !secret.is_empty());
            ((*namespace).to_owned(), (*name).to_owned(), secret)
        };
        Known {
            repositories: repositories.iter().map(place).collect(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            unknown: Vec::new(),
        }
    }

    fn chosen(wanted: Wanted<'_>, known: &Known) -> Result<String, String> {
        decide(wanted, known)
            .map(|place| format!("{}/{}", place.protected_namespace, place.secret))
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_only_repository_gives_namespace_and_secret() {
        let one = known(&[("vault", "main", "store")], &[]);
        assert_eq!(chosen(Wanted::default(), &one).unwrap(), "vault/store");
        let other = Wanted { namespace: Some("elsewhere"), ..Wanted::default() };
        assert!(chosen(other, &one).unwrap_err().contains("no Repository in namespace elsewhere"));
        let bare = known(&[("vault", "main", "")], &[]);
        assert!(chosen(Wanted::default(), &bare).unwrap_err().contains("names no Secret"));
    }

    #[test]
    fn several_are_a_question_to_the_user() {
        let two = known(&[("vault", "main", "a"), ("vault", "second", "b"), ("velero", "main", "c")], &[]);
        let failure = chosen(Wanted::default(), &two).unwrap_err();
        assert!(failure.contains("vault/main, vault/second, velero/main"), "{failure}");
        let named = Wanted { repository: Some("second"), ..Wanted::default() };
        assert_eq!(chosen(named, &two).unwrap(), "vault/b");
        let placed = Wanted { namespace: Some("velero"), ..Wanted::default() };
        assert_eq!(chosen(placed, &two).unwrap(), "velero/c");
    }

    #[test]
    fn a_secret_needs_only_the_namespace() {
        let secret = Wanted { secret: Some("store"), ..Wanted::default() };
        assert_eq!(chosen(secret, &known(&[], &["vault"])).unwrap(), "vault/store");
        assert_eq!(chosen(secret, &known(&[("vault", "main", "x")], &[])).unwrap(), "vault/store");
        assert!(chosen(secret, &known(&[], &["a", "b"])).unwrap_err().contains("a, b"));
        let both = Wanted { namespace: Some("vault"), ..secret };
        assert_eq!(chosen(both, &known(&[], &["a", "b"])).unwrap(), "vault/store");
        assert!(chosen(secret, &Known::default()).is_err());
    }

    #[test]
    fn what_could_not_be_looked_at_is_told() {
        let blind = Known { unknown: vec!["cannot list repositories: forbidden".into()], ..Known::default() };
        let failure = decide(Wanted::default(), &blind).unwrap_err();
        assert!(failure.advice().is_some_and(|advice| advice.contains("forbidden")));
    }
}
