//! AWS's own endpoints, by region.

/// Characters of the longest region's name, and some.
const REGION_CHARS_MAX: usize = 32;

/// Which of a region's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variant {
    /// IPv6 as well (`AWS_USE_DUALSTACK_ENDPOINT`).
    pub(super) dual_stack: bool,
    /// Validated cryptography (`AWS_USE_FIPS_ENDPOINT`).
    pub(super) fips: bool,
}

/// The URL of S3 in `region`.
pub(super) fn url(region: &str, variant: Variant) -> String {
    let fips = if variant.fips { "-fips" } else { "" };
    let dual_stack = if variant.dual_stack { ".dualstack" } else { "" };
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://s3{fips}{dual_stack}.{region}.amazonaws.com{china}")
}

/// The URL of the same kind of endpoint in another region; `None` where `host`
/// is no regional endpoint of AWS.
pub(super) fn elsewhere(host: &str, region: &str) -> Option<String> {
    let domain = host.strip_suffix(".cn").unwrap_or(host);
    let name = domain.strip_suffix(".amazonaws.com")?;
    let (service, rest) = name.split_once('.').unwrap_or((name, ""));
    let dual_stack = rest == "dualstack" || rest.starts_with("dualstack.");
    let place = if dual_stack {
        rest.trim_start_matches("dualstack").trim_start_matches('.')
    } else {
        rest
    };
    let fips = service == "s3-fips";
    let regional = (service == "s3" || fips) && !place.contains('.');
    regional.then(|| url(region, Variant { dual_stack, fips }))
}

/// Whether this may be the name of a region. What a store says becomes part of
/// a host's name and of signatures, so it is looked at first.
pub(super) fn is_region(text: &str) -> bool {
    (1..=REGION_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    // Hosts of AWS's table of S3 endpoints.
    #[test]
    fn regions_have_the_documented_hosts() {
        let (dual_stack, fips) = (true, true);
        let cases = [
            ("us-east-1", Variant::default(), "https://s3.us-east-1.amazonaws.com"),
            ("cn-north-1", Variant::default(), "https://s3.cn-north-1.amazonaws.com.cn"),
            (
                "eu-west-1",
                Variant { dual_stack, fips: false },
                "https://s3.dualstack.eu-west-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                Variant { dual_stack: false, fips },
                "https://s3-fips.us-gov-west-1.amazonaws.com",
            ),
            (
                "us-west-2",
                Variant { dual_stack, fips },
                "https://s3-fips.dualstack.us-west-2.amazonaws.com",
            ),
        ];
        for (region, variant, expected) in cases {
            assert_eq!(url(region, variant), expected);
        }
    }

    #[test]
    fn another_region_keeps_the_kind_of_endpoint() {
        let cases = [
            ("s3.amazonaws.com", Some("https://s3.eu-west-1.amazonaws.com")),
            ("s3.us-east-1.amazonaws.com", Some("https://s3.eu-west-1.amazonaws.com")),
            (
                "s3-fips.dualstack.us-east-1.amazonaws.com",
                Some("https://s3-fips.dualstack.eu-west-1.amazonaws.com"),
            ),
            ("s3-accelerate.amazonaws.com", None),
            ("bucket.vpce-1a2b3c4d.s3.us-east-1.vpce.amazonaws.com", None),
            ("s3.us-east-1.amazonaws.com.evil.example", None),
            ("minio", None),
        ];
        for (host, expected) in cases {
            assert_eq!(elsewhere(host, "eu-west-1").as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn a_region_is_one_plain_label() {
        assert!(is_region("ap-southeast-4") && is_region("garage"));
        let long = "r".repeat(33);
        for text in ["", "a.b", "evil.example/", "EU", "x y", "r\r\nhost:", long.as_str()] {
            assert!(!is_region(text), "{text:?}");
        }
    }
}
