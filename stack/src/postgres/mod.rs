//! One Postgres server.
//!
//! **Invariant:** a committed transaction is on disk (`fsync`, `synchronous_commit`), and a data folder of a killed run
//! starts again.

mod databases;
mod initialize;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::statvfs::statvfs;

use crate::account::Account;
use crate::data::DataDir;
use crate::error::{Error, Result, blocking, io};
use crate::find::PostgresBinaries;
use crate::leftover::{self, Identity};
use crate::process::{Launch, Stopping};
use crate::report::Report;
use crate::server::{Plan, Server};
use crate::version::add_libraries;
use crate::{ports, secret};

/// Recovery replays at most `max_wal_size`.
const READY_WITHIN: Duration = Duration::from_mins(5);
/// Fast shutdown, which writes a checkpoint; then immediate shutdown, which takes the children along.
const STOPPING: Stopping = Stopping {
    gentle: Signal::SIGINT,
    hard: Signal::SIGQUIT,
    // The last checkpoint may be of gigabytes.
    gentle_patience: Duration::from_mins(5),
};
const PORT_TRIES_MAX: u32 = 3;
/// A socket's path may be 107 bytes long, with its name `/.s.PGSQL.12345`.
const SOCKET_FOLDER_BYTES_MAX: usize = 90;
const USER: &str = "sluice";
const SHARED_BUFFERS_MEBIBYTES_MIN: u32 = 128;
const SHARED_BUFFERS_MEBIBYTES_MAX: u32 = 16384;
const WAL_MEBIBYTES_MIN: u64 = 1024;
const WAL_MEBIBYTES_MAX: u64 = 16384;

/// Checkpoints are spread out: each makes the next write of a page log the whole page.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "fsync=on",
    "synchronous_commit=on",
    "jit=off",
    "max_connections=200",
    "checkpoint_timeout=30min",
    "log_destination=stderr",
    "logging_collector=off",
    "cluster_name=sluice",
];

#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// As [`crate::find::postgres`] returns it.
    pub binaries: PostgresBinaries,
    /// The server uses the folder `postgres` inside.
    pub data: DataDir,
    /// 0 picks a free one, which then stays for the life of this value.
    pub port: u16,
    pub shared_buffers_mebibytes: u32,
}

impl PostgresOptions {
    pub fn new(binaries: PostgresBinaries, data: DataDir) -> Self {
        Self {
            binaries,
            data,
            port: 0,
            shared_buffers_mebibytes: shared_buffers_mebibytes(),
        }
    }
}

/// A quarter of the machine's memory, as Postgres's manual advises; it is taken as it is used. Transfers are found by
/// random ids: where their index outgrows this, every insert copies a page from the system's cache.
fn shared_buffers_mebibytes() -> u32 {
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
        u32::try_from(kibibytes >> 10).ok()
    });
    memory.map_or(SHARED_BUFFERS_MEBIBYTES_MIN, |mebibytes| {
        (mebibytes / 4).clamp(SHARED_BUFFERS_MEBIBYTES_MIN, SHARED_BUFFERS_MEBIBYTES_MAX)
    })
}

/// An eighth of the room on the disk. A checkpoint comes at about half of it, and after each one every page that is touched
/// goes whole into Postgres's log: transfers are found by random ids, so these are nearly as many as there are transfers.
/// What a killed server has to read again is as long, at some 100 MB/s.
fn wal_mebibytes(folder: &Path) -> u64 {
    let room = statvfs(folder).map_or(0, |disk| {
        disk.blocks_available().saturating_mul(disk.fragment_size())
    });
    (room / (8 << 20)).clamp(WAL_MEBIBYTES_MIN, WAL_MEBIBYTES_MAX)
}

/// A running Postgres; stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    pub(crate) server: Arc<Server>,
    port: u16,
    password: String,
    socket_folder: Option<String>,
}

impl Postgres {
    /// Creates the cluster if the folder holds none, starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it cannot start; the error shows its last log lines.
    pub async fn start(options: PostgresOptions, report: &Report) -> Result<Self> {
        let report = report.clone();
        blocking("starting Postgres", move || {
            Self::start_and_wait(&options, &report)
        })
        .await
    }

    /// Of a database on this server, with user and password.
    pub fn url(&self, database: &str) -> String {
        let address = ports::loopback(self.port);
        format!("postgres://{USER}:{}@{address}/{database}", self.password)
    }

    /// The same for programs of this machine that may look into the data folder: over a Unix socket, which costs less,
    /// where there is one.
    pub fn local_url(&self, database: &str) -> String {
        let url = self.url(database);
        match &self.socket_folder {
            Some(folder) => format!("{url}?host={folder}"),
            None => url,
        }
    }

    /// Of the first process; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// SIGKILL of the first process, and waits until it is gone (milliseconds); its children notice a little later.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<()> {
        self.server.kill()
    }

    /// Stops it if it runs, and starts it with the same port, password and data. After a kill this waits for the
    /// children of the killed server to go.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub async fn restart(&self) -> Result<()> {
        self.server.restart().await
    }

    /// Stops it in order (fast shutdown: open transactions are rolled back). [`Postgres::restart`] starts it again.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&self) -> Result<()> {
        self.server.stop().await
    }

    pub(crate) fn start_and_wait(options: &PostgresOptions, report: &Report) -> Result<Self> {
        let mut tries = 1;
        loop {
            match Self::start_on_port(options, report) {
                Err(Error::NotStarted { log, .. })
                    if log.contains("Address already in use")
                        && options.port == 0
                        && tries < PORT_TRIES_MAX =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn start_on_port(options: &PostgresOptions, report: &Report) -> Result<Self> {
        let account = Account::for_postgres()?;
        let folder = options.data.folder_of("postgres")?;
        let password = secret::kept_in(&folder.join("password"))?;
        let cluster =
            initialize::ensure(&options.binaries, &folder, USER, account.as_ref(), report)?;
        forget_reused_process_id(&cluster, report)?;
        let port = ports::resolve(options.port)?;
        let ready_file = cluster.join("postmaster.pid");
        let plan = Plan {
            identity: identity(&options.data)?,
            launch: Launch {
                program: options.binaries.bin.join("postgres"),
                arguments: arguments(options, &folder, &cluster, port),
                libraries: options.binaries.libraries.clone(),
                environment: Vec::new(),
                account,
                stopping: STOPPING,
                remove_when_orphaned: options.data.is_temporary().then(|| folder.clone()),
            },
            log: folder.join("server.log"),
            ready_within: READY_WITHIN,
            ready: Box::new(move |pid| says_ready(&ready_file, pid)),
            worth_another_try: children_of_a_killed_server_remain,
        };
        Ok(Self {
            server: Server::start(plan, options.data.clone(), report.clone())?,
            port,
            password,
            socket_folder: socket_folder(&folder),
        })
    }
}

pub(crate) fn identity(data: &DataDir) -> Result<Identity> {
    let folder = data.folder_of("postgres")?;
    Ok(Identity {
        name: "Postgres",
        pid_file: folder.join("server.pid"),
        marker: folder.join("cluster"),
        stopping: STOPPING,
    })
}

fn arguments(
    options: &PostgresOptions,
    folder: &Path,
    cluster: &Path,
    port: u16,
) -> Vec<std::ffi::OsString> {
    let mut settings: Vec<String> = SETTINGS.iter().map(ToString::to_string).collect();
    settings.push(format!("port={port}"));
    settings.push(format!(
        "shared_buffers={}MB",
        options.shared_buffers_mebibytes
    ));
    settings.push(format!("max_wal_size={}MB", wal_mebibytes(cluster)));
    settings.push(format!(
        "wal_compression={}",
        wal_compression(&options.binaries, cluster)
    ));
    // A minimal system has no time zone files; GMT is built in and means the same.
    let zone = if Path::new("/usr/share/zoneinfo/UTC").exists() {
        "UTC"
    } else {
        "GMT"
    };
    settings.push(format!("timezone={zone}"));
    settings.push(format!("log_timezone={zone}"));
    let socket_folder = socket_folder(folder).unwrap_or_default();
    settings.push(format!("unix_socket_directories={socket_folder}"));
    let mut arguments = vec!["-D".into(), cluster.into()];
    for setting in settings {
        arguments.push("-c".into());
        arguments.push(setting.into());
    }
    arguments
}

/// Where the socket is: nowhere, if its path would be too long, or would not stand in an address and in a list of folders
/// as it is.
fn socket_folder(folder: &Path) -> Option<String> {
    let path = folder.to_str()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let fits = path.len() <= SOCKET_FOLDER_BYTES_MAX && path.bytes().all(is_plain);
    fits.then(|| path.to_owned())
}

/// The first write to a page after a checkpoint logs the page, and transfers write to random pages of their indexes. LZ4
/// takes a fraction of the time of Postgres's own method, but not every build has it.
fn wal_compression(binaries: &PostgresBinaries, cluster: &Path) -> &'static str {
    let mut asked = Command::new(binaries.bin.join("postgres"));
    asked.args(["-C", "wal_compression", "-c", "wal_compression=lz4", "-D"]);
    asked
        .arg(cluster)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    add_libraries(&mut asked, &binaries.libraries);
    match asked.status() {
        Ok(status) if status.success() => "lz4",
        _ => "on",
    }
}

/// Line 1 of `postmaster.pid` is the process, line 8 its state; this is how `pg_ctl` waits.
fn says_ready(file: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(file) else {
        return false;
    };
    let mut lines = text.lines().map(str::trim);
    lines.next() == Some(pid.to_string().as_str()) && lines.nth(6) == Some("ready")
}

/// After a kill -9 the shared memory stays in use until the last child noticed.
fn children_of_a_killed_server_remain(log: &str) -> bool {
    log.contains("pre-existing shared memory block")
        || (log.contains("lock file") && log.contains("already exists"))
}

/// Postgres takes any process of its user with the id in a stale `postmaster.pid` for itself and would never start;
/// likely in containers, where ids are small. The shared memory check that remains goes by the folder.
fn forget_reused_process_id(cluster: &Path, report: &Report) -> Result<()> {
    let file: PathBuf = cluster.join("postmaster.pid");
    let Some(pid) = leftover::first_number(&file) else {
        return Ok(());
    };
    if leftover::runs_on(pid, cluster) || !leftover::exists(pid) {
        return Ok(());
    }
    report.say(format!(
        "Postgres was killed here and process {pid} is another one now; recovering"
    ));
    fs::remove_file(&file).map_err(io(format!("removing the stale {}", file.display())))
}
