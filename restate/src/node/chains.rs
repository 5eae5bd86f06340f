//! The logs of a cluster, from its own metadata: how each is written now. Encoded as [`super::listed`] says; what each
//! segment is made of stands in it as JSON. Invariant: what cannot be read is an error. (Seen on 1.7.12.)

use std::collections::BTreeMap;

use serde::Deserialize;

use super::listed::{Error, content};

/// The logs among the kinds of metadata.
pub(super) const KIND: i32 = 4;

/// A log, as far as its newest segment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its number.
    pub id: u32,
    /// How many segments it has; the older ones go when they are trimmed.
    pub segments: usize,
    /// Where the newest segment lives, as Restate spells it.
    pub provider: String,
    /// How the newest segment is replicated, as `{zone: 2}`; none where its provider does not.
    pub replication: Option<String>,
}

#[derive(Deserialize)]
struct Logs {
    logs: Vec<(u32, Segments)>,
}

#[derive(Deserialize)]
struct Segments {
    chain: Vec<(u64, Segment)>,
}

#[derive(Deserialize)]
struct Segment {
    kind: String,
    params: String,
}

#[derive(Deserialize)]
struct Replicated {
    replication: BTreeMap<String, u8>,
}

pub(super) fn read(encoded: &[u8]) -> Result<Vec<Chain>, Error> {
    let Logs { logs } = content(encoded)?;
    let mut chains = logs.into_iter().map(|(id, log)| chain(id, log)).collect::<Result<Vec<_>, _>>()?;
    chains.sort_by_key(|chain| chain.id);
    Ok(chains)
}

fn chain(id: u32, Segments { chain }: Segments) -> Result<Chain, Error> {
    let segments = chain.len();
    let (_, newest) = chain.into_iter().max_by_key(|(from, _)| *from).ok_or(Error::Empty { log: id })?;
    let replication = match newest.kind.as_str() {
        "replicated" => Some(replication(&newest.params)?),
        _ => None,
    };
    Ok(Chain { id, segments, provider: newest.kind, replication })
}

fn replication(params: &str) -> Result<String, Error> {
    let Replicated { replication } =
        serde_json::from_str(params).map_err(|source| Error::Segment { source })?;
    let pairs: Vec<_> = replication.iter().map(|(scope, copies)| format!("{scope}: {copies}")).collect();
    Ok(format!("{{{}}}", pairs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four logs of 1.7.12, a moment after their replication became three.
    const FOUR: &[u8] = include_bytes!("testdata/logs-1.7.12.bin");

    #[test]
    fn each_log_tells_how_it_is_written_now() {
        let chains = read(FOUR).unwrap();
        let seen: Vec<_> =
            chains.iter().map(|chain| (chain.id, chain.segments, chain.replication.as_deref())).collect();
        let [two, three] = [Some("{zone: 2}"), Some("{node: 3}")];
        assert_eq!(seen, [(0, 2, two), (1, 2, two), (2, 3, three), (3, 2, two)]);
        assert!(chains.iter().all(|chain| chain.provider == "replicated"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(read(&[]).is_err());
        assert!(read(&FOUR[..200]).is_err(), "cut off");
        assert!(replication("{}").is_err(), "no replication");
        assert!(matches!(chain(1, Segments { chain: Vec::new() }), Err(Error::Empty { log: 1 })));
    }
}
