//! `mountinfo` of the process as which the node is looked at.

use crate::node::root::Root;

/// One mount.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    /// `8:1`
    pub(crate) device: String,
    /// The part of the file system that is mounted.
    pub(crate) below: String,
    pub(crate) at: String,
    pub(crate) options: String,
    pub(crate) fs: String,
    pub(crate) source: String,
}

/// Mounts that are looked at.
const MOUNTS_MAX: usize = 4096;

/// All mounts, in the order in which they were made.
pub(crate) fn read(root: &Root) -> Vec<Mount> {
    let text = root.text(&root.process("mountinfo")).unwrap_or_default();
    text.lines().take(MOUNTS_MAX).filter_map(mount).collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`
fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let (device, below, at) = (left.next()?, left.next()?, left.next()?);
    let options = left.next()?;
    let mut right = right.split(' ');
    Some(Mount {
        device: device.to_owned(),
        below: unescape(below),
        at: unescape(at),
        options: options.to_owned(),
        fs: right.next()?.to_owned(),
        source: unescape(right.next()?),
    })
}

/// The kernel writes blanks as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::mount;

    /// The example of proc(5), with a blank.
    #[test]
    fn a_line_is_read() {
        let line = "36 35 98:0 /mnt1 /my\\040mnt rw,noatime master:1 - ext3 /dev/root rw,errors=x";
        let mount = mount(line).unwrap();
        assert_eq!((mount.device.as_str(), mount.fs.as_str()), ("98:0", "ext3"));
        assert_eq!((mount.at.as_str(), mount.options.as_str()), ("/my mnt", "rw,noatime"));
        assert_eq!((mount.below.as_str(), mount.source.as_str()), ("/mnt1", "/dev/root"));
    }
}
