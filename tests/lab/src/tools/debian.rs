//! What the node needs of the machine: programs that come with the distribution. Missing ones are installed where
//! this is Debian and the user is root, else named exactly.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{Context, Result, process::Invocation};

/// A package and how to see that it is there.
struct Requirement {
    package: &'static str,
    program: &'static str,
}

/// runc is the distribution's because one built from its module lacks libseccomp and refuses pods with a seccomp
/// profile.
const REQUIREMENTS: [Requirement; 7] = [
    Requirement { package: "runc", program: "runc" },
    Requirement { package: "containernetworking-plugins", program: "bridge" },
    Requirement { package: "iptables", program: "iptables" },
    Requirement { package: "conntrack", program: "conntrack" },
    Requirement { package: "busybox-static", program: "busybox" },
    Requirement { package: "iproute2", program: "ip" },
    Requirement { package: "mount", program: "mount" },
];

/// Browsers without a window. The first is what Debian has; a hundred megabytes, so only for the tests that look at a
/// page.
const BROWSERS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// Where the distributions put the network plugins.
const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

/// Where programs of the administrator are, whatever the user's `PATH` says.
pub const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Installs what is missing, or names it.
pub async fn ensure(context: &Context) -> Result<()> {
    let missing = missing();
    if missing.is_empty() { Ok(()) } else { ensure_packages(context, &missing).await }
}

/// A browser, installed if there is none.
pub async fn ensure_browser(context: &Context) -> Result<PathBuf> {
    let found = || BROWSERS.into_iter().find_map(find);
    if let Some(browser) = found() {
        return Ok(browser);
    }
    ensure_packages(context, &BROWSERS[..1]).await?;
    found().context("the browser that was installed is not there")
}

async fn ensure_packages(context: &Context, missing: &[&str]) -> Result<()> {
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        bail!("this machine lacks {0}. Install: apt-get install {0}", missing.join(" "));
    }
    let step = context.progress.step("installing packages");
    step.now(missing.join(" "));
    if install(context, missing).await.is_err() {
        apt(context, &["update"]).await?;
        install(context, missing).await?;
    }
    step.done(missing.join(" "));
    Ok(())
}

/// The directory with the network plugins.
pub fn plugin_directory() -> Option<PathBuf> {
    PLUGIN_DIRECTORIES.map(PathBuf::from).into_iter().find(|path| path.join("bridge").is_file())
}

/// A program of the system.
pub fn find(program: &str) -> Option<PathBuf> {
    let own = env::var("PATH").unwrap_or_default();
    let places = SYSTEM_PATH.split(':').chain(own.split(':'));
    places.map(|place| Path::new(place).join(program)).find(|path| path.is_file())
}

fn missing() -> Vec<&'static str> {
    let is_there = |requirement: &Requirement| match requirement.program {
        "bridge" => plugin_directory().is_some(),
        program => find(program).is_some(),
    };
    REQUIREMENTS
        .iter()
        .filter(|requirement| !is_there(requirement))
        .map(|requirement| requirement.package)
        .collect()
}

async fn install(context: &Context, packages: &[&str]) -> Result<()> {
    let arguments = [&["install", "-y", "--no-install-recommends"], packages].concat();
    apt(context, &arguments).await
}

async fn apt(context: &Context, arguments: &[&str]) -> Result<()> {
    let what = format!("apt-get {}", arguments.join(" "));
    let log = context.cache.logs().join("apt.log");
    let apt = Invocation::new(what, "apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    Ok(apt.log(log).run().await?)
}
