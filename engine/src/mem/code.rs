//! The program's own pages. They are in its file as well, so a process that
//! waits need not keep those that it used when it began.
#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr;

use rustix::mm::{Advice, madvise};

/// Gives the program's clean file pages back; those that are used again are
/// mapped again from the kernel's cache. Does nothing where `/proc` is missing.
pub fn release_code() {
    let program = std::fs::read_link("/proc/self/exe");
    let areas = std::fs::read_to_string("/proc/self/smaps");
    let (Ok(program), Ok(areas)) = (program, areas) else { return };
    let Some(program) = program.to_str() else { return };
    for area in clean(&areas, program) {
        let start = ptr::with_exposed_provenance_mut(area.start);
        // SAFETY: M5. Nothing is lost with the pages of an area that the kernel
        // knows to be the file's own, and the area stays mapped.
        let _ = unsafe { madvise(start, area.len(), Advice::LinuxDontNeed) };
    }
}

/// Areas of `program` in a text as proc_pid_smaps(5) describes it, which cannot
/// be written and hold nothing but the file's pages.
fn clean<'a>(areas: &'a str, program: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut lines = areas.lines().peekable();
    std::iter::from_fn(move || {
        loop {
            let area = head(lines.next()?, program);
            let mut changed = [None; 2];
            while let Some((name, rest)) = lines.peek().and_then(|line| field(line)) {
                match name {
                    "Anonymous" => changed[0] = Some(rest != "0 kB"),
                    "Swap" => changed[1] = Some(rest != "0 kB"),
                    _ => {}
                }
                lines.next();
            }
            if let (Some(area), [Some(false), Some(false)]) = (area, changed) {
                return Some(area);
            }
        }
    })
}

/// `Name:  value`; an area's first line has no colon after its first word.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, rest) = line.split_once(':')?;
    (!name.contains(' ')).then_some((name, rest.trim()))
}

/// `start-end perms offset device inode  path`
fn head(line: &str, program: &str) -> Option<Range<usize>> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let access = words.next()?;
    let path = words.nth(3)?.trim_start();
    if access.contains('w') || !access.ends_with('p') || path != program {
        return None;
    }
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{clean, release_code};

    const AREAS: &str = "\
00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/own name
Size:                328 kB
Rss:                 200 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me dw
00651000-00652000 r--p 00051000 08:02 173521      /usr/bin/own name
Rss:                   4 kB
Anonymous:             4 kB
Swap:                  0 kB
00652000-00655000 rw-p 00052000 08:02 173521      /usr/bin/own name
Anonymous:             0 kB
Swap:                  0 kB
00655000-00656000 r--p 00052000 08:02 173521      /usr/bin/own name
Anonymous:             0 kB
Swap:                  4 kB
00656000-00657000 r--s 00052000 08:02 173521      /usr/bin/own name
Anonymous:             0 kB
Swap:                  0 kB
00657000-00658000 r--p 00052000 08:02 173521      /usr/bin/own name
Rss:                   4 kB
35b1800000-35b1820000 r-xp 00000000 08:02 135522  /usr/lib64/ld-2.15.so
Anonymous:             0 kB
Swap:                  0 kB
00700000-00701000 r--p 00000000 08:02 173521      /usr/bin/own name
Anonymous:             0 kB
Swap:                  0 kB
";

    #[test]
    fn only_the_program_s_unchanged_pages_count() {
        let areas: Vec<_> = clean(AREAS, "/usr/bin/own name").collect();
        assert_eq!(areas, [0x40_0000..0x45_2000, 0x70_0000..0x70_1000]);
        assert_eq!(clean("", "/x").count(), 0);
        assert_eq!(clean("nonsense\nAnonymous: 0 kB", "/x").count(), 0);
    }

    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    #[test]
    fn pages_go_and_the_program_goes_on() {
        let before = resident();
        for _ in 0..100 {
            release_code();
        }
        assert!(resident() < before, "{before} KiB of files before");
        assert_eq!(AREAS.lines().count(), 27, "constants are there again");
    }
}
