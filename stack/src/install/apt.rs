//! Packages of a Debian-like distribution, downloaded and unpacked without root.
//!
//! **Invariant:** the machine's own package state is read and never written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::run;
use crate::error::{Error, Result, io};
use crate::version::Version;

pub(super) struct Apt {
    folder: PathBuf,
    has_own_lists: bool,
}

impl Apt {
    pub(super) fn new(workshop: &Path) -> Result<Self> {
        let folder =
            std::path::absolute(workshop.join("apt")).map_err(io("locating the install folder"))?;
        for inside in ["cache/archives/partial", "lists/partial", "packages"] {
            fs::create_dir_all(folder.join(inside)).map_err(io("creating folders for apt"))?;
        }
        Ok(Self {
            folder,
            has_own_lists: false,
        })
    }

    /// Downloads the package lists to a folder of our own, for where the machine has none or old ones.
    pub(super) fn refresh(&mut self) -> Result<()> {
        self.has_own_lists = true;
        run(self.command("apt-get").arg("update"))?;
        Ok(())
    }

    /// Names of packages that match the regular expression.
    pub(super) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let listed = run(self
            .command("apt-cache")
            .args(["search", "--names-only", pattern]))?;
        Ok(listed
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    /// The version that would be installed.
    pub(super) fn version(&self, package: &str) -> Result<Version> {
        let shown = run(self
            .command("apt-cache")
            .args(["show", "--no-all-versions", package]))?;
        shown
            .lines()
            .find_map(|line| line.strip_prefix("Version:"))
            .and_then(Version::parse)
            .ok_or_else(|| Error::Unusable {
                path: package.into(),
                why: "the distribution has no such package".into(),
            })
    }

    /// The packages and what they need beyond what this machine has.
    pub(super) fn with_missing(&self, packages: &[String]) -> Result<Vec<String>> {
        let simulated = run(self
            .command("apt-get")
            .args([
                "install",
                "--simulate",
                "--no-install-recommends",
                "--reinstall",
            ])
            .args(packages))?;
        Ok(simulated
            .lines()
            .filter_map(|line| line.strip_prefix("Inst "))
            .filter_map(|rest| rest.split_whitespace().next())
            .map(str::to_owned)
            .collect())
    }

    pub(super) fn unpack(&self, packages: &[String], tree: &Path) -> Result<()> {
        let downloads = self.folder.join("packages");
        run(self
            .command("apt-get")
            .arg("download")
            .args(packages)
            .current_dir(&downloads))?;
        let entries = fs::read_dir(&downloads).map_err(io("listing the downloaded packages"))?;
        for entry in entries {
            let package = entry.map_err(io("listing the downloaded packages"))?.path();
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(tree))?;
        }
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let mut set = |key: &str, value: &str| {
            command.arg("-o").arg(format!("{key}={value}"));
        };
        set("Dir::Cache", &self.folder.join("cache").to_string_lossy());
        set("Debug::NoLocking", "1");
        // Root's apt would change to a user that cannot enter our folder.
        set("APT::Sandbox::User", "root");
        if self.has_own_lists {
            set(
                "Dir::State::lists",
                &self.folder.join("lists").to_string_lossy(),
            );
        }
        command
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }
}
