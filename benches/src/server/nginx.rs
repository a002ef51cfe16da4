//! nginx as a store to download from: ranges are its own, listings are pages
//! written beforehand. Signatures are not looked at.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use jiff::Timestamp;
use osmo_tests::model_server::BUCKET;

use super::{Ground, Kind, Running, certificates, free_ports, spawn};
use crate::peer::on_path;
use crate::workload::Source;

const PAGE_KEYS: usize = 1_000;

pub(super) fn start(ground: &Ground, sources: &[Source], tls: bool) -> Result<Running> {
    let folder = ground.work.join(if tls { "nginx-tls" } else { "nginx" });
    let pages = folder.join("pages");
    fs::create_dir_all(&pages)?;
    for source in sources {
        write_pages(source, &pages)?;
    }
    if tls {
        certificates(&ground.work.join("tls"))?;
    }
    let [port] = free_ports()?;
    let conf = folder.join("nginx.conf");
    fs::write(&conf, configuration(ground, &folder, port, tls))?;
    let nginx = on_path("nginx").context("nginx is not installed: see benches/peers/setup")?;
    let log = folder.join("error.log");
    let child = spawn(Command::new(nginx).arg("-e").arg(&log).arg("-c").arg(&conf), &log, port)?;
    let scheme = if tls { "https" } else { "http" };
    let running = Running {
        kind: if tls { Kind::NginxTls } else { Kind::Nginx },
        url: format!("{scheme}://127.0.0.1:{port}"),
        readable: None,
        vacuum: None,
        child,
        lists: folder,
        litter: Vec::new(),
    };
    running.write_urls(sources)?;
    Ok(running)
}

/// In the foreground, so that it stays our child; two workers, as a machine
/// with two CPUs would have. A worker of root's must stay root to read a
/// private folder.
fn configuration(ground: &Ground, folder: &Path, port: u16, tls: bool) -> String {
    let work = ground.work.display();
    let folder = folder.display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (listen, certificate) = if tls {
        let certificate = format!(
            "ssl_certificate \"{work}/tls/cert.pem\";\n        \
             ssl_certificate_key \"{work}/tls/key.pem\";\n        \
             ssl_protocols TLSv1.2 TLSv1.3;\n"
        );
        (" ssl", certificate)
    } else {
        ("", String::new())
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path \"{folder}/{kind}\";\n"))
        .concat();
    format!(
        r#"{user}
daemon off;
worker_processes 2;
worker_rlimit_nofile 8192;
pid "{folder}/nginx.pid";
events {{ worker_connections 2048; }}
http {{
{temporary}
    access_log off;
    sendfile on;
    sendfile_max_chunk 2m;
    tcp_nopush on;
    keepalive_requests 1000000;
    types {{ }}
    default_type application/octet-stream;
    # The page that the token names, else the first of the prefix.
    map $args $page {{
        default "";
        "~continuation-token=(?<token>[a-z]+-[0-9]+)" $token;
        "~prefix=(?<workload>[a-z]+)" "$workload-0";
    }}
    server {{
        listen 127.0.0.1:{port}{listen} backlog=4096;
        {certificate}
        root "{work}/www";
        location ~ ^/{BUCKET}/?$ {{
            if ($page) {{ rewrite ^ /pages/$page.xml last; }}
            return 200 "";
        }}
        location /pages/ {{
            internal;
            alias "{folder}/pages/";
            types {{ application/xml xml; }}
        }}
    }}
}}
"#
    )
}

/// Page N of a workload is `WORKLOAD-N.xml`, and that is its token. The entity
/// tags are the ones that nginx itself makes: time and size in hex.
fn write_pages(source: &Source, folder: &Path) -> Result<()> {
    let indexes: Vec<u64> = (0..source.set.count).collect();
    let name = &source.set.name;
    let last = indexes.len().div_ceil(PAGE_KEYS).saturating_sub(1);
    for (number, page) in indexes.chunks(PAGE_KEYS).enumerate() {
        let mut entries = String::new();
        for &index in page {
            let state = fs::metadata(source.root.join(source.set.path(index)))?;
            let (size, time) = (state.size(), state.mtime());
            let when = Timestamp::from_second(time)?.strftime("%Y-%m-%dT%H:%M:%S.000Z");
            write!(
                entries,
                "<Contents><Key>{}</Key><LastModified>{when}</LastModified>\
                 <ETag>&quot;{time:x}-{size:x}&quot;</ETag><Size>{size}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                source.set.key(index)
            )?;
        }
        let more = number < last;
        let next = if more {
            format!("<NextContinuationToken>{name}-{}</NextContinuationToken>", number + 1)
        } else {
            String::new()
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Name>{BUCKET}</Name><Prefix>{name}/</Prefix><MaxKeys>{PAGE_KEYS}</MaxKeys>\
             <KeyCount>{}</KeyCount><IsTruncated>{more}</IsTruncated>{next}{entries}\
             </ListBucketResult>",
            page.len()
        );
        fs::write(folder.join(format!("{name}-{number}.xml")), text)?;
    }
    Ok(())
}
