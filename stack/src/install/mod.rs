//! Installing missing servers into the install folder, without root.
//!
//! **Invariant:** what has its final name is complete: everything is made in a temporary folder beside its place and
//! renamed. One process installs at a time.

mod apt;
mod nats_source;
mod postgres_packages;
mod release;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use crate::account::Account;
use crate::error::{Error, Result, chain, io};
use crate::find::{self, NatsServer, Options, PostgresBinaries};
use crate::report::Report;

pub const NATS_VERSION: &str = "2.15.1";
pub const NATS_RELEASE_URL: &str =
    "https://github.com/nats-io/nats-server/releases/download/v2.15.1";

const NATS_ADVICE: &str = "install Go (apt install golang-go, brew install go, dnf install golang) and try again, or \
    nats-server 2.11 or newer (brew install nats-server, or https://github.com/nats-io/nats-server/releases) and put \
    it on PATH";
const POSTGRES_ADVICE: &str = "install Postgres 15 or newer: apt install postgresql, brew install postgresql@17, or \
    dnf install postgresql-server";

/// Where Postgres goes when the install folder is closed to the user it runs as.
const POSTGRES_FOLDER_OF_ROOT: &str = "/var/cache/sluice";

/// Installs nats-server into `bin/` of the install folder: built with Go, else the official release, else the
/// distribution's package. Blocks, for up to minutes.
///
/// # Errors
/// [`Error::NotInstalled`] with what was tried and what to do.
pub fn nats_server(options: &Options, report: &Report) -> Result<NatsServer> {
    let _lock = lock(&options.install_dir, report)?;
    let program = options.install_dir.join("bin").join("nats-server");
    if let Ok(found) = find::check_nats(&program) {
        return Ok(found);
    }
    let ways: [(&str, &dyn Fn() -> Result<PathBuf>); 3] = [
        ("go install", &|| nats_source::build(options, report)),
        ("the official release", &|| {
            release::install(&options.install_dir, &options.nats_release_url, report)
        }),
        ("the distribution's package", &|| {
            nats_source::from_distribution(&options.install_dir, report)
        }),
    ];
    let mut tried = Vec::new();
    for (way, install) in ways {
        match install().and_then(|program| find::check_nats(&program)) {
            Ok(found) => return Ok(found),
            Err(error) => {
                report.say(format!("nats-server by {way}: {}", chain(&error)));
                tried.push(format!("  {way}: {}", chain(&error)));
            }
        }
    }
    Err(Error::NotInstalled {
        server: "nats-server",
        tried: tried.join("\n"),
        advice: NATS_ADVICE,
    })
}

/// Unpacks the distribution's packages of Postgres into `postgres/` of the install folder. Blocks, for up to minutes.
///
/// # Errors
/// [`Error::NotInstalled`] with what was tried and what to do.
pub(crate) fn postgres(
    options: &Options,
    account: Option<&Account>,
    report: &Report,
) -> Result<PostgresBinaries> {
    let folder = postgres_folder(&options.install_dir, account, report)?;
    let _lock = lock(&folder, report)?;
    let tree = folder.join("postgres");
    if let Some(found) = postgres_packages::installed(&tree, account) {
        return Ok(found);
    }
    let install = || {
        postgres_packages::install(&tree, report)?;
        postgres_packages::installed(&tree, account).ok_or_else(|| Error::Unusable {
            path: tree.clone(),
            why: "the packages hold no Postgres that runs here".into(),
        })
    };
    install().map_err(|error| Error::NotInstalled {
        server: "Postgres",
        tried: format!("  the distribution's packages: {}", chain(&error)),
        advice: POSTGRES_ADVICE,
    })
}

fn postgres_folder(
    install_dir: &Path,
    account: Option<&Account>,
    report: &Report,
) -> Result<PathBuf> {
    let doing = || format!("creating the install folder {}", install_dir.display());
    fs::create_dir_all(install_dir).map_err(io(doing()))?;
    let install_dir = install_dir.canonicalize().map_err(io(doing()))?;
    let Some(account) = account.filter(|account| !account.can_enter(&install_dir)) else {
        return Ok(install_dir);
    };
    report.say(format!(
        "the user {} cannot enter {}, so Postgres goes to {POSTGRES_FOLDER_OF_ROOT}",
        account.name,
        install_dir.display(),
    ));
    Ok(POSTGRES_FOLDER_OF_ROOT.into())
}

/// Held until dropped; other processes that install wait.
fn lock(install_dir: &Path, report: &Report) -> Result<Flock<File>> {
    let doing = || format!("locking the install folder {}", install_dir.display());
    fs::create_dir_all(install_dir).map_err(io(doing()))?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(install_dir.join("lock"))
        .map_err(io(doing()))?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, _)) => file,
    };
    report.say("waiting for another process that installs servers");
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| io(doing())(error.into()))
}

/// A folder that is removed when dropped, on the same file system as its parent.
fn workshop(parent: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(".install-")
        .tempdir_in(parent)
        .map_err(io(format!(
            "creating a temporary folder in {}",
            parent.display()
        )))
}

/// Puts a finished program into `bin/` in one step.
fn put_into_bin(made: &Path, install_dir: &Path, name: &str) -> Result<PathBuf> {
    let bin = install_dir.join("bin");
    let place = bin.join(name);
    let put = || {
        fs::create_dir_all(&bin)?;
        File::open(made)?.sync_all()?;
        fs::rename(made, &place)?;
        File::open(&bin)?.sync_all()
    };
    put().map_err(io(format!("putting {} in place", place.display())))?;
    Ok(place)
}

/// Runs a program to its end; what it printed is the result, or the error.
fn run(command: &mut std::process::Command) -> Result<String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(io(format!("running {what}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let problem = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = problem.lines().collect();
    Err(Error::Command {
        what,
        output: lines[lines.len().saturating_sub(10)..].join("\n"),
    })
}
