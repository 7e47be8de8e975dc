//! The house rules, as far as a program can check them.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Source files of the workspace.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path, text));
            }
        }
    }
    assert!(files.len() > 50);
    files
}

/// What a crate's own code depends on.
fn dependencies(folder: &str) -> Vec<String> {
    let text = read(&format!("{folder}/Cargo.toml"));
    let listed = text.split("[dependencies]").nth(1).unwrap();
    listed
        .split("\n[")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn assert_lists_none_of(folder: &str, banned: &[&str]) {
    for name in dependencies(folder) {
        assert!(!banned.contains(&name.as_str()), "{folder} lists {name}");
    }
}

#[test]
fn the_pure_crates_cannot_do_io() {
    let io = ["tokio", "sqlx", "async-nats", "hyper", "axum", "streams"];
    for pure in ["processors/ledger", "schemas"] {
        assert_lists_none_of(pure, &io);
    }
}

#[test]
fn the_ways_in_and_the_decisions_meet_only_in_the_log_and_in_postgres() {
    assert!(dependencies("system").contains(&"worker".to_owned()));
    assert_lists_none_of("ingest", &["worker", "ledger", "verify"]);
    assert_lists_none_of("processors/worker", &["ingest"]);
    assert_lists_none_of("processors/verify", &["ingest"]);
}

#[test]
fn only_the_binary_knows_everybody() {
    let above = ["bench", "sluice"];
    assert_lists_none_of("system", &above);
    let members = read("Cargo.toml");
    let members = members.split("members = [").nth(1).unwrap();
    let members = members
        .split(']')
        .next()
        .unwrap()
        .split('"')
        .skip(1)
        .step_by(2);
    let all: Vec<&str> = members.collect();
    assert!(all.len() > 10 && all.contains(&"ingest"), "{all:?}");
    for below in all {
        if ["system", "bench", "sluice"].contains(&below) {
            continue;
        }
        assert_lists_none_of(below, &above);
        assert_lists_none_of(below, &["system"]);
    }
    // What draws load and curves is no part of what runs.
    for heavy in ["hdrhistogram", "mio", "plotters", "rand", "rand_distr"] {
        assert!(dependencies("bench").contains(&heavy.to_owned()));
        assert_lists_none_of("system", &[heavy]);
        assert_lists_none_of("sluice", &[heavy]);
    }
}

#[test]
fn roles_are_started_in_one_place_and_never_read_the_environment() {
    for (path, text) in sources() {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .into_owned();
        if name.contains("tests") {
            continue;
        }
        for start in ["ingest::run(", "worker::run("] {
            assert!(
                !text.contains(start) || name == "system/src/start.rs",
                "{name} starts a role beside the list of them"
            );
        }
        let is_stack = name.starts_with("stack/");
        assert!(
            is_stack
                || !["env::var", "option_env!"]
                    .iter()
                    .any(|read| text.contains(read)),
            "{name} reads the environment beside its flags"
        );
    }
}

#[test]
fn only_streams_knows_jetstream() {
    for folder in [
        "bench/src",
        "ingest/src",
        "journal/src",
        "processors",
        "schemas/src",
        "sluice/src",
        "stack/src",
        "system/src",
    ] {
        for (path, text) in sources() {
            let inside = path.starts_with(root().join(folder))
                && !path.components().any(|part| part.as_os_str() == "tests");
            assert!(
                !inside || !text.contains("async_nats::"),
                "{} uses async_nats",
                path.display()
            );
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (path, text) in sources() {
        let exempt = path.components().any(|part| {
            ["tests", "tests.rs"]
                .iter()
                .any(|name| part.as_os_str() == *name)
        });
        assert!(
            exempt || text.starts_with("//!"),
            "{} does not begin with //!",
            path.display()
        );
    }
}

#[test]
fn every_variable_in_the_readme_exists_and_every_variable_is_in_the_readme() {
    let readme = read("README.md");
    let mut code = String::new();
    for (path, text) in sources() {
        if !path.ends_with("tidy.rs") {
            code.push_str(&text);
        }
    }
    let names = |text: &str| -> std::collections::BTreeSet<String> {
        text.match_indices("SLUICE_")
            .map(|(place, _)| {
                text[place..]
                    .chars()
                    .take_while(|c| c.is_ascii_uppercase() || *c == '_' || c.is_ascii_digit())
                    .collect::<String>()
            })
            .filter(|name| name.len() > "SLUICE_".len())
            .collect()
    };
    let (documented, used) = (names(&readme), names(&code));
    for name in &documented {
        assert!(
            used.contains(name),
            "{name} stands in the README and nowhere in the code"
        );
    }
    for name in used
        .iter()
        .filter(|name| code.contains(&format!("env = \"{name}\"")))
    {
        assert!(
            documented.contains(name),
            "{name} is missing from the README"
        );
    }
}

#[test]
fn the_compose_file_runs_roles_that_exist_on_servers_that_sync() {
    let compose = read("docker-compose.yml");
    for (role, listed) in [
        ("migrate", "sluice/src/cli.rs"),
        ("ingest", "system/src/role.rs"),
        ("process", "system/src/role.rs"),
    ] {
        assert!(compose.contains(&format!("command: [\"{role}\"")), "{role}");
        assert!(read(listed).to_lowercase().contains(role), "{role}");
    }
    assert!(compose.contains("sync_interval: always"));
    assert!(compose.contains("nats:2.15.1"));
    // Postgres may recover for long, and nothing that waits for it gives up until then.
    let postgres = compose.split("\n  postgres:").nth(1).unwrap();
    let postgres = postgres.split("\n\n").next().unwrap();
    assert!(postgres.contains("start_period: 5m"), "{postgres}");
}

#[test]
fn nothing_is_left_to_be_done() {
    for (path, text) in sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for banned in ["todo!(", "unimplemented!(", "#[ignore"] {
            assert!(!text.contains(banned), "{} has {banned}", path.display());
        }
    }
}
