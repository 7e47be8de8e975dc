//! Finding nats-server and Postgres: what the caller names, then PATH, the usual folders, the install folder; what is
//! in none of them gets installed.
//!
//! **Invariant:** a server is used only after it printed a version that is new enough; one passed over is reported.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::account::Account;
use crate::error::{Error, Result, chain};
use crate::install;
use crate::report::Report;
use crate::version::Version;

pub const NATS_OLDEST: Version = Version::new(2, 11, 0);
pub const POSTGRES_OLDEST: Version = Version::new(15, 0, 0);

const NATS_FOLDERS: &[&str] = &[
    "/usr/sbin",
    "/usr/bin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/homebrew/bin",
];

/// Folders in which every version of Postgres has a folder of its own, and where its programs are inside that.
const POSTGRES_FOLDERS: &[(&str, &str, &str)] = &[
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
];

#[derive(Debug, Clone)]
pub struct Options {
    /// The program itself. One that cannot be used is an error.
    pub nats_server: Option<PathBuf>,
    /// The folder with `postgres` and `initdb`. One that cannot be used is an error.
    pub postgres_bin: Option<PathBuf>,
    /// As `PATH`; taken from there by default.
    pub search_path: Option<OsString>,
    /// Where missing servers are installed: `bin/` and `postgres/` inside.
    pub install_dir: PathBuf,
    /// Hides the servers of this machine: only the install folder is looked at.
    pub install_servers: bool,
    /// Where the archives of nats-server's official release are.
    pub nats_release_url: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nats_server: None,
            postgres_bin: None,
            search_path: env::var_os("PATH"),
            install_dir: ".sluice".into(),
            install_servers: false,
            nats_release_url: install::NATS_RELEASE_URL.into(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    pub program: PathBuf,
    pub version: Version,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresBinaries {
    /// The folder with `postgres` and `initdb`.
    pub bin: PathBuf,
    pub version: Version,
    /// Folders of shared libraries that were unpacked with them.
    pub libraries: Vec<PathBuf>,
}

/// Blocks; minutes if it has to install.
///
/// # Errors
/// When none is found and none can be installed; the error says how to install one by hand.
pub fn nats_server(options: &Options, report: &Report) -> Result<NatsServer> {
    let mut found = match &options.nats_server {
        Some(program) => check_nats(program)?,
        None => match first_usable("nats-server", &nats_candidates(options), check_nats, report) {
            Some(found) => found,
            None => install::nats_server(options, report)?,
        },
    };
    found.program = absolute(&found.program)?;
    report.say(format!(
        "nats-server {} at {}",
        found.version,
        found.program.display()
    ));
    Ok(found)
}

/// Blocks; minutes if it has to install.
///
/// # Errors
/// When none is found and none can be installed; the error says how to install one by hand.
pub fn postgres(options: &Options, report: &Report) -> Result<PostgresBinaries> {
    let account = Account::for_postgres()?;
    let check = |bin: &Path| check_postgres(bin, &[], account.as_ref());
    let installed = || first_usable("Postgres", &postgres_candidates(options), check, report);
    let mut found = match &options.postgres_bin {
        Some(bin) => check(bin)?,
        None => match installed() {
            Some(found) => found,
            None => install::postgres(options, account.as_ref(), report)?,
        },
    };
    found.bin = absolute(&found.bin)?;
    report.say(format!(
        "Postgres {} in {}",
        found.version,
        found.bin.display()
    ));
    Ok(found)
}

pub(crate) fn check_nats(program: &Path) -> Result<NatsServer> {
    Ok(NatsServer {
        program: program.to_owned(),
        version: Version::of(program, &[])?.at_least(NATS_OLDEST)?,
    })
}

pub(crate) fn check_postgres(
    bin: &Path,
    libraries: &[PathBuf],
    account: Option<&Account>,
) -> Result<PostgresBinaries> {
    let unusable = |why: String| Error::Unusable {
        path: bin.to_owned(),
        why,
    };
    for program in ["postgres", "initdb"].map(|name| bin.join(name)) {
        if !program.exists() {
            return Err(unusable(format!("{} is missing", program.display())));
        }
        if let Some(account) = account.filter(|account| !account.can_run(&program)) {
            return Err(unusable(format!(
                "Postgres does not run as root, and the user {} cannot run {}",
                account.name,
                program.display()
            )));
        }
    }
    Ok(PostgresBinaries {
        bin: bin.to_owned(),
        version: Version::of(&bin.join("postgres"), libraries)?.at_least(POSTGRES_OLDEST)?,
        libraries: libraries.to_owned(),
    })
}

/// Folders inside `parent` named `prefix` + a version, the newest first.
pub(crate) fn versions_inside(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Version, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = Version::parse(name.to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path()))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, path)| path).collect()
}

fn first_usable<T>(
    server: &str,
    candidates: &[PathBuf],
    check: impl Fn(&Path) -> Result<T>,
    report: &Report,
) -> Option<T> {
    for candidate in candidates {
        match check(candidate) {
            Ok(found) => return Some(found),
            Err(error) => report.say(format!(
                "passing over {server} at {}: {}",
                candidate.display(),
                chain(&error)
            )),
        }
    }
    None
}

fn nats_candidates(options: &Options) -> Vec<PathBuf> {
    let installed = options.install_dir.join("bin");
    let mut folders = Vec::new();
    if !options.install_servers {
        folders.extend(searched(options));
        folders.extend(NATS_FOLDERS.iter().map(PathBuf::from));
    }
    folders.push(installed);
    existing(
        folders.into_iter().map(|folder| folder.join("nats-server")),
        Path::is_file,
    )
}

fn postgres_candidates(options: &Options) -> Vec<PathBuf> {
    if options.install_servers {
        return Vec::new();
    }
    let usual = POSTGRES_FOLDERS.iter().flat_map(|(parent, prefix, bin)| {
        let versions = versions_inside(Path::new(parent), prefix);
        versions.into_iter().map(move |folder| folder.join(bin))
    });
    let folders: Vec<PathBuf> = searched(options).into_iter().chain(usual).collect();
    existing(folders.into_iter(), |bin| {
        bin.join("postgres").is_file() && bin.join("initdb").is_file()
    })
}

fn searched(options: &Options) -> Vec<PathBuf> {
    let path = options.search_path.clone().unwrap_or_default();
    env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// Those that are there, each once, in order; PATH and the usual folders overlap.
fn existing(paths: impl Iterator<Item = PathBuf>, is_there: fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths.filter(|path| is_there(path)) {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    kept
}

/// Servers are started in another folder than ours.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(crate::error::io(format!("locating {}", path.display())))
}

#[cfg(test)]
mod tests;
