//! What the server will read from its configuration file and environment, as far as our decisions depend on it.
//! The environment beats the file; a value that comes from elsewhere (`valueFrom`) is unknown.

use k8s_openapi::api::core::v1::EnvVar;
use toml::{Table, Value};

/// A setting as the server will see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting<T> {
    /// Neither file nor environment say anything.
    Unset,
    /// Set to this.
    Set(T),
    /// Set to something that cannot be read here.
    Unreadable,
}

/// A setting that is text, by its path in the configuration and its variable.
pub(super) fn text(config: &Table, env: &[EnvVar], path: &[&str], variable: &str) -> Setting<String> {
    match from_env(env, variable) {
        Setting::Set(text) => return Setting::Set(text.to_owned()),
        Setting::Unreadable => return Setting::Unreadable,
        Setting::Unset => {}
    }
    let Some((last, tables)) = path.split_last() else { return Setting::Unset };
    let table = tables.iter().try_fold(config, |table, name| table.get(*name)?.as_table());
    match table.and_then(|table| table.get(*last)) {
        None => Setting::Unset,
        Some(Value::String(text)) => Setting::Set(text.clone()),
        Some(Value::Integer(number)) => Setting::Set(number.to_string()),
        Some(_) => Setting::Unreadable,
    }
}

/// The server's own `auto-provision`.
pub(super) fn auto_provision(config: &Table, env: &[EnvVar]) -> Setting<bool> {
    match from_env(env, "RESTATE_AUTO_PROVISION") {
        Setting::Set(text) => text.parse().map_or(Setting::Unreadable, Setting::Set),
        Setting::Unreadable => Setting::Unreadable,
        Setting::Unset => match config.get("auto-provision") {
            None => Setting::Unset,
            Some(Value::Boolean(on)) => Setting::Set(*on),
            Some(_) => Setting::Unreadable,
        },
    }
}

/// Whether cluster metadata lives in the nodes themselves (the default), not in an object store or the like.
pub(super) fn has_replicated_metadata(config: &Table, env: &[EnvVar]) -> bool {
    let kind = match from_env(env, "RESTATE_METADATA_CLIENT__TYPE") {
        Setting::Set(text) => Some(text.to_owned()),
        Setting::Unreadable => return false,
        Setting::Unset => {
            config.get("metadata-client").and_then(|client| client.get("type")).and_then(as_text)
        }
    };
    kind.is_none_or(|kind| kind == "replicated")
}

/// Whether the user says where metadata is found.
pub(super) fn has_metadata_addresses(config: &Table, env: &[EnvVar]) -> bool {
    let configured = config.get("metadata-client").and_then(|client| client.get("addresses")).is_some();
    configured || from_env(env, "RESTATE_METADATA_CLIENT__ADDRESSES") != Setting::Unset
}

/// Whether the nodes serve the admin API: they do unless their roles say otherwise.
pub(super) fn has_admin_role(config: &Table, env: &[EnvVar]) -> bool {
    let roles = config.get("roles").and_then(Value::as_array);
    let listed = |roles: &Vec<Value>| roles.iter().any(|role| role.as_str() == Some("admin"));
    from_env(env, "RESTATE_ROLES") != Setting::Unset || roles.is_none_or(listed)
}

fn as_text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn from_env<'a>(env: &'a [EnvVar], name: &str) -> Setting<&'a str> {
    match env.iter().rfind(|variable| variable.name == name) {
        None => Setting::Unset,
        Some(EnvVar { value: Some(value), value_from: None, .. }) => Setting::Set(value),
        Some(_) => Setting::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::EnvVarSource;
    use rstest::rstest;

    use super::*;

    fn variable(value: Option<&str>) -> Vec<EnvVar> {
        let value_from = value.is_none().then(EnvVarSource::default);
        vec![EnvVar { name: "RESTATE_AUTO_PROVISION".into(), value: value.map(str::to_owned), value_from }]
    }

    #[rstest]
    #[case::nothing("", vec![], Setting::Unset)]
    #[case::file("auto-provision = true", vec![], Setting::Set(true))]
    #[case::file_off("auto-provision = false", vec![], Setting::Set(false))]
    #[case::environment("", variable(Some("true")), Setting::Set(true))]
    #[case::environment_beats_file("auto-provision = true", variable(Some("false")), Setting::Set(false))]
    #[case::value_from("auto-provision = false", variable(None), Setting::Unreadable)]
    #[case::no_boolean("auto-provision = 1", vec![], Setting::Unreadable)]
    #[case::no_boolean_in_environment("", variable(Some("maybe")), Setting::Unreadable)]
    fn auto_provision_is_read_as_the_server_reads_it(
        #[case] config: &str,
        #[case] env: Vec<EnvVar>,
        #[case] expected: Setting<bool>,
    ) {
        assert_eq!(auto_provision(&config.parse().unwrap(), &env), expected);
    }

    #[rstest]
    #[case("", true)]
    #[case("[metadata-client]\ntype = \"replicated\"", true)]
    #[case("[metadata-client]\ntype = \"object-store\"", false)]
    fn metadata_is_replicated_unless_it_lives_elsewhere(#[case] config: &str, #[case] replicated: bool) {
        assert_eq!(has_replicated_metadata(&config.parse().unwrap(), &[]), replicated);
    }

    #[rstest]
    #[case("", true)]
    #[case("roles = [\"worker\", \"admin\"]", true)]
    #[case("roles = [\"worker\"]", false)]
    fn the_admin_role_is_on_unless_roles_leave_it_out(#[case] config: &str, #[case] admin: bool) {
        assert_eq!(has_admin_role(&config.parse().unwrap(), &[]), admin);
    }
}
