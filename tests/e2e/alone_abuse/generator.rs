//! Requests that no client would send, from a seed: the same seed makes the same requests.

use fastrand::Rng;

const PLURALS: [&str; 7] = [
    "restatedeploymentversions",
    "restateclusterprovisions",
    "restateclusters",
    "restatedeployments",
    "restateservices",
    "namespaces",
    "things",
];
const PARAMETERS: [&str; 15] = [
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeout",
    "includeObject",
    "dryRun",
    "fieldValidation",
    "pretty",
    "watch",
    "timeoutSeconds",
    "allowWatchBookmarks",
];
const WORDS: [&str; 17] = [
    "",
    "0",
    "-1",
    "18446744073709551616",
    "9223372036854775807",
    "true",
    "All",
    "a=b",
    "a in (b",
    "!",
    "metadata.name=x",
    "NotOlderThan",
    "%",
    "%00",
    "..",
    "a%2fb",
    "\u{fffd}",
];
const ACCEPTS: [&str; 6] = [
    "*/*",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;;;q=,",
    "application/vnd.kubernetes.protobuf",
    "text/html",
    ";",
];
const METHODS: [&str; 9] = ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "FROB", "CONNECTX"];
const OBJECT: &str = r#"{"apiVersion":"control.restate.dev/v1alpha1","kind":"RestateClusterProvision","metadata":{"name":"no-such-cluster","labels":{"a":"b"}},"spec":{}}"#;

/// One request.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) bytes: Vec<u8>,
    /// Is it HTTP at all? Then it is answered, and a refusal is a Status.
    pub(super) is_http: bool,
    /// Does it watch? Then its answer may have no end.
    pub(super) is_watch: bool,
}

/// The request of this seed.
pub(super) fn made(seed: u64) -> Made {
    let mut rng = Rng::with_seed(seed);
    match rng.u8(0..7) {
        0 => http("GET", &path(&mut rng), &accept(&mut rng), b""),
        1 => http("GET", &format!("{}?{}", path(&mut rng), query(&mut rng)), &accept(&mut rng), b""),
        2 => created(&mut rng),
        5 => watched(&mut rng),
        3 => {
            let method = METHODS[rng.usize(..METHODS.len())];
            http(method, &path(&mut rng), "", b"")
        }
        4 => {
            let head = format!("{}X-Long: {}\r\n", accept(&mut rng), "x".repeat(rng.usize(0..60_000)));
            http("GET", &path(&mut rng), &head, b"")
        }
        _ => broken(&mut rng),
    }
}

fn http(method: &str, path: &str, head: &str, body: &[u8]) -> Made {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: replica\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n"
    );
    let is_watch = head.lines().next().is_some_and(|line| line.contains("watch="));
    Made { bytes: [head.as_bytes(), body].concat(), is_http: true, is_watch }
}

/// A watch of something that is there, for any time at all.
fn watched(rng: &mut Rng) -> Made {
    let plural = word(rng, &["restatedeploymentversions", "restateservices"]);
    let seconds =
        word(rng, &["1", "0", "-1", "86401", "9223372036854775807", "18446744073709551616", "1e3", ""]);
    let query = format!("watch=1&timeoutSeconds={seconds}&{}", query(rng));
    http("GET", &format!("/apis/control.restate.dev/v1alpha1/{plural}?{query}"), &accept(rng), b"")
}

fn word<'a>(rng: &mut Rng, words: &[&'a str]) -> &'a str {
    words[rng.usize(..words.len())]
}

/// Characters that may stand in a path, percent signs included.
fn noise(rng: &mut Rng, length: usize) -> String {
    const ALPHABET: &[u8] = b"abcXYZ019-._~%:@!$&'()*+,;=";
    (0..length).map(|_| char::from(ALPHABET[rng.usize(..ALPHABET.len())])).collect()
}

fn path(rng: &mut Rng) -> String {
    let mut path = String::from("/apis/control.restate.dev/v1alpha1");
    for _ in 0..rng.usize(0..5) {
        path.push('/');
        let length = rng.usize(0..40);
        match rng.u8(0..3) {
            0 => path.push_str(word(rng, &PLURALS)),
            1 => path.push_str("namespaces/default"),
            _ => path.push_str(&noise(rng, length)),
        }
    }
    path
}

fn query(rng: &mut Rng) -> String {
    let mut parts = Vec::new();
    for _ in 0..rng.usize(1..6) {
        let (name, length) = (word(rng, &PARAMETERS), rng.usize(0..30));
        let value = if rng.bool() { word(rng, &WORDS).replace(' ', "+") } else { noise(rng, length) };
        // Bytes beyond ASCII are no part of a request line.
        let value: String = value.chars().filter(char::is_ascii).collect();
        parts.push(format!("{name}={value}"));
    }
    parts.join("&")
}

fn accept(rng: &mut Rng) -> String {
    format!("Accept: {}\r\n", word(rng, &ACCEPTS))
}

/// An object with bytes that were changed, lost or added; now and then something else altogether.
fn created(rng: &mut Rng) -> Made {
    let mut body = OBJECT.as_bytes().to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..body.len());
        match rng.u8(0..4) {
            0 => body[at] = rng.u8(..),
            1 => body.truncate(at.max(1)),
            2 => body.insert(at, rng.u8(..)),
            _ => body = "[".repeat(rng.usize(1..5000)).into_bytes(),
        }
    }
    let content =
        word(rng, &["application/json", "application/yaml", "text/plain", "application/cbor", ";;", ""]);
    let dry = word(rng, &["?dryRun=All", "?dryRun=All&fieldValidation=Strict", "?dryRun=Some"]);
    let path = format!("/apis/control.restate.dev/v1alpha1/restateclusterprovisions{dry}");
    http("POST", &path, &format!("Content-Type: {content}\r\n"), &body)
}

/// No HTTP, or nearly.
fn broken(rng: &mut Rng) -> Made {
    let text = match rng.u8(0..6) {
        0 => (0..rng.usize(1..400)).map(|_| rng.u8(..)).collect(),
        1 => b"GET /apis HTTP/9.9\r\n\r\n".to_vec(),
        2 => b"POST /apis HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".to_vec(),
        3 => b"POST /apis HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        4 => b"GET /apis\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        _ => {
            let mut request = http("GET", "/apis", "Accept: */*\r\n", b"").bytes;
            request.truncate(rng.usize(1..request.len()));
            request
        }
    };
    Made { bytes: text, is_http: false, is_watch: false }
}

#[test]
fn a_seed_makes_one_request_and_seeds_make_all_kinds() {
    assert_eq!(made(7).bytes, made(7).bytes);
    let some: Vec<_> = (0..200).map(made).collect();
    assert!(some.iter().any(|made| made.is_watch));
    assert!(some.iter().any(|made| !made.is_http) && some.iter().any(|made| made.bytes.starts_with(b"POST")));
}
