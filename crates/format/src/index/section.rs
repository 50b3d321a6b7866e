use crate::{
    FormatError,
    bytes::{Put, Reader},
    index::{SECTION_ENTRY_BYTES, TableEntry},
    pack::{PACK_BYTES_MAX, TrailerEntry},
};

/// Appends the plaintext of a section: the frames of a pack in their order, as its trailer has them.
pub fn encode_section(frames: &[TrailerEntry], out: &mut Vec<u8>) {
    for frame in frames {
        out.put(&frame.id);
        out.put_u32(frame.length_bytes);
    }
}

/// Reads the opened section of a pack.
pub fn decode_section(bytes: &[u8], pack: &TableEntry) -> Result<Vec<TrailerEntry>, FormatError> {
    let mut reader = Reader::new("section of an index segment", bytes);
    let count = pack.frames as usize;
    if bytes.len() != count * SECTION_ENTRY_BYTES {
        return Err(reader.invalid("length"));
    }
    let mut out = Vec::with_capacity(count);
    let mut sum = 0u64;
    for _ in 0..count {
        let frame = TrailerEntry { id: reader.array()?, length_bytes: reader.u32()? };
        sum += u64::from(frame.length_bytes);
        out.push(frame);
    }
    if sum > PACK_BYTES_MAX {
        return Err(reader.invalid("frames beyond the largest pack"));
    }
    Ok(out)
}
