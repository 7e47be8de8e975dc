//! Creating the cluster.
//!
//! **Invariant:** the folder `cluster` is complete or absent: it is made beside its place and renamed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::error::{Error, Result, io};
use crate::find::PostgresBinaries;
use crate::report::Report;
use crate::version::add_libraries;

/// The cluster inside `folder`, made by `initdb` if there is none. `folder/password` becomes the password of `user`.
pub(super) fn ensure(
    binaries: &PostgresBinaries,
    folder: &Path,
    user: &str,
    account: Option<&Account>,
    report: &Report,
) -> Result<PathBuf> {
    let cluster = folder.join("cluster");
    hand_over(folder, account)?;
    if cluster.exists() {
        check_major(binaries, &cluster)?;
        return Ok(cluster);
    }
    report.say("creating the Postgres data folder (a few seconds)");
    let fresh = folder.join("cluster.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(io("removing an interrupted initdb"))?;
    }
    run_initdb(binaries, folder, &fresh, user, account)?;
    fs::rename(&fresh, &cluster).map_err(io("putting the Postgres data folder in place"))?;
    Ok(cluster)
}

fn hand_over(folder: &Path, account: Option<&Account>) -> Result<()> {
    let private = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(io(format!("closing {} to others", path.display())))
    };
    private(folder, 0o700)?;
    let Some(account) = account else {
        return Ok(());
    };
    account.give(folder)?;
    account.give(&folder.join("password"))?;
    if account.can_enter(folder) {
        return Ok(());
    }
    Err(Error::Unreachable {
        user: account.name.clone(),
        folder: folder.to_owned(),
    })
}

fn run_initdb(
    binaries: &PostgresBinaries,
    folder: &Path,
    fresh: &Path,
    user: &str,
    account: Option<&Account>,
) -> Result<()> {
    let mut command = Command::new(binaries.bin.join("initdb"));
    command
        .arg("--pgdata")
        .arg(fresh)
        .arg("--pwfile")
        .arg(folder.join("password"))
        .arg(format!("--username={user}"))
        .args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
        ])
        .current_dir("/")
        .stdin(Stdio::null());
    add_libraries(&mut command, &binaries.libraries);
    if let Some(account) = account {
        account.apply(&mut command);
    }
    let output = command.output().map_err(io("running initdb"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Command {
        what: "initdb".into(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn check_major(binaries: &PostgresBinaries, cluster: &Path) -> Result<()> {
    let file = cluster.join("PG_VERSION");
    let made_by = fs::read_to_string(&file).map_err(io(format!("reading {}", file.display())))?;
    let found = binaries.version.major;
    if made_by.trim() == found.to_string() {
        return Ok(());
    }
    Err(Error::OtherPostgres {
        folder: cluster.to_owned(),
        made_by: made_by.trim().to_owned(),
        found,
    })
}
