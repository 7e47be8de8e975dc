//! The unprivileged user that Postgres runs as when we are root.
//!
//! **Invariant:** `initdb` and `postgres` never run as root, and what they must reach is checked as that user before.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User};

use crate::error::{Error, Result, io};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// `None` when we are not root: Postgres then runs as ourselves.
    pub(crate) fn for_postgres() -> Result<Option<Self>> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            let user = User::from_name(name)
                .map_err(|error| io(format!("looking up the user {name}"))(error.into()))?;
            if let Some(user) = user {
                return Ok(Some(Self {
                    name: user.name,
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                }));
            }
        }
        Err(Error::Unusable {
            path: "/etc/passwd".into(),
            why: "Postgres does not run as root, and there is no user postgres or nobody".into(),
        })
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(io(format!(
            "giving {} to the user {}",
            path.display(),
            self.name
        )))
    }

    pub(crate) fn can_enter(&self, folder: &Path) -> bool {
        self.can(r#"cd -- "$1""#, folder)
    }

    pub(crate) fn can_run(&self, program: &Path) -> bool {
        self.can(r#"test -x "$1""#, program)
    }

    fn can(&self, script: &str, path: &Path) -> bool {
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(path)
            .current_dir("/");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.apply(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}
