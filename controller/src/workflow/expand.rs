//! `$(NAME)`: references to the container's environment, as Kubernetes reads
//! them in `command`, `args` and environment values.
//!
//! Unknown names stay as written; `$$` is one `$`.

use super::model::Task;

/// One string, expanded by `lookup`.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) =
            rest.strip_prefix('(').and_then(|inner| inner.split_once(')'))
        {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The environment in its order; a value sees the names before it, and `base`.
pub fn environment(task: &Task, base: &[(String, String)]) -> Vec<(String, String)> {
    let mut done: Vec<(String, String)> = base.to_vec();
    for (name, value) in &task.environment {
        let value = expand(&value.text, |wanted| find(&done, wanted));
        match done.iter_mut().find(|(known, _)| *known == name.text) {
            Some(known) => known.1 = value,
            None => done.push((name.text.clone(), value)),
        }
    }
    done
}

/// Program and arguments: `command`, then `args`.
pub fn argv(task: &Task, environment: &[(String, String)]) -> Vec<String> {
    task.command
        .iter()
        .chain(&task.args)
        .map(|word| expand(&word.text, |wanted| find(environment, wanted)))
        .collect()
}

fn find(environment: &[(String, String)], wanted: &str) -> Option<String> {
    environment.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
}
