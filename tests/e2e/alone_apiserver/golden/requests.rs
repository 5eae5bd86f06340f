//! The requests, in the words of neither server.

/// One request.
pub(super) struct Case {
    /// What it is about.
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// Below `/apis/{group}/{version}` where it begins with no slash.
    pub(super) path: &'static str,
    pub(super) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: String,
}

const JSON: &str = "application/json";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const TABLE_OLD: &str = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const PARTIALS: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
const PARTIAL: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const PARTIALS_AS_GC: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

const LIST: &str = "namespaces/{namespace}/{readable}";
const ONE: &str = "namespaces/{namespace}/{readable}/{name}";

pub(super) fn cases() -> Vec<Case> {
    [reads(), negotiated(), refused_reads(), watches(), creates(), documents()]
        .into_iter()
        .flatten()
        .collect()
}

fn get(name: &'static str, path: &'static str) -> Case {
    Case { name, method: "GET", path, headers: vec![("accept", JSON)], body: String::new() }
}

fn accept(name: &'static str, path: &'static str, accept: &'static str) -> Case {
    Case { headers: vec![("accept", accept)], ..get(name, path) }
}

fn post(name: &'static str, path: &'static str, body: &str) -> Case {
    let headers = vec![("accept", JSON), ("content-type", JSON)];
    Case { name, method: "POST", path, headers, body: body.to_owned() }
}

fn nobody(mut case: Case) -> Case {
    case.headers.push(("impersonate-user", "nobody-in-particular"));
    case
}

/// R7, R12, R13, R15, S13, Z9, E2.
fn reads() -> Vec<Case> {
    vec![
        get("list", LIST),
        get("list everywhere", "{readable}?labelSelector=nobody%3Dhas-it"),
        get("list in no namespace", "namespaces/nowhere-at-all/{readable}"),
        get("list of a cache", "namespaces/{namespace}/{readable}?resourceVersion=0"),
        get("list by name", "namespaces/{namespace}/{readable}?fieldSelector=metadata.name%3D{name}"),
        get("list in pages", "namespaces/{namespace}/{readable}?limit=500"),
        get("get", ONE),
        get("get pretty", "namespaces/{namespace}/{readable}/{name}?pretty=true"),
        get("get what is not there", "namespaces/{namespace}/{readable}/nothing"),
        get("get with a deadline", "namespaces/{namespace}/{readable}/{name}?timeout=32s"),
        Case { method: "HEAD", ..get("head", LIST) },
        nobody(get("list without rights", LIST)),
        nobody(get("list everywhere without rights", "{readable}")),
        nobody(get("get without rights", ONE)),
        nobody(get("watch without rights", "namespaces/{namespace}/{readable}?watch=1")),
        nobody(post("create without rights", "{creatable}", "{}")),
        get("no such resource", "things"),
        get("no such subresource", "namespaces/{namespace}/{readable}/{name}/parts"),
    ]
}

/// R1–R6, R19, E4.
fn negotiated() -> Vec<Case> {
    vec![
        accept("table", LIST, TABLE),
        accept("table as kubectl asks", LIST, KUBECTL),
        accept("table v1beta1", LIST, TABLE_OLD),
        accept("table of one", ONE, TABLE),
        accept("table of nothing", "namespaces/{namespace}/{readable}?labelSelector=a%3Db", TABLE),
        accept("table without objects", "namespaces/{namespace}/{readable}?includeObject=None", TABLE),
        accept("table with objects", "namespaces/{namespace}/{readable}?includeObject=Object", TABLE),
        accept("table with nonsense", "namespaces/{namespace}/{readable}?includeObject=Some", TABLE),
        accept("table of what is not there", "namespaces/{namespace}/{readable}/nothing", TABLE),
        accept("metadata of all", LIST, PARTIALS),
        accept("metadata of one", ONE, PARTIAL),
        accept("metadata as the garbage collector asks", LIST, PARTIALS_AS_GC),
        accept("anything", LIST, "*/*"),
        accept("any application", LIST, "application/*"),
        accept(
            "an unknown form, then JSON",
            LIST,
            "application/json;as=Poem;v=v1;g=meta.k8s.io,application/json",
        ),
        accept("protobuf alone", LIST, "application/vnd.kubernetes.protobuf"),
        accept("text alone", LIST, "text/plain"),
        accept("html, then anything", LIST, "text/html,*/*;q=0.8"),
    ]
}

/// E1, E6, E8, R9, R12–R14.
fn refused_reads() -> Vec<Case> {
    vec![
        get("bad label selector", "namespaces/{namespace}/{readable}?labelSelector=a+in+%28"),
        get("bad field selector", "namespaces/{namespace}/{readable}?fieldSelector=a"),
        get("unknown field", "namespaces/{namespace}/{readable}?fieldSelector=spec.colour%3Dred"),
        get("bad limit", "namespaces/{namespace}/{readable}?limit=many"),
        get("bad continue", "namespaces/{namespace}/{readable}?limit=1&continue=nonsense"),
        get("match without version", "namespaces/{namespace}/{readable}?resourceVersionMatch=Exact"),
        get("exactly zero", "namespaces/{namespace}/{readable}?resourceVersion=0&resourceVersionMatch=Exact"),
        get(
            "unknown match",
            "namespaces/{namespace}/{readable}?resourceVersion=1&resourceVersionMatch=Roughly",
        ),
        get("version that is none", "namespaces/{namespace}/{readable}?resourceVersion=young"),
        get("version of the future", "namespaces/{namespace}/{readable}?resourceVersion=9000000000000000000"),
        get("initial events of a list", "namespaces/{namespace}/{readable}?sendInitialEvents=true"),
        get("bad deadline", "namespaces/{namespace}/{readable}?timeout=soon"),
    ]
}

/// W1, W5–W9, W12.
fn watches() -> Vec<Case> {
    let watch_list = "namespaces/{namespace}/{readable}?watch=1&timeoutSeconds=2&sendInitialEvents=true\
                      &resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let watch = "namespaces/{namespace}/{readable}?watch=1&timeoutSeconds=2";
    vec![
        get("watch", watch),
        get(
            "watch one",
            "namespaces/{namespace}/{readable}?watch=true&timeoutSeconds=2&fieldSelector=metadata.name%3D{name}",
        ),
        get("watch list", watch_list),
        get("watch list without match", "namespaces/{namespace}/{readable}?watch=1&sendInitialEvents=true"),
        get(
            "watch with match alone",
            "namespaces/{namespace}/{readable}?watch=1&timeoutSeconds=2&resourceVersionMatch=NotOlderThan",
        ),
        accept("watch as table", watch, TABLE),
        accept("watch list as table", watch_list, TABLE),
        accept("watch of metadata", watch, PARTIAL),
        get(
            "watch from a version that is none",
            "namespaces/{namespace}/{readable}?watch=1&resourceVersion=young",
        ),
        get("watch with a bad timeout", "namespaces/{namespace}/{readable}?watch=1&timeoutSeconds=soon"),
        get("watch with a bad selector", "namespaces/{namespace}/{readable}?watch=1&labelSelector=a+in+%28"),
    ]
}

/// C1, C3–C5, E1, E4, E7, E8. Nothing of this is ever made.
fn creates() -> Vec<Case> {
    let named = r#"{"apiVersion":"{group}/{version}","kind":"{Creatable}","metadata":{"name":"golden"}}"#;
    let strict = "{creatable}?dryRun=All&fieldValidation=Strict";
    let text = Case {
        headers: vec![("accept", JSON), ("content-type", "text/plain")],
        ..post("text", "{creatable}?dryRun=All", named)
    };
    let create = |name, body: &str| post(name, "{creatable}?dryRun=All", body);
    vec![
        create("no JSON", "{"),
        create("empty body", ""),
        create("another kind", &named.replace("{Creatable}", "Thing")),
        create("another group", &named.replace("{group}/{version}", "v1")),
        create("bad name", &named.replace("golden", "Not A Name")),
        create("no name", &named.replace(r#""name":"golden""#, "")),
        create("a namespace", &named.replace(r#""golden""#, r#""golden","namespace":"default""#)),
        create("a number for a name", &named.replace(r#""golden""#, "7")),
        text,
        post("unknown dry run", "{creatable}?dryRun=Some", named),
        post("unknown validation", "{creatable}?dryRun=All&fieldValidation=Some", named),
        post("unknown field", strict, &named.replace(r#""metadata""#, r#""colour":1,"metadata""#)),
        post("repeated field", strict, &named.replace(r#""kind""#, r#""kind":"{Creatable}","kind""#)),
        post("odd field manager", "{creatable}?dryRun=All&fieldManager=%07", named),
        create("3 MiB and a byte", &"x".repeat(3 * 1024 * 1024 + 1)),
    ]
}

/// S8, O4, O5.
fn documents() -> Vec<Case> {
    vec![
        get("discovery of the version", ""),
        accept("discovery as old controllers ask", "", "application/vnd.kubernetes.protobuf, */*"),
        get("discovery of the group", "/apis/{group}"),
        get("schemas", "/openapi/v3/apis/{group}/{version}"),
    ]
}
