use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use super::*;

/// A program that prints `text` whatever it is asked.
fn program_printing(text: &str, path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn collected() -> (Report, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&lines);
    let report = Report::new(move |line| taken.lock().unwrap().push(line.to_owned()));
    (report, lines)
}

/// As root, Postgres is another user and has to pass through.
fn open_folder() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

fn options_in(folder: &Path) -> Options {
    Options {
        search_path: Some(env::join_paths([folder.join("old"), folder.join("new")]).unwrap()),
        install_dir: folder.join("installed"),
        ..Options::default()
    }
}

#[test]
fn a_server_too_old_is_passed_over_and_said_so() {
    let folder = open_folder();
    program_printing(
        "nats-server: v2.9.10",
        &folder.path().join("old/nats-server"),
    );
    program_printing(
        "nats-server: v2.12.3",
        &folder.path().join("new/nats-server"),
    );
    for program in ["postgres", "initdb"] {
        program_printing(
            "postgres (PostgreSQL) 13.4",
            &folder.path().join("old").join(program),
        );
        program_printing(
            "postgres (PostgreSQL) 17.2",
            &folder.path().join("new").join(program),
        );
    }
    let (report, lines) = collected();
    let options = options_in(folder.path());
    let found = nats_server(&options, &report).unwrap();
    assert_eq!(found.program, folder.path().join("new/nats-server"));
    assert_eq!(found.version, Version::new(2, 12, 3));
    let found = postgres(&options, &report).unwrap();
    assert_eq!(found.bin, folder.path().join("new"));
    assert_eq!(found.version, Version::new(17, 2, 0));

    let lines = lines.lock().unwrap().join("\n");
    for said in [
        "old/nats-server: version 2.9.10 is too old, at least 2.11 is needed",
        "old: version 13.4 is too old, at least 15.0 is needed",
        "nats-server 2.12.3 at",
        "Postgres 17.2 in",
    ] {
        assert!(lines.contains(said), "{said} is missing in:\n{lines}");
    }
}

#[test]
fn a_named_server_comes_first_and_must_be_usable() {
    let folder = open_folder();
    program_printing(
        "nats-server: v2.9.10",
        &folder.path().join("old/nats-server"),
    );
    program_printing(
        "nats-server: v2.12.3",
        &folder.path().join("new/nats-server"),
    );
    program_printing("nats-server: v2.11.0", &folder.path().join("named"));
    let named = |program: PathBuf| {
        let options = Options {
            nats_server: Some(program),
            ..options_in(folder.path())
        };
        nats_server(&options, &Report::silent())
    };
    assert_eq!(
        named(folder.path().join("named")).unwrap().version,
        NATS_OLDEST
    );
    let refused = named(folder.path().join("old/nats-server")).unwrap_err();
    assert!(matches!(refused, Error::TooOld { .. }), "{refused}");
    let refused = named(folder.path().join("absent")).unwrap_err();
    assert!(matches!(refused, Error::Unusable { .. }), "{refused}");
}

#[test]
fn hidden_servers_are_not_looked_at_but_installed_ones_are() {
    let folder = open_folder();
    program_printing(
        "nats-server: v2.14.0",
        &folder.path().join("new/nats-server"),
    );
    program_printing(
        "nats-server: v2.15.1",
        &folder.path().join("installed/bin/nats-server"),
    );
    let bin = folder
        .path()
        .join("installed/postgres/usr/lib/postgresql/16/bin");
    for program in ["postgres", "initdb"] {
        program_printing("postgres (PostgreSQL) 16.1", &bin.join(program));
    }
    let options = Options {
        install_servers: true,
        ..options_in(folder.path())
    };
    let found = nats_server(&options, &Report::silent()).unwrap();
    assert_eq!(
        found.program,
        folder.path().join("installed/bin/nats-server")
    );
    let found = postgres(&options, &Report::silent()).unwrap();
    assert_eq!(found.bin, bin);
}

#[test]
fn the_newest_version_comes_first() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["9.6", "15", "17", "not-a-version"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let found = versions_inside(folder.path(), "");
    let expected: Vec<PathBuf> = ["17", "15", "9.6"]
        .iter()
        .map(|name| folder.path().join(name))
        .collect();
    assert_eq!(found, expected);
}
