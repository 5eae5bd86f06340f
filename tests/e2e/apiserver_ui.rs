//! Restate's own web UI in a real browser, through `kubectl restate ui` and everything behind it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use restate_tests::lab::Image;
use restate_tests::{Lab, Namespace, Restate, Result, Service, eventually};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// A page without anything on it is a tenth of this.
const A_PICTURE: u64 = 30_000;

/// A browser that hangs is a look in vain.
const ONE_LOOK: Duration = Duration::from_secs(45);

/// On a machine that builds at the same time, a page takes its time.
const THE_PAGE: Duration = Duration::from_mins(3);

/// `kubectl restate ui`, as long as it is looked at.
struct Ui {
    url: String,
    _program: Child,
}

impl Ui {
    async fn open(lab: &Lab, cluster: &str, arguments: &[&str]) -> Result<Self> {
        let mut program = lab.program("KUBECTL_RESTATE")?;
        program.args(["ui", cluster]).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = program.spawn().context("kubectl-restate cannot be started")?;
        let output = program.stdout.take().context("no output")?;
        let first = BufReader::new(output).lines().next_line().await?;
        let Some(line) = first else {
            let mut words = String::new();
            program.stderr.take().context("no words")?.read_to_string(&mut words).await?;
            anyhow::bail!("{words}");
        };
        let url = line.rsplit(' ').next().unwrap_or_default().to_owned();
        ensure!(url.starts_with("http://127.0.0.1:") && url.ends_with("/ui/"), "{line}");
        Ok(Self { url, _program: program })
    }
}

/// A browser without a window; as root it has no sandbox of its own, and the page is ours.
fn browser(lab: &Lab, profile: &Path) -> Result<Command> {
    let mut browser = lab.program("BROWSER")?;
    browser
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--virtual-time-budget=20000", "--window-size=1400,2000"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .stderr(Stdio::null());
    Ok(browser)
}

/// P8, C13: assets, API calls and queries of the web UI all arrive; it lists the services that are there.
#[tokio::test]
#[ignore = "a browser and its download: --all"]
async fn the_web_ui_works_in_a_real_browser() -> Result {
    let lab = Lab::of_this_run()?;
    let (restate, namespace) = (Restate::shared(&lab).await?, Namespace::new(&lab, "web-ui").await?);
    let service = Service::new(&lab, &namespace, &restate);
    service.roll_out(Image::GreeterV1).await?;
    let ui = Ui::open(&lab, restate.name(), &[]).await?;
    let folder = tempfile::tempdir()?;
    let picture = folder.path().join("picture.png");
    eventually("the list of services", THE_PAGE, || async {
        let shown = browser(&lab, folder.path())?.args(["--dump-dom", &ui.url]).output();
        let shown = tokio::time::timeout(ONE_LOOK, shown).await??;
        let page = String::from_utf8_lossy(&shown.stdout).into_owned();
        let lists = page.contains(&format!(">{}<", service.name())) && page.contains(&service.counter());
        let beginning = page.chars().take(300).collect::<String>();
        Ok(if lists { Ok(()) } else { Err(format!("{} bytes: {beginning}", page.len())) })
    })
    .await?;
    let argument = format!("--screenshot={}", picture.display());
    let pictured = browser(&lab, folder.path())?.args([&argument, &ui.url]).output();
    tokio::time::timeout(ONE_LOOK, pictured).await??;
    let size = std::fs::metadata(&picture).context("no picture")?.len();
    ensure!(size > A_PICTURE, "the picture has {size} bytes: nothing is on it");
    Ok(())
}

/// Whoever may not use the proxy is told so by the command, and nothing is opened.
#[tokio::test]
async fn whoever_has_no_rights_is_told_before_anything_is_opened() -> Result {
    let lab = Lab::of_this_run()?;
    let restate = Restate::shared(&lab).await?;
    let refused = Ui::open(&lab, restate.name(), &["--as", "nobody-in-particular"]).await;
    let words = refused.err().context("it was opened")?.to_string();
    ensure!(words.contains("cannot get resource \"restateclusters/proxy\""), "{words}");
    Ok(())
}
