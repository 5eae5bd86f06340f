//! Who may ask: the page that was opened here, and whoever types its address.
//!
//! Every request is sent on with the caller's rights, so a page of another origin must not be able to make one: not
//! by a name that it turned to this machine, not by a form, not by an image. Other programs of this machine can ask,
//! as they can with `kubectl proxy`.

use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderMap, Method, Request};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A name that was turned to this machine.
    #[error("asked for by another name than 127.0.0.1 or localhost")]
    Host,
    /// A page of somebody else.
    #[error("asked by a page of another origin")]
    Origin,
    /// A way out of the proxy.
    #[error("the path could lead elsewhere")]
    Path,
}

/// Whether a request may be sent on.
pub(super) fn judge<B>(request: &Request<B>, port: u16) -> Result<(), Refusal> {
    let own = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    let named = text(request.headers(), &HOST).is_some_and(|host| own.iter().any(|own| own == host));
    if !named {
        return Err(Refusal::Host);
    }
    let of_page = text(request.headers(), &ORIGIN);
    if of_page.is_some_and(|origin| !own.iter().any(|own| format!("http://{own}") == origin)) {
        return Err(Refusal::Origin);
    }
    let site = text(request.headers(), &SITE);
    if site.is_some_and(|site| !["same-origin", "none"].contains(&site)) && !is_a_link(request) {
        return Err(Refusal::Origin);
    }
    if leads_elsewhere(request.uri().path()) { Err(Refusal::Path) } else { Ok(()) }
}

/// A link to the web UI may stand anywhere: to open it changes nothing.
fn is_a_link<B>(request: &Request<B>) -> bool {
    request.method() == Method::GET && matches!(request.uri().path(), "/" | "/ui" | "/ui/")
}

fn leads_elsewhere(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    !path.starts_with('/')
        || ["..", "%2e", "%2f", "%5c", "\\", "//", "/./"].iter().any(|doubtful| path.contains(doubtful))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn judged(method: &str, path: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        judge(&request.body(()).unwrap(), 4000)
    }

    #[rstest]
    #[case(&[("host", "127.0.0.1:4000")], Ok(()))]
    #[case(&[("host", "localhost:4000"), ("origin", "http://localhost:4000")], Ok(()))]
    #[case(&[("host", "localhost:4000"), ("sec-fetch-site", "same-origin")], Ok(()))]
    #[case(&[("host", "localhost:4000"), ("sec-fetch-site", "none")], Ok(()))]
    #[case(&[], Err(Refusal::Host))]
    #[case(&[("host", "evil.example:4000")], Err(Refusal::Host))]
    #[case(&[("host", "localhost:4001")], Err(Refusal::Host))]
    #[case(&[("host", "localhost:4000"), ("origin", "http://evil.example")], Err(Refusal::Origin))]
    #[case(&[("host", "localhost:4000"), ("origin", "null")], Err(Refusal::Origin))]
    #[case(&[("host", "localhost:4000"), ("origin", "http://localhost:4001")], Err(Refusal::Origin))]
    #[case(&[("host", "localhost:4000"), ("sec-fetch-site", "cross-site")], Err(Refusal::Origin))]
    #[case(&[("host", "localhost:4000"), ("sec-fetch-site", "same-site")], Err(Refusal::Origin))]
    fn only_the_page_itself_may_ask(#[case] headers: &[(&str, &str)], #[case] expected: Result<(), Refusal>) {
        assert_eq!(judged("POST", "/query", headers), expected);
    }

    #[rstest]
    #[case("GET", "/ui/", true)]
    #[case("GET", "/services", false)]
    #[case("POST", "/ui/", false)]
    fn a_link_from_elsewhere_opens_the_web_ui(
        #[case] method: &str,
        #[case] path: &str,
        #[case] allowed: bool,
    ) {
        let headers = [("host", "127.0.0.1:4000"), ("sec-fetch-site", "cross-site")];
        assert_eq!(judged(method, path, &headers).is_ok(), allowed);
    }

    #[rstest]
    #[case("/../../../../api/v1/secrets")]
    #[case("/%2e%2E/x")]
    #[case("/a/./b")]
    #[case("/a%2Fb")]
    #[case("/a%5cb")]
    #[case("//x")]
    fn no_path_leads_out_of_the_proxy(#[case] path: &str) {
        assert_eq!(judged("GET", path, &[("host", "127.0.0.1:4000")]), Err(Refusal::Path));
    }
}
