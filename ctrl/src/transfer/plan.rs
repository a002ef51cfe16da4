//! Items to orders: folders, credentials, names.

use std::path::{Path, PathBuf};

use osmo_protocol::events::Phase;
use osmo_protocol::items::{Input, Output, Owner};

use super::Order;
use crate::flags::Flags;

pub(super) fn download(flags: &Flags, input: &Input) -> Order {
    let name = name(input.owner, &input.url);
    Order {
        phase: Phase::Download,
        owner: input.owner,
        url: input.url.clone(),
        local: flags.input_folder.join(&input.folder),
        regex: input.regex.clone(),
        config: config(flags, input.owner),
        done: format!("Downloaded {name} to {{{{input:{}}}}}", input.folder),
        name,
    }
}

/// The order, or the line that says why there is none.
pub(super) fn upload(flags: &Flags, output: &Output) -> Result<Order, String> {
    let owner = output.owner();
    let order = |local: PathBuf, regex: Option<&String>, name: String, done: String| Order {
        phase: Phase::Upload,
        owner,
        url: output.url().to_owned(),
        local,
        regex: regex.cloned(),
        config: config(flags, owner),
        name,
        done,
    };
    let everything = flags.output_folder.join("*");
    match output {
        Output::Task { url } => {
            let name = name(owner, url);
            let done = format!("Uploaded {name}");
            Ok(order(everything, None, name, done))
        }
        Output::Url { url, regex } => {
            Ok(order(everything, regex.as_ref(), url.clone(), format!("Uploaded {url}")))
        }
        Output::Kpi { path, .. } => {
            let file = flags.output_folder.join(path);
            if !file.is_file() {
                return Err(format!("KPI file: {path} does not exist"));
            }
            let done = format!("Uploaded KPI: {path}");
            Ok(order(file, None, format!("KPI: {path}"), done))
        }
    }
}

/// A task's storage by its last segment, everything else by its URL.
fn name(owner: Owner, url: &str) -> String {
    let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or(url);
    if owner == Owner::Task { last.to_owned() } else { url.to_owned() }
}

pub(super) fn config(flags: &Flags, owner: Owner) -> Option<PathBuf> {
    let file = match owner {
        Owner::Url => &flags.user_config,
        Owner::Task | Owner::Kpi => &flags.service_config,
    };
    file.exists().then(|| file.clone())
}

/// Whether there is nothing to upload; a folder that cannot be read holds
/// something, so that the upload names the reason.
pub(super) fn is_empty(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}
