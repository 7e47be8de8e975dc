//! The folder that servers keep their data in.
//!
//! **Invariant:** a temporary folder is gone when its last user is dropped, and a watcher removes it when this process
//! is killed; a kept one is never removed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use crate::error::{Error, Result, io};

/// A process that was just killed may need a moment to let go.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    temporary: Option<Arc<TempDir>>,
}

impl DataDir {
    /// A folder that stays; created if it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn kept(path: &Path) -> Result<Self> {
        let doing = || format!("creating the data folder {}", path.display());
        fs::create_dir_all(path).map_err(io(doing()))?;
        Ok(Self {
            path: path.canonicalize().map_err(io(doing()))?,
            temporary: None,
        })
    }

    /// A new folder that is removed with the last clone of this value. Others may pass through it but not list it:
    /// as root, Postgres runs as another user.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn temporary() -> Result<Self> {
        let create = || {
            let folder = tempfile::Builder::new()
                .prefix("sluice-")
                .permissions(Permissions::from_mode(0o711))
                .tempdir()?;
            let path = folder.path().canonicalize()?;
            Ok((path, folder))
        };
        let (path, folder) = create().map_err(io("creating a temporary data folder"))?;
        Ok(Self {
            path,
            temporary: Some(Arc::new(folder)),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// The folder of one server inside, created if it is missing.
    pub(crate) fn folder_of(&self, server: &str) -> Result<PathBuf> {
        let folder = self.path.join(server);
        fs::create_dir_all(&folder).map_err(io(format!("creating {}", folder.display())))?;
        Ok(folder)
    }

    /// A temporary folder needs no lock: nobody else knows its name.
    ///
    /// # Errors
    /// [`Error::DataInUse`] when another process holds it.
    pub(crate) fn lock(&self) -> Result<Option<Flock<File>>> {
        if self.is_temporary() {
            return Ok(None);
        }
        let path = self.path.join("lock");
        let doing = || format!("locking {}", path.display());
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io(doing()))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Some(lock)),
                Err((file, nix::errno::Errno::EWOULDBLOCK)) => file,
                Err((_, error)) => return Err(io(doing())(error.into())),
            };
            if Instant::now() > deadline {
                return Err(Error::DataInUse(self.path.clone()));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
