//! `run`: a workflow file on this machine, task by task, each exactly as a pod
//! would run it.
//!
//! ```text
//! file ─► workflow ─► plan ─► order ─► pod (osmo-init, osmo-ctrl ∥ osmo-exec) ─► outcome ─► report
//!              endpoint (embedded store)   service (token, logger, router)   screen
//! ```
//!
//! It is not a scheduler: tasks run one after another, in the order of the
//! file. It never touches the bytes of a transfer: the sidecar moves them
//! through S3, as anywhere else.
//!
//! What it leaves behind: the store and the counters in the state folder. The
//! tree of a task is removed unless `--keep` asks for it.

pub mod access;
mod dry;
pub mod endpoint;
pub mod exit;
mod load;
mod login;
pub mod order;
mod outcome;
mod plan;
pub mod pod;
pub mod report;
mod screen;
mod state;
pub mod stop;
mod tasks;
pub mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::cli::{RunArgs, StoreArgs};
use crate::service::{LocalService, ServiceConfig, WorkflowStatus};
use crate::store::{FileStore, StoreConfig, StoreError, dataset};
use crate::workflow::Loaded;
use endpoint::Endpoint;
use load::load;
use login::LoginFile;
use order::Settings;
use plan::Common;
use report::RunReport;
use screen::Screen;
use state::State;
use stop::Stops;

/// Variables that name a real endpoint.
const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Who follows the logs may read the last lines for this long.
const READERS_WAIT: Duration = Duration::from_secs(2);

/// Runs the file; answers with the process's exit status.
pub fn main(args: &RunArgs) -> u8 {
    let mut screen = Screen::new(args.json, args.quiet);
    let Some(loaded) = load(args, &screen) else {
        return exit::DATA;
    };
    if args.dry_run {
        screen.print_out(&dry::text(&loaded.workflow));
        return 0;
    }
    match run(args, &loaded, &mut screen) {
        Ok(report) => {
            screen.idle();
            screen.print_out(if args.json { report.json() } else { report.text() }.trim_end());
            report.code
        }
        Err(error) => {
            screen.idle();
            screen.error(&exit::sentence(&error));
            if error.is::<Unusable>() { exit::DATA } else { exit::UNAVAILABLE }
        }
    }
}

/// What stands beside the workflow file is at fault.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}: {reason}", path.display())]
struct Unusable {
    path: PathBuf,
    reason: String,
}

fn run(args: &RunArgs, loaded: &Loaded, screen: &mut Screen) -> Result<RunReport> {
    let began = Instant::now();
    osmo_exec::orphans::adopt();
    let state = State::open(args.state.as_deref())?;
    let store = Arc::new(open_store(&state)?);
    let workflow_id = state.next_workflow_id(&loaded.workflow.name)?;
    prepare_store(args, loaded, &store, &workflow_id, screen)?;
    let endpoint = Endpoint::start(store)?;
    let work = work_folder(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let service = LocalService::start(ServiceConfig {
            rsync_allow: args.rsync_allow.clone(),
            ..ServiceConfig::default()
        })
        .await?;
        let common = Common {
            workflow_id: workflow_id.clone(),
            namespace: namespace(screen),
            keep: args.keep,
            service: service.address(),
            sidecar_environment: sidecar_environment(args),
            settings: Settings {
                io: args.io.name().to_owned(),
                memory_bytes: args.memory,
                grace: Duration::from_secs(args.grace.into()),
                rsync_allow: args.rsync_allow.clone(),
            },
        };
        let stops = Stops::listen()?;
        let mut tasks =
            tasks::Tasks::new(&common, &loaded.workflow, &service, endpoint.access(), work.path());
        if real_endpoint(args).is_some() {
            tasks.use_real_endpoint();
        }
        let login =
            LoginFile::write(state.root(), service.address(), service.lasting_user_token())?;
        screen.note(&reach(args, &workflow_id));
        let report = tasks.run(screen, stops, began).await;
        drop(login);
        service.ledger().set_workflow_status(&workflow_id, WorkflowStatus::Completed);
        service.readers_gone(READERS_WAIT).await;
        service.stop().await;
        report
    })?;
    if args.keep {
        screen.note(&format!("the task trees are kept in {}", work.keep().display()));
    }
    Ok(report)
}

/// How to reach the tasks from another terminal, said once.
fn reach(args: &RunArgs, workflow_id: &str) -> String {
    let state = match &args.state {
        None => String::new(),
        Some(state) => format!(" (with the state folder {})", state.display()),
    };
    format!(
        "{workflow_id}: from another terminal{state}: osmo exec {workflow_id} TASK, \
         osmo port-forward {workflow_id} TASK --port PORT, osmo logs {workflow_id} -f"
    )
}

fn open_store(state: &State) -> Result<FileStore> {
    FileStore::open(&state.store_root()).map_err(|error| match error {
        StoreError::InUse(_) => anyhow::anyhow!(
            "another run, or `osmo-controller store`, uses the state folder {}: wait for it, or \
             name another with --state",
            state.root().display()
        ),
        error => error.into(),
    })
}

/// Buckets that the workflow names exist; the data set beside the file is in
/// them.
fn prepare_store(
    args: &RunArgs,
    loaded: &Loaded,
    store: &FileStore,
    workflow_id: &str,
    screen: &mut Screen,
) -> Result<()> {
    store.ensure_bucket(access::TASK_BUCKET)?;
    if let Some(endpoint) = real_endpoint(args) {
        if let Some(path) = dataset_beside(&args.file) {
            screen.warn(&format!(
                "{} is not generated: the workflow's URLs lead to {endpoint}, and data sets are \
                 made in the embedded store only",
                path.display()
            ));
        }
        return Ok(());
    }
    let urls = plan::urls(&loaded.workflow, workflow_id);
    for bucket in access::buckets(urls.iter().map(String::as_str)) {
        match store.ensure_bucket(bucket) {
            Err(error @ StoreError::InvalidBucketName(_)) => {
                return Err(Unusable { path: args.file.clone(), reason: error.to_string() }.into());
            }
            made => made?,
        };
    }
    let Some(path) = dataset_beside(&args.file) else {
        return Ok(());
    };
    let unusable = |reason: String| Unusable { path: path.clone(), reason };
    let text = std::fs::read_to_string(&path).map_err(|error| unusable(error.to_string()))?;
    let spec = dataset::DatasetSpec::parse(&text).map_err(|error| unusable(error.to_string()))?;
    let began = Instant::now();
    let made = dataset::generate(store, &spec, &|_| {})?;
    let verb = if made.reused { "found" } else { "generated" };
    screen.note(&format!(
        "{verb} the data set of {}: {}",
        path.display(),
        screen::prepared(made.files, made.bytes, began.elapsed())
    ));
    Ok(())
}

/// `train.yaml` → `train.dataset.yaml`, if there is one.
fn dataset_beside(file: &Path) -> Option<PathBuf> {
    let path = file.with_extension("dataset.yaml");
    path.is_file().then_some(path)
}

fn real_endpoint(args: &RunArgs) -> Option<String> {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    args.endpoint_url.clone().or_else(|| ENDPOINT_VARIABLES.iter().find_map(set))
}

/// The sidecar's environment is the runner's; an explicit endpoint wins.
fn sidecar_environment(args: &RunArgs) -> Vec<(String, String)> {
    args.endpoint_url
        .iter()
        .flat_map(|url| ENDPOINT_VARIABLES.map(|name| (name.to_owned(), url.clone())))
        .collect()
}

fn namespace(screen: &Screen) -> bool {
    match osmo_exec::namespace::probe() {
        Ok(()) => true,
        Err(reason) => {
            screen.warn(&format!(
                "no mount namespace here ({reason}): /osmo is not shown to the command, tokens become paths"
            ));
            false
        }
    }
}

fn work_folder(args: &RunArgs) -> Result<tempfile::TempDir> {
    let parent = args.work.clone().unwrap_or_else(std::env::temp_dir);
    tempfile::Builder::new().prefix("osmo-").tempdir_in(&parent).with_context(|| {
        format!("cannot make a folder in {}: name another with --work", parent.display())
    })
}

/// Serves the embedded store of earlier runs until SIGINT or SIGTERM.
pub fn serve_store(args: &StoreArgs) -> u8 {
    let screen = Screen::new(false, false);
    let serve = || -> Result<()> {
        let state = State::open(args.state.as_deref())?;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let mut config = StoreConfig::new(state.store_root(), "osmo", &secret);
        config.address.set_port(args.port);
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let mut stops = Stops::listen()?;
            let ready = |endpoint: &str| {
                screen.print_out(&format!(
                    "export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID=osmo AWS_SECRET_ACCESS_KEY={secret}"
                ));
                screen.note("serving the store of earlier runs; ^C ends it");
            };
            let stopped = async {
                stops.next().await;
            };
            Ok(crate::store::serve(config, ready, stopped).await?)
        })
    };
    match serve() {
        Ok(()) => 0,
        Err(error) => {
            screen.error(&exit::sentence(&error));
            exit::UNAVAILABLE
        }
    }
}
