//! Which process a number means. A process id alone is reused; together with the boot and the moment of its start
//! it names one process for ever. No signal is sent by number: a descriptor of the process is opened first, then
//! its identity is compared, then the signal goes to the descriptor. The descriptor also says when the last thread
//! has ended: the state in `/proc` says so of the first one only, while others may still hold a port.

use std::{os::fd::OwnedFd, path::PathBuf, time::Duration};

use procfs::{process::Process, sys::kernel::random::boot_id};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// One process, for ever.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Identity {
    /// The process id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// The boot in which it started.
    pub boot: String,
}

/// How often a process is looked at that was asked to end.
const LOOK: Duration = Duration::from_millis(50);

impl Identity {
    /// The process that has this id now; none if there is none or it has ended.
    pub fn of(pid: i32) -> Option<Self> {
        Self::opened(pid).map(|(identity, _)| identity)
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id().try_into().ok()?)
    }

    /// Is it still this process, and running?
    pub fn is_running(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Sends a signal to this process and no other; false if it has ended.
    pub fn signal(&self, signal: Signal) -> bool {
        let opened = Self::opened(self.pid).filter(|(found, _)| found == self);
        opened.is_some_and(|(_, descriptor)| pidfd_send_signal(descriptor, signal).is_ok())
    }

    /// Waits until it has ended; false if it has not within the time.
    pub async fn ends_within(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() >= until {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Asks it to end, and makes it end when it has not within the time.
    pub async fn end(&self, patience: Duration) {
        self.signal(Signal::TERM);
        if !self.ends_within(patience).await {
            self.signal(Signal::KILL);
            self.ends_within(Duration::from_secs(5)).await;
        }
    }

    /// The running process that has this id, and a descriptor of the very same.
    fn opened(pid: i32) -> Option<(Self, OwnedFd)> {
        let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        let started = Process::new(pid).ok()?.stat().ok()?.starttime;
        let boot = boot_id().ok()?;
        // Asked last: a process that runs now is the one whose start was just read.
        let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
        let has_ended = poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok()? > 0;
        (!has_ended).then_some((Self { pid, started, boot }, descriptor))
    }
}

/// Every running process with its program and command line.
pub fn all_running() -> Vec<(Identity, PathBuf, Vec<String>)> {
    let processes = procfs::process::all_processes().into_iter().flatten().flatten();
    let described = processes.filter_map(|process| {
        let program = process.exe().ok()?;
        Some((Identity::of(process.pid)?, program, process.cmdline().ok()?))
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn this_process_runs() {
        assert!(Identity::own().is_some_and(|own| own.is_running()));
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let own = Identity::own().expect("this process runs");
        let earlier = Identity { started: own.started - 1, ..own.clone() };
        let before_boot = Identity { boot: "another".to_owned(), ..own };
        for other in [earlier, before_boot] {
            assert!(!other.is_running());
            assert!(!other.signal(Signal::TERM), "a signal would have ended this test");
        }
    }

    #[tokio::test]
    async fn a_deaf_process_is_made_to_end() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; sleep 30 & wait; wait"])
            .spawn()
            .expect("sh starts");
        let identity = Identity::of(child.id().cast_signed()).expect("it runs");
        sleep(Duration::from_millis(200)).await;
        identity.end(Duration::from_millis(200)).await;
        assert!(!identity.is_running(), "a zombie does not count as running");
        child.wait().expect("it can be waited for");
    }
}
