//! The token that continues a list: bound to its version, its selection and where it stopped (R12).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Selection;
use crate::status::Status;

/// Where a list goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Version of the list; 0 where only the place is known any more.
    #[serde(rename = "rv")]
    pub(crate) version: u64,
    /// Namespace and name of the last object given.
    #[serde(rename = "after")]
    pub(crate) after: (String, String),
    #[serde(rename = "of")]
    selection: String,
}

impl Token {
    pub(crate) fn new(version: u64, after: (&str, &str), selection: &Selection) -> Self {
        let after = (after.0.to_owned(), after.1.to_owned());
        Self { version, after, selection: digest(selection) }
    }

    pub(crate) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a token of a list with the same selection.
    pub(crate) fn decode(text: &str, selection: &Selection) -> Result<Self, Status> {
        let refused = || Status::bad_request("continue key is not valid");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| refused())?;
        if token.selection == digest(selection) { Ok(token) } else { Err(refused()) }
    }
}

fn digest(selection: &Selection) -> String {
    let digest = Sha256::digest(format!("{selection:?}"));
    BASE64_URL_SAFE_NO_PAD.encode(&digest[..9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_token_is_bound_to_its_selection() {
        let shop = Selection { namespace: Some("shop".to_owned()), ..Selection::default() };
        let token = Token::new(7, ("shop", "b1"), &shop);
        assert_eq!(Token::decode(&token.encode(), &shop), Ok(token.clone()));
        let other = Token::decode(&token.encode(), &Selection::default()).unwrap_err();
        assert_eq!(other.code().as_u16(), 400);
        assert_eq!(Token::decode("nonsense", &shop).unwrap_err().code().as_u16(), 400);
    }
}
