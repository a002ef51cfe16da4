//! nginx as a store that can be read: ranges, entity tags and `If-Match` are
//! its own, listings are pages written beforehand, signatures are not looked at.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use osmo_controller::run::access::StoreAccess;
use tempfile::TempDir;

use super::authority::Authority;
use super::{free_ports, listing, on_path};

const START_MAX: Duration = Duration::from_secs(30);

/// `keepalive_requests` is low on purpose: connections end while jobs go on.
const CONFIG: &str = r#"
daemon off; master_process off; pid "DIR/pid"; error_log "DIR/log" warn;
worker_rlimit_nofile 4096;
events { worker_connections 1024; }
http {
  access_log off; types { } default_type application/octet-stream;
  client_body_temp_path "DIR/tmp"; proxy_temp_path "DIR/tmp"; fastcgi_temp_path "DIR/tmp";
  uwsgi_temp_path "DIR/tmp"; scgi_temp_path "DIR/tmp";
  sendfile on; tcp_nopush on; gzip on; gzip_types *; gzip_min_length 1;
  keepalive_timeout 60; keepalive_requests 50;
  map $args $page { "~continuation-token=(?<token>[0-9]+)" $token; default 0; }
  server {
    listen 127.0.0.1:HTTP; listen 127.0.0.1:HTTPS ssl;
    ssl_certificate "CERT"; ssl_certificate_key "KEY"; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:1m;
    merge_slashes off; root "DIR/www";
    location ~ ^/[a-z0-9-]+/?$ {
      root "DIR/list"; types { } default_type application/xml;
      if ($arg_prefix = "") { rewrite ^ /.$page break; }
      try_files /$arg_prefix.$page /nothing =404;
    }
    location / { if (-d $request_filename) { return 404; } }
  }
}
"#;

/// A running server with one bucket; both ports close when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: TempDir,
    http: u16,
    https: u16,
    ca: PathBuf,
    keys: BTreeMap<String, PathBuf>,
}

impl Nginx {
    /// Starts one with an empty bucket.
    ///
    /// # Errors
    /// There is no `nginx`, no `openssl`, or it did not start.
    pub fn start() -> Result<Self> {
        let nginx = on_path("nginx").context("no `nginx` on PATH")?;
        let folder = tempfile::Builder::new().prefix("osmo-nginx-").tempdir()?;
        for name in ["tmp", "www", "list"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let authority = Authority::make(folder.path())?;
        let [http, https] = free_ports()?;
        let config = CONFIG
            .replace("HTTPS", &https.to_string())
            .replace("HTTP", &http.to_string())
            .replace("CERT", &authority.certificate.to_string_lossy())
            .replace("KEY", &authority.key.to_string_lossy())
            .replace("DIR", &folder.path().to_string_lossy());
        std::fs::write(folder.path().join("conf"), config)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(nginx)
            .arg("-e")
            .arg(folder.path().join("log"))
            .arg("-c")
            .arg(folder.path().join("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("start setpriv nginx")?;
        let ca = authority.ca;
        let mut server = Self { child, folder, http, https, ca, keys: BTreeMap::new() };
        server.wait()?;
        Ok(server)
    }

    fn wait(&mut self) -> Result<()> {
        let give_up = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", self.http)).is_err() {
            if self.child.try_wait()?.is_some() || Instant::now() > give_up {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                bail!("nginx did not come up: {}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Puts the file at each path under its key, and writes all listings anew.
    ///
    /// # Errors
    /// A key that no file can have, or a full disk.
    pub fn fill(&mut self, bucket: &str, pairs: &[(String, PathBuf)]) -> Result<()> {
        for (key, path) in pairs {
            let to = self.folder.path().join("www").join(bucket).join(key);
            if key.ends_with('/') {
                std::fs::create_dir_all(&to)?;
            } else {
                std::fs::create_dir_all(to.parent().context("no parent")?)?;
                std::fs::copy(path, &to)?;
            }
            self.keys.insert(key.clone(), to);
        }
        listing::write(&self.folder.path().join("list"), bucket, &self.keys)
    }

    /// URL, and a key that nobody looks at.
    pub fn access(&self, tls: bool) -> StoreAccess {
        let endpoint = if tls {
            format!("https://127.0.0.1:{}", self.https)
        } else {
            format!("http://127.0.0.1:{}", self.http)
        };
        let any = "any-key-will-do".to_owned();
        StoreAccess { endpoint, access_key: any.clone(), secret_key: any }
    }

    /// Who signed the certificate of the HTTPS port.
    pub fn ca(&self) -> &Path {
        &self.ca
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
