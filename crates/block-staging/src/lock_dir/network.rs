//! Which file systems are on a network: a `flock` there may bind only the processes of one host.

use std::io;

use cap_std::fs::Dir;

/// Returns the name of the file system of `dir`, if it is known as one that several hosts share.
#[cfg(target_os = "linux")]
pub(super) fn network_file_system(dir: &Dir) -> io::Result<Option<String>> {
    // The kernel's numbers have 32 bits.
    let kind = rustix::fs::fstatfs(dir)?.f_type as u32;
    if kind != FUSE {
        return Ok(of_number(kind).map(str::to_owned));
    }
    // Only the table of mounts has the name. Without it the file system counts as a local one.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let device = rustix::fs::fstat(dir)?.st_dev;
    let device = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    let name = mounted_as(&mounts, &device);
    Ok(name.filter(|name| is_shared(name)).map(str::to_owned))
}

/// Elsewhere staging refuses every directory.
#[cfg(not(target_os = "linux"))]
pub(super) fn network_file_system(_: &Dir) -> io::Result<Option<String>> {
    Ok(None)
}

/// `FUSE_SUPER_MAGIC`: any file system in user space, and virtiofs.
const FUSE: u32 = 0x6573_5546;

/// Returns the name of a network file system by the number that `statfs` has for it.
fn of_number(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0000_6969 => "NFS",
        0xff53_4d42 | 0xfe53_4d42 | 0x0000_517b => "SMB",
        0x0102_1997 => "9P",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x00c3_6400 => "Ceph",
        0x7375_7245 => "Coda",
        0x0000_564c => "NCP",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x2003_0528 => "OrangeFS",
        0x786f_4256 => "a folder shared by VirtualBox",
        _ => return None,
    })
}

/// Returns the type of the file system on this device, according to the text of `/proc/self/mountinfo`.
fn mounted_as<'a>(mounts: &'a str, device: &str) -> Option<&'a str> {
    // `36 35 0:32 / /mnt rw,nosuid shared:1 - fuse.sshfs host: rw`, with any number of fields before the dash.
    let mount = mounts
        .lines()
        .find(|mount| mount.split(' ').nth(2) == Some(device))?;
    mount.split_once(" - ")?.1.split(' ').next()
}

/// Whether a file system in user space is shared with other hosts, or with the host of this virtual machine.
fn is_shared(name: &str) -> bool {
    const SHARED: [&str; 22] = [
        "blobfuse",
        "blobfuse2",
        "ceph",
        "ceph-fuse",
        "curlftpfs",
        "davfs",
        "gcsfuse",
        "geesefs",
        "glusterfs",
        "goofys",
        "grpcfuse",
        "juicefs",
        "mfs",
        "mount-s3",
        "mountpoint-s3",
        "nfs",
        "osxfs",
        "rclone",
        "s3fs",
        "seaweedfs",
        "sshfs",
        "vmhgfs-fuse",
    ];
    name == "virtiofs"
        || name
            .strip_prefix("fuse.")
            .is_some_and(|name| SHARED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_known_by_its_number_or_by_its_mount() {
        assert_eq!(of_number(0x6969), Some("NFS"));
        assert_eq!(of_number(0xff53_4d42), Some("SMB"));
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert_eq!(of_number(local), None, "{local:x}");
        }
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            36 22 0:32 / /mnt/far rw,nosuid shared:9 master:2 - fuse.sshfs far:/ rw\n\
            37 22 0:33 / /mnt/near rw - fuse.ntfs-3g /dev/sdb1 rw\n\
            38 22 0:34 / /host rw - virtiofs host rw\n";
        let kind = |device| mounted_as(mounts, device);
        assert_eq!(kind("8:1"), Some("ext4"));
        assert!(kind("0:32").is_some_and(is_shared));
        assert!(!kind("0:33").is_some_and(is_shared));
        assert!(kind("0:34").is_some_and(is_shared));
        assert_eq!(kind("0:3"), None);
    }

    #[test]
    fn the_file_system_of_a_test_is_a_local_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(dir.path(), cap_std::ambient_authority()).unwrap();
        assert_eq!(network_file_system(&dir).unwrap(), None);
    }
}
