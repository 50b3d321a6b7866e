use crate::{
    FormatError, PackId,
    bytes::{Put, Reader},
    index::{Layout, TABLE_ENTRY_BYTES},
    names::PackKind,
    pack::FRAMES_MAX,
};

/// A pack of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableEntry {
    /// What it holds.
    pub kind: PackKind,
    /// Its name.
    pub pack: PackId,
    /// How many frames it has.
    pub frames: u32,
    /// How many frames all packs before it in the segment have.
    pub frames_before: u32,
}

/// Appends the plaintext of a table page.
pub fn encode_table_page(entries: &[TableEntry], out: &mut Vec<u8>) {
    for entry in entries {
        out.put(&entry.pack.0);
        out.put_u8(entry.kind.code());
        out.put_u8(0);
        out.put_u16(entry.frames as u16);
        out.put_u32(entry.frames_before);
    }
}

/// Reads an opened table page. Its packs follow each other without gaps, and none reaches beyond the segment's entries.
pub fn decode_table_page(
    bytes: &[u8],
    table_page: u32,
    layout: &Layout,
) -> Result<Vec<TableEntry>, FormatError> {
    let mut reader = Reader::new("pack table of an index segment", bytes);
    let packs = layout.packs_of(table_page);
    if bytes.len() != packs.len() * TABLE_ENTRY_BYTES {
        return Err(reader.invalid("length"));
    }
    let mut out: Vec<TableEntry> = Vec::with_capacity(packs.len());
    for number in packs {
        let pack = PackId(reader.array()?);
        let code = reader.u8()?;
        let kind = PackKind::from_code(code).ok_or_else(|| reader.invalid("unknown kind of pack"))?;
        reader.reserved(1)?;
        let (frames, frames_before) = (u32::from(reader.u16()?), reader.u32()?);
        let end = u64::from(frames_before) + u64::from(frames);
        let expected = match out.last() {
            Some(last) => Some(last.frames_before + last.frames),
            None => (number == 0).then_some(0),
        };
        let is_last = number + 1 == layout.packs();
        if frames == 0
            || frames as usize > FRAMES_MAX
            || expected.is_some_and(|expected| expected != frames_before)
            || end > u64::from(layout.entries())
            || (is_last && end != u64::from(layout.entries()))
        {
            return Err(reader.invalid("packs do not fill the segment"));
        }
        out.push(TableEntry { kind, pack, frames, frames_before });
    }
    Ok(out)
}
