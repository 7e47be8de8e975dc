//! nats-server built with Go, or from the distribution.
//!
//! **Invariant:** the version that Go builds is pinned; a distribution's is taken only if it is new enough.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt::Apt;
use super::{NATS_VERSION, put_into_bin, run, workshop};
use crate::error::{Error, Result};
use crate::find::{self, Options};
use crate::report::Report;

const MODULE: &str = "github.com/nats-io/nats-server/v2";

pub(super) fn build(options: &Options, report: &Report) -> Result<PathBuf> {
    let go = find_go(options)?;
    report.say(format!(
        "building nats-server {NATS_VERSION} with {} (about half a minute, more on a slow network)",
        go.display()
    ));
    let workshop = workshop(&options.install_dir)?;
    let bin = std::path::absolute(workshop.path())
        .map_err(crate::error::io("locating the install folder"))?;
    run(Command::new(&go)
        .args(["install", &format!("{MODULE}@v{NATS_VERSION}")])
        .env("GOBIN", &bin)
        .current_dir(&bin))?;
    put_into_bin(
        &bin.join("nats-server"),
        &options.install_dir,
        "nats-server",
    )
}

pub(super) fn from_distribution(install_dir: &Path, report: &Report) -> Result<PathBuf> {
    let workshop = workshop(install_dir)?;
    let mut apt = Apt::new(workshop.path())?;
    report.say("looking for the distribution's nats-server");
    if apt.version("nats-server").is_err() {
        report.say("downloading fresh package lists (up to a minute)");
        apt.refresh()?;
    }
    apt.version("nats-server")?.at_least(find::NATS_OLDEST)?;
    report.say("downloading the distribution's nats-server (seconds)");
    let tree = workshop.path().join("tree");
    apt.unpack(&["nats-server".to_owned()], &tree)?;
    let made = ["usr/sbin/nats-server", "usr/bin/nats-server"]
        .map(|place| tree.join(place))
        .into_iter()
        .find(|program| program.is_file());
    match made {
        Some(made) => put_into_bin(&made, install_dir, "nats-server"),
        None => Err(Error::Unusable {
            path: "nats-server".into(),
            why: "the distribution's package does not hold it".into(),
        }),
    }
}

fn find_go(options: &Options) -> Result<PathBuf> {
    let path = options.search_path.clone().unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/local/go/bin".into(), "/usr/lib/go/bin".into()])
        .map(|folder| folder.join("go"))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Unusable {
            path: "go".into(),
            why: "Go is not installed".into(),
        })
}
