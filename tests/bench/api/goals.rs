//! What the figures are held against, as docs/benchmarks.md says it.

use std::time::Duration;

use super::{
    figures::table,
    process::as_float,
    reading::{LIMIT, Question, Readings},
};

pub(super) const OURS: &str = "this API";
/// What a row of the larger list may cost beside one of the smaller: the same, and what a busy machine does to it.
const ROW: f64 = 1.1;
const AT_REST: f64 = 20.0;
const LOADED: f64 = 150.0;
/// What the loaded goal is about.
const LOAD: (usize, usize) = (10_000, 1000);
/// Questions in a minute: the poller's shortest interval is a second, and one may fall on each end.
const QUESTIONS: usize = 61;

/// One figure beside its goal.
struct Held {
    what: String,
    figure: f64,
    goal: f64,
}

/// Readings by size, memory and questions, as far as they were taken.
#[derive(Default)]
pub(super) struct Scores {
    held: Vec<Held>,
    sizes: Vec<(usize, Readings)>,
}

impl Scores {
    /// The reads at one size: beside the limit, and by row beside the smallest size.
    pub(super) fn reads(&mut self, size: usize, readings: Readings) {
        for question in Question::ALL {
            let goal = if question == Question::Get { 1.3 } else { 1.25 };
            if let Some(figure) = quotient(half(&readings, question, OURS), half(&readings, question, LIMIT))
            {
                self.held.push(Held {
                    what: format!("{size} objects: {}, ÷ limit", question.name()),
                    figure,
                    goal,
                });
            }
        }
        self.sizes.push((size, readings));
    }

    pub(super) fn at_rest(&mut self, megabytes: f64) {
        self.held.push(Held {
            what: "memory at rest, resident MB".to_owned(),
            figure: megabytes,
            goal: AT_REST,
        });
    }

    /// A smaller load says nothing about the goal.
    pub(super) fn loaded(&mut self, versions: usize, watches: usize, megabytes: f64) {
        if versions >= LOAD.0 && watches >= LOAD.1 {
            let what = format!("memory with {versions} versions and {watches} watches, resident MB");
            self.held.push(Held { what, figure: megabytes, goal: LOADED });
        }
    }

    pub(super) fn questions(&mut self, count: usize) {
        let (figure, goal) = (as_float(count as u64), as_float(QUESTIONS as u64));
        self.held.push(Held { what: "usage queries in a minute".to_owned(), figure, goal });
    }

    /// What a row costs at the largest size beside the smallest, for each server.
    pub(super) fn rows(&self) -> Option<String> {
        let [(few, small), .., (many, large)] = self.sizes.as_slice() else { return None };
        let head =
            ["cost of a row".to_owned(), "server".to_owned(), format!("{many} ÷ {few}"), "goal".to_owned()];
        let mut rows = vec![head.to_vec()];
        for ((question, server), _) in large.iter().filter(|((question, _), _)| *question != Question::Get) {
            let of_each = |readings, size| per_row(half(readings, *question, server), size);
            let Some(figure) = quotient(of_each(large, *many), of_each(small, *few)) else { continue };
            let verdict = if *server == OURS { verdict(figure, ROW) } else { "–".to_owned() };
            rows.push(vec![
                question.name().to_owned(),
                (*server).to_owned(),
                format!("{figure:.2}"),
                verdict,
            ]);
        }
        Some(table(&rows))
    }

    /// Every figure that there is a goal for.
    pub(super) fn verdicts(&self) -> String {
        let head = ["figure", "measured", "goal"].map(str::to_owned).to_vec();
        let row = |held: &Held| {
            vec![held.what.clone(), format!("{:.2}", held.figure), verdict(held.figure, held.goal)]
        };
        table(&std::iter::once(head).chain(self.held.iter().map(row)).collect::<Vec<_>>())
    }
}

fn half(readings: &Readings, question: Question, server: &'static str) -> Duration {
    readings.get(&(question, server)).map(|samples| samples.quantile(0.5)).unwrap_or_default()
}

fn per_row(time: Duration, rows: usize) -> Duration {
    u32::try_from(rows).ok().and_then(|rows| time.checked_div(rows)).unwrap_or_default()
}

/// Nothing where one of them was not measured.
fn quotient(one: Duration, other: Duration) -> Option<f64> {
    (!one.is_zero() && !other.is_zero()).then(|| one.as_secs_f64() / other.as_secs_f64())
}

fn verdict(figure: f64, goal: f64) -> String {
    let word = if figure <= goal { "met" } else { "not met" };
    format!("≤ {goal}: {word}")
}
