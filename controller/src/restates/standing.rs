//! What is asked of a cluster before one of its pods is replaced: every node for itself, then one of them for all.
//! Invariant: one silent node, or half an answer, is no answer.

use futures::future::{join_all, try_join_all};
use restate_client::Node;
use restate_client::node::{self, ClusterState, MetadataStatus, Mode, NodeStatus, Report, RoleStatus};
use restate_plan::cluster::{Health, Incarnation, NodeWord, Processor, Progress, Standing};

use super::Restates;

impl Restates {
    /// Whether the cluster can do without a node; these are all that it should have, by pod and address.
    pub(crate) async fn standing(&self, nodes: &[(String, String)]) -> Standing {
        match ask(nodes).await {
            Ok(health) => Standing::Known(health),
            Err(why) => Standing::Unknown { why },
        }
    }
}

async fn ask(nodes: &[(String, String)]) -> Result<Health, String> {
    let words = try_join_all(nodes.iter().map(|(pod, address)| word(pod, address))).await?;
    let configuration = first(nodes, async |node: Node| node.configuration().await).await?;
    let state = first(nodes, async |node: Node| node.cluster_state().await).await?;
    Ok(Health {
        nodes: words,
        alive: state.nodes.iter().filter_map(|node| incarnation(Some(node.id), node.generation)).collect(),
        partitions: configuration.partitions,
        replication: configuration.partition_replication,
        processors: processors(&state),
    })
}

/// The first answer of any node: only those with the admin role have one.
async fn first<T, F>(nodes: &[(String, String)], ask: impl Fn(Node) -> F) -> Result<T, String>
where
    F: Future<Output = Result<T, node::Error>>,
{
    let answer = async |address: &str| ask(Node::new(address)?).await;
    let answers = join_all(nodes.iter().map(|(_, address)| answer(address))).await;
    let mut why = "there is no node to ask".to_owned();
    for answer in answers {
        match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

async fn word(pod: &str, address: &str) -> Result<NodeWord, String> {
    let report = async { Node::new(address)?.report().await }.await.map_err(|error| error.to_string())?;
    let node = incarnation(report.node_id, report.generation);
    let node = node.ok_or_else(|| format!("{pod} does not say which node it is"))?;
    Ok(NodeWord { pod: pod.to_owned(), node, unfit: unfit(&report) })
}

fn incarnation(id: Option<u32>, generation: Option<u32>) -> Option<Incarnation> {
    Some(Incarnation { id: id?, generation: generation? })
}

/// What a node does not serve, of what it is there for.
fn unfit(report: &Report) -> Vec<String> {
    let has = |role: &str| report.roles.iter().any(|found| found == role);
    let roles = [("admin", report.admin), ("worker", report.worker), ("log-server", report.log_server)];
    let mut unfit: Vec<_> = roles
        .into_iter()
        .filter(|(role, status)| has(role) && *status != RoleStatus::Ready)
        .map(|(role, status)| format!("{role}: {status}"))
        .collect();
    let serves = matches!(report.metadata, MetadataStatus::Member | MetadataStatus::Standby);
    if has("metadata-server") && !serves {
        unfit.push(format!("metadata-server: {}", report.metadata));
    }
    if report.status != NodeStatus::Alive {
        unfit.push(report.status.to_string());
    }
    unfit
}

fn processors(state: &ClusterState) -> Vec<Processor> {
    let progress = |replica: &node::Replica| match replica.mode {
        _ if replica.broken => Progress::Broken,
        _ if replica.catching_up => Progress::CatchingUp,
        Mode::Leader | Mode::Follower if replica.active => Progress::CaughtUp,
        Mode::Leader | Mode::Follower | Mode::Unknown => Progress::Starting,
    };
    let processor = |replica: &node::Replica| Processor {
        partition: replica.partition,
        node: replica.node,
        leads: replica.mode == Mode::Leader,
        progress: progress(replica),
    };
    state.replicas.iter().map(processor).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn report() -> Report {
        Report {
            node_id: Some(1),
            generation: Some(4),
            status: NodeStatus::Alive,
            roles: ["worker", "admin", "log-server", "metadata-server", "http-ingress"]
                .map(str::to_owned)
                .to_vec(),
            admin: RoleStatus::Ready,
            worker: RoleStatus::Ready,
            log_server: RoleStatus::Ready,
            metadata: MetadataStatus::Member,
            uptime_seconds: 7,
        }
    }

    #[rstest]
    #[case::well(|_: &mut Report| (), &[])]
    #[case::starts(|report: &mut Report| report.worker = RoleStatus::StartingUp, &["worker: StartingUp"])]
    #[case::failsafe(|report: &mut Report| report.log_server = RoleStatus::Failsafe, &["log-server: Failsafe"])]
    #[case::not_said(|report: &mut Report| report.admin = RoleStatus::Unknown, &["admin: Unknown"])]
    #[case::no_such_role(
        |report: &mut Report| { report.admin = RoleStatus::Unknown; report.roles.retain(|role| role != "admin"); }, &[]
    )]
    #[case::no_vote_yet(
        |report: &mut Report| report.metadata = MetadataStatus::StartingUp, &["metadata-server: StartingUp"]
    )]
    #[case::ends(|report: &mut Report| report.status = NodeStatus::ShuttingDown, &["ShuttingDown"])]
    fn a_node_serves_what_it_is_there_for(#[case] change: fn(&mut Report), #[case] expected: &[&str]) {
        let mut report = report();
        change(&mut report);
        assert_eq!(unfit(&report), expected);
    }

    #[rstest]
    #[case::leads(Mode::Leader, false, true, false, Progress::CaughtUp)]
    #[case::behind(Mode::Follower, true, false, false, Progress::CatchingUp)]
    #[case::starts(Mode::Follower, false, false, false, Progress::Starting)]
    #[case::says_nothing(Mode::Unknown, false, true, false, Progress::Starting)]
    #[case::given_up(Mode::Follower, false, true, true, Progress::Broken)]
    fn what_a_node_does_is_read_off_its_words(
        #[case] mode: Mode,
        #[case] catching_up: bool,
        #[case] active: bool,
        #[case] broken: bool,
        #[case] expected: Progress,
    ) {
        let replica = node::Replica {
            partition: 3,
            node: 2,
            mode,
            epoch: None,
            applied: None,
            target: None,
            archived: None,
            catching_up,
            active,
            broken,
        };
        let state = ClusterState { nodes: Vec::new(), replicas: vec![replica] };
        let leads = mode == Mode::Leader;
        assert_eq!(processors(&state), [Processor { partition: 3, node: 2, leads, progress: expected }]);
    }

    #[tokio::test]
    async fn one_silent_node_is_no_answer() {
        let error = ask(&[("restate-0".to_owned(), "http://127.0.0.1:9".to_owned())]).await.unwrap_err();
        assert!(error.contains("127.0.0.1:9"), "{error}");
        assert_eq!(ask(&[]).await.unwrap_err(), "there is no node to ask");
    }
}
