//! Ports as people write them: `8080`, `8080:80`, `8080-8090`,
//! `8080-8090:80-90`, several with commas; `0:80` for any free port here.

use std::ops::RangeInclusive;

use super::trouble::Trouble;

/// Ports of one command; the service takes no more in a call.
pub(crate) const PORTS_MAX: usize = 1_000;

/// A port here and one in the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PortPair {
    /// 0 lets the system choose.
    pub(crate) local: u16,
    pub(crate) remote: u16,
}

/// Reads `[TASK] PORT…` and the `--port`s.
pub(crate) fn read(
    rest: &[String],
    flags: &[String],
) -> Result<(Option<String>, Vec<PortPair>), Trouble> {
    let (task, positional) = match rest.split_first() {
        Some((first, rest)) if !looks_like_ports(first) => (Some(first.clone()), rest),
        _ => (None, rest),
    };
    let mut pairs = Vec::new();
    for text in positional.iter().chain(flags).flat_map(|text| text.split(',')) {
        pairs.extend(parse(text)?);
        if pairs.len() > PORTS_MAX {
            return Err(Trouble::Usage(format!("more than {PORTS_MAX} ports; forward fewer")));
        }
    }
    if pairs.is_empty() {
        return Err(Trouble::Usage("which port? as 8080, or 8080:80 for 80 in the task".into()));
    }
    Ok((task, pairs))
}

fn looks_like_ports(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ','))
}

fn parse(text: &str) -> Result<Vec<PortPair>, Trouble> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let (locals, remotes) = (range(text, local)?, range(text, remote)?);
    if locals.len() != remotes.len() {
        return Err(bad(text, "as many ports here as there"));
    }
    if *remotes.start() == 0 || (*locals.start() == 0 && locals.len() > 1) {
        return Err(bad(text, "0 stands for any free port here, alone, as in 0:80"));
    }
    Ok(locals.zip(remotes).map(|(local, remote)| PortPair { local, remote }).collect())
}

fn range(whole: &str, text: &str) -> Result<RangeInclusive<u16>, Trouble> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(bad(whole, "8080, 8080:80, 8080-8090 or 8080-8090:80-90, up to 65535")),
    }
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn bad(text: &str, expected: &str) -> Trouble {
    Trouble::Usage(format!("{text:?} is no port: expected {expected}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{PortPair, read};

    fn pairs(text: &str) -> Vec<(u16, u16)> {
        let (_, pairs) = read(&[], &[text.into()]).unwrap();
        pairs.iter().map(|&PortPair { local, remote }| (local, remote)).collect()
    }

    // The forms that the help of OSMO's own command line names.
    #[test]
    fn the_forms_of_osmo_s_own_command_line() {
        assert_eq!(pairs("8000:2000"), [(8000, 2000)]);
        assert_eq!(pairs("8000"), [(8000, 8000)]);
        assert_eq!(
            pairs("8000-8001:9000-9001,8015-8016"),
            [(8000, 9000), (8001, 9001), (8015, 8015), (8016, 8016)]
        );
        assert_eq!(pairs("0:80"), [(0, 80)]);
        assert_eq!(pairs("65535"), [(65535, 65535)]);
    }

    #[test]
    fn a_task_may_stand_before() {
        let (task, pairs) = read(&["t1".into(), "80".into(), "81:82".into()], &[]).unwrap();
        assert_eq!((task.as_deref(), pairs.len()), (Some("t1"), 2));
        let (task, pairs) = read(&["8080:80".into()], &[]).unwrap();
        assert_eq!((task, pairs.len()), (None, 1));
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in
            ["65536", "1:2:3", "9-8", "1-3:1-2", "-1", "+1", "", "80:0", "0-5", "x", "1-1001"]
        {
            assert!(read(&["t".into()], &[text.into()]).is_err(), "{text}");
        }
    }
}
