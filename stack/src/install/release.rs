//! The official release of nats-server.
//!
//! **Invariant:** an archive is unpacked only if its SHA-256 is the one that the release's SHA256SUMS lists.

use std::fs::File;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{NATS_VERSION, put_into_bin, run, workshop};
use crate::error::{Error, Result, io};
use crate::find;
use crate::report::Report;
use crate::secret::hex;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_mins(10);
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;
const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn install(install_dir: &Path, base_url: &str, report: &Report) -> Result<PathBuf> {
    let stem = stem()?;
    let archive_name = format!("{stem}.tar.gz");
    report.say(format!(
        "downloading {archive_name} of the official release (7 MB, seconds to a minute)"
    ));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .build()
        .into();
    let mut sums = String::new();
    open(&agent, &format!("{base_url}/SHA256SUMS"))?
        .read_to_string(&mut sums)
        .map_err(io("downloading SHA256SUMS"))?;
    let wrong = || Error::Checksum {
        file: archive_name.clone(),
    };
    let expected = listed_sum(&sums, &archive_name).ok_or_else(wrong)?;

    let workshop = workshop(install_dir)?;
    let archive = workshop.path().join(&archive_name);
    let body = open(&agent, &format!("{base_url}/{archive_name}"))?;
    let found = save(body, &archive).map_err(io(format!("downloading {archive_name}")))?;
    if !found.eq_ignore_ascii_case(expected) {
        return Err(wrong());
    }
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(workshop.path()))?;
    let made = workshop.path().join(stem).join("nats-server");
    find::check_nats(&made)?;
    put_into_bin(&made, install_dir, "nats-server")
}

/// `nats-server-v2.15.1-linux-amd64`
pub(super) fn stem() -> Result<String> {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm7",
        "x86" => "386",
        other => other,
    };
    if !matches!(system, "linux" | "darwin" | "freebsd") {
        return Err(Error::Unusable {
            path: "nats-server".into(),
            why: format!("there is no release for {system} on {machine}"),
        });
    }
    Ok(format!("nats-server-v{NATS_VERSION}-{system}-{machine}"))
}

fn open(agent: &ureq::Agent, url: &str) -> Result<impl Read + use<>> {
    let response = agent.get(url).call().map_err(|source| Error::Download {
        url: url.to_owned(),
        source: Box::new(source),
    })?;
    Ok(response.into_body().into_reader().take(ARCHIVE_BYTES_MAX))
}

/// Returns the SHA-256 of what was written.
fn save(mut body: impl Read, path: &Path) -> std::io::Result<String> {
    let mut file = File::create_new(path)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0_u8; CHUNK_BYTES];
    loop {
        let length = body.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        digest.update(&chunk[..length]);
        file.write_all(&chunk[..length])?;
    }
    file.sync_all()?;
    Ok(hex(&digest.finalize()))
}

/// Lines are `<hex>  <file name>`, the name with a `*` before it in binary mode.
fn listed_sum<'a>(sums: &'a str, name: &str) -> Option<&'a str> {
    sums.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim_start().trim_start_matches('*') == name).then_some(sum)
    })
}

#[cfg(test)]
mod tests;
