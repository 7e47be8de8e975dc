//! Postgres from the distribution's packages.
//!
//! **Invariant:** the packages keep their layout inside the tree: `postgres` finds its shared files relative to itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::workshop;
use crate::account::Account;
use crate::error::{Error, Result, chain, io};
use crate::find::{self, PostgresBinaries};
use crate::report::Report;
use crate::version::Version;

/// The newest usable one that was unpacked here.
pub(super) fn installed(tree: &Path, account: Option<&Account>) -> Option<PostgresBinaries> {
    let libraries = libraries(tree);
    find::versions_inside(&tree.join("usr/lib/postgresql"), "")
        .into_iter()
        .find_map(|folder| find::check_postgres(&folder.join("bin"), &libraries, account).ok())
}

pub(super) fn install(tree: &Path, report: &Report) -> Result<()> {
    let parent = tree.parent().unwrap_or(Path::new("."));
    let workshop = workshop(parent)?;
    let mut apt = Apt::new(workshop.path())?;
    let made = workshop.path().join("tree");
    if let Err(error) = unpack_newest(&apt, &made, report) {
        report.say(format!(
            "the package lists here will not do ({})",
            chain(&error)
        ));
        report.say("downloading fresh package lists (up to a minute)");
        apt.refresh()?;
        unpack_newest(&apt, &made, report)?;
    }
    let put = || {
        fs::set_permissions(&made, Permissions::from_mode(0o755))?;
        if tree.exists() {
            fs::remove_dir_all(tree)?;
        }
        fs::rename(&made, tree)
    };
    put().map_err(io(format!("putting {} in place", tree.display())))
}

fn unpack_newest(apt: &Apt, made: &Path, report: &Report) -> Result<()> {
    let major = apt
        .names("^postgresql-[0-9]+$")?
        .iter()
        .filter_map(|name| name.strip_prefix("postgresql-")?.parse::<u32>().ok())
        .max()
        .ok_or_else(|| Error::Unusable {
            path: "postgresql".into(),
            why: "the distribution has no such package".into(),
        })?;
    Version::new(major, 0, 0).at_least(find::POSTGRES_OLDEST)?;
    let wanted = [
        format!("postgresql-{major}"),
        format!("postgresql-client-{major}"),
        "libpq5".to_owned(),
    ];
    let packages: Vec<String> = apt
        .with_missing(&wanted)?
        .into_iter()
        .filter(|package| wanted.contains(package) || is_needed_library(package))
        .collect();
    if !packages.contains(&wanted[0]) {
        return Err(Error::Unusable {
            path: wanted[0].as_str().into(),
            why: "the package lists do not say where to download it".into(),
        });
    }
    report.say(format!(
        "downloading and unpacking {} (20 to 60 MB, about a minute)",
        packages.join(", ")
    ));
    if made.exists() {
        fs::remove_dir_all(made).map_err(io("clearing the unpacked packages"))?;
    }
    apt.unpack(&packages, made)
}

/// Not the C library, which must be the one that the loader came with, nor LLVM (100 MB), which only `jit` needs.
fn is_needed_library(package: &str) -> bool {
    let is_library = package.starts_with("lib") || package == "zlib1g";
    let is_unneeded = ["libc6", "libc-", "libllvm", "libperl"]
        .iter()
        .any(|prefix| package.starts_with(prefix));
    is_library && !is_unneeded && !package.ends_with("-dev")
}

fn libraries(tree: &Path) -> Vec<PathBuf> {
    ["usr/lib", "lib"]
        .into_iter()
        .flat_map(|folder| {
            fs::read_dir(tree.join(folder))
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && path.to_string_lossy().contains("-linux-"))
        .collect()
}
