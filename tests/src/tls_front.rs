//! TLS before a server that speaks none: Python's, which this project did not
//! write.

use std::io::{BufRead as _, BufReader, Error, Result};
use std::process::{Child, Command, Stdio};

use crate::outside::authority::Authority;

/// Ends TLS on a port of its own, which it prints, and hands bytes on to port
/// `argv[3]`.
const FRONT: &str = "
import asyncio, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])

async def pump(source, target):
    try:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        target.close()

async def serve(reader, writer):
    there, back = await asyncio.open_connection('127.0.0.1', int(sys.argv[3]))
    await asyncio.gather(pump(reader, back), pump(there, writer))

async def main():
    server = await asyncio.start_server(serve, '127.0.0.1', 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
";

/// The running front.
#[derive(Debug)]
pub struct Front {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Front {
    /// A front of the server on `port`, with the authority's certificate.
    ///
    /// # Errors
    /// There is no Python, or it does not listen.
    pub fn start(authority: &Authority, port: u16) -> Result<Self> {
        let mut python = Command::new("python3");
        python.args(["-c", FRONT]).arg(&authority.certificate).arg(&authority.key);
        let mut child = python.arg(port.to_string()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take();
        let mut front = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(stdout.ok_or_else(|| Error::other("no pipe"))?).read_line(&mut line)?;
        front.port = line.trim().parse().map_err(Error::other)?;
        Ok(front)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
