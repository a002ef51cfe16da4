//! The token that each dial must show, fetched anew before it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use osmo_link::{LinkError, Network};
use osmo_protocol::token::{TokenAnswer, TokenRequest, refresh_path};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Address;

/// A token that ends sooner than this is fetched anew.
const MARGIN_S: i64 = 60;
const CALL_LIMIT: Duration = Duration::from_secs(15);

/// Why there is no token.
#[derive(Debug)]
pub(crate) enum NoToken {
    /// It will never come: the task is over, or the service refuses us.
    Never(String),
    /// It may come later.
    NotNow(String),
}

/// The current token and where to get the next; clones share it.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Mutex<Shared>>);

struct Shared {
    address: Address,
    file: PathBuf,
    network: Network,
    current: Option<(String, i64)>,
}

impl Tokens {
    pub(crate) fn new(network: Network, address: Address, file: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(Shared { address, file, network, current: None })))
    }

    /// A token that is valid for a while.
    pub(crate) async fn token(&self) -> Result<String, NoToken> {
        self.0.lock().await.token().await
    }

    /// Fetch a new one next time: the service did not take this one.
    pub(crate) async fn forget(&self) {
        self.0.lock().await.current = None;
    }
}

impl Shared {
    async fn token(&mut self) -> Result<String, NoToken> {
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

    async fn call(&self) -> Result<(String, i64), NoToken> {
        let answer = match self.ask().await? {
            Ok(answer) => answer,
            Err(error) => {
                return Err(NoToken::NotNow(format!("the token call failed: {error}")));
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
    async fn ask(&self) -> Result<Result<TokenAnswer, LinkError>, NoToken> {
        let token = std::fs::read_to_string(&self.file).map_err(|error| {
            NoToken::Never(format!("Cannot read the token file {}: {error}", self.file.display()))
        })?;
        let request = TokenRequest { token: token.trim().to_owned() };
        Ok(self.post(&request).await)
    }

    async fn post(&self, request: &TokenRequest) -> Result<TokenAnswer, LinkError> {
        let Address { workflow, group, task, retry, .. } = &self.address;
        let path = refresh_path(workflow, group, task, *retry);
        let body = serde_json::to_vec(request).unwrap_or_default();
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Bytes::from(body))
            .map_err(|error| LinkError::Address(error.to_string()))?;
        let answer = self.network.call(&self.address.token_place, request).await?;
        Ok(TokenAnswer::read(answer.status().as_u16(), answer.body()))
    }
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
