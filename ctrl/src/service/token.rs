//! The token that each dial must show, fetched anew before it ends.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use osmo_protocol::token::{TokenAnswer, TokenRequest, refresh_path};
use tokio::time::timeout;

use super::Address;

/// A token that ends sooner than this is fetched anew.
const MARGIN_S: i64 = 60;
const CALL_LIMIT: Duration = Duration::from_secs(15);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// It will never come: the task is over, or the service refuses us.
    Never(String),
    /// It may come later.
    NotNow(String),
}

/// The current token and where to get the next.
pub(crate) struct Tokens {
    address: Address,
    file: PathBuf,
    client: Client<HttpConnector, Full<Bytes>>,
    current: Option<(String, i64)>,
}

impl Tokens {
    pub(crate) fn new(address: Address, file: PathBuf) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { address, file, client, current: None }
    }

    /// A token that is valid for a while.
    pub(crate) async fn token(&mut self) -> Result<String, NoToken> {
        if let Some((token, expires_at)) = &self.current
            && now_s() + MARGIN_S < *expires_at
        {
            return Ok(token.clone());
        }
        let (token, expires_at) = match timeout(CALL_LIMIT, self.call()).await {
            Ok(answer) => answer?,
            Err(_) => return Err(NoToken::NotNow("the token call got no answer".to_owned())),
        };
        self.current = Some((token.clone(), expires_at));
        Ok(token)
    }

    /// Fetch a new one next time: the service did not take this one.
    pub(crate) fn forget(&mut self) {
        self.current = None;
    }

    async fn call(&self) -> Result<(String, i64), NoToken> {
        let answer = match self.ask().await? {
            Ok(answer) => answer,
            Err(error) => {
                let place = self.address.authority();
                let reason = innermost(error.as_ref());
                return Err(NoToken::NotNow(format!("the token call to {place} failed: {reason}")));
            }
        };
        match answer {
            TokenAnswer::Granted { token, expires_at } => Ok((token, expires_at)),
            TokenAnswer::Finished => Err(NoToken::Never(
                "The service says that this task has finished; nothing is left to do".to_owned(),
            )),
            TokenAnswer::Pending => Err(NoToken::NotNow("the task is still pending".to_owned())),
            TokenAnswer::Refused(reason) => Err(NoToken::Never(format!(
                "The service refused the task's token ({reason}): check {} and the task's names",
                self.file.display()
            ))),
            TokenAnswer::Unclear(reason) => {
                Err(NoToken::NotNow(format!("the token call was answered with {reason}")))
            }
        }
    }

    /// The call itself; the outer error is about our own file.
    async fn ask(
        &self,
    ) -> Result<Result<TokenAnswer, Box<dyn std::error::Error + Send + Sync>>, NoToken> {
        let token = std::fs::read_to_string(&self.file).map_err(|error| {
            NoToken::Never(format!("Cannot read the token file {}: {error}", self.file.display()))
        })?;
        let request = TokenRequest { token: token.trim().to_owned() };
        Ok(self.post(&request).await)
    }

    async fn post(
        &self,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, Box<dyn std::error::Error + Send + Sync>> {
        let Address { workflow, group, task, retry, .. } = &self.address;
        let path = refresh_path(workflow, group, task, *retry);
        let request = Request::post(format!("http://{}{path}", self.address.authority()))
            .header("content-type", "application/json")
            .body(Full::from(serde_json::to_vec(request)?))?;
        let response = self.client.request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?;
        Ok(TokenAnswer::read(status, &body.to_bytes()))
    }
}

/// The cause that says something; those around it name layers of the client.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let last = std::iter::successors(Some(error), |error| error.source()).last();
    last.unwrap_or(error).to_string()
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
