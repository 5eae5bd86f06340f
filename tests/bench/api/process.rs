//! What a program of this machine costs: memory now and at most, processor time.

use anyhow::Context as _;
use procfs::process::Process;
use restate_tests::Result;

/// The name that the kernel keeps is cut at this length.
const SHORT_NAME: usize = 15;

/// One reading of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Megabytes in memory, those of the program's file included.
    pub(super) resident: f64,
    /// The most that it ever was.
    pub(super) peak: f64,
    /// Megabytes of its own: not of the file.
    pub(super) own: f64,
    /// Seconds of processor time since its start.
    pub(super) cpu: f64,
}

/// The process of this name that costs most: a lab may run several replicas.
pub(super) fn cost(name: &str) -> Result<Cost> {
    let short = &name[..name.len().min(SHORT_NAME)];
    let all = procfs::process::all_processes()?.flatten();
    let named = all.filter(|process| process.stat().is_ok_and(|stat| stat.comm == short));
    let costs = named.filter_map(|process| of(&process).ok());
    costs
        .max_by(|one, other| one.resident.total_cmp(&other.resident))
        .with_context(|| format!("no process is called {name}"))
}

fn of(process: &Process) -> Result<Cost> {
    let (status, stat) = (process.status()?, process.stat()?);
    let megabytes = |kilobytes: Option<u64>| as_float(kilobytes.unwrap_or(0)) * 1024.0 / 1e6;
    Ok(Cost {
        resident: megabytes(status.vmrss),
        peak: megabytes(status.vmhwm),
        own: megabytes(status.rssanon),
        cpu: as_float(stat.utime + stat.stime) / as_float(procfs::ticks_per_second()),
    })
}

#[expect(clippy::cast_precision_loss, reason = "figures are shown with three digits")]
pub(super) fn as_float(count: u64) -> f64 {
    count as f64
}
