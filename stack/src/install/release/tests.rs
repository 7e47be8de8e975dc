use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use super::*;

/// What a release's address serves; a length beyond the content's is a download that breaks off.
#[derive(Default)]
struct Files(BTreeMap<String, (Vec<u8>, usize)>);

impl Files {
    fn add(&mut self, name: &str, content: Vec<u8>) {
        let length = content.len();
        self.0.insert(name.into(), (content, length));
    }

    fn add_broken(&mut self, name: &str, mut content: Vec<u8>) {
        let length = content.len();
        content.truncate(length / 2);
        self.0.insert(name.into(), (content, length));
    }

    /// Serves until the test ends.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v{NATS_VERSION}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while !lines.next().unwrap().unwrap().is_empty() {}
                let path = request.split(' ').nth(1).unwrap();
                let name = path.strip_prefix(&format!("/v{NATS_VERSION}/")).unwrap();
                let (status, (content, length)) = match self.0.get(name) {
                    Some(file) => ("200 OK", file.clone()),
                    None => ("404 Not Found", (Vec::new(), 0)),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).unwrap();
                stream.write_all(&content).unwrap();
            }
        });
        url
    }
}

fn archive_of_server_printing(version: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let stem = stem().unwrap();
    let program = folder.path().join(&stem).join("nats-server");
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::write(
        &program,
        format!("#!/bin/sh\necho 'nats-server: v{version}'\n"),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let archive = folder.path().join("archive.tar.gz");
    let mut tar = Command::new("tar");
    run(tar
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .arg(&stem))
    .unwrap();
    fs::read(archive).unwrap()
}

fn archive_name() -> String {
    format!("{}.tar.gz", stem().unwrap())
}

fn sums_for(content: &[u8]) -> Vec<u8> {
    let sum = hex(&Sha256::digest(content));
    let zeros = "0".repeat(64);
    format!("{zeros}  another-file.zip\n{sum}  {}\n", archive_name()).into_bytes()
}

fn everything_in(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

fn refused(files: Files) -> Error {
    let folder = tempfile::tempdir().unwrap();
    let error = install(folder.path(), &files.serve(), &Report::silent()).unwrap_err();
    assert_eq!(
        everything_in(folder.path()),
        Vec::<PathBuf>::new(),
        "left behind"
    );
    error
}

#[test]
fn a_release_with_the_right_checksum_is_installed() {
    let archive = archive_of_server_printing(NATS_VERSION);
    let mut files = Files::default();
    files.add("SHA256SUMS", sums_for(&archive));
    files.add(&archive_name(), archive);
    let folder = tempfile::tempdir().unwrap();
    let program = install(folder.path(), &files.serve(), &Report::silent()).unwrap();
    assert_eq!(program, folder.path().join("bin/nats-server"));
    assert_eq!(
        find::check_nats(&program).unwrap().version.to_string(),
        NATS_VERSION
    );
    assert_eq!(everything_in(folder.path()), [folder.path().join("bin")]);
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let archive = archive_of_server_printing(NATS_VERSION);
    let mut files = Files::default();
    files.add("SHA256SUMS", sums_for(b"another archive"));
    files.add(&archive_name(), archive);
    assert!(matches!(refused(files), Error::Checksum { .. }));
}

#[test]
fn a_file_that_the_release_does_not_list_leaves_nothing() {
    let mut files = Files::default();
    files.add("SHA256SUMS", b"".to_vec());
    files.add(&archive_name(), archive_of_server_printing(NATS_VERSION));
    assert!(matches!(refused(files), Error::Checksum { .. }));
}

#[test]
fn a_download_that_breaks_off_leaves_nothing() {
    let archive = archive_of_server_printing(NATS_VERSION);
    let mut files = Files::default();
    files.add("SHA256SUMS", sums_for(&archive));
    files.add_broken(&archive_name(), archive);
    assert!(matches!(refused(files), Error::Io { .. }));
}

#[test]
fn a_missing_release_leaves_nothing() {
    assert!(matches!(refused(Files::default()), Error::Download { .. }));
}

#[test]
fn a_release_that_is_too_old_leaves_nothing() {
    let archive = archive_of_server_printing("2.9.0");
    let mut files = Files::default();
    files.add("SHA256SUMS", sums_for(&archive));
    files.add(&archive_name(), archive);
    assert!(matches!(refused(files), Error::TooOld { .. }));
}
