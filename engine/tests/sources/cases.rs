//! The sources, one by one; requests and answers as AWS documents them.

use crate::answering::{Answering, Asked, ok, status, wrong};
use crate::{ask, ask_of, home};

/// Far enough for nobody to renew.
const END: &str = "2199-12-31T23:59:59Z";

fn container(asked: &Asked, token: &str) -> Vec<u8> {
    if !asked.is("GET /v1/credentials") || asked.field("authorization").as_deref() != Some(token) {
        return wrong(asked);
    }
    ok(&format!(
        r#"{{"AccessKeyId":"pod-id","SecretAccessKey":"s","Token":"pod-token","Expiration":"{END}"}}"#
    ))
}

#[test]
fn the_environment_s_keys() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "env-id"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "env-token"),
    ];
    ask(&home(&[]), &variables).signed_with("env-id", Some("env-token"));
}

#[test]
fn osmo_s_own_entry_comes_before_the_environment() {
    let entry = "auth: {data: {s3://bkt: {access_key_id: osmo-id, access_key: s}}}".to_owned();
    let home = home(&[(".config/osmo/config.yaml", entry)]);
    let variables = [("AWS_ACCESS_KEY_ID", "env-id"), ("AWS_SECRET_ACCESS_KEY", "s")];
    ask(&home, &variables).signed_with("osmo-id", None);
}

#[test]
fn a_profile_of_the_credentials_file() {
    let files = "[default]\naws_access_key_id = no\naws_secret_access_key = s\n\
        [work]\naws_access_key_id = profile-id\naws_secret_access_key = s\n";
    let home = home(&[(".aws/credentials", files.to_owned())]);
    ask(&home, &[("AWS_PROFILE", "work")]).signed_with("profile-id", None);
}

const ROLE: &str = "<AssumeRoleRESULT xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><RESULT>\
    <Credentials><AccessKeyId>role-id</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>role-token</SessionToken><Expiration>END</Expiration></Credentials>\
    <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>\
    <AssumedRoleId>ARO:s</AssumedRoleId></AssumedRoleUser></RESULT></AssumeRoleRESULT>";

fn role(action: &str) -> String {
    ROLE.replace("AssumeRoleRESULT", &format!("{action}Response"))
        .replace("RESULT", &format!("{action}Result"))
        .replace("END", END)
}

#[test]
fn a_role_that_a_profile_assumes_with_another_s_keys() {
    let sts = Answering::start(|asked| {
        let as_documented = asked.is("POST /")
            && asked.body.contains("Action=AssumeRole&Version=2011-06-15")
            && asked.body.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr")
            && asked.field("authorization").is_some_and(|sent| {
                sent.contains("Credential=base-id/") && sent.contains("/eu-west-3/sts/aws4_request")
            });
        if as_documented { ok(&role("AssumeRole")) } else { wrong(asked) }
    });
    let config = "[profile base]\naws_access_key_id = base-id\naws_secret_access_key = s\n\
        [profile work]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = base\n";
    let home = home(&[(".aws/config", config.to_owned())]);
    let said = ask(&home, &[("AWS_PROFILE", "work"), ("AWS_ENDPOINT_URL_STS", &sts.url())]);
    said.signed_with("role-id", Some("role-token"));
}

#[test]
fn a_web_identity() {
    let sts = Answering::start(|asked| {
        let as_documented = asked.is("POST /")
            && asked.body.contains("Action=AssumeRoleWithWebIdentity&Version=2011-06-15")
            && asked.body.contains("WebIdentityToken=the.pod.token")
            && asked.body.contains("RoleSessionName=osmo")
            && asked.field("authorization").is_none();
        if as_documented { ok(&role("AssumeRoleWithWebIdentity")) } else { wrong(asked) }
    });
    let home = home(&[("token", "the.pod.token".to_owned())]);
    let token = home.path().join("token");
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/r"),
        ("AWS_ROLE_SESSION_NAME", "osmo"),
        ("AWS_ENDPOINT_URL_STS", &sts.url()),
    ];
    ask(&home, &variables).signed_with("role-id", Some("role-token"));
}

#[test]
fn a_container_s_endpoint_with_a_token_in_a_variable() {
    let endpoint = Answering::start(|asked| container(asked, "Basic from-variable"));
    let uri = format!("{}/v1/credentials", endpoint.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic from-variable"),
    ];
    ask(&home(&[]), &variables).signed_with("pod-id", Some("pod-token"));
}

#[test]
fn an_endpoint_s_answer_has_a_limit() {
    let endpoint = Answering::start(|asked| {
        // RFC 8259: white space behind the value changes nothing.
        let text = String::from_utf8(container(asked, "t")).unwrap();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        ok(&format!("{body}{}", " ".repeat(17 << 20)))
    });
    let uri = format!("{}/v1/credentials", endpoint.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t"),
    ];
    let said = ask(&home(&[]), &variables).text;
    assert!(said.contains("refused"), "{said}");
}

#[test]
fn a_pod_s_endpoint_with_a_token_in_a_file() {
    let endpoint = Answering::start(|asked| container(asked, "from-file"));
    let uri = format!("{}/v1/credentials", endpoint.url());
    let home = home(&[("token", "from-file".to_owned())]);
    let token = home.path().join("token");
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.to_str().unwrap()),
    ];
    ask(&home, &variables).signed_with("pod-id", Some("pod-token"));
}

#[test]
fn the_instance_s_metadata_by_their_second_version() {
    let metadata = Answering::start(|asked| {
        const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
        if asked.is("PUT /latest/api/token") {
            let life = asked.field("x-aws-ec2-metadata-token-ttl-seconds");
            let with_life = "HTTP/1.1 200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\
                Content-Length: 10\r\nConnection: close\r\n\r\nimds-token";
            return if life.is_some() { with_life.into() } else { wrong(asked) };
        }
        if asked.field("x-aws-ec2-metadata-token").as_deref() != Some("imds-token") {
            return status("401 Unauthorized", "");
        }
        if asked.is(&format!("GET {ROLES}")) {
            return ok("node-role");
        }
        if !asked.is(&format!("GET {ROLES}node-role")) {
            return status("404 Not Found", "");
        }
        ok(&format!(
            r#"{{"Code":"Success","LastUpdated":"2026-01-01T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"node-id","SecretAccessKey":"s","Token":"node-token","Expiration":"{END}"}}"#
        ))
    });
    let url = metadata.url();
    let variables =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*url)];
    ask(&home(&[]), &variables).signed_with("node-id", Some("node-token"));
}

#[test]
fn a_credential_process() {
    let answer = format!(
        r#"{{"Version":1,"AccessKeyId":"process-id","SecretAccessKey":"s","SessionToken":"process-token","Expiration":"{END}"}}"#
    );
    let script = format!("#!/bin/sh\ntest \"$1\" = --for && echo '{answer}'\n");
    let home = home(&[("give", script)]);
    let config =
        format!("[default]\ncredential_process = sh {}/give --for x\n", home.path().display());
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    std::fs::write(home.path().join(".aws/config"), config).unwrap();
    ask(&home, &[]).signed_with("process-id", Some("process-token"));
}

// The cache file's name is what `printf corp | sha1sum` says.
#[test]
fn single_sign_on_with_a_cached_token() {
    let portal = Answering::start(|asked| {
        let line = "GET /federation/credentials?role_name=reader&account_id=123456789012";
        let bearer = asked.field("x-amz-sso_bearer_token");
        if !asked.is(line) || bearer.as_deref() != Some("sso-access") {
            return wrong(asked);
        }
        ok(
            r#"{"roleCredentials":{"accessKeyId":"sso-id","secretAccessKey":"s","sessionToken":"sso-token","expiration":7258118399000}}"#,
        )
    });
    let config = "[default]\nsso_session = corp\nsso_account_id = 123456789012\n\
        sso_role_name = reader\n[sso-session corp]\nsso_region = eu-west-3\n\
        sso_start_url = https://corp.example/start\n";
    let token =
        format!(r#"{{"accessToken":"sso-access","expiresAt":"{END}","region":"eu-west-3"}}"#);
    let home = home(&[
        (".aws/config", config.to_owned()),
        (".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json", token),
    ]);
    ask(&home, &[("AWS_ENDPOINT_URL_SSO", &portal.url())]).signed_with("sso-id", Some("sso-token"));
}

#[test]
fn anonymous_requests_carry_nothing() {
    let variables = [
        ("OSMO_TEST_ANONYMOUS", "1"),
        ("AWS_ACCESS_KEY_ID", "env-id"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
    ];
    let said = ask(&home(&[]), &variables);
    assert!(said.text.contains("head None"), "{}", said.text);
    assert!(!said.store[0].to_ascii_lowercase().contains("authorization"), "{}", said.store[0]);
}

#[test]
fn without_any_source_the_sentence_names_all_of_them() {
    let said = ask(&home(&[]), &[]);
    for words in [
        "refused Denied: there are no credentials for s3://bkt",
        "config.yaml",
        "AWS_ACCESS_KEY_ID",
        "AWS profile",
        "web identity",
        "container",
        "metadata",
    ] {
        assert!(said.text.contains(words), "{words}: {}", said.text);
    }
    assert!(said.store.is_empty());
}

#[test]
fn only_s3_uses_what_the_environment_has() {
    let variables = [("AWS_ACCESS_KEY_ID", "env-id"), ("AWS_SECRET_ACCESS_KEY", "s")];
    for uri in ["gs://b", "tos://tos-s3-cn-beijing.volces.com/b", "swift://h/n/c"] {
        let said = ask_of(uri, &home(&[]), &variables);
        let profile = uri.trim_end_matches("/c");
        assert!(said.text.contains("refused Denied: there are no credentials"), "{}", said.text);
        assert!(said.text.contains(profile), "{}", said.text);
        assert!(said.store.is_empty());
    }
}

#[test]
fn a_source_that_talks_nonsense_is_named_and_not_quoted() {
    let endpoint = Answering::start(|_| ok(r#"{"AccessKeyId":"x","SecretAccessKey":"sesame","#));
    let uri = format!("{}/v1/credentials", endpoint.url());
    let said = ask(&home(&[]), &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri)]);
    assert!(
        said.text.contains("refused Denied: cannot get credentials for s3://bkt"),
        "{}",
        said.text
    );
    assert!(!said.text.contains("sesame"), "{}", said.text);
}

#[test]
fn a_process_that_fails_is_named_and_not_quoted() {
    let config = "[default]\ncredential_process = sh -c 'echo sesame >&2; exit 7'\n";
    let home = home(&[(".aws/config", config.to_owned())]);
    let said = ask(&home, &[]);
    assert!(said.text.contains("exit status: 7"), "{}", said.text);
    assert!(!said.text.contains("sesame"), "{}", said.text);
}
