//! The token that each dial must show, fetched anew before it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Request;
use osmo_link::{LinkError, Network};
use osmo_protocol::token::{TokenAnswer, TokenRequest, refresh_path};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Address;

/// A token that ends sooner than this is fetched anew.
const MARGIN: Duration = Duration::from_secs(60);
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
    current: Option<Current>,
}

struct Current {
    token: String,
    /// Until when it is shown, by the clock that nobody sets: a wall clock that
    /// is set meanwhile makes it neither older nor younger.
    good_until: Instant,
}

impl Tokens {
    pub(crate) fn new(network: Network, address: Address, file: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(Shared { address, file, network, current: None })))
    }

    /// A token that is valid for a while.
    pub(crate) async fn token(&self) -> Result<String, NoToken> {
        self.0.lock().await.token().await
    }

    /// Fetch a new one next time: the service did not take `token`. One that
    /// came since stays.
    pub(crate) async fn forget(&self, token: &str) {
        let current = &mut self.0.lock().await.current;
        current.take_if(|current| current.token == token);
    }
}

impl Shared {
    async fn token(&mut self) -> Result<String, NoToken> {
        if let Some(current) = &self.current
            && Instant::now() < current.good_until
        {
            return Ok(current.token.clone());
        }
        let (token, expires_at) = match timeout(CALL_LIMIT, self.call()).await {
            Ok(answer) => answer?,
            Err(_) => return Err(NoToken::NotNow("the token call got no answer".to_owned())),
        };
        let life = life(expires_at, now_s());
        let good_until = Instant::now() + life.saturating_sub(MARGIN);
        self.current = Some(Current { token: token.clone(), good_until });
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

/// How long a token lives that was given at `now_s` and ends at `expires_at`, at
/// most a day: a clock that is wrong by years adds up to no time that overflows.
fn life(expires_at: i64, now_s: i64) -> Duration {
    const DAY_S: u64 = 86_400;
    let left = expires_at.saturating_sub(now_s).max(0);
    Duration::from_secs(left.unsigned_abs().min(DAY_S))
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
