//! `longshore key`

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use longshore_repo::{
    AddedKey, ChangedKeys, Credential, KdfCost, KeyChange, KeyHolder, KeyInfo, Recipient, Repository, Role,
    Secret, SlotKind, StrongKey,
};
use serde::Serialize;

use crate::arguments::{
    AddKeyArguments, GlobalArguments, KeyArguments, KeyCommand, RecoveryKeyArguments, RemoveKeyArguments,
    RoleArgument,
};
use crate::settings::{Access, key_file, parse, password_file};
use crate::{Failure, output};

/// Said wherever a key goes.
const KEPT: &str = "who held it keeps what he has read, and can open all that is sealed with the present secrets; `longshore key \
                    rotate` ends that for what is made from then on, and after it `longshore prune --reseal` for what is there";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    repository: String,
    revision: u32,
    epoch: u32,
    /// What the file of a recipient's identity must hold.
    anchor: String,
    keys: Vec<Key>,
    /// Objects in the place of keyset revisions that are none.
    ignored: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    id: String,
    kind: &'static str,
    role: &'static str,
    label: String,
    /// The keyset revision that added it.
    revision: u32,
    in_use: bool,
}

/// What a change did. Fields that say nothing are left out, so that a secret stands only where one was asked for.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    revision: u32,
    epoch: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    added: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_key: Option<String>,
}

pub fn run(global: &GlobalArguments, verb: &KeyArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    match &verb.command {
        KeyCommand::List => list(global, &repository),
        KeyCommand::Add(add) => self::add(global, &repository, add),
        KeyCommand::Remove(remove) => self::remove(global, &repository, remove),
        KeyCommand::Rotate => rotate(global, &repository),
        KeyCommand::Recovery(recovery) => self::recovery(global, &repository, recovery),
    }?;
    Ok(0)
}

fn list(global: &GlobalArguments, repository: &Repository) -> Result<(), Failure> {
    let found = repository.keys()?;
    let keys = Keys {
        repository: repository.id().to_string(),
        revision: found.revision,
        epoch: found.epoch,
        anchor: found.anchor_line,
        keys: found.keys.into_iter().map(Key::from).collect(),
        ignored: found.ignored,
    };
    output::print(global.output, "Keys", &keys, |out| {
        let row = |key: &Key| {
            let used = if key.in_use { "in use" } else { "" };
            [&key.id[..8], key.kind, key.role, used, &key.label].map(ToOwned::to_owned).to_vec()
        };
        let rows: Vec<_> = keys.keys.iter().map(row).collect();
        output::table(out, &["ID", "KIND", "ROLE", "", "LABEL"], &rows)?;
        writeln!(out, "\nkeyset revision {}, epoch {}", keys.revision, keys.epoch)?;
        keys.ignored
            .iter()
            .try_for_each(|name| writeln!(out, "not a keyset revision of this repository: {name}"))
    })
}

impl From<KeyInfo> for Key {
    fn from(key: KeyInfo) -> Self {
        Self {
            id: key.slot.to_string(),
            kind: key.kind.as_str(),
            role: key.role.as_str(),
            label: key.label,
            revision: key.added,
            in_use: key.in_use,
        }
    }
}

fn add(global: &GlobalArguments, repository: &Repository, verb: &AddKeyArguments) -> Result<(), Failure> {
    let removed = verb.replace.as_ref().map(|wanted| repository.keys()?.resolve(wanted)).transpose()?;
    // Asked first, so that no key file is made for nothing.
    require_authority(repository)?;
    let holder = match (&verb.new_password_file, &verb.new_key_file, &verb.recipient) {
        (Some(file), _, _) => KeyHolder::Credential(new_password(file)?),
        (_, Some(file), _) => KeyHolder::Credential(new_key_file(file)?),
        (_, _, recipient) => {
            let recipient = Recipient::parse(recipient.as_deref().unwrap_or_default());
            KeyHolder::Recipient(recipient.map_err(|error| Failure::usage(error.to_string()))?)
        }
    };
    let is_recipient = matches!(holder, KeyHolder::Recipient(_));
    let change =
        KeyChange { add: Some(added(holder, verb.role, &verb.label)), remove: removed, rotate: false };
    let changed = repository.change_keys(&change)?;
    let change = Change {
        removed: removed.map(|slot| slot.to_string()),
        anchor: is_recipient.then(|| changed.anchor_line.clone()),
        ..Change::from(changed)
    };
    output::print(global.output, "KeyChange", &change, |out| {
        writeln!(out, "{}", change.added.as_deref().unwrap_or_default())?;
        if let Some(anchor) = &change.anchor {
            eprintln!("the identity's file needs this line, which says whom to trust:");
            writeln!(out, "{anchor}")?;
        }
        if change.removed.is_some() {
            eprintln!("removed the other key; {KEPT}");
        }
        Ok(())
    })
}

fn remove(
    global: &GlobalArguments,
    repository: &Repository,
    verb: &RemoveKeyArguments,
) -> Result<(), Failure> {
    let slot = repository.keys()?.resolve(&verb.key)?;
    let change = KeyChange { add: None, remove: Some(slot), rotate: verb.rotate };
    let changed = repository.change_keys(&change)?;
    let change = Change { removed: Some(slot.to_string()), ..Change::from(changed) };
    output::print(global.output, "KeyChange", &change, |out| {
        writeln!(out, "{slot}")?;
        match verb.rotate {
            true => eprintln!("removed it, and rotated; who held it keeps what he has read"),
            false => eprintln!("removed it; {KEPT}"),
        }
        Ok(())
    })
}

fn rotate(global: &GlobalArguments, repository: &Repository) -> Result<(), Failure> {
    let changed = repository.change_keys(&KeyChange { rotate: true, ..KeyChange::default() })?;
    let change = Change::from(changed);
    output::print(global.output, "KeyChange", &change, |out| {
        writeln!(out, "{}", change.epoch)?;
        eprintln!(
            "what is made from now on is sealed in epoch {}; what is there opens as before, until `longshore prune --reseal` \
             has sealed it anew. Movers that are at work go on with the secrets that they have",
            change.epoch
        );
        Ok(())
    })
}

fn recovery(
    global: &GlobalArguments,
    repository: &Repository,
    verb: &RecoveryKeyArguments,
) -> Result<(), Failure> {
    let key = StrongKey::generate().map_err(longshore_repo::RepoError::from)?;
    let text = key.recovery_text().map_err(longshore_repo::RepoError::from)?;
    let holder = KeyHolder::Credential(Credential::RecoveryKey(key));
    let add = Some(added(holder, verb.role, &verb.label));
    let changed = repository.change_keys(&KeyChange { add, ..KeyChange::default() })?;
    let text = String::from_utf8_lossy(text.expose()).into_owned();
    let change = Change { recovery_key: Some(text), ..Change::from(changed) };
    output::print(global.output, "KeyChange", &change, |out| {
        eprintln!(
            "write it down and keep it apart from the cluster; it opens the repository in place of a password:"
        );
        writeln!(out, "{}", change.recovery_key.as_deref().unwrap_or_default())
    })
}

fn added(holder: KeyHolder, role: RoleArgument, label: &str) -> AddedKey {
    let role = match role {
        RoleArgument::Mover => Role::Mover,
        RoleArgument::Maintenance => Role::Maintenance,
    };
    AddedKey { holder, role, label: label.to_owned(), cost: KdfCost::STANDARD }
}

impl From<ChangedKeys> for Change {
    fn from(changed: ChangedKeys) -> Self {
        Self {
            revision: changed.revision,
            epoch: changed.epoch,
            added: changed.added.map(|slot| slot.to_string()),
            ..Self::default()
        }
    }
}

fn require_authority(repository: &Repository) -> Result<(), Failure> {
    if repository.can_maintain() {
        return Ok(());
    }
    let message = "the key in use is a mover's; changing keys needs one of role maintenance";
    Err(Failure::of(longshore_job::Reason::NoAuthority, message.to_owned()))
}

fn new_password(file: &Path) -> Result<Credential, Failure> {
    let credential = parse(password_file(file)?)?;
    if credential.kind() == SlotKind::Password {
        return Ok(credential);
    }
    Err(Failure::usage(format!("the file {} holds a key, not a password", file.display())))
}

/// Makes a key file that only its owner reads, or reads the one that is there.
fn new_key_file(file: &Path) -> Result<Credential, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("cannot make the key file {}: {error}", file.display()))
    };
    let mut made = match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(made) => made,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return match key_file(file)? {
                credential if credential.kind() == SlotKind::KeyFile => Ok(credential),
                _ => Err(Failure::usage(format!("the file {} is there and is no key file", file.display()))),
            };
        }
        Err(error) => return Err(failed(error)),
    };
    let key = StrongKey::generate().map_err(longshore_repo::RepoError::from)?;
    let text: Secret = key.key_file_text().map_err(longshore_repo::RepoError::from)?;
    made.write_all(text.expose()).and_then(|()| made.sync_all()).map_err(failed)?;
    Ok(Credential::KeyFile(key))
}
