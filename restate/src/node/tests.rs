//! Membership by every sign, and failures by what they mean. The calls themselves run against a real server
//! (`tests/real`).

use prost::Message;
use rstest::rstest;
use tokio::net::TcpListener;

use super::*;

fn ident(metadata: i32, node_id: Option<u32>, version: u32) -> Ident {
    // As bytes, so that the field numbers are under test too: 2.1 id, 9 metadata status, 10 version.
    let mut bytes = vec![9 << 3, u8::try_from(metadata).unwrap(), 10 << 3, u8::try_from(version).unwrap()];
    if let Some(id) = node_id {
        bytes.extend([(2 << 3) | 2, 2, 1 << 3, u8::try_from(id).unwrap()]);
    }
    wire::Ident::decode(bytes.as_slice()).unwrap().into_model()
}

#[rstest]
#[case::waits(ident(2, None, 0), Membership::None)]
#[case::member(ident(3, Some(1), 1), Membership::Member)]
#[case::member_says_nothing_else(ident(3, None, 0), Membership::Member)]
#[case::standby(ident(4, None, 0), Membership::Member)]
#[case::waits_with_an_id(ident(2, Some(1), 0), Membership::Member)]
#[case::waits_with_a_configuration(ident(2, None, 3), Membership::Member)]
#[case::starting(ident(1, None, 0), Membership::Unclear)]
#[case::says_nothing(ident(0, None, 0), Membership::Unclear)]
#[case::a_newer_state(ident(9, None, 0), Membership::Unclear)]
fn any_sign_of_a_cluster_counts(#[case] ident: Ident, #[case] expected: Membership) {
    assert_eq!(ident.membership(), expected);
}

#[test]
fn a_wish_to_provision_has_the_field_numbers_of_the_service() {
    let wish = Provision {
        dry_run: true,
        partitions: Some(4),
        log_replication: Some("2".into()),
        ..Provision::default()
    };
    let bytes = wire::Provision::of(&wish).encode_to_vec();
    assert_eq!(bytes, [8, 1, 16, 4, (5 << 3) | 2, 3, 10, 1, b'2']);
}

#[tokio::test]
async fn a_silent_node_is_an_error_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let node = Node::new(&address).unwrap();
    let deadline = Duration::from_millis(200);
    let error = node.call::<_, wire::Ident>(IDENT, wire::Empty {}, deadline).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    drop((listener, node));
    let error = Node::new(&address).unwrap().ident().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn what_is_no_address_is_said_so() {
    assert!(matches!(Node::new("not an address"), Err(Error::Address { .. })));
}

/// What is changed is written as it is read: nothing of a cluster's configuration is lost on the way.
#[test]
fn a_configuration_is_written_as_it_is_read() {
    let configuration = Configuration {
        partitions: 24,
        partition_replication: Some("{node: 2}".to_owned()),
        log_provider: "replicated".to_owned(),
        log_replication: Some("{zone: 2}".to_owned()),
        target_nodeset_size: 5,
    };
    let bytes =
        wire::Configured { configuration: Some(wire::Configuration::of(&configuration)) }.encode_to_vec();
    let read = wire::Configured::decode(bytes.as_slice()).unwrap().configuration.unwrap();
    assert_eq!(read.into_model(), configuration);
}
