//! CPU time and memory of processes, from `/proc` (proc(5)).
//!
//! Invariant: what cannot be read is missing, never zero.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Clock ticks a second in `/proc/<pid>/stat`: `USER_HZ`, 100 on every architecture that Linux shows to programs.
const TICKS_PER_SECOND: u64 = 100;
/// Reading the pages of every Postgres process costs milliseconds.
const PSS_EVERY_SAMPLES: u64 = 5;

/// The processes of a running system, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Pids {
    /// Name, process, and whether its descendants belong to it.
    pub(super) processes: Vec<(&'static str, u32, Tree)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tree {
    Alone,
    WithDescendants,
}

/// CPU time that the calling thread took so far.
pub(super) fn thread_cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ')
        .next()?
        .parse()
        .ok()
        .map(Duration::from_nanos)
}

/// Watches processes over a run, also those that are started again in it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Ticks at the first and at the last look.
    ticks: BTreeMap<(&'static str, u32), (u64, u64)>,
    memory: BTreeMap<&'static str, u64>,
    samples: u64,
}

impl Watch {
    /// Looks at the processes once; one that was not there before counts from its start.
    pub(super) fn sample(&mut self, pids: &Pids) {
        for (name, pid, tree) in &pids.processes {
            if self.samples == 0 && *tree == Tree::Alone {
                forget_peak(*pid);
            }
            if let Some(now) = ticks(*pid, *tree) {
                let before = if self.samples == 0 { now } else { 0 };
                let seen = self.ticks.entry((name, *pid)).or_insert((before, now));
                seen.1 = now;
            }
            let memory = match tree {
                Tree::Alone => peak_memory(*pid),
                Tree::WithDescendants if self.samples.is_multiple_of(PSS_EVERY_SAMPLES) => {
                    shared_memory(*pid)
                }
                Tree::WithDescendants => None,
            };
            if let Some(memory) = memory {
                let peak = self.memory.entry(name).or_default();
                *peak = memory.max(*peak);
            }
        }
        self.samples += 1;
    }

    /// CPU time between the first and the last look, all processes of a name together.
    pub(super) fn cpu(&self) -> BTreeMap<&'static str, Duration> {
        let mut times = BTreeMap::new();
        for ((name, _), (before, after)) in &self.ticks {
            let ticks = after.saturating_sub(*before);
            *times.entry(*name).or_insert(Duration::ZERO) +=
                Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        }
        times
    }

    /// Most bytes of any one process of a name; of a process with descendants, of all of them together.
    pub(super) fn peak_memory(&self) -> &BTreeMap<&'static str, u64> {
        &self.memory
    }
}

/// The time of children that ended is in that of their parent, once it has waited for them.
fn ticks(pid: u32, tree: Tree) -> Option<u64> {
    let own = stat(pid)?;
    Some(match tree {
        Tree::Alone => own.ticks,
        Tree::WithDescendants => descendants(pid)
            .iter()
            .filter_map(|pid| stat(*pid))
            .map(|stat| stat.ticks + stat.ended_children_ticks)
            .sum(),
    })
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    ticks: u64,
    ended_children_ticks: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The program's name stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

/// `root` and every process below it.
fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        found.extend(children.map(|(pid, _)| *pid));
        looked_at += 1;
    }
    found
}

/// Lets the peak begin anew, so that it is that of the run (proc(5), `clear_refs`). Where that is not allowed it
/// stays the peak since the process started, which is no less.
fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
}

/// `VmHWM`: the most memory that the process had resident.
fn peak_memory(pid: u32) -> Option<u64> {
    kilobytes(Path::new(&format!("/proc/{pid}/status")), "VmHWM:")
}

/// Each shared page counted once: the sum of proportional set sizes.
fn shared_memory(root: u32) -> Option<u64> {
    let sizes: Vec<u64> = descendants(root)
        .iter()
        .filter_map(|pid| kilobytes(Path::new(&format!("/proc/{pid}/smaps_rollup")), "Pss:"))
        .collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// Bytes behind `name` in a file of lines `name: N kB`.
pub(super) fn kilobytes(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_that_may_hold_anything() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194304 10 20 0 0 111 22 33 4 20 0 1 0 100 1000 10";
        let expected = Stat {
            parent: 7,
            ticks: 133,
            ended_children_ticks: 37,
        };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pids = Pids {
            processes: vec![
                ("self", std::process::id(), Tree::Alone),
                ("tree", std::process::id(), Tree::WithDescendants),
                ("gone", u32::MAX, Tree::Alone),
            ],
        };
        let mut watch = Watch::default();
        watch.sample(&pids);
        watch.sample(&pids);
        assert_eq!(
            watch.cpu().keys().copied().collect::<Vec<_>>(),
            ["self", "tree"]
        );
        assert!(watch.peak_memory()["self"] > 1 << 20 && watch.peak_memory()["tree"] > 1 << 20);
        assert!(thread_cpu_time().is_some());
    }
}
