//! The whole stack: both servers up, watched over, and gone with their parent.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection as _, PgConnection};
use stack::{Error, Options, Report, Stack, testing};

const PATIENCE: Duration = Duration::from_mins(1);
const DATA_OF_PARENT: &str = "STACK_TEST_DATA_OF_PARENT";

fn options(data: Option<PathBuf>) -> Options {
    Options {
        find: testing::find_options(),
        data,
        ..Options::default()
    }
}

fn collected() -> (Report, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&lines);
    let report = Report::new(move |line| taken.lock().unwrap().push(line.to_owned()));
    (report, lines)
}

/// As root, Postgres is another user and has to pass through.
fn open_folder() -> tempfile::TempDir {
    folder_with_mode(0o755)
}

fn folder_with_mode(mode: u32) -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(mode))
        .tempdir()
        .unwrap()
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// A zombie counts as gone: who collects it is not ours to say.
fn is_gone(pid: u32) -> bool {
    let listed = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output();
    let state = String::from_utf8(listed.unwrap().stdout).unwrap();
    state.trim().is_empty() || state.trim().starts_with('Z')
}

async fn postgres_answers(stack: &Stack) -> bool {
    PgConnection::connect(&stack.postgres_url().unwrap())
        .await
        .is_ok()
}

async fn nats_answers(stack: &Stack) -> bool {
    let url = stack.nats_url().unwrap();
    let address: async_nats::ServerAddr = url.parse().unwrap();
    let (user, password) = (address.username().unwrap(), address.password().unwrap());
    async_nats::ConnectOptions::with_user_and_password(user.into(), password.into())
        .connect(address)
        .await
        .is_ok()
}

#[tokio::test]
async fn both_servers_answer_and_temporary_data_goes_with_them() {
    let (report, lines) = collected();
    let stack = Stack::start(options(None), report).await.unwrap();
    assert!(nats_answers(&stack).await);
    assert!(postgres_answers(&stack).await);
    assert!(
        stack
            .nats_monitor_url()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    let pids = stack.pids();
    assert_eq!(
        pids.keys().copied().collect::<Vec<_>>(),
        ["nats", "postgres"]
    );
    stack.stop().await.unwrap();
    assert!(pids.values().all(|pid| is_gone(*pid)));
    let lines = lines.lock().unwrap();
    let line = lines
        .iter()
        .find(|line| line.contains("will be deleted"))
        .unwrap();
    let folder = line
        .split_whitespace()
        .find(|word| word.starts_with('/'))
        .unwrap();
    assert!(!Path::new(folder).exists());
}

#[tokio::test]
async fn servers_that_die_come_back_on_the_same_ports() {
    let (report, lines) = collected();
    let stack = Stack::start(options(None), report).await.unwrap();
    let before = stack.pids();
    for pid in before.values() {
        signal(*pid, Signal::SIGKILL);
    }
    until("both have new processes", async || {
        let now = stack.pids();
        now.len() == 2 && now.iter().all(|(name, pid)| before[name] != *pid)
    })
    .await;
    assert!(nats_answers(&stack).await);
    assert!(postgres_answers(&stack).await);
    until("both are reported", async || {
        let lines = lines.lock().unwrap().join("\n");
        [
            "nats-server died (signal: 9",
            "Postgres died (signal: 9",
            "nats-server runs again",
        ]
        .iter()
        .all(|said| lines.contains(said))
    })
    .await;
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_come_back_is_given_up() {
    let folder = open_folder();
    let (report, _) = collected();
    let only_nats = Options {
        postgres: false,
        ..options(Some(folder.path().to_owned()))
    };
    let stack = Stack::start(only_nats, report).await.unwrap();
    assert_eq!(stack.postgres_url(), None);
    fs::write(folder.path().join("nats/nats.conf"), "no { configuration").unwrap();
    signal(stack.pids()["nats"], Signal::SIGKILL);
    let given_up = tokio::time::timeout(PATIENCE, stack.given_up())
        .await
        .unwrap();
    assert_eq!(given_up.server, "nats-server");
    assert!(
        given_up.reason.contains("Parse error"),
        "{}",
        given_up.reason
    );
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_flag() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (flag, options) in [
        (
            "--nats-port",
            Options {
                nats_port: port,
                ..options(None)
            },
        ),
        (
            "--nats-monitor-port",
            Options {
                nats_monitor_port: port,
                ..options(None)
            },
        ),
        (
            "--postgres-port",
            Options {
                postgres_port: port,
                ..options(None)
            },
        ),
    ] {
        let refused = Stack::start(options, Report::silent()).await.unwrap_err();
        assert!(matches!(refused, Error::PortTaken { .. }), "{refused}");
        let message = refused.to_string();
        assert!(
            message.contains(flag) && message.contains(&port.to_string()),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_data_folder_in_use_is_refused() {
    let folder = open_folder();
    let kept = || Options {
        postgres: false,
        ..options(Some(folder.path().to_owned()))
    };
    let stack = Stack::start(kept(), Report::silent()).await.unwrap();
    let refused = Stack::start(kept(), Report::silent()).await.unwrap_err();
    assert!(matches!(refused, Error::DataInUse(_)), "{refused}");
    stack.stop().await.unwrap();
    Stack::start(kept(), Report::silent())
        .await
        .unwrap()
        .stop()
        .await
        .unwrap();
}

/// Not a test of its own: the process that [`servers_stop_when_their_parent_is_killed`] and its like kill.
#[tokio::test]
async fn parent_of_servers() {
    let Ok(data) = std::env::var(DATA_OF_PARENT) else {
        return;
    };
    let data = (data != "temporary").then(|| PathBuf::from(data));
    let (report, lines) = collected();
    let stack = Stack::start(options(data), report).await.unwrap();
    let pids: Vec<String> = stack.pids().values().map(ToString::to_string).collect();
    let lines = lines.lock().unwrap().join(" ");
    let folder = lines
        .split_whitespace()
        .find(|word| word.contains("/sluice-"));
    eprintln!("RUNNING {} {}", pids.join(" "), folder.unwrap_or_default());
    std::future::pending::<()>().await;
}

/// Another process of this test binary, with a stack of its own.
struct Parent {
    process: Child,
    servers: Vec<u32>,
    temporary_data: Option<PathBuf>,
}

impl Parent {
    /// Returns as soon as its servers run.
    fn start(data: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "parent_of_servers", "--nocapture"])
            .env(DATA_OF_PARENT, data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(process.stderr.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .find(|line| line.starts_with("RUNNING"));
        let said = said.expect("the parent starts the servers");
        let words: Vec<&str> = said.split_whitespace().skip(1).collect();
        let servers: Vec<u32> = words[..2].iter().map(|pid| pid.parse().unwrap()).collect();
        assert!(servers.iter().all(|pid| !is_gone(*pid)));
        Self {
            process,
            servers,
            temporary_data: words.get(2).map(PathBuf::from),
        }
    }

    /// SIGKILL; returns its servers.
    fn kill(&mut self) -> Vec<u32> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.servers.clone()
    }
}

impl Drop for Parent {
    /// For tests that fail before they kill it.
    fn drop(&mut self) {
        self.kill();
    }
}

/// Its watchers are those of its children that are named so.
fn kill_watchers_of(parent: &Parent) {
    let id = parent.process.id().to_string();
    let listed = Command::new("ps")
        .args(["-ww", "-o", "pid=,args=", "--ppid", &id])
        .output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let watchers: Vec<u32> = listed
        .lines()
        .filter(|line| line.contains("sluice-watcher"))
        .map(|line| line.split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(watchers.len(), parent.servers.len());
    for watcher in watchers {
        signal(watcher, Signal::SIGKILL);
    }
}

#[tokio::test]
async fn servers_stop_when_their_parent_is_killed() {
    let mut parent = Parent::start("temporary");
    let data = parent.temporary_data.clone().unwrap();
    assert!(data.exists());
    let servers = parent.kill();
    until("both servers are gone", async || {
        servers.iter().all(|pid| is_gone(*pid))
    })
    .await;
    until("the temporary folder is gone", async || !data.exists()).await;
}

#[tokio::test]
async fn the_data_folder_of_a_killed_run_starts_again_at_once() {
    let folder = open_folder();
    let servers = Parent::start(folder.path().to_str().unwrap()).kill();
    let again = Stack::start(options(Some(folder.path().to_owned())), Report::silent());
    let stack = again.await.unwrap();
    assert!(servers.iter().all(|pid| is_gone(*pid)));
    assert!(nats_answers(&stack).await);
    assert!(postgres_answers(&stack).await);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn servers_left_behind_without_their_watchers_are_stopped_first() {
    let folder = open_folder();
    let mut parent = Parent::start(folder.path().to_str().unwrap());
    kill_watchers_of(&parent);
    let left = parent.kill();
    assert!(left.iter().all(|pid| !is_gone(*pid)));
    let (report, lines) = collected();
    let again = Stack::start(options(Some(folder.path().to_owned())), report);
    let stack = again.await.unwrap();
    assert!(left.iter().all(|pid| is_gone(*pid)));
    let lines = lines.lock().unwrap().join("\n");
    for pid in left {
        assert!(
            lines.contains(&format!("of an earlier run (process {pid})")),
            "{lines}"
        );
    }
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_folder_closed_to_the_user_of_postgres_is_refused() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let closed = folder_with_mode(0o700);
    let inside = Some(closed.path().join("data"));
    let refused = Stack::start(options(inside), Report::silent())
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Unreachable { .. }), "{refused}");
}

#[tokio::test]
async fn postgres_answers_over_a_socket_where_the_path_is_short_enough() {
    let folder = open_folder();
    let long = folder.path().join("long".repeat(25));
    let spaced = folder.path().join("a b");
    for (path, has_socket) in [(folder.path(), true), (&long, false), (&spaced, false)] {
        let stack = Stack::start(options(Some(path.to_owned())), Report::silent());
        let stack = stack.await.unwrap();
        let local = stack.postgres_local_url().unwrap();
        let mut connection = PgConnection::connect(&local).await.unwrap();
        let is_local: bool = sqlx::query_scalar("SELECT inet_client_addr() IS NULL")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(is_local, has_socket, "{local}");
        assert!(postgres_answers(&stack).await, "over TCP");
        stack.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_data_folder_starts_again_when_everything_was_killed() {
    let folder = open_folder();
    let stack = Stack::start(options(Some(folder.path().to_owned())), Report::silent());
    let stack = stack.await.unwrap();
    let mut connection = PgConnection::connect(&stack.postgres_url().unwrap())
        .await
        .unwrap();
    sqlx::query("CREATE TABLE kept ()")
        .execute(&mut connection)
        .await
        .unwrap();
    let pids = stack.pids();
    for pid in pids.values() {
        signal(*pid, Signal::SIGKILL);
    }
    drop(stack);
    let stack = Stack::start(options(Some(folder.path().to_owned())), Report::silent());
    let stack = stack.await.unwrap();
    let mut connection = PgConnection::connect(&stack.postgres_url().unwrap())
        .await
        .unwrap();
    sqlx::query("SELECT FROM kept")
        .execute(&mut connection)
        .await
        .unwrap();
    stack.stop().await.unwrap();
}
