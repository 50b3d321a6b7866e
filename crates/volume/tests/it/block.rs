//! Devices and images.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_volume::{AlignedBuffer, BlockReader, BlockWriter, Class, VolumeError};
use proptest::prelude::*;

const BLOCK: u64 = 4096;

/// A loop device that goes away with the value.
struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    fn over(image: &Path) -> Self {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output().unwrap();
        assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        Self { path: String::from_utf8(output.stdout).unwrap().trim().into() }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _best_effort = Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

fn data_of(reader: &BlockReader) -> Vec<std::ops::Range<u64>> {
    let mut found = Vec::new();
    let end = reader.size().next_multiple_of(BLOCK);
    let mut at = 0;
    while let Some(range) = reader.next_data(at, end).unwrap() {
        assert!(range.start >= at && range.end > range.start && range.end <= end);
        assert_eq!((range.start % BLOCK, range.end % BLOCK), (0, 0));
        at = range.end;
        found.push(range);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_lies_outside_the_data_ranges_is_zero_and_nothing_is_lost(
        writes in proptest::collection::vec((0_u64..4_000_000, 1_usize..70_000, 1_u8..), 0..8),
        size in 1_u64..5_000_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image");
        let file = fs::File::create_new(&path).unwrap();
        for (offset, length, byte) in writes {
            file.write_all_at(&vec![byte; length], offset).unwrap();
        }
        file.set_len(size).unwrap();
        let expected = fs::read(&path).unwrap();

        let reader = BlockReader::open(&path).unwrap();
        prop_assert_eq!(reader.size(), size);
        let mut rebuilt = vec![0_u8; expected.len().next_multiple_of(BLOCK as usize)];
        for range in data_of(&reader) {
            let mut buffer = AlignedBuffer::new((range.end - range.start) as usize);
            reader.read_at(range.start, &mut buffer).unwrap();
            rebuilt[range.start as usize..range.end as usize].copy_from_slice(&buffer);
        }
        prop_assert!(rebuilt[expected.len()..].iter().all(|byte| *byte == 0));
        rebuilt.truncate(expected.len());
        prop_assert!(rebuilt == expected);
    }
}

#[test]
fn a_sparse_image_comes_back_sparse_and_zeroing_removes_old_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target");
    fs::write(&path, vec![7_u8; 8 << 20]).unwrap();
    let writer = BlockWriter::open(&path, 8 << 20).unwrap();
    assert!(!writer.is_known_empty());
    writer.zero(1 << 20, 6 << 20).unwrap();
    writer.write_at(2 << 20, b"new").unwrap();
    writer.sync().unwrap();
    let bytes = fs::read(&path).unwrap();
    assert!(bytes[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
    assert_eq!(&bytes[2 << 20..(2 << 20) + 4], b"new\0");
    assert!(bytes[7 << 20..].iter().all(|byte| *byte == 7));
    assert!(fs::metadata(&path).unwrap().blocks() * 512 < 4 << 20);
}

#[test]
fn a_new_image_is_known_empty_and_has_the_exact_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target");
    let writer = BlockWriter::open(&path, 1_000_001).unwrap();
    assert!(writer.is_known_empty());
    writer.write_at(1_000_000, &[9; 4096]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1_000_001);
}

#[test]
fn a_device_is_read_directly_written_exclusively_and_checked_for_size() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("backing");
    fs::write(&image, vec![5_u8; 4 << 20]).unwrap();
    let device = LoopDevice::over(&image);

    let too_small = BlockWriter::open(&device.path, (4 << 20) + 1).err().unwrap();
    assert!(matches!(
        too_small,
        VolumeError::TooSmall { needed_bytes: 4_194_305, found_bytes: 4_194_304, .. }
    ));
    assert_eq!(too_small.class(), Class::Full);

    let writer = BlockWriter::open(&device.path, 3 << 20).unwrap();
    writer.zero(1 << 20, 1 << 20).unwrap();
    writer.write_at(0, &[6; 512]).unwrap();
    writer.sync().unwrap();
    drop(writer);

    let reader = BlockReader::open(&device.path).unwrap();
    assert!(reader.is_device());
    assert_eq!(reader.size(), 4 << 20);
    let mut buffer = AlignedBuffer::new(4 << 20);
    reader.read_at(0, &mut buffer).unwrap();
    assert!(buffer[..512].iter().all(|byte| *byte == 6));
    assert!(buffer[512..1 << 20].iter().all(|byte| *byte == 5));
    assert!(buffer[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
    assert!(buffer[2 << 20..].iter().all(|byte| *byte == 5));
}

#[test]
fn a_mounted_device_is_refused_as_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("backing");
    fs::File::create_new(&image).unwrap().set_len(16 << 20).unwrap();
    let device = LoopDevice::over(&image);
    let run = |program: &str, arguments: &[&Path]| {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    };
    run("mkfs.ext4", &[Path::new("-q"), &device.path]);
    let mount = folder.path().join("mount");
    fs::create_dir(&mount).unwrap();
    run("mount", &[&device.path, &mount]);
    let refused = BlockWriter::open(&device.path, 1).err();
    run("umount", &[&mount]);
    assert!(refused.unwrap().is_in_use());
    assert!(BlockWriter::open(&device.path, 1).is_ok());
}

#[test]
fn folders_and_missing_paths_are_named_errors() {
    let folder = tempfile::tempdir().unwrap();
    let error = BlockReader::open(folder.path()).err().unwrap();
    assert!(matches!(error, VolumeError::NotAVolume { .. }));
    let error = BlockReader::open(&folder.path().join("missing")).err().unwrap();
    assert_eq!(error.class(), Class::NotFound);
}
