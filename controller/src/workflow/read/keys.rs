//! What a writer of an unknown key most likely meant.

/// Keys that people write and OSMO does not have, with what to do instead.
const HABITS: &[(&str, &str)] = &[
    ("env", "write `environment`"),
    ("dataset", "data sets are given by `url` since OSMO 6.4"),
    ("depends_on", "a task waits for another when it lists it: `inputs: [{task: NAME}]`"),
    ("entrypoint", "write `command`, a list"),
    ("parallelism", "list the tasks in one group instead"),
    ("ports", "tasks of one group share a network; no port needs to be declared"),
    ("priority", "priority is part of a submission, not of the file"),
    ("retries", "write `exitActions` with RESCHEDULE"),
    ("shell", "write `command: [sh, -c]` and the line as its argument"),
    ("start_timeout", "there are `exec_timeout` and `queue_timeout`"),
    ("workdir", "begin the command with `cd`"),
    ("script", "write a file under `files` and run it"),
];

/// The sentence that follows "unknown key".
pub(super) fn remedy(key: &str, known: &[&str], parent: &str) -> String {
    if let Some(meant) = near(key, known) {
        return format!("did you mean `{meant}`?");
    }
    if let Some((_, advice)) = HABITS.iter().find(|(habit, _)| *habit == key) {
        return (*advice).to_owned();
    }
    let place = if parent.is_empty() { "here" } else { parent };
    format!("{place} takes {}", known.join(", "))
}

fn near<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = fold(key);
    if let Some(same) = known.iter().find(|candidate| fold(candidate) == folded) {
        return Some(same);
    }
    let allowed = if folded.len() < 5 { 1 } else { 2 };
    known
        .iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), *candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

fn fold(key: &str) -> String {
    key.chars().filter(|c| !"_- ".contains(*c)).take(64).flat_map(char::to_lowercase).collect()
}

/// Edits between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}
