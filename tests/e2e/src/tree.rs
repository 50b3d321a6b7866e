//! What volumes hold in scenarios, and how two of them are compared.

use crate::application::VolumeMode;

/// Fills `/data` with everything that a POSIX file system holds.
pub const NASTY: &str = r#"cd /data
mkdir -p dir/deep/er "name with spaces" empty many
printf 'plain text of a file' > dir/file
head -c 3000000 /dev/urandom > dir/random
: > dir/nothing
printf 'small' > dir/small
truncate -s 64M sparse; printf x | dd of=sparse bs=1 seek=20000000 conv=notrunc status=none
for i in $(seq 1 300); do printf "file number $i" > many/$i; done
printf 'latin' > "$(printf 'not-utf8-\377\376')"
printf 'newline' > "$(printf 'new\nline')"
ln dir/file hard-link; ln dir/file dir/deep/hard-link-too
ln -s dir/file link; ln -s /nowhere/at/all dangling; ln -s .. dir/up
mkfifo fifo; mknod null c 1 3; mknod loop b 7 0
cp dir/small setuid; chown 1000:2000 setuid; chmod 4755 setuid
cp dir/small setgid; chown 3:4 setgid; chmod 2711 setgid
chmod 1777 empty; chmod 0000 dir/nothing; chmod 2750 "name with spaces"
chown 65534:65534 dir/deep; chown -h 42:43 link
setfattr -n user.colour -v blue dir/file; setfattr -n user.binary -v 0x00ff10 dir
setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 dir/small
setfacl -m u:1234:r,g:99:rw dir/small; setfacl -d -m u:77:rwx dir/deep
touch -h -d '1999-12-31 23:59:59.999999999' link
touch -d '2001-02-03 04:05:06.123456789' dir/random
touch -d '1970-01-01 00:00:01' fifo
touch -d '2038-01-20 00:00:00.5' dir/deep
touch -d '2010-10-10 10:10:10.1010101' /data
sync"#;

/// Prints one line for each entry with all that must survive, then contents, extended attributes and ACLs. The space that the sparse file
/// takes is compared with a limit, since file systems differ in it; XFS shows ACLs a second time, under names of its own.
const LIST: &str = r#"cd /data
names() { find . -not -path './lost+found*' "$@" -print0 | LC_ALL=C sort -z; }
find . -not -path './lost+found*' -type f -printf '%y %m %U %G %T@ %n %s %P\0' | LC_ALL=C sort -z | tr '\0' '\n' | cat -v
find . -not -path './lost+found*' -not -type f -not -type d -printf '%y %m %U %G %T@ %l %P\0' | LC_ALL=C sort -z | tr '\0' '\n' | cat -v
find . -not -path './lost+found*' -type d -printf '%y %m %U %G %T@ %P\0' | LC_ALL=C sort -z | tr '\0' '\n' | cat -v
names -type b | xargs -0 -r stat -c '%n %t:%T'; names -type c | xargs -0 -r stat -c '%n %t:%T'
names -type f | xargs -0 -r sha256sum | cat -v
names | xargs -0 -r getfattr -h -d -m - -e hex | grep -v '^trusted.SGI_ACL_' | cat -v
names -not -type l | xargs -0 -r getfacl -n | cat -v
if [ -e sparse ] && [ $(stat -c %b sparse) -gt 1024 ]; then echo 'the sparse file is not sparse'; fi"#;

/// Fills `/dev/disk`: random bytes at both ends and in the middle, zeros written, and never-written space between.
pub const NASTY_DEVICE: &str = r#"size=$(blockdev --getsize64 /dev/disk)
head -c 9000000 /dev/urandom | dd of=/dev/disk bs=64k conv=notrunc status=none
dd if=/dev/zero of=/dev/disk bs=1M seek=20 count=4 conv=notrunc status=none
head -c 5000001 /dev/urandom | dd of=/dev/disk bs=64k oflag=seek_bytes seek=33333333 conv=notrunc status=none
head -c 100000 /dev/urandom | dd of=/dev/disk bs=64k oflag=seek_bytes seek=$((size - 100000)) conv=notrunc status=none
sync"#;

/// Prints what a volume holds.
pub fn fingerprint(mode: VolumeMode) -> &'static str {
    match mode {
        VolumeMode::Filesystem => LIST,
        VolumeMode::Block => "blockdev --getsize64 /dev/disk; sha256sum < /dev/disk",
    }
}

/// The first lines in which two fingerprints differ; nothing when they are equal.
pub fn difference(before: &str, after: &str) -> Option<String> {
    if before == after && !before.trim().is_empty() {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).take(10).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).take(10).map(|line| format!("+ {line}"));
    let lines: Vec<String> = gone.chain(come).collect();
    Some(format!("{} and {} lines\n{}", old.len(), new.len(), lines.join("\n")))
}
