//! Names of images, as far as they say a version. oci-spec's parser would be right too, at the price of megabytes: its
//! expression allows 128 letters of any script.

/// The tag by which an image is pulled: `latest` where nothing is said, none where only a digest is.
pub fn image_tag(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or(image);
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => is_tag(tag).then_some(tag),
        None => (name == image && !last.is_empty()).then_some("latest"),
    }
}

fn is_tag(text: &str) -> bool {
    let word = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|letter| word(letter) || matches!(letter, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("restatedev/restate:1.7.12", Some("1.7.12"))]
    #[case("registry:5000/team/restate:v1.7_a", Some("v1.7_a"))]
    #[case("registry:5000/restate", Some("latest"))]
    #[case("restate", Some("latest"))]
    #[case("restate:1.7@sha256:0123", Some("1.7"))]
    #[case("registry:5000/restate@sha256:0123", None)]
    #[case("restate:", None)]
    #[case("restate:-1", None)]
    #[case("restate:1:2", None)]
    #[case("registry/", None)]
    #[case("", None)]
    fn the_tag_is_what_is_pulled(#[case] image: &str, #[case] expected: Option<&str>) {
        assert_eq!(image_tag(image), expected);
    }

    #[test]
    fn a_tag_has_128_letters_at_most() {
        assert!(image_tag(&format!("restate:{}", "1".repeat(128))).is_some());
        assert!(image_tag(&format!("restate:{}", "1".repeat(129))).is_none());
    }
}
