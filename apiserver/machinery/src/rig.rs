//! What tests stand on: a certificate authority, a kube-apiserver that only reviews, a server with a client.

pub(crate) mod cluster;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewStatus, UserInfo};
use k8s_openapi::api::authorization::v1::{
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower::ServiceExt;

use crate::tls::peer::PeerCertificates;

/// Signs certificates.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn client(&self, name: &str, groups: &[&str]) -> Identity {
        let mut params = named(name, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    pub(crate) fn expired_client(&self, name: &str) -> Identity {
        let mut params = named(name, &[]);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    pub(crate) fn server(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

fn named(name: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A subject holds one organization here; several are a matter of the parser.
    if let Some(group) = groups.first() {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params
}

impl Identity {
    pub(crate) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect()
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    pub(crate) fn peer(&self) -> PeerCertificates {
        PeerCertificates::new(Some(&self.certificates()))
    }
}

/// The data of the ConfigMap, with the usual header names.
pub(crate) fn config_map(
    header_ca: &str,
    client_ca: Option<&str>,
    names: &[&str],
) -> BTreeMap<String, String> {
    let mut data: BTreeMap<_, _> = [
        ("requestheader-client-ca-file", header_ca.to_owned()),
        ("requestheader-allowed-names", serde_json::to_string(names).unwrap()),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#.to_owned()),
        ("requestheader-uid-headers", r#"["X-Remote-Uid"]"#.to_owned()),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#.to_owned()),
        ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#.to_owned()),
    ]
    .into();
    data.extend(client_ca.map(|pem| ("client-ca-file", pem.to_owned())));
    data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A kube-apiserver that reviews tokens and access, and remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Reviewer {
    pub(crate) asked: Arc<Mutex<Vec<SubjectAccessReviewSpec>>>,
    pub(crate) tokens: Arc<Mutex<Vec<String>>>,
    pub(crate) refuses: Arc<Mutex<Option<StatusCode>>>,
}

impl Reviewer {
    pub(crate) fn questions(&self) -> Vec<SubjectAccessReviewSpec> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn fail(&self, broken: bool) {
        *self.refuses.lock().unwrap() = broken.then_some(StatusCode::INTERNAL_SERVER_ERROR);
    }

    /// From now on every question is answered with this code.
    pub(crate) fn refuse(&self, code: u16) {
        *self.refuses.lock().unwrap() = Some(StatusCode::from_u16(code).unwrap());
    }

    /// A client whose requests never leave the process.
    pub(crate) fn client(&self) -> kube::Client {
        let own = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            own.router().oneshot(request.map(axum::body::Body::new))
        });
        kube::Client::new(service, "default")
    }

    fn router(&self) -> Router {
        if let Some(code) = *self.refuses.lock().unwrap() {
            return Router::new().fallback(move || async move { code });
        }
        let (access, token) = (self.clone(), self.clone());
        Router::new()
            .route(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                post(
                    move |Json(review): Json<SubjectAccessReview>| async move { Json(access.access(review)) },
                ),
            )
            .route(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                post(move |Json(review): Json<TokenReview>| async move { Json(token.token(review)) }),
            )
    }

    /// `alice` may everything; `odd` cannot be evaluated; nobody else may anything.
    fn access(&self, mut review: SubjectAccessReview) -> SubjectAccessReview {
        self.asked.lock().unwrap().push(review.spec.clone());
        let user = review.spec.user.as_deref();
        review.status = Some(SubjectAccessReviewStatus {
            allowed: user == Some("alice"),
            evaluation_error: (user == Some("odd")).then(|| "broken".to_owned()),
            ..Default::default()
        });
        review
    }

    /// The token `good-NAME` is NAME's.
    fn token(&self, mut review: TokenReview) -> TokenReview {
        let token = review.spec.token.clone().unwrap_or_default();
        self.tokens.lock().unwrap().push(token.clone());
        let user = token.strip_prefix("good-").map(|name| UserInfo {
            username: Some(name.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned()]),
            ..Default::default()
        });
        let authenticated = Some(user.is_some());
        let audiences = Some(vec!["https://kubernetes.default".to_owned()]);
        review.status = Some(TokenReviewStatus { authenticated, user, audiences, ..Default::default() });
        review
    }
}
