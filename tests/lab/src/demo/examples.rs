//! The example objects of `examples/`, as users apply them, but with the lab's images.

use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use crate::{Result, images::workspace, node::Node};

/// Which images stand in for the ones that an example names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image<'a> {
    pub(super) name: &'a str,
    pub(super) pull: &'a str,
}

/// The namespace of the service.
pub(super) fn namespace() -> Result<Value> {
    read("namespace.yaml")
}

/// Restate.
pub(super) fn cluster(image: Image<'_>) -> Result<Value> {
    let mut cluster = read("restate-cluster.yaml")?;
    let compute = cluster.pointer_mut("/spec/compute").context("the example has no spec.compute")?;
    compute["image"] = image.name.into();
    compute["imagePullPolicy"] = image.pull.into();
    Ok(cluster)
}

/// The service, in the version of the image.
pub(super) fn greeter(image: Image<'_>) -> Result<Value> {
    let mut greeter = read("greeter.yaml")?;
    let container =
        greeter.pointer_mut("/spec/template/spec/containers/0").context("the example has no container")?;
    container["image"] = image.name.into();
    container["imagePullPolicy"] = image.pull.into();
    Ok(greeter)
}

/// `kubectl apply`, as a user would.
pub(super) async fn apply(node: &Node, object: &Value) -> Result<()> {
    Ok(node.kubectl(["apply", "-f", "-"]).input(object.to_string()).run().await?)
}

fn read(file: &str) -> Result<Value> {
    let path = workspace().join("examples").join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("failed to parse {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: Image<'static> = Image { name: "localhost/x:1", pull: "Never" };

    #[test]
    fn the_examples_fit_together() {
        let (namespace, cluster, greeter) =
            (namespace().unwrap(), cluster(IMAGE).unwrap(), greeter(IMAGE).unwrap());
        let name = cluster["metadata"]["name"].as_str().unwrap();
        assert_eq!(greeter["spec"]["restate"]["register"]["cluster"], name);
        assert_eq!(greeter["metadata"]["namespace"], namespace["metadata"]["name"]);
        let labels = &greeter["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels[format!("allow.restate.dev/{name}")], "true");
    }

    #[test]
    fn images_and_nothing_else_are_replaced() {
        let greeter = greeter(IMAGE).unwrap();
        let mut container = greeter["spec"]["template"]["spec"]["containers"][0].clone();
        assert_eq!(
            (&container["image"], &container["imagePullPolicy"]),
            (&"localhost/x:1".into(), &"Never".into())
        );
        container["image"] = "restate-operator/greeter:v1".into();
        container.as_object_mut().unwrap().remove("imagePullPolicy");
        assert_eq!(container, read("greeter.yaml").unwrap()["spec"]["template"]["spec"]["containers"][0]);
    }
}
