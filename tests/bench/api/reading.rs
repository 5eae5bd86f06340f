//! Reads of the same objects from several servers, one after the other in each round, so that what else the machine
//! does falls upon all of them.

use std::collections::BTreeMap;

use restate_tests::Result;

use super::{
    ask::{Asker, JSON, TABLE},
    figures::{Samples, milliseconds, ratio},
};

/// One server of the comparison.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    /// The path of its collection.
    pub(super) path: String,
}

/// The one that all others are measured by.
pub(super) const LIMIT: &str = "limit";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    List,
    Table,
    Get,
}

impl Question {
    pub(super) const ALL: [Self; 3] = [Self::List, Self::Table, Self::Get];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List => "list, JSON",
            Self::Table => "list, Table",
            Self::Get => "get one",
        }
    }

    /// One object is quickly got: more of them make a steadier figure.
    fn repeats(self) -> usize {
        match self {
            Self::List | Self::Table => 1,
            Self::Get => 10,
        }
    }
}

/// Samples by question and server.
pub(super) type Readings = BTreeMap<(Question, &'static str), Samples>;

/// Asks everybody everything, `rounds` times after one that does not count.
pub(super) async fn read(
    asker: &Asker,
    contenders: &[Contender],
    name: &str,
    rounds: usize,
) -> Result<Readings> {
    let mut readings = Readings::new();
    for round in 0..=rounds {
        for question in Question::ALL {
            for contender in contenders {
                for _ in 0..question.repeats() {
                    let answer = ask(asker, question, contender, name).await?;
                    if round > 0 {
                        let samples = readings.entry((question, contender.name)).or_default();
                        samples.add(answer.took, answer.body.len());
                    }
                }
            }
        }
    }
    Ok(readings)
}

async fn ask(
    asker: &Asker,
    question: Question,
    contender: &Contender,
    name: &str,
) -> Result<super::ask::Answer> {
    let path = &contender.path;
    match question {
        Question::List => asker.get(path, JSON).await,
        Question::Table => asker.get(path, TABLE).await,
        Question::Get => asker.get(&format!("{path}/{name}"), JSON).await,
    }
}

/// Rows for people: one for each question and server.
pub(super) fn rows(readings: &Readings, objects: usize) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for ((question, server), samples) in readings {
        let limit =
            readings.get(&(*question, LIMIT)).map(|samples| samples.quantile(0.5)).unwrap_or_default();
        let (half, most) = (samples.quantile(0.5), samples.quantile(0.9));
        rows.push(vec![
            objects.to_string(),
            question.name().to_owned(),
            (*server).to_owned(),
            kilobytes(samples.bytes()),
            milliseconds(half),
            milliseconds(most),
            ratio(half, limit),
        ]);
    }
    rows
}

fn kilobytes(bytes: usize) -> String {
    format!("{:.1}", super::process::as_float(bytes as u64) / 1000.0)
}
