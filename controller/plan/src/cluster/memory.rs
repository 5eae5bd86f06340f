//! Memory of the server: its settings from the container's limit, where the user says nothing; and whether what the
//! user says fits.

use k8s_openapi::api::core::v1::EnvVar;
use kube_quantity::ParsedQuantity;

use super::Valid;
use super::settings::{self, Setting};

/// A setting that holds memory: where it is in the configuration, its variable, and its share of the limit in
/// hundredths where we set it. Together they leave half of the limit to invocations, caches and the rest.
struct Share {
    path: &'static [&'static str],
    variable: &'static str,
    hundredths: i64,
}

const SHARES: [Share; 2] = [
    Share {
        path: &["rocksdb-total-memory-size"],
        variable: "RESTATE_ROCKSDB_TOTAL_MEMORY_SIZE",
        hundredths: 40,
    },
    Share {
        path: &["admin", "query-engine", "memory-size"],
        variable: "RESTATE_ADMIN__QUERY_ENGINE__MEMORY_SIZE",
        hundredths: 10,
    },
];

/// Below this, shares would be too small to work with: the server's own defaults stand.
const SMALLEST_LIMIT: i64 = 256 << 20;

/// Variables with the server's shares of the limit, where there is one and the user sets none.
pub(super) fn variables(valid: &Valid) -> Vec<EnvVar> {
    let Some(limit) = limit(valid).filter(|limit| *limit >= SMALLEST_LIMIT) else { return Vec::new() };
    let unset = SHARES.iter().filter(|share| said(valid, share) == Setting::Unset);
    let variable = |share: &Share| EnvVar {
        name: share.variable.to_owned(),
        value: Some((limit / 100 * share.hundredths).to_string()),
        value_from: None,
    };
    unset.map(variable).collect()
}

/// What is wrong where the user's own sizes exceed the limit.
pub(super) fn excess(valid: &Valid) -> Option<String> {
    let limit = limit(valid)?;
    let sizes = SHARES.iter().filter_map(|share| match said(valid, share) {
        Setting::Set(text) => Some((share.path.join("."), bytes(&text)?)),
        Setting::Unset | Setting::Unreadable => None,
    });
    let sizes: Vec<_> = sizes.collect();
    let sum = sizes.iter().fold(0_i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let names: Vec<_> = sizes.iter().map(|(name, bytes)| format!("{name} = {bytes}")).collect();
    (sum > limit).then(|| {
        format!("{} is more than spec.compute.resources.limits.memory, {limit} bytes", names.join(" + "))
    })
}

fn limit(valid: &Valid) -> Option<i64> {
    let limit = valid.compute.resources.as_ref()?.limits.as_ref()?.get("memory")?;
    ParsedQuantity::try_from(limit).ok()?.to_bytes_i64()
}

fn said(valid: &Valid, share: &Share) -> Setting<String> {
    settings::text(
        &valid.settings,
        valid.compute.env.as_deref().unwrap_or_default(),
        share.path,
        share.variable,
    )
}

/// `128 MiB`, `2GB`, `1024`: Kubernetes' quantities but for the space and the B.
fn bytes(text: &str) -> Option<i64> {
    let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let quantity = text.strip_suffix(['B', 'b']).unwrap_or(&text);
    ParsedQuantity::try_from(quantity).ok()?.to_bytes_i64()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("128 MiB", Some(134_217_728))]
    #[case("2GB", Some(2_000_000_000))]
    #[case("64.0 MiB", Some(67_108_864))]
    #[case("1024", Some(1024))]
    #[case("1024B", Some(1024))]
    #[case("much", None)]
    fn sizes_are_read_as_the_server_reads_them(#[case] text: &str, #[case] expected: Option<i64>) {
        assert_eq!(bytes(text), expected);
    }
}
