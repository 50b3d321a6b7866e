//! A directory's names, packed: ten million of them must fit.

/// Names of one directory, sorted by bytes.
#[derive(Default)]
pub struct NameList {
    bytes: Vec<u8>,
    places: Vec<(u32, u16)>,
}

impl NameList {
    /// Adds a name; at most 4 GiB of names and 64 KiB a name fit, both beyond what Linux allows.
    pub(crate) fn push(&mut self, name: &[u8]) -> bool {
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else {
            return false;
        };
        self.bytes.extend_from_slice(name);
        self.places.push((start, length));
        true
    }

    pub(crate) fn sort(&mut self) {
        let bytes = &self.bytes;
        self.places.sort_unstable_by(|left, right| slice(bytes, *left).cmp(slice(bytes, *right)));
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// True for an empty directory.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The names in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.places.iter().map(|place| slice(&self.bytes, *place))
    }

    /// True when `name` is among them.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.places.binary_search_by(|place| slice(&self.bytes, *place).cmp(name)).is_ok()
    }

    /// The name at `position` in sorted order.
    pub fn get(&self, position: usize) -> Option<&[u8]> {
        self.places.get(position).map(|place| slice(&self.bytes, *place))
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u16)) -> &[u8] {
    &bytes[start as usize..start as usize + length as usize]
}
