//! The next token: asked for where the login file says, as OSMO's own command
//! line asks.

use bytes::Bytes;
use http::{Request, header};
use osmo_link::{Network, Place};
use osmo_protocol::login::TokenLogin;
use serde_json::Value;

use super::Account;
use crate::session::service::{REQUEST_WAIT, encode};
use crate::session::trouble::Trouble;

impl Account {
    pub(super) async fn ask_for_token(
        &self,
        network: &Network,
        token: &TokenLogin,
    ) -> Result<Value, Trouble> {
        let url: http::Uri =
            token.refresh_url.parse().map_err(|_| self.unrenewed("its refresh_url is no URL"))?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let secure = url.scheme_str() == Some("https");
        if !secure && !is_here(host) {
            return Err(self.unrenewed("its refresh_url is not https, and the token is a secret"));
        }
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let place = Place::new(secure, host, port);
        let (kind, body) = self.request(token);
        let request = Request::post(url.path_and_query().map_or("/", |path| path.as_str()))
            .header(header::CONTENT_TYPE, kind)
            .body(Bytes::from(body))
            .map_err(|_| self.unrenewed("its refresh_url is no URL"))?;
        let answer = tokio::time::timeout(REQUEST_WAIT, network.call(&place, request))
            .await
            .map_err(|_| Trouble::Transient(format!("{}: no answer", place.authority())))??;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            let what = format!("{} answered {status}", place.authority());
            return Err(if status >= 500 {
                Trouble::Transient(what)
            } else {
                self.unrenewed(&what)
            });
        }
        serde_json::from_slice(answer.body()).map_err(|_| self.unrenewed("the answer is not JSON"))
    }

    /// OSMO's own tokens are renewed with JSON, an identity provider's with a
    /// form.
    fn request(&self, token: &TokenLogin) -> (&'static str, String) {
        if self.whole.get("osmo_token").and_then(Value::as_bool) == Some(true) {
            let body = serde_json::json!({"token": token.refresh_token}).to_string();
            return ("application/json", body);
        }
        let mut form =
            format!("grant_type=refresh_token&refresh_token={}", encode(&token.refresh_token));
        let client = self.whole.pointer("/token_login/client_id").and_then(Value::as_str);
        if let Some(client) = client {
            form.push_str(&format!("&client_id={}", encode(client)));
        }
        ("application/x-www-form-urlencoded", form)
    }

    pub(super) fn take(&mut self, answer: &Value) -> Result<(), Trouble> {
        let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
        let fresh = text("id_token").or_else(|| text("token"));
        let fresh = fresh.ok_or_else(|| self.unrenewed("the answer holds no token"))?;
        let refresh = text("refresh_token");
        if let Some(token) = &mut self.login.token_login {
            token.id_token.clone_from(&fresh);
            if let Some(refresh) = &refresh {
                token.refresh_token.clone_from(refresh);
            }
        }
        if let Some(token) = self.whole.pointer_mut("/token_login").and_then(Value::as_object_mut) {
            token.insert("id_token".into(), fresh.into());
            if let Some(refresh) = refresh {
                token.insert("refresh_token".into(), refresh.into());
            }
        }
        Ok(())
    }

    fn unrenewed(&self, what: &str) -> Trouble {
        let path = self.path.display();
        Trouble::Login(format!("the login of {path} could not be renewed: {what}; log in again"))
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
