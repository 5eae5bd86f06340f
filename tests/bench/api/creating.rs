//! Creates: what is asked of a Restate by `kubectl create`, beside an object that is stored.

use restate_tests::Result;
use serde_json::{Value, json};

use super::{
    NAMESPACE, Scene, crd,
    figures::{Samples, milliseconds, ratio, table},
    limit,
};

/// Creates are quick: more of them make a steadier figure.
const REPEATS: usize = 10;

/// One of each in turn; ours is a dry run of a provisioning that is refused or done already at the last moment, so
/// that nothing changes.
pub(super) async fn measure(scene: &Scene<'_>, rounds: usize) -> Result<String> {
    let (mut stored, mut sent) = (Samples::default(), Samples::default());
    let model =
        scene.asker.get(&scene.contenders[0].path, super::ask::JSON).await?.json()?["items"][0].take();
    for round in 0..rounds * REPEATS {
        let mut copy = crd::copy(&model);
        copy["metadata"]["name"] = format!("created-{round}").into();
        let answer = post(scene, crd::GROUP, crd::PLURAL, &copy).await?;
        stored.add(answer.0, answer.1);
        let answer = post(scene, limit::GROUP, limit::PLURAL, &json!({"kind": "Thing"})).await?;
        sent.add(answer.0, answer.1);
    }
    let limit = sent.quantile(0.5);
    let row = |name: &str, samples: &Samples| {
        let half = samples.quantile(0.5);
        let most = milliseconds(samples.quantile(0.9));
        vec![name.to_owned(), milliseconds(half), most, ratio(half, limit)]
    };
    let head = ["create", "p50 ms", "p90 ms", "÷ limit"].map(str::to_owned).to_vec();
    Ok(table(&[head, row("CRD", &stored), row("limit", &sent)]))
}

async fn post(
    scene: &Scene<'_>,
    group: &str,
    plural: &str,
    object: &Value,
) -> Result<(std::time::Duration, usize)> {
    let path = format!("/apis/{group}/v1/namespaces/{NAMESPACE}/{plural}");
    let answer = scene.asker.post(&path, object).await?;
    Ok((answer.took, answer.body.len()))
}
