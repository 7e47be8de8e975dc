//! One nats-server with its streams on disk.
//!
//! **Invariant:** an acknowledged record is on disk (`sync_interval: always`), unless a test asked for lazy syncing.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::data::DataDir;
use crate::error::{Error, Result, blocking, io};
use crate::leftover::Identity;
use crate::process::{Launch, Stopping};
use crate::report::Report;
use crate::server::{Plan, Server};
use crate::{ports, secret};

/// Big stream folders are read back at the start.
const READY_WITHIN: Duration = Duration::from_mins(2);
const STOPPING: Stopping = Stopping {
    gentle: Signal::SIGTERM,
    hard: Signal::SIGKILL,
    gentle_patience: Duration::from_secs(20),
};
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const PORT_TRIES_MAX: u32 = 3;
/// What the server keeps in memory of its streams' last seconds is about half of this at the highest rate.
const MEMORY_MEBIBYTES: u32 = 384;
const USER: &str = "sluice";

#[derive(Debug, Clone)]
pub struct NatsOptions {
    /// As [`crate::find::nats_server`] returns it.
    pub binary: PathBuf,
    /// The server uses the folder `nats` inside.
    pub data: DataDir,
    /// 0 picks a free one, which then stays for the life of this value.
    pub port: u16,
    /// 0 picks a free one, which then stays for the life of this value.
    pub monitor_port: u16,
    pub max_payload_bytes: u32,
    /// Only for tests: acknowledge before records are on disk.
    pub lazy_sync: bool,
    /// Only for tests: one of several servers that share their streams.
    pub cluster: Option<ClusterNode>,
}

/// A server's place among others.
#[derive(Debug, Clone)]
pub struct ClusterNode {
    /// Where the others find this one.
    pub port: u16,
    /// Where this one finds the others.
    pub routes: Vec<u16>,
    /// The same for all, as clients go from one to another.
    pub password: String,
}

impl NatsOptions {
    pub fn new(binary: PathBuf, data: DataDir) -> Self {
        Self {
            binary,
            data,
            port: 0,
            monitor_port: 0,
            max_payload_bytes: 8 << 20,
            lazy_sync: false,
            cluster: None,
        }
    }
}

/// A running nats-server; stopped when dropped.
#[derive(Debug)]
pub struct Nats {
    pub(crate) server: Arc<Server>,
    port: u16,
    monitor_port: u16,
    password: String,
}

impl Nats {
    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// When it cannot start; the error shows its last log lines.
    pub async fn start(options: NatsOptions, report: &Report) -> Result<Self> {
        let report = report.clone();
        blocking("starting nats-server", move || {
            Self::start_and_wait(&options, &report)
        })
        .await
    }

    /// With user and password, for clients.
    pub fn url(&self) -> String {
        format!(
            "nats://{USER}:{}@{}",
            self.password,
            ports::loopback(self.port)
        )
    }

    pub fn monitor_url(&self) -> String {
        format!("http://{}", ports::loopback(self.monitor_port))
    }

    /// `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// SIGKILL, and waits until the process is gone (milliseconds). [`Nats::restart`] starts it again.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self) -> Result<()> {
        self.server.kill()
    }

    /// SIGSTOP: it stands still, its connections stay open. [`Nats::thaw`] lets it go on.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// # Errors
    /// When the system refuses.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let Some(pid) = pid else { return Ok(()) };
        nix::sys::signal::kill(Pid::from_raw(pid), signal)
            .map_err(|error| io("sending a signal to nats-server")(error.into()))
    }

    /// Stops it if it runs, and starts it with the same ports, password and data.
    ///
    /// # Errors
    /// As for [`Nats::start`].
    pub async fn restart(&self) -> Result<()> {
        self.server.restart().await
    }

    /// Stops it gracefully. [`Nats::restart`] starts it again.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(&self) -> Result<()> {
        self.server.stop().await
    }

    pub(crate) fn start_and_wait(options: &NatsOptions, report: &Report) -> Result<Self> {
        let ports_are_ours = options.port == 0 && options.monitor_port == 0;
        let mut tries = 1;
        loop {
            match Self::start_on_ports(options, report) {
                Err(Error::NotStarted { log, .. })
                    if log.contains("address already in use")
                        && ports_are_ours
                        && tries < PORT_TRIES_MAX =>
                {
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    fn start_on_ports(options: &NatsOptions, report: &Report) -> Result<Self> {
        let folder = options.data.folder_of("nats")?;
        let port = ports::resolve(options.port)?;
        let monitor_port = ports::resolve(options.monitor_port)?;
        let password = match &options.cluster {
            Some(node) => node.password.clone(),
            None => secret::kept_in(&folder.join("password"))?,
        };
        let name = format!("sluice-{}", secret::random_hex()?);
        let configuration = folder.join("nats.conf");
        secret::write_private(
            &configuration,
            &configuration_text(options, &folder, [port, monitor_port], &password, &name),
        )?;
        let plan = Plan {
            identity: identity(&options.data)?,
            launch: Launch {
                program: options.binary.clone(),
                arguments: vec!["--config".into(), configuration.into()],
                libraries: Vec::new(),
                environment: go_runtime(),
                account: None,
                stopping: STOPPING,
                remove_when_orphaned: options.data.is_temporary().then(|| folder.clone()),
            },
            log: folder.join("server.log"),
            ready_within: READY_WITHIN,
            ready: Box::new(move |_| {
                greets_as(port, &name).unwrap_or(false) && is_healthy(monitor_port)
            }),
            worth_another_try: |_| false,
        };
        Ok(Self {
            server: Server::start(plan, options.data.clone(), report.clone())?,
            port,
            monitor_port,
            password,
        })
    }
}

pub(crate) fn identity(data: &DataDir) -> Result<Identity> {
    let folder = data.folder_of("nats")?;
    Ok(Identity {
        name: "nats-server",
        pid_file: folder.join("server.pid"),
        marker: folder.join("nats.conf"),
        stopping: STOPPING,
    })
}

/// How the Go runtime of nats-server shares this machine: with half of the cores, as each thread that looks for work costs
/// what it does not find, and with a memory limit near which it collects more often.
fn go_runtime() -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    vec![
        ("GOMAXPROCS", (cores / 2).max(1).to_string()),
        ("GOMEMLIMIT", format!("{MEMORY_MEBIBYTES}MiB")),
    ]
}

fn configuration_text(
    options: &NatsOptions,
    folder: &Path,
    [port, monitor_port]: [u16; 2],
    password: &str,
    name: &str,
) -> String {
    let sync = if options.lazy_sync {
        ""
    } else {
        "\n    sync_interval: always"
    };
    format!(
        r#"# Written at every start.
server_name: {name}
listen: "{listen}"
http: "{http}"
max_payload: {max_payload}
jetstream {{
    store_dir: {store}{sync}
    max_file_store: 1TB
}}
authorization {{
    user: {USER}
    password: "{password}"
}}
{cluster}"#,
        cluster = options
            .cluster
            .as_ref()
            .map(cluster_text)
            .unwrap_or_default(),
        listen = ports::loopback(port),
        http = ports::loopback(monitor_port),
        max_payload = options.max_payload_bytes,
        store = serde_json::Value::from(folder.join("jetstream").to_string_lossy()),
    )
}

fn cluster_text(node: &ClusterNode) -> String {
    let routes: Vec<String> = node
        .routes
        .iter()
        .map(|port| format!("\"nats-route://{}\"", ports::loopback(*port)))
        .collect();
    format!(
        "cluster {{\n    name: sluice\n    listen: \"{}\"\n    routes: [{}]\n}}\n",
        ports::loopback(node.port),
        routes.join(", "),
    )
}

/// The first line that a server sends is `INFO {…"server_name":"…"…}`; the name tells ours from another on this port.
fn greets_as(port: u16, name: &str) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&ports::loopback(port), PROBE_TIMEOUT)?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    let mut greeting = String::new();
    BufReader::new(stream).read_line(&mut greeting)?;
    Ok(greeting.starts_with("INFO ") && greeting.contains(name))
}

fn is_healthy(monitor_port: u16) -> bool {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(PROBE_TIMEOUT))
        .build()
        .into();
    let url = format!("http://{}/healthz", ports::loopback(monitor_port));
    agent.get(&url).call().is_ok()
}
