//! What opens a repository, and how people write it down.

use crate::{CryptoError, Secret, SecretKey, random_bytes, recipient::PrivateKey};
use bech32::{Bech32, Bech32m, Checksum, Hrp, primitives::decode::CheckedHrpstring};
use longshore_format::{RepositoryId, slot::SlotKind};
use std::fmt;
use zeroize::Zeroizing;

/// First part of a key file's text. The part after it ends with a checksum that finds any four wrong characters.
const KEY_FILE: &str = "lskey";
/// First part of a recovery key's text.
const RECOVERY_KEY: &str = "lsrec";
/// First part of an age recipient's text.
const RECIPIENT: &str = "age";
/// First part of an age identity's text.
const IDENTITY: &str = "age-secret-key-";
/// What begins a line, in the file of an identity, that says whom to trust.
const ANCHOR: &str = "# longshore:";
/// Characters of a group of a printed recovery key.
const GROUP: usize = 4;

/// Something that opens a repository.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A password.
    Password(Secret),
    /// The content of a key file.
    KeyFile(StrongKey),
    /// A printed key.
    RecoveryKey(StrongKey),
    /// The private half of a recipient.
    Identity(Identity),
}

impl Credential {
    /// Tells from its form what was given: a key file, a recovery key (in any case, with spaces or dashes between its
    /// groups), an age identity, or else a password.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, CryptoError> {
        let secret = Secret::new(bytes);
        let Ok(text) = std::str::from_utf8(secret.expose()) else { return Ok(Self::Password(secret)) };
        if let Some(identity) = Identity::parse(text)? {
            return Ok(Self::Identity(identity));
        }
        let mut compact = Zeroizing::new(String::with_capacity(text.len()));
        compact
            .extend(text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_lowercase()));
        if compact.starts_with("lskey1") {
            return StrongKey::decode("key file", KEY_FILE, &compact).map(Self::KeyFile);
        }
        if compact.starts_with("lsrec1") {
            return StrongKey::decode("recovery key", RECOVERY_KEY, &compact).map(Self::RecoveryKey);
        }
        Ok(Self::Password(secret))
    }

    /// The kind of slot that it opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::RecoveryKey(_) => SlotKind::RecoveryKey,
            Self::Identity(_) => SlotKind::Recipient,
        }
    }
}

impl From<&Secret> for Credential {
    fn from(password: &Secret) -> Self {
        Self::Password(password.clone())
    }
}

/// 32 random bytes that need no stretching.
#[derive(Clone, Debug)]
pub struct StrongKey(pub(crate) SecretKey);

impl StrongKey {
    /// A new one.
    pub fn generate() -> Result<Self, CryptoError> {
        Ok(Self(SecretKey(random_bytes()?)))
    }

    /// The one line that a key file holds.
    pub fn key_file_text(&self) -> Result<Secret, CryptoError> {
        let mut line = Zeroizing::new(encode::<Bech32m>(KEY_FILE, &self.0.0)?);
        line.push('\n');
        Ok(Secret::from(line.as_str()))
    }

    /// The form for paper: groups of four characters.
    pub fn recovery_text(&self) -> Result<Secret, CryptoError> {
        let text = Zeroizing::new(encode::<Bech32m>(RECOVERY_KEY, &self.0.0)?.to_ascii_uppercase());
        let mut out = Zeroizing::new(String::with_capacity(2 * text.len()));
        for (at, letter) in text.chars().enumerate() {
            if at > 0 && at % GROUP == 0 {
                out.push('-');
            }
            out.push(letter);
        }
        Ok(Secret::from(out.as_str()))
    }

    fn decode(what: &'static str, prefix: &str, text: &str) -> Result<Self, CryptoError> {
        Ok(Self(SecretKey(decode::<Bech32m>(what, prefix, text)?)))
    }
}

/// Whom a reader trusts: the maintenance key as of a revision. Every later revision follows from it by signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The revision; 0 if the first has yet to be made.
    pub revision: u32,
    /// The public maintenance key that signs the revision after it.
    pub authority: [u8; 32],
}

impl Anchor {
    /// The line that the file of an identity holds for a repository.
    pub fn line(&self, repository: RepositoryId) -> String {
        let (revision, authority) = (self.revision, hex::encode(self.authority));
        format!("{ANCHOR} repository {repository} revision {revision} authority {authority}")
    }

    fn parse(line: &str) -> Option<(RepositoryId, Self)> {
        let mut words = line.strip_prefix(ANCHOR)?.split_ascii_whitespace();
        let mut value = |name: &str| words.next().filter(|word| *word == name).and_then(|_| words.next());
        let repository = value("repository")?.parse().ok()?;
        let revision = value("revision")?.parse().ok()?;
        let mut authority = [0; 32];
        hex::decode_to_slice(value("authority")?, &mut authority).ok()?;
        Some((repository, Self { revision, authority }))
    }
}

/// The private half of a recipient, with what its file says about whom to trust. The store holds nothing that only the
/// owner could have made, so without an anchor a hostile store could hand him a repository of its own.
#[derive(Clone)]
pub struct Identity {
    pub(crate) private: PrivateKey,
    anchors: Vec<(RepositoryId, Anchor)>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("anchors", &self.anchors).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads the file of an age identity; `None` if it is none.
    fn parse(text: &str) -> Result<Option<Self>, CryptoError> {
        let is_key =
            |line: &&str| line.get(..16).is_some_and(|head| head.eq_ignore_ascii_case("age-secret-key-1"));
        let Some(key) = text.lines().map(str::trim).find(is_key) else { return Ok(None) };
        let private = PrivateKey(SecretKey(decode::<Bech32>("age identity", IDENTITY, key)?));
        let mut anchors = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with(ANCHOR)) {
            let why = "the line about its repository is not as `longshore key add` printed it";
            anchors.push(Anchor::parse(line).ok_or(CryptoError::Key { what: "age identity", why })?);
        }
        Ok(Some(Self { private, anchors }))
    }

    /// What the file says about a repository.
    pub fn anchor(&self, repository: RepositoryId) -> Option<Anchor> {
        self.anchors.iter().find(|(id, _)| *id == repository).map(|(_, anchor)| *anchor)
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient(self.private.public())
    }
}

/// The public half of a pair whose private half its owner keeps: an age recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient(pub(crate) [u8; 32]);

impl Recipient {
    /// Reads `age1…`.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let public = decode::<Bech32>("age recipient", RECIPIENT, text.trim())?;
        if PrivateKey::generate()?.shared(&public).is_none() {
            let why = "it is not the public half of any key";
            return Err(CryptoError::Key { what: "age recipient", why });
        }
        Ok(Self(public))
    }
}

fn encode<C: Checksum>(prefix: &str, bytes: &[u8; 32]) -> Result<String, CryptoError> {
    let cannot = |_| CryptoError::Key { what: "key", why: "it cannot be written as text" };
    let prefix = Hrp::parse(prefix).map_err(|_| cannot(()))?;
    bech32::encode_lower::<C>(prefix, bytes).map_err(|_| cannot(()))
}

fn decode<C: Checksum>(what: &'static str, prefix: &str, text: &str) -> Result<[u8; 32], CryptoError> {
    let typo = CryptoError::Key { what, why: "a character is wrong, missing or too many" };
    let Ok(parsed) = CheckedHrpstring::new::<C>(text) else { return Err(typo) };
    if parsed.hrp().to_lowercase() != prefix {
        return Err(CryptoError::Key { what, why: "it begins otherwise" });
    }
    let mut out = [0u8; 32];
    let mut bytes = parsed.byte_iter();
    for byte in &mut out {
        let Some(next) = bytes.next() else { return Err(typo) };
        *byte = next;
    }
    if bytes.next().is_some() { Err(typo) } else { Ok(out) }
}
